"""Turns: who sees what, resets, edits and withdrawals."""

from dataclasses import replace

import pytest

from bot.engine.base import FinishReason
from bot.messages import Attachment, CommandInvoked, ConversationRef, IncomingMessage
from bot.store.ports.records import Answer, ReplyPart, ReplyState
from tests.contract.store.conftest import OpenStore
from tests.contract.store.scene import (
    ACCOUNT,
    BEN,
    CHANNEL,
    THREAD,
    Scene,
    at,
    command,
    question,
    said,
    user,
)


async def test_turns_are_pairs_oldest_first_with_their_authors(
    scene: Scene, open_store: OpenStore
) -> None:
    await scene.exchange(question("q1", "one?"), "one.", 1)
    await scene.exchange(question("q2", "two?", BEN), "two.", 2)
    after_a_restart = Scene(await open_store())
    expected = [user("one?"), said("one."), user("two?", "Ben"), said("two.")]
    assert await after_a_restart.turns() == expected


async def test_the_newest_pairs_stay_within_the_limit(scene: Scene) -> None:
    for n in range(5):
        await scene.exchange(question(f"q{n}", f"{n}?"), f"{n}.", n)
    assert await scene.turns(limit=2) == [user("3?"), said("3."), user("4?"), said("4.")]


async def test_a_thread_and_its_channel_are_two_conversations(scene: Scene) -> None:
    await scene.exchange(question("q1", "channel?"), "channel.")
    await scene.exchange(question("q2", "thread?", where=THREAD), "thread.")
    assert await scene.turns(question("q3")) == [user("channel?"), said("channel.")]
    assert await scene.turns(question("q4", where=THREAD)) == [user("thread?"), said("thread.")]


@pytest.mark.parametrize("part", ["platform", "installation_id", "channel_id", "thread_id"])
async def test_nothing_leaks_into_another_place(scene: Scene, part: str) -> None:
    await scene.exchange(question("q1", "secret?"), "secret.")
    elsewhere = question("q2", where=replace(CHANNEL, **{part: "other"}))
    assert await scene.turns(elsewhere) == []


async def test_another_account_in_the_same_channel_has_turns_of_its_own(scene: Scene) -> None:
    await scene.exchange(question("q1"), "because")
    message = await scene.store.inbox.admit("other:bot", question("q2"), at(5))
    assert message is not None
    assert await scene.store.history.turns(message, 9) == []


async def test_others_answers_count_if_they_were_there_at_arrival(scene: Scene) -> None:
    before = await scene.admit(question("q1", "before?", BEN), 0)
    during = await scene.admit(question("q2", "during?", BEN), 0)
    await scene.answer(before, "before.", 4)
    mine = await scene.admit(question("q3"), 5)
    await scene.answer(during, "during.", 6)
    turns = await scene.store.history.turns(mine, 9)
    assert turns == [user("before?", "Ben"), said("before.")]


async def test_own_earlier_questions_count_whenever_they_were_answered(scene: Scene) -> None:
    first = await scene.admit(question("q1", "first?"), 0)
    second = await scene.admit(question("q2", "second?"), 1)
    await scene.answer(first, "first.", 5)
    assert await scene.store.history.turns(second, 9) == [user("first?"), said("first.")]


async def test_what_arrived_later_is_not_seen(scene: Scene) -> None:
    first = await scene.admit(question("q1"), 0)
    await scene.exchange(question("q2"), "quick", 0)
    assert await scene.store.history.turns(first, 9) == []


async def test_what_was_heard_is_a_turn_without_an_answer(scene: Scene) -> None:
    await scene.store.inbox.hear(ACCOUNT, question("h1", "soup!", BEN), at(1))
    await scene.store.inbox.hear(ACCOUNT, question("h1", "soup!", BEN), at(1))
    await scene.exchange(question("q1"), "because", 2)
    assert await scene.turns(question("q2")) == [
        user("soup!", "Ben"),
        user("why?"),
        said("because"),
    ]
    waiting = await scene.store.recovery.unanswered(ACCOUNT, at(60))
    assert [one.event.id for one in waiting] == ["q2"]
    assert not await scene.store.history.takes_part(THREAD)


async def test_what_was_heard_is_edited_withdrawn_and_purged_like_a_question(scene: Scene) -> None:
    history = scene.store.history
    for name in ("h1", "h2"):
        await scene.store.inbox.hear(ACCOUNT, question(name, name, BEN, THREAD), at(1))
    assert not await history.takes_part(THREAD)
    await history.edit(ACCOUNT, "h1", "stew!")
    await history.withdraw(ACCOUNT, "h2")
    assert await scene.turns(question("q1", where=THREAD)) == [user("stew!", "Ben")]
    await scene.store.recovery.purge(at(2))
    assert await scene.turns(question("q2", where=THREAD), 61) == []


