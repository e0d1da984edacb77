"""One engine over several: each model goes to the engine that its catalogue entry names."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from typing_extensions import override

from bot.engine.base import Engine, EngineEvent, GenerationRequest, ResidentModel
from config.catalogue import EngineKind, ModelEntry


class RoutingEngine(Engine):
    """Sends every request on. What no entry names goes to the engine of this machine, which says
    that it does not know it.

    The engines start with the first model that they load or run: where only remote models are
    used, torch is never imported.
    """

    def __init__(
        self,
        entries: Mapping[str, ModelEntry],
        engines: Mapping[EngineKind, Engine],
    ) -> None:
        self._entries = entries
        self._engines = engines

    @override
    async def start(self) -> None:
        """Nothing yet: each engine starts when it is needed."""

    @override
    async def load(self, model: str, progress: Callable[[float], None] | None = None) -> None:
        await self._engine(model).load(model, progress)

    @override
    async def unload(self, model: str) -> None:
        await self._engine(model).unload(model)

    @override
    async def forget(self, cache_key: str) -> None:
        for engine in self._engines.values():
            await engine.forget(cache_key)

    @override
    def resident(self) -> Sequence[ResidentModel]:
        return [model for engine in self._engines.values() for model in engine.resident()]

    @override
    def stream(
        self, request: GenerationRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        return self._engine(request.model).stream(request)

    @override
    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.close()

    def _engine(self, model: str) -> Engine:
        entry = self._entries.get(model)
        return self._engines[EngineKind.TRANSFORMERS if entry is None else entry.engine]
