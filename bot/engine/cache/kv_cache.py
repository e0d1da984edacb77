"""The slot cache: keys and values of many rows, preallocated, each row with a length of its own.

A row's tokens lie in its slot from the front; what lies behind its length is never attended to.
It follows transformers' cache interface and knows neither models nor requests. On the CPU room that
nothing was written to takes no memory, so it is made generously and seldom.
"""
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# transformers' cache classes are only partly typed.

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin
from typing_extensions import override

from bot.engine.machine.memory import populate

CAPACITY_STEP = 64
"""Slots grow by whole steps of this many tokens."""

SLOT_STEP = 16
"""On the CPU so many slots are made at once."""

POPULATED_AHEAD = 32
"""Memory for so many tokens of a row is asked for together."""

LayerContent = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one row in one layer, each [tokens, heads, head size]."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Where the tokens of one forward pass go.

    The pass has a width of `positions.shape[1]` tokens a row, right-aligned: a row with fewer
    tokens than others has padding before them. `positions` [rows, width] are those in the row's
    text, negative where there is padding. Keys are read up to `longest` tokens of a slot. They are
    `written` to these places of the slots one after another, each of `capacity`.
    """

    slots: slice | torch.Tensor
    positions: torch.Tensor
    written: torch.Tensor
    longest: int
    capacity: int = 0

    @property
    def position_ids(self) -> torch.Tensor:
        """Positions [rows, width] as models take them; padding counts as the first."""
        return self.positions.clamp(min=0)

    def mask(self, dtype: torch.dtype, window: int | None = None) -> torch.Tensor:
        """What is added to attention scores, [rows, 1, width, longest].

        A token sees itself and what came before it in its row, of that the last `window` tokens
        with itself where there is a window.
        """
        keys = torch.arange(self.longest, device=self.positions.device)
        queries = self.position_ids[:, :, None]
        is_hidden = keys > queries
        if window is not None:
            is_hidden |= keys <= queries - window
        return hiding(is_hidden, dtype)[:, None]


def zeros(shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """Zeros of a tensor's type and device; on the CPU the system gives a page of them when it is
    written to, and takes them back with the tensor. Raises `MemoryError`.
    """
    size = prod(shape) * like.element_size()
    if like.device.type != "cpu" or size == 0:
        return like.new_zeros(tuple(shape))
    try:
        pages = mmap.mmap(-1, size, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise MemoryError from error
    return torch.frombuffer(pages, dtype=like.dtype).view(tuple(shape))


def hiding(is_hidden: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The additive mask for what is hidden: finite, so that a row of padding gives numbers."""
    mask = torch.zeros(is_hidden.shape, dtype=dtype, device=is_hidden.device)
    return mask.masked_fill_(is_hidden, torch.finfo(dtype).min)


