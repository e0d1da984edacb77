"""Why an answer has not begun is told: in the sign of work, or in the reply itself."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from typing_extensions import override

from bot.engine.base import EngineEvent, GenerationRequest, Loading, Waiting
from bot.waiting import why_nothing_comes
from tests.flow import Flow, running_flow, until
from tests.scripted import ScriptedEngine, command, question


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
        (Loading("large", 0.5), ("Loading large", 0.5)),
    ],
)
def test_a_wait_is_told_unless_it_ends_within_two_seconds(
    event: Waiting | Loading, told: tuple[str, float | None] | None
) -> None:
    assert why_nothing_comes(event) == told


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
