"""What T5 and Blenderbot are made of: the products, norms and numbers of their modules, by one name
each for both.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' modules are untyped; what leaves this module is typed.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import gelu

from bot.engine.forward.padded_encoder_decoder import distance_biases
from bot.engine.forward.workspace import Room
from bot.engine.kernels.arrays import NOTHING, Floats, numbers
from bot.engine.kernels.attention import NO_BIAS
from bot.engine.kernels.elementwise import GELU, multiply_gated
from bot.engine.kernels.packing import Product, joined

Norm = tuple[Floats, Floats]
"""Weight and bias; RMS norm has an empty bias."""


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """How a decoder's layer asks for what was encoded."""

    norm: Norm
    queries: Product
    output: Product


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. `mlp` is given the room whose normed states it goes on from."""

    norm: Norm
    queries_keys_values: Product
    output: Product
    mlp_norm: Norm
    mlp: Callable[[Room], torch.Tensor]
    cross: CrossAttention | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """An encoder or a decoder.

    `embed` is given ids, positions and the sum of all layers [tokens, size], which it sets; it
    returns what the first norm adds to that.
    """

    embed: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    layers: Sequence[Layer]
    norm: Norm


@dataclass(frozen=True, slots=True)
class Parts:
    """A whole model. `biases` are added to the scores of the decoder's own attention [heads,
    distance], `biases_within` gives those between a source's tokens [1, heads, tokens, tokens].
    """

    encoder: Stack
    decoder: Stack
    head: Product
    epsilon: float
    heads: int
    head_size: int
    inner_size: int
    scaling: float
    biases: Floats
    biases_within: Callable[[int], torch.Tensor | None]


def _of_t5(model: Any) -> Parts:
    config = model.config
    share = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0
    within = model.encoder.block[0].layer[0].SelfAttention.compute_bias
    return Parts(
        encoder=_t5_stack(model.encoder),
        decoder=_t5_stack(model.decoder),
        head=lambda states: model.lm_head(states * share),
        epsilon=float(config.layer_norm_epsilon),
        heads=int(config.num_heads),
        head_size=int(config.d_kv),
        inner_size=int(config.d_ff),
        scaling=1.0,
        biases=numbers(distance_biases(model.decoder.block[0].layer[0].SelfAttention)),
        biases_within=lambda length: within(length, length),
    )


def _t5_stack(stack: Any) -> Stack:
    def embed(ids: torch.Tensor, _positions: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        hidden.zero_()
        return stack.embed_tokens(ids)

    layers = [_t5_layer(block.layer) for block in stack.block]
    return Stack(embed, layers, _rms(stack.final_layer_norm))


def _t5_layer(layers: Any) -> Layer:
    own, mlp = layers[0].SelfAttention, layers[-1].DenseReluDense
    gates_and_ups, down = joined([mlp.wi_0, mlp.wi_1]), mlp.wo.forward

    def gated(room: Room) -> torch.Tensor:
        states = gates_and_ups(room.normed.states)
        multiply_gated(states.data_ptr(), *GELU, room.inner.seen)
        return down(room.inner.states)

    cross = None
    if len(layers) == 3:
        other = layers[1].EncDecAttention
        cross = CrossAttention(_rms(layers[1].layer_norm), other.q.forward, other.o.forward)
    return Layer(
        norm=_rms(layers[0].layer_norm),
        queries_keys_values=joined([own.q, own.k, own.v]),
        output=own.o.forward,
        mlp_norm=_rms(layers[-1].layer_norm),
        mlp=gated,
        cross=cross,
    )


def _rms(module: Any) -> Norm:
    return numbers(module.weight), NOTHING


def _of_blenderbot(model: Any) -> Parts:
    config, inner = model.config, model.model
    size = int(inner.decoder.layers[0].self_attn.head_dim)
    return Parts(
        encoder=_blenderbot_stack(inner.encoder),
        decoder=_blenderbot_stack(inner.decoder),
        head=lambda states: model.lm_head(states) + model.final_logits_bias,
        epsilon=float(inner.decoder.layer_norm.eps),
        heads=int(config.decoder_attention_heads),
        head_size=size,
        inner_size=int(config.decoder_ffn_dim),
        scaling=size**-0.5,
        biases=NO_BIAS,
        biases_within=lambda _length: None,
    )


def _blenderbot_stack(stack: Any) -> Stack:
    places = stack.embed_positions.weight

    def embed(ids: torch.Tensor, positions: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        hidden.copy_(places[positions])
        return stack.embed_tokens(ids)

    layers = [_blenderbot_layer(each) for each in stack.layers]
    return Stack(embed, layers, _layer_norm(stack.layer_norm))


def _blenderbot_layer(module: Any) -> Layer:
    own, other = module.self_attn, getattr(module, "encoder_attn", None)
    up, down = module.fc1.forward, module.fc2.forward
    cross = None
    if other is not None:
        norm = _layer_norm(module.encoder_attn_layer_norm)
        cross = CrossAttention(norm, other.q_proj.forward, other.out_proj.forward)
    return Layer(
        norm=_layer_norm(module.self_attn_layer_norm),
        queries_keys_values=joined([own.q_proj, own.k_proj, own.v_proj]),
        output=own.out_proj.forward,
        mlp_norm=_layer_norm(module.final_layer_norm),
        mlp=lambda room: down(gelu(up(room.normed.states))),
        cross=cross,
    )


def _layer_norm(module: Any) -> Norm:
    return numbers(module.weight), numbers(module.bias)


PARTS: dict[str, Callable[[Any], Parts]] = {"t5": _of_t5, "blenderbot": _of_blenderbot}
"""Where each architecture has its parts."""
