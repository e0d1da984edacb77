"""Decoder-only rows in slots: prompts in chunks, then one token a row and step."""

from collections.abc import Callable, Sequence

from typing_extensions import override

from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.cache.kv_cache import SlotCache
from bot.engine.cache.prefix_cache import Prefix
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.base import Fed, ForwardPass
from bot.engine.text.prompt import common_length

ALONE_CHUNK = 512
"""Prompt tokens a step while nobody decodes."""

SHARED_CHUNK = 128
"""Prompt tokens a step between others' decode steps: about as long as two of them take. Where rows
need no padding they go along with a decode step, which then takes about twice as long."""


class CausalBatch(SlotBatch):
    """Decoder-only rows. What a row was fed is what its slot holds."""

    def __init__(
        self, checkpoint: Checkpoint, make_pass: Callable[[Checkpoint, SlotCache], ForwardPass]
    ) -> None:
        config = checkpoint.model.config
        self._cache = SlotCache(config.num_hidden_layers, checkpoint.blueprint.device)
        super().__init__(checkpoint, self._cache)
        self._pass = make_pass(checkpoint, self._cache)
        self._takes_both = self._pass.is_ragged

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
    def _forward(self, decoding: int, *, prefills: bool) -> Sequence[Row]:
        chunks = self._next_chunks() if prefills else ()
        guesses = self._guesses(self._rows[:decoding])
        steps = [
            Fed(slot, [*self._next_ids(slot, 1), *guess], 1 + len(guess))
            for slot, guess in enumerate(guesses)
        ]
        fed = [*steps, *chunks]
        self.fed = rows = [self._rows[each.slot] for each in fed]
        ready: list[Row] = []
        guesses = [*guesses, *[()] * len(chunks)]
        for row, guess, own in zip(rows, guesses, self._pass.forward(fed), strict=True):
            if own.shape[0]:
                row.expect(own, guess)
                ready.append(row)
        for row in ready[decoding:]:
            self._promote(self._rows.index(row))
        return ready

    @override
    def _kept(self, slot: int, tokens: int | None) -> Prefix | None:
        length = self._cache.lengths[slot]
        length = length if tokens is None else min(tokens, length)
        if length == 0:
            return None
        ids = tuple(self._rows[slot].history[:length])
        return Prefix(ids, self._cache.read(slot, length))

    def _next_chunks(self) -> Sequence[Fed]:
        """The slot with the least left goes first, so that a short question waits for no long one,
        and takes along those that fit beside it, padding counted; alone where rows must be exact.
        """
        most = SHARED_CHUNK if self._decoding else ALONE_CHUNK
        first, *others = sorted(range(self._decoding, len(self._rows)), key=self._left)
        slots, taken = [first], self._left(first)
        if not self._checkpoint.blueprint.is_exact:
            for slot in others:
                left = self._left(slot)
                taken = taken + left if self._pass.is_ragged else left * (len(slots) + 1)
                if taken > most:
                    break
                slots.append(slot)
        return [
            Fed(slot, self._next_ids(slot, most), 1 if self._left(slot) <= most else 0)
            for slot in slots
        ]

    def _left(self, slot: int) -> int:
        return len(self._rows[slot].history) - self._cache.lengths[slot]

    def _next_ids(self, slot: int, most: int) -> list[int]:
        start = self._cache.lengths[slot]
        return self._rows[slot].history[start : start + most]
