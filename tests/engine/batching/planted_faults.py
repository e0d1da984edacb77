"""Mistakes that a batch could make, each planted in running code: what the self-test must find."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportPrivateUsage=false

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch

from bot.engine.cache.kv_cache import SlotCache
from bot.engine.forward import fused_causal
from bot.engine.forward.base import Fed
from bot.engine.forward.fused_causal import FusedCausal

Plant = Callable[[pytest.MonkeyPatch], None]

EPSILON = 1e-2
"""What a norm's epsilon is mistaken for."""


def rotation_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """Answers are placed one further behind their prompt than they are."""
    rotate = fused_causal.rotate

    def off(*given: Any) -> None:
        *others, positions, keys = given
        is_answer = len(positions) <= 2
        cast("Any", rotate)(*others, positions + is_answer, keys)

    patch.setattr(fused_causal, "rotate", off)


def rows_crossed(patch: pytest.MonkeyPatch) -> None:
    """Two rows get each other's logits."""
    forward = FusedCausal.forward

    def crossed(self: FusedCausal, feeds: Sequence[Fed]) -> Sequence[torch.Tensor]:
        logits = forward(self, feeds)
        is_alike = len({each.shape for each in logits}) == 1
        return [*reversed(logits)] if is_alike else logits

    patch.setattr(FusedCausal, "forward", crossed)


def mask_missing(patch: pytest.MonkeyPatch) -> None:
    """A prompt's tokens see those behind them."""
    hidden = FusedCausal._hidden

    def nothing(self: FusedCausal, start: int, end: int, window: int) -> torch.Tensor:
        return torch.zeros_like(hidden(self, start, end, window))

    patch.setattr(FusedCausal, "_hidden", nothing)


def head_scale(patch: pytest.MonkeyPatch) -> None:
    """Scores are divided by the square root of twice a head's size."""
    made = fused_causal._layer

    def scaled(module: Any, config: Any) -> Any:
        layer = made(module, config)
        return replace(layer, scaling=layer.scaling * 2**-0.5)

    patch.setattr(fused_causal, "_layer", scaled)


def norm_epsilon(patch: pytest.MonkeyPatch) -> None:
    """Norms add too much before they divide."""
    begin = FusedCausal.__init__

    def begun(self: FusedCausal, *given: Any) -> None:
        begin(self, *given)
        self._epsilon = EPSILON

    patch.setattr(FusedCausal, "__init__", begun)


def stale_slot(patch: pytest.MonkeyPatch) -> None:
    """A row that moves to another slot finds there what the row before has left."""

    def lengths_alone(self: SlotCache, source: int, target: int) -> None:
        self.lengths[target] = self.lengths[source]

    patch.setattr(SlotCache, "copy", lengths_alone)


def key_heads(patch: pytest.MonkeyPatch) -> None:
    """Queries ask the keys and values of another group's head."""
    begin = FusedCausal.__init__

    def begun(self: FusedCausal, *given: Any) -> None:
        begin(self, *given)
        attend = cast("Any", self._attend)

        def wrong(states: torch.Tensor, cached: Any, *rest: Any, **named: Any) -> None:
            turned = tuple(np.ascontiguousarray(each[:, :, ::-1]) for each in cached)
            attend(states, turned, *rest, **named)

        cast("Any", self)._attend = wrong

    patch.setattr(FusedCausal, "__init__", begun)


def slot_length(patch: pytest.MonkeyPatch) -> None:
    """A token does not see the one before it."""
    plan = FusedCausal._plan

    def short(self: FusedCausal, feeds: Sequence[Fed], held: Sequence[int]) -> Any:
        planned = plan(self, feeds, held)
        ends = np.maximum(planned.ends - 1, 1)
        return replace(planned, ends=ends)

    patch.setattr(FusedCausal, "_plan", short)


IN_KERNELS: Mapping[str, Plant] = {
    plant.__name__: plant
    for plant in (
        rotation_off_by_one,
        rows_crossed,
        mask_missing,
        head_scale,
        norm_epsilon,
        stale_slot,
        key_heads,
        slot_length,
    )
}
"""Mistakes of the compiled pass of decoder-only models, by name."""
