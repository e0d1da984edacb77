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
    IncomingMessage,
    MessageDeleted,
    MessageEdited,
    Quoted,
    Removed,
    ReplyTarget,
    ReplyView,
)
from tests.doubles.scripted import (
    ANN,
    BEN,
    CHANNEL,
    DIRECT,
    START,
    ScriptedEngine,
    command,
    question,
)
from tests.running_flow import OFTEN, Clock, running_flow, until


async def test_a_question_is_answered(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("hello"))
        await flow.settle("q1")
        assert flow.said("q1") == "You said: hello"


async def test_the_same_event_twice_is_answered_once(tmp_path: Path) -> None:
    async with running_flow(tmp_path, limits=OFTEN) as flow:
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


async def test_a_question_sees_the_context_as_it_was_at_its_arrival(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("of Ann", "q1", ANN), question("of Ben", "q2", BEN))
        engine.gate.set()
        await flow.settle("q1", "q2")
        assert [turn.text for turn in flow.asked(1)] == ["of Ben"]
        await flow.submit(question("later", "q3", BEN))
        await flow.settle("q3")
        assert [turn.text for turn in flow.asked()] == [
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
        assert [turn.text for turn in flow.asked()] == ["in private"]


async def test_the_context_survives_a_restart(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("before", "q1"))
        await flow.settle("q1")
        await flow.orchestrator.drain(10)
    async with running_flow(tmp_path, clock=Clock(START + timedelta(hours=1))) as flow:
        await flow.submit(question("after", "q2"))
        await flow.settle("q2")
        assert [turn.text for turn in flow.asked()] == ["before", "You said: before", "after"]


async def test_reset_starts_afresh(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("before", "q1"))
        await flow.settle("q1")
        await flow.submit(command("reset"))
        await flow.settle("c1")
        await flow.submit(question("after", "q2"))
        await flow.settle("q2")
        assert [turn.text for turn in flow.asked()] == ["after"]


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
        text = flow.asked()[-1].text
        await flow.submit(question("and then?", "q2"))
        await flow.settle("q2")
        assert "Ben:\n> a riddle" in text
        assert "notes.txt:\nnotes" in text
        assert "photo.png is attached" in text
        assert "riddle" not in flow.asked()[0].text


@pytest.mark.parametrize("text", ["", "   \n\t ", "\x00\x07\x1b"])
async def test_an_empty_question_gets_a_short_help(tmp_path: Path, text: str) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question(text))
        await flow.settle("q1")
        assert "/help" in flow.said("q1")
        assert flow.engine.requests == []


async def test_a_megabyte_is_refused_with_the_limit(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("x" * 1_000_000))
        await flow.settle("q1")
        assert "1,000,000 characters" in flow.said("q1")
        assert flow.engine.requests == []


async def test_control_characters_go_and_writing_stays(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("a\x1b[31mb\u202ec \u05e9\u05dc\u05d5\u05dd e\u0301 👩\u200d💻"))
        await flow.settle("q1")
        assert flow.asked()[-1].text == "a[31mbc \u05e9\u05dc\u05d5\u05dd e\u0301 👩\u200d💻"


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
        assert flow.said("q1").startswith("word word")
        assert flow.said("q1").endswith("(Stopped.)")
        assert engine.left_early == 1
        engine.gate.clear()
        await flow.submit(question("and now?", "q2"))
        await until(lambda: len(engine.requests) == 2)
        assert flow.asked()[1].text.endswith("word")


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
        assert [turn.text for turn in flow.asked()] == ["later"]
        assert flow.said("q2") == ""


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
        assert flow.asked()[0].text == "typo"


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
            assert flow.said("q1").startswith("Something went wrong")
    assert "ValueError" in caplog.text
    assert "my secret" not in caplog.text


async def test_an_answer_without_words_is_not_silence(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(lambda request: "")) as flow:
        await flow.submit(question("hello"))
        await flow.settle("q1")
        assert "no answer" in flow.said("q1")


async def test_a_platform_that_refuses_ends_the_message_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        post = flow.adapter.post

        async def refuse_the_first(target: ReplyTarget, view: ReplyView, key: str) -> str:
            if target.handle == "q1":
                raise PlatformError("gone")
            return await post(target, view, key)

        monkeypatch.setattr(flow.adapter, "post", refuse_the_first)
        await flow.submit(question("hello", "q1"))
        await flow.submit(question("again", "q2"))
        await flow.settle("q2")
        await flow.orchestrator.drain(10)
        assert flow.said("q1") == ""
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
        assert "waited too long" in flow.said("q1")
        assert flow.said("q2") == "You said: private"


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
        assert "broke down twice" in flow.said("q1")
