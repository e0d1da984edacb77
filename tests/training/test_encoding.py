"""Which tokens a conversation becomes, and which of them are learned."""

from training.conversation import Conversation
from training.encoding import IGNORED, Turn, batches, encode_turns, pack, render
from training.tokenizer import BEGIN, BOT, END, USER, special_id, train_tokenizer

TURN = Turn(typed=(10, 11), tidied=(20, 21), is_learned=True)
UNFIT = Turn(typed=(12,), tidied=(22,), is_learned=False)


def test_the_bots_turns_are_tidied_and_the_users_as_typed() -> None:
    tokens = render([TURN, TURN], bot_parity=1)
    begin, user, bot, end = map(special_id, (BEGIN, USER, BOT, END))
    assert tokens.ids == [begin, user, 10, 11, end, bot, 20, 21, end]


def test_marks_of_roles_are_never_learned_and_both_sides_are() -> None:
    tokens = render([TURN, TURN], bot_parity=0)
    end = special_id(END)
    assert tokens.targets == [IGNORED, IGNORED, 20, 21, end, IGNORED, 10, 11, end]


def test_what_is_unfit_for_the_bot_is_learned_from_the_user_alone() -> None:
    tokens = render([UNFIT, TURN, TURN, UNFIT], bot_parity=1)
    learned = [target for target in tokens.targets if target != IGNORED]
    end = special_id(END)
    assert learned == [12, end, 20, 21, end, 10, 11, end]


def test_rows_have_the_asked_length_and_batches_the_asked_rows() -> None:
    rendered = (render([TURN, TURN], 1) for _ in range(10))
    found = list(batches(pack(rendered, 16), 2))
    assert len(found) == 2
    assert all(len(row) == 16 for ids, targets in found for row in (*ids, *targets))


def test_hand_written_turns_are_not_respelled() -> None:
    tokenizer = train_tokenizer(["hello there, how are you?"], vocabulary=300)
    chat = Conversation("c", ("hey", "im here"), "chitchat")
    written = Conversation("e", ("hey", "im here"), "examples")
    (_, chatted), (_, kept) = (
        encode_turns(item, tokenizer, lambda _turn: True) for item in (chat, written)
    )
    assert chatted.typed != chatted.tidied
    assert kept.typed == kept.tidied
