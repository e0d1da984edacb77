"""Ending what is made for a member when they say so; what there is by then is kept."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Stopped(Exception):  # noqa: N818 - no error: a member wanted it
    """It was stopped."""


class StopSwitch:
    """Stops one piece of work, once and for all, also before it has begun."""

    def __init__(self) -> None:
        self._is_stopped = False
        self._timeout: asyncio.Timeout | None = None

    def stop(self) -> None:
        """End the block that heeds this, or the next one."""
        self._is_stopped = True
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def heeded(self) -> AsyncGenerator[None]:
        """Raises `Stopped` out of the block when it is stopped."""
        try:
            async with asyncio.timeout(0 if self._is_stopped else None) as self._timeout:
                yield
        except TimeoutError:
            if not self._is_stopped:
                raise
            raise Stopped from None
        finally:
            self._timeout = None
