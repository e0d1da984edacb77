"""Matmul by block-quantised weights: states become bytes, weights stay as they are in memory.

Each 32 of a row's states share a scale, so that a few large ones do not take what is in the others,
and a row's result does not depend on those beside it. Sums are whole numbers within a group of
weights and fp32 beyond. Blocks of outputs are shared among torch's own threads.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false, reportMissingTypeStubs=false, reportCallIssue=false, reportPrivateImportUsage=false
# numba infers types; what is in a kernel is not Python's.

from collections.abc import Iterator
from functools import cache
from typing import Any, Self

import numba
import numpy as np
import torch
from numba.core import types

from bot.engine.kernels.arrays import NOTHING, numbers, seen
from bot.engine.kernels.block_format import FORMATS, GROUP, BlockFormat
from bot.engine.kernels.block_reading import Bytes, Numbers, empty, lay_out, unpacked
from bot.engine.kernels.block_tile import (
    BYTE_ARITHMETICS,
    ByteArithmetic,
    block_tile,
    byte_arithmetic,
)
from bot.engine.kernels.elementwise import (
    FASTMATH,
    IS_KEPT,
    VERSION,
    at,
    compiled,
    number,
    pointer,
    stored_in,
)
from bot.engine.kernels.threads import fork, parallel_entry, take

DTYPES = (torch.bfloat16, torch.float32)
"""What states may be."""

PIECE = 1 << 22
"""So many weights are unpacked at a time."""

_SHARES = 4
"""Parts that a thread's work has: so that one that is held up leaves the rest to the others."""

_DISTANCE = 4096
"""So many bytes ahead of what is multiplied are weights fetched, where they are read once."""

_ONE = 1 << 16
"""The unit of the pace at which weights are fetched."""

# What describes a task, by its place.
(
    _TAKEN, _ROWS, _SUPERS, _BLOCKS, _SHARE, _THREADS, _STATES, _SCALES, _TOTALS, _WEIGHTS, _BIAS,
    _HAS_BIAS, _OUT, _BLOCK_BYTES,
) = range(14)  # fmt: skip
_ITEMS = 16

_MOST, _HALF, _ZERO = np.float32(127), np.float32(0.5), np.float32(0)


