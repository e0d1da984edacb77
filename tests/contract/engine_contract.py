"""What every engine must do, whatever runs behind it.

A test module subclasses `EngineContract` and gives an `engine` fixture, and `model`, a model that
is installed there. Answers are not compared with anything: only the protocol is.
"""

import asyncio

from bot.conversation import Role, Turn
from bot.engine.base import (
    Engine,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    Loading,
    ReasoningDelta,
    SamplingParameters,
    TextDelta,
)

SHORT = SamplingParameters(temperature=0.0, max_tokens=8)


def asking(
    model: str, text: str = "hello, how are you?", sampling: SamplingParameters = SHORT
) -> GenerationRequest:
    """A request with one question."""
    return GenerationRequest(model, (Turn(Role.USER, text),), sampling)


async def events_of(engine: Engine, request: GenerationRequest) -> list[EngineEvent]:
    """Everything that comes of a request."""
    async with engine.stream(request) as stream:
        return [event async for event in stream]


class EngineContract:
    """The suite."""

    async def test_there_is_exactly_one_finished_and_it_comes_last(
        self, engine: Engine, model: str
    ) -> None:
        events = await events_of(engine, asking(model))
        assert [isinstance(event, Finished) for event in events].count(True) == 1
        assert isinstance(events[-1], Finished)
        assert events[-1].reason in (FinishReason.STOP, FinishReason.LENGTH)
        assert events[-1].error is None

    async def test_deltas_are_never_empty_and_loading_comes_before_them(
        self, engine: Engine, model: str
    ) -> None:
        events = await events_of(engine, asking(model))
        kinds = [isinstance(event, Loading) for event in events]
        assert kinds == sorted(kinds, reverse=True)
        deltas = [event for event in events if isinstance(event, TextDelta | ReasoningDelta)]
        assert all(delta.text for delta in deltas)

    async def test_usage_counts_prompt_and_answer(self, engine: Engine, model: str) -> None:
        last = (await events_of(engine, asking(model)))[-1]
        assert isinstance(last, Finished)
        assert last.usage.prompt_tokens > 0
        assert 0 < last.usage.generated_tokens <= SHORT.max_tokens

    async def test_greedy_answers_are_the_same_every_time(self, engine: Engine, model: str) -> None:
        answers = [
            [e.text for e in await events_of(engine, asking(model)) if isinstance(e, TextDelta)]
            for _ in range(2)
        ]
        assert "".join(answers[0]) == "".join(answers[1])

    async def test_an_unknown_model_is_told_and_not_raised(self, engine: Engine) -> None:
        events = await events_of(engine, asking("no-such-model"))
        assert len(events) == 1
        last = events[0]
        assert isinstance(last, Finished)
        assert last.reason is FinishReason.ERROR
        assert "no-such-model" in (last.error or "")

    async def test_leaving_the_block_early_leaves_the_engine_usable(
        self, engine: Engine, model: str
    ) -> None:
        long = asking(
            model,
            sampling=SamplingParameters(temperature=0.0, max_tokens=400, stops_repetition=False),
        )
        async with engine.stream(long) as stream:
            async for event in stream:
                if not isinstance(event, Loading):
                    break
        assert isinstance((await events_of(engine, asking(model)))[-1], Finished)

    async def test_answers_asked_for_at_once_all_come(self, engine: Engine, model: str) -> None:
        asked = [events_of(engine, asking(model, f"question {number}")) for number in range(3)]
        for events in await asyncio.gather(*asked):
            assert isinstance(events[-1], Finished)
            assert events[-1].reason is not FinishReason.ERROR

    async def test_a_loaded_model_is_resident_and_answers_without_loading(
        self, engine: Engine, model: str
    ) -> None:
        await engine.load(model)
        assert model in [resident.name for resident in engine.resident()]
        events = await events_of(engine, asking(model))
        assert not any(isinstance(event, Loading) for event in events)

    async def test_after_closing_requests_are_told(self, engine: Engine, model: str) -> None:
        await engine.close()
        last = (await events_of(engine, asking(model)))[-1]
        assert isinstance(last, Finished)
        assert last.reason is FinishReason.ERROR
        assert last.error
