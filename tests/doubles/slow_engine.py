"""An engine that says a word for each permit, for tests of answers while they grow."""

import asyncio
from collections.abc import AsyncGenerator

from typing_extensions import override

from bot.engine.base import (
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    TextDelta,
    Usage,
)
from tests.doubles.scripted import ScriptedEngine


class SlowEngine(ScriptedEngine):
    """Says "word 1", "word 2" ... one for each permit, and ends when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = asyncio.Semaphore(0)
        self.ended = asyncio.Event()
        self.asked = 0

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        self.asked += 1
        number = 0
        while not self.ended.is_set():
            await self.permits.acquire()
            number += 1
            yield TextDelta(f"word {number} ")
        yield TextDelta("end")
        yield Finished(FinishReason.STOP, Usage())

    def end(self) -> None:
        """Let every answer come to its end."""
        self.ended.set()
        for _ in range(100):
            self.permits.release()
