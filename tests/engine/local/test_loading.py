"""Models come into memory and leave it: progress, room, threads, others going on meanwhile."""

import asyncio
import gc
import logging
import shutil
import socket
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch

from bot.engine.base import (
    Finished,
    FinishReason,
    Loading,
)
from bot.engine.batching import batch
from bot.engine.batching.batch_check import Agreement
from bot.engine.batching.causal import CausalBatch
from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint.blueprint import Blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.local import models_in_memory
from bot.engine.local.engine import TransformersEngine
from bot.engine.local.step_loop import StepLoop
from bot.engine.past_runs import PastRuns
from bot.engine.run_mode import Cause, RunMode
from bot.errors import (
    ModelNotInstalled,
    ModelTooLarge,
)
from config.catalogue import ModelEntry
from tests.checkpoints import PROMPTS, TINY
from tests.engine.engines import (
    GREEDY,
    LONG,
    MakeEngine,
    folder_of,
    in_worker,
    load_tensors,
    packed,
    read,
    request_for,
    save_tensors,
)
from tests.engine.held_loads import HeldLoads


async def test_a_request_loads_the_model_and_tells_how_far_it_is(
    engine: TransformersEngine,
) -> None:
    answer = await read(engine, request_for("smollm", PROMPTS[0]))
    fractions = [loading.fraction for loading in answer.loads]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert len(fractions) > 3
    again = await read(engine, request_for("smollm", PROMPTS[0]))
    assert again.loads == []
    assert again.text == answer.text


async def test_one_load_however_many_ask(engine: TransformersEngine) -> None:
    told: list[list[float]] = [[], [], []]
    await asyncio.gather(*(engine.load("smollm", fractions.append) for fractions in told))
    assert len(told[0]) > 3
    assert [fractions[-1] for fractions in told] == [1, 1, 1]
    assert [fractions.count(1) for fractions in told] == [1, 1, 1]
    assert [resident.name for resident in engine.resident()] == ["smollm"]
    resident = engine.resident()[0]
    assert resident.weight_bytes > 0
    assert resident.cache_bytes > 0
    assert resident.mode is not None
    assert (resident.mode.precision, resident.mode.is_batched) == ("fp32", True)


async def test_unloading_waits_for_running_answers_and_frees_the_model(
    engine: TransformersEngine,
) -> None:
    await engine.load("smollm")
    checkpoint = await in_worker(engine, _weak_model)
    async with engine.stream(request_for("smollm", "why?", LONG)) as stream:
        await anext(stream)
        unloading = asyncio.create_task(engine.unload("smollm"))
        events = [event async for event in stream]
        assert isinstance(events[-1], Finished)
        assert events[-1].reason is not FinishReason.ERROR
    await unloading
    assert engine.resident() == ()
    gc.collect()
    assert checkpoint() is None
    await engine.unload("smollm")
    assert (await read(engine, request_for("smollm", "why?"))).finished.error is None


def _weak_model(step_loop: StepLoop) -> Callable[[], object]:
    resident = step_loop.memory.residency.peek("smollm")
    assert resident is not None
    return weakref.ref(resident.model.checkpoint.model)


async def test_a_model_that_does_not_fit_is_refused_with_sizes_and_a_smaller_one(
    make_engine: MakeEngine, entries: Mapping[str, ModelEntry]
) -> None:
    large = entries["llama"].model_copy(update={"weight_bytes": 1 << 22})
    missing = entries["t5"].model_copy(update={"weight_bytes": 1 << 21})

    def locate(entry: ModelEntry) -> Path:
        if entry.name == "t5":
            raise ModelNotInstalled("not here")
        return folder_of(entry)

    engine = make_engine(
        entries={"llama": large, "t5": missing, "smollm": entries["smollm"]},
        locate=locate,
        memory_budget_bytes=1000,
    )
    answer = await read(engine, request_for("llama", "hello"))
    error = answer.finished.error or ""
    assert answer.finished.reason is FinishReason.ERROR
    assert "needs" in error
    assert "0 MiB may be used" in error
    assert "smollm" in error
    with pytest.raises(ModelTooLarge):
        await engine.load("smollm")
    assert engine.resident() == ()


async def test_an_idle_model_is_evicted_for_another_and_a_busy_one_is_waited_for(
    make_engine: MakeEngine,
) -> None:
    probe = make_engine()
    await probe.load("smollm")
    await probe.load("llama")
    sizes = [resident.weight_bytes + resident.cache_bytes for resident in probe.resident()]
    await probe.close()
    engine = make_engine(memory_budget_bytes=max(sizes) + 1000)
    await engine.load("smollm")
    await engine.load("llama")
    assert [resident.name for resident in engine.resident()] == ["llama"]
    async with engine.stream(request_for("llama", PROMPTS[0], LONG)) as stream:
        await anext(stream)
        other = asyncio.create_task(read(engine, request_for("smollm", PROMPTS[0])))
        loading = asyncio.create_task(engine.load("smollm"))
        events = [event async for event in stream]
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.generated_tokens > 0
    assert events[-1].error is None
    assert (await other).finished.error is None
    await loading
    assert [resident.name for resident in engine.resident()] == ["smollm"]