async def test_commands_are_no_turns(scene: Scene) -> None:
    await scene.exchange(command("c1", question="why?"), "because")
    assert await scene.turns() == []


@pytest.mark.parametrize("answer", [Answer("sorry", is_error=True), Answer(""), Answer(" \n ")])
async def test_errors_and_empty_answers_are_no_turns(scene: Scene, answer: Answer) -> None:
    await scene.exchange(question("q1"), answer)
    assert await scene.turns() == []


async def test_failed_answers_are_no_turns(scene: Scene) -> None:
    await scene.answer(await scene.admit(question("q1")), "half", state=ReplyState.FAILED)
    assert await scene.turns() == []


async def test_a_stopped_answer_stays_as_far_as_it_got(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    await scene.answer(message, "half an", state=ReplyState.CANCELLED)
    assert await scene.turns() == [user("why?"), said("half an")]


async def test_what_a_stopped_answer_repeated_is_in_the_context_once(scene: Scene) -> None:
    text = "I am a no-nonsense, " + "no-nonsense, " * 20
    repeated = Answer(text, finish_reason=FinishReason.REPETITION)
    await scene.exchange(question("q1"), repeated, 1)
    await scene.exchange(question("q2"), Answer(text, finish_reason=FinishReason.STOP), 2)
    answers = [turn.text for turn in (await scene.turns())[1::2]]
    assert answers == ["I am a no-nonsense,", text]


async def test_an_answer_counts_once_however_many_attempts_it_took(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    for minute in range(2):
        await scene.store.inbox.save_answer(await scene.claim(message, minute), Answer("early"))
    released = await scene.claim(message, 3)
    await scene.store.inbox.save_answer(released, Answer("middle"))
    await scene.store.inbox.release(released)
    await scene.answer(message, "final", 4)
    assert await scene.turns() == [user("why?"), said("final")]


async def test_a_private_answer_is_seen_by_who_asked_alone(scene: Scene) -> None:
    await scene.exchange(question("q1"), Answer("between us", is_private=True))
    assert await scene.turns(question("q2", author=BEN)) == []
    assert await scene.turns(question("q3")) == [user("why?"), said("between us")]


async def test_a_reset_starts_afresh_and_survives_a_restart(
    scene: Scene, open_store: OpenStore
) -> None:
    await scene.exchange(question("q1", "before?"), "before.", 1)
    await scene.store.history.reset(CHANNEL, 1, at(2))
    await scene.exchange(question("q2", "after?"), "after.", 3)
    assert await Scene(await open_store()).turns() == [user("after?"), said("after.")]


async def test_the_last_of_several_resets_counts(scene: Scene) -> None:
    await scene.store.history.reset(CHANNEL, 0, at(0))
    for n in range(3):
        await scene.exchange(question(f"q{n}"), f"{n}.", n)
        await scene.store.history.reset(CHANNEL, n + 1, at(n))
    assert await scene.turns() == []


async def test_a_reset_holds_for_its_conversation_alone(scene: Scene) -> None:
    await scene.exchange(question("q1", "channel?"), "channel.")
    await scene.exchange(question("q2", where=THREAD), "thread.")
    await scene.store.history.reset(THREAD, 2, at(5))
    assert await scene.turns(question("q3")) == [user("channel?"), said("channel.")]
    assert await scene.turns(question("q4", where=THREAD)) == []


async def test_an_edit_changes_what_later_questions_see(scene: Scene) -> None:
    await scene.exchange(question("q1", "teh?"), "the.")
    edited = await scene.store.history.edit(ACCOUNT, "q1", "the?")
    assert edited is not None
    assert isinstance(edited.event, IncomingMessage)
    assert edited.event.text == "the?"
    assert await scene.turns() == [user("the?"), said("the.")]


async def test_an_edit_before_the_claim_changes_the_question(scene: Scene) -> None:
    message = await scene.admit(question("q1", "teh?"))
    await scene.store.history.edit(ACCOUNT, "q1", "the?")
    event = (await scene.claim(message)).message.event
    assert isinstance(event, IncomingMessage)
    assert event.text == "the?"


async def test_what_is_unknown_cannot_be_edited_withdrawn_or_found(scene: Scene) -> None:
    await scene.admit(command("c1"))
    history = scene.store.history
    for account, event_id in [(ACCOUNT, "q1"), ("other:bot", "c1")]:
        assert await history.edit(account, event_id, "text") is None
        assert await history.withdraw(account, event_id) is None
        assert await history.find(account, event_id) is None
    assert await history.edit(ACCOUNT, "c1", "a command has no text") is None


async def test_a_withdrawn_question_and_its_answer_leave_the_context(scene: Scene) -> None:
    await scene.exchange(question("q1", "secret?"), "secret.")
    await scene.exchange(question("q2", "other?"), "other.")
    withdrawn = await scene.store.history.withdraw(ACCOUNT, "q1")
    assert withdrawn is not None
    assert withdrawn == await scene.store.history.find(ACCOUNT, "q1")
    assert await scene.turns() == [user("other?"), said("other.")]


async def test_a_withdrawn_question_is_blank_with_all_it_brought(scene: Scene) -> None:
    attached = (Attachment("diary.txt", "text/plain", 6, "secret"),)
    await scene.admit(replace(question("q1", "secret?"), attachments=attached))
    await scene.admit(command("c1", question="secret?"))
    message = await scene.store.history.withdraw(ACCOUNT, "q1")
    invoked = await scene.store.history.withdraw(ACCOUNT, "c1")
    assert message is not None
    assert invoked is not None
    assert isinstance(message.event, IncomingMessage)
    assert (message.event.text, message.event.attachments) == ("", ())
    assert isinstance(invoked.event, CommandInvoked)
    assert invoked.event.arguments == {}


async def test_a_withdrawal_comes_twice_and_an_edit_after_it_restores_nothing(
    scene: Scene,
) -> None:
    await scene.admit(question("q1", "secret?"))
    first = await scene.store.history.withdraw(ACCOUNT, "q1")
    assert await scene.store.history.withdraw(ACCOUNT, "q1") == first
    assert await scene.store.history.edit(ACCOUNT, "q1", "secret?") is None


async def test_a_withdrawn_event_stays_deduplicated(scene: Scene) -> None:
    await scene.admit(question("q1"))
    await scene.store.history.withdraw(ACCOUNT, "q1")
    assert await scene.store.inbox.admit(ACCOUNT, question("q1"), at(1)) is None


async def test_withdrawing_a_question_that_is_answered_now_ends_the_attempt(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    claim = await scene.claim(message)
    await scene.store.inbox.save_part(claim, ReplyPart(0, "p1", "k0"))
    await scene.store.history.withdraw(ACCOUNT, "q1")
    assert await scene.try_to_claim(message, 60) is None
    assert await scene.store.recovery.unanswered(ACCOUNT, at(60)) == []


async def test_the_bot_takes_part_where_it_was_addressed(scene: Scene) -> None:
    history = scene.store.history
    assert not await history.takes_part(THREAD)
    await scene.admit(question("q1", where=THREAD))
    assert await history.takes_part(THREAD)
    assert not await history.takes_part(CHANNEL)
    assert not await history.takes_part(replace(THREAD, thread_id="t2"))


async def test_what_came_before_a_message_can_be_asked_for(scene: Scene) -> None:
    await scene.admit(question("q1", where=THREAD))
    await scene.admit(question("q2", where=THREAD))
    assert not await scene.store.history.takes_part(THREAD, before="q1")
    assert await scene.store.history.takes_part(THREAD, before="q2")


async def test_a_command_or_a_withdrawn_question_is_no_taking_part(scene: Scene) -> None:
    await scene.admit(command("c1", where=THREAD))
    await scene.admit(question("q1", where=THREAD))
    await scene.store.history.withdraw(ACCOUNT, "q1")
    assert not await scene.store.history.takes_part(THREAD)


async def test_the_bot_takes_part_no_more_in_what_was_purged(scene: Scene) -> None:
    await scene.admit(question("q1", where=THREAD))
    await scene.store.recovery.purge(at(1))
    assert not await scene.store.history.takes_part(THREAD)


async def test_whether_a_conversation_is_direct_does_not_split_it(scene: Scene) -> None:
    direct = ConversationRef("test", "home", "general", is_direct=True)
    await scene.exchange(question("q1", where=direct), "because")
    assert await scene.turns(question("q2")) == [user("why?"), said("because")]


async def test_only_own_turns_are_seen_where_that_is_asked(scene: Scene) -> None:
    await scene.exchange(question("q1", "mine"), "one")
    await scene.exchange(question("q2", "bens", BEN), "two")
    message = await scene.admit(question("q3"), 60)
    turns = await scene.store.history.turns(message, 100, only_own=True)
    assert turns == [user("mine"), said("one")]
