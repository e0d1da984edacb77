"""The decoders of T5 and Blenderbot without their modules: products, compiled kernels between."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' modules are untyped; what leaves this module is typed.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import add
from typing import Any

import numpy as np
import torch
from torch.nn.functional import gelu
from typing_extensions import override

from bot.engine.checkpoint import Checkpoint
from bot.engine.compiled import GELU, add_norm, multiply_gated, store
from bot.engine.compiled_attention import NO_BIAS, Floats, attention
from bot.engine.forward_pass import Fed, ForwardPass
from bot.engine.kernels import joined
from bot.engine.padded_decoder import distance_biases
from bot.engine.slot_cache import SlotCache
from bot.engine.workspace import Room, Workspace, numbers, seen

Product = Callable[[torch.Tensor], torch.Tensor]
Norm = tuple[Floats, Floats]
"""Weight and bias; RMS norm has none of these."""

NOTHING: Floats = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one layer computes with. `mlp` takes the normed states in a room."""

    said_norm: Norm
    queries_keys_values: Product
    said_output: Product
    encoded_norm: Norm
    queries: Product
    encoded_output: Product
    mlp_norm: Norm
    mlp: Callable[[Room], torch.Tensor]


@dataclass(frozen=True, slots=True)
class _Parts:
    """A decoder as its architecture has it: how tokens become states by their ids and positions,
    what stands between, and how states become logits.
    """

    embed: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    """Sets the sum of all layers, the last argument, and returns what is added to it first."""
    layers: Sequence[_Layer]
    norm: Norm
    epsilon: float
    head: Product
    heads: int
    head_size: int
    inner_size: int
    scaling: float
    biases: Floats


class FusedDecoder(ForwardPass):
    """The first rows, on the CPU, beside what the encoder gave them."""

    is_ragged = True

    def __init__(self, checkpoint: Checkpoint, said: SlotCache, encoded: SlotCache) -> None:
        model = checkpoint.model
        self._said, self._encoded = said, encoded
        self._parts = parts = PARTS[model.config.model_type](model)
        like = torch.empty((parts.heads, parts.head_size), dtype=checkpoint.blueprint.dtype)
        width = parts.heads * parts.head_size
        self._keys = like
        self._workspace = Workspace(like, (model.config.hidden_size, width, parts.inner_size))
        self._attend = attention(parts.head_size, seen(like).dtype.type)

    @override
    def forward(self, feeds: Sequence[Fed]) -> Sequence[torch.Tensor]:
        counts = [len(fed.ids) for fed in feeds]
        held = [self._said.lengths[fed.slot] for fed in feeds]
        self._said.reserve(0, max(map(add, held, counts)))
        slots = [fed.slot for fed, count in zip(feeds, counts, strict=True) for _ in range(count)]
        positions = [at for start, count in zip(held, counts, strict=True)
                     for at in range(start, start + count)]  # fmt: skip
        ids = [token for fed in feeds for token in fed.ids]
        logits = self._logits(ids, slots, positions)
        self._said.finish([fed.slot for fed in feeds], counts)
        own = logits.split(counts)
        return [each[len(each) - fed.kept :] for each, fed in zip(own, feeds, strict=True)]

    def _logits(
        self, ids: Sequence[int], slots: Sequence[int], positions: Sequence[int]
    ) -> torch.Tensor:
        """Logits [tokens, vocabulary] after each token of the rows in slots."""
        parts, room = self._parts, self._workspace.room(len(ids))
        hidden, normed, attended = room.hidden.seen, room.normed, room.attended
        in_slots, at_positions = np.array(slots), np.array(positions)
        ends, lengths = at_positions + 1, np.array([self._encoded.lengths[slot] for slot in slots])
        states = parts.embed(torch.tensor(ids), torch.tensor(positions), room.hidden.states)
        caches = zip(self._said.contents(self._keys), self._encoded.contents(self._keys),
                     strict=True)  # fmt: skip
        for layer, (said, encoded) in zip(parts.layers, caches, strict=True):
            add_norm(hidden, states.data_ptr(), *layer.said_norm, parts.epsilon, normed.seen)
            states = layer.queries_keys_values(normed.states)
            cached = seen(said[0]), seen(said[1])
            store(states.data_ptr(), parts.heads, in_slots, at_positions, *cached)
            self._attend(
                states, cached, in_slots, ends, parts.scaling, attended.seen, bias=parts.biases
            )
            states = layer.said_output(attended.states)
            add_norm(hidden, states.data_ptr(), *layer.encoded_norm, parts.epsilon, normed.seen)
            states = layer.queries(normed.states)
            cached = seen(encoded[0]), seen(encoded[1])
            self._attend(states, cached, in_slots, lengths, parts.scaling, attended.seen)
            states = layer.encoded_output(attended.states)
            add_norm(hidden, states.data_ptr(), *layer.mlp_norm, parts.epsilon, normed.seen)
            states = layer.mlp(room)
        add_norm(hidden, states.data_ptr(), *parts.norm, parts.epsilon, normed.seen)
        return parts.head(normed.states).float()


