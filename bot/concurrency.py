"""Structured tasks: work beside a block, and work that a member can stop."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager

from bot.errors import Signal


class Stopped(Signal):
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


@asynccontextmanager
async def beside(work: Coroutine[object, object, None], *, is_joined: bool) -> AsyncGenerator[None]:
    """Run `work` for as long as the block lasts.

    At the block's end the work is waited for (`is_joined`) or cancelled. When one of the two
    fails the other is cancelled, and the error comes out as it is, not in a group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            yield
            if not is_joined:
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
