"""Prefix reuse: the KV cache of a conversation's last answer, kept for its next question.

Caches are transformers' own objects, one a row. Only decoder-only models reuse them: an encoder
sees everything anew.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

PrefixKey = tuple[str, str]
"""Model and conversation."""


@dataclass(frozen=True, slots=True)
class _Kept:
    ids: tuple[int, ...]
    cache: DynamicCache
    size_bytes: int


class PrefixCache:
    """The caches of past answers, least recently kept first, under a budget of bytes.

    A cache is in one place only: taking it removes it, so nothing is ever copied or shared.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[PrefixKey, _Kept] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        """What the kept caches hold."""
        return sum(kept.size_bytes for kept in self._kept.values())

    def take(self, key: PrefixKey, ids: Sequence[int]) -> tuple[DynamicCache, int] | None:
        """The cache of the longest common prefix, cropped to it, and its length.

        At least one id is always left to feed: its logits begin the answer.
        """
        kept = self._kept.pop(key, None)
        if kept is None:
            return None
        common = min(_common_prefix(kept.ids, ids), len(ids) - 1)
        if common == 0:
            return None
        kept.cache.crop(common - len(kept.ids))
        return kept.cache, common

    def keep(self, key: PrefixKey, ids: Sequence[int], cache: DynamicCache) -> None:
        """Keep a cache that holds exactly `ids`; older ones make room."""
        if not key[1] or not all(type(layer) is DynamicLayer for layer in cache.layers):
            return
        self._kept.pop(key, None)
        size = _cache_bytes(cache)
        while self._kept and self.used_bytes + size > self._max_bytes:
            self._kept.popitem(last=False)
        if size <= self._max_bytes:
            self._kept[key] = _Kept(tuple(ids), cache, size)

    def drop(self, model: str) -> None:
        """Forget the caches of a model."""
        for key in [key for key in self._kept if key[0] == model]:
            del self._kept[key]

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length


def _cache_bytes(cache: DynamicCache) -> int:
    layers = [layer for layer in cache.layers if isinstance(layer, DynamicLayer)]
    tensors = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)
