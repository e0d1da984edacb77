""" "... is typing" for as long as work goes on, once for all answers in a channel."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bot.errors import PlatformError

RENEW_S = 8.0
"""Discord shows it for 10 seconds."""

log = logging.getLogger(__name__)


class TypingSigns:
    """The signs of all channels; `show_typing` sends one."""

    def __init__(
        self,
        show_typing: Callable[[int], Awaitable[None]],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._show_typing = show_typing
        self._clock = clock
        self._sleep = sleep
        self._shown: dict[int, float] = {}
        self._users: dict[int, int] = {}

    async def show(self, channel_id: int) -> None:
        """Show it until cancelled; a channel that refuses it goes without."""
        self._users[channel_id] = self._users.get(channel_id, 0) + 1
        try:
            while True:
                due_s = self._shown.get(channel_id, -RENEW_S) + RENEW_S - self._clock()
                if due_s <= 0 or channel_id not in self._shown:
                    self._shown[channel_id] = self._clock()
                    await self._show_typing(channel_id)
                    due_s = RENEW_S
                await self._sleep(due_s)
        except PlatformError as error:
            log.info("%s", error)
        finally:
            self._end(channel_id)

    def _end(self, channel_id: int) -> None:
        self._users[channel_id] -= 1
        if self._users[channel_id] == 0:
            del self._users[channel_id]
            self._shown.pop(channel_id, None)
