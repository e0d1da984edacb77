"""Rows in slots: which slot holds which row, who is prefilled and who decodes.

What is the same for both kinds of model; how tokens go through the model is each kind's own.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bot.engine.batching.row import Row
from bot.engine.cache.kv_cache import LayerContent, SlotCache
from bot.engine.cache.prefix_cache import Prefix
from bot.engine.checkpoint.blueprint import Blueprint
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.text.speculation import PASS_TOKENS, guesses_a_row


@dataclass(frozen=True, slots=True)
class _Suspended:
    """What a resting row was fed, by cache, and whether it had begun to decode."""

    content: Sequence[Sequence[LayerContent]]
    lengths: Sequence[int]
    is_decoding: bool


def pass_tokens(blueprint: Blueprint) -> int:
    """How many tokens a pass may take for what one takes. More only where the kernels are flat, and
    never where rows must be exact: sums of several tokens differ in their last digits.
    """
    is_half = blueprint.dtype is torch.bfloat16 and blueprint.packs
    is_flat = blueprint.device.type != "cpu" or is_half
    is_free = is_flat and not blueprint.is_exact
    return PASS_TOKENS if is_free else 1


class SlotBatch(ABC):
    """Rows of one model. The first slots hold the rows that decode, all in one pass a step; behind
    them stand those whose prompt is being prefilled. Prefill and decode steps alternate, unless a
    pass takes both.
    """

    def __init__(self, checkpoint: Checkpoint, said: SlotCache, *others: SlotCache) -> None:
        self._checkpoint = checkpoint
        self._said = said
        self._caches = (said, *others)
        self.pass_tokens = pass_tokens(checkpoint.blueprint)
        self._rows: list[Row] = []
        self._decoding = 0
        self._takes_both = False
        self._has_decoded = True
        self._suspended: dict[Row, _Suspended] = {}
        self.fed: Sequence[Row] = ()

    @property
    def checkpoint(self) -> Checkpoint:
        """The model."""
        return self._checkpoint

    @property
    def rows(self) -> Sequence[Row]:
        """The rows by slot."""
        return self._rows

    def join(self, row: Row, prefix: Prefix | None = None) -> int:
        """Let a row in, behind all others."""
        self._rows.append(row)
        try:
            with torch.inference_mode():
                for cache in self._caches:
                    cache.open()
                return self._begin(row, prefix)
        except Exception:
            self._rows.pop()
            for cache in self._caches:
                cache.close_from(len(self._rows))
            raise

    def fork(self, row: Row, of: Row) -> None:
        """Let a row in that has been fed exactly what `of` has: it decodes at once."""
        self.join(row)
        source = self._rows.index(of)
        self._undo_guesses(source)
        with torch.inference_mode():
            for cache in self._caches:
                cache.copy(source, len(self._rows) - 1)
            self._promote(len(self._rows) - 1)

    def leave(self, row: Row) -> None:
        """Let a row out; the last of its kind moves into the hole."""
        if self._suspended.pop(row, None) is not None:
            return
        slot = self._rows.index(row)
        with torch.inference_mode():
            if slot < self._decoding:
                self._decoding -= 1
                self._move(self._decoding, slot)
                slot = self._decoding
            self._move(len(self._rows) - 1, slot)
        self._rows.pop()
        for cache in self._caches:
            cache.close_from(len(self._rows))
            if not self._rows:
                cache.release()

    def prefix(self, row: Row, tokens: int | None = None) -> Prefix | None:
        """A copy of what a row was fed; nothing of one that rests."""
        if row in self._suspended:
            return None
        slot = self._rows.index(row)
        self._undo_guesses(slot)
        with torch.inference_mode():
            return self._kept(slot, tokens)

    def suspend(self, row: Row) -> None:
        """Let a row rest, outside all slots."""
        slot = self._rows.index(row)
        self._undo_guesses(slot)
        with torch.inference_mode():
            resting = _Suspended(
                [cache.read(slot) if cache.lengths[slot] else [] for cache in self._caches],
                [cache.lengths[slot] for cache in self._caches],
                is_decoding=slot < self._decoding,
            )
        self.leave(row)
        self._suspended[row] = resting

    def resume(self, row: Row) -> None:
        """Let a suspended row go on where it stopped."""
        resting = self._suspended[row]
        self.join(row)
        del self._suspended[row]
        slot = len(self._rows) - 1
        with torch.inference_mode():
            for cache, content, length in zip(
                self._caches, resting.content, resting.lengths, strict=True
            ):
                if length:
                    cache.write(slot, content, length)
            if resting.is_decoding:
                self._promote(slot)

    def step(self) -> Sequence[Row]:
        """One forward pass: of everybody who decodes, of somebody's prompt, or of both."""
        waiting = len(self._rows) > self._decoding
        self._has_decoded = not (waiting and (self._has_decoded or not self._decoding))
        self.fed = ()
        for slot in range(self._decoding):
            self._undo_guesses(slot)
        decodes = self._has_decoded or self._takes_both
        prefills = waiting and (not self._has_decoded or self._takes_both)
        with torch.inference_mode():
            return self._forward(self._decoding if decodes else 0, prefills=prefills)

    @abstractmethod
    def bytes_with(self, rows: int, prompt_tokens: int, answer_tokens: int) -> int:
        """The memory with so many more rows of this length: slots are as long as the longest."""

    @abstractmethod
    def _begin(self, row: Row, prefix: Prefix | None) -> int:
        """Prepare the newest row; how many tokens a prefix saved."""

    @abstractmethod
    def _forward(self, decoding: int, *, prefills: bool) -> Sequence[Row]:
        """One forward pass of the first rows, or for rows that are not decoding yet; for both where
        a pass takes both.
        """

    @abstractmethod
    def _kept(self, slot: int, tokens: int | None) -> Prefix | None:
        """What a slot's row was fed, or its first tokens."""

    def _guesses(self, rows: Sequence[Row]) -> Sequence[Sequence[int]]:
        """What is guessed of each decoding row; nothing where many rows fill a pass already."""
        most = guesses_a_row(len(rows), self.pass_tokens)
        return [row.guess(most) if most else () for row in rows]

    def _undo_guesses(self, slot: int) -> None:
        """What was fed and not said does not count: it is written over."""
        self._said.lengths[slot] -= self._rows[slot].forget_guesses()

    def _promote(self, slot: int) -> None:
        """The prompt of a slot's row is prefilled: it decodes from now on."""
        first = self._decoding
        for cache in self._caches:
            cache.swap(slot, first)
        self._rows[slot], self._rows[first] = self._rows[first], self._rows[slot]
        self._decoding += 1

    def _move(self, source: int, target: int) -> None:
        if source == target:
            return
        for cache in self._caches:
            cache.copy(source, target)
        self._rows[target] = self._rows[source]
