"""Running a piece of work beside a block, as a structured task."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager


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
