"""Prefix: what a row was fed, taken out of the batch so that a later row can begin with it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.engine.slot_cache import LayerContent


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
