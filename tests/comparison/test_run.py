"""One question to several models: each is asked, whatever became of the others."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from typing_extensions import override

from bot.comparison.run import Comparison, Contestant, compare
from bot.conversation import Role, Turn
from bot.engine.base import (
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    Loading,
    ReasoningDelta,
    SamplingParameters,
    TextDelta,
    Usage,
)
from bot.errors import ModelNotInstalled, UnknownModel
from tests.doubles.scripted import ScriptedEngine

QUESTION = (Turn(Role.USER, "why?"),)
MISSING = ModelNotInstalled("smol is not installed; run `fireside models pull smol`.")


class HalfInstalledEngine(ScriptedEngine):
    """An engine without the model smol."""

    @override
    @asynccontextmanager
    async def _stream(
        self, request: GenerationRequest
    ) -> AsyncGenerator[AsyncIterator[EngineEvent], None]:
        if request.model == "smol":
            raise MISSING
        async with super()._stream(request) as events:
            yield events


def request(model: str) -> GenerationRequest:
    if model == "nonsense":
        raise UnknownModel("There is no model nonsense.")
    return GenerationRequest(model, QUESTION, SamplingParameters(max_tokens=len(model)))


async def asked(engine: ScriptedEngine, *models: str) -> dict[str, list[EngineEvent]]:
    found: dict[str, list[EngineEvent]] = {model: [] for model in models}
    async for model, event in compare(engine, models, request):
        found[model].append(event)
    return found


async def test_each_model_gets_its_own_request() -> None:
    engine = ScriptedEngine()
    found = await asked(engine, "fireside", "flan", "fireside")

    assert [request.model for request in engine.requests] == ["fireside", "flan"]
    assert {request.turns for request in engine.requests} == {QUESTION}
    assert [request.sampling.max_tokens for request in engine.requests] == [8, 4]
    for events in found.values():
        assert isinstance(events[-1], Finished)


async def test_a_model_that_cannot_answer_says_so_and_the_next_is_asked() -> None:
    found = await asked(HalfInstalledEngine(), "smol", "nonsense", "flan")

    assert found["smol"] == [Finished(FinishReason.ERROR, Usage(), MISSING.text)]
    assert [event.error for event in found["nonsense"] if isinstance(event, Finished)] == [
        "There is no model nonsense."
    ]
    assert found["flan"][0] == TextDelta("You")


async def test_leaving_early_stops_the_model_that_is_answering() -> None:
    engine = ScriptedEngine()
    async with aclosing(compare(engine, ["fireside", "flan"], request)) as events:
        await anext(events)

    assert engine.left_early == 1
    assert len(engine.requests) == 1


def test_loading_is_no_time_of_the_answer() -> None:
    comparison = Comparison(["fireside", "flan"], 100.0)
    for time_s, event in (
        (101.0, Loading("fireside", 0.5)),
        (104.0, Loading("fireside", 1.0)),
        (105.0, ReasoningDelta("hm")),
        (106.0, TextDelta("Be")),
        (106.5, TextDelta("cause")),
    ):
        comparison.apply("fireside", event, time_s)
    usage = Usage(generated_tokens=2, tokens_per_s=12.5)
    ended = comparison.apply("fireside", Finished(FinishReason.STOP, usage), 107.0)

    assert (ended.text, ended.duration_s, ended.tokens_per_s) == ("Because", 3.0, 12.5)
    assert ended.has_answered
    assert comparison.contestants == (ended, Contestant("flan", began_s=107.0))


@pytest.mark.parametrize(
    ("reason", "has_answered"),
    [(FinishReason.LENGTH, True), (FinishReason.TIME, True), (FinishReason.ERROR, False)],
)
def test_an_answer_cut_at_a_limit_is_one_and_an_error_is_none(
    reason: FinishReason, has_answered: bool
) -> None:
    ended = Contestant("flan").after(Finished(reason, Usage(), "why"), 1.0)

    assert ended.has_answered is has_answered
    assert (ended.error, ended.duration_s) == ("why", None)
