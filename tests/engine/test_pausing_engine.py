"""A pause: everybody is told, memory is free, and afterwards all is as before."""

import asyncio
from pathlib import Path

import pytest

from bot.engine.base import Finished, FinishReason, SamplingParameters
from bot.engine.local.engine import TransformersEngine
from bot.engine.pausing_engine import PausingEngine
from bot.errors import EngineUnavailable
from bot.models.pause import STATE, heed, mark
from bot.store.sql.store import SqlStore
from tests.checkpoints import PROMPTS
from tests.engine.engines import MakeEngine, read, request_for

LONG = SamplingParameters(temperature=0.0, max_tokens=200, stops_repetition=False)


@pytest.fixture
def pausing(engine: TransformersEngine) -> PausingEngine:
    return PausingEngine(engine)


def is_told(event: object) -> bool:
    return (
        isinstance(event, Finished)
        and event.reason is FinishReason.ERROR
        and "paused" in (event.error or "")
    )


async def test_a_pause_ends_running_and_waiting_answers_and_frees_the_models(
    make_engine: MakeEngine,
) -> None:
    pausing = PausingEngine(make_engine(max_rows=1))
    await pausing.load("smollm")
    async with pausing.stream(request_for("smollm", PROMPTS[0], LONG)) as running:
        await anext(running)
        waiting = asyncio.create_task(read(pausing, request_for("smollm", PROMPTS[1])))
        await asyncio.sleep(0)
        pause = asyncio.create_task(pausing.pause())
        *_, last = [event async for event in running]
        assert is_told(last)
    assert is_told((await waiting).finished)
    await pause
    assert pausing.resident() == ()


async def test_while_paused_nobody_is_answered_and_nothing_loaded(pausing: PausingEngine) -> None:
    whole = await read(pausing, request_for("smollm", PROMPTS[0]))
    await pausing.pause()
    assert is_told((await read(pausing, request_for("smollm", PROMPTS[0]))).finished)
    with pytest.raises(EngineUnavailable, match="paused"):
        await pausing.load("smollm")
    assert pausing.resident() == ()
    pausing.resume()
    assert (await read(pausing, request_for("smollm", PROMPTS[0]))).text == whole.text


async def test_only_an_owner_in_their_terminal_sees_how_to_resume(
    make_engine: MakeEngine,
) -> None:
    for is_owners in (False, True):
        pausing = PausingEngine(make_engine(), is_owners=is_owners)
        await pausing.pause()
        finished = (await read(pausing, request_for("smollm", PROMPTS[0]))).finished
        assert is_told(finished)
        assert ("`fireside resume`" in (finished.error or "")) is is_owners


async def test_the_engine_follows_the_mark_in_the_store(
    pausing: PausingEngine, tmp_path: Path
) -> None:
    await pausing.load("smollm")
    async with await SqlStore.open(tmp_path) as store:
        state = store.adapter_state(STATE)
        heeding = asyncio.create_task(heed(state, pausing, look_s=0.001))
        assert await mark(state, is_paused=True)
        async with asyncio.timeout(60):
            while pausing.resident() or not pausing.is_paused:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
            assert await mark(state, is_paused=False)
            while pausing.is_paused:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
        heeding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await heeding
    assert (await read(pausing, request_for("smollm", PROMPTS[0]))).finished.error is None
