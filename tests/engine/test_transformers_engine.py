"""The engine as a whole: turns, cancelling, limits, failures told, memory, the worker's death."""

import asyncio
import gc
import json
import logging
import os
import shutil
import socket
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from typing_extensions import override

from bot.conversation import Role, Turn
from bot.engine import model_memory
from bot.engine.base import (
    Finished,
    FinishReason,
    GenerationRequest,
    Loading,
    Priority,
    SamplingParameters,
    TextDelta,
)
from bot.engine.causal_batch import CausalBatch
from bot.engine.checkpoint import Blueprint, Checkpoint, load_checkpoint
from bot.engine.decoding import Row
from bot.engine.slot_batch import SlotBatch
from bot.engine.step_loop import StepLoop
from bot.engine.tokenizer import ModelTokenizer
from bot.engine.transformers_engine import TransformersEngine
from bot.engine.worker import WorkerState
from bot.errors import (
    BrokenModel,
    EngineUnavailable,
    ModelNotInstalled,
    ModelTooLarge,
    UnknownModel,
)
from config.catalogue import ModelEntry
from tests.checkpoints import PROMPTS, TINY
from tests.engine.engines import (
    GREEDY,
    MakeEngine,
    folder_of,
    load_tensors,
    read,
    request_for,
    save_tensors,
)

LONG = SamplingParameters(temperature=0.0, max_tokens=200)
CHATTY = SamplingParameters(temperature=1.0, max_tokens=24, seed=3)


async def in_worker(engine: TransformersEngine, look: Callable[[StepLoop], Any]) -> Any:
    """What `look` sees in the worker, after all that was asked of it before."""
    worker, step_loop = engine.worker, engine._loop  # pyright: ignore[reportPrivateUsage]
    assert worker is not None
    assert step_loop is not None
    return await worker.run(lambda: look(step_loop))


def passes(step_loop: StepLoop) -> int:
    return sum(step_loop.passes.values())


def is_busy(step_loop: StepLoop) -> bool:
    scheduler = step_loop._scheduler  # pyright: ignore[reportPrivateUsage]
    return bool(scheduler.active() or scheduler.waiting_count)


async def settled(engine: TransformersEngine) -> int:
    """Forward passes so far, once the worker has nothing more to do."""
    while await in_worker(engine, is_busy):
        pass  # each look lets the worker take a step
    return await in_worker(engine, passes)


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
    assert resident.kernel == "fp32"


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


async def test_two_answers_are_made_in_turn_token_by_token(engine: TransformersEngine) -> None:
    await engine.load("smollm")
    order: list[str] = []

    async def ask(name: str, text: str) -> None:
        nonlocal order
        async with engine.stream(request_for("smollm", text, LONG)) as stream:
            async for event in stream:
                order += [name] if isinstance(event, TextDelta) else []

    await asyncio.gather(ask("first", PROMPTS[0]), ask("second", PROMPTS[1]))
    ends = [max(i for i, name in enumerate(order) if name == who) for who in ("first", "second")]
    begin = order.index("second")
    assert begin < ends[0]
    changes = sum(
        one != other for one, other in zip(order[begin:], order[begin + 1 :], strict=False)
    )
    assert changes > (min(ends) - begin) / 2


async def test_leaving_the_block_stops_the_work_within_one_step(
    engine: TransformersEngine,
) -> None:
    await engine.load("smollm")
    async with engine.stream(request_for("smollm", PROMPTS[0], LONG)) as stream:
        await anext(stream)
    at_leaving = await in_worker(engine, passes)
    assert await settled(engine) <= at_leaving + 1
    assert at_leaving < LONG.max_tokens


async def test_cancelling_a_waiting_answer_frees_its_place(make_engine: MakeEngine) -> None:
    engine = make_engine(max_rows=1, max_waiting=1)
    await engine.load("smollm")
    async with engine.stream(request_for("smollm", PROMPTS[0], LONG)) as first:
        await anext(first)
        async with engine.stream(request_for("smollm", PROMPTS[1])):
            refused = await read(engine, request_for("smollm", PROMPTS[2]))
            assert refused.finished.reason is FinishReason.ERROR
            assert "waiting" in (refused.finished.error or "")
        third = asyncio.create_task(read(engine, request_for("smollm", PROMPTS[2])))
        await asyncio.sleep(0)
    assert (await third).finished.error is None


