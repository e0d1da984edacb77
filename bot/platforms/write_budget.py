"""How often a platform may be written to: one budget for all replies that share it.

Platforms limit what is written to a place (a channel, a workspace). This keeps below such a limit,
so that final texts do not queue behind passing ones.

A write counts from its beginning until a window after its end: somewhere in between the platform
counted it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Hashable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

MAX_PLACES = 1000
MAX_LIMIT = 50
UNDER_WAY_S = 0.05
"""How often a write that waits for others under way looks again."""


@dataclass(slots=True)
class _Growing:
    """A reply that is shown while it grows: when it was shown last, and when it last asked to."""

    shown_at: float
    asked_at: float


@dataclass(slots=True)
class _Write:
    """A post or an edit; without `ended_at` it is under way."""

    ended_at: float | None = None


class Budget:
    """The budget of one place: at most `limit` writes in any `window_s` seconds."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._writes: list[_Write] = []
        self._closed_until = 0.0
        self._turns = asyncio.Lock()
        self._waiting = 0
        self._growing: dict[str, _Growing] = {}

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for this budget."""
        return self._waiting > 0

    def wait_s(self, now: float) -> float:
        """How long until the next write is allowed; 0 if it is now."""
        over = 1 - self._room(now)
        wait_s = self._closed_until - now
        if over > 0:
            ended = sorted(one.ended_at for one in self._writes if one.ended_at is not None)
            is_known = len(ended) >= over
            free_s = ended[over - 1] + self._window_s - now if is_known else UNDER_WAY_S
            wait_s = max(wait_s, free_s)
        return max(wait_s, 0.0)

    async def take(
        self, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> _Write:
        """Wait until a write is allowed, in the order of arrival, and begin it."""
        self._waiting += 1
        try:
            async with self._turns:
                while (wait_s := self.wait_s(clock())) > 0:
                    await sleep(wait_s)
                return self._begin()
        finally:
            self._waiting -= 1

    def try_take(self, reply: str, now: float) -> _Write | None:
        """Begin a passing write of a reply if it is its turn; it never waits.

        One write is left to posts and final texts. For the rest those go first that were shown
        longest ago.
        """
        growing = self._growing.setdefault(reply, _Growing(0.0, now))
        growing.asked_at = now
        self._forget_silent(now)
        before = sum(other.shown_at < growing.shown_at for other in self._growing.values())
        reserve = min(1, self._limit - 1)
        if self._waiting or now < self._closed_until or before >= self._room(now) - reserve:
            return None
        growing.shown_at = now
        return self._begin()

    def end(self, reply: str) -> None:
        """This reply grows no more."""
        self._growing.pop(reply, None)

    def learn(self, now: float, limit: int, remaining: int, reset_after_s: float) -> None:
        """Take over what the platform says of this place."""
        self._limit = max(1, min(limit, MAX_LIMIT))
        if remaining <= 0:
            self.close(now + reset_after_s)

    def close(self, until: float) -> None:
        """Allow nothing before then."""
        self._closed_until = max(self._closed_until, until)

    def _begin(self) -> _Write:
        write = _Write()
        self._writes.append(write)
        return write

    def _room(self, now: float) -> int:
        since = now - self._window_s
        self._writes = [one for one in self._writes if one.ended_at is None or one.ended_at > since]
        return self._limit - len(self._writes)

    def _forget_silent(self, now: float) -> None:
        """Drop replies that have stopped asking: they ended without a final text."""
        silent = [key for key, one in self._growing.items() if one.asked_at < now - self._window_s]
        for key in silent:
            del self._growing[key]


class Pace:
    """The budgets of all places, the idle ones forgotten."""

    def __init__(
        self,
        limit: int,
        window_s: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._sleep = sleep
        self._budgets: OrderedDict[Hashable, Budget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._budgets)

    @asynccontextmanager
    async def turn(self, place: Hashable) -> AsyncGenerator[None]:
        """Wait until the place may be written to, and count the write in the block."""
        write = await self._of(place).take(self._clock, self._sleep)
        try:
            yield
        finally:
            write.ended_at = self._clock()

    @contextmanager
    def passing(self, place: Hashable, reply: str) -> Generator[bool]:
        """Whether a passing text may be shown in the block; if not, it is left out."""
        write = self._of(place).try_take(reply, self._clock())
        try:
            yield write is not None
        finally:
            if write is not None:
                write.ended_at = self._clock()

    def end(self, place: Hashable, reply: str) -> None:
        """A reply has its final text."""
        self._of(place).end(reply)

    def learn(self, place: Hashable, limit: int, remaining: int, reset_after_s: float) -> None:
        """Take over what the platform says of a place: how many writes it takes, and till when."""
        self._of(place).learn(self._clock(), limit, remaining, reset_after_s)

    def close(self, place: Hashable, for_s: float) -> None:
        """Write nothing there for a time."""
        self._of(place).close(self._clock() + for_s)

    def _of(self, place: Hashable) -> Budget:
        pace = self._budgets.pop(place, None) or Budget(self._limit, self._window_s)
        self._budgets[place] = pace
        if len(self._budgets) > MAX_PLACES:
            oldest, its_pace = next(iter(self._budgets.items()))
            if not its_pace.is_busy:
                del self._budgets[oldest]
        return pace