class SlotLayer(CacheLayerMixin):
    """One layer: keys and values [slots, capacity, heads, head size]."""

    def __init__(self) -> None:
        super().__init__()
        self.pass_: Pass | None = None
        self.slots, self.capacity = 0, 0
        self._stored: LayerContent | None = None

    @override
    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate for keys and values [rows, heads, tokens, head size]."""
        self._stored = (self._allocated(key_states), self._allocated(value_states))
        self.is_initialized = True

    def _allocated(self, states: torch.Tensor) -> torch.Tensor:
        # Zeros: what is masked counts nothing, but only if it is a number.
        return zeros((self.slots, self.capacity, states.shape[1], states.shape[3]), states)

    @override
    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the pass's keys and values and return all that its rows may attend to."""
        if self._stored is None:
            self.lazy_initialization(key_states, value_states)
        assert self._stored is not None
        assert self.pass_ is not None
        for stored, states in zip(self._stored, (key_states, value_states), strict=True):
            flat = stored.view(-1, stored.shape[2], stored.shape[3])
            tokens = states.transpose(1, 2).reshape(-1, stored.shape[2], stored.shape[3])
            flat.index_copy_(0, self._places(self.pass_), tokens)
        keys, values = self.readable()
        return keys, values

    def _places(self, planned: Pass) -> torch.Tensor:
        """Where the pass writes; after a failed growth this layer may have larger slots."""
        if self.capacity == planned.capacity:
            return planned.written
        slots = planned.written.div(planned.capacity, rounding_mode="floor")
        return slots * self.capacity + planned.written % planned.capacity

    def readable(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What the pass's rows may attend to, [rows, heads, longest, head size]."""
        assert self._stored is not None
        assert self.pass_ is not None
        keys, values = (
            stored[self.pass_.slots, : self.pass_.longest].transpose(1, 2)
            for stored in self._stored
        )
        return keys, values

    def content(self, like: torch.Tensor) -> LayerContent:
        """Keys and values of all slots, [slots, capacity, heads, head size] each, allocated for
        states like these [heads, head size] if nothing was written yet.
        """
        if self._stored is None:
            self.lazy_initialization(like[None, :, None], like[None, :, None])
        assert self._stored is not None
        return self._stored

    def resize(self, slots: int, capacity: int, lengths: Sequence[int]) -> None:
        """Make room; what the slots hold stays."""
        if self._stored is not None:
            keys, values = (zeros((slots, capacity, *s.shape[2:]), s) for s in self._stored)
            for stored, larger in zip(self._stored, (keys, values), strict=True):
                for slot, length in enumerate(lengths):
                    if length:
                        larger[slot, :length] = stored[slot, :length]
            self._stored = keys, values
        self.slots, self.capacity = slots, capacity

    def release(self) -> None:
        """Give the memory back."""
        self._stored, self.keys, self.values = None, None, None
        self.slots, self.capacity = 0, 0
        self.is_initialized = False

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy a slot's first tokens into another slot."""
        if self._stored is not None:
            for stored in self._stored:
                stored[target, :length] = stored[source, :length]

    def swap(self, one: int, other: int, length: int) -> None:
        """Let the first tokens of two slots change places."""
        for stored in self._stored or ():
            stored[[one, other], :length] = stored[[other, one], :length]

    def read(self, slot: int, length: int) -> LayerContent:
        """A copy of a slot's first tokens."""
        assert self._stored is not None
        return self._stored[0][slot, :length].clone(), self._stored[1][slot, :length].clone()

    def write(self, slot: int, content: LayerContent, length: int) -> None:
        """Fill a slot's front."""
        if self._stored is None:
            keys, values = (each.transpose(0, 1)[None] for each in content)
            self.lazy_initialization(keys, values)
        assert self._stored is not None
        for stored, given in zip(self._stored, content, strict=True):
            stored[slot, :length] = given[:length]

    def populate(self, slot: int, start: int, end: int) -> None:
        """Have memory for a slot's tokens from `start` to `end`."""
        for stored in self._stored or ():
            room = stored[slot, start:end]
            populate(room.data_ptr(), room.numel() * room.element_size())

    @property
    def slot_bytes(self) -> int:
        """What one slot takes when it is full."""
        stored = self._stored or ()
        return sum(each[0].numel() * each.element_size() for each in stored)

    @override
    def get_seq_length(self) -> int:
        return 0 if self.pass_ is None else self.pass_.longest - self.pass_.positions.shape[1]

    @override
    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return (query_length if self.pass_ is None else self.pass_.longest), 0

    @override
    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):
    """Slots for rows, numbered from 0 without holes; `lengths` are the tokens that each holds.

    Slots and their capacity grow as they are needed; `release` gives everything back.
    """

    def __init__(self, layers: int, device: torch.device) -> None:
        self._layers = [SlotLayer() for _ in range(layers)]
        super().__init__(layers=list(self._layers))
        self._device = device
        self._slots, self._capacity = 0, 0
        self._slot_step = SLOT_STEP if device.type == "cpu" else 1
        self._populated: dict[int, int] = {}
        self.lengths: list[int] = []
        self._used = 0

    @property
    def size_bytes(self) -> int:
        """What it takes in memory at most: room that no row had yet takes none."""
        return self._used * sum(layer.slot_bytes for layer in self._layers)

    def grown(self, slots: int, tokens: int) -> tuple[int, int]:
        """Slots that take memory and capacity after room was made for so many slots and tokens a
        slot.
        """
        # One position more than any row fills: padding is written there.
        capacity = -(-(tokens + 1) // CAPACITY_STEP) * CAPACITY_STEP
        return max(self._used, slots), max(self._capacity, capacity)

    def reserve(self, slots: int, tokens: int) -> None:
        """Make room for so many slots, and so many tokens in each. Raises `MemoryError` or torch's
        own error; everything is as it was then.
        """
        used, capacity = self.grown(slots, tokens)
        room = max(self._slots, -(-used // self._slot_step) * self._slot_step)
        try:
            self._resize(room, capacity)
        except MemoryError:
            # Where the system counts room that nothing was written to.
            self._resize(max(self._slots, used), capacity)
        self._used = used

    def _resize(self, slots: int, capacity: int) -> None:
        if (slots, capacity) == (self._slots, self._capacity):
            return
        for layer in self._layers:  # one after another: no more than one is there twice
            layer.resize(slots, capacity, self.lengths)
        self._slots, self._capacity = slots, capacity
        self._populated.clear()

    def open(self) -> int:
        """A new, empty slot, numbered after all others."""
        self.lengths.append(0)
        self.reserve(len(self.lengths), 0)
        return len(self.lengths) - 1

    def close_from(self, slot: int) -> None:
        """Close this slot and those numbered after it."""
        del self.lengths[slot:]

    def copy(self, source: int, target: int) -> None:
        """Make a slot hold what another one holds."""
        for layer in self._layers:
            layer.copy(source, target, self.lengths[source])
        self.lengths[target] = self.lengths[source]

    def swap(self, one: int, other: int) -> None:
        """Let two slots change places."""
        if one == other:
            return
        lengths = self.lengths
        for layer in self._layers:
            layer.swap(one, other, max(lengths[one], lengths[other]))
        lengths[one], lengths[other] = lengths[other], lengths[one]

    def read(self, slot: int, tokens: int | None = None) -> list[LayerContent]:
        """A copy of what a slot holds, or of its first tokens, layer by layer."""
        length = self.lengths[slot] if tokens is None else min(tokens, self.lengths[slot])
        return [layer.read(slot, length) for layer in self._layers]

    def write(self, slot: int, content: Sequence[LayerContent], length: int) -> None:
        """Make a slot hold the first `length` tokens of what was read from one."""
        self.reserve(0, length)
        for layer, one in zip(self._layers, content, strict=True):
            layer.write(slot, one, length)
        self.lengths[slot] = length

    def release(self) -> None:
        """Give the memory back. No slot may be open."""
        assert not self.lengths
        self._slots, self._capacity, self._used = 0, 0, 0
        self._populated.clear()
        for layer in self._layers:
            layer.release()

    def begin(self, slots: Sequence[int], counts: Sequence[int]) -> Pass:
        """Plan a forward pass that feeds `counts` tokens to these slots' rows."""
        width = max(counts)
        lengths = [self.lengths[s] + count for s, count in zip(slots, counts, strict=True)]
        self.reserve(0, max(lengths))
        ends = torch.tensor(lengths)
        firsts = torch.tensor([self.lengths[slot] for slot in slots])[:, None]
        positions = ends[:, None] - width + torch.arange(width)
        is_padding = positions < firsts
        written = torch.where(is_padding, self._capacity - 1, positions)
        written = written + torch.tensor(slots)[:, None] * self._capacity
        positions = torch.where(is_padding, -1, positions)
        is_run = list(slots) == list(range(slots[0], slots[0] + len(slots)))
        planned = Pass(
            slots=slice(slots[0], slots[0] + len(slots)) if is_run
            else torch.tensor(slots, device=self._device),
            positions=positions.to(self._device),
            written=written.flatten().to(self._device),
            longest=int(ends.max()),
            capacity=self._capacity,
        )  # fmt: skip
        self._show(planned)
        return planned

    def contents(self, like: torch.Tensor) -> Sequence[LayerContent]:
        """Each layer's keys and values, for states like these [heads, head size]."""
        return [layer.content(like) for layer in self._layers]

    def populate(self, slots: Sequence[int], ends: Sequence[int]) -> None:
        """Have memory for these slots' first tokens, so many each, and for some behind them."""
        # Of several tokens of a slot the last one counts.
        for slot, end in dict(zip(slots, ends, strict=True)).items():
            start = self._populated.get(slot, 0)
            if end > start:
                until = min(self._capacity, end + POPULATED_AHEAD)
                for layer in self._layers:
                    layer.populate(slot, start, until)
                self._populated[slot] = until

    def finish(self, slots: Sequence[int], counts: Sequence[int]) -> None:
        """The planned pass was computed: the rows are that much longer."""
        for slot, count in zip(slots, counts, strict=True):
            self.lengths[slot] += count

    def show(self, rows: int) -> torch.Tensor:
        """Let `layers` show what the first rows hold, for reading alone; what is hidden [rows,
        longest] is returned.
        """
        lengths = torch.tensor(self.lengths[:rows])[:, None]
        longest = int(lengths.max())
        nothing = torch.zeros((rows, 0), dtype=torch.long, device=self._device)
        self._show(Pass(slice(0, rows), nothing, nothing, longest))
        for layer in self._layers:
            layer.keys, layer.values = layer.readable()
        return (torch.arange(longest) >= lengths).to(self._device)

    def _show(self, planned: Pass) -> None:
        for layer in self._layers:
            layer.pass_ = planned
