"""What fails while an answer is made, and the death of the worker: told, and survived."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NoReturn

import pytest
import torch

from bot.engine.base import (
    Finished,
    FinishReason,
)
from bot.engine.batching.causal import CausalBatch
from bot.engine.batching.row import Row
from bot.engine.local import models_in_memory
from bot.engine.local.engine import TransformersEngine
from bot.engine.local.step_loop import StepLoop
from bot.engine.worker import WorkerState
from bot.errors import (
    EngineUnavailable,
)
from tests.checkpoints import PROMPTS
from tests.engine.engines import (
    LONG,
    MakeEngine,
    read,
    request_for,
)


async def test_running_out_of_memory_ends_one_answer_and_is_told(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.load("smollm")

    def exhausted(_self: CausalBatch) -> NoReturn:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(CausalBatch, "_next_chunks", exhausted)
        answer = await read(engine, request_for("smollm", "hello"))
    assert "memory ran out" in (answer.finished.error or "")
    assert (await read(engine, request_for("smollm", "hello"))).finished.error is None


async def test_logits_that_are_not_numbers_and_other_failures_are_told(
    engine: TransformersEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await engine.load("smollm")

    words = "what somebody wrote"

    step = CausalBatch.step

    def nan(self: CausalBatch) -> Sequence[Row]:
        ready = step(self)
        for row in ready:
            row.logits = torch.full((600,), float("nan"))
        return ready

    def secret(_self: CausalBatch) -> NoReturn:
        raise ValueError(words)

    with monkeypatch.context() as patch:
        patch.setattr(CausalBatch, "step", nan)
        answer = await read(engine, request_for("smollm", "hello"))
        assert "not a number" in (answer.finished.error or "")
        patch.setattr(CausalBatch, "_next_chunks", secret)
        answer = await read(engine, request_for("smollm", "hello"))
        assert "Something went wrong" in (answer.finished.error or "")
    assert "ValueError" in caplog.text
    assert words not in caplog.text
    assert words not in (answer.finished.error or "")


async def test_a_dead_worker_is_told_to_all_and_the_next_request_starts_another(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.load("smollm")
    dying = engine.worker
    assert dying is not None

    def die(_self: StepLoop) -> NoReturn:
        raise SystemError("the worker is broken")

    streams = [request_for("smollm", text, LONG) for text in PROMPTS[:2]]
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(engine.stream(each)) for each in streams]
        await anext(opened[0])
        with monkeypatch.context() as patch:
            patch.setattr(StepLoop, "step", die)
            for stream in opened:
                *_, last = [event async for event in stream]
                assert isinstance(last, Finished)
                assert last.reason is FinishReason.ERROR
                assert "Ask again" in (last.error or "")
    assert dying.state is WorkerState.DEAD
    assert engine.resident() == ()
    answer = await read(engine, request_for("smollm", "hello"))
    assert answer.finished.error is None
    assert engine.worker is not dying


async def test_a_load_ends_with_an_error_when_the_worker_dies(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.start()

    def die(_self: StepLoop) -> NoReturn:
        raise SystemError

    monkeypatch.setattr(StepLoop, "step", die)
    with pytest.raises(EngineUnavailable):
        await engine.load("smollm")


async def test_a_death_that_a_start_overtakes_is_told_too(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.load("smollm")
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "engine")

    def die(_self: StepLoop) -> NoReturn:
        raise SystemError

    async with engine.stream(request_for("smollm", PROMPTS[0], LONG)) as stream:
        await anext(stream)
        with monkeypatch.context() as patch:
            patch.setattr(StepLoop, "step", die)
            thread.join(60)  # the event loop is busy with this while the worker dies
        await engine.start()
        async with asyncio.timeout(60):
            *_, last = [event async for event in stream]
    assert isinstance(last, Finished)
    assert "Ask again" in (last.error or "")
    assert (await read(engine, request_for("smollm", "hello"))).finished.error is None


async def test_an_engine_that_cannot_import_torch_says_so(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_name: str) -> NoReturn:
        raise ImportError("No module named 'torch'")

    monkeypatch.setattr("importlib.import_module", missing)
    engine = make_engine()
    with pytest.raises(EngineUnavailable, match="No module named 'torch'"):
        await engine.start()
    answer = await read(engine, request_for("smollm", "hello"))
    assert "cannot start" in (answer.finished.error or "")


async def test_an_engine_whose_start_failed_starts_with_the_next_request(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_driver() -> NoReturn:
        raise RuntimeError("CUDA driver initialization failed")

    with monkeypatch.context() as patch:
        patch.setattr(models_in_memory, "choose_device", no_driver)
        with pytest.raises(EngineUnavailable, match="CUDA driver initialization failed"):
            await engine.start()
        answer = await read(engine, request_for("smollm", "hello"))
        assert "cannot start" in (answer.finished.error or "")
    assert (await read(engine, request_for("smollm", "hello"))).finished.error is None


async def test_a_start_that_was_cancelled_leaves_nothing_and_the_next_one_succeeds(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go = threading.Event()
    choose_device = models_in_memory.choose_device

    def choose_when_allowed() -> torch.device:
        assert may_go.wait(60)
        return choose_device()

    monkeypatch.setattr(models_in_memory, "choose_device", choose_when_allowed)
    asking = asyncio.create_task(read(engine, request_for("smollm", "hello")))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not engine._sinks  # pyright: ignore[reportPrivateUsage]
    may_go.set()
    assert (await read(engine, request_for("smollm", "hello"))).finished.error is None
