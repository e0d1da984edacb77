"""Decoder-only rows in slots: prompts in chunks, then one token a row and step."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' model calls are untyped; what leaves this module is typed.

from collections.abc import Sequence
from typing import cast

import torch
from typing_extensions import override

from bot.engine.checkpoint import Checkpoint
from bot.engine.decoding import Row
from bot.engine.prefixes import Prefix
from bot.engine.prompt import common_length
from bot.engine.slot_batch import SlotBatch
from bot.engine.slot_cache import Pass, SlotCache

ALONE_CHUNK = 512
"""Prompt tokens a step while nobody decodes."""

SHARED_CHUNK = 128
"""Prompt tokens a step between others' decode steps: about as long as two of them take."""


class CausalBatch(SlotBatch):
    """Decoder-only rows. What a row was fed is what its slot holds."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        config = checkpoint.model.config
        self._cache = SlotCache(config.num_hidden_layers, checkpoint.blueprint.device)
        super().__init__(checkpoint, self._cache)
        self._window, self._layer_types = _windows(checkpoint)

    @override
    def bytes_with(self, rows: int, prompt_tokens: int, answer_tokens: int) -> int:
        longest = max((len(row.history) for row in self._rows), default=0)
        slots, capacity = self._cache.grown(
            len(self._rows) + rows, max(longest, prompt_tokens + answer_tokens)
        )
        return slots * capacity * self._checkpoint.blueprint.row_bytes_per_token

    @override
    def _begin(self, row: Row, prefix: Prefix | None) -> int:
        self._cache.reserve(0, len(row.history) + row.tokens_left)
        if prefix is None:
            return 0
        # One token is left to feed: its logits begin the answer.
        common = min(common_length(prefix.ids, row.history), len(row.history) - 1)
        if common:
            self._cache.write(len(self._rows) - 1, prefix.layers, common)
        return common

    @override
    def _prefill(self) -> Sequence[Row]:
        slots, counts = self._next_chunks()
        logits = self._feed(slots, counts)
        rows = [self._rows[slot] for slot in slots]
        ready = [
            (row, logits[index])
            for index, (slot, row) in enumerate(zip(slots, rows, strict=True))
            if self._left(slot) == 0
        ]
        for row, own in ready:
            row.expect(own, ())
            self._promote(self._rows.index(row))
        return [row for row, _own in ready]

    @override
    def _decode(self, rows: int) -> Sequence[Row]:
        decoding = self._rows[:rows]
        guesses = self._guesses(decoding)
        logits = self._feed(range(rows), [1 + len(guess) for guess in guesses], guesses)
        for row, own, guess in zip(decoding, logits, guesses, strict=True):
            row.expect(own[-1 - len(guess) :], guess)
        return decoding

    @override
    def _kept(self, slot: int, tokens: int | None) -> Prefix | None:
        length = self._cache.lengths[slot]
        length = length if tokens is None else min(tokens, length)
        if length == 0:
            return None
        ids = tuple(self._rows[slot].history[:length])
        return Prefix(ids, self._cache.read(slot, length))

    def _next_chunks(self) -> tuple[Sequence[int], Sequence[int]]:
        """The slot with the least left goes first, so that a short question waits for no long one,
        and takes along those that fit beside it, padding counted; alone where rows must be exact.
        """
        most = SHARED_CHUNK if self._decoding else ALONE_CHUNK
        first, *others = sorted(range(self._decoding, len(self._rows)), key=self._left)
        slots = [first]
        if not self._checkpoint.blueprint.is_exact:
            for slot in others:
                if self._left(slot) * (len(slots) + 1) > most:
                    break
                slots.append(slot)
        return slots, [min(self._left(slot), most) for slot in slots]

    def _left(self, slot: int) -> int:
        return len(self._rows[slot].history) - self._cache.lengths[slot]

    def _feed(
        self,
        slots: Sequence[int],
        counts: Sequence[int],
        guesses: Sequence[Sequence[int]] | None = None,
    ) -> torch.Tensor:
        """One forward pass of the next `counts` tokens of slots' rows, guesses counted; logits
        [rows, 1 + most guesses, vocabulary] after the last ones.
        """
        self.fed = [self._rows[slot] for slot in slots]
        planned = self._cache.begin(slots, counts)
        width = planned.positions.shape[1]
        ids = [
            [0] * (width - count) + self._fed_next(slot, count - len(guess)) + [*guess]
            for slot, count, guess in zip(slots, counts, guesses or [()] * len(slots), strict=True)
        ]
        output = self._checkpoint.model(
            input_ids=torch.tensor(ids, device=planned.positions.device),
            attention_mask=self._mask(planned),
            position_ids=planned.position_ids,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1 if guesses is None else width,
        )
        self._cache.finish(slots, counts)
        return cast("torch.Tensor", output.logits).float()

    def _fed_next(self, slot: int, count: int) -> list[int]:
        start = self._cache.lengths[slot]
        return self._rows[slot].history[start : start + count]

    def _mask(self, planned: Pass) -> torch.Tensor | dict[str, torch.Tensor | None] | None:
        dtype = self._checkpoint.blueprint.dtype
        # One row without a past needs none: it is plainly causal, and so is one token.
        rows, width = planned.positions.shape
        is_plain = rows == 1 and width in (1, planned.longest)
        full = None if is_plain else planned.mask(dtype)
        if self._window is None:
            return full
        windowed = planned.mask(dtype, self._window)
        if not self._layer_types:
            return windowed
        masks = {"full_attention": full, "sliding_attention": windowed}
        return {name: masks[name] for name in self._layer_types}


def _windows(checkpoint: Checkpoint) -> tuple[int | None, frozenset[str]]:
    """The attention window, if some layers have one, and the kinds of layers if they differ."""
    config = checkpoint.model.config
    window: object = getattr(config, "sliding_window", None)
    kinds: object = getattr(config, "layer_types", None)
    layer_types = frozenset(cast("list[str]", kinds)) if isinstance(kinds, list) else frozenset()
    if not isinstance(window, int) or (layer_types and "sliding_attention" not in layer_types):
        return None, frozenset()
    return window, layer_types
