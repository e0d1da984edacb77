"""Matrix products of few rows, compiled: weights are read as fast as memory gives them.

Weights lie in blocks of outputs, in the order in which they are needed. Blocks are shared among
torch's own threads. Those in GGML's blocks have a file of their own: `block_matmul`.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false, reportMissingTypeStubs=false, reportCallIssue=false, reportPrivateImportUsage=false
# numba infers types; what stands in a kernel is not Python's.

from collections.abc import Iterator
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from numba.core import types

from bot.engine.kernels.arrays import NOTHING, Floats, numbers
from bot.engine.kernels.elementwise import (
    FASTMATH,
    IS_KEPT,
    VERSION,
    at,
    compiled,
    pointer,
    stored_in,
)
from bot.engine.kernels.threads import fork, parallel_entry, take
from bot.engine.kernels.tile import (
    ARITHMETICS,
    VECTORS,
    Arithmetic,
    Numbers,
    arithmetic_for,
    tile,
)

PIECE = 1 << 22
"""So many weights are put in order again at a time."""

_ITEMS = 16
"""Numbers that describe a task."""

_SHARES = 4
"""Parts that a thread's work has: so that one that is held up leaves the rest to the others."""

_DISTANCE = 4096
"""So many bytes ahead of what is multiplied are weights fetched."""

_UNIT = 4
"""Bytes of what a step takes of an output, but for weights that are widened."""


