"""T5's and Blenderbot's forward passes through transformers' modules.

They place a whole batch at one position; two of their instances' methods are replaced so that each
row has its own. Outside a pass of ours they do what they did.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' model calls are untyped; what leaves this module is typed.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from typing_extensions import override

from bot.engine.cache.kv_cache import SlotCache, hiding
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.base import EncoderDecoderPass, Fed


@dataclass(slots=True)
class Positions:
    """The rows' positions [rows, width] while a pass of ours runs."""

    current: torch.Tensor | None = None


class PaddedEncoderDecoder(EncoderDecoderPass):
    """The first rows, all as wide as the widest, beside what the encoder gave them."""

    is_ragged = False

    def __init__(self, checkpoint: Checkpoint, said: SlotCache, encoded: SlotCache) -> None:
        self._model, self._dtype = checkpoint.model, checkpoint.blueprint.dtype
        self._positions = Positions()
        PREPARATIONS[checkpoint.model.config.model_type](checkpoint.model, self._positions)
        self._said, self._encoded = said, encoded
        self._both = EncoderDecoderCache(said, encoded)
        self._both.is_updated = dict.fromkeys(range(len(said.layers)), True)
        # The decoder asks only whether there is an encoder's output: what it holds is in the cache.
        size, device = checkpoint.model.config.hidden_size, checkpoint.blueprint.device
        self._stand_in = torch.zeros((1, 1, size), dtype=self._dtype, device=device)

    @override
    def encode(self, sources: Sequence[Sequence[int]]) -> Sequence[torch.Tensor]:
        device = self._stand_in.device
        longest = max(len(source) for source in sources)
        ids = [[*source, *[0] * (longest - len(source))] for source in sources]
        seen = [[1] * len(source) + [0] * (longest - len(source)) for source in sources]
        encoded = cast("torch.Tensor", self._model.get_encoder()(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=torch.tensor(seen, device=device) if len(sources) > 1 else None,
        ).last_hidden_state)  # fmt: skip
        return [own[: len(source)] for own, source in zip(encoded, sources, strict=True)]

    @override
    def forward(self, feeds: Sequence[Fed]) -> Sequence[torch.Tensor]:
        slots, counts = [fed.slot for fed in feeds], [len(fed.ids) for fed in feeds]
        planned = self._said.begin(slots, counts)
        is_hidden = self._encoded.show(len(feeds))
        self._positions.current = planned.position_ids
        ids = [[0] * (max(counts) - len(fed.ids)) + [*fed.ids] for fed in feeds]
        try:
            output = self._model(
                encoder_outputs=BaseModelOutput(
                    last_hidden_state=cast("Any", self._stand_in.expand(len(feeds), 1, -1))
                ),
                attention_mask=hiding(is_hidden, self._dtype)[:, None, None],
                decoder_input_ids=torch.tensor(ids, device=planned.positions.device),
                decoder_attention_mask=planned.mask(self._dtype),
                past_key_values=self._both,
                use_cache=True,
            )
        finally:
            self._positions.current = None
        self._said.finish(slots, counts)
        logits = output.logits.float()
        return [own[own.shape[0] - fed.kept :] for own, fed in zip(logits, feeds, strict=True)]


def distance_biases(attention: Any) -> torch.Tensor:
    """What T5 adds to scores [heads, distance], fp32 or as stored, as the model's own method gives
    it; beyond the greatest distance that it tells apart all are alike.
    """
    original = type(attention).compute_bias.__get__(attention)
    farthest = attention.relative_attention_max_distance
    with torch.inference_mode():
        return original(1, farthest + 1, past_seen_tokens=farthest)[0, :, 0].flip(-1)


def _prepare_t5(model: PreTrainedModel, positions: Positions) -> None:
    """Relative position biases by row, looked up in a table by distance."""
    attention = cast("Any", model).decoder.block[0].layer[0].SelfAttention
    original = type(attention).compute_bias.__get__(attention)
    table = distance_biases(attention)
    farthest = table.shape[1] - 1

    def compute_bias(
        query_length: int, key_length: int, device: Any = None, past_seen_tokens: int = 0
    ) -> torch.Tensor:
        if positions.current is None:
            return original(query_length, key_length, device, past_seen_tokens)
        keys = torch.arange(key_length, device=table.device)
        distances = (positions.current[:, :, None] - keys).clamp(0, farthest)
        return table[:, distances].transpose(0, 1)

    attention.compute_bias = compute_bias


def _prepare_blenderbot(model: PreTrainedModel, positions: Positions) -> None:
    """Learned positions by row."""
    embedding = cast("Any", model).model.decoder.embed_positions
    original = type(embedding).forward.__get__(embedding)

    def forward(
        input_ids_shape: torch.Size, past_key_values_length: int = 0, position_ids: Any = None
    ) -> torch.Tensor:
        if positions.current is not None:
            position_ids = positions.current
        return original(input_ids_shape, past_key_values_length, position_ids)

    embedding.forward = forward


PREPARATIONS: dict[str, Callable[[PreTrainedModel, Positions], None]] = {
    "t5": _prepare_t5,
    "blenderbot": _prepare_blenderbot,
}
"""How each architecture is prepared."""
