"""Why an answer has not begun is told: in the sign of work, or in the reply itself."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from typing_extensions import override

from bot.engine.base import EngineEvent, GenerationRequest, Loading, TextDelta, Waiting
from bot.messages import Author
from bot.reply.progress import SOON_S, telling, why_nothing_comes
from tests.doubles.scripted import BEN, ScriptedEngine, command, question
from tests.running_flow import Flow, running_flow, until


class QueueingEngine(ScriptedEngine):
    """Says first that it waits, then what it always says, once its gate is open."""

    def __init__(self, *first: EngineEvent) -> None:
        super().__init__()
        self.first = first

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        for event in self.first:
            yield event
        async for event in super()._events(request):
            yield event


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (Waiting(3, 12.4), ("Place 3 in the queue, about 12 s", None)),
        (Waiting(1, None), ("Place 1 in the queue", None)),
        (Waiting(1, 2.0), None),
        (Waiting(2, 2.4), ("Place 2 in the queue, about 2 s", None)),
        (Loading("large", 0.5), ("Loading large", 0.5)),
    ],
)
def test_a_wait_is_told_unless_it_ends_within_two_seconds(
    event: Waiting | Loading, told: tuple[str, float | None] | None
) -> None:
    assert why_nothing_comes(event) == told


class Patience:
    """What is told of an answer, and a clock that stands still until two seconds are let pass."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.passed = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        assert seconds == SOON_S
        await self.passed.wait()
        self.passed.clear()

    async def tell(self, text: str, fraction: float | None) -> None:
        self.told.append(text)

    async def two_seconds(self) -> None:
        """Let them pass, for whoever waits for that."""
        self.passed.set()
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_wait_that_lasts_longer_than_expected_is_told_after_two_seconds() -> None:
    patience = Patience()
    async with telling(patience.tell, patience.sleep) as hear:
        await hear(Waiting(2, 1.4))
        assert patience.told == []
        await patience.two_seconds()
        assert patience.told == ["Place 2 in the queue, about 2 s"]
        await hear(Waiting(1, 0.6))

    assert patience.told[1:] == ["Place 1 in the queue, about 2 s"]


@pytest.mark.parametrize("event", [TextDelta("so"), Loading("small", 0.5), Waiting(1, 9.0)])
async def test_a_wait_that_ended_or_was_told_is_not_told_after_two_seconds(
    event: EngineEvent,
) -> None:
    patience = Patience()
    async with telling(patience.tell, patience.sleep) as hear:
        await hear(Waiting(2, 1.4))
        await asyncio.sleep(0)
        await hear(event)
        before = len(patience.told)
        await patience.two_seconds()

        assert len(patience.told) == before


async def test_questions_and_commands_tell_what_they_wait_for_when_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.reply.progress.SOON_S", 0.01)
    engine = QueueingEngine(Waiting(3, 0.005))
    engine.gate.clear()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("hello"))
        await flow.submit(command("translate", {"text": "hallo"}, "c1", BEN))
        given = {"question": "why?", "models": "small,large"}
        await flow.submit(command("compare", given, "c2", Author("cem", "Cem")))
        await until(lambda: len(flow.adapter.indicator.told) == 3)
        engine.gate.set()
        await flow.settle("q1", "c1", "c2")
        told = {one.text for one in flow.adapter.indicator.told}

    assert told == {"Place 3 in the queue, about 0 s"}


async def shown_while_waiting(flow: Flow) -> str:
    flow.engine.gate.clear()
    await flow.submit(question("hello"))
    await until(lambda: bool(flow.platform.messages("q1")))
    return flow.platform.answer("q1")


async def test_the_place_in_the_queue_stands_in_the_reply_until_it_begins(tmp_path: Path) -> None:
    engine = QueueingEngine(Waiting(3, 12.4))
    async with running_flow(tmp_path, engine=engine, tells_progress=False) as flow:
        assert await shown_while_waiting(flow) == "\N{HOURGLASS} Place 3 in the queue, about 12 s"
        assert flow.platform.messages("q1")[0].actions == ["stop"]
        engine.gate.set()
        await flow.settle("q1")
        (message,) = flow.platform.messages("q1")

    assert message.text == "You said: hello"


async def test_without_streaming_the_wait_is_told_all_the_same(tmp_path: Path) -> None:
    engine = QueueingEngine(Waiting(2, None))
    async with running_flow(tmp_path, engine=engine, tells_progress=False) as flow:
        settings = {"key": "streaming", "value": "off", "scope": "me"}
        await flow.submit(command("settings set", settings))
        await flow.settle("c1")
        assert await shown_while_waiting(flow) == "\N{HOURGLASS} Place 2 in the queue"
        engine.gate.set()
        await flow.settle("q1")
        (message,) = flow.platform.messages("q1")

    assert message.text == "You said: hello"
    assert message.edits == 1


async def test_a_sign_of_work_with_words_says_it_itself(tmp_path: Path) -> None:
    engine = QueueingEngine(Waiting(3, 12.4), Loading("small", 0.5))
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("hello"))
        await flow.settle("q1")
        told = [(one.text, one.fraction) for one in flow.adapter.indicator.told]
        (message,) = flow.platform.messages("q1")

    assert told == [("Place 3 in the queue, about 12 s", None), ("Loading small", 0.5)]
    assert "Place" not in message.text


async def test_commands_that_take_time_tell_it_too(tmp_path: Path) -> None:
    engine = QueueingEngine(Waiting(2, 30), Loading("large", 0.25))
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(command("translate", {"text": "hallo"}))
        given = {"question": "why?", "models": "small,large", "blind": "yes"}
        await flow.submit(command("compare", given, "c2"))
        await flow.settle("c1", "c2")
        told = [one.text for one in flow.adapter.indicator.told]

    waits = "Place 2 in the queue, about 30 s"
    assert told == [waits, "Loading large", waits, "Loading a model", waits, "Loading a model"]
