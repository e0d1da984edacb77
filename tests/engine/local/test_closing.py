"""Closing the engine: whoever waits is told, the worker ends."""

import asyncio
import logging
import threading

import pytest

from bot.engine.base import (
    Finished,
    FinishReason,
    Loading,
)
from bot.engine.local.engine import TransformersEngine
from bot.errors import (
    EngineUnavailable,
)
from tests.checkpoints import PROMPTS
from tests.engine.engines import (
    LONG,
    MakeEngine,
    request_for,
)
from tests.engine.held_loads import HeldLoads


async def test_closing_ends_running_answers_and_joins_the_worker(make_engine: MakeEngine) -> None:
    engine = make_engine()
    await engine.load("smollm")
    async with engine.stream(request_for("smollm", PROMPTS[0], LONG)) as stream:
        await anext(stream)
        await engine.close()
        *_, last = [event async for event in stream]
    assert isinstance(last, Finished)
    assert last.reason is FinishReason.CANCELLED
    assert "engine" not in {thread.name for thread in threading.enumerate()}
    assert engine.resident() == ()
    await engine.close()
    with pytest.raises(EngineUnavailable):
        await engine.start()


async def test_closing_while_a_model_loads_ends_the_load_at_its_next_piece(
    engine: TransformersEngine, held_loads: HeldLoads, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine.stream(request_for("smollm", "hello")) as stream:
        assert isinstance(await anext(stream), Loading)
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        held_loads.may_go.set()
        await closing
        *_, last = [event async for event in stream]
    assert isinstance(last, Finished)
    assert last.reason is FinishReason.CANCELLED
    assert len(held_loads.pieces) == 1
    assert engine.resident() == ()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_closing_tells_whoever_waits_for_a_load_or_an_unload(
    engine: TransformersEngine, held_loads: HeldLoads
) -> None:
    await engine.start()
    begun = asyncio.Event()
    loading = asyncio.create_task(engine.load("smollm", lambda _fraction: begun.set()))
    await begun.wait()
    waiting = [
        loading,
        asyncio.create_task(engine.load("blenderbot")),
        asyncio.create_task(engine.unload("smollm")),
    ]
    await asyncio.sleep(0)
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)
    held_loads.may_go.set()
    await closing
    async with asyncio.timeout(60):
        ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(end) for end in ends] == ["The engine is shutting down."] * 3
    assert len(held_loads.pieces) == 1


async def test_an_engine_that_never_started_closes(make_engine: MakeEngine) -> None:
    engine = make_engine()
    await engine.unload("smollm")
    assert engine.resident() == ()
    await engine.close()
