"""An open database: short transactions, and its failures as `StoreUnavailable`.

It knows no table; what SQLite alone does stands in `sqlite.py`.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from json import JSONDecodeError
from pathlib import Path
from threading import Thread
from typing import Self
from weakref import WeakSet

from pydantic import ValidationError
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot.errors import StoreUnavailable
from bot.store.sql import migration, sqlite
from bot.translations import gettext as _

FILE_NAME = "fireside.db"
CONNECTIONS = 4
DRIVER = "sqlite+aiosqlite"
POLL_S = 0.25
"""SQLite itself waits so long for another program, in a thread that nobody can call back."""


class Database:
    """Transactions on one database. A block that fails or is cancelled leaves nothing behind."""

    def __init__(
        self, engine: AsyncEngine, place: str, busy_timeout_s: float, threads: WeakSet[Thread]
    ) -> None:
        self._engine = engine
        self._busy_timeout_s = busy_timeout_s
        self._threads = threads
        self._writer = engine.execution_options(**{sqlite.BEGIN: "BEGIN IMMEDIATE"})
        # Writers queue here, in order; SQLite would let them poll, in no order.
        self._write_lock = asyncio.Lock()
        self._place = place
        self._is_closed = False
        self._is_hurried = False
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @classmethod
    async def open(cls, location: Path | str, busy_timeout_s: float) -> Self:
        """Open the database of a folder, or at a URL; create or migrate it where that is due."""
        url, place = _locate(location)
        engine = create_async_engine(
            url,
            pool_size=CONNECTIONS,
            max_overflow=0,
            # Parameters are what people said; errors are logged.
            hide_parameters=True,
            connect_args={"timeout": min(busy_timeout_s, POLL_S), "isolation_level": None},
        )
        sqlite.check_file(engine, place)
        database = cls(engine, place, busy_timeout_s, sqlite.configure(engine))
        try:
            await database._bring_up_to_date(busy_timeout_s)
        except BaseException:
            await database.close()
            raise
        return database

    async def _bring_up_to_date(self, busy_timeout_s: float) -> None:
        async with self.reading() as connection:
            is_due = await connection.run_sync(migration.is_due, self._place)
        if is_due:
            async with self.writing() as connection:
                await connection.run_sync(migration.migrate, self._place)
        with self._translated():
            await sqlite.use_write_ahead_log(self._engine, busy_timeout_s)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that sees one state of the database and writes nothing."""
        with self._translated(), self._in_use():
            async with _transaction(self._engine) as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that no other writer runs beside; durable when the block has ended."""
        deadline = asyncio.get_running_loop().time() + self._busy_timeout_s
        with self._translated(), self._in_use():
            async with self._write_lock, AsyncExitStack() as stack:
                yield await self._begun(stack, deadline)

    async def _begun(self, stack: AsyncExitStack, deadline: float) -> AsyncConnection:
        """Begin to write, when other programs let it be done, as long as there is time for that."""
        while True:
            try:
                return await stack.enter_async_context(_transaction(self._writer))
            except DBAPIError as error:
                is_late = asyncio.get_running_loop().time() >= deadline
                if is_late or self._is_hurried or not sqlite.is_busy(error):
                    raise
            await asyncio.sleep(sqlite.WAIT_S)

    def hurry(self) -> None:
        """From now on no transaction waits for another program: the process is to end."""
        self._is_hurried = True

    async def forget_deleted(self) -> None:
        """Overwrite what was deleted or blanked in the database's log too."""
        with self._translated(), self._in_use():
            await sqlite.empty_log(self._engine, self._busy_timeout_s)

    async def close(self) -> None:
        """Wait for running transactions, then close every connection."""
        self._is_closed = self._is_hurried = True
        await self._unused.wait()
        await self._engine.dispose()
        await sqlite.until_ended(self._threads)

    @contextmanager
    def _in_use(self) -> Generator[None]:
        if self._is_closed:
            raise StoreUnavailable(_("The database is closed: Fireside is shutting down."))
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreUnavailable(sqlite.explain(error.orig, self._place)) from error
        except PoolTimeout as error:
            text = _("The database {path} is too busy. Please try again in a moment.")
            raise StoreUnavailable(text.format(path=self._place)) from error
        except (ValidationError, JSONDecodeError):
            text = _("{path} holds a message that cannot be read: the file may be damaged.")
            # `from None`: these errors quote what was stored.
            raise StoreUnavailable(text.format(path=self._place)) from None


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """A transaction on a connection of the pool.

    Whoever is cancelled while a connection is being opened waits for it and gives it back: the
    driver's thread opens it all the same, and nobody else would ever close it.
    """
    opening = asyncio.ensure_future(_opened(engine))
    try:
        connection = await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(DBAPIError, PoolTimeout):
            await (await opening).close()
        raise
    try:
        async with connection.begin():
            yield connection
    finally:
        await asyncio.shield(connection.close())


async def _opened(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


def _locate(location: Path | str) -> tuple[URL, str]:
    """The URL of a database, and how to call it to people. Raises `StoreUnavailable`."""
    if isinstance(location, str):
        url = _parse(location)
        return url, url.render_as_string(hide_password=True)
    path = location / FILE_NAME
    try:
        sqlite.create_file(path)
    except OSError as error:
        text = _(
            "{path} cannot be created: {reason}. Let the user that runs Fireside write to {folder},"
            " or set FIRESIDE_DATA_DIR to another folder."
        )
        text = text.format(path=path, reason=error.strerror, folder=location)
        raise StoreUnavailable(text) from error
    return URL.create(DRIVER, database=str(path)), str(path)


def _parse(address: str) -> URL:
    """Raises `StoreUnavailable`, without the address: it may hold a password."""
    try:
        url = make_url(address)
    except ArgumentError:
        url = None
    if url is None or url.drivername != DRIVER:
        text = _("The database's address must look like {example}.")
        raise StoreUnavailable(text.format(example=f"{DRIVER}:////folder/fireside.db"))
    return url
