"""The engine that runs models on this machine, with torch and transformers.

This side lives on the event loop: it starts the worker, hands it jobs and passes its events on. It
imports neither torch nor transformers; the worker does, when it starts.
"""

import asyncio
import importlib
import os
import sys
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from bot.clock import utc_now
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
from bot.engine.local.jobs import AnswerJob, LoadJob, UnloadJob
from bot.engine.run_mode import KnownMode, NoteMode
from bot.engine.worker import WorkerState, WorkerThread
from bot.errors import EngineUnavailable, UserFacingError
from bot.translations import gettext as _
from config.catalogue import ModelEntry

if TYPE_CHECKING:
    from bot.engine.local.models_in_memory import EngineSettings
    from bot.engine.local.step_loop import StepLoop

ENVIRONMENT = {
    # No third party converts a checkpoint while it is loaded.
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    # Grouped attention without copies of the keys where a mask is passed.
    "TRANSFORMERS_SDPA_FORCE_GQA": "1",
    # Weights are read in the worker thread alone: one thread owns torch.
    "HF_DEACTIVATE_ASYNC_LOAD": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that wait for each other spin for some milliseconds, longer than what one thread does
    # between two products, and then sleep. Waking costs as much as a second thread gains; endless
    # spinning takes the processor from whoever else needs it.
    "GOMP_SPINCOUNT": "100000",
}
"""What is set before transformers is imported, unless the owner set it."""

IDLE_CHECK_S = 60
"""How often is looked for models that nobody uses."""

NICE = 10
SWITCH_INTERVAL_S = 0.0005
"""Together they keep the event loop's lag under decoding below 3 ms (engine notes)."""


