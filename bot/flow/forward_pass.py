"""Who may be in the forward pass together: everybody, or one suspect alone.

A message that was being answered when a process died may be what killed it. Answered alone, it can
be told; beside others it could bring them down again and again.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class ForwardPass:
    """The way into it, in the order of arrival."""

    def __init__(self) -> None:
        self._entrance = asyncio.Lock()
        self._empty = asyncio.Event()
        self._empty.set()
        self._inside = 0

    @asynccontextmanager
    async def entered(self, *, alone: bool) -> AsyncGenerator[None]:
        """Be in it for as long as the block lasts; `alone` with nobody else."""
        async with self._entrance:
            if alone:
                await self._empty.wait()
                yield
                return
            self._inside += 1
            self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()
