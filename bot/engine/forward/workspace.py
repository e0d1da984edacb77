"""Where a forward pass has its states between products: as torch and as the kernels see them."""

from collections import OrderedDict
from dataclasses import dataclass

import torch

from bot.engine.kernels.arrays import States, seen

ROOMS = 32
"""For so many different numbers of tokens is room kept."""


@dataclass(frozen=True, slots=True)
class Held:
    """States [tokens, size], the same memory seen twice."""

    states: torch.Tensor
    seen: States


@dataclass(frozen=True, slots=True)
class Room:
    """The states of so many tokens: the sum of all layers so far, which is fp32, its norm, what was
    attended to, and what lies between the two products of an MLP.
    """

    hidden: Held
    normed: Held
    attended: Held
    inner: Held


class Workspace:
    """Rooms for states like these, of the sizes that a room's states have."""

    def __init__(self, like: torch.Tensor, sizes: tuple[int, int, int]) -> None:
        self._like = like
        self._sizes = sizes
        self._rooms: OrderedDict[int, Room] = OrderedDict()

    def room(self, tokens: int) -> Room:
        """Room for so many tokens; what it held is not to be relied on."""
        room = self._rooms.pop(tokens, None)
        if room is None:
            hidden = torch.empty((tokens, self._sizes[0]))
            rest = [self._like.new_empty((tokens, size)) for size in self._sizes]
            room = Room(*(Held(made, seen(made)) for made in (hidden, *rest)))
        self._rooms[tokens] = room
        if len(self._rooms) > ROOMS:
            self._rooms.popitem(last=False)
        return room
