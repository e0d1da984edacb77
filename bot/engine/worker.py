"""WorkerThread: the one place where a thread starts.

Blocking work (torch, downloads) is submitted as callables; results cross back to the event loop
with `call_soon_threadsafe`. It knows nothing about what it runs.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from queue import Empty, SimpleQueue
from typing import TypeVar

from bot.errors import EngineUnavailable
from bot.translations import gettext as _

logger = logging.getLogger(__name__)

T = TypeVar("T")
_Task = Callable[[BaseException | None], None]
"""Runs when called with None; called with an error it only reports that it never ran."""


class WorkerState(StrEnum):
    """Where a worker stands; `dead` means that it ended by an error."""

    NEW = "new"
    RUNNING = "running"
    STOPPED = "stopped"
    DEAD = "dead"


class WorkerThread:
    """A thread that runs what is submitted, in order, and takes steps of its own in between.

    `step` is called whenever nothing is submitted and says whether there is more to do: after
    False it is called again only when something was submitted. An exception of a submitted
    callable goes to whoever awaits it; one of `step`, or one that is not an `Exception`, kills the
    worker: everybody who waits is told (`EngineUnavailable`), then `on_death` runs in the dying
    thread. A dead worker is not started again: make another.
    `nice` lowers the thread's priority where the system has one for threads (Linux).
    """

    def __init__(
        self,
        name: str,
        *,
        step: Callable[[], bool] | None = None,
        on_death: Callable[[BaseException], None] | None = None,
        nice: int = 0,
    ) -> None:
        self._name = name
        self._step = step
        self._on_death = on_death
        self._nice = nice
        self._state = WorkerState.NEW
        self._error: BaseException | None = None
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._has_ended = False
        self._on_end: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    @property
    def state(self) -> WorkerState:
        """Where it stands."""
        return self._state

    @property
    def error(self) -> BaseException | None:
        """What it died of."""
        return self._error

    def start(self) -> None:
        """Start the thread; once."""
        self._state = WorkerState.RUNNING
        self._thread.start()

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread and return its result.

        Raises what it raises, or `EngineUnavailable` if the worker does not run or dies first.
        If the caller is cancelled, the work still runs and its result is dropped.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def task(refusal: BaseException | None) -> None:
            if refusal is not None:
                _settle(loop, future, None, refusal)
                return
            try:
                result = work()
            except Exception as error:
                _settle(loop, future, None, error)
            except BaseException:
                _settle(loop, future, None, _died(self._name))
                raise
            else:
                _settle(loop, future, lambda: result, None)

        self._put(task)
        return await future

    def post(self, work: Callable[[], None]) -> None:
        """Have `work` run in the thread and wait for nothing; it must not raise."""

        def task(refusal: BaseException | None) -> None:
            if refusal is None:
                work()

        self._put(task)

    def run_submitted(self) -> None:
        """Run what was submitted meanwhile: for a long step, in the thread itself, to call."""
        with suppress(Empty):
            while (task := self._tasks.get_nowait()) is not None:
                task(None)
            self._tasks.put(None)

    async def stop(self) -> None:
        """End the thread after what was submitted so far, and join it."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._state is WorkerState.RUNNING:
                self._state = WorkerState.STOPPED
                self._tasks.put(None)
            if self._thread.ident is None:
                return
            if self._has_ended:
                ended.set_result(None)
            self._on_end.append(lambda: _settle(loop, ended, lambda: None, None))
        await ended
        self._thread.join()

    def _put(self, task: _Task) -> None:
        with self._lock:
            if self._state is not WorkerState.RUNNING:
                raise _died(self._name)
            self._tasks.put(task)

    def _main(self) -> None:
        try:
            self._lower_priority()
            self._serve()
        except BaseException as error:
            self._die(error)
        finally:
            with self._lock:
                self._has_ended = True
            for tell in self._on_end:
                tell()

    def _lower_priority(self) -> None:
        if self._nice and sys.platform == "linux":
            with suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)

    def _serve(self) -> None:
        has_more = False
        while True:
            try:
                task = self._tasks.get(block=not has_more)
            except Empty:
                has_more = self._step is not None and self._step()
                continue
            if task is None:
                return
            task(None)
            has_more = self._step is not None

    def _die(self, error: BaseException) -> None:
        logger.error("worker %s died of %s", self._name, type(error).__name__)
        with self._lock:
            self._error = error
            self._state = WorkerState.DEAD
        while not self._tasks.empty():
            task = self._tasks.get()
            if task is not None:
                task(_died(self._name))
        if self._on_death is not None:
            self._on_death(error)


def _died(name: str) -> EngineUnavailable:
    return EngineUnavailable(_("The {name} stopped. Try again in a moment.").format(name=name))


def _settle(
    loop: asyncio.AbstractEventLoop,
    future: "asyncio.Future[T]",
    result: Callable[[], T] | None,
    error: BaseException | None,
) -> None:
    def settle() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        elif result is not None:
            future.set_result(result())

    # The loop may be closed already: then nobody waits any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)
