"""Matrix products of few rows, compiled: weights are read as fast as memory gives them.

Weights lie in blocks of outputs, in the order in which they are needed. Blocks are shared among
torch's own threads. In 8 bits the states become bytes as well, by a scale of each row's own, so
that a row's result does not depend on the rows beside it.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false, reportMissingTypeStubs=false, reportCallIssue=false, reportPrivateImportUsage=false
# numba infers types; what stands in a kernel is not Python's.

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from numba.core import types
from typing_extensions import override

from bot.engine.kernels.arrays import NOTHING, Floats, numbers, seen
from bot.engine.kernels.elementwise import (
    FASTMATH,
    IS_KEPT,
    VERSION,
    at,
    compiled,
    float_of_bits,
    number,
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

_MIDDLE = 128
"""What makes a weight a byte without a sign."""

_TURNED = -0x7F7F7F80
"""The highest bit of each of four bytes: 128 more."""

NO_SUMS = np.empty(0, np.int32)
"""The sums of rows that are not bytes."""

_SMALLEST = np.int32(0x0DA20000)
"""The bits of 1e-30: what all states of a row are zeros to."""

_ZERO, _HALF, _MOST = np.float32(0), np.float32(0.5), np.float32(127)


class CompiledProduct(ABC):
    """Weights [out, in], laid out, and a bias [out]."""

    dtypes: tuple[torch.dtype, ...]
    """What states may be."""

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, arithmetic: Arithmetic
    ) -> None:
        outputs, inputs = weight.shape
        if inputs % arithmetic.inputs:
            raise NotImplementedError(
                f"{inputs} inputs are not taken {arithmetic.inputs} at a time"
            )
        self._arithmetic = arithmetic
        self._outputs, self._inputs = outputs, inputs
        self._blocks = -(-outputs // arithmetic.block)
        self._bias = NOTHING if bias is None else self._padded(numbers(bias))

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """States [..., in], contiguous or not, to [..., out]."""
        rows = states.reshape(-1, self._inputs)
        width = self._blocks * self._arithmetic.block
        out = rows.new_empty((rows.shape[0], width))
        if rows.dtype not in self.dtypes:
            raise RuntimeError(f"states are {rows.dtype}, not of {self.dtypes}")
        if rows.shape[0]:
            self._multiply(rows.contiguous(), out)
        if width != self._outputs:
            out = out[:, : self._outputs].contiguous()
        return out.view(*states.shape[:-1], self._outputs)

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias [out], fp32."""
        return torch.from_numpy(self._bias[: self._outputs]) if self._bias.size else None

    @abstractmethod
    def weights(self) -> Iterator[torch.Tensor]:
        """The weights [rows, in], some rows at a time, as they are multiplied."""

    @abstractmethod
    def _multiply(self, rows: torch.Tensor, out: torch.Tensor) -> None: ...

    def _laid_out(self, weight: torch.Tensor, turned: int = 0) -> torch.Tensor:
        """[blocks, steps, outputs of a block, inputs of a step]; missing outputs are zeros. Some
        bits of each step may be turned over.
        """
        each, block = self._arithmetic.inputs, self._arithmetic.block
        steps = self._inputs // each
        laid = weight.new_empty((self._blocks, steps, block, each))
        # What a step takes of an output moves as one number.
        unit = np.int32 if each * weight.itemsize == _UNIT else np.int16
        given, out = (
            tensor.view(torch.uint8).numpy().view(unit) for tensor in (weight.contiguous(), laid)
        )
        _lay_out(given, unit(turned), out.reshape(self._blocks, steps, block))
        return laid

    def _pieces(self, laid: torch.Tensor) -> Iterator[torch.Tensor]:
        """What `_laid_out` gave as [rows, in] again, some rows at a time."""
        block = self._arithmetic.block
        few = max(1, PIECE // (block * self._inputs))
        for first in range(0, self._blocks, few):
            rows = laid[first : first + few].transpose(1, 2).reshape(-1, self._inputs)
            yield rows[: self._outputs - first * block]

    def _padded(self, values: Floats) -> Floats:
        missing = self._blocks * self._arithmetic.block - self._outputs
        return np.concatenate([values, np.zeros(missing, np.float32)]) if missing else values


class FloatProduct(CompiledProduct):
    """Weights as they are, in bf16 or fp32, and states like them."""

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        is_half = weight.dtype is torch.bfloat16
        arithmetic = arithmetic or arithmetic_for(Numbers.BF16 if is_half else Numbers.FP32)
        super().__init__(weight, bias, arithmetic)
        self.dtypes = (weight.dtype,)
        self._weights = self._laid_out(weight)
        self._work = _work(arithmetic, np.uint16 if is_half else np.float32)

    @override
    def weights(self) -> Iterator[torch.Tensor]:
        return self._pieces(self._weights)

    @override
    def _multiply(self, rows: torch.Tensor, out: torch.Tensor) -> None:
        states = rows.float() if self._arithmetic.takes_fp32 else rows
        _share(
            parallel_entry(), self._work.address, torch.get_num_threads(),
            self._arithmetic.tiles[-1], states.data_ptr(), self._inputs * states.itemsize,
            rows.shape[0], self._inputs // self._arithmetic.inputs, self._weights.data_ptr(),
            self._blocks, self._bias, NOTHING, NOTHING, NO_SUMS, out.data_ptr(),
        )  # fmt: skip


class Int8Product(CompiledProduct):
    """Weights in whole numbers [out, in] with a scale [out] of each output."""

    dtypes = (torch.bfloat16, torch.float32)

    def __init__(
        self,
        whole: torch.Tensor,
        scale: torch.Tensor,
        bias: torch.Tensor | None,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        super().__init__(whole, bias, arithmetic or arithmetic_for(Numbers.INT8))
        self._weights = self._laid_out(whole.view(torch.uint8), _TURNED)
        self._scales = self._padded(numbers(scale))

    @property
    def whole(self) -> torch.Tensor:
        """The weights as they were given."""
        return (torch.cat([*self._pieces(self._weights)]) ^ _MIDDLE).view(torch.int8)

    @override
    def weights(self) -> Iterator[torch.Tensor]:
        scales = torch.from_numpy(self._scales)
        for piece in self._pieces(self._weights):
            own, scales = scales[: len(piece), None], scales[len(piece) :]
            yield (piece ^ _MIDDLE).view(torch.int8) * own

    @override
    def _multiply(self, rows: torch.Tensor, out: torch.Tensor) -> None:
        count = rows.shape[0]
        states = np.empty((count, self._inputs), np.int8)
        scales, sums = np.empty(count, np.float32), np.empty(count, np.int32)
        given = seen(rows)
        is_half = given.dtype == np.uint16
        patterns = given.view(np.int16 if is_half else np.int32)
        _to_bytes(given, patterns, 16 if is_half else 0, states, scales, sums)
        _share(
            parallel_entry(), _work(self._arithmetic, given.dtype.type).address,
            torch.get_num_threads(), self._arithmetic.tiles[-1],
            states.ctypes.data, self._inputs, count,
            self._inputs // self._arithmetic.inputs, self._weights.data_ptr(), self._blocks,
            self._bias, self._scales, scales, sums, out.data_ptr(),
        )  # fmt: skip


@compiled
def _lay_out(weights, turned, out):
    """Weights [outputs, steps] into blocks [blocks, steps, outputs of a block]."""
    outputs = weights.shape[0]
    blocks, steps, block = out.shape
    for own in range(blocks):
        for step in range(steps):
            for i in range(block):
                row = own * block + i
                out[own, step, i] = turned ^ (weights[row, step] if row < outputs else 0)


@compiled
def _to_bytes(states, patterns, shift, whole, scales, sums):
    """Each row of states [rows, size] in whole numbers from -127 to 127, its scale and its sum.

    `patterns` are the states' bits, which are ordered as the numbers are and compared faster;
    `shift` is how many fp32 has more.
    """
    for row in range(states.shape[0]):
        pattern = _SMALLEST >> np.int32(shift)
        for i in range(states.shape[1]):
            pattern = max(pattern, np.int32(patterns[row, i]) & np.int32(0x7FFFFFFF >> shift))
        largest = float_of_bits(np.int32(pattern << shift))
        scales[row] = largest / _MOST
        factor = _MOST / largest
        total = np.int32(0)
        for i in range(states.shape[1]):
            value = number(states[row, i]) * factor
            near = np.int32(value + (_HALF if value > _ZERO else -_HALF))
            whole[row, i] = np.int8(near)
            total += near
        sums[row] = total


@compiled
def _share(entry, work, threads, most, states, stride, rows, steps, weights, blocks, bias, scales,
           row_scales, row_sums, out):  # fmt: skip
    """Describe the task for `work` and have it done."""
    task = np.empty(_ITEMS, np.int64)
    task[0] = 0
    task[1], task[2], task[3], task[4] = rows, steps, blocks, stride
    task[5] = max(1, blocks // (_SHARES * threads)) if rows <= most else 1
    task[14] = threads
    task[6], task[7], task[8] = states, weights, out
    task[9], task[10] = bias.ctypes.data, bias.size
    task[11], task[12], task[13] = scales.ctypes.data, row_scales.ctypes.data, row_sums.ctypes.data
    fork(entry, work, pointer(task.ctypes.data, task), threads)
    # Read once more, so that it is not freed before.
    return task[0]


@cache
def _work(arithmetic: Arithmetic, stored: type[np.generic]) -> Any:
    """What each thread does, as C sees it, for states stored so."""
    version = VERSION
    *_, most = arithmetic.tiles
    kind = ARITHMETICS.index(arithmetic)
    block, is_whole = arithmetic.block, arithmetic.numbers is Numbers.INT8
    sums_of = np.int32 if is_whole else np.float32
    step_bytes = VECTORS * arithmetic.step_bytes

    def work(task):
        if version == 0:  # named, so that it tells kept kernels apart
            return
        t = numba.carray(task, (_ITEMS,))
        rows, steps, blocks, stride, share = t[1], t[2], t[3], t[4], t[5]
        floats = np.empty(0, np.float32)
        out = at(t[8], np.empty(0, stored), (rows, blocks, block))
        bias = at(t[9], floats, (blocks, block))
        scales = at(t[11], floats, (blocks, block))
        row_scales, row_sums = at(t[12], floats, (rows,)), at(t[13], np.empty(0, np.int32), (rows,))
        sums = np.empty((most, block), sums_of)
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
                    pace, ahead = step_bytes * most // rows, weights + t[14] * steps * step_bytes
                    if own + t[14] >= blocks:
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
                            if is_whole:
                                sum_of_row = np.int32(_MIDDLE) * row_sums[begin + row]
                                value = np.float32(sums[row, i] - sum_of_row)
                                value = value * row_scales[begin + row] * scales[own, i]
                            else:
                                value = sums[row, i]
                            if t[10]:
                                value += bias[own, i]
                            out[begin + row, own, i] = stored_in(out, value)
                    begin += last + 1
                    ahead += pace * steps

    signature = types.void(types.CPointer(types.int64))
    return numba.cfunc(signature, fastmath=FASTMATH, cache=IS_KEPT, error_model="numpy")(work)
