"""Models that nobody uses leave the memory, but for those that are to stay."""

import pytest

from bot.engine.local import engine as local_engine
from bot.engine.local.engine import TransformersEngine
from bot.engine.local.models_in_memory import IDLE_S
from bot.engine.local.step_loop import StepLoop
from tests.checkpoints import PROMPTS
from tests.engine.engines import MakeEngine, read, request_for


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def unload_idle(engine: TransformersEngine) -> set[str]:
    worker, step_loop = engine.worker, engine._loop  # pyright: ignore[reportPrivateUsage]
    assert worker is not None
    assert isinstance(step_loop, StepLoop)
    await worker.run(step_loop.memory.unload_idle)
    return {resident.name for resident in engine.resident()}


async def test_a_model_that_nobody_asked_for_lately_is_unloaded(make_engine: MakeEngine) -> None:
    clock = Clock()
    engine = make_engine(monotonic=clock, kept=lambda: ("llama",), pinned=("t5",))
    for model in ("llama", "t5", "smollm", "qwen3"):
        await engine.load(model)
    clock.now_s = IDLE_S - 1
    await read(engine, request_for("qwen3", PROMPTS[0]))
    assert await unload_idle(engine) == {"llama", "t5", "smollm", "qwen3"}
    clock.now_s = IDLE_S + 1
    assert await unload_idle(engine) == {"llama", "t5", "qwen3"}
    clock.now_s = 3 * IDLE_S
    assert await unload_idle(engine) == {"llama", "t5"}


async def test_a_pinned_model_makes_no_room_for_another(make_engine: MakeEngine) -> None:
    probe = make_engine()
    await probe.load("smollm")
    await probe.load("llama")
    sizes = [resident.weight_bytes + resident.cache_bytes for resident in probe.resident()]
    engine = make_engine(memory_budget_bytes=max(sizes) + 1000, pinned=("smollm",))
    await engine.load("smollm")
    answer = await read(engine, request_for("llama", PROMPTS[0]))
    assert "needs" in (answer.finished.error or "")
    assert [resident.name for resident in engine.resident()] == ["smollm"]


async def test_idle_models_are_looked_for_without_anybody_asking(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_engine, "IDLE_CHECK_S", 0.001)
    monkeypatch.setattr("bot.engine.local.models_in_memory.IDLE_S", 0)
    engine = make_engine()
    await engine.load("smollm")
    while engine.resident():
        await read(engine, request_for("nobody", "hello"))
    assert engine.resident() == ()
