"""Waiting for what is on the other side of a socket."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until a condition holds; fail where it never does."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for is on the other side
            await asyncio.sleep(0.005)


async def settled(seconds: float = 0.1) -> None:
    """Let what could still come, come: for what must not."""
    await asyncio.sleep(seconds)
