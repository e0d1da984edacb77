"""What may be learned, and what is cut out."""

import pytest

from training.conversation import Conversation
from training.filters import (
    cut_at_unfit,
    find_names,
    has_personal_data,
    has_profanity,
    has_unfit_topic,
    is_fit,
    is_fit_for_bot,
    read_words,
)

NAMES = frozenset(read_words("names"))


@pytest.mark.parametrize(
    "turn",
    ["what the fuck", "That is SHIT.", "bullshit!", "you are a b1tch or a bitch", "damn it"],
)
def test_profanity_is_found_in_any_case_and_form(turn: str) -> None:
    assert has_profanity(turn)


@pytest.mark.parametrize("turn", ["I passed the class", "a shell on the beach", "hello there"])
def test_words_that_only_contain_a_bad_one_are_kept(turn: str) -> None:
    assert not has_profanity(turn)


@pytest.mark.parametrize(
    "turn",
    [
        "write to jane.doe@example.org",
        "see https://example.org/me",
        "look at example.com",
        "my number is 801-555-0199",
        "it is 8015550199",
        "I live at 12 Elm Street",
        "my name is Zebediah",
        "hey Michael, are you there?",
        "follow @some_handle",
        "I study at BYU",
        "are you from Provo?",
    ],
)
def test_personal_data_is_found(turn: str) -> None:
    assert has_personal_data(turn, NAMES)


@pytest.mark.parametrize(
    "turn", ["I have 2 cats", "it took 15 minutes", "The sun is about 4.6 billion years old."]
)
def test_ordinary_numbers_are_not_personal(turn: str) -> None:
    assert not has_personal_data(turn, NAMES)


@pytest.mark.parametrize("turn", ["did you vote for him?", "this chat gives points"])
def test_unfit_topics_are_found(turn: str) -> None:
    assert has_unfit_topic(turn)


def test_a_turn_is_unfit_when_empty_or_too_long() -> None:
    assert not is_fit(" ... ", NAMES)
    assert not is_fit("word " * 100, NAMES)
    assert is_fit("I like soup", NAMES)


def test_names_are_learned_from_introductions_but_common_words_are_not() -> None:
    turns = ["hi Zorblat", "thanks, Zorblat", "hi There", "hi There", "I was there", "there it is"]
    found = find_names([*turns, "over there"])
    assert "zorblat" in found
    assert "there" not in found


def test_a_conversation_is_cut_where_a_turn_was_dropped() -> None:
    turns = ("hello", "hi, how are you?", "my name is Bob", "nice", "I like soup", "me too")
    pieces = list(cut_at_unfit(Conversation("c", turns, "chitchat"), NAMES))
    assert [piece.turns for piece in pieces] == [turns[:2], turns[3:]]
    assert [piece.id for piece in pieces] == ["c/0", "c/1"]


def test_pieces_of_one_turn_are_dropped() -> None:
    pieces = cut_at_unfit(Conversation("c", ("hello", "damn", "bye"), "chitchat"), NAMES)
    assert list(pieces) == []


@pytest.mark.parametrize(
    "turn", ["My wife likes it.", "I went to the beach.", "I'm from Texas.", "Last night was fun."]
)
def test_a_human_life_is_not_the_bots(turn: str) -> None:
    assert not is_fit_for_bot(turn)


@pytest.mark.parametrize("turn", ["That sounds great!", "What do you like to read?"])
def test_small_talk_is_fit_for_the_bot(turn: str) -> None:
    assert is_fit_for_bot(turn)
