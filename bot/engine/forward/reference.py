"""A model's own logits, computed one precision wider than it runs in: what errors are measured by.

The modules run as they are, and every tensor is widened where it is used. A layer's weights are
wide only while that layer multiplies, so that no second copy of the model is needed. It is slow,
and uses no cache.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' modules and torch's function modes are untyped; what leaves this module is typed.

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn.functional import embedding, linear
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.checkpoint.quantization import QuantizedLinear
from bot.engine.kernels.packing import PackedLinear

PIECE = 1 << 22
"""So many weights of a layer are wide at a time."""

Packed = PackedLinear | QuantizedLinear
"""Layers that hold their weights in a form of their own."""


@dataclass(frozen=True, slots=True)
class Text:
    """What a model has been given: `source` is what an encoder reads, empty where there is none."""

    source: Sequence[int]
    history: Sequence[int]


def own_logits(checkpoint: Checkpoint, text: Text) -> torch.Tensor:
    """What the modules alone, without a cache, give after each token [tokens, vocabulary]."""
    return _logits(checkpoint, [text])[0]


def wide_logits(
    checkpoint: Checkpoint, texts: Sequence[Text], on_layer: Callable[[], None] = lambda: None
) -> Sequence[torch.Tensor]:
    """The same of several texts in fp32, or in fp64 for a model in fp32. `on_layer` is called after
    each product.
    """
    narrow = checkpoint.blueprint.dtype
    wide = torch.float64 if narrow is torch.float32 else torch.float32
    with _unpacked(checkpoint.model, wide, on_layer), _Widened(narrow, wide, on_layer):
        return _logits(checkpoint, texts)


def _logits(checkpoint: Checkpoint, texts: Sequence[Text]) -> Sequence[torch.Tensor]:
    """One pass over texts that are padded behind: no token sees what follows it, and of what an
    encoder reads the padding is masked.
    """
    device = checkpoint.blueprint.device
    said = _padded([text.history for text in texts]).to(device)
    given = {"input_ids": said}
    if texts[0].source:
        sources = [text.source for text in texts]
        mask = _padded([[1] * len(source) for source in sources]).to(device)
        given = {"input_ids": _padded(sources).to(device), "decoder_input_ids": said}
        given["attention_mask"] = mask
    with torch.inference_mode():
        logits = cast("torch.Tensor", checkpoint.model(**given, use_cache=False).logits)
    return [own[: len(text.history)] for own, text in zip(logits, texts, strict=True)]


def _padded(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


class _Widened(TorchFunctionMode):
    """Every tensor of one precision, and every demand for it, becomes one of another."""

    def __init__(
        self, narrow: torch.dtype, wide: torch.dtype, on_layer: Callable[[], None]
    ) -> None:
        self._narrow, self._wide = narrow, wide
        self._on_layer = on_layer

    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func is linear:
            return self._linear(*args, **named)
        if func is embedding:
            return self._widened(func(*args, **named))
        if getattr(func, "__name__", "") == "__get__":  # asking a weight for its shape or dtype
            return func(*args, **named)
        wide = [self._widened(each) for each in args]
        return func(*wide, **{name: self._widened(each) for name, each in named.items()})

    def _linear(
        self, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        rows = max(1, PIECE // weight.shape[1])
        result = _multiplied(weight.split(rows), bias, self._wide, states)
        self._on_layer()
        return result

    def _widened(self, given: Any) -> Any:
        if isinstance(given, torch.Tensor):
            return given.to(self._wide) if given.dtype is self._narrow else given
        if isinstance(given, torch.dtype):
            return self._wide if given is self._narrow else given
        if type(given) in (list, tuple):
            return type(given)(self._widened(each) for each in given)
        return given


@contextmanager
def _unpacked(model: nn.Module, wide: torch.dtype, on_layer: Callable[[], None]) -> Generator[None]:
    """Layers whose weights are packed multiply by what they stand for, for a while."""
    layers = [each for each in model.modules() if isinstance(each, Packed)]

    def multiply(layer: Packed, hidden: torch.Tensor) -> torch.Tensor:
        result = _multiplied(layer.weights(), layer.bias, wide, hidden)
        on_layer()
        return result

    for layer in layers:
        cast("Any", layer).forward = partial(multiply, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _multiplied(
    weights: Any, bias: torch.Tensor | None, wide: torch.dtype, states: torch.Tensor
) -> torch.Tensor:
    """States times weights that come some rows at a time."""
    states = states.to(wide)
    product = torch.cat([linear(states, rows.to(wide)) for rows in weights], dim=-1)
    return product if bias is None else product + bias.to(wide)
