"""The held-out split: by conversation, stable, about the promised size."""

from training.conversation import Conversation
from training.sources import filter_and_split
from training.split import HELD_OUT_PERCENT, is_held_out


def _conversations(count: int) -> list[Conversation]:
    return [
        Conversation(f"chat-{n}", ("hello", "hi", "damn", "how are you", "fine"), "chitchat")
        for n in range(count)
    ]


def test_the_split_is_the_same_every_time_and_in_every_order() -> None:
    conversations = _conversations(300)
    forwards = filter_and_split(conversations)
    backwards = filter_and_split(reversed(conversations))
    assert {item.id for item in forwards.held_out} == {item.id for item in backwards.held_out}


def test_known_ids_stay_on_their_side() -> None:
    held_out = [n for n in range(200) if is_held_out(f"chat-{n}")]
    assert held_out == [84, 93, 96, 160, 168]


def test_no_conversation_has_pieces_on_both_sides() -> None:
    split = filter_and_split(_conversations(300))
    training = {item.id.split("/")[0] for item in split.training}
    held_out = {item.id.split("/")[0] for item in split.held_out}
    assert training
    assert held_out
    assert not training & held_out


def test_the_held_out_part_has_about_the_promised_size() -> None:
    share = sum(is_held_out(str(n)) for n in range(20_000)) / 200
    assert abs(share - HELD_OUT_PERCENT) < 1
