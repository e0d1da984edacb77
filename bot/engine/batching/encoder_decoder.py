"""Encoder-decoder rows in slots: the encoder once a row, then one decoder token a row and step."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportPrivateUsage=false
# transformers' model calls are untyped; what leaves this module is typed.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from typing_extensions import override

from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.cache.kv_cache import LayerContent, SlotCache
from bot.engine.cache.prefix_cache import Prefix
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.base import EncoderDecoderPass, Fed

ENCODED_TOGETHER = 512
"""Tokens, padding counted, that the encoder sees in one pass when several prompts wait."""


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """What makes one decoder layer's keys and values of the encoder's output."""

    keys: nn.Module
    values: nn.Module
    head_size: int


class EncoderDecoderBatch(SlotBatch):
    """Rows with a slot for what the decoder said and one for what the encoder gave it."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        make_pass: Callable[[Checkpoint, SlotCache, SlotCache], EncoderDecoderPass],
    ) -> None:
        self._cross_attentions = CROSS_ATTENTIONS[checkpoint.model.config.model_type](
            checkpoint.model
        )
        device, layers = checkpoint.blueprint.device, len(self._cross_attentions)
        self._said, self._encoded = SlotCache(layers, device), SlotCache(layers, device)
        super().__init__(checkpoint, self._said, self._encoded)
        self._pass = make_pass(checkpoint, self._said, self._encoded)

    @override
    def bytes_with(self, rows: int, prompt_tokens: int, answer_tokens: int) -> int:
        slots = len(self._rows) + rows
        longest_source = max((len(row.source) for row in self._rows), default=0)
        longest = max((len(row.history) for row in self._rows), default=0)
        said = self._said.grown(slots, max(longest, 1 + answer_tokens))
        encoded = self._encoded.grown(slots, max(longest_source, prompt_tokens))
        tokens = said[0] * said[1] + encoded[0] * encoded[1]
        return tokens * self._checkpoint.blueprint.row_bytes_per_token

    @override
    def _begin(self, row: Row, prefix: Prefix | None) -> int:
        """The encoder sees everything anew, but what was the same is the same."""
        self._said.reserve(0, len(row.history) + row.tokens_left)
        self._encoded.reserve(0, len(row.source))
        if prefix is None or list(prefix.ids) != row.source:
            return 0
        slot = len(self._rows) - 1
        self._encoded.write(slot, prefix.layers, len(row.source))
        self._promote(slot)
        return len(row.source)

    @override
    def _forward(self, decoding: int, *, prefills: bool) -> Sequence[Row]:
        return self._prefill() if prefills else self._decode(decoding)

    def _prefill(self) -> Sequence[Row]:
        """Encode prompts, the shortest first; a row's first token comes of its first step."""
        slots = self._next_sources()
        rows = [self._rows[slot] for slot in slots]
        self.fed = rows
        for row, content in zip(rows, self._encode([row.source for row in rows]), strict=True):
            slot = self._rows.index(row)
            self._encoded.write(slot, content, len(row.source))
            self._promote(slot)
        return ()

    def _next_sources(self) -> Sequence[int]:
        """The shortest source and those that fit beside it, padding counted; where rows must be
        exact each is encoded alone.
        """

        def length(slot: int) -> int:
            return len(self._rows[slot].source)

        first, *others = sorted(range(self._decoding, len(self._rows)), key=length)
        slots = [first]
        if not self._checkpoint.blueprint.is_exact:
            for slot in others:
                if length(slot) * (len(slots) + 1) > ENCODED_TOGETHER:
                    break
                slots.append(slot)
        return slots

    def _encode(self, sources: Sequence[Sequence[int]]) -> Sequence[Sequence[LayerContent]]:
        """What each source gives the decoder's layers to attend to."""
        encoded = self._pass.encode(sources)
        states, lengths = torch.cat([*encoded]), [len(source) for source in sources]
        layers = [
            [project(states).unflatten(-1, (-1, each.head_size)).split(lengths)
             for project in (each.keys, each.values)]
            for each in self._cross_attentions
        ]  # fmt: skip
        return [
            [(keys[index], values[index]) for keys, values in layers]
            for index in range(len(sources))
        ]

    def _decode(self, rows: int) -> Sequence[Row]:
        self.fed = self._rows[:rows]
        guesses = self._guesses(self.fed)
        feeds = [
            Fed(slot, [row.history[-1], *guess], 1 + len(guess))
            for slot, (row, guess) in enumerate(zip(self.fed, guesses, strict=True))
        ]
        for row, own, guess in zip(self.fed, self._pass.forward(feeds), guesses, strict=True):
            row.expect(own, guess)
        return self.fed

    @override
    def _kept(self, slot: int, tokens: int | None) -> Prefix | None:
        if tokens is not None or slot >= self._decoding:
            return None
        return Prefix(tuple(self._rows[slot].source), self._encoded.read(slot))


def _of_t5(model: PreTrainedModel) -> Sequence[CrossAttention]:
    crosses = [block.layer[1].EncDecAttention for block in cast("Any", model).decoder.block]
    return [CrossAttention(each.k, each.v, each.key_value_proj_dim) for each in crosses]


def _of_blenderbot(model: PreTrainedModel) -> Sequence[CrossAttention]:
    crosses = [layer.encoder_attn for layer in cast("Any", model).model.decoder.layers]
    return [CrossAttention(each.k_proj, each.v_proj, each.head_dim) for each in crosses]


CROSS_ATTENTIONS: dict[str, Callable[[PreTrainedModel], Sequence[CrossAttention]]] = {
    "t5": _of_t5,
    "blenderbot": _of_blenderbot,
}
"""Where each architecture has them."""
