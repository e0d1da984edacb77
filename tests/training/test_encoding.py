"""Which tokens a conversation becomes, and which of them are learned."""

from random import Random

from training.conversation import Conversation
from training.encoding import IGNORED, Turn, batches, encode_turns, pack, render, windows
from training.tokenizer import BEGIN, BOT, END, USER, special_id, train_tokenizer

TURN = Turn(typed=(10, 11), tidied=(20, 21), is_learned=True)
UNFIT = Turn(typed=(12,), tidied=(22,), is_learned=False)


def test_the_bots_turns_are_tidied_and_the_users_as_typed() -> None:
    tokens = render([TURN, TURN], bot_parity=1, only_answers=False)
    begin, user, bot, end = map(special_id, (BEGIN, USER, BOT, END))
    assert tokens.ids == [begin, user, 10, 11, end, bot, 20, 21, end]


def test_marks_of_roles_are_never_learned_and_both_sides_are() -> None:
    tokens = render([TURN, TURN], bot_parity=0, only_answers=False)
    end = special_id(END)
    assert tokens.targets == [IGNORED, IGNORED, 20, 21, end, IGNORED, 10, 11, end]


def test_with_only_answers_neither_questions_nor_unfit_answers_are_learned() -> None:
    tokens = render([TURN, TURN, TURN, UNFIT], bot_parity=1, only_answers=True)
    learned = [target for target in tokens.targets if target != IGNORED]
    assert learned == [20, 21, special_id(END)]


def test_rows_have_the_asked_length_and_batches_the_asked_rows() -> None:
    rendered = (render([TURN, TURN], 1, only_answers=False) for _ in range(10))
    found = list(batches(pack(rendered, 16), 2))
    assert len(found) == 2
    assert all(len(row) == 16 for ids, targets in found for row in (*ids, *targets))


def test_windows_cover_a_conversation_without_overlap_from_the_users_side() -> None:
    turns = [Turn((n,), (n,), is_learned=True) for n in range(20)]
    parts = list(windows(turns, Random(3)))
    assert [turn for part in parts for turn in part] == turns
    assert all(part[0].typed[0] % 2 == 0 for part in parts)


def test_hand_written_turns_are_not_respelled() -> None:
    tokenizer = train_tokenizer(["hello there, how are you?"], vocabulary=300)
    chat = Conversation("c", ("hey", "im here"), "chitchat")
    written = Conversation("e", ("hey", "im here"), "examples")
    (_, chatted), (_, kept) = (
        encode_turns(item, tokenizer, lambda _turn: True) for item in (chat, written)
    )
    assert chatted.typed != chatted.tidied
    assert kept.typed == kept.tidied
