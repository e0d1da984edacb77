"""An engine that its owner can pause: memory is freed at once, and whoever asks is told."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from typing_extensions import override

from bot.engine import failures
from bot.engine.base import (
    Engine,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    ResidentModel,
    Usage,
)
from bot.errors import EngineUnavailable


class PausingEngine(Engine):
    """The engine behind it, until `pause`; again after `resume`.

    A pause ends every answer, those that wait too, with a told error and unloads every model.
    `is_owners` says that only the owner asks: they get to know how to resume.
    """

    def __init__(self, engine: Engine, *, is_owners: bool = False) -> None:
        self._engine = engine
        self._is_owners = is_owners
        self._paused = asyncio.Event()

    @property
    def is_paused(self) -> bool:
        """Whether it answers nobody."""
        return self._paused.is_set()

    async def pause(self) -> None:
        """End what runs and free the memory of the models."""
        self._paused.set()
        for resident in self._engine.resident():
            with suppress(EngineUnavailable):  # a dead worker holds no model
                await self._engine.unload(resident.name)

    def _error(self) -> EngineUnavailable:
        return failures.paused_here() if self._is_owners else failures.paused()

    def resume(self) -> None:
        """Answer again; models are loaded when they are asked for."""
        self._paused.clear()

    @override
    async def start(self) -> None:
        await self._engine.start()

    @override
    async def load(self, model: str, progress: Callable[[float], None] | None = None) -> None:
        if self.is_paused:
            raise self._error()
        await self._engine.load(model, progress)

    @override
    async def unload(self, model: str) -> None:
        await self._engine.unload(model)

    @override
    def resident(self) -> Sequence[ResidentModel]:
        return self._engine.resident()

    @override
    def stream(
        self, request: GenerationRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        return self._stream(request)

    @asynccontextmanager
    async def _stream(
        self, request: GenerationRequest
    ) -> AsyncGenerator[AsyncIterator[EngineEvent], None]:
        if self.is_paused:
            yield _told(self._error())
            return
        async with self._engine.stream(request) as events:
            until = _UntilPaused(events, self._paused, self._error())
            try:
                yield until
            finally:
                await until.leave()

    @override
    async def forget(self, cache_key: str) -> None:
        await self._engine.forget(cache_key)

    @override
    async def close(self) -> None:
        await self._engine.close()


class _UntilPaused(AsyncIterator[EngineEvent]):
    """Events, and a told end as soon as the pause begins."""

    def __init__(
        self, events: AsyncIterator[EngineEvent], paused: asyncio.Event, error: EngineUnavailable
    ) -> None:
        self._events = events
        self._error = error
        self._pause = asyncio.ensure_future(paused.wait())
        self._has_ended = False

    @override
    async def __anext__(self) -> EngineEvent:
        if self._has_ended:
            raise StopAsyncIteration
        coming = asyncio.ensure_future(anext(self._events))
        try:
            await asyncio.wait([coming, self._pause], return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                event = coming.result()
                self._has_ended = isinstance(event, Finished)
                return event
        finally:
            await _cancelled(coming)
        self._has_ended = True
        return _paused_end(self._error)

    async def leave(self) -> None:
        """Nobody reads on."""
        await _cancelled(self._pause)


async def _cancelled(task: "asyncio.Future[Any]") -> None:
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _told(error: EngineUnavailable) -> AsyncGenerator[EngineEvent, None]:
    yield _paused_end(error)


def _paused_end(error: EngineUnavailable) -> Finished:
    return Finished(FinishReason.ERROR, Usage(), error.text)