def _parts_of_t5(model: Any) -> _Parts:
    decoder, config = model.decoder, model.config
    share = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0

    def embed(ids: torch.Tensor, _positions: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        hidden.zero_()
        return decoder.embed_tokens(ids)

    def norm(module: Any) -> Norm:
        return numbers(module.weight), NOTHING

    def layer(block: Any) -> _Layer:
        said, encoded, last = block.layer
        own, other, mlp = said.SelfAttention, encoded.EncDecAttention, last.DenseReluDense
        gates, down = joined([mlp.wi_0, mlp.wi_1]), mlp.wo.forward

        def gated(room: Room) -> torch.Tensor:
            states = gates(room.normed.states)
            multiply_gated(states.data_ptr(), *GELU, room.inner.seen)
            return down(room.inner.states)

        return _Layer(
            said_norm=norm(said.layer_norm),
            queries_keys_values=joined([own.q, own.k, own.v]),
            said_output=own.o.forward,
            encoded_norm=norm(encoded.layer_norm),
            queries=other.q.forward,
            encoded_output=other.o.forward,
            mlp_norm=norm(last.layer_norm),
            mlp=gated,
        )

    return _Parts(
        embed=embed,
        layers=[layer(block) for block in decoder.block],
        norm=norm(decoder.final_layer_norm),
        epsilon=float(config.layer_norm_epsilon),
        head=lambda states: model.lm_head(states * share),
        heads=int(config.num_heads),
        head_size=int(config.d_kv),
        inner_size=int(config.d_ff),
        scaling=1.0,
        biases=numbers(distance_biases(decoder.block[0].layer[0].SelfAttention)),
    )


def _parts_of_blenderbot(model: Any) -> _Parts:
    decoder, config = model.model.decoder, model.config
    places = decoder.embed_positions.weight

    def embed(ids: torch.Tensor, positions: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        hidden.copy_(places[positions])
        return decoder.embed_tokens(ids)

    def norm(module: Any) -> Norm:
        return numbers(module.weight), numbers(module.bias)

    def layer(module: Any) -> _Layer:
        own, other = module.self_attn, module.encoder_attn
        up, down = module.fc1.forward, module.fc2.forward
        return _Layer(
            said_norm=norm(module.self_attn_layer_norm),
            queries_keys_values=joined([own.q_proj, own.k_proj, own.v_proj]),
            said_output=own.out_proj.forward,
            encoded_norm=norm(module.encoder_attn_layer_norm),
            queries=other.q_proj.forward,
            encoded_output=other.out_proj.forward,
            mlp_norm=norm(module.final_layer_norm),
            mlp=lambda room: down(gelu(up(room.normed.states))),
        )

    size = int(decoder.layers[0].self_attn.head_dim)
    return _Parts(
        embed=embed,
        layers=[layer(each) for each in decoder.layers],
        norm=norm(decoder.layer_norm),
        epsilon=float(decoder.layer_norm.eps),
        head=lambda states: model.lm_head(states) + model.final_logits_bias,
        heads=int(config.decoder_attention_heads),
        head_size=size,
        inner_size=int(config.decoder_ffn_dim),
        scaling=size**-0.5,
        biases=NO_BIAS,
    )


PARTS: dict[str, Callable[[Any], _Parts]] = {
    "t5": _parts_of_t5,
    "blenderbot": _parts_of_blenderbot,
}
"""Where each architecture has its parts."""