class BlockProduct:
    """Weights [outputs, inputs] in blocks, and a bias [outputs]."""

    def __init__(
        self,
        kind: BlockFormat,
        outputs: int,
        inputs: int,
        bias: torch.Tensor | None = None,
        way: ByteArithmetic | None = None,
    ) -> None:
        if inputs % kind.inputs:
            raise NotImplementedError(f"{kind.name} has no rows of {inputs} weights")
        self.kind, self.outputs, self.inputs = kind, outputs, inputs
        self._way = way or byte_arithmetic()
        self._laid = empty(outputs, inputs, kind, self._way.lanes)
        self._bias = NOTHING
        if bias is not None:
            self._bias = np.zeros(len(self._laid) * self._way.block, np.float32)
            self._bias[:outputs] = numbers(bias)

    @classmethod
    def of(
        cls,
        raw: Bytes,
        kind: BlockFormat,
        bias: torch.Tensor | None = None,
        way: ByteArithmetic | None = None,
    ) -> Self:
        """Weights as GGML stores them, [outputs, bytes of a row]."""
        inputs = raw.shape[1] // kind.raw_bytes * kind.inputs
        product = cls(kind, len(raw), inputs, bias, way)
        product.fill(0, raw)
        return product

    def fill(self, first: int, raw: Bytes, order: Numbers | None = None) -> None:
        """Set the weights of the outputs from `first`: rows as GGML stores them, in the order of
        their numbers where it is another. Once for each output. Raises `ValueError` where a scale
        is not a finite number.
        """
        order = np.arange(len(raw)) if order is None else order
        if not lay_out(raw, order, first, self._laid, self.kind, self._way.lanes):
            raise ValueError("a scale is not a number")

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """States [..., inputs], contiguous or not, to [..., outputs]."""
        rows = states.reshape(-1, self.inputs)
        if rows.dtype not in DTYPES:
            raise RuntimeError(f"states are {rows.dtype}, not of {DTYPES}")
        width = len(self._laid) * self._way.block
        out = rows.new_empty((rows.shape[0], width))
        if rows.shape[0]:
            self._multiply(rows.contiguous(), out)
        if width != self.outputs:
            out = out[:, : self.outputs].contiguous()
        return out.view(*states.shape[:-1], self.outputs)

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias [outputs], fp32."""
        return torch.from_numpy(self._bias[: self.outputs]) if self._bias.size else None

    @property
    def nbytes(self) -> int:
        """What the weights take in memory."""
        return self._laid.nbytes

    def rows(self, numbers: torch.Tensor) -> torch.Tensor:
        """Single rows of the weights by their numbers [...], fp32 [..., inputs]."""
        out = torch.empty((numbers.numel(), self.inputs))
        unpacked(self._laid, numbers.reshape(-1).numpy(), self.kind, self._way.lanes, out.numpy())
        return out.view(*numbers.shape, self.inputs)

    def weights(self) -> Iterator[torch.Tensor]:
        """The weights [rows, inputs], fp32, some rows at a time."""
        few = max(1, PIECE // self.inputs)
        for first in range(0, self.outputs, few):
            yield self.rows(torch.arange(first, min(first + few, self.outputs)))

    def _multiply(self, rows: torch.Tensor, out: torch.Tensor) -> None:
        count = rows.shape[0]
        given = seen(rows)
        states = np.empty((count, self.inputs), np.int8)
        scales = np.empty((count, self.inputs // GROUP), np.float32)
        shared = GROUP // self.kind.scales_in_group
        totals = np.empty((count, self.inputs // shared), np.float32)
        _to_bytes(given, shared, states, scales, totals)
        _share(
            parallel_entry(), _work(self._way, self.kind, given.dtype.type).address,
            torch.get_num_threads(), self._way.tiles[-1], states.ctypes.data, scales.ctypes.data,
            totals.ctypes.data, count, self.inputs // self.kind.inputs, self._laid, self._bias,
            out.data_ptr(),
        )  # fmt: skip


@compiled
def _to_bytes(states, shared, whole, scales, totals):
    """States [rows, inputs] in whole numbers from -127 to 127, a scale for each 32 of them, and for
    each `shared` of them their sum times the scale.
    """
    for row in range(states.shape[0]):
        for group in range(scales.shape[1]):
            begin = group * GROUP
            largest = _ZERO
            for i in range(GROUP):
                largest = max(largest, abs(number(states[row, begin + i])))
            scale = largest / _MOST
            factor = _MOST / largest if largest > _ZERO else _ZERO
            for part in range(begin, begin + GROUP, shared):
                total = np.int32(0)
                for i in range(part, part + shared):
                    value = number(states[row, i]) * factor
                    near = np.int32(value + (_HALF if value > _ZERO else -_HALF))
                    whole[row, i] = np.int8(near)
                    total += near
                totals[row, part // shared] = scale * np.float32(total)
            scales[row, group] = scale


@compiled
def _share(entry, work, threads, most, states, scales, totals, rows, supers, laid, bias, out):
    """Describe the task for `work` and have it done."""
    task = np.zeros(_ITEMS, np.int64)
    blocks = laid.shape[0]
    task[_ROWS], task[_SUPERS], task[_BLOCKS], task[_THREADS] = rows, supers, blocks, threads
    task[_SHARE] = max(1, blocks // (_SHARES * threads)) if rows <= most else 1
    task[_STATES], task[_SCALES], task[_TOTALS] = states, scales, totals
    task[_WEIGHTS], task[_BLOCK_BYTES], task[_OUT] = laid.ctypes.data, laid.shape[1], out
    task[_BIAS], task[_HAS_BIAS] = bias.ctypes.data, bias.size
    fork(entry, work, pointer(task.ctypes.data, task), threads)
    # Read once more, so that it is not freed before.
    return task[_TAKEN]


@cache
def _work(way: ByteArithmetic, kind: BlockFormat, stored: type[np.generic]) -> Any:
    """What each thread does, as C sees it, for states stored so."""
    version = VERSION
    *_, most = way.tiles
    block, way_number, kind_number = way.block, BYTE_ARITHMETICS.index(way), FORMATS.index(kind)
    groups, per_group = kind.groups, kind.scales_in_group

    def work(task):
        if version == 0:  # named, so that it tells kept kernels apart
            return
        t = numba.carray(task, (_ITEMS,))
        rows, supers, blocks, block_bytes = t[_ROWS], t[_SUPERS], t[_BLOCKS], t[_BLOCK_BYTES]
        out = at(t[_OUT], np.empty(0, stored), (rows, blocks, block))
        bias = at(t[_BIAS], np.empty(0, np.float32), (blocks, block))
        sums = np.empty((most, block), np.float32)
        sums_at = sums.ctypes.data
        count = supers * groups
        while True:
            first = take(task) * t[_SHARE]
            if first >= blocks:
                break
            for own in range(first, min(first + t[_SHARE], blocks)):
                weights = t[_WEIGHTS] + own * block_bytes
                # One tile reads ahead of itself, several have the next block fetched meanwhile.
                begin, pace, ahead = 0, _ONE, weights + _DISTANCE
                if rows > most:
                    pace, ahead = _ONE * most // rows, weights + t[_THREADS] * block_bytes
                    if own + t[_THREADS] >= blocks:
                        pace, ahead = 0, weights
                while begin < rows:
                    last = min(rows - begin, most) - 1
                    states = t[_STATES] + begin * count * 32
                    scales = t[_SCALES] + begin * count * 4
                    totals = t[_TOTALS] + begin * count * 4 * per_group
                    if last == 0:
                        block_tile(
                            states,
                            scales,
                            totals,
                            last,
                            weights,
                            supers,
                            ahead,
                            pace,
                            sums_at,
                            way_number,
                            kind_number,
                            1,
                        )
                    elif last == 1:
                        block_tile(
                            states,
                            scales,
                            totals,
                            last,
                            weights,
                            supers,
                            ahead,
                            pace,
                            sums_at,
                            way_number,
                            kind_number,
                            2,
                        )
                    elif last < 4:
                        block_tile(
                            states,
                            scales,
                            totals,
                            last,
                            weights,
                            supers,
                            ahead,
                            pace,
                            sums_at,
                            way_number,
                            kind_number,
                            4,
                        )
                    else:
                        block_tile(
                            states,
                            scales,
                            totals,
                            last,
                            weights,
                            supers,
                            ahead,
                            pace,
                            sums_at,
                            way_number,
                            kind_number,
                            most,
                        )
                    for row in range(last + 1):
                        for i in range(block):
                            value = sums[row, i]
                            if t[_HAS_BIAS]:
                                value += bias[own, i]
                            out[begin + row, own, i] = stored_in(out, value)
                    begin += last + 1
                    ahead += (pace * block_bytes) >> 16

    signature = types.void(types.CPointer(types.int64))
    return numba.cfunc(signature, fastmath=FASTMATH, cache=IS_KEPT, error_model="numpy")(work)
