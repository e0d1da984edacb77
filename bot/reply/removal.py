"""The removal of a message that is shown of an answer, where nobody waits for it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bot.adapter import Adapter
from bot.errors import MessageGone, PlatformError, PlatformUnavailable
from bot.messages import ReplyTarget

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Between tries while the platform is away."""

log = logging.getLogger(__name__)


async def remove_shown(
    adapter: Adapter,
    target: ReplyTarget,
    message_id: str,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Delete a message, as far as the platform lets it be done within a few tries."""
    for pause_s in (*PAUSES_S, None):
        try:
            await adapter.edit(target, message_id, None)
        except MessageGone:
            return
        except PlatformUnavailable as error:
            if pause_s is None:
                log.warning("a message could not be removed: %s", type(error).__name__)
                return
            await sleep(pause_s)
        except PlatformError as error:
            log.warning("a message could not be removed: %s", type(error).__name__)
            return
        else:
            return