async def test_a_cancelled_reader_cancels_the_answer(engine: TransformersEngine) -> None:
    await engine.load("smollm")
    begun = asyncio.Event()

    async def ask() -> None:
        async with engine.stream(request_for("smollm", PROMPTS[0], LONG)) as stream:
            async for _event in stream:
                begun.set()

    task = asyncio.create_task(ask())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await settled(engine) < LONG.max_tokens


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_past_its_deadline_an_answer_ends_with_time(make_engine: MakeEngine) -> None:
    clock = Clock()
    engine = make_engine(clock=clock)
    await engine.load("smollm")
    deadline = clock.now + timedelta(seconds=60)
    async with engine.stream(request_for("smollm", PROMPTS[0], LONG, deadline=deadline)) as stream:
        assert isinstance(await anext(stream), TextDelta)
        clock.now = deadline
        *_, last = [event async for event in stream]
    assert isinstance(last, Finished)
    assert last.reason is FinishReason.TIME
    assert 0 < last.usage.generated_tokens < LONG.max_tokens


async def test_a_deadline_that_passed_while_waiting_is_told(make_engine: MakeEngine) -> None:
    clock = Clock()
    engine = make_engine(clock=clock)
    late = await read(engine, request_for("smollm", PROMPTS[0], deadline=clock.now))
    assert late.finished.reason is FinishReason.TIME


async def test_an_answer_ends_before_a_stop_string(engine: TransformersEngine) -> None:
    whole = (await read(engine, request_for("smollm", PROMPTS[2]))).text
    mark = whole[4:7]
    sampling = replace(GREEDY, stop=(mark,))
    stopped = await read(engine, request_for("smollm", PROMPTS[2], sampling))
    assert stopped.text == whole[: whole.index(mark)]
    assert stopped.finished.reason is FinishReason.STOP


async def test_an_answer_as_long_as_allowed_ends_with_length(engine: TransformersEngine) -> None:
    finished = (await read(engine, request_for("smollm", PROMPTS[2]))).finished
    assert finished.reason is FinishReason.LENGTH
    assert finished.usage.generated_tokens == GREEDY.max_tokens


async def test_a_seeded_answer_does_not_depend_on_its_neighbours(
    engine: TransformersEngine,
) -> None:
    alone = await read(engine, request_for("smollm", PROMPTS[0], CHATTY))
    together = await asyncio.gather(
        *(read(engine, request_for("smollm", text, CHATTY)) for text in PROMPTS[:3])
    )
    assert together[0].text == alone.text
    other = await read(engine, request_for("smollm", PROMPTS[0], replace(CHATTY, seed=4)))
    assert other.text != alone.text


