"""What the engine's tests share: requests, and reading a stream to its end."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from bot.conversation import Role, Turn
from bot.engine.base import (
    Engine,
    EngineEvent,
    Finished,
    GenerationRequest,
    Loading,
    ReasoningDelta,
    SamplingParameters,
    TextDelta,
)
from bot.engine.tokenizer import ModelTokenizer
from bot.engine.transformers_engine import TransformersEngine
from config.catalogue import ModelEntry

MakeEngine = Callable[..., TransformersEngine]

GREEDY = SamplingParameters(temperature=0.0, max_tokens=12)


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


def request_for(
    model: str, text: str, sampling: SamplingParameters = GREEDY, **changes: Any
) -> GenerationRequest:
    """A request with one question."""
    request = GenerationRequest(model, (Turn(Role.USER, text),), sampling)
    return replace(request, **changes)


@dataclass(frozen=True, slots=True)
class Read:
    """A stream read to its end."""

    events: tuple[EngineEvent, ...]

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def reasoning(self) -> str:
        """The reasoning."""
        return "".join(e.text for e in self.events if isinstance(e, ReasoningDelta))

    @property
    def loads(self) -> list[Loading]:
        """What was said of loading."""
        return [event for event in self.events if isinstance(event, Loading)]

    @property
    def finished(self) -> Finished:
        """The last event."""
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last


async def read(engine: Engine, request: GenerationRequest) -> Read:
    """Everything that comes of a request."""
    async with engine.stream(request) as stream:
        return Read(tuple([event async for event in stream]))