class FloatProduct:
    """Weights [out, in] in bf16 or fp32, laid out, and a bias [out]; states are like them."""

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        outputs, inputs = weight.shape
        is_half = weight.dtype is torch.bfloat16
        self._arithmetic = arithmetic or arithmetic_for(Numbers.BF16 if is_half else Numbers.FP32)
        if inputs % self._arithmetic.inputs:
            raise NotImplementedError(
                f"{inputs} inputs are not taken {self._arithmetic.inputs} at a time"
            )
        self._dtype = weight.dtype
        self._outputs, self._inputs = outputs, inputs
        self._blocks = -(-outputs // self._arithmetic.block)
        self._bias = NOTHING if bias is None else self._padded(numbers(bias))
        self._weights = self._laid_out(weight)
        self._work = _work(self._arithmetic, np.uint16 if is_half else np.float32)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """States [..., in], contiguous or not, to [..., out]."""
        rows = states.reshape(-1, self._inputs)
        width = self._blocks * self._arithmetic.block
        out = rows.new_empty((rows.shape[0], width))
        if rows.dtype is not self._dtype:
            raise RuntimeError(f"states are {rows.dtype}, not {self._dtype}")
        if rows.shape[0]:
            self._multiply(rows.contiguous(), out)
        if width != self._outputs:
            out = out[:, : self._outputs].contiguous()
        return out.view(*states.shape[:-1], self._outputs)

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias [out], fp32."""
        return torch.from_numpy(self._bias[: self._outputs]) if self._bias.size else None

    def weights(self) -> Iterator[torch.Tensor]:
        """The weights [rows, in], some rows at a time."""
        block = self._arithmetic.block
        few = max(1, PIECE // (block * self._inputs))
        for first in range(0, self._blocks, few):
            rows = self._weights[first : first + few].transpose(1, 2).reshape(-1, self._inputs)
            yield rows[: self._outputs - first * block]

    def _multiply(self, rows: torch.Tensor, out: torch.Tensor) -> None:
        states = rows.float() if self._arithmetic.takes_fp32 else rows
        _share(
            parallel_entry(), self._work.address, torch.get_num_threads(),
            self._arithmetic.tiles[-1], states.data_ptr(), self._inputs * states.itemsize,
            rows.shape[0], self._inputs // self._arithmetic.inputs, self._weights.data_ptr(),
            self._blocks, self._bias, out.data_ptr(),
        )  # fmt: skip

    def _laid_out(self, weight: torch.Tensor) -> torch.Tensor:
        """[blocks, steps, outputs of a block, inputs of a step]; missing outputs are zeros."""
        each, block = self._arithmetic.inputs, self._arithmetic.block
        steps = self._inputs // each
        laid = weight.new_empty((self._blocks, steps, block, each))
        # What a step takes of an output moves as one number.
        unit = np.int32 if each * weight.itemsize == _UNIT else np.int16
        given, out = (
            tensor.view(torch.uint8).numpy().view(unit) for tensor in (weight.contiguous(), laid)
        )
        _lay_out(given, out.reshape(self._blocks, steps, block))
        return laid

    def _padded(self, values: Floats) -> Floats:
        missing = self._blocks * self._arithmetic.block - self._outputs
        return np.concatenate([values, np.zeros(missing, np.float32)]) if missing else values


@compiled
def _lay_out(weights, out):
    """Weights [outputs, steps] into blocks [blocks, steps, outputs of a block]."""
    outputs = weights.shape[0]
    blocks, steps, block = out.shape
    for own in range(blocks):
        for step in range(steps):
            for i in range(block):
                row = own * block + i
                out[own, step, i] = weights[row, step] if row < outputs else 0


@compiled
def _share(entry, work, threads, most, states, stride, rows, steps, weights, blocks, bias, out):
    """Describe the task for `work` and have it done."""
    task = np.empty(_ITEMS, np.int64)
    task[0] = 0
    task[1], task[2], task[3], task[4] = rows, steps, blocks, stride
    task[5] = max(1, blocks // (_SHARES * threads)) if rows <= most else 1
    task[11] = threads
    task[6], task[7], task[8] = states, weights, out
    task[9], task[10] = bias.ctypes.data, bias.size
    fork(entry, work, pointer(task.ctypes.data, task), threads)
    # Read once more, so that it is not freed before.
    return task[0]


@cache
def _work(arithmetic: Arithmetic, stored: type[np.generic]) -> Any:
    """What each thread does, as C sees it, for states stored so."""
    version = VERSION
    *_, most = arithmetic.tiles
    kind = ARITHMETICS.index(arithmetic)
    block = arithmetic.block
    step_bytes = VECTORS * arithmetic.step_bytes

    def work(task):
        if version == 0:  # named, so that it tells kept kernels apart
            return
        t = numba.carray(task, (_ITEMS,))
        rows, steps, blocks, stride, share = t[1], t[2], t[3], t[4], t[5]
        floats = np.empty(0, np.float32)
        out = at(t[8], np.empty(0, stored), (rows, blocks, block))
        bias = at(t[9], floats, (blocks, block))
        sums = np.empty((most, block), np.float32)
        sums_at = sums.ctypes.data
        while True:
            first = take(task) * share
            if first >= blocks:
                break
            for own in range(first, min(first + share, blocks)):
                weights = t[7] + own * steps * step_bytes
                # One tile reads ahead of itself, several have the next block fetched meanwhile.
                begin, pace, ahead = 0, step_bytes, weights + _DISTANCE
                if rows > most:
                    pace, ahead = step_bytes * most // rows, weights + t[11] * steps * step_bytes
                    if own + t[11] >= blocks:
                        pace, ahead = 0, weights
                while begin < rows:
                    last = min(rows - begin, most) - 1
                    states = t[6] + begin * stride
                    if last == 0:
                        tile(states, stride, last, weights, steps, ahead, pace, sums_at, kind, 1)
                    elif last == 1:
                        tile(states, stride, last, weights, steps, ahead, pace, sums_at, kind, 2)
                    elif last < 4:
                        tile(states, stride, last, weights, steps, ahead, pace, sums_at, kind, 4)
                    else:
                        tile(states, stride, last, weights, steps, ahead, pace, sums_at, kind, most)
                    for row in range(last + 1):
                        for i in range(block):
                            value = sums[row, i]
                            if t[10]:
                                value += bias[own, i]
                            out[begin + row, own, i] = stored_in(out, value)
                    begin += last + 1
                    ahead += pace * steps

    signature = types.void(types.CPointer(types.int64))
    return numba.cfunc(signature, fastmath=FASTMATH, cache=IS_KEPT, error_model="numpy")(work)
