"""`fireside pause`: a mark in the store, and the running process that heeds it.

Whoever runs next to the database may set the mark; the bot looks at it every other second.
"""

import asyncio
import logging

from bot.adapter import AdapterState
from bot.engine.pausing_engine import PausingEngine
from bot.errors import StoreUnavailable

log = logging.getLogger(__name__)

STATE = "engine"
"""Whose small state the mark belongs to."""

KEY = "pause"
PAUSED, RUNNING = "paused", "running"
LOOK_S = 2.0


async def mark(state: AdapterState, *, is_paused: bool) -> bool:
    """Set the mark. Returns whether that is news."""
    before = await is_marked(state)
    await state.put(KEY, PAUSED if is_paused else RUNNING)
    return before != is_paused


async def is_marked(state: AdapterState) -> bool:
    """Whether the mark says that the bot is paused."""
    return await state.get(KEY) == PAUSED


async def heed(state: AdapterState, engine: PausingEngine, look_s: float = LOOK_S) -> None:
    """Pause and resume the engine as the mark says, for ever."""
    while True:
        try:
            is_paused = await is_marked(state)
        except StoreUnavailable as error:
            log.error("the mark of a pause could not be read: %s", error.text)
        else:
            await _follow(engine, is_paused)
        await asyncio.sleep(look_s)


async def _follow(engine: PausingEngine, is_paused: bool) -> None:
    if is_paused and not engine.is_paused:
        log.info("paused by `fireside pause`: the models' memory is freed")
        await engine.pause()
    elif engine.is_paused and not is_paused:
        log.info("resumed by `fireside resume`")
        engine.resume()
