"""What goes wrong around an answer costs neither the answer nor anybody else's."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typing_extensions import override

from bot.adapter import Progress
from bot.engine.base import EngineEvent, GenerationRequest, Loading
from bot.errors import MessageGone, PlatformUnavailable, StoreUnavailable
from bot.messages import (
    Action,
    ActionInvoked,
    Attachment,
    Author,
    MessageDeleted,
    ReplyTarget,
    ReplyView,
)
from bot.orchestrator import Limits
from bot.store.ports.inbox import Claim
from bot.store.ports.records import Answer
from tests.flow import Flow, running_flow, until
from tests.scripted import (
    ACCOUNT,
    ANN,
    BEN,
    CHANNEL,
    START,
    Indicator,
    Platform,
    ScriptedAdapter,
    ScriptedEngine,
    command,
    question,
)


def said(flow: Flow, target: str) -> str:
    return flow.platform.answer(target)


def refuse_to_work(target: ReplyTarget) -> object:
    raise PlatformUnavailable("no typing now")


async def test_a_sign_of_work_that_fails_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        monkeypatch.setattr(flow.adapter, "working", refuse_to_work)
        await flow.submit(question("hello"))
        await flow.settle("q1")
        assert said(flow, "q1") == "You said: hello"


async def test_a_progress_notice_that_fails_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LoadingEngine(ScriptedEngine):
        @override
        async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
            yield Loading("small", 0.5)
            async for event in super()._events(request):
                yield event

    async def fail(self: Indicator, progress: Progress) -> None:
        raise PlatformUnavailable("no status now")

    monkeypatch.setattr(Indicator, "update", fail)
    async with running_flow(tmp_path, engine=LoadingEngine()) as flow:
        await flow.submit(question("hello"))
        await flow.settle("q1")
        assert said(flow, "q1") == "You said: hello"


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


async def test_a_finished_answer_that_broke_two_processes_is_failed(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.orchestrator.drain(0)
        await flow.submit(question("hello"))
        message = (await flow.store.recovery.unanswered(ACCOUNT, START))[0]
        for _ in range(2):
            later = flow.clock() + timedelta(minutes=1)
            claim = await flow.store.inbox.claim(message.id, "dead", flow.clock(), later)
            assert claim is not None
            await flow.store.inbox.save_answer(claim, Answer("the one that kills"))
            await flow.store.recovery.take_over(ACCOUNT)
    async with running_flow(tmp_path) as flow:
        await flow.settle("q1")
        assert "broke down twice" in said(flow, "q1")


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
        assert said(flow, "q1") == "You said: hello"
        assert failures == []


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
        assert said(flow, "q1") == "You said: hello"


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


async def test_questions_after_a_reset_that_waits_are_kept(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("slow", "q0"), command("reset"), question("I am Bob", "q1"))
        engine.gate.set()
        await flow.settle("q0", "c1", "q1")
        await flow.submit(question("who am I?", "q2"))
        await flow.settle("q2")
        turns = [turn.text for turn in engine.requests[-1].turns]
        assert "I am Bob" in turns
        assert "slow" not in turns


async def test_a_restart_refuses_nothing_that_was_taken(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    limits = Limits(max_waiting_of_one=3, rescan_s=0.01)
    names = [f"q{number}" for number in range(4)]
    async with running_flow(tmp_path, engine=engine, limits=limits) as flow:
        await flow.submit(question("first", names[0]))
        await until(lambda: bool(engine.requests))
        await flow.submit(*(question("more", name) for name in names[1:]))
    async with running_flow(tmp_path, limits=limits) as flow:
        await flow.settle(*names)
        assert not any(message.is_error for message in flow.platform.messages())


async def test_a_platform_that_is_away_keeps_no_other_waiting(tmp_path: Path) -> None:
    limits = Limits(max_waiting=3, rescan_s=60)
    async with running_flow(tmp_path, limits=limits) as flow:
        flow.adapter.failures = [PlatformUnavailable("away")] * 1000
        other = ScriptedAdapter(Platform(tmp_path / "other.jsonl"), account="other:bot")
        flow.orchestrator.attach(other)
        members = [Author(f"m{number}", "M") for number in range(4)]
        await flow.submit(*(question("hello", f"q-{one.id}", one) for one in members))
        await flow.orchestrator.submit("other:bot", question("hello", "b1", BEN))
        await until(lambda: any(message.is_last for message in other.platform.messages("b1")))
        assert other.platform.answer("b1") == "You said: hello"


async def test_a_stop_reaches_a_message_while_it_is_claimed(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("hello"))
        await flow.submit(ActionInvoked("x", CHANNEL, ANN, Action.STOP, "q1"))
        await flow.settle("q1")
        assert said(flow, "q1") == "(Stopped.)"


async def test_ask_checks_its_question_as_any_other(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(command("ask", {"question": "a\x1bb\x00c"}, "c1"))
        await flow.submit(command("ask", {"question": "x" * 100_000}, "c2"))
        await flow.settle("c1", "c2")
        assert flow.engine.requests[-1].turns[-1].text == "abc"
        assert "100,000 characters" in said(flow, "c2")


async def test_a_later_question_sees_what_the_earlier_one_brought(tmp_path: Path) -> None:
    event = question("what is in it?\x00  ", "q1")
    event = replace(event, attachments=(Attachment("a.txt", "text/plain", 3, "the file"),))
    async with running_flow(tmp_path) as flow:
        await flow.submit(event)
        await flow.settle("q1")
        await flow.submit(question("and?", "q2"))
        await flow.settle("q2")
        first, second = flow.engine.requests
        assert (
            first.turns[-1].text
            == second.turns[1].text
            == ("what is in it?\n\nThe file a.txt:\nthe file")
        )


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
        assert said(flow, "q1") == "You said: slow"


async def test_a_long_wait_in_a_living_queue_is_answered(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("first", "q1"), question("second", "q2"))
        await until(lambda: bool(engine.requests))
        flow.clock.move(minutes=20)
        engine.gate.set()
        await flow.settle("q1", "q2")
        assert said(flow, "q2") == "You said: second"


async def test_a_part_that_somebody_deleted_does_not_fail_the_rest(tmp_path: Path) -> None:
    class Moderated(ScriptedAdapter):
        @override
        async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
            if view is not None and view.index == 0:
                raise MessageGone("deleted")
            await super().edit(target, message_id, view)

    async with running_flow(tmp_path, max_chars=20) as flow:
        moderated = Moderated(flow.platform, account="moderated:bot")
        flow.orchestrator.attach(moderated)
        await flow.orchestrator.submit("moderated:bot", question("one two three four five six"))
        await flow.settle("q1")
        assert "six" in flow.platform.messages()[-1].text


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
