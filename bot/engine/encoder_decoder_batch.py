"""Encoder-decoder rows in slots: the encoder once a row, then one decoder token a row and step.

T5 and Blenderbot place a whole batch at one position; two of their instances' methods are replaced
so that each row has its own. Outside a pass of ours they do what they did.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportPrivateUsage=false
# transformers' model calls are untyped; what leaves this module is typed.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from transformers import EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from typing_extensions import override

from bot.engine.checkpoint import Checkpoint
from bot.engine.decoding import Row
from bot.engine.prefixes import Prefix
from bot.engine.slot_batch import SlotBatch
from bot.engine.slot_cache import LayerContent, SlotCache, hiding

ENCODED_TOGETHER = 512
"""Tokens, padding counted, that the encoder sees in one pass when several prompts wait."""


@dataclass(slots=True)
class Positions:
    """The rows' positions [rows, width] while a pass of ours runs."""

    current: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """What makes one decoder layer's keys and values of the encoder's output."""

    keys: nn.Module
    values: nn.Module
    head_size: int


class EncoderDecoderBatch(SlotBatch):
    """Rows with a slot for what the decoder said and one for what the encoder gave it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._positions = Positions()
        prepare = PREPARATIONS[checkpoint.model.config.model_type]
        self._cross_attentions = prepare(checkpoint.model, self._positions)
        device = checkpoint.blueprint.device
        layers = len(self._cross_attentions)
        self._said, self._encoded = SlotCache(layers, device), SlotCache(layers, device)
        super().__init__(checkpoint, self._said, self._encoded)
        self._both = EncoderDecoderCache(self._said, self._encoded)
        self._both.is_updated = dict.fromkeys(range(layers), True)
        # The decoder asks only whether there is an encoder's output: what it holds is in the cache.
        size = checkpoint.model.config.hidden_size
        self._stand_in = torch.zeros((1, 1, size), dtype=checkpoint.blueprint.dtype, device=device)

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
        device = self._checkpoint.blueprint.device
        longest = max(len(source) for source in sources)
        ids = [[*source, *[0] * (longest - len(source))] for source in sources]
        seen = [[1] * len(source) + [0] * (longest - len(source)) for source in sources]
        encoder = self._checkpoint.model.get_encoder()
        encoded = cast("torch.Tensor", encoder(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=torch.tensor(seen, device=device) if len(sources) > 1 else None,
        ).last_hidden_state)  # fmt: skip
        layers = [
            tuple(project(encoded).unflatten(-1, (-1, each.head_size))
                  for project in (each.keys, each.values))
            for each in self._cross_attentions
        ]  # fmt: skip
        return [
            [(keys[index, : len(source)], values[index, : len(source)]) for keys, values in layers]
            for index, source in enumerate(sources)
        ]

    @override
    def _decode(self, rows: int) -> Sequence[Row]:
        self.fed = self._rows[:rows]
        guesses = self._guesses(self.fed)
        slots, counts = range(rows), [1 + len(guess) for guess in guesses]
        planned = self._said.begin(slots, counts)
        dtype = self._checkpoint.blueprint.dtype
        is_hidden = self._encoded.show(rows)
        self._positions.current = planned.position_ids
        width = planned.positions.shape[1]
        ids = [
            [0] * (width - 1 - len(guess)) + [row.history[-1], *guess]
            for row, guess in zip(self.fed, guesses, strict=True)
        ]
        try:
            output = self._checkpoint.model(
                encoder_outputs=BaseModelOutput(
                    last_hidden_state=cast("Any", self._stand_in.expand(rows, 1, -1))
                ),
                attention_mask=hiding(is_hidden, dtype)[:, None, None],
                decoder_input_ids=torch.tensor(ids, device=planned.positions.device),
                decoder_attention_mask=planned.mask(dtype),
                past_key_values=self._both,
                use_cache=True,
            )
        finally:
            self._positions.current = None
        self._said.finish(slots, counts)
        logits = output.logits.float()
        for row, own, guess in zip(self.fed, logits, guesses, strict=True):
            row.expect(own[-1 - len(guess) :], guess)
        return self.fed

    @override
    def _kept(self, slot: int, tokens: int | None) -> Prefix | None:
        if tokens is not None or slot >= self._decoding:
            return None
        return Prefix(tuple(self._rows[slot].source), self._encoded.read(slot))


def _prepare_t5(model: PreTrainedModel, positions: Positions) -> Sequence[CrossAttention]:
    """Relative position biases by row, looked up in a table by distance.

    The table is what the model's own method gives; beyond the greatest distance it tells apart, all
    are alike.
    """
    blocks = cast("Any", model).decoder.block
    attention = blocks[0].layer[0].SelfAttention
    original = type(attention).compute_bias.__get__(attention)
    farthest = attention.relative_attention_max_distance
    with torch.inference_mode():
        table = original(1, farthest + 1, past_seen_tokens=farthest)[0, :, 0].flip(-1)

    def compute_bias(
        query_length: int, key_length: int, device: Any = None, past_seen_tokens: int = 0
    ) -> torch.Tensor:
        if positions.current is None:
            return original(query_length, key_length, device, past_seen_tokens)
        keys = torch.arange(key_length, device=table.device)
        distances = (positions.current[:, :, None] - keys).clamp(0, farthest)
        return table[:, distances].transpose(0, 1)

    attention.compute_bias = compute_bias
    crosses = [block.layer[1].EncDecAttention for block in blocks]
    return [CrossAttention(each.k, each.v, each.key_value_proj_dim) for each in crosses]


def _prepare_blenderbot(model: PreTrainedModel, positions: Positions) -> Sequence[CrossAttention]:
    """Learned positions by row."""
    decoder = cast("Any", model).model.decoder
    embedding = decoder.embed_positions
    original = type(embedding).forward.__get__(embedding)

    def forward(
        input_ids_shape: torch.Size, past_key_values_length: int = 0, position_ids: Any = None
    ) -> torch.Tensor:
        if positions.current is not None:
            position_ids = positions.current
        return original(input_ids_shape, past_key_values_length, position_ids)

    embedding.forward = forward
    crosses = [layer.encoder_attn for layer in decoder.layers]
    return [CrossAttention(each.k_proj, each.v_proj, each.head_dim) for each in crosses]


PREPARATIONS: dict[str, Callable[[PreTrainedModel, Positions], Sequence[CrossAttention]]] = {
    "t5": _prepare_t5,
    "blenderbot": _prepare_blenderbot,
}
"""How each architecture is prepared."""
