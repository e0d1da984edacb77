"""Where a forward pass has its states between products: as torch and as the kernels see them."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bot.engine.compiled_attention import Floats, States

NOTHING: Floats = np.empty(0, np.float32)
"""The weight of a norm, or its bias, that a model has not."""

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


def seen(states: torch.Tensor) -> States:
    """The same memory as the kernels see it."""
    is_half = states.dtype is torch.bfloat16
    array: States = (states.view(torch.uint16) if is_half else states).numpy()
    return array


def numbers(weight: Any) -> Floats:
    """A small weight as the kernels want it."""
    array: Floats = weight.detach().float().contiguous().numpy()
    return array
