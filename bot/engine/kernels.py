"""Kernels: linear layers in the form that this machine multiplies fastest.

On CPUs with bf16 instructions oneDNN's prepacked weights take about the same time for sixteen rows
as for one. The packing calls are private to torch: they are tested on every shape when a model is
loaded, and what fails stays as it was.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import cast

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from bot.engine.memory import trim

logger = logging.getLogger(__name__)

TOLERANCE = 0.02
"""Largest difference to the plain product, as a share of its largest value: bf16 has 8 bits."""

NO_KERNEL = (RuntimeError, NotImplementedError, AttributeError)
"""What torch's private calls raise where this machine or version has them not."""

PROBE_SHAPE = (1536, 576)
"""Rows and columns of the matrix that is timed once in each process."""

PROBE_ROWS = 8
PROBE_REPEATS = 15

SHARED_INPUT = {
    "self_attn": ("q_proj", "k_proj", "v_proj"),
    "SelfAttention": ("q", "k", "v"),
    "encoder_attn": ("k_proj", "v_proj"),
    "EncDecAttention": ("k", "v"),
    "mlp": ("gate_proj", "up_proj"),
    "DenseReluDense": ("wi_0", "wi_1"),
}
"""Layers of one module, by its name, that are given the same: they are one product."""

Product = Callable[[torch.Tensor], torch.Tensor]
"""States [..., in features] to [..., out features]."""


class PackedLinear(nn.Module):
    """Linear layers whose weights are laid out for oneDNN, one behind the other. It only infers."""

    def __init__(self, *linears: nn.Linear) -> None:
        super().__init__()
        self.in_features = linears[0].in_features
        self.out_features = sum(linear.out_features for linear in linears)
        with torch.inference_mode():
            self._packed = _pack(_joined([linear.weight for linear in linears]))
            biases = [bias for bias in map(_bias, linears) if bias is not None]
            self._bias = _joined(biases) if biases else None
        # Some modules look at their layers' precision.
        self.weight = torch.empty(0, dtype=linears[0].weight.dtype)
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    @override
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States [..., in features] to [..., out features]."""
        return _multiply(states, self._packed, self._bias)

    def between(self, first: int, last: int, states: torch.Tensor) -> torch.Tensor:
        """The outputs from `first` to `last`. They are computed together, until the last is asked
        for: whoever asks for one after another pays once.
        """
        if self._last is None or self._last[0] is not states:
            self._last = states, self(states)
        part = self._last[1][..., first:last]
        if last == self.out_features:
            self._last = None
        return part


class PackedPart(nn.Module):
    """One of several layers that were packed together, in its own place in the model."""

    def __init__(self, whole: PackedLinear, linear: nn.Linear, first: int) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.whole, self.first = whole, first
        self.weight = whole.weight

    @override
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States [..., in features] to [..., out features]."""
        return self.whole.between(self.first, self.first + self.out_features, states)


def pack(model: nn.Module, on_piece: Callable[[float], None]) -> bool:
    """Replace a model's bf16 linear layers by packed ones; whether it was done.

    All or none: every shape is compared with the plain product first.
    """
    found = [
        (parent, names)
        for path, parent in model.named_modules()
        for names in _packable(path.rpartition(".")[2], parent)
    ]
    by_shape = {_shape(layers): layers for layers in (_layers(*each) for each in found)}
    if not found or not all(map(_agrees, by_shape.values())):
        return False
    by_shape.clear()
    for index, (parent, names) in enumerate(found):
        _replace(parent, names)
        # Nothing holds what it was any more, so that no layer is there twice.
        trim()
        on_piece((index + 1) / len(found))
    return True


def joined(layers: Sequence[nn.Module]) -> Product:
    """What gives several layers' outputs for the same states one behind the other."""
    first = layers[0]
    if len(layers) == 1:
        return first.forward
    if isinstance(first, PackedPart) and first.first == 0:
        parts = [each for each in layers if isinstance(each, PackedPart)]
        is_whole = sum(part.out_features for part in parts) == first.whole.out_features
        if is_whole and all(part.whole is first.whole for part in parts):
            return first.whole.forward
    return lambda states: torch.cat([layer.forward(states) for layer in layers], dim=-1)


