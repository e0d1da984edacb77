"""/inspect, through the whole flow."""

from collections.abc import AsyncGenerator
from pathlib import Path

from typing_extensions import override

from bot.engine.base import (
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    TextDelta,
    Trace,
    TracedToken,
    Usage,
)
from bot.messages import Author, MessageDeleted
from tests.doubles.scripted import (
    ANN,
    BEN,
    CHANNEL,
    DIRECT,
    Posted,
    ScriptedEngine,
    command,
    question,
)
from tests.running_flow import Clock, Flow, running_flow, until

MANAGER = Author("mia", "Mia", can_manage=True)
TRACE = Trace(
    "<|user|>why?<|end|>\n``` in between\n",
    (
        TracedToken("Be", (("Be", 0.75), (" So", 0.25))),
        TracedToken("</s>", (("cause", 0.5), ("\n", 0.25), ("</s>", 0.125))),
    ),
)
USAGE = Usage(120, 80, 7, 3, 0.25, 40.0, 12)


class TracingEngine(ScriptedEngine):
    """Tells how its answers came about, where it was asked to."""

    trace: Trace | None = TRACE

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        yield TextDelta("Because.")
        trace = self.trace if request.traced_tokens else None
        yield Finished(FinishReason.STOP, USAGE, trace=trace)


async def asked(flow: Flow, target: str = "q1", author: Author = ANN) -> None:
    await flow.submit(question("why?", target, author))
    await flow.settle(target)
    await until(lambda: flow.orchestrator.in_memory() == 0)


async def inspected(flow: Flow, author: Author = ANN, where: object = None) -> Posted:
    identifier = f"i{len(flow.platform.messages())}"
    place = DIRECT if where is DIRECT else CHANNEL
    await flow.submit(command("inspect", {}, identifier, author, place))
    await flow.settle(identifier)
    (message,) = flow.platform.messages(identifier)
    return message


def written(folder: Path) -> str:
    """All that is in the database's files."""
    files = list(folder.glob("fireside.db*"))
    assert files
    return "".join(file.read_bytes().decode("utf-8", "replace") for file in files)


async def test_the_last_answer_is_shown_as_its_model_saw_it(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=TracingEngine()) as flow:
        await asked(flow)
        shown = await inspected(flow)

    assert shown.is_private
    assert "**small** answered Ann at " in shown.text
    assert "Tokens: 120 in the prompt (80 of them from the cache), 7 said." in shown.text
    assert "The first word came after 0.25 s, then 40 tokens/s." in shown.text
    assert (
        "Left out to fit its window: 3 of the oldest turns, 12 tokens from the beginning of the"
        " question."
    ) in shown.text
    assert "1. [Be] 75%  ␣So 25%\n2. cause 50%  ⏎ 25%  [</s>] 12%" in shown.text
    assert "````\n<|user|>why?<|end|>\n``` in between\n\n````" in shown.text
    assert shown.picture == "The model's probabilities for the first words: Be</s>"


async def test_where_the_engine_cannot_tell_the_words_that_were_sent_are_shown(
    tmp_path: Path,
) -> None:
    engine = TracingEngine()
    engine.trace = None
    async with running_flow(tmp_path, engine=engine) as flow:
        await asked(flow)
        shown = await inspected(flow)

    assert "What was sent, in words:\n```\nsystem: Be kind.\n\nuser: why?\n```" in shown.text
    assert shown.picture is None


async def test_others_answers_are_for_who_manages_the_place(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=TracingEngine()) as flow:
        await asked(flow)
        assert "I have no answer to you here" in (await inspected(flow, BEN)).text
        assert "I have no answer to you here" in (await inspected(flow, ANN, DIRECT)).text
        assert "answered Ann" in (await inspected(flow, MANAGER)).text


async def test_after_a_restart_it_says_so(tmp_path: Path) -> None:
    clock = Clock()
    async with running_flow(tmp_path, engine=TracingEngine(), clock=clock) as flow:
        await asked(flow)
    async with running_flow(tmp_path, engine=TracingEngine(), clock=clock) as flow:
        shown = await inspected(flow)

    assert "kept in memory alone, and I was started at 2026-01-01 00:00 UTC" in shown.text
    assert "<|user|>why?" not in written(tmp_path)


async def test_forgetting_and_deleting_reach_it(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=TracingEngine()) as flow:
        await asked(flow)
        await flow.submit(MessageDeleted("q1", CHANNEL))
        assert "I have no answer" in (await inspected(flow)).text
        await asked(flow, "q2")
        await flow.submit(command("forget me", {}, "f1"))
        await flow.settle("f1")
        assert "I have no answer" in (await inspected(flow)).text


async def test_a_long_prompt_comes_whole(tmp_path: Path) -> None:
    engine = TracingEngine()
    engine.trace = Trace("tick " * 1000, ())
    async with running_flow(tmp_path, engine=engine) as flow:
        await asked(flow)
        await flow.submit(command("inspect", {}, "i1"))
        await flow.settle("i1")
        await until(lambda: flow.orchestrator.in_memory() == 0)
        shown = flow.platform.answer("i1")

    assert shown.count("tick") == 1000
