"""Which models are in memory: find, make room by evicting, refuse with sizes (no torch).

It holds opaque models and counts bytes; loading and freeing are done by whoever calls it.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bot.errors import Signal

M = TypeVar("M")


class NoRoom(Signal):
    """A model does not fit even when every idle one is evicted.

    `room` is what it could have had; `could_wait` says that it fits once busy models end.
    """

    def __init__(self, need: int, room: int, could_wait: bool) -> None:
        super().__init__(f"{need} bytes needed, {room} free")
        self.need = need
        self.room = room
        self.could_wait = could_wait


@dataclass(frozen=True, slots=True)
class Resident(Generic[M]):
    """A model in memory with the bytes it was admitted for."""

    model: M
    weight_bytes: int
    cache_bytes: int

    @property
    def total_bytes(self) -> int:
        """Weights and cache."""
        return self.weight_bytes + self.cache_bytes


class Residency(Generic[M]):
    """Models by name, the least recently used first, under a budget of bytes.

    `available` measures the memory that is free now: a load must fit into both. `free` is called
    with each evicted model's name.
    """

    def __init__(
        self, budget_bytes: int, available: Callable[[], int], free: Callable[[str], None]
    ) -> None:
        self._budget_bytes = budget_bytes
        self._available = available
        self._free = free
        self._residents: OrderedDict[str, Resident[M]] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        """What the models in memory were admitted for."""
        return sum(resident.total_bytes for resident in self._residents.values())

    def use(self, name: str) -> Resident[M] | None:
        """A model that is in memory, marked as just used."""
        resident = self._residents.get(name)
        if resident is not None:
            self._residents.move_to_end(name)
        return resident

    def peek(self, name: str) -> Resident[M] | None:
        """A model that is in memory, if it is."""
        return self._residents.get(name)

    def all(self) -> Sequence[tuple[str, Resident[M]]]:
        """Every model in memory."""
        return tuple(self._residents.items())

    def make_room(self, need: int, busy: Collection[str]) -> None:
        """Evict idle models, least recently used first, until `need` bytes fit.

        Raises `NoRoom`: it evicts nothing when that could not be enough, and everything idle when
        that gave back less memory than it was admitted for.
        """
        idle = [name for name in self._residents if name not in busy]
        freeable = sum(self._residents[name].total_bytes for name in idle)
        room = self._room() + freeable
        if need > room:
            everything = self._room() + self.used_bytes
            raise NoRoom(need, max(0, room), could_wait=need <= everything)
        for name in idle:
            if need <= self._room():
                return
            self.evict(name)
        if need > self._room():
            raise NoRoom(need, max(0, self._room()), could_wait=bool(busy))

    def admit(self, name: str, resident: Resident[M]) -> None:
        """Enter a model that was loaded."""
        self._residents[name] = resident

    def evict(self, name: str) -> None:
        """Take a model out; unknown names are ignored."""
        if self._residents.pop(name, None) is not None:
            self._free(name)

    def clear(self) -> None:
        """Forget every model at once, without a call of `free`."""
        self._residents.clear()

    def _room(self) -> int:
        return min(self._budget_bytes - self.used_bytes, self._available())
