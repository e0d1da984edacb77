"""What is SQLite's alone: its connections, its file, its statements and its errors.

Durability: the log is written ahead and synced at each commit (`synchronous=FULL`), because an
event is acknowledged on the strength of its commit. Neither a killed process nor a power failure
loses a returned write; with NORMAL a power failure would lose the last ones. A commit costs a few
milliseconds on an ordinary disk, and an answer has about ten of them.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, cast
from weakref import WeakSet

from sqlalchemy import Connection, Insert, Table, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from bot.errors import StoreUnavailable
from bot.translations import gettext as _

BEGIN = "sqlite_begin"
"""The execution option that names the statement to begin with; None begins no transaction."""

WAIT_S = 0.01

ENDING_TRIES = 500
"""Five seconds for a connection's thread to end: it may be in the middle of a statement."""

PRAGMAS = ("foreign_keys=ON", "synchronous=FULL", "secure_delete=ON")


def create_file(path: Path) -> None:
    """Create the database file and its folder, readable by their owner alone; leave existing ones.

    Raises `OSError`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDONLY, 0o600))


def check_file(engine: AsyncEngine, path: str) -> None:
    """Open the file once, here. Raises `StoreUnavailable` where that cannot be done.

    Were aiosqlite the first to find out, its thread would outlive an event loop that ends with
    this failure, and print a traceback.
    """
    (name, *_rest), options = engine.dialect.create_connect_args(engine.url)
    try:
        sqlite3.connect(name, uri=bool(options.get("uri"))).close()
    except sqlite3.Error as error:
        raise StoreUnavailable(explain(error, path)) from error


def configure(engine: AsyncEngine) -> WeakSet[Thread]:
    """Set up each new connection, and let SQLAlchemy say when a transaction begins.

    The driver's own idea of it (none before a SELECT or CREATE) is off: `isolation_level=None`.
    Gives the threads of the connections, for `until_ended`.
    """
    threads: WeakSet[Thread] = WeakSet()

    def remember(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        threads.add(cast("Any", connection).driver_connection._thread)

    # At DEBUG aiosqlite logs every statement with its values: what people said.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    event.listen(engine.sync_engine, "connect", remember)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    event.listen(engine.sync_engine, "invalidate", _roll_back)
    return threads


async def until_ended(threads: WeakSet[Thread]) -> None:
    """Wait for the threads of closed connections.

    One whose work was cancelled is only told to stop: it would report to an event loop that may
    have ended by then.
    """
    for _try in range(ENDING_TRIES):
        if not any(thread.is_alive() for thread in threads):
            return
        await asyncio.sleep(WAIT_S)


def _prepare(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _roll_back(
    connection: DBAPIConnection, record: ConnectionPoolEntry, error: BaseException | None
) -> None:
    """End the transaction of a connection that is given up, such as after a cancellation.

    Closing alone does not: while a cursor lives, SQLite keeps the connection and its lock.
    """
    # A cancellation is on its way up already, and a failing rollback ends with the close.
    with suppress(asyncio.CancelledError, sqlite3.Error):
        connection.rollback()


def _begin(connection: Connection) -> None:
    statement = connection.get_execution_options().get(BEGIN, "BEGIN")
    if statement is not None:
        connection.exec_driver_sql(statement)


async def use_write_ahead_log(engine: AsyncEngine, timeout_s: float) -> None:
    """Switch the file to a write-ahead log; it stays so.

    SQLite does not wait for a writer here, whatever its busy timeout, hence the loop.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        try:
            return await _switch_to_log(engine)
        except DBAPIError as error:
            if not is_busy(error) or loop.time() > deadline:
                raise
            await asyncio.sleep(WAIT_S)


async def _switch_to_log(engine: AsyncEngine) -> None:
    async with engine.execution_options(**{BEGIN: None}).connect() as connection:
        mode = (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar()
        if mode != "wal":
            await connection.exec_driver_sql("PRAGMA journal_mode=WAL")


async def empty_log(engine: AsyncEngine, timeout_s: float) -> None:
    """Move the write-ahead log into the file and cut it: it still holds what was deleted.

    While somebody reads or writes SQLite only says that it could not.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    async with engine.execution_options(**{BEGIN: None}).connect() as connection:
        while True:
            done = await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            if not done.one()[0] or loop.time() > deadline:
                return
            await asyncio.sleep(WAIT_S)


def is_busy(error: DBAPIError) -> bool:
    """Whether another program has the database, for now."""
    return _code(error.orig) == sqlite3.SQLITE_BUSY


def put(table: Table, row: Mapping[str, Any]) -> Insert:
    """Insert a row, or replace the values of the one with the same primary key."""
    statement = insert(table).values(row)
    keys = [column.name for column in table.primary_key]
    rest = {name: statement.excluded[name] for name in row if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


def put_more(table: Table, row: Mapping[str, Any], more: Mapping[str, int]) -> Insert:
    """Insert a row with these numbers, or add them to those of the one with the same key."""
    statement = insert(table).values({**row, **more})
    sums = {name: table.c[name] + statement.excluded[name] for name in more}
    return statement.on_conflict_do_update(index_elements=[*row], set_=sums)


def put_once(table: Table, row: Mapping[str, Any]) -> Insert:
    """Insert a row unless there is one with the same primary key; tell by `rowcount`."""
    return insert(table).values(row).on_conflict_do_nothing()


def explain(error: BaseException | None, path: str) -> str:
    """What a failure of the database means and what to do, for the one who runs the bot."""
    match _code(error):
        case sqlite3.SQLITE_FULL:
            text = _("The disk is full: {path} cannot be written. Free some space and try again.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            text = _(
                "{path} is read-only. Let the user that runs Fireside write to it and to its"
                " folder, or set FIRESIDE_DATA_DIR to another folder."
            )
        case sqlite3.SQLITE_CANTOPEN:
            text = _(
                "{path} cannot be opened. It must be a file that the user running Fireside may"
                " read and write; FIRESIDE_DATA_DIR sets another folder for it."
            )
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            text = _(
                "{path} is damaged or is no database. Nothing was changed in it. Put a backup in"
                " its place, or move it elsewhere to start with an empty one."
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            text = _("{path} is locked by another program. Close what has it open and try again.")
        case sqlite3.SQLITE_IOERR:
            text = _(
                "The disk fails at reading or writing {path}. Check the disk and its free space."
            )
        case _:
            text = _("The database {path} failed: {error}.")
    return text.format(path=path, error=error)


def _code(error: BaseException | None) -> int | None:
    """SQLite's primary result code of an error."""
    if not isinstance(error, sqlite3.Error):
        return None
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
