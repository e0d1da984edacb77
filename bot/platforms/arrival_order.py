"""Messages of one author in one place are handed to the core in the order in which they came.

Handlers of events run side by side: without this a short wait for one of them, such as for what it
quotes, would let a later one overtake it.
"""

import asyncio
from collections.abc import Hashable
from weakref import WeakValueDictionary


class ArrivalOrder:
    """A queue for each key; one that nobody waits in takes no memory."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def turn(self, key: Hashable) -> asyncio.Lock:
        """To be held in an `async with` block, which begins when those before it have ended."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock
