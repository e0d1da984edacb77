"""The forward pass of Llama-like models without their modules: products, compiled kernels between.

For passes of few tokens, where modules and small operations take as long as the products. Tokens
stand one after another, whichever row they are of: there is no padding.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' modules are untyped; what leaves this module is typed.

from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from typing_extensions import override

from bot.engine.cache.kv_cache import LayerContent, SlotCache, hiding
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.base import Fed, ForwardPass
from bot.engine.forward.workspace import Workspace
from bot.engine.kernels.arrays import NOTHING, Floats, Integers, numbers, seen
from bot.engine.kernels.attention import NO_WINDOW, attention
from bot.engine.kernels.elementwise import SILU, add_norm, multiply_gated, rotate, store
from bot.engine.kernels.packing import Product, joined

LONG = 16
"""So many tokens of one row attend together."""

TURNS_STEP = 512
"""The table of rotations grows by so many positions."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one layer computes with."""

    queries_keys_values: Product
    output: Product
    gates_and_ups: Product
    down: Product
    attention_norm: Floats
    query_norm: Floats
    key_norm: Floats
    mlp_norm: Floats
    scaling: float
    window: int


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Tokens of one row that attend together: those numbered `first` to `last` of the pass, of the
    row in `slot`, which holds `end` tokens with them; what is hidden of it, by window.
    """

    first: int
    last: int
    slot: int
    end: int
    masks: dict[int, torch.Tensor]


@dataclass(frozen=True, slots=True)
class _Plan:
    """Tokens of a pass. The first ones attend one by one, each to the `ends` first tokens of its
    slot; the others in stretches.
    """

    ids: torch.Tensor
    slots: Integers
    positions: Integers
    ends: Integers
    stretches: Sequence[_Stretch]
    kept: Sequence[int]
    """The numbers of the tokens whose logits are wanted."""


class FusedCausal(ForwardPass):
    """All layers on the CPU."""

    is_ragged = True

    def __init__(self, checkpoint: Checkpoint, cache: SlotCache) -> None:
        model = cast("Any", checkpoint.model)
        inner, config = model.model, model.config
        self._cache = cache
        self._embed = inner.embed_tokens
        self._dtype = checkpoint.blueprint.dtype
        self._rotary = inner.rotary_emb
        self._layers = [_layer(each, config) for each in inner.layers]
        self._windows = {layer.window for layer in self._layers}
        self._norm = numbers(inner.norm.weight)
        self._epsilon = float(config.rms_norm_eps)
        self._head: Product = model.lm_head.forward
        self._heads, key_heads = int(config.num_attention_heads), int(config.num_key_value_heads)
        self._head_size = int(inner.layers[0].self_attn.head_dim)
        self._width = self._heads * self._head_size
        sizes = (config.hidden_size, self._width, config.intermediate_size)
        like = torch.empty(0, dtype=self._dtype)
        self._workspace = Workspace(like, sizes)
        self._keys = like.new_empty((key_heads, self._head_size))
        self._attend = attention(self._head_size, seen(self._keys).dtype.type)
        self._turns: Floats = np.empty((0, 2, self._head_size // 2), np.float32)

    @override
    def forward(self, feeds: Sequence[Fed]) -> Sequence[torch.Tensor]:
        counts = [len(fed.ids) for fed in feeds]
        held = [self._cache.lengths[fed.slot] for fed in feeds]
        self._cache.reserve(0, max(map(add, held, counts)))
        plan = self._plan(feeds, held)
        logits = self._logits(plan)
        self._cache.finish([fed.slot for fed in feeds], counts)
        return logits.split([fed.kept for fed in feeds])

    def _plan(self, feeds: Sequence[Fed], held: Sequence[int]) -> _Plan:
        """Tokens by row; those of long chunks last."""
        ids: list[int] = []
        slots: list[int] = []
        positions: list[int] = []
        stretches: list[_Stretch] = []
        kept: list[int] = []
        for fed, start in zip(feeds, held, strict=True):
            first, end = len(ids), start + len(fed.ids)
            ids += fed.ids
            slots += [fed.slot] * len(fed.ids)
            positions += range(start, end)
            kept += range(len(ids) - fed.kept, len(ids))
            if stretches or len(fed.ids) >= LONG:
                masks = {window: self._hidden(start, end, window) for window in self._windows}
                stretches.append(_Stretch(first, len(ids), fed.slot, end, masks))
        singles = stretches[0].first if stretches else len(ids)
        return _Plan(
            ids=torch.tensor(ids),
            slots=np.array(slots),
            positions=np.array(positions),
            ends=np.array(positions[:singles], np.int64) + 1,
            stretches=stretches,
            kept=kept,
        )

    def _logits(self, plan: _Plan) -> torch.Tensor:
        room, epsilon = self._workspace.room(len(plan.ids)), self._epsilon
        hidden, normed, attended, inner = room.hidden, room.normed, room.attended, room.inner
        turns = self._turns_to(int(plan.positions.max()) + 1)
        hidden.states.zero_()
        states: torch.Tensor = self._embed(plan.ids)
        contents = self._cache.contents(self._keys)
        self._cache.populate(plan.slots.tolist(), (plan.positions + 1).tolist())
        for layer, content in zip(self._layers, contents, strict=True):
            cached = keys, values = seen(content[0]), seen(content[1])
            norm, qk_norms = layer.attention_norm, (layer.query_norm, layer.key_norm)
            add_norm(hidden.seen, states.data_ptr(), norm, NOTHING, epsilon, normed.seen)
            states = layer.queries_keys_values(normed.states)
            given = states.data_ptr()
            rotate(given, self._heads, *qk_norms, epsilon, turns, plan.positions, keys)
            store(given, self._heads, plan.slots, plan.positions, keys, values)
            if len(plan.ends):
                self._attend(
                    states, cached, plan.slots, plan.ends, layer.scaling, attended.seen,
                    window=layer.window,
                )  # fmt: skip
            for stretch in plan.stretches:
                self._attend_together(stretch, states, content, layer, attended.states)
            states = layer.output(attended.states)
            add_norm(hidden.seen, states.data_ptr(), layer.mlp_norm, NOTHING, epsilon, normed.seen)
            states = layer.gates_and_ups(normed.states)
            multiply_gated(states.data_ptr(), *SILU, inner.seen)
            states = layer.down(inner.states)
        add_norm(hidden.seen, states.data_ptr(), self._norm, NOTHING, epsilon, normed.seen)
        return self._head(normed.states[[*plan.kept]]).float()

    def _attend_together(
        self,
        stretch: _Stretch,
        states: torch.Tensor,
        content: LayerContent,
        layer: _Layer,
        out: torch.Tensor,
    ) -> None:
        """Many tokens of a row: torch's own kernel multiplies them as matrices."""
        own = slice(stretch.first, stretch.last)
        queries = states[own, : self._width].unflatten(1, (self._heads, -1))
        keys, values = (each[stretch.slot, : stretch.end] for each in content)
        attended = scaled_dot_product_attention(
            *(each.transpose(0, 1)[None] for each in (queries, keys, values)),
            attn_mask=stretch.masks[layer.window],
            scale=layer.scaling,
            enable_gqa=True,
        )
        out[own] = attended[0].transpose(0, 1).flatten(1)

    def _hidden(self, start: int, end: int, window: int) -> torch.Tensor:
        """What is added to the scores of the tokens from `start` to `end`, [end - start, end]."""
        queries, keys = torch.arange(start, end)[:, None], torch.arange(end)
        is_hidden = (keys > queries) | (keys <= queries - window)
        return hiding(is_hidden, self._dtype)

    def _turns_to(self, positions: int) -> Floats:
        """Cosines and sines of so many positions, or more."""
        if positions > len(self._turns):
            reach = -(-positions // TURNS_STEP) * TURNS_STEP
            both = self._rotary(torch.empty(0), torch.arange(reach)[None])
            self._turns = numbers(torch.stack([e[0, :, : e.shape[2] // 2] for e in both], dim=1))
        return self._turns


def _layer(module: Any, config: Any) -> _Layer:
    attention, mlp = module.self_attn, module.mlp
    # Where layers differ each has its own; where they do not, it stands in the configuration.
    window = getattr(attention, "sliding_window", getattr(config, "sliding_window", None))
    norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
    query_norm, key_norm = (NOTHING if n is None else numbers(n.weight) for n in norms)
    return _Layer(
        queries_keys_values=joined([attention.q_proj, attention.k_proj, attention.v_proj]),
        output=attention.o_proj.forward,
        gates_and_ups=joined([mlp.gate_proj, mlp.up_proj]),
        down=mlp.down_proj.forward,
        attention_norm=numbers(module.input_layernorm.weight),
        query_norm=query_norm,
        key_norm=key_norm,
        mlp_norm=numbers(module.post_attention_layernorm.weight),
        scaling=float(attention.scaling),
        window=window or NO_WINDOW,
    )