async def test_the_best_of_several_is_the_likeliest_that_ended_by_itself(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[tuple[float, bool, list[int]]] = []
    choose = Row.choose

    def recorded(self: Row) -> int | None:
        token = choose(self)
        if len(self.tokens) == 4 and len(chosen) in (1, 2):
            self.is_ended = True
            token = None
        if token is None or len(self.tokens) == 8:
            chosen.append((self.mean_log_probability, token is None, self.tokens))
        return token

    monkeypatch.setattr(Row, "choose", recorded)
    sampling = SamplingParameters(temperature=1.5, max_tokens=8, best_of=4, seed=1)
    answer = await read(engine, request_for("smollm", PROMPTS[0], sampling))
    assert len(chosen) == 4
    best = max(chosen, key=lambda entry: (entry[1], entry[0]))
    assert answer.finished.usage.generated_tokens == len(best[2])
    reference = await in_worker(engine, lambda loop: _decode(loop, best[2]))
    assert answer.text == reference.lstrip()


def _decode(step_loop: StepLoop, ids: list[int]) -> str:
    resident = step_loop.memory.residency.peek("smollm")
    assert resident is not None
    return resident.model.checkpoint.tokenizer.decode(ids)


async def test_a_following_question_reuses_the_cache_and_changes_nothing(
    engine: TransformersEngine,
) -> None:
    first = request_for("llama", PROMPTS[0], cache_key="c")
    answer = await read(engine, first)
    assert answer.finished.usage.cached_tokens == 0
    turns = (*first.turns, Turn(Role.ASSISTANT, answer.text), Turn(Role.USER, PROMPTS[1]))
    follow_up = GenerationRequest("llama", turns, GREEDY, cache_key="c")
    with_cache = await read(engine, follow_up)
    without = await read(engine, replace(follow_up, cache_key="another"))
    assert with_cache.finished.usage.cached_tokens >= answer.finished.usage.prompt_tokens - 5
    assert without.finished.usage.cached_tokens == 0
    assert with_cache.text == without.text


async def test_conversations_and_models_do_not_share_a_cache(engine: TransformersEngine) -> None:
    for model in ("llama", "qwen3"):
        for key in ("one", "two", ""):
            answer = await read(engine, request_for(model, PROMPTS[0], cache_key=key))
            assert answer.finished.usage.cached_tokens == 0
    again = await read(engine, request_for("llama", PROMPTS[0], cache_key=""))
    assert again.finished.usage.cached_tokens == 0


async def test_what_is_forgotten_is_cached_no_more(engine: TransformersEngine) -> None:
    await engine.forget("nothing yet")
    for key in ("home/general/ann", "home/other"):
        await read(engine, request_for("llama", PROMPTS[0], cache_key=key))
    await engine.forget("home/general")
    gone = await read(engine, request_for("llama", PROMPTS[0], cache_key="home/general/ann"))
    kept = await read(engine, request_for("llama", PROMPTS[0], cache_key="home/other"))
    assert gone.finished.usage.cached_tokens == 0
    assert kept.finished.usage.cached_tokens > 0


async def test_dropped_turns_and_cut_questions_are_told(engine: TransformersEngine) -> None:
    roles = [Role.USER, Role.ASSISTANT]
    turns = tuple(Turn(roles[i % 2], PROMPTS[i % 20]) for i in range(41))
    many = await read(engine, GenerationRequest("smollm", turns, GREEDY))
    assert many.finished.usage.dropped_turns > 0
    long = await read(engine, request_for("smollm", "river " * 2000))
    assert long.finished.usage.cut_tokens > 0
    assert long.finished.error is None


async def test_an_answer_that_is_all_reasoning_is_a_told_failure(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_self: ModelTokenizer, _ids: Sequence[int]) -> bool:
        return True

    monkeypatch.setattr(ModelTokenizer, "opens_reasoning", opened)
    answer = await read(engine, request_for("qwen3", PROMPTS[0]))
    assert answer.text == ""
    assert answer.reasoning
    assert answer.finished.reason is FinishReason.ERROR
    assert "reasoning" in (answer.finished.error or "")


async def test_a_more_urgent_question_goes_first(make_engine: MakeEngine) -> None:
    engine = make_engine(max_rows=1)
    await engine.load("smollm")
    ended: list[str] = []

    async def ask(name: str, **changes: Any) -> None:
        await read(engine, request_for("smollm", PROMPTS[0], **changes))
        ended.append(name)

    async with engine.stream(request_for("smollm", PROMPTS[1], LONG)) as running:
        await anext(running)
        tasks = [
            asyncio.create_task(ask("background", priority=Priority.BACKGROUND)),
            asyncio.create_task(ask("one", fairness_key=("a", "x"))),
            asyncio.create_task(ask("one again", fairness_key=("a", "x"))),
            asyncio.create_task(ask("two", fairness_key=("b", "y"))),
        ]
        await asyncio.sleep(0)
        await in_worker(engine, passes)
    await asyncio.gather(*tasks)
    assert ended == ["one", "two", "one again", "background"]


# Failures.


async def test_unknown_models_are_told(engine: TransformersEngine) -> None:
    answer = await read(engine, request_for("nobody", "hello"))
    assert answer.finished.reason is FinishReason.ERROR
    assert "nobody" in (answer.finished.error or "")
    with pytest.raises(UnknownModel):
        await engine.load("nobody")


async def test_a_model_that_is_not_installed_is_told(make_engine: MakeEngine) -> None:
    def locate(entry: ModelEntry) -> NoReturn:
        raise ModelNotInstalled(f"Run `fireside models pull {entry.name}`.")

    engine = make_engine(locate=locate)
    answer = await read(engine, request_for("smollm", "hello"))
    assert answer.finished.error == "Run `fireside models pull smollm`."
    with pytest.raises(ModelNotInstalled):
        await engine.load("smollm")


def _cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def _lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _change_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(config | changes), encoding="utf-8")

    return change


