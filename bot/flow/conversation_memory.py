"""What this process has in memory of conversations, beside the store: caches and inspections."""

from bot.engine.base import Engine
from bot.flow.inspection import Inspections
from bot.flow.message_life import MessageLife, Phase
from bot.flow.queues import Queues


class ConversationMemory:
    """Forgets conversations, by their key (`conversation_key`) and with those below them."""

    def __init__(self, engine: Engine, inspections: Inspections, queues: Queues) -> None:
        self._engine = engine
        self._inspections = inspections
        self._queues = queues

    async def forget(self, key: str) -> None:
        """Drop what there is, now and again when the answers that are at work have ended."""
        for life in self._queues:
            if life.phase is not Phase.WAITING:
                life.forgotten.add(key)
        await self._drop(key)

    async def settle(self, life: MessageLife) -> None:
        """Drop what an answer left of conversations that were forgotten while it was at work."""
        for key in life.forgotten:
            await self._drop(key)

    async def _drop(self, key: str) -> None:
        self._inspections.forget(key)
        await self._engine.forget(key)
