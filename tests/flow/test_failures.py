"""What goes wrong around an answer costs neither the answer nor anybody else's."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typing_extensions import override

from bot.adapter import Progress
from bot.engine.base import EngineEvent, GenerationRequest, Loading
from bot.errors import MessageGone, PlatformUnavailable
from bot.messages import (
    Attachment,
    ReplyTarget,
    ReplyView,
)
from bot.store.ports.records import Answer
from tests.doubles.scripted import (
    ACCOUNT,
    START,
    Indicator,
    ScriptedAdapter,
    ScriptedEngine,
    command,
    question,
)
from tests.running_flow import running_flow, until


def refuse_to_work(target: ReplyTarget) -> object:
    raise PlatformUnavailable("no typing now")


async def test_a_sign_of_work_that_fails_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        monkeypatch.setattr(flow.adapter, "working", refuse_to_work)
        await flow.submit(question("hello"))
        await flow.settle("q1")
        assert flow.said("q1") == "You said: hello"


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
        assert flow.said("q1") == "You said: hello"


async def test_a_finished_answer_is_delivered_however_many_processes_died_with_it(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.orchestrator.drain(0)
        await flow.submit(question("hello"))
        message = (await flow.store.recovery.unanswered(ACCOUNT, START))[0]
        for _ in range(2):
            later = flow.clock() + timedelta(minutes=1)
            claim = await flow.store.inbox.claim(message.id, "dead", flow.clock(), later)
            assert claim is not None
            await flow.store.inbox.save_answer(claim, Answer("finished before"))
            await flow.store.recovery.take_over(ACCOUNT)
    async with running_flow(tmp_path) as flow:
        await flow.settle("q1")
        assert flow.said("q1") == "finished before"


async def test_an_answer_that_a_restart_delivers_has_the_buttons_that_were_wanted(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        for key, value in (("buttons", "minimal"), ("streaming", "off")):
            wanted = {"key": key, "value": value, "scope": "me"}
            await flow.submit(command("settings set", wanted, key))
            await flow.settle(key)
        flow.adapter.failures = [PlatformUnavailable("away")] * 1000
        await flow.submit(question("hello"))
        await until(lambda: len(flow.adapter.failures) < 1000)
        await flow.orchestrator.drain(0)
    async with running_flow(tmp_path) as flow:
        await flow.settle("q1")
        (message,) = flow.platform.messages("q1")
        assert (message.text, message.actions) == ("You said: hello", ["retry"])
        assert flow.engine.requests == []


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


async def test_ask_checks_its_question_as_any_other(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(command("ask", {"question": "a\x1bb\x00c"}, "c1"))
        await flow.submit(command("ask", {"question": "x" * 100_000}, "c2"))
        await flow.settle("c1", "c2")
        assert flow.engine.requests[-1].turns[-1].text == "abc"
        assert "100,000 characters" in flow.said("c2")


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