def _change_weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        tensors = load_tensors(folder / "model.safetensors")
        change(tensors)
        save_tensors(tensors, folder / "model.safetensors")

    return rewrite


def _not_numbers(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.norm.weight"] = torch.full((64,), float("nan"))


def _lose_weight(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["model.layers.1.mlp.up_proj.weight"]


def _write(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return write


DAMAGES: dict[str, Callable[[Path], None]] = {
    "weights cut short": _cut_weights,
    "no weights": _lose("model.safetensors"),
    "no configuration": _lose("config.json"),
    "no tokenizer": _lose("tokenizer.json"),
    "no chat template": _lose("chat_template.jinja"),
    "configuration is no JSON": _write("config.json", "{"),
    "tokenizer is no JSON": _write("tokenizer.json", "{"),
    "template is broken": _write("chat_template.jinja", "{% for x in %}"),
    "another shape": _change_config(hidden_size=32),
    "another architecture": _change_config(model_type="t5"),
    "an unknown architecture": _change_config(model_type="nothing"),
    "encoder-decoder": _change_config(is_encoder_decoder=True),
    "weights are not numbers": _change_weights(_not_numbers),
    "a weight is missing": _change_weights(_lose_weight),
    "a tokenizer of another model": _change_config(vocab_size=20),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_broken_checkpoint_is_told_with_advice(
    make_engine: MakeEngine,
    checkpoints: Mapping[str, Path],
    tmp_path: Path,
    damage: Callable[[Path], None],
) -> None:
    folder = Path(shutil.copytree(checkpoints["smollm"], tmp_path / "copy"))
    damage(folder)

    def locate(entry: ModelEntry) -> Path:
        return entry.folder or folder

    broken = TINY["smollm"].entry(None, name="broken", repository="some/model")
    good = TINY["smollm"].entry(checkpoints["smollm"])
    engine = make_engine(
        entries={"broken": broken, "smollm": good},
        locate=locate,
    )
    answer = await read(engine, request_for("broken", "hello"))
    assert answer.finished.reason is FinishReason.ERROR
    assert "fireside models remove broken" in (answer.finished.error or "")
    assert "fireside models pull broken" in (answer.finished.error or "")
    assert answer.finished.usage.prompt_tokens == 0
    with pytest.raises(BrokenModel):
        await engine.load("broken")
    assert engine.resident() == ()
    assert (await read(engine, request_for("smollm", "hello"))).finished.error is None


async def test_what_to_do_about_a_broken_model_depends_on_where_it_is_from(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    def everywhere(_entry: ModelEntry) -> Path:
        return tmp_path

    own = TINY["smollm"].entry(tmp_path, name="own")
    builtin = TINY["smollm"].entry(None, name="builtin", builtin=True)
    engine = make_engine(entries={"own": own, "builtin": builtin}, locate=everywhere)
    with pytest.raises(BrokenModel, match=r"Check the folder"):
        await engine.load("own")
    with pytest.raises(BrokenModel, match=r"install Fireside again"):
        await engine.load("builtin")


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

    monkeypatch.setattr(model_memory, "load_checkpoint", load_when_asked)
    loading = asyncio.create_task(engine.load("smollm"))
    while not engine.resident():  # noqa: ASYNC110 - the worker says so, no event of the loop does
        await asyncio.sleep(0.001)
    async with engine.stream(request_for("smollm", "hello")) as events:
        has_asked.set()
        assert isinstance(await anext(events), Loading)
    await loading


class HeldLoads:
    """Holds every load until `may_go` is set, and notes the pieces that were loaded."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.pieces: list[float] = []

    def load(self, blueprint: Blueprint, on_piece: Callable[[float], None]) -> Checkpoint:
        def noted(fraction: float) -> None:
            self.pieces.append(fraction)
            on_piece(fraction)

        assert self.may_go.wait(60)
        return load_checkpoint(blueprint, noted)


@pytest.fixture
def held_loads(monkeypatch: pytest.MonkeyPatch) -> HeldLoads:
    held = HeldLoads()
    monkeypatch.setattr(model_memory, "load_checkpoint", held.load)
    return held


async def test_leaving_while_the_model_loads_is_no_failure(
    engine: TransformersEngine, held_loads: HeldLoads, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine.stream(request_for("smollm", "hello")) as stream:
        assert isinstance(await anext(stream), Loading)
    held_loads.may_go.set()
    assert (await read(engine, request_for("smollm", "hello"))).finished.error is None
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_running_out_of_memory_ends_one_answer_and_is_told(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.load("smollm")

    def exhausted(_self: CausalBatch) -> NoReturn:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(CausalBatch, "_prefill", exhausted)
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
        patch.setattr(CausalBatch, "_prefill", secret)
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
        patch.setattr(model_memory, "choose_device", no_driver)
        with pytest.raises(EngineUnavailable, match="CUDA driver initialization failed"):
            await engine.start()
        answer = await read(engine, request_for("smollm", "hello"))
        assert "cannot start" in (answer.finished.error or "")
    assert (await read(engine, request_for("smollm", "hello"))).finished.error is None


async def test_a_start_that_was_cancelled_leaves_nothing_and_the_next_one_succeeds(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go = threading.Event()
    choose_device = model_memory.choose_device

    def choose_when_allowed() -> torch.device:
        assert may_go.wait(60)
        return choose_device()

    monkeypatch.setattr(model_memory, "choose_device", choose_when_allowed)
    asking = asyncio.create_task(read(engine, request_for("smollm", "hello")))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not engine._sinks  # pyright: ignore[reportPrivateUsage]
    may_go.set()
    assert (await read(engine, request_for("smollm", "hello"))).finished.error is None


# Closing, threads, the network.


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


async def test_weights_in_torchs_own_format_load_when_there_is_nothing_else(
    make_engine: MakeEngine, checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoints["blenderbot"], tmp_path / "copy"))
    torch.save(load_tensors(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    entry = TINY["blenderbot"].entry(folder, name="copy")
    original = TINY["blenderbot"].entry(checkpoints["blenderbot"])
    engine = make_engine(entries={"copy": entry, "blenderbot": original})
    copied = await read(engine, request_for("copy", PROMPTS[0]))
    assert copied.finished.error is None
    assert copied.text == (await read(engine, request_for("blenderbot", PROMPTS[0]))).text


class Malice:
    """What a pickle of somebody else could do."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._trace),)


async def test_a_pickle_that_would_run_code_is_refused(
    make_engine: MakeEngine, checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoints["blenderbot"], tmp_path / "copy"))
    (folder / "model.safetensors").unlink()
    torch.save({"model.shared.weight": Malice(tmp_path / "ran")}, folder / "pytorch_model.bin")
    engine = make_engine(entries={"copy": TINY["blenderbot"].entry(folder, name="copy")})
    answer = await read(engine, request_for("copy", "hello"))
    assert "cannot be used" in (answer.finished.error or "")
    assert not (tmp_path / "ran").exists()
    assert engine.worker is not None
    assert engine.worker.state is WorkerState.RUNNING


def test_on_a_cpu_slow_in_bf16_a_small_checkpoint_in_half_precision_runs_in_fp32(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bot.engine import checkpoint as opening

    monkeypatch.setattr(opening, "is_packed_bf16_faster", lambda: False)
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
    monkeypatch.setattr(opening, "is_packed_bf16_faster", lambda: True)
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


async def test_small_models_compute_in_one_thread_and_large_ones_in_all(
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
    await read(engine, request_for("smollm", "hello"))
    monkeypatch.setattr("bot.engine.checkpoint.SINGLE_THREAD_BYTES", 0)
    await read(engine, request_for("smollm", "hello"))
    await in_worker(engine, lambda _step_loop: torch.set_num_threads(1))
    assert (set(used[: len(used) // 2]), set(used[len(used) // 2 :])) == ({1}, {2})
