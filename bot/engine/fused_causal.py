"""The forward pass of Llama-like models without their modules: products, compiled kernels between.

For passes of few tokens, where modules and small operations take as long as the products. Tokens
stand one after another, whichever row they are of: there is no padding.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' modules are untyped; what leaves this module is typed.

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import add
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import embedding, scaled_dot_product_attention
from typing_extensions import override

from bot.engine.causal_pass import CausalPass, Fed
from bot.engine.checkpoint import Checkpoint
from bot.engine.compiled import add_rms_norm, multiply_silu, rotate, store
from bot.engine.compiled_attention import NO_WINDOW, attention
from bot.engine.kernels import joined
from bot.engine.slot_cache import SlotCache, hiding

LONG = 16
"""So many tokens of one row attend together."""

ROOMS = 32
"""For so many different numbers of tokens is room kept."""

TURNS_STEP = 512
"""The table of rotations grows by so many positions."""

Floats = np.ndarray[Any, np.dtype[np.float32]]
States = np.ndarray[Any, np.dtype[Any]]
Product = Callable[[torch.Tensor], torch.Tensor]

Integers = np.ndarray[Any, np.dtype[np.int64]]
NOTHING = np.empty(0, np.float32)
NO_BIAS = np.empty((0, 0), np.float32)


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
class _Room:
    """Where so many tokens' states stand between the products, as torch and as kernels see it."""

    hidden: torch.Tensor
    normed: torch.Tensor
    attended: torch.Tensor
    multiplied: torch.Tensor
    hidden_seen: Floats
    normed_seen: States
    attended_seen: States
    multiplied_seen: States


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
    """The tokens of a pass. The first `singles` attend one by one; the others in stretches."""

    ids: torch.Tensor
    slots: Integers
    positions: Integers
    singles: int
    stretches: Sequence[_Stretch]
    kept: Sequence[int]
    """The numbers of the tokens whose logits are wanted."""

    @property
    def ends(self) -> Integers:
        """How much of their slot the single tokens see."""
        return self.positions[: self.singles] + 1


