"""How typed messages become the bot's words."""

import pytest

from training.tidy import join_messages, tidy


def test_messages_sent_in_a_row_become_one_turn() -> None:
    assert join_messages(["Hello", " how  are you? ", ""]) == "Hello. how are you?"


@pytest.mark.parametrize(
    ("typed", "tidied"),
    [
        ("im good, dont worry", "I'm good, don't worry."),
        ("haha yeah lol", "Yeah."),
        ("thats great!!! i like it", "That's great! I like it."),
        ("what do u mean?", "What do you mean?"),
        ("  hello   there ", "Hello there."),
        ("Is it image or imagine?", "Is it image or imagine?"),
        ("hahaha", ""),
    ],
)
def test_turns_are_spelled_out(typed: str, tidied: str) -> None:
    assert tidy(typed) == tidied
