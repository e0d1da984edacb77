"""What the tests of the engine that runs models here share, beside asking it (`reading`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from bot.engine.tokenizer import ModelTokenizer
from bot.engine.transformers_engine import TransformersEngine
from config.catalogue import ModelEntry
from tests.engine.reading import GREEDY, Read, read, request_for

__all__ = [
    "GREEDY",
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
