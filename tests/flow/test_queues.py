"""Who waits behind whom, and how many may."""

from dataclasses import replace
from pathlib import Path

from bot.errors import PlatformUnavailable
from bot.flow.queues import Limits
from bot.messages import Author
from tests.doubles.scripted import (
    ANN,
    BEN,
    CHANNEL,
    Platform,
    ScriptedAdapter,
    ScriptedEngine,
    question,
)
from tests.running_flow import running_flow, until


async def test_questions_of_one_author_are_answered_in_order_with_their_context(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("one", "q1"), question("two", "q2"))
        await flow.settle("q1", "q2")
        assert [turn.text for turn in flow.asked()] == ["one", "You said: one", "two"]


async def test_ten_people_in_one_channel_are_served_at_once(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        for number in range(10):
            author = Author(f"member{number}", f"Member {number}")
            await flow.submit(question("hello", f"q{number}", author))
        await until(lambda: len(engine.requests) == 10)
        engine.gate.set()
        await flow.settle(*(f"q{number}" for number in range(10)))
        assert len(flow.platform.messages()) == 10


async def test_a_full_queue_says_busy_and_loses_nothing(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    limits = Limits(max_waiting=3, rescan_s=0.01)
    async with running_flow(tmp_path, engine=engine, limits=limits) as flow:
        for number in range(4):
            author = Author(f"member{number}", f"Member {number}")
            await flow.submit(question("hello", f"q{number}", author))
        await flow.settle("q3")
        assert "busy" in flow.said("q3")
        engine.gate.set()
        await flow.settle("q0", "q1", "q2")


async def test_one_author_cannot_fill_the_queue(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    limits = Limits(max_waiting_of_one=2, rescan_s=60)
    async with running_flow(tmp_path, engine=engine, limits=limits) as flow:
        await flow.submit(*(question("hello", f"q{number}") for number in range(5)))
        await flow.submit(question("hello", "other", BEN))
        await flow.settle("q4")
        assert "You have 2 questions waiting" in flow.said("q4")
        engine.gate.set()
        await flow.settle("other", "q0", "q1", "q2")


async def test_a_thread_for_each_question_makes_no_room_for_a_flood(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    limits = Limits(max_waiting=12, max_waiting_of_one=2, rescan_s=60)
    threads = [replace(CHANNEL, thread_id=f"t{number}") for number in range(8)]
    async with running_flow(tmp_path, engine=engine, limits=limits) as flow:
        await flow.submit(*(question("flood", f"f-{one.thread_id}", ANN, one) for one in threads))
        await flow.submit(question("hello", "other", BEN))
        await flow.settle("f-t7")
        assert "You have 2 questions waiting" in flow.said("f-t7")
        engine.gate.set()
        await flow.settle("other", "f-t0", "f-t1", "f-t2")
        assert flow.said("other") == "You said: hello"


async def test_nobody_is_refused_because_of_anothers_flood(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    limits = Limits(max_waiting=4, max_waiting_of_one=1, rescan_s=60)
    channels = [replace(CHANNEL, channel_id=f"c{number}") for number in range(8)]
    async with running_flow(tmp_path, engine=engine, limits=limits) as flow:
        await flow.submit(*(question("flood", one.channel_id, ANN, one) for one in channels))
        members = [Author(f"m{number}", f"M{number}") for number in range(3)]
        await flow.submit(*(question("hello", one.id, one) for one in members))
        engine.gate.set()
        await flow.settle("c7", *(one.id for one in members))
        assert "busy" in flow.said("c7")
        assert all("hello" in flow.said(one.id) for one in members)


async def test_idle_conversations_leave_memory(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(*(question("hello", f"q{n}", Author(f"m{n}", "M")) for n in range(5)))
        await flow.settle(*(f"q{n}" for n in range(5)))
        await flow.orchestrator.drain(5)
        assert flow.orchestrator.in_memory() == 0


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


async def test_what_was_taken_before_a_restart_is_answered_before_what_is_asked_after_it(
    tmp_path: Path,
) -> None:
    limits = Limits(max_waiting_of_one=20, rescan_s=60)
    names = [f"q{number}" for number in range(8)]
    async with running_flow(tmp_path, limits=limits) as flow:
        await flow.orchestrator.drain(0)
        await flow.submit(*(question("before", name) for name in names[:-1]))
    limits = Limits(max_waiting_of_one=1, rescan_s=0.01)
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine, limits=limits) as flow:
        await until(lambda: bool(engine.requests))
        engine.gate.set()
        await flow.settle("q0")
        await flow.submit(question("after", names[-1]))
        await flow.settle(*names)
        shown = [message.target for message in flow.platform.messages()]
        assert [one for one in shown if one != names[-1]] == names[:-1]
        assert shown[-1] == names[-1] or "waiting already" in flow.said(names[-1])


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


async def test_a_long_wait_in_a_living_queue_is_answered(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("first", "q1"), question("second", "q2"))
        await until(lambda: bool(engine.requests))
        flow.clock.move(minutes=20)
        engine.gate.set()
        await flow.settle("q1", "q2")
        assert flow.said("q2") == "You said: second"