@cache
def is_packed_bf16_faster() -> bool:
    """Whether this machine multiplies packed bf16 faster than fp32: measured once a process.

    With one thread, in turn, and the best of many: so that it holds on a busy machine too.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    weight = torch.randn(PROBE_SHAPE, generator=torch.Generator().manual_seed(1))
    states = torch.randn((PROBE_ROWS, PROBE_SHAPE[1]))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            packed, halves = _pack(weight.to(torch.bfloat16)), states.to(torch.bfloat16)
            fast, plain = _shortest_s(
                lambda: _multiply(halves, packed, None), lambda: functional.linear(states, weight)
            )
    except NO_KERNEL as error:
        logger.warning("packed bf16 does not work here: %s", type(error).__name__)
        return False
    finally:
        torch.set_num_threads(threads)
    return fast < plain


def _packable(own_name: str, module: nn.Module) -> Iterator[tuple[str, ...]]:
    """The names of a module's layers that can be packed, those together that share their input."""
    names = [
        name
        for name, child in module.named_children()
        if type(child) is nn.Linear and child.weight.dtype is torch.bfloat16
    ]
    sharing = SHARED_INPUT.get(own_name, ())
    if (
        set(sharing) <= set(names)
        and len({_bias(x) is None for x in _layers(module, sharing)}) == 1
    ):
        yield sharing
        names = [name for name in names if name not in sharing]
    yield from ((name,) for name in names)


def _replace(parent: nn.Module, names: Sequence[str]) -> None:
    layers = _layers(parent, names)
    whole = PackedLinear(*layers)
    first = 0
    for name, layer in zip(names, layers, strict=True):
        setattr(parent, name, whole if len(names) == 1 else PackedPart(whole, layer, first))
        first += layer.out_features


def _layers(module: nn.Module, names: Sequence[str]) -> list[nn.Linear]:
    return [cast("nn.Linear", getattr(module, name)) for name in names]


def _shape(layers: Sequence[nn.Linear]) -> tuple[object, ...]:
    return (*(layer.weight.shape for layer in layers), _bias(layers[0]) is None)


def _agrees(layers: Sequence[nn.Linear]) -> bool:
    inputs = layers[0].in_features
    states = torch.linspace(-1, 1, 3 * inputs).to(torch.bfloat16).view(3, inputs)
    try:
        with torch.inference_mode():
            expected = torch.cat([layer(states) for layer in layers], dim=-1).float()
            given = PackedLinear(*layers)(states).float()
    except NO_KERNEL as error:
        logger.warning("plain bf16 instead of packed: %s", type(error).__name__)
        return False
    worst = float((expected - given).abs().max())
    if worst <= TOLERANCE * float(expected.abs().max()):
        return True
    logger.warning("plain bf16 instead of packed: %s differs", tuple(layers[0].weight.shape))
    return False


def _bias(linear: nn.Linear) -> torch.Tensor | None:
    return cast("torch.Tensor | None", linear.bias)


def _joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return tensors[0].detach() if len(tensors) == 1 else torch.cat([*tensors]).detach()


def _pack(weight: torch.Tensor) -> torch.Tensor:
    return cast("torch.Tensor", torch.ops.mkldnn._reorder_linear_weight(weight.contiguous()))


def _multiply(
    states: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    product = torch.ops.mkldnn._linear_pointwise.default(states, packed, bias, "none", [], "")
    return cast("torch.Tensor", product)


def _shortest_s(*calls: Callable[[], object]) -> list[float]:
    """What each call takes at least, measured in turn."""
    shortest = [math.inf] * len(calls)
    for _ in range(PROBE_REPEATS):
        for index, call in enumerate(calls):
            began = time.perf_counter()
            call()
            shortest[index] = min(shortest[index], time.perf_counter() - began)
    return shortest
