"""An engine that asks whether there is any quota left before an answer, and charges it after."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

from typing_extensions import override

from bot.engine.base import (
    Engine,
    EngineEvent,
    Finished,
    GenerationRequest,
    ResidentModel,
    TextDelta,
)
from bot.policy.quotas import Quotas


class MeteredEngine(Engine):
    """Every answer to a member is charged to them, their channel and their workspace.

    Entering `stream` raises `QuotaSpent` where nothing is left. Requests without a payer are free.
    """

    def __init__(self, engine: Engine, quotas: Quotas) -> None:
        self._engine = engine
        self._quotas = quotas

    @override
    async def start(self) -> None:
        await self._engine.start()

    @override
    async def load(self, model: str, progress: Callable[[float], None] | None = None) -> None:
        await self._engine.load(model, progress)

    @override
    async def unload(self, model: str) -> None:
        await self._engine.unload(model)

    @override
    def resident(self) -> Sequence[ResidentModel]:
        return self._engine.resident()

    @override
    async def forget(self, cache_key: str) -> None:
        await self._engine.forget(cache_key)

    @override
    @asynccontextmanager
    async def stream(
        self, request: GenerationRequest
    ) -> AsyncGenerator[AsyncIterator[EngineEvent], None]:
        payer = request.payer
        if payer is None or not await self._quotas.admit(payer):
            async with self._engine.stream(request) as events:
                yield events
            return
        meter = _Meter()
        try:
            async with (
                self._engine.stream(request) as events,
                aclosing(meter.read(events)) as metered,
            ):
                yield metered
        finally:
            await self._quotas.charge(payer, meter.tokens)

    @override
    async def close(self) -> None:
        await self._engine.close()


class _Meter:
    """Counts the tokens of one answer; of one that was left early, those that were seen."""

    def __init__(self) -> None:
        self.tokens = 0

    async def read(self, events: AsyncIterator[EngineEvent]) -> AsyncGenerator[EngineEvent, None]:
        async for event in events:
            if isinstance(event, TextDelta):
                self.tokens += 1
            elif isinstance(event, Finished):
                usage = event.usage
                self.tokens = max(self.tokens, usage.prompt_tokens + usage.generated_tokens)
            yield event
