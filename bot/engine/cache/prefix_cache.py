"""Prefix reuse: what a conversation's last answer left in the KV cache, kept for its next question.

A decoder-only model reuses what is the same from the beginning on, an encoder's output serves the
same prompt alone.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from bot.conversation import is_within
from bot.engine.cache.kv_cache import LayerContent


@dataclass(frozen=True, slots=True)
class Prefix:
    """The keys and values of `ids`, layer by layer; nothing changes them."""

    ids: tuple[int, ...]
    layers: Sequence[LayerContent]

    def beginning(self, tokens: int) -> "Prefix":
        """The first tokens, in memory of their own."""
        layers = [(keys[:tokens].clone(), values[:tokens].clone()) for keys, values in self.layers]
        return Prefix(self.ids[:tokens], layers)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return sum(each.numel() * each.element_size() for pair in self.layers for each in pair)


PrefixKey = tuple[str, str]
"""Model and conversation."""

SHARED = "system"
"""Above the keys of what conversations share; those of conversations begin with a platform."""


class PrefixCache:
    """The prefixes of past answers, least recently used first, under a budget of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[PrefixKey, Prefix] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        """What the kept prefixes hold."""
        return sum(kept.size_bytes for kept in self._kept.values())

    def find(self, key: PrefixKey) -> Prefix | None:
        """What is kept of a conversation."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def keep(self, key: PrefixKey, prefix: Prefix) -> None:
        """Keep a prefix; older ones make room."""
        if not key[1]:
            return
        self._kept.pop(key, None)
        size = prefix.size_bytes
        while self._kept and self.used_bytes + size > self._max_bytes:
            self._kept.popitem(last=False)
        if size <= self._max_bytes:
            self._kept[key] = prefix

    def drop(self, model: str) -> None:
        """Forget the prefixes of a model."""
        for key in [key for key in self._kept if key[0] == model]:
            del self._kept[key]

    def forget(self, cache_key: str) -> None:
        """Forget a conversation, and those below it, with every model."""
        for key in list(self._kept):
            if is_within(key[1], cache_key):
                del self._kept[key]

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
