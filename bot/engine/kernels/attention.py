"""The compiled attention of few tokens over the slot cache, each over as much as its row holds.

Its parts are shared among torch's own threads, so that no second pool of them competes for the
cores. `elementwise` says how the kernels see states.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false, reportMissingTypeStubs=false, reportCallIssue=false, reportPrivateImportUsage=false
# numba infers types; what stands in a kernel is not Python's.

from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from numba.core import types

from bot.engine.kernels.arrays import Floats, Integers, States
from bot.engine.kernels.elementwise import (
    FASTMATH,
    IS_KEPT,
    VERSION,
    add_scaled,
    at,
    compiled,
    dot,
    exponential,
    number,
    part,
    pointer,
    stored_in,
)
from bot.engine.kernels.threads import fork, parallel_entry, take

NO_BIAS: Floats = np.empty((0, 0), np.float32)
NO_WINDOW = 1 << 40
"""A window that is never full."""

_ITEMS = 20
"""Numbers that describe a task."""

_ZERO, _ONE = np.float32(0), np.float32(1)


@part
def _softmax(scores):
    highest = scores[0]
    for j in range(scores.size):
        highest = max(highest, scores[j])
    total = _ZERO
    for j in range(scores.size):
        weight = exponential(scores[j] - highest)
        scores[j] = weight
        total += weight
    share = _ONE / total
    for j in range(scores.size):
        scores[j] *= share


@part
def _attend_one(
    q, keys, values, start, end, first, last, scaling, bias, size, query, scores, sums, out
):
    """One token's heads `first` to `last`: q and out [heads, group, size], keys and values
    [capacity, heads, size] from `start` to `end`.
    """
    heads, group, farthest = q.shape[0], q.shape[1], bias.shape[1] - 1
    head_bytes, number_bytes = out.itemsize * size, 4 * size
    query_at, sums_at = query.ctypes.data, sums.ctypes.data
    keys_at, values_at = keys.ctypes.data, values.ctypes.data
    for head in range(first, last):
        for g in range(group):
            for i in range(size):
                query[head, g, i] = number(q[head, g, i]) * scaling
                sums[head, g, i] = _ZERO
    # Position by position over all heads: so that memory is read as it lies.
    for j in range(start, end):
        for head in range(first, last):
            for g in range(group):
                key_at = keys_at + head_bytes * (j * heads + head)
                own_at = query_at + number_bytes * (head * group + g)
                scores[head, g, j] = dot(own_at, key_at, out, size)
    for head in range(first, last):
        for g in range(group):
            if farthest >= 0:
                for j in range(start, end):
                    scores[head, g, j] += bias[head * group + g, min(end - 1 - j, farthest)]
            _softmax(scores[head, g, start:end])
    for j in range(start, end):
        for head in range(first, last):
            for g in range(group):
                value_at = values_at + head_bytes * (j * heads + head)
                own_at = sums_at + number_bytes * (head * group + g)
                add_scaled(own_at, scores[head, g, j], value_at, out, size)
    for head in range(first, last):
        for g in range(group):
            for i in range(size):
                out[head, g, i] = stored_in(out, sums[head, g, i])


@compiled
def _attend(entry, work, threads, given, keys, values, slots, ends, window, scaling, bias, out):
    """Describe the task for `work` and have it done."""
    slot_count, capacity, heads, size = keys.shape
    task = np.empty(_ITEMS, np.int64)
    tokens = ends.size
    task[0] = 0
    task[1], task[2], task[3], task[4] = tokens, slot_count, capacity, heads
    task[5] = out.shape[1] // (heads * size)
    task[6] = min(threads, heads) if tokens < 2 * threads else 1
    task[7] = ends.max()
    task[8], task[9] = slots.ctypes.data, ends.ctypes.data
    task[10], task[11] = given
    task[12], task[13], task[14] = keys.ctypes.data, values.ctypes.data, out.ctypes.data
    task[15], task[16], task[17] = bias.ctypes.data, bias.shape[0], bias.shape[1]
    task[18] = window
    task[19:].view(np.float64)[0] = scaling
    fork(entry, work, pointer(task.ctypes.data, task), threads)
    # Read once more, so that it is not freed before.
    return task[0]


class Attention:
    """The kernel for heads of a size and states stored so."""

    def __init__(self, size: int, stored: type[np.generic]) -> None:
        self._entry = parallel_entry()
        self._callback = _callback(size, stored)
        self._address = self._callback.address

    def __call__(
        self,
        queries: torch.Tensor,
        cached: tuple[States, States],
        slots: Integers,
        ends: Integers,
        scaling: float,
        out: States,
        *,
        window: int = NO_WINDOW,
        bias: Floats = NO_BIAS,
    ) -> None:
        """Attend for as many tokens as `ends` has, each over the first `ends` of its slot.

        Queries [tokens, ...] begin each token's states; `cached` are a layer's keys and values
        [slots, capacity, key heads, size]; the result goes to `out` [tokens, heads * size]. Of what
        a token could see it sees the last `window`. To scores is added a bias [heads, distance],
        the last one for all distances beyond.
        """
        given = queries.data_ptr(), queries.shape[1]
        _attend(
            self._entry, self._address, torch.get_num_threads(), given, *cached, slots, ends,
            window, scaling, bias, out,
        )  # fmt: skip


@cache
def attention(size: int, stored: type[np.generic]) -> Attention:
    """One kernel for all models whose heads have a size."""
    return Attention(size, stored)


def _callback(size: int, stored: type[np.generic]) -> Any:
    """What each thread does, as C sees it."""
    version = VERSION

    def work(task):
        if version == 0:  # named, so that it tells kept kernels apart
            return
        t = numba.carray(task, (_ITEMS,))
        tokens, slot_count, capacity, heads, group, parts = t[1], t[2], t[3], t[4], t[5], t[6]
        like = np.empty(0, stored)
        floats = np.empty(0, np.float32)
        slots, ends = at(t[8], t, (tokens,)), at(t[9], t, (tokens,))
        queries = at(t[10], like, (tokens, t[11]))
        keys = at(t[12], like, (slot_count, capacity, heads, size))
        values = at(t[13], like, (slot_count, capacity, heads, size))
        out = at(t[14], like, (tokens, heads, group, size))
        bias = at(t[15], floats, (t[16], t[17]))
        window, scaling = t[18], np.float32(t[19:].view(np.float64)[0])
        query = np.empty((heads, group, size), np.float32)
        sums = np.empty((heads, group, size), np.float32)
        scores = np.empty((heads, group, t[7]), np.float32)
        while True:
            item = take(task)
            if item >= tokens * parts:
                break
            token, share = item // parts, item % parts
            q = queries[token, : heads * group * size].reshape((heads, group, size))
            slot, end = slots[token], ends[token]
            _attend_one(
                q, keys[slot], values[slot], max(0, end - window), end,
                share * heads // parts, (share + 1) * heads // parts,
                scaling, bias, size, query, scores, sums, out[token],
            )  # fmt: skip

    signature = types.void(types.CPointer(types.int64))
    return numba.cfunc(signature, fastmath=FASTMATH, cache=IS_KEPT, error_model="numpy")(work)
