"""The sign that an answer is being worked on: where it cannot be shown, that costs no answer."""

import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from typing_extensions import override

from bot.adapter import Adapter, Progress, WorkingIndicator
from bot.errors import PlatformError
from bot.messages import ReplyTarget

log = logging.getLogger(__name__)


@asynccontextmanager
async def working(adapter: Adapter, target: ReplyTarget) -> AsyncGenerator[WorkingIndicator]:
    """Show that work goes on, if the platform lets us."""
    stack = AsyncExitStack()
    indicator: WorkingIndicator | None = None
    with _unimportant():
        indicator = await stack.enter_async_context(adapter.working(target))
    try:
        yield _Indicator(indicator)
    finally:
        with _unimportant():
            await stack.aclose()


class _Indicator(WorkingIndicator):
    """An indicator whose failures cost nothing."""

    def __init__(self, indicator: WorkingIndicator | None) -> None:
        self._indicator = indicator

    @override
    async def update(self, progress: Progress) -> None:
        if self._indicator is not None:
            with _unimportant():
                await self._indicator.update(progress)


@contextmanager
def _unimportant() -> Generator[None]:
    try:
        yield
    except PlatformError as error:
        log.info("the sign of work could not be shown: %s", type(error).__name__)
