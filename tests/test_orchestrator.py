"""The flow from an event to its one answer."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

import pytest

from bot.conversation import Role, Turn
from bot.engine.base import GenerationRequest
from bot.errors import PlatformError, StoreUnavailable
from bot.messages import (
    Action,
    ActionInvoked,
    Attachment,
    Author,
    IncomingMessage,
    MessageDeleted,
    MessageEdited,
    Quoted,
    Removed,
)
from bot.orchestrator import Limits
from tests.flow import Clock, Flow, running_flow, until
from tests.scripted import ANN, BEN, CHANNEL, DIRECT, START, ScriptedEngine, command, question


def said(flow: Flow, target: str) -> str:
    return flow.platform.answer(target)


def asked(flow: Flow, number: int = -1) -> list[Turn]:
    return [turn for turn in flow.engine.requests[number].turns if turn.role is not Role.SYSTEM]


async def test_a_question_is_answered(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("hello"))
        await flow.settle("q1")
        assert said(flow, "q1") == "You said: hello"


async def test_the_same_event_twice_is_answered_once(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("hello"), question("hello"))
        await flow.settle("q1")
        await flow.submit(question("hello"))
        await asyncio.sleep(0.05)
        assert len(flow.engine.requests) == 1
        assert len(flow.platform.messages()) == 1


async def test_simultaneous_deliveries_of_one_event_are_answered_once(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await asyncio.gather(*(flow.submit(question("hello")) for _ in range(8)))
        await flow.settle("q1")
        assert len(flow.platform.messages()) == 1


async def test_questions_of_one_author_are_answered_in_order_with_their_context(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("one", "q1"), question("two", "q2"))
        await flow.settle("q1", "q2")
        assert [turn.text for turn in asked(flow)] == ["one", "You said: one", "two"]


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


async def test_a_question_sees_the_context_as_it_was_at_its_arrival(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("of Ann", "q1", ANN), question("of Ben", "q2", BEN))
        engine.gate.set()
        await flow.settle("q1", "q2")
        assert [turn.text for turn in asked(flow, 1)] == ["of Ben"]
        await flow.submit(question("later", "q3", BEN))
        await flow.settle("q3")
        assert [turn.text for turn in asked(flow)] == [
            "Ann: of Ann",
            "You said: of Ann",
            "Ben: of Ben",
            "You said: of Ben",
            "Ben: later",
        ]


async def test_conversations_do_not_mix(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("in the channel", "q1"))
        await flow.settle("q1")
        await flow.submit(question("in private", "q2", conversation=DIRECT))
        await flow.settle("q2")
        assert [turn.text for turn in asked(flow)] == ["in private"]


async def test_the_context_survives_a_restart(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("before", "q1"))
        await flow.settle("q1")
        await flow.orchestrator.drain(10)
    async with running_flow(tmp_path, clock=Clock(START + timedelta(hours=1))) as flow:
        await flow.submit(question("after", "q2"))
        await flow.settle("q2")
        assert [turn.text for turn in asked(flow)] == ["before", "You said: before", "after"]


async def test_reset_starts_afresh(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("before", "q1"))
        await flow.settle("q1")
        await flow.submit(command("reset"))
        await flow.settle("c1")
        await flow.submit(question("after", "q2"))
        await flow.settle("q2")
        assert [turn.text for turn in asked(flow)] == ["after"]


async def test_the_persona_is_the_system_turn(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("hello"))
        await flow.settle("q1")
        assert flow.engine.requests[0].turns[0] == Turn(Role.SYSTEM, "Be kind.")


async def test_what_a_question_quotes_and_brings_is_part_of_it_and_not_stored(
    tmp_path: Path,
) -> None:
    event = question("what is this?")
    full = IncomingMessage(
        event.id,
        event.conversation,
        event.author,
        event.text,
        event.addressed,
        event.sent_at,
        event.target,
        quoted=(Quoted(BEN, "a riddle"),),
        attachments=(
            Attachment("notes.txt", "text/plain", 5, "notes"),
            Attachment("photo.png", "image/png", 9),
        ),
    )
    async with running_flow(tmp_path) as flow:
        await flow.submit(full)
        await flow.settle("q1")
        text = asked(flow)[-1].text
        await flow.submit(question("and then?", "q2"))
        await flow.settle("q2")
        assert "Ben:\n> a riddle" in text
        assert "notes.txt:\nnotes" in text
        assert "photo.png is attached" in text
        assert "riddle" not in asked(flow)[0].text


@pytest.mark.parametrize("text", ["", "   \n\t ", "\x00\x07\x1b"])
async def test_an_empty_question_gets_a_short_help(tmp_path: Path, text: str) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question(text))
        await flow.settle("q1")
        assert "/help" in said(flow, "q1")
        assert flow.engine.requests == []


async def test_a_megabyte_is_refused_with_the_limit(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("x" * 1_000_000))
        await flow.settle("q1")
        assert "1,000,000 characters" in said(flow, "q1")
        assert flow.engine.requests == []


async def test_control_characters_go_and_writing_stays(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("a\x1b[31mb\u202ec \u05e9\u05dc\u05d5\u05dd e\u0301 👩\u200d💻"))
        await flow.settle("q1")
        assert asked(flow)[-1].text == "a[31mbc \u05e9\u05dc\u05d5\u05dd e\u0301 👩\u200d💻"


async def test_stop_ends_the_answer_and_keeps_what_was_said(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda request: "word " * 100_000)
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("go on"))
        await until(lambda: bool(flow.platform.messages()))
        stranger = ActionInvoked("x0", CHANNEL, BEN, Action.STOP, "q1")
        await flow.submit(stranger)
        assert not any(message.is_last for message in flow.platform.messages())
        await flow.submit(ActionInvoked("x1", CHANNEL, ANN, Action.STOP, "q1"))
        await flow.settle("q1")
        assert said(flow, "q1").startswith("word word")
        assert said(flow, "q1").endswith("(Stopped.)")
        assert engine.left_early == 1
        engine.gate.clear()
        await flow.submit(question("and now?", "q2"))
        await until(lambda: len(engine.requests) == 2)
        assert asked(flow)[1].text.endswith("word")


async def test_stop_reaches_a_question_that_still_waits(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("one", "q1"), question("two", "q2"))
        await flow.submit(ActionInvoked("x1", CHANNEL, ANN, Action.STOP, "q2"))
        engine.gate.set()
        await flow.settle("q1", "q2")
        assert said(flow, "q2") == "(Stopped.)"


async def test_a_full_queue_says_busy_and_loses_nothing(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    limits = Limits(max_waiting=3, rescan_s=0.01)
    async with running_flow(tmp_path, engine=engine, limits=limits) as flow:
        for number in range(4):
            author = Author(f"member{number}", f"Member {number}")
            await flow.submit(question("hello", f"q{number}", author))
        await flow.settle("q3")
        assert "busy" in said(flow, "q3")
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
        assert "You have 2 questions waiting" in said(flow, "q4")
        engine.gate.set()
        await flow.settle("other", "q0", "q1", "q2")


async def test_a_deleted_question_leaves_the_context_and_stops(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("secret", "q1"))
        await flow.settle("q1")
        engine.gate.clear()
        await flow.submit(question("regretted", "q2"))
        await until(lambda: len(engine.requests) == 2)
        await flow.submit(MessageDeleted("q1", CHANNEL), MessageDeleted("q2", CHANNEL))
        engine.gate.set()
        await flow.submit(question("later", "q3"))
        await flow.settle("q3")
        assert [turn.text for turn in asked(flow)] == ["later"]
        assert said(flow, "q2") == ""


async def test_what_is_cached_goes_with_a_deleted_question_alone(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("secret", "q1"))
        await flow.settle("q1")
        await flow.submit(MessageDeleted("somebody else's", CHANNEL))
        await flow.submit(question("later", "q2"))
        await flow.settle("q2")
        assert flow.engine.forgotten == []
        await flow.submit(MessageDeleted("q1", CHANNEL))
        await until(lambda: bool(flow.engine.forgotten))


async def test_an_edited_question_counts_as_edited_later_on(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("tpyo", "q1"))
        await flow.settle("q1")
        await flow.submit(MessageEdited("q1", CHANNEL, "typo", START), question("next", "q2"))
        await flow.settle("q2")
        assert asked(flow)[0].text == "typo"


async def test_the_bot_takes_part_where_it_was_addressed(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("hello"), Removed("scripted", "elsewhere"))
        assert await flow.services.takes_part(CHANNEL)
        assert not await flow.services.takes_part(DIRECT)


async def test_an_engine_that_fails_is_told_and_no_text_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: GenerationRequest) -> str:
        raise ValueError(f"cannot answer {request.turns[-1].text}")

    with caplog.at_level(logging.DEBUG):
        async with running_flow(tmp_path, engine=ScriptedEngine(fail)) as flow:
            await flow.submit(question("my secret"))
            await flow.settle("q1")
            assert said(flow, "q1").startswith("Something went wrong")
    assert "ValueError" in caplog.text
    assert "my secret" not in caplog.text


async def test_an_answer_without_words_is_not_silence(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(lambda request: "")) as flow:
        await flow.submit(question("hello"))
        await flow.settle("q1")
        assert "no answer" in said(flow, "q1")


async def test_a_platform_that_refuses_ends_the_message_as_failed(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        flow.adapter.failures = [PlatformError("gone")] * 3
        await flow.submit(question("hello", "q1"))
        await flow.submit(question("again", "q2"))
        await flow.settle("q2")
        await flow.orchestrator.drain(10)
        assert said(flow, "q1") == ""
        left = await flow.store.recovery.unanswered("scripted:bot", START + timedelta(days=9))
        assert left == []


async def test_an_event_that_cannot_be_stored_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:

        async def refuse(*given: object) -> None:
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(flow.store.inbox, "admit", refuse)
        with pytest.raises(StoreUnavailable):
            await flow.submit(question("hello"))
        monkeypatch.undo()
        await flow.submit(question("hello"))
        await flow.settle("q1")


async def test_a_question_left_too_long_is_honestly_failed(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("public", "q1"), question("private", "q2", ANN, DIRECT))
        await flow.orchestrator.drain(0)
    async with running_flow(tmp_path, clock=Clock(START + timedelta(minutes=16))) as flow:
        await flow.settle("q1", "q2")
        assert "waited too long" in said(flow, "q1")
        assert said(flow, "q2") == "You said: private"


async def test_a_message_that_broke_two_processes_is_failed(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.orchestrator.drain(0)
        await flow.submit(question("hello"))
        message = (await flow.store.recovery.unanswered("scripted:bot", START))[0]
        for _ in range(2):
            later = flow.clock() + timedelta(minutes=1)
            assert await flow.store.inbox.claim(message.id, "dead", flow.clock(), later)
            await flow.store.recovery.take_over("scripted:bot")
    async with running_flow(tmp_path) as flow:
        await flow.settle("q1")
        assert "broke down twice" in said(flow, "q1")


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
        assert said(flow, "q1") == "You said: running"


async def test_a_shutdown_waits_for_an_answer_that_ends_in_time(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("hello"))
        await until(lambda: bool(engine.requests))
        draining = asyncio.ensure_future(flow.orchestrator.drain(60))
        engine.gate.set()
        await draining
        assert said(flow, "q1") == "You said: hello"


async def test_idle_conversations_leave_memory(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(*(question("hello", f"q{n}", Author(f"m{n}", "M")) for n in range(5)))
        await flow.settle(*(f"q{n}" for n in range(5)))
        await flow.orchestrator.drain(5)
        assert flow.orchestrator.in_memory() == 0


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
        assert said(flow, "q1") == "You said: running"
