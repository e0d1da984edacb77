"""One answer of a remote model: attempts until the first word, then the stream, then the usage.

Before the first word another attempt can double nothing: it goes to another server, or to the same
one after its pause. After it there is none; what broke is told.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from datetime import datetime

from bot.conversation import Role
from bot.engine import failures
from bot.engine.base import (
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
)
from bot.engine.remote.chunk import Chunk
from bot.engine.remote.endpoints import Endpoint, NoEndpoint
from bot.engine.remote.faults import Fault, ServerFault
from bot.engine.remote.model import RemoteModel
from bot.engine.remote.request import RemoteRequest
from bot.engine.remote.stream_reader import Reading
from bot.errors import Signal
from config.addresses import host_of

MAX_ATTEMPTS = 3
MAX_FORMS = 8
"""In how many forms a request is sent to a server that refuses it."""

MAX_WAIT_S = 20.0
"""How long an answer may wait for a server that is being left alone, all waits together."""

USAGE_WAIT_S = 5.0
"""How long the usage is waited for once the answer is whole."""

NOT_PASSING = frozenset({Fault.SILENT, Fault.KEY_REFUSED, Fault.NO_MODEL})
"""Faults for which the same server is not asked again: nothing would be different."""

log = logging.getLogger(__name__)


class OutOfTime(Signal):
    """The answer's deadline or its total timeout passed."""


class RemoteAnswer:
    """One request to a remote model. `events` is read once."""

    def __init__(
        self,
        remote: RemoteModel,
        request: GenerationRequest,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._remote = remote
        self._request = RemoteRequest(remote, request)
        self._affinity = request.cache_key
        self._sampling = request.sampling
        last = request.turns[-1]
        self._begun = last.text if last.role is Role.ASSISTANT else ""
        self._monotonic = monotonic
        self._asked_at_s = monotonic()
        self._ends_at_s = self._asked_at_s + _allowed_s(remote, request, clock())
        self._reading = self._new_reading()
        self._tried: list[Endpoint] = []
        self._waited_s = 0.0

    async def events(self) -> AsyncGenerator[EngineEvent]:
        """Deltas, then exactly one `Finished`."""
        ended: ServerFault | NoEndpoint | OutOfTime | None = None
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                async with aclosing(self._attempt()) as deltas:
                    async for delta in deltas:
                        yield delta
                break
            except OutOfTime as out_of_time:
                ended = out_of_time
                break
            except (ServerFault, NoEndpoint) as fault:
                ended = fault
                if attempt == MAX_ATTEMPTS or not await self._may_try_again(fault):
                    break
                ended, self._reading = None, self._new_reading()
        for delta in self._reading.rest():
            yield delta
        yield self._last(ended)

    async def _attempt(self) -> AsyncGenerator[TextDelta | ReasoningDelta]:
        with self._leased() as endpoint:
            async with self._in_time():
                await self._request.prepare(endpoint)
            for _form in range(MAX_FORMS):
                body = self._request.body(endpoint)
                try:
                    async with aclosing(self._streamed(endpoint, body)) as deltas:
                        async for delta in deltas:
                            yield delta
                    return
                except ServerFault as fault:
                    is_refused = fault.fault is Fault.REQUEST_REFUSED
                    if self._reading.is_begun or not is_refused:
                        raise
                    async with self._in_time():
                        if not await self._request.adapt(endpoint, body, fault.complaint):
                            raise
            raise ServerFault(Fault.REQUEST_REFUSED, "refused in every form")

    async def _streamed(
        self, endpoint: Endpoint, body: Mapping[str, object]
    ) -> AsyncGenerator[TextDelta | ReasoningDelta]:
        reading = self._reading
        async with AsyncExitStack() as stack:
            async with self._in_time():
                chunks = await stack.enter_async_context(self._remote.server(endpoint).chat(body))
            while not reading.is_ended and (chunk := await self._next(chunks)) is not None:
                for delta in reading.take(chunk):
                    yield delta
        if not reading.is_whole:
            raise ServerFault(Fault.BROKEN, "the stream ended in the middle")

    async def _next(self, chunks: AsyncIterator[Chunk]) -> Chunk | None:
        """The next chunk; once the answer is whole only the usage is waited for, and not long."""
        if not self._reading.is_whole:
            async with self._in_time():
                return await anext(chunks, None)
        try:
            async with asyncio.timeout(USAGE_WAIT_S):
                return await anext(chunks, None)
        except (TimeoutError, ServerFault):
            return None

    @contextmanager
    def _leased(self) -> Generator[Endpoint]:
        """A server, and what comes of the attempt held for or against it."""
        with self._remote.pool.lease(self._affinity, self._tried) as endpoint:
            self._tried.append(endpoint)
            try:
                yield endpoint
            except ServerFault as fault:
                self._remote.failed(endpoint, fault)
                name, host = self._remote.entry.name, host_of(endpoint.url)
                log.warning("%s at %s: %s, %s", name, host, fault.fault.name, fault)
                raise
            self._remote.pool.succeeded(endpoint)

    @asynccontextmanager
    async def _in_time(self) -> AsyncGenerator[None]:
        """A wait that ends with the time that is allowed."""
        try:
            async with asyncio.timeout(max(0.0, self._left_s)):
                yield
        except TimeoutError as error:
            raise OutOfTime from error

    @property
    def _left_s(self) -> float:
        return self._ends_at_s - self._monotonic()

    async def _may_try_again(self, fault: ServerFault | NoEndpoint) -> bool:
        """Whether another attempt can help and double nothing; waits until it can be made."""
        if self._reading.is_begun:
            return False
        pool = self._remote.pool
        if isinstance(fault, ServerFault):
            if fault.fault is Fault.REQUEST_REFUSED:
                return False
            if any(one not in self._tried and not pool.is_resting(one) for one in pool.endpoints):
                return True
            if fault.fault in NOT_PASSING:
                return False
        wait_s = pool.wait_s
        if self._waited_s + wait_s > MAX_WAIT_S or wait_s > self._left_s:
            return False
        self._waited_s += wait_s
        await self._remote.sleep(wait_s)
        return True

    def _new_reading(self) -> Reading:
        return Reading(self._sampling, self._asked_at_s, self._monotonic, self._begun)

    def _last(self, ended: ServerFault | NoEndpoint | OutOfTime | None) -> Finished:
        usage = self._reading.usage(self._request.prompt)
        match ended:
            case None:
                return self._reading.finished(self._request.prompt)
            case OutOfTime():
                return Finished(FinishReason.TIME, usage)
            case ServerFault() if self._reading.is_begun:
                text = failures.broke_off(self._remote.entry)
            case ServerFault():
                text = self._remote.told(ended.fault).text
            case NoEndpoint():
                text = self._remote.told(self._remote.last_fault).text
        return Finished(FinishReason.ERROR, usage, text)


def _allowed_s(remote: RemoteModel, request: GenerationRequest, now: datetime) -> float:
    """The total timeout, or less where the deadline comes before it."""
    total_s = remote.entry.total_timeout_s
    if request.deadline is None:
        return total_s
    return min(total_s, (request.deadline - now).total_seconds())
