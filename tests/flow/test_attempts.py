"""Each message is claimed, answered once, and given back where it could not be."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.errors import PlatformUnavailable, StoreUnavailable
from bot.flow.queues import Limits
from bot.messages import Action, ActionInvoked, MessageDeleted, ReplyTarget, ReplyView
from bot.store.ports.inbox import Claim
from bot.store.ports.records import Answer, ReplyPart
from tests.doubles.scripted import ACCOUNT, ANN, BEN, CHANNEL, ScriptedEngine, question
from tests.running_flow import running_flow, until


async def test_stop_reaches_a_question_that_still_waits(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("one", "q1"), question("two", "q2"))
        await flow.submit(ActionInvoked("x1", CHANNEL, ANN, Action.STOP, "q2"))
        engine.gate.set()
        await flow.settle("q1", "q2")
        assert flow.said("q2") == "(Stopped.)"


async def test_a_shutdown_hands_over_what_it_could_not_finish(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("running", "q1"), question("waiting", "q2"))
        await until(lambda: bool(engine.requests))
        await flow.orchestrator.drain(0.01)
        await flow.submit(question("late", "q3"))
    assert flow.platform.messages() == []
    async with running_flow(tmp_path) as flow:
        await flow.settle("q1", "q2", "q3")
        assert flow.said("q1") == "You said: running"


async def test_a_shutdown_waits_for_an_answer_that_ends_in_time(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("hello"))
        await until(lambda: bool(engine.requests))
        draining = asyncio.ensure_future(flow.orchestrator.drain(60))
        engine.gate.set()
        await draining
        assert flow.said("q1") == "You said: hello"


async def test_a_starting_process_leaves_another_living_one_its_messages(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("running", "q1"), question("waiting", "q2"))
        await until(lambda: bool(engine.requests))
        async with running_flow(tmp_path, account="scripted:other") as other:
            await other.submit(question("beside", "q9", BEN))
            await other.settle("q9")
            assert [request.turns[-1].text for request in other.engine.requests] == ["beside"]
        engine.gate.set()
        await flow.settle("q1", "q2")
        assert flow.said("q1") == "You said: running"


async def test_an_adapter_that_breaks_ends_one_message_and_not_the_process(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        flow.adapter.failures = [RuntimeError("a bug")] * 2
        await flow.submit(question("hello"))
        await until(lambda: not flow.orchestrator.in_memory())
        await flow.submit(question("again", "q2", BEN))
        await flow.settle("q2")
        await flow.orchestrator.drain(10)
        assert await flow.store.recovery.unanswered(ACCOUNT, flow.clock()) == []


async def test_a_database_that_fails_for_a_moment_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        save, failures = flow.store.inbox.save_answer, [1, 2, 3]

        async def fail_at_first(claim: Claim, answer: Answer) -> None:
            if failures:
                failures.pop()
                raise StoreUnavailable("locked")
            await save(claim, answer)

        monkeypatch.setattr(flow.store.inbox, "save_answer", fail_at_first)
        await flow.submit(question("hello"))
        await flow.settle("q1")
        await flow.orchestrator.drain(10)
        assert flow.said("q1") == "You said: hello"
        assert failures == []


async def test_a_question_that_waits_for_the_database_keeps_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        claim, failures = flow.store.inbox.claim, [1]
        claimed: list[int] = []
        has_failed = asyncio.Event()

        async def fail_at_first(message_id: int, *given: Any) -> Claim | None:
            if failures:
                failures.pop()
                has_failed.set()
                raise StoreUnavailable("the disk is full")
            claimed.append(message_id)
            return await claim(message_id, *given)

        monkeypatch.setattr(flow.store.inbox, "claim", fail_at_first)
        await flow.submit(question("first", "q1"))
        await has_failed.wait()
        await flow.submit(question("second", "q2"))
        await flow.settle("q2")

        assert claimed == sorted(claimed)
        assert [one.text for one in flow.platform.messages()] == [
            "You said: first",
            "You said: second",
        ]


async def test_graceful_restarts_are_no_crashes(tmp_path: Path) -> None:
    for number in range(3):
        engine = ScriptedEngine()
        engine.gate.clear()
        async with running_flow(tmp_path, engine=engine) as flow:
            if number == 0:
                await flow.submit(question("hello"))
            await until(lambda engine=engine: bool(engine.requests))
            await flow.orchestrator.drain(0)
    async with running_flow(tmp_path) as flow:
        await flow.settle("q1")
        assert flow.said("q1") == "You said: hello"


async def test_a_lease_is_renewed_for_as_long_as_the_answer_takes(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    limits = Limits(lease_s=0.03, rescan_s=60)
    async with running_flow(tmp_path, engine=engine, limits=limits) as flow:
        await flow.submit(question("hello"))
        await until(lambda: bool(engine.requests))
        renewed: list[datetime] = []
        renew = flow.store.inbox.renew

        async def watch(claim: Claim, lease_until: datetime) -> None:
            await renew(claim, lease_until)
            renewed.append(lease_until)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flow.store.inbox, "renew", watch)
            await until(lambda: len(renewed) >= 3)
        assert renewed == sorted(renewed)
        engine.gate.set()
        await flow.settle("q1")


async def test_a_lease_is_renewed_when_a_third_of_it_is_over(tmp_path: Path) -> None:
    """So that two renewals may fail before another process takes the message over."""
    engine, pauses_s = ScriptedEngine(), list[float]()
    engine.gate.clear()

    async def sleep(pause_s: float) -> None:
        pauses_s.append(pause_s)
        await asyncio.sleep(3600)

    async with running_flow(tmp_path, engine=engine, limits=Limits(lease_s=90)) as flow:
        attempts: Any = flow.orchestrator._dispatcher._attempts  # pyright: ignore[reportPrivateUsage]
        attempts._sleep = sleep
        await flow.submit(question("hello"))
        await until(lambda: bool(pauses_s))
        assert pauses_s == [30]
        engine.gate.set()
        await flow.settle("q1")


async def test_a_stop_reaches_a_message_while_it_is_claimed(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("hello"))
        await flow.submit(ActionInvoked("x", CHANNEL, ANN, Action.STOP, "q1"))
        await flow.settle("q1")
        assert flow.said("q1") == "(Stopped.)"


async def test_draining_waits_for_a_message_that_is_being_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        claim, may_claim = flow.store.inbox.claim, asyncio.Event()

        async def wait_first(
            message_id: int, worker: str, now: datetime, lease_until: datetime
        ) -> Claim | None:
            if message_id == 1:
                await may_claim.wait()
            return await claim(message_id, worker, now, lease_until)

        monkeypatch.setattr(flow.store.inbox, "claim", wait_first)
        await flow.submit(question("slow", "q1", BEN), question("quick", "q2"))
        await flow.settle("q2")
        draining = asyncio.ensure_future(flow.orchestrator.drain(60))
        await asyncio.sleep(0)
        may_claim.set()
        await draining
        assert flow.said("q1") == "You said: slow"


async def test_a_question_deleted_while_it_is_answered_takes_the_answer_with_it(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(lambda request: "word " * 100_000)
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("regretted"))
        await until(lambda: bool(flow.platform.messages()))
        await flow.submit(MessageDeleted("q1", CHANNEL))
        await flow.orchestrator.drain(30)
        assert flow.platform.messages() == []


async def test_an_answer_goes_with_its_question_also_where_the_platform_is_away_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.reply.removal.PAUSES_S", (0.01, 0.01))
    engine = ScriptedEngine(lambda request: "word " * 100_000)
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("regretted"))
        await until(lambda: bool(flow.platform.messages()))
        edit, failures = flow.adapter.edit, [PlatformUnavailable("away")] * 2

        async def fail_at_first(target: ReplyTarget, shown: str, view: ReplyView | None) -> None:
            if view is None and failures:
                raise failures.pop()
            await edit(target, shown, view)

        monkeypatch.setattr(flow.adapter, "edit", fail_at_first)
        await flow.submit(MessageDeleted("q1", CHANNEL))
        await until(lambda: flow.orchestrator.in_memory() == 0)
        assert flow.platform.messages() == []
        assert failures == []


async def test_a_question_deleted_while_it_waits_takes_what_was_shown_before_with_it(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("slow", "q1"), question("regretted", "q2"))
        await until(lambda: bool(engine.requests))
        [waiting] = await flow.store.recovery.unanswered(ACCOUNT, flow.clock())
        lease = flow.clock() + timedelta(seconds=60)
        claim = await flow.store.inbox.claim(waiting.id, "another", flow.clock(), lease)
        assert claim is not None
        shown = flow.platform.post(ReplyTarget("q2"), ReplyView("half of", stable_chars=4), "k.0")
        await flow.store.inbox.save_part(claim, ReplyPart(0, shown, "k.0"))
        await flow.store.inbox.release(claim)
        await flow.submit(MessageDeleted("q2", CHANNEL))
        await until(lambda: flow.platform.messages("q2") == [])
        engine.gate.set()
        await flow.settle("q1")
        assert flow.said("q1") == "You said: slow"