def _pretend_to_run_on(device: torch.device, step_loop: StepLoop) -> None:
    step_loop.memory._device = device  # pyright: ignore[reportPrivateUsage]


async def test_an_evicted_model_gives_its_memory_of_the_gpu_back(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("cache"))
    for device, expected in (("cpu", []), ("cuda", ["cache"])):
        await engine.load("smollm")
        await in_worker(engine, partial(_pretend_to_run_on, torch.device(device)))
        await engine.unload("smollm")
        assert emptied == expected


async def test_answers_of_other_models_go_on_while_one_is_loading(
    engine: TransformersEngine,
) -> None:
    await engine.load("smollm")
    order: list[str] = []
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            engine.stream(request_for("smollm", PROMPTS[0], LONG))
        )
        await anext(running)

        async def follow() -> None:
            nonlocal order
            async for event in running:
                order += [type(event).__name__]

        following = asyncio.create_task(follow())
        await engine.load("blenderbot", lambda _fraction: order.append("Loading"))
        await following
    first, last = order.index("Loading"), len(order) - order[::-1].index("Loading")
    assert "TextDelta" in order[first:last]


async def test_a_question_that_comes_while_its_model_loads_is_told_how_far_it_is(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_asked = threading.Event()

    def load_when_asked(blueprint: Blueprint, on_piece: Callable[[float], None]) -> Checkpoint:
        assert has_asked.wait(60)
        return load_checkpoint(blueprint, on_piece)

    monkeypatch.setattr(models_in_memory, "load_checkpoint", load_when_asked)
    loading = asyncio.create_task(engine.load("smollm"))
    while not engine.resident():  # noqa: ASYNC110 - the worker says so, no event of the loop does
        await asyncio.sleep(0.001)
    async with engine.stream(request_for("smollm", "hello")) as events:
        has_asked.set()
        assert isinstance(await anext(events), Loading)
    await loading


async def test_leaving_while_the_model_loads_is_no_failure(
    engine: TransformersEngine, held_loads: HeldLoads, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine.stream(request_for("smollm", "hello")) as stream:
        assert isinstance(await anext(stream), Loading)
    held_loads.may_go.set()
    assert (await read(engine, request_for("smollm", "hello"))).finished.error is None
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_the_engine_starts_one_thread(engine: TransformersEngine) -> None:
    before = set(threading.enumerate())
    await read(engine, request_for("smollm", "hello"))
    await read(engine, request_for("blenderbot", "hello"))
    assert len(set(threading.enumerate()) - before) == 1


async def test_loading_contacts_nobody(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def refused(_self: socket.socket, address: object) -> NoReturn:
        tried.append(address)
        raise OSError("the tests have no network")

    def looked_up(host: object, *_args: object) -> NoReturn:
        tried.append(host)
        raise OSError("the tests have no network")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket.socket, "connect_ex", refused)
    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    for name in TINY:
        assert (await read(engine, request_for(name, "hello"))).finished.error is None
    assert tried == []


def test_on_a_cpu_slow_in_bf16_a_small_checkpoint_in_half_precision_runs_in_fp32(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bot.engine.checkpoint import blueprint as opening

    monkeypatch.setattr(opening, "is_packed_faster", packed(if_any=False))
    folder = Path(shutil.copytree(checkpoints["smollm"], tmp_path / "copy"))
    tensors = load_tensors(folder / "model.safetensors")
    halves = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    save_tensors(halves, folder / "model.safetensors")
    cpu, entry = torch.device("cpu"), TINY["smollm"].entry(folder)
    small = opening.read_blueprint(entry, folder, cpu, exact=False)
    assert (small.dtype, small.kernel) == (torch.float32, "fp32")
    large = replace(small.weights, elements=opening.SMALL_BYTES)
    assert opening.choose_dtype(large, cpu, exact=False) is torch.bfloat16
    assert opening.choose_dtype(large, cpu, exact=True) is torch.float32
    assert opening.choose_dtype(large, torch.device("cuda"), exact=False) is torch.bfloat16
    monkeypatch.setattr(opening, "is_packed_faster", packed(if_any=True))
    assert opening.choose_dtype(small.weights, cpu, exact=False) is torch.bfloat16


@pytest.mark.parametrize("name", TINY)
async def test_the_estimate_of_a_batch_is_what_its_caches_really_take(
    engine: TransformersEngine, name: str
) -> None:
    def measure(step_loop: StepLoop) -> tuple[int, int]:
        resident = step_loop.memory.residency.peek(name)
        assert resident is not None
        batch = resident.model.batch
        assert isinstance(batch, SlotBatch)
        row = Row(resident.model.checkpoint, [5] * 40, GREEDY)
        estimate = batch.bytes_with(1, 40, 8)
        batch.join(row)
        while row not in batch.step():
            pass
        real = sum(cache.size_bytes for cache in batch._caches)  # pyright: ignore[reportPrivateUsage]
        batch.leave(row)
        return real, estimate

    await engine.load(name)
    real, estimate = await in_worker(engine, measure)
    assert real == estimate


async def test_loading_events_go_to_everybody_who_waits_for_the_model(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(max_rows=1)
    await engine.start()
    answers = await asyncio.gather(
        *(read(engine, request_for("smollm", text)) for text in PROMPTS[:2])
    )
    for answer in answers:
        assert isinstance(answer.events[0], Loading)


async def test_small_models_compute_in_one_thread_and_large_ones_in_all_that_others_leave(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    step = CausalBatch.step

    def watched(self: CausalBatch) -> Sequence[Row]:
        used.append(torch.get_num_threads())
        return step(self)

    await engine.load("smollm")
    monkeypatch.setattr(CausalBatch, "step", watched)
    await in_worker(engine, lambda step_loop: setattr(step_loop.memory, "_threads", 2))
    spare = SimpleNamespace(count=3)
    await in_worker(engine, lambda step_loop: setattr(step_loop.memory, "_spare", spare))
    await read(engine, request_for("smollm", "hello"))
    monkeypatch.setattr("bot.engine.checkpoint.blueprint.SINGLE_THREAD_BYTES", 0)
    await read(engine, request_for("smollm", "hello"))
    spare.count = 1
    await read(engine, request_for("smollm", "hello"))
    third = len(used) // 3
    assert (set(used[:third]), set(used[third:-third]), set(used[-third:])) == ({1}, {2}, {1})


@pytest.mark.parametrize("name", ["llama", "t5"])
async def test_what_a_load_found_is_not_found_out_again_in_another_process(
    make_engine: MakeEngine,
    entries: Mapping[str, ModelEntry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """An engine of its own stands for the other process: only the files are shared."""
    examined: list[str] = []
    examine = batch.examine

    def counted(checkpoint: Checkpoint, *rest: Any) -> Agreement:
        examined.append(checkpoint.blueprint.entry.name)
        return examine(checkpoint, *rest)

    monkeypatch.setattr(batch, "examine", counted)
    past = PastRuns(tmp_path, exact=True)
    answers: list[str] = []
    for _process in range(2):
        engine = make_engine(note_mode=past.note, known_mode=past.of)
        answers.append((await read(engine, request_for(name, PROMPTS[0]))).text)
        (resident,) = engine.resident()
        assert resident.mode == past.of(entries[name], folder_of(entries[name]))
    assert examined == [name]
    assert answers[0] == answers[1] != ""


async def test_a_fallback_is_remembered_with_its_reason(
    make_engine: MakeEngine,
    entries: Mapping[str, ModelEntry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_given: object) -> Agreement:
        return Agreement(error=4.0, own_error=1.0, sure=3, changed=2)

    past = PastRuns(tmp_path, exact=True)
    with monkeypatch.context() as patch:
        patch.setattr(batch, "examine", refuse)
        await read(make_engine(note_mode=past.note), request_for("llama", PROMPTS[0]))
    engine = make_engine(note_mode=past.note, known_mode=past.of)
    await read(engine, request_for("llama", PROMPTS[0]))
    (resident,) = engine.resident()
    assert resident.mode is not None
    assert not resident.mode.is_batched
    assert "2 of 3 sure choices differ" in resident.mode.text
    assert resident.mode == past.of(entries["llama"], folder_of(entries["llama"]))


async def test_what_cannot_be_made_as_it_was_is_tried_out_again(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept kernels are gone, for example, and the compiler with them."""

    def broken(_checkpoint: Checkpoint) -> NoReturn:
        raise OSError("no compiler")

    monkeypatch.setattr(batch, "by_kernels", broken)
    known = RunMode(is_batched=True, has_kernels=True, precision="fp32")

    def kept(_entry: ModelEntry, _folder: Path) -> RunMode:
        return known

    engine = make_engine(known_mode=kept)
    answer = await read(engine, request_for("llama", PROMPTS[0]))
    assert answer.finished.error is None
    (resident,) = engine.resident()
    assert resident.mode is not None
    assert [reason.cause for reason in resident.mode.reasons] == [Cause.KERNELS_REFUSED]
