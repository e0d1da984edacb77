"""Single questions and answers: the last one, chains of replies, taking back, speeds."""

from dataclasses import replace

import pytest

from bot.store.ports.records import Answer, ReplyPart, ReplyState, StoredMessage
from tests.contract.store.scene import (
    ACCOUNT,
    BEN,
    THREAD,
    Scene,
    at,
    command,
    question,
    said,
    user,
)


async def reply_to(scene: Scene, number: int, text: str, replies_to: str | None) -> StoredMessage:
    """An exchange that replies to another one's posted answer; its own is posted as pNUMBER."""
    asked = await scene.admit(replace(question(f"q{number}", text), replies_to=replies_to))
    claim = await scene.claim(asked)
    await scene.store.inbox.save_part(claim, ReplyPart(0, f"p{number}", f"k{number}"))
    await scene.store.inbox.save_answer(claim, Answer(f"re {text}"))
    await scene.store.inbox.finish(claim, ReplyState.ANSWERED, at(0))
    return asked


async def test_a_chain_is_the_answer_replied_to_its_question_and_so_on(scene: Scene) -> None:
    await reply_to(scene, 1, "one", None)
    await reply_to(scene, 2, "aside", None)
    await reply_to(scene, 3, "two", "p1")
    message = await scene.admit(replace(question("q4"), replies_to="p3"))
    two = [user("two"), said("re two")]
    assert await scene.store.exchanges.chain(message, 10) == [user("one"), said("re one"), *two]
    assert await scene.store.exchanges.chain(message, 1) == two
    alone = await scene.admit(replace(question("q5"), replies_to="unknown"))
    assert await scene.store.exchanges.chain(alone, 10) == []


async def test_a_chain_ends_at_what_was_withdrawn(scene: Scene) -> None:
    await reply_to(scene, 1, "one", None)
    await reply_to(scene, 2, "two", "p1")
    await scene.store.history.withdraw(ACCOUNT, "q1")
    message = await scene.admit(replace(question("q3"), replies_to="p2"))
    assert await scene.store.exchanges.chain(message, 10) == [user("two"), said("re two")]


async def test_the_last_exchange_is_the_members_own_in_the_same_place(scene: Scene) -> None:
    mine = await scene.exchange(question("q1", "mine"), "one")
    await scene.exchange(question("q2", "bens", BEN), "two")
    await scene.exchange(question("q3", "elsewhere", where=THREAD), "three")
    await scene.exchange(command("c1"), "no model was asked")
    later = await scene.admit(command("c2"))
    last = await scene.store.exchanges.last(later.id)
    assert last is not None
    assert (last.message.id, last.question, last.is_continuation) == (mine.id, "mine", False)
    assert last.answer == Answer("one")
    assert await scene.store.exchanges.last(mine.id) is None
    assert await scene.store.exchanges.last(12345) is None


async def test_what_a_command_asked_is_an_exchange_and_a_turn(scene: Scene) -> None:
    await scene.exchange(command("c1"), Answer("one", asked="how?"))
    await scene.exchange(command("c2"), Answer("two", asked=""))
    later = await scene.admit(command("c3"))
    last = await scene.store.exchanges.last(later.id)
    assert last is not None
    assert last.is_continuation
    assert await scene.turns() == [user("how?"), said("one two")]


async def test_what_went_on_with_an_answer_is_joined_to_it_past_others(scene: Scene) -> None:
    await scene.exchange(question("q1", "mine"), "one")
    await scene.exchange(question("q2", "bens", BEN), "two")
    await scene.exchange(command("c1"), Answer("three", asked=""))
    assert await scene.turns() == [
        user("mine"),
        said("one three"),
        user("bens", "Ben"),
        said("two"),
    ]


async def test_a_failed_exchange_is_one_without_an_answer(scene: Scene) -> None:
    failed = await scene.admit(question("q1"))
    await scene.answer(failed, Answer("sorry", is_error=True), state=ReplyState.FAILED)
    last = await scene.store.exchanges.last((await scene.admit(command("c1"))).id)
    assert last is not None
    assert last.answer is None


async def test_what_was_undone_or_reset_is_neither_last_nor_a_turn(scene: Scene) -> None:
    await scene.exchange(question("q1", "first"), "one")
    second = await scene.exchange(question("q2", "second"), "two")
    assert await scene.store.exchanges.undo(second.id)
    assert not await scene.store.exchanges.undo(second.id)
    later = await scene.admit(command("c1"))
    last = await scene.store.exchanges.last(later.id)
    assert last is not None
    assert last.question == "first"
    assert await scene.turns() == [user("first"), said("one")]
    await scene.store.history.reset(later.event.conversation, later.id, at(1))
    assert await scene.store.exchanges.last((await scene.admit(command("c2"))).id) is None


async def test_what_waits_for_its_answer_cannot_be_undone(scene: Scene) -> None:
    waiting = await scene.admit(question("q1"))
    assert not await scene.store.exchanges.undo(waiting.id)
    assert await scene.try_to_claim(waiting) is not None


@pytest.mark.parametrize("state", [ReplyState.ANSWERED, ReplyState.FAILED])
async def test_what_is_answered_anew_leaves_the_context_if_that_succeeds(
    scene: Scene, state: ReplyState
) -> None:
    old = await scene.exchange(question("q1", "old"), "one")
    again = await scene.admit(command("c1"))
    claim = await scene.claim(again)
    await scene.store.inbox.save_answer(claim, Answer("two", asked="old"))
    await scene.store.inbox.finish(claim, state, at(0), replaces=old.id)
    answer = "two" if state is ReplyState.ANSWERED else "one"
    assert await scene.turns() == [user("old"), said(answer)]


async def test_an_undone_question_comes_back_with_a_new_answer(scene: Scene) -> None:
    old = await scene.exchange(question("q1"), "one")
    await scene.store.exchanges.undo(old.id)
    reopened = await scene.store.inbox.reopen(ACCOUNT, "q1", "press", at(1))
    assert reopened is not None
    await scene.answer(reopened, "two", 1)
    assert await scene.turns() == [user("why?"), said("two")]


async def test_a_message_is_found_by_its_own_id(scene: Scene) -> None:
    stored = await scene.admit(question("q1"))
    assert await scene.store.exchanges.get(stored.id) == stored
    assert await scene.store.exchanges.get(stored.id + 1) is None


async def test_the_speed_of_a_model_is_the_median_of_its_answers(scene: Scene) -> None:
    for number, speed in enumerate([10.0, 30.0, 11.0]):
        answer = Answer("yes", model="small", tokens_per_s=speed)
        await scene.exchange(question(f"q{number}"), answer)
    await scene.exchange(question("q9"), Answer("yes", model="large"))
    assert await scene.store.exchanges.speeds() == {"small": 11.0}


async def test_what_a_command_asked_is_gone_when_it_is_withdrawn(scene: Scene) -> None:
    await scene.exchange(command("c1"), Answer("one", asked="how?"))
    await scene.store.history.withdraw(ACCOUNT, "c1")
    assert await scene.store.exchanges.last((await scene.admit(command("c2"))).id) is None
