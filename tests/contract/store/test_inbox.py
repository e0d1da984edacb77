"""Admission, claims and their fences."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from bot.errors import LeaseLost
from bot.messages import Attachment, IncomingMessage, Quoted
from bot.store.ports.inbox import Claim
from bot.store.ports.records import Answer, ReplyPart, ReplyState
from bot.store.ports.store import Store
from tests.contract.store.conftest import OpenStore
from tests.contract.store.scene import (
    ACCOUNT,
    ANN,
    BEN,
    START,
    THREAD,
    Scene,
    at,
    command,
    question,
)

PART = ReplyPart(0, "p1", "key-0")
WRITES: dict[str, Callable[[Store, Claim], Awaitable[None]]] = {
    "renew": lambda store, claim: store.inbox.renew(claim, at(60)),
    "save_part": lambda store, claim: store.inbox.save_part(claim, ReplyPart(1, "late", "key-1")),
    "save_answer": lambda store, claim: store.inbox.save_answer(claim, Answer("late")),
    "finish": lambda store, claim: store.inbox.finish(claim, ReplyState.ANSWERED, at(9)),
    "release": lambda store, claim: store.inbox.release(claim),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


async def test_what_is_admitted_is_found_by_another_process(
    scene: Scene, open_store: OpenStore
) -> None:
    event = replace(
        question("q1", "crème brûlée \U0001f36e مرحبا", where=THREAD),
        attachments=(Attachment("a.txt", "text/plain", 3, "abc"), Attachment("b.png", "png", 9)),
    )
    message = await scene.admit(event)
    assert await (await open_store()).history.find(ACCOUNT, "q1") == message
    assert message.event == event
    assert message.received_at == START


async def test_a_command_keeps_its_arguments(scene: Scene) -> None:
    event = command("c1", question="why?", model="small")
    await scene.admit(event)
    found = await scene.store.history.find(ACCOUNT, "c1")
    assert found is not None
    assert found.event == event


async def test_what_a_message_quotes_is_handed_on_and_not_stored(scene: Scene) -> None:
    event = replace(question("q1"), quoted=(Quoted(BEN, "a riddle"),))
    message = await scene.admit(event)
    assert message.event == event
    found = await scene.store.history.find(ACCOUNT, "q1")
    assert found is not None
    assert isinstance(found.event, IncomingMessage)
    assert found.event.quoted == ()


async def test_an_event_is_admitted_once(scene: Scene) -> None:
    await scene.admit(question("q1"))
    assert await scene.store.inbox.admit(ACCOUNT, question("q1", "again"), at(1)) is None
    assert await scene.store.inbox.admit("other:bot", question("q1"), at(1)) is not None


async def test_of_concurrent_deliveries_one_wins(scene: Scene, open_store: OpenStore) -> None:
    stores = [scene.store, await open_store()]
    admitted = await asyncio.gather(
        *(stores[n % 2].inbox.admit(ACCOUNT, question("q1"), START) for n in range(10))
    )
    assert len([message for message in admitted if message is not None]) == 1


async def test_ids_grow_with_arrival(scene: Scene) -> None:
    ids = [(await scene.admit(question(f"q{n}"))).id for n in range(3)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("text", ["\x00\x07", "lone \ud800", "x" * 1_000_000, ""])
async def test_no_text_breaks_it(scene: Scene, text: str) -> None:
    event = replace(question("q1", text), author=replace(ANN, name=f"A{text[:9]}"))
    message = await scene.admit(event)
    claim = await scene.claim(message)
    assert claim.message.event.author.id == ANN.id
    assert isinstance(claim.message.event, IncomingMessage)
    assert len(claim.message.event.text) == len(text)


async def test_a_first_claim_starts_empty(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    claim = await scene.claim(message, worker="w1")
    assert (claim.message, claim.worker) == (message, "w1")
    assert (claim.attempt, claim.crashes, claim.parts, claim.answer) == (1, 0, (), None)


async def test_a_live_lease_keeps_others_out(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    await scene.claim(message)
    assert await scene.try_to_claim(message, 0.9) is None


async def test_an_unknown_message_cannot_be_claimed(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    assert await scene.try_to_claim(replace(message, id=message.id + 1)) is None


async def test_a_purged_message_is_not_mistaken_for_a_later_one(scene: Scene) -> None:
    purged = await scene.admit(question("q1"))
    await scene.store.recovery.purge(at(1))
    await scene.admit(question("q2"), 2)
    assert await scene.try_to_claim(purged, 3) is None


async def test_of_concurrent_claims_one_wins(scene: Scene, open_store: OpenStore) -> None:
    message = await scene.admit(question("q1"))
    scenes = [scene, Scene(await open_store())]
    claims = await asyncio.gather(
        *(scenes[n % 2].try_to_claim(message, worker=f"w{n}") for n in range(10))
    )
    assert len([claim for claim in claims if claim is not None]) == 1


async def test_finished_work_whose_lease_ran_out_passes_on_and_is_no_crash(
    scene: Scene,
) -> None:
    message = await scene.admit(question("q1"))
    first = await scene.claim(message)
    await scene.store.inbox.save_part(first, PART)
    answer = Answer(
        "because", "small", "stop", 7, notice="note", footer="foot", seconds=1.5, tokens_per_s=20.0
    )
    await scene.store.inbox.save_answer(first, answer)
    second = await scene.claim(message, 1, worker="w2")
    assert (second.attempt, second.crashes) == (2, 0)
    assert (second.parts, second.answer) == ((PART,), answer)
    assert second.fence > first.fence


async def test_two_crashes_are_counted_and_parts_pass_through_both(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    await scene.store.inbox.save_part(await scene.claim(message), PART)
    other = ReplyPart(1, "p2", "key-1")
    await scene.store.inbox.save_part(await scene.claim(message, 1), other)
    third = await scene.claim(message, 2)
    assert (third.attempt, third.crashes, third.parts) == (3, 2, (PART, other))


async def test_after_a_press_of_retry_the_crashes_before_count_no_more(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    await scene.claim(message)
    claim = await scene.claim(message, 1)
    await scene.store.inbox.finish(claim, ReplyState.FAILED, at(1))
    await scene.store.inbox.reopen(ACCOUNT, "q1", "press-1", at(2))
    assert (await scene.claim(message, 3)).crashes == 0


async def test_a_renewed_lease_lasts_longer(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    claim = await scene.claim(message)
    await scene.store.inbox.renew(claim, at(5))
    assert await scene.try_to_claim(message, 4) is None
    assert (await scene.claim(message, 5)).crashes == 1


async def test_a_lease_that_ran_out_can_be_renewed_while_nobody_took_over(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    claim = await scene.claim(message)
    await scene.store.inbox.renew(claim, at(9))
    assert await scene.try_to_claim(message, 8) is None


async def test_a_release_is_no_crash_and_claimable_at_once(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    claim = await scene.claim(message)
    await scene.store.inbox.save_part(claim, PART)
    await scene.store.inbox.release(claim)
    again = await scene.claim(message)
    assert (again.attempt, again.crashes, again.parts) == (2, 0, (PART,))


async def test_a_part_that_is_shown_anew_replaces_itself(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    claim = await scene.claim(message)
    await scene.store.inbox.save_part(claim, PART)
    await scene.store.inbox.save_part(claim, replace(PART, platform_id="newer"))
    await scene.store.inbox.release(claim)
    assert (await scene.claim(message)).parts == (replace(PART, platform_id="newer"),)


@pytest.mark.parametrize("state", [ReplyState.ANSWERED, ReplyState.CANCELLED, ReplyState.FAILED])
async def test_a_finished_message_is_never_claimed_again(scene: Scene, state: ReplyState) -> None:
    message = await scene.admit(question("q1"))
    await scene.answer(message, "because", state=state)
    assert await scene.try_to_claim(message, 60) is None
    assert await scene.store.recovery.unanswered(ACCOUNT, at(60)) == []


@each_write
async def test_a_late_writer_loses_its_lease_and_changes_nothing(
    scene: Scene, write: Callable[[Store, Claim], Awaitable[None]]
) -> None:
    message = await scene.admit(question("q1"))
    late = await scene.claim(message)
    present = await scene.claim(message, 1, worker="w2")
    with pytest.raises(LeaseLost):
        await write(scene.store, late)
    await scene.store.inbox.release(present)
    after = await scene.claim(message, 1)
    assert (after.attempt, after.parts, after.answer) == (3, (), None)


@each_write
async def test_a_withdrawn_question_takes_the_claim_with_it(
    scene: Scene, write: Callable[[Store, Claim], Awaitable[None]]
) -> None:
    claim = await scene.claim(await scene.admit(question("q1")))
    await scene.store.history.withdraw(ACCOUNT, "q1")
    with pytest.raises(LeaseLost):
        await write(scene.store, claim)
    assert await scene.try_to_claim(claim.message, 60) is None


@each_write
async def test_a_claim_ends_with_its_attempt(
    scene: Scene, write: Callable[[Store, Claim], Awaitable[None]]
) -> None:
    claim = await scene.claim(await scene.admit(question("q1")))
    await scene.store.inbox.finish(claim, ReplyState.ANSWERED, at(1))
    with pytest.raises(LeaseLost):
        await write(scene.store, claim)


@each_write
async def test_the_claim_of_a_purged_message_meets_no_other(
    scene: Scene, write: Callable[[Store, Claim], Awaitable[None]]
) -> None:
    purged = await scene.claim(await scene.admit(question("q1")))
    await scene.store.recovery.purge(at(1))
    message = await scene.admit(question("q2"), 2)
    present = await scene.claim(message, 2)
    with pytest.raises(LeaseLost):
        await write(scene.store, purged)
    await scene.store.inbox.release(present)
    after = await scene.claim(message, 3)
    assert (after.attempt, after.parts, after.answer) == (2, (), None)
