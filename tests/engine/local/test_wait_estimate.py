"""Those who wait: their place, how long it will take, and being told when that is too long."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.engine.base import Finished, FinishReason, Priority, SamplingParameters, TextDelta, Waiting
from bot.engine.local.engine import TransformersEngine
from bot.engine.local.wait_estimate import WaitEstimate
from tests.checkpoints import PROMPTS
from tests.engine.engines import GREEDY, MakeEngine, read, request_for

LONG = SamplingParameters(temperature=0.0, max_tokens=200, stops_repetition=False)


def test_nothing_is_expected_before_an_answer_was_measured() -> None:
    assert WaitEstimate().expected_s(3, 1) is None


def test_the_wait_grows_with_the_place_and_shrinks_with_the_answers_at_once() -> None:
    estimate = WaitEstimate()
    estimate.note(8.0)
    assert estimate.expected_s(1, 1) == 8
    assert estimate.expected_s(3, 4) == 6
    estimate.note(18.0)
    assert estimate.expected_s(1, 1) == pytest.approx(10)


async def test_whoever_waits_is_told_the_place_each_time_it_changes(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(max_rows=1)
    await read(engine, request_for("smollm", PROMPTS[0]))
    async with engine.stream(request_for("smollm", PROMPTS[0], LONG)) as running:
        await anext(running)
        later = [
            asyncio.create_task(read(engine, request_for("smollm", text))) for text in PROMPTS[1:4]
        ]
        async for _event in running:
            pass
    answers = await asyncio.gather(*later)
    places = [[e for e in answer.events if isinstance(e, Waiting)] for answer in answers]
    assert [[event.position for event in each] for each in places] == [[1], [2, 1], [3, 2, 1]]
    assert all(event.expected_s is not None for each in places for event in each)
    assert isinstance(answers[2].events[0], Waiting)


async def test_nobody_is_told_to_wait_where_there_is_room(engine: TransformersEngine) -> None:
    answer = await read(engine, request_for("smollm", PROMPTS[0]))
    assert not any(isinstance(event, Waiting) for event in answer.events)


class Clock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


async def test_whoever_would_wait_past_the_deadline_is_told_at_once(
    make_engine: MakeEngine,
) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    engine = make_engine(max_rows=1, monotonic=Clock(), clock=lambda: now)
    await read(engine, request_for("smollm", PROMPTS[0]))
    async with engine.stream(request_for("smollm", PROMPTS[0], LONG)) as running:
        await anext(running)
        soon = request_for("smollm", PROMPTS[1], deadline=now + timedelta(seconds=1))
        refused = await read(engine, soon)
        assert refused.finished.reason is FinishReason.ERROR
        assert "busy" in (refused.finished.error or "")
        later = replace(soon, deadline=now + timedelta(hours=1))
        waiting = asyncio.create_task(read(engine, later))
        async for _event in running:
            pass
    assert (await waiting).finished.error is None


async def test_a_flood_gives_one_of_its_places_to_somebody_else(make_engine: MakeEngine) -> None:
    engine = make_engine(max_rows=1, max_waiting=3)
    await engine.load("smollm")
    flooding, other = ("a", "x"), ("a", "y")
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            engine.stream(request_for("smollm", PROMPTS[0], LONG, fairness_key=flooding))
        )
        await anext(running)
        flood = [
            asyncio.create_task(read(engine, request_for("smollm", text, fairness_key=flooding)))
            for text in PROMPTS[1:4]
        ]
        await asyncio.sleep(0)
        asked = asyncio.create_task(
            read(engine, request_for("smollm", PROMPTS[5], fairness_key=other))
        )
        async for _event in running:
            pass
    assert (await asked).finished.error is None
    ends = [answer.finished.error for answer in await asyncio.gather(*flood)]
    assert [bool(error) for error in ends] == [False, False, True]
    assert "busy" in (ends[2] or "")


@pytest.mark.parametrize("model", ["llama", "t5", "blenderbot"])
async def test_a_background_answer_gives_way_and_is_none_the_worse(
    make_engine: MakeEngine, model: str
) -> None:
    engine = make_engine(max_rows=1)
    long = replace(GREEDY, max_tokens=60)
    whole = await read(engine, request_for(model, PROMPTS[0], long))
    ended: list[str] = []

    async def ask(name: str) -> None:
        await read(engine, request_for(model, PROMPTS[1]))
        ended.append(name)

    request = request_for(model, PROMPTS[0], long, priority=Priority.BACKGROUND)
    async with engine.stream(request) as stream:
        text = ""
        urgent: asyncio.Task[None] | None = None
        async for event in stream:
            if isinstance(event, TextDelta):
                text += event.text
                urgent = urgent or asyncio.create_task(ask("urgent"))
            if isinstance(event, Finished):
                ended.append("background")
                assert event.error is None
        assert urgent is not None
        await urgent
    assert text == whole.text
    assert ended[0] == "urgent" or len(whole.text) < 10
