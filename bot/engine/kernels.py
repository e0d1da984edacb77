"""Kernels: linear layers in the form that this machine multiplies fastest.

On CPUs with bf16 instructions oneDNN's prepacked weights take about the same time for sixteen rows
as for one. The packing calls are private to torch: they are tested on every shape when a model is
loaded, and what fails stays as it was.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
import math
import time
from collections.abc import Callable
from functools import cache
from typing import cast

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

logger = logging.getLogger(__name__)

TOLERANCE = 0.02
"""Largest difference to the plain product, as a share of its largest value: bf16 has 8 bits."""

NO_KERNEL = (RuntimeError, NotImplementedError, AttributeError)
"""What torch's private calls raise where this machine or version has them not."""

PROBE_SHAPE = (1536, 576)
"""Rows and columns of the matrix that is timed once in each process."""

PROBE_ROWS = 8
PROBE_REPEATS = 15


class PackedLinear(nn.Module):
    """A linear layer whose weights are laid out for oneDNN. It only infers."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        with torch.inference_mode():
            self._packed = _pack(linear.weight.detach())
            bias = _bias(linear)
            self._bias = None if bias is None else bias.detach()
        # Some modules look at their layers' precision.
        self.weight = torch.empty(0, dtype=linear.weight.dtype)

    @override
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States [..., in features] to [..., out features]."""
        return _multiply(states, self._packed, self._bias)


def pack(model: nn.Module, on_piece: Callable[[float], None]) -> bool:
    """Replace a model's bf16 linear layers by packed ones; whether it was done.

    All or none: every shape is compared with the plain product first.
    """
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear and child.weight.dtype is torch.bfloat16
    ]
    by_shape = {(each.weight.shape, _bias(each) is None): each for _, _, each in found}
    if not found or not all(_agrees(linear) for linear in by_shape.values()):
        return False
    for index, (parent, name, linear) in enumerate(found):
        setattr(parent, name, PackedLinear(linear))
        on_piece((index + 1) / len(found))
    return True


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


def _agrees(linear: nn.Linear) -> bool:
    states = torch.linspace(-1, 1, 3 * linear.in_features).to(torch.bfloat16)
    states = states.view(3, linear.in_features)
    try:
        with torch.inference_mode():
            expected = linear(states).float()
            given = PackedLinear(linear)(states).float()
    except NO_KERNEL as error:
        logger.warning("plain bf16 instead of packed: %s", type(error).__name__)
        return False
    worst = float((expected - given).abs().max())
    if worst <= TOLERANCE * float(expected.abs().max()):
        return True
    logger.warning("plain bf16 instead of packed: %s differs", tuple(linear.weight.shape))
    return False


def _bias(linear: nn.Linear) -> torch.Tensor | None:
    return cast("torch.Tensor | None", linear.bias)


def _pack(weight: torch.Tensor) -> torch.Tensor:
    return cast("torch.Tensor", torch.ops.mkldnn._reorder_linear_weight(weight.contiguous()))


def _multiply(
    states: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    product = torch.ops.mkldnn._linear_pointwise(states, packed, bias, "none", [], "")
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