class FusedPass(CausalPass):
    """Through products and compiled kernels, on the CPU."""

    is_ragged = True

    def __init__(self, checkpoint: Checkpoint, cache: SlotCache) -> None:
        model = cast("Any", checkpoint.model)
        inner, config = model.model, model.config
        self._cache = cache
        self._embeddings: torch.Tensor = inner.embed_tokens.weight
        self._rotary = inner.rotary_emb
        self._layers = [_layer(each) for each in inner.layers]
        self._windows = {layer.window for layer in self._layers}
        self._norm = seen(inner.norm.weight.float())
        self._epsilon = float(config.rms_norm_eps)
        self._head: Product = model.lm_head.forward
        self._heads = int(config.num_attention_heads)
        self._head_size = int(inner.layers[0].self_attn.head_dim)
        self._key_heads = int(config.num_key_value_heads)
        width = self._heads * self._head_size
        self._sizes = (config.hidden_size, width, config.intermediate_size)
        self._attend = attention(self._head_size, seen(self._embeddings[:0]).dtype.type)
        self._rooms: OrderedDict[int, _Room] = OrderedDict()
        self._turns = np.empty((0, 2, self._head_size // 2), np.float32)

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
            torch.tensor(ids), np.array(slots), np.array(positions), singles, stretches, kept
        )

    def _logits(self, plan: _Plan) -> torch.Tensor:
        room, epsilon = self._room(len(plan.ids)), self._epsilon
        turns = self._turns_to(int(plan.positions.max()) + 1)
        caches = self._cache.contents(
            self._embeddings.new_empty((self._key_heads, self._head_size))
        )
        room.hidden.zero_()
        states = embedding(plan.ids, self._embeddings)
        for layer, (keys, values) in zip(self._layers, caches, strict=True):
            add_rms_norm(
                room.hidden_seen, states.data_ptr(), layer.attention_norm, epsilon, room.normed_seen
            )
            states = layer.queries_keys_values(room.normed)
            seen_keys, seen_values = seen(keys), seen(values)
            rotate(
                states.data_ptr(), self._heads, layer.query_norm, layer.key_norm, epsilon, turns,
                plan.positions, seen_keys,
            )  # fmt: skip
            store(
                states.data_ptr(), self._heads, plan.slots, plan.positions, seen_keys, seen_values
            )
            if plan.singles:
                self._attend(
                    torch.get_num_threads(), (states.data_ptr(), states.shape[1]), seen_keys,
                    seen_values, plan.slots, plan.ends, layer.window, layer.scaling, NO_BIAS,
                    room.attended_seen,
                )  # fmt: skip
            for stretch in plan.stretches:
                self._attend_together(stretch, states, keys, values, layer, room.attended)
            states = layer.output(room.attended)
            add_rms_norm(
                room.hidden_seen, states.data_ptr(), layer.mlp_norm, epsilon, room.normed_seen
            )
            states = layer.gates_and_ups(room.normed)
            multiply_silu(states.data_ptr(), room.multiplied_seen)
            states = layer.down(room.multiplied)
        add_rms_norm(room.hidden_seen, states.data_ptr(), self._norm, epsilon, room.normed_seen)
        return self._head(room.normed[[*plan.kept]]).float()

    def _attend_together(
        self,
        stretch: _Stretch,
        states: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        layer: _Layer,
        out: torch.Tensor,
    ) -> None:
        """Many tokens of a row: torch's own kernel multiplies them as matrices."""
        own = slice(stretch.first, stretch.last)
        width = self._heads * self._head_size
        queries = states[own, :width].view(-1, self._heads, self._head_size)
        attended = scaled_dot_product_attention(
            queries.transpose(0, 1)[None],
            keys[stretch.slot, : stretch.end].transpose(0, 1)[None],
            values[stretch.slot, : stretch.end].transpose(0, 1)[None],
            attn_mask=stretch.masks[layer.window],
            scale=layer.scaling,
            enable_gqa=True,
        )
        out[own] = attended[0].transpose(0, 1).reshape(-1, width)

    def _hidden(self, start: int, end: int, window: int) -> torch.Tensor:
        """What is added to the scores of the tokens from `start` to `end`, [end - start, end]."""
        queries, keys = torch.arange(start, end)[:, None], torch.arange(end)
        is_hidden = (keys > queries) | (keys <= queries - window)
        return hiding(is_hidden, self._embeddings.dtype)

    def _room(self, tokens: int) -> _Room:
        room = self._rooms.pop(tokens, None)
        if room is None:
            hidden = torch.empty((tokens, self._sizes[0]))
            made = [hidden, *(self._embeddings.new_empty((tokens, size)) for size in self._sizes)]
            room = _Room(*made, *map(seen, made))
        self._rooms[tokens] = room
        if len(self._rooms) > ROOMS:
            self._rooms.popitem(last=False)
        return room

    def _turns_to(self, positions: int) -> Floats:
        """Cosines and sines of so many positions, or more."""
        if positions > len(self._turns):
            reach = -(-positions // TURNS_STEP) * TURNS_STEP
            both = self._rotary(torch.empty(0), torch.arange(reach)[None])
            self._turns = seen(torch.stack([each[0, :, : each.shape[2] // 2] for each in both], 1))
        return self._turns


def _layer(module: Any) -> _Layer:
    attention, mlp = module.self_attn, module.mlp
    norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
    query_norm, key_norm = (NOTHING if n is None else seen(n.weight.float()) for n in norms)
    return _Layer(
        queries_keys_values=joined([attention.q_proj, attention.k_proj, attention.v_proj]),
        output=attention.o_proj.forward,
        gates_and_ups=joined([mlp.gate_proj, mlp.up_proj]),
        down=mlp.down_proj.forward,
        attention_norm=seen(module.input_layernorm.weight.float()),
        query_norm=query_norm,
        key_norm=key_norm,
        mlp_norm=seen(module.post_attention_layernorm.weight.float()),
        scaling=float(attention.scaling),
        window=getattr(attention, "sliding_window", None) or NO_WINDOW,
    )


def seen(states: torch.Tensor) -> States:
    """The same memory as the kernels see it."""
    plain = states.detach().contiguous()
    return (plain.view(torch.uint16) if plain.dtype is torch.bfloat16 else plain).numpy()
