"""Everything that differs from run to run comes from the seed here: time, chance and threads.

It changes the whole Python process for good: a simulation has one of its own.
"""

import asyncio
import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any

import aiosqlite
import discord.backoff
import discord.utils
from discord.gateway import KeepAliveHandler
from typing_extensions import override

from tests.simulator.memory_network import NetworkedLoop, use_memory
from tests.simulator.virtual_loop import PROCESS

EPOCH_S = 1_790_000_000.0
"""When every simulation begins."""

LATE_RESULTS, MAX_LATE_S = 0.1, 0.02
"""So many of the store's results take longer, up to so long."""


def take_over(loop: NetworkedLoop, chance: random.Random) -> None:
    """Replace the clocks, the sources of chance and the threads."""
    random.seed(chance.random())
    os.urandom = chance.randbytes
    time.time = lambda: EPOCH_S + loop.time()
    time.monotonic = time.perf_counter = loop.time
    discord.utils.utcnow = utc_now
    backoff: Any = discord.backoff
    backoff.random = _Chance(chance)
    keep_alive: Any = KeepAliveHandler
    keep_alive.start = _beat
    use_memory()
    _without_threads(loop, chance)


def utc_now() -> datetime:
    """The present virtual time."""
    return datetime.fromtimestamp(time.time(), UTC)


class _Chance:
    """`random` for a module that makes and seeds a generator of its own."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def Random(self) -> random.Random:  # noqa: N802 - the name of what it replaces
        return _Seeded(self._chance.random())


class _Seeded(random.Random):
    """Keeps its seed."""

    @override
    def seed(self, a: Any = None, version: int = 2) -> None:
        if a is not None:
            super().seed(a, version)


def _beat(keep_alive: KeepAliveHandler) -> None:
    """The gateway's heartbeat as a task; discord.py has a thread for it."""

    async def beat() -> None:
        stopped: Any = keep_alive
        with contextlib.suppress(ConnectionError):
            while not stopped._stop_ev.is_set():
                await asyncio.sleep(keep_alive.interval or 0.0)
                await keep_alive.ws.send_heartbeat(keep_alive.beat())

    handler: Any = keep_alive
    handler.beating = asyncio.get_running_loop().create_task(beat())


class StoreFaults:
    """What goes wrong with the database: another program has it, or one statement fails."""

    def __init__(self) -> None:
        self.locked_until = 0.0
        self.fails_in = 0

    def check(self, now: float, given: tuple[Any, ...]) -> None:
        """Raises for a statement that is to fail."""
        text = given[0] if given and isinstance(given[0], str) else ""
        if text == "BEGIN IMMEDIATE" and now < self.locked_until:
            raise _error("database is locked", sqlite3.SQLITE_BUSY)
        if text and self.fails_in:
            self.fails_in -= 1
            if self.fails_in == 0:
                raise _error("database or disk is full", sqlite3.SQLITE_FULL)


def _error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


STORE_FAULTS = StoreFaults()

OPEN: list[tuple[int | None, sqlite3.Connection]] = []
"""The connections to databases, each with its process."""


def close_connections(process: int) -> None:
    """What the system does for a process that died: its transactions are undone."""
    for owner, connection in OPEN:
        if owner == process:
            with contextlib.suppress(sqlite3.ProgrammingError):  # the pool has closed it
                connection.rollback()  # while a cursor lives, closing does not
                connection.close()
    OPEN[:] = [one for one in OPEN if one[0] != process]


def _without_threads(loop: NetworkedLoop, chance: random.Random) -> None:
    """Let aiosqlite work here, and tell the result a little later."""

    async def later(work: Callable[[], Any]) -> Any:
        told = loop.create_future()
        late_s = chance.uniform(0, MAX_LATE_S) if chance.random() < LATE_RESULTS else 0.0
        try:
            outcome, tell = work(), _set_result
        except Exception as error:
            outcome, tell = error, _set_error
        loop.call_later(late_s, tell, told, outcome)
        loop.step(PROCESS.get())
        return await told

    async def connect(self: Any) -> Any:
        if self._connection is None:
            self._connection = await later(self._connector)
            OPEN.append((PROCESS.get(), self._connection))
        return self

    async def execute(self: Any, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        if not self._running or not self._connection:
            raise ValueError("Connection closed")

        def run() -> Any:
            STORE_FAULTS.check(loop.time(), given)
            return work(*given, **named)

        return await later(run)

    def stop(self: Any) -> Any:
        self._running = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        told = loop.create_future()
        told.set_result(None)
        return told

    def waited(self: Any) -> Generator[Any]:
        return self._connect().__await__()

    connection: Any = aiosqlite.Connection
    connection._connect, connection._execute, connection.stop = connect, execute, stop
    connection.__await__ = waited


def _set_result(told: asyncio.Future[Any], result: Any) -> None:
    if not told.done():
        told.set_result(result)


def _set_error(told: asyncio.Future[Any], error: Exception) -> None:
    if not told.done():
        told.set_exception(error)
