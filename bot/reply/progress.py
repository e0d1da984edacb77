"""What a member is told while an answer has not begun, and when."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from bot.concurrency import beside
from bot.engine.base import EngineEvent, Loading, Waiting
from bot.translations import gettext as _

SOON_S = 2.0
"""A wait that ends sooner than this is not worth a word."""

Tell = Callable[[str, float | None], Awaitable[None]]
"""Tells words, and how far it is (0 to 1) where that is known."""

Hear = Callable[[EngineEvent], Awaitable[None]]


def why_nothing_comes(
    event: Waiting | Loading, *, has_lasted: bool = False
) -> tuple[str, float | None] | None:
    """The words, and how far it is (0 to 1) where that is known; None where it begins soon.

    A wait that `has_lasted` longer than that is told whatever was expected of it.
    """
    if isinstance(event, Loading):
        return _("Loading {model}").format(model=event.model), event.fraction
    if event.expected_s is None:
        return _("Place {position} in the queue").format(position=event.position), None
    if event.expected_s <= SOON_S and not has_lasted:
        return None
    text = _("Place {position} in the queue, about {seconds} s")
    seconds = round(max(event.expected_s, SOON_S))
    return text.format(position=event.position, seconds=seconds), None


@asynccontextmanager
async def telling(
    tell: Tell, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncGenerator[Hear]:
    """Give each event of an answer to what this yields, and its waits are told: at once, or when
    they last longer than was expected.
    """
    waits = _Waits(tell, sleep)
    async with beside(waits.watch(), is_joined=False):
        yield waits.hear


class _Waits:
    """The waits of an answer. `_untold` is set while one lasts that was to be short, and `_is_told`
    once the present one was told: then every change of it is.
    """

    def __init__(self, tell: Tell, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._tell = tell
        self._sleep = sleep
        self._latest: Waiting | Loading | None = None
        self._is_told = False
        self._untold = asyncio.Event()

    async def hear(self, event: EngineEvent) -> None:
        """Take in what the engine does next."""
        if not isinstance(event, Waiting):
            self._untold.clear()
            self._is_told = False
        if isinstance(event, Waiting | Loading):
            self._latest = event
            await self._tell_if_worth_it(has_lasted=self._is_told)

    async def watch(self) -> None:
        """Tell what was to be a short wait and lasts."""
        while True:
            await self._untold.wait()
            await self._sleep(SOON_S)
            if self._untold.is_set():
                await self._tell_if_worth_it(has_lasted=True)

    async def _tell_if_worth_it(self, *, has_lasted: bool) -> None:
        assert self._latest is not None, "there is a wait"
        why = why_nothing_comes(self._latest, has_lasted=has_lasted)
        if why is None:
            self._untold.set()
            return
        self._untold.clear()
        self._is_told = isinstance(self._latest, Waiting)
        await self._tell(*why)
