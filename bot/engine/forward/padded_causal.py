"""A decoder-only model's forward pass through transformers' modules."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' model calls are untyped; what leaves this module is typed.

from collections.abc import Sequence
from typing import cast

import torch
from typing_extensions import override

from bot.engine.cache.kv_cache import Pass, SlotCache
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.base import Fed, ForwardPass


class PaddedCausal(ForwardPass):
    """All rows are as wide as the widest."""

    is_ragged = False

    def __init__(self, checkpoint: Checkpoint, cache: SlotCache) -> None:
        self._model, self._dtype = checkpoint.model, checkpoint.blueprint.dtype
        self._cache = cache
        self._window, self._layer_types = _windows(checkpoint)

    @override
    def forward(self, feeds: Sequence[Fed]) -> Sequence[torch.Tensor]:
        slots, counts = [each.slot for each in feeds], [len(each.ids) for each in feeds]
        planned = self._cache.begin(slots, counts)
        width, most = max(counts), max(each.kept for each in feeds)
        ids = [[0] * (width - len(each.ids)) + [*each.ids] for each in feeds]
        output = self._model(
            input_ids=torch.tensor(ids, device=planned.positions.device),
            attention_mask=self._mask(planned),
            position_ids=planned.position_ids,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=max(most, 1),
        )
        self._cache.finish(slots, counts)
        logits = cast("torch.Tensor", output.logits).float()
        return [own[own.shape[0] - fed.kept :] for own, fed in zip(logits, feeds, strict=True)]

    def _mask(self, planned: Pass) -> torch.Tensor | dict[str, torch.Tensor | None] | None:
        # One row without a past needs none: it is plainly causal, and so is one token.
        rows, width = planned.positions.shape
        is_plain = rows == 1 and width in (1, planned.longest)
        full = None if is_plain else planned.mask(self._dtype)
        if self._window is None:
            return full
        windowed = planned.mask(self._dtype, self._window)
        if not self._layer_types:
            return windowed
        masks = {"full_attention": full, "sliding_attention": windowed}
        return {name: masks[name] for name in self._layer_types}


def _windows(checkpoint: Checkpoint) -> tuple[int | None, frozenset[str]]:
    """The attention window, if some layers have one, and the kinds of layers if they differ."""
    config = checkpoint.model.config
    window: object = getattr(config, "sliding_window", None)
    kinds: object = getattr(config, "layer_types", None)
    layer_types = frozenset(cast("list[str]", kinds)) if isinstance(kinds, list) else frozenset()
    if not isinstance(window, int) or (layer_types and "sliding_attention" not in layer_types):
        return None, frozenset()
    return window, layer_types
