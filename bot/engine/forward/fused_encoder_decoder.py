"""T5's and Blenderbot's forward passes without modules: products, compiled kernels between."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' modules are untyped; what leaves this module is typed.

from collections.abc import Sequence
from operator import add

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from typing_extensions import override

from bot.engine.cache.kv_cache import SlotCache
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.base import EncoderDecoderPass, Fed
from bot.engine.forward.encoder_decoder_parts import PARTS
from bot.engine.forward.workspace import Workspace
from bot.engine.kernels.arrays import seen
from bot.engine.kernels.attention import attention
from bot.engine.kernels.elementwise import add_norm, store


class FusedEncoderDecoder(EncoderDecoderPass):
    """All layers on the CPU; the decoder's attend to what was said and to what was encoded."""

    is_ragged = True

    def __init__(self, checkpoint: Checkpoint, said: SlotCache, encoded: SlotCache) -> None:
        model = checkpoint.model
        self._said, self._encoded = said, encoded
        self._parts = parts = PARTS[model.config.model_type](model)
        self._keys = torch.empty((parts.heads, parts.head_size), dtype=checkpoint.blueprint.dtype)
        sizes = (model.config.hidden_size, parts.heads * parts.head_size, parts.inner_size)
        self._workspace = Workspace(self._keys, sizes)
        self._attend = attention(parts.head_size, seen(self._keys).dtype.type)

    @override
    def encode(self, sources: Sequence[Sequence[int]]) -> Sequence[torch.Tensor]:
        parts, lengths = self._parts, [len(source) for source in sources]
        room = self._workspace.room(sum(lengths))
        hidden, normed, attended = room.hidden.seen, room.normed, room.attended
        states = parts.encoder.embed(
            torch.tensor([token for source in sources for token in source]),
            torch.tensor([position for length in lengths for position in range(length)]),
            room.hidden.states,
        )
        biases = [parts.biases_within(length) for length in lengths]
        for layer in parts.encoder.layers:
            add_norm(hidden, states.data_ptr(), *layer.norm, parts.epsilon, normed.seen)
            states = layer.queries_keys_values(normed.states).unflatten(1, (3, parts.heads, -1))
            for own, out, bias in zip(
                states.split(lengths), attended.states.split(lengths), biases, strict=True
            ):
                queries, keys, values = own.permute(1, 2, 0, 3)[:, None]
                found = scaled_dot_product_attention(
                    queries, keys, values, attn_mask=bias, scale=parts.scaling
                )
                out.copy_(found[0].transpose(0, 1).flatten(1))
            states = layer.output(attended.states)
            add_norm(hidden, states.data_ptr(), *layer.mlp_norm, parts.epsilon, normed.seen)
            states = layer.mlp(room)
        add_norm(hidden, states.data_ptr(), *parts.encoder.norm, parts.epsilon, normed.seen)
        return normed.states.split(lengths)

    @override
    def forward(self, feeds: Sequence[Fed]) -> Sequence[torch.Tensor]:
        counts = [len(fed.ids) for fed in feeds]
        held = [self._said.lengths[fed.slot] for fed in feeds]
        self._said.reserve(0, max(map(add, held, counts)))
        slots = [fed.slot for fed in feeds for _ in fed.ids]
        positions = [start + at for start, count in zip(held, counts, strict=True)
                     for at in range(count)]  # fmt: skip
        logits = self._decoded([token for fed in feeds for token in fed.ids], slots, positions)
        self._said.finish([fed.slot for fed in feeds], counts)
        own = logits.split(counts)
        return [each[len(each) - fed.kept :] for each, fed in zip(own, feeds, strict=True)]

    def _decoded(
        self, ids: Sequence[int], slots: Sequence[int], positions: Sequence[int]
    ) -> torch.Tensor:
        """Logits [tokens, vocabulary] after each token of the rows in slots."""
        parts, decoder, room = self._parts, self._parts.decoder, self._workspace.room(len(ids))
        hidden, normed, attended = room.hidden.seen, room.normed, room.attended
        in_slots, at_positions = np.array(slots), np.array(positions)
        ends, lengths = at_positions + 1, np.array([self._encoded.lengths[slot] for slot in slots])
        states = decoder.embed(torch.tensor(ids), torch.tensor(positions), room.hidden.states)
        said, encoded = (cache.contents(self._keys) for cache in (self._said, self._encoded))
        self._said.populate(slots, ends.tolist())
        for layer, own, other in zip(decoder.layers, said, encoded, strict=True):
            add_norm(hidden, states.data_ptr(), *layer.norm, parts.epsilon, normed.seen)
            states = layer.queries_keys_values(normed.states)
            cached = seen(own[0]), seen(own[1])
            store(states.data_ptr(), parts.heads, in_slots, at_positions, *cached)
            self._attend(
                states, cached, in_slots, ends, parts.scaling, attended.seen, bias=parts.biases
            )
            states = layer.output(attended.states)
            assert layer.cross is not None
            add_norm(hidden, states.data_ptr(), *layer.cross.norm, parts.epsilon, normed.seen)
            states = layer.cross.queries(normed.states)
            cached = seen(other[0]), seen(other[1])
            self._attend(states, cached, in_slots, lengths, parts.scaling, attended.seen)
            states = layer.cross.output(attended.states)
            add_norm(hidden, states.data_ptr(), *layer.mlp_norm, parts.epsilon, normed.seen)
            states = layer.mlp(room)
        add_norm(hidden, states.data_ptr(), *decoder.norm, parts.epsilon, normed.seen)
        return parts.head(normed.states).float()
