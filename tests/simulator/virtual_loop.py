"""An event loop whose time moves only when everything waits, and in which a process can die.

It has no files and no threads. What belongs to a process is known by its context, which tasks and
callbacks inherit: when that process dies none of them runs again, not even its `finally` blocks.
"""

import asyncio
import itertools
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

from typing_extensions import override

PROCESS: ContextVar[int | None] = ContextVar("process", default=None)
"""The process that something belongs to; None is the world outside."""

STARTS_AT_S = 1000.0


class EverythingWaitsError(Exception):
    """Nothing will ever happen again: no timer is set."""


class _Clock(selectors.SelectSelector):
    """Instead of waiting it lets the time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = STARTS_AT_S

    @override
    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise EverythingWaitsError
        self.now += max(timeout, 0.0)
        return []


class _Task(asyncio.Task[Any]):
    """A task whose place in a set depends on when it began, not on its address."""

    _numbers = itertools.count()

    def __init__(self, *given: Any, **named: Any) -> None:
        self._number = next(self._numbers)
        super().__init__(*given, **named)

    @override
    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.SelectorEventLoop):
    """Seconds pass when nothing else is left to do."""

    def __init__(self) -> None:
        self._clock = _Clock()
        self._dead = set[int]()
        self._remains: list[object] = []
        super().__init__(self._clock)
        self.set_task_factory(_task)

    @override
    def time(self) -> float:
        return self._clock.now

    @override
    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self._unless_dead(super().call_soon(callback, *args, context=context))

    @override
    def call_at(
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> Any:
        return self._unless_dead(super().call_at(when, callback, *args, context=context))

    @override
    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """At once, here."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def begin(self, process: int, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something as a process of its own."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return self.create_task(work, context=context)

    def kill(self, process: int) -> None:
        """Nothing of the process runs from now on. What it was doing stays as it is."""
        self._dead.add(process)
        # Were a coroutine collected, its `finally` blocks would run.
        self._remains += asyncio.all_tasks(self)
        for handle in (*self._waiting("_ready"), *self._waiting("_scheduled")):
            self._unless_dead(handle)

    def _waiting(self, name: str) -> list[Any]:
        return list(getattr(self, name))

    def _unless_dead(self, handle: Any) -> Any:
        if self._dead and handle._context.get(PROCESS) in self._dead:
            self._remains.append(handle._args)
            handle.cancel()
        return handle


def _task(loop: asyncio.AbstractEventLoop, work: Any, **named: Any) -> asyncio.Task[Any]:
    return _Task(work, loop=loop, **named)
