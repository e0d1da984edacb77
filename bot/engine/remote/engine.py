"""The engine for models that a server runs: any that speaks OpenAI's chat protocol.

It computes nothing, and imports neither torch nor transformers. Which server is asked is decided in
`endpoints`, what is sent and read stands in `client`, one answer in `answer`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from typing_extensions import override

from bot.clock import utc_now
from bot.concurrency import beside
from bot.engine import failures
from bot.engine.base import (
    Engine,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    ModelState,
    ResidentModel,
    Usage,
)
from bot.engine.remote.answer import RemoteAnswer
from bot.engine.remote.faults import ServerFault
from bot.engine.remote.model import RemoteModel
from bot.errors import BrokenModel, UserFacingError
from bot.translations import gettext as _
from config.catalogue import ModelEntry


class OpenAIEngine(Engine):
    """Runs the remote models of `entries` on their servers.

    A model counts as resident once one of its servers has said that it serves it.
    """

    def __init__(
        self,
        entries: Mapping[str, ModelEntry],
        *,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._entries = entries
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._models: dict[str, RemoteModel] = {}
        self._is_closed = False

    @override
    async def start(self) -> None:
        if self._is_closed:
            raise failures.shutting_down()

    @override
    async def load(self, model: str, progress: Callable[[float], None] | None = None) -> None:
        """Ask the servers whether they are there and serve the model."""
        remote = self._model(model)
        answers = await asyncio.gather(*map(remote.check, remote.pool.endpoints))
        faults = [answer for answer in answers if isinstance(answer, ServerFault)]
        if len(faults) == len(answers):
            raise remote.told(faults[0].fault)
        if remote.served_others is not None:
            text = _("The server of {name} does not serve {remote}; it serves: {others}.")
            names = ", ".join(remote.served_others[:5])
            raise BrokenModel(
                text.format(name=model, remote=remote.name_at_server, others=names or "-")
            )
        if progress is not None:
            progress(1.0)

    @override
    async def unload(self, model: str) -> None:
        """Forget what its servers said; they keep it in their memory."""
        remote = self._models.pop(model, None)
        if remote is not None:
            await remote.close()

    @override
    async def forget(self, cache_key: str) -> None:
        """Nothing: what servers keep is theirs."""

    @override
    def resident(self) -> Sequence[ResidentModel]:
        return [
            ResidentModel(name, ModelState.READY, 0, 0)
            for name, remote in self._models.items()
            if remote.is_known
        ]

    @override
    @asynccontextmanager
    async def stream(
        self, request: GenerationRequest
    ) -> AsyncGenerator[AsyncIterator[EngineEvent], None]:
        try:
            remote = self._model(request.model)
        except UserFacingError as error:
            yield _only(Finished(FinishReason.ERROR, Usage(), error.text))
            return
        answer = RemoteAnswer(remote, request, clock=self._clock, monotonic=self._monotonic)
        async with beside(remote.try_again(), is_joined=False):
            events = answer.events()
            try:
                yield events
            finally:
                await events.aclose()

    @override
    async def close(self) -> None:
        """Close all connections: answers that are still read end as told failures."""
        self._is_closed = True
        models, self._models = list(self._models.values()), {}
        for remote in models:
            await remote.close()

    def _model(self, name: str) -> RemoteModel:
        if self._is_closed:
            raise failures.shutting_down()
        found = self._models.get(name)
        if found is None:
            entry = self._entries.get(name)
            if entry is None or not entry.is_remote:
                raise failures.unknown_model(name)
            found = self._models[name] = RemoteModel(entry, self._monotonic, self._sleep)
        return found


async def _only(event: EngineEvent) -> AsyncGenerator[EngineEvent]:
    yield event
