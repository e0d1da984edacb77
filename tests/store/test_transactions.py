"""Transactions under cancellation, failure and load."""

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.errors import StoreUnavailable
from bot.store.sql import recovery
from bot.store.sql.store import SqlStore
from tests.contract.store.scene import ACCOUNT, CHANNEL, START, Scene, at, question


@contextmanager
def at_database_step(number: int, act: Callable[[], object]) -> Generator[None]:
    """Act just before the n-th statement or commit that any connection executes."""
    steps = 0

    def count(*_given: Any, **_named: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            act()

    for name in ("before_cursor_execute", "commit"):
        event.listen(Engine, name, count)
    try:
        yield
    finally:
        for name in ("before_cursor_execute", "commit"):
            event.remove(Engine, name, count)


async def run(store: SqlStore, *statements: str, parameters: tuple[str, ...] = ()) -> None:
    """Run statements in one transaction."""
    async with store.database.writing() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement, parameters)


# BEGIN, the deduplication key, the message, COMMIT; and a step that is never reached.
@pytest.mark.parametrize("is_twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
async def test_a_cancelled_write_is_whole_or_nothing_and_leaves_no_lock(
    folder: Path, step: int, is_twice: bool
) -> None:
    async with (
        await SqlStore.open(folder) as store,
        await SqlStore.open(folder, busy_timeout_s=0) as other,
    ):
        admitting = asyncio.create_task(store.inbox.admit(ACCOUNT, question("q1"), START))

        def cancel() -> None:
            admitting.cancel()
            if is_twice:
                loop = asyncio.get_running_loop()
                loop.call_soon(loop.call_soon, admitting.cancel)

        with at_database_step(step, cancel):
            await asyncio.wait([admitting])
        assert admitting.cancelled() == (step < 5)
        await other.settings.read("model", [])
        await other.adapter_state("test").put("lock", "free")
        is_stored = await other.history.find(ACCOUNT, "q1") is not None
        assert is_stored or step < 5
        again = await store.inbox.admit(ACCOUNT, question("q1"), START)
        assert (again is None) == is_stored


@pytest.mark.parametrize("step", [1, 2, 3])
async def test_a_cancelled_read_leaves_the_store_usable(folder: Path, step: int) -> None:
    async with await SqlStore.open(folder) as store:
        for _ in range(6):
            reading = asyncio.create_task(store.history.takes_part(CHANNEL))
            with at_database_step(step, reading.cancel):
                await asyncio.wait([reading])
        assert not await store.history.takes_part(CHANNEL)


@pytest.mark.parametrize("step", range(1, 12))
async def test_a_cancelled_opening_leaves_nothing_open(folder: Path, step: int) -> None:
    opening = asyncio.create_task(SqlStore.open(folder))
    with at_database_step(step, opening.cancel):
        await asyncio.wait([opening])
    assert opening.cancelled()
    async with await SqlStore.open(folder, busy_timeout_s=0) as store:
        assert await store.inbox.admit(ACCOUNT, question("q1"), START) is not None


async def test_an_opening_that_is_cancelled_while_it_connects_leaves_nothing_open(
    folder: Path,
) -> None:
    opening = asyncio.create_task(SqlStore.open(folder))

    def cancel(*_given: Any) -> None:
        opening.cancel()

    event.listen(Engine, "connect", cancel)
    try:
        await asyncio.wait([opening])
    finally:
        event.remove(Engine, "connect", cancel)
    assert opening.cancelled()


async def test_closing_waits_for_a_write_that_runs(folder: Path) -> None:
    store = await SqlStore.open(folder)
    admitting = asyncio.create_task(store.inbox.admit(ACCOUNT, question("q1"), START))
    await asyncio.sleep(0)
    await store.close()
    assert await admitting is not None


async def test_many_writers_and_readers_wait_their_turn(folder: Path) -> None:
    async with await SqlStore.open(folder) as store:
        admitted = await asyncio.gather(
            *(store.inbox.admit(ACCOUNT, question(f"q{n}"), START) for n in range(50)),
            *(store.history.takes_part(CHANNEL) for _ in range(50)),
        )
        assert None not in admitted


async def test_an_error_inside_a_transaction_undoes_it(folder: Path) -> None:
    async with await SqlStore.open(folder) as store:
        with pytest.raises(StoreUnavailable):
            await run(store, "DELETE FROM alembic_version", "no statement")
    async with await SqlStore.open(folder) as store:
        assert await store.inbox.admit(ACCOUNT, question("q1"), START) is not None


async def test_a_purge_goes_on_until_all_batches_are_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "BATCH", 2)
    async with await SqlStore.open(folder) as store:
        for number in range(5):
            await Scene(store).exchange(question(f"q{number}"), "because")
        assert await store.recovery.purge(at(1)) == 5
        async with store.database.reading() as connection:
            left = await connection.exec_driver_sql("SELECT count(*) FROM reply")
            assert left.scalar_one() == 0


async def test_no_word_that_was_said_reaches_a_log_or_an_error(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with await SqlStore.open(folder) as store:
        await Scene(store).exchange(question("q1", "secret words"), "secret words")
        statement = "INSERT INTO message (id, text) VALUES (1, ?)"
        with pytest.raises(StoreUnavailable) as caught:
            await run(store, statement, parameters=("secret words",))
    assert "secret" not in caplog.text
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__cause__}"


async def test_writes_are_synced_to_the_disk(folder: Path) -> None:
    async with await SqlStore.open(folder) as store, store.database.writing() as connection:
        values = {
            name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
    }


async def test_a_connection_that_is_opened_for_somebody_cancelled_is_given_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, may_open = AsyncEngine.connect, asyncio.Event()
    opened: list[AsyncConnection] = []

    async def late(engine: AsyncEngine) -> AsyncConnection:
        await may_open.wait()
        opened.append(await connect(engine))
        return opened[-1]

    async with await SqlStore.open(folder) as store:
        monkeypatch.setattr(AsyncEngine, "connect", late)
        reading = asyncio.create_task(store.history.takes_part(CHANNEL))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.sleep(0)
        may_open.set()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert [connection.closed for connection in opened] == [True]


COUNTING = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)"
    " SELECT max(i) FROM n"
)
"""Takes a good part of a second."""


async def test_closing_waits_for_the_thread_of_a_cancelled_statement(folder: Path) -> None:
    before = set(threading.enumerate())
    async with await SqlStore.open(folder) as store:
        counting = asyncio.create_task(run(store, COUNTING))
        await asyncio.sleep(0.05)
        for _ in range(3):
            counting.cancel()
            await asyncio.sleep(0)
        with suppress(asyncio.CancelledError):
            await counting

    assert set(threading.enumerate()) <= before