class TransformersEngine(Engine):
    """Runs the models of `entries` whose files `locate` finds.

    `locate` raises `ModelNotInstalled`; it is called in the worker. Weights and caches stay under
    `memory_budget_bytes` (None: half of what is free at the start). Up to `max_rows` rows
    generate at once and `max_waiting` answers wait; more are told that the engine is busy. With
    `exact` everything computes in fp32. A model that nobody uses is unloaded after a while, unless
    it is among `kept` or `pinned`; the latter make no room for others either. In the worker,
    `note_mode` hears how each model runs that was loaded, and what `known_mode` gives of that is
    not found out again. The worker starts with `start`, or with the first request; after its death
    the next request starts another.
    """

    def __init__(
        self,
        entries: Mapping[str, ModelEntry] | Callable[[], Mapping[str, ModelEntry]],
        locate: Callable[[ModelEntry], Path],
        *,
        memory_budget_bytes: int | None = None,
        max_waiting: int = 64,
        max_rows: int = 4,
        exact: bool = False,
        kept: Callable[[], Collection[str]] = tuple,
        pinned: Collection[str] = (),
        note_mode: NoteMode = lambda _entry, _folder, _mode: None,
        known_mode: KnownMode = lambda _entry, _folder: None,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._entries = entries if callable(entries) else lambda: entries
        self._locate = locate
        self._memory_budget_bytes = memory_budget_bytes
        self._max_waiting = max_waiting
        self._max_rows = max_rows
        self._exact = exact
        self._kept = kept
        self._pinned = pinned
        self._note_mode = note_mode
        self._known_mode = known_mode
        self._clock = clock
        self._monotonic = monotonic
        self._worker: WorkerThread | None = None
        self._loop: StepLoop | None = None
        self._starting = asyncio.Lock()
        self._idle_check: asyncio.TimerHandle | None = None
        self._sinks: set[_Sink | _Waiter] = set()
        self._is_closed = False

    @property
    def worker(self) -> WorkerThread | None:
        """The present worker, for what wants to know its state."""
        return self._worker

    @override
    async def start(self) -> None:
        async with self._starting:
            if self._is_closed:
                raise failures.shutting_down()
            if self._is_running():
                return
            if self._worker is not None:
                await self._worker.stop()
                # Its own call may still be queued on the loop and comes too late then.
                self._on_death(self._worker)
            await self._start_worker()
            self._check_for_idle_models()

    @override
    async def load(self, model: str, progress: Callable[[float], None] | None = None) -> None:
        entry = self._entry(model)
        await self.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        tell = progress or _ignore
        job = LoadJob(
            entry,
            progress=lambda fraction: _call_back(loop, lambda: tell(fraction)),
            done=lambda error: _call_back(loop, lambda: _settle(done, error)),
            context=copy_context(),
        )
        await self._await_job(lambda step_loop: step_loop.memory.request_load(job), done)

    @override
    async def unload(self, model: str) -> None:
        if self._worker is None or self._worker.state is not WorkerState.RUNNING:
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        job = UnloadJob(model, lambda error: _call_back(loop, lambda: _settle(done, error)))
        await self._await_job(lambda step_loop: step_loop.memory.request_unload(job), done)

    @override
    async def forget(self, cache_key: str) -> None:
        if self._worker is None or self._worker.state is not WorkerState.RUNNING:
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def forget(step_loop: "StepLoop") -> None:
            step_loop.forget(cache_key)
            _call_back(loop, lambda: _settle(done, None))

        with suppress(EngineUnavailable):  # before it has begun, or when it died, nothing is kept
            await self._await_job(forget, done)

    @override
    def resident(self) -> Sequence[ResidentModel]:
        return () if self._loop is None else self._loop.memory.snapshot

    @override
    @asynccontextmanager
    async def stream(
        self, request: GenerationRequest
    ) -> AsyncGenerator[AsyncIterator[EngineEvent], None]:
        submitted_at_s = self._monotonic()
        sink = _Sink(asyncio.get_running_loop())
        job: AnswerJob | None = None
        try:
            entry = self._entry(request.model)
            await self.start()
            self._sinks.add(sink)
            job = AnswerJob(request, entry, sink.emit, copy_context(), submitted_at_s)
            self._post(lambda step_loop: step_loop.submit(job))
        except UserFacingError as error:
            sink.put(Finished(FinishReason.ERROR, Usage(), error.text))
        try:
            yield sink
        finally:
            self._sinks.discard(sink)
            if job is not None:
                job.is_cancelled = True
                with suppress(EngineUnavailable):
                    self._post(lambda step_loop: step_loop.drop_gone())

    @override
    async def close(self) -> None:
        async with self._starting:
            self._is_closed = True
            if self._idle_check is not None:
                self._idle_check.cancel()
            worker = self._worker
            if worker is None:
                return
            with suppress(EngineUnavailable):
                self._post(lambda step_loop: step_loop.shut_down())
            await worker.stop()
            self._loop = None

    def _check_for_idle_models(self) -> None:
        """Now and from time to time: a worker without work does not look by itself."""
        if self._idle_check is not None:
            self._idle_check.cancel()
        with suppress(EngineUnavailable):
            self._post(lambda step_loop: step_loop.memory.unload_idle())
        loop = asyncio.get_running_loop()
        self._idle_check = loop.call_later(IDLE_CHECK_S, self._check_for_idle_models)

    def _is_running(self) -> bool:
        """A start that was cancelled leaves a worker without a loop: that one is replaced."""
        worker = self._worker
        return worker is not None and worker.state is WorkerState.RUNNING and self._loop is not None

    def _entry(self, model: str) -> ModelEntry:
        entry = self._entries().get(model)
        if entry is None:
            raise failures.unknown_model(model)
        return entry

    async def _start_worker(self) -> None:
        loop = asyncio.get_running_loop()
        holder: list[StepLoop] = []

        def tell_of_death(_error: BaseException) -> None:
            _call_back(loop, lambda: self._on_death(worker))

        worker = WorkerThread(
            _("engine"),
            step=lambda: bool(holder) and holder[0].step(),
            on_death=tell_of_death,
            nice=NICE,
        )
        worker.start()
        self._worker = worker
        try:
            self._loop = await worker.run(lambda: self._make_step_loop(holder, worker))
        except EngineUnavailable:
            raise
        except Exception as error:  # torch and its drivers may raise anything
            await worker.stop()
            raise failures.cannot_start(error) from error

    def _make_step_loop(self, holder: "list[StepLoop]", worker: WorkerThread) -> "StepLoop":
        """In the worker: import what is heavy, torch first, and build the worker's side."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        # Kept out of start-up and of every thread but this one.
        importlib.import_module("torch")
        from transformers.utils import logging as transformers_logging

        from bot.engine.local.step_loop import StepLoop

        # What is wrong with a checkpoint is told to who asked, not printed.
        transformers_logging.set_verbosity_error()
        holder.append(StepLoop(self._settings(worker)))
        return holder[0]

    def _settings(self, worker: WorkerThread) -> "EngineSettings":
        # In the worker, see above.
        from bot.engine.local.models_in_memory import EngineSettings

        return EngineSettings(
            entries=self._entries,
            locate=self._locate,
            memory_budget_bytes=self._memory_budget_bytes,
            max_waiting=self._max_waiting,
            max_rows=self._max_rows,
            exact=self._exact,
            kept=self._kept,
            pinned=self._pinned,
            note_mode=self._note_mode,
            known_mode=self._known_mode,
            clock=self._clock,
            monotonic=self._monotonic,
            run_submitted=worker.run_submitted,
        )

    def _post(self, ask: "Callable[[StepLoop], None]") -> None:
        worker, step_loop = self._worker, self._loop
        if worker is None or step_loop is None:
            raise EngineUnavailable(_("The engine does not run."))
        worker.post(lambda: ask(step_loop))

    async def _await_job(
        self, ask: "Callable[[StepLoop], None]", done: "asyncio.Future[None]"
    ) -> None:
        waiter = _Waiter(done)
        self._sinks.add(waiter)
        try:
            self._post(ask)
            await done
        finally:
            self._sinks.discard(waiter)

    def _on_death(self, worker: WorkerThread) -> None:
        """On the event loop, after the worker died: everybody who waits is told."""
        if worker is not self._worker:
            return
        self._loop = None
        text = failures.worker_died()
        for sink in list(self._sinks):
            sink.put(Finished(FinishReason.ERROR, Usage(), text))


class _Sink(AsyncIterator[EngineEvent]):
    """The way of one answer's events from the worker to whoever reads them.

    The queue has no bound of its own: what it can hold is one answer, which `max_tokens` bounds,
    and a worker that waited for a slow reader would hold up everybody else's answer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: asyncio.Queue[EngineEvent] = asyncio.Queue()
        self._is_finished = False
        self._is_read = False

    def emit(self, event: EngineEvent) -> None:
        """From the worker."""
        _call_back(self._loop, lambda: self.put(event))

    def put(self, event: EngineEvent) -> None:
        """On the event loop; nothing comes after `Finished`."""
        if self._is_finished:
            return
        self._is_finished = isinstance(event, Finished)
        self._events.put_nowait(event)

    @override
    async def __anext__(self) -> EngineEvent:
        if self._is_read:
            raise StopAsyncIteration
        event = await self._events.get()
        self._is_read = isinstance(event, Finished)
        return event


@dataclass(eq=False, frozen=True, slots=True)
class _Waiter:
    """Somebody who waits for a load or an unload; the worker's death ends the wait."""

    done: "asyncio.Future[None]"

    def put(self, event: Finished) -> None:
        """The worker died."""
        _settle(self.done, EngineUnavailable(event.error or ""))


def _settle(future: "asyncio.Future[None]", error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _call_back(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    # The loop may be closed already: then nobody waits any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


def _ignore(_fraction: float) -> None:
    pass
