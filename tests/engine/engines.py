"""What the tests of the engine that runs models here share, beside asking it (`reading`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from bot.engine.base import SamplingParameters
from bot.engine.local.engine import TransformersEngine
from bot.engine.local.step_loop import StepLoop
from bot.engine.text.tokenizer import ModelTokenizer
from config.catalogue import ModelEntry
from tests.engine.reading import GREEDY, Read, read, request_for

__all__ = [
    "GREEDY",
    "LONG",
    "MakeEngine",
    "Read",
    "folder_of",
    "load_tensors",
    "loaded_tokenizer",
    "read",
    "request_for",
    "save_tensors",
    "tokenizer_of",
]

LONG = SamplingParameters(temperature=0.0, max_tokens=200, stops_repetition=False)
"""Long enough to be broken off."""

MakeEngine = Callable[..., TransformersEngine]


def folder_of(entry: ModelEntry) -> Path:
    """Where the tests' checkpoints lie."""
    assert entry.folder is not None
    return entry.folder


def loaded_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """transformers' own tokenizer of a checkpoint."""
    auto = cast("Any", AutoTokenizer)
    return auto.from_pretrained(folder)


def tokenizer_of(folder: Path) -> ModelTokenizer:
    """The tokenizer of a checkpoint."""
    return ModelTokenizer(loaded_tokenizer(folder))


def load_tensors(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file."""
    return cast("Any", safetensors.torch).load_file(file)


def save_tensors(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Write a safetensors file as transformers does."""
    cast("Any", safetensors.torch).save_file(tensors, file, {"format": "pt"})


async def in_worker(engine: TransformersEngine, look: Callable[[StepLoop], Any]) -> Any:
    """What `look` sees in the worker, after all that was asked of it before."""
    worker, step_loop = engine.worker, engine._loop  # pyright: ignore[reportPrivateUsage]
    assert worker is not None
    assert step_loop is not None
    return await worker.run(lambda: look(step_loop))


def passes(step_loop: StepLoop) -> int:
    """Forward passes so far."""
    return sum(step_loop.passes.values())


def is_busy(step_loop: StepLoop) -> bool:
    """Whether answers run or wait."""
    scheduler = step_loop._scheduler  # pyright: ignore[reportPrivateUsage]
    return bool(scheduler.active() or scheduler.waiting_count)


async def settled(engine: TransformersEngine) -> int:
    """Forward passes so far, once the worker has nothing more to do."""
    while await in_worker(engine, is_busy):
        pass  # each look lets the worker take a step
    return await in_worker(engine, passes)


def packed(*, if_any: bool) -> Callable[[object], bool]:
    """Stands in for `is_packed_faster`: whether layers are packed, whatever their precision."""
    return lambda _dtype: if_any
