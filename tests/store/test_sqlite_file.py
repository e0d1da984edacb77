"""What can be wrong with a database file, each provoked for real, and what is said about it."""

# ruff: noqa: ASYNC240  (a test's own small files keep nobody waiting)

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
import pytest

from bot.errors import StoreUnavailable
from bot.store.sql.store import SqlStore
from tests.contract.store.scene import ACCOUNT, CHANNEL, START, Scene, at, question


@pytest.fixture
def file(folder: Path) -> Path:
    """Where the database file is."""
    return folder / "fireside.db"


async def filled(folder: Path, count: int = 1) -> None:
    """Leave a database with some questions."""
    async with await SqlStore.open(folder) as store:
        for number in range(count):
            await Scene(store).admit(question(f"q{number}", "x" * 3000))


async def refusal(location: Path | str) -> str:
    """What is said when the database cannot be opened."""
    with pytest.raises(StoreUnavailable) as caught:
        await SqlStore.open(location)
    return caught.value.text


async def test_file_and_folder_are_their_owners_alone(folder: Path, file: Path) -> None:
    os.umask(before := os.umask(0))
    async with await SqlStore.open(folder) as store:
        await Scene(store).admit(question("q1"))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert before == os.umask(before)
    assert file.name in files
    assert set(files.values()) == {0o600}


async def test_a_folder_that_cannot_be_made_is_told(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    said = await refusal(folder)
    assert str(folder) in said
    assert "FIRESIDE_DATA_DIR" in said
    assert folder.read_text() == "a file where the folder should be"


async def test_a_folder_where_the_file_should_be_is_told(folder: Path, file: Path) -> None:
    file.mkdir(parents=True)
    said = await refusal(folder)
    assert str(file) in said
    assert "cannot be" in said


async def test_a_url_into_nowhere_is_told_before_a_thread_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*given: object, **named: object) -> None:
        raise AssertionError("its thread would outlive the event loop")

    monkeypatch.setattr(aiosqlite, "connect", connect)
    said = await refusal(f"sqlite+aiosqlite:///{tmp_path / 'absent' / 'x.db'}")
    assert "cannot be opened" in said


@pytest.mark.parametrize("url", ["no url", "nonsense://host/x", "postgresql://ann:secret@host/x"])
async def test_an_address_that_no_store_is_for_is_told_without_its_password(url: str) -> None:
    said = await refusal(url)
    assert "sqlite+aiosqlite:///" in said
    assert "secret" not in said


async def test_a_read_only_database_can_be_read_and_says_why_it_keeps_nothing(
    folder: Path, file: Path
) -> None:
    await filled(folder)
    url = f"sqlite+aiosqlite:///file:{file}?mode=ro&uri=true"
    async with await SqlStore.open(url) as store:
        assert await store.history.find(ACCOUNT, "q0") is not None
        with pytest.raises(StoreUnavailable, match=r"read-only.*FIRESIDE_DATA_DIR"):
            await store.inbox.admit(ACCOUNT, question("q2"), START)


async def test_a_read_only_empty_file_cannot_become_a_database(folder: Path, file: Path) -> None:
    folder.mkdir()
    file.touch()
    said = await refusal(f"sqlite+aiosqlite:///file:{file}?mode=ro&uri=true")
    assert "read-only" in said


async def test_a_full_disk_is_told_and_loses_nothing(folder: Path, file: Path) -> None:
    await filled(folder)
    async with await SqlStore.open(folder) as store:
        async with store.database.writing() as connection:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreUnavailable, match="disk is full") as caught:
            await store.inbox.admit(ACCOUNT, question("q1", "x" * 50_000), START)
        assert str(file) in caught.value.text
        assert await store.history.find(ACCOUNT, "q0") is not None
        async with store.database.writing() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count=100000")
        assert await store.inbox.admit(ACCOUNT, question("q1", "x" * 50_000), START) is not None


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_garbage_is_told_and_left_as_it_is(folder: Path, file: Path, content: bytes) -> None:
    folder.mkdir()
    file.write_bytes(content)
    said = await refusal(folder)
    assert str(file) in said
    assert "damaged" in said
    assert file.read_bytes() == content


async def test_a_truncated_database_is_told_and_left_as_it_is(folder: Path, file: Path) -> None:
    await filled(folder, 20)
    content = file.read_bytes()[:6000]
    file.write_bytes(content)
    said = await refusal(folder)
    assert "damaged" in said
    assert file.read_bytes() == content


async def test_damage_inside_is_told_when_it_is_met(folder: Path, file: Path) -> None:
    await filled(folder, 20)
    with sqlite3.connect(file) as connection:
        wanted = "SELECT rootpage FROM sqlite_master WHERE name = 'message'"
        (page,) = connection.execute(wanted).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    file.write_bytes(content)
    async with await SqlStore.open(folder) as store:
        with pytest.raises(StoreUnavailable, match="damaged"):
            await store.recovery.unanswered(ACCOUNT, at(0))


@pytest.mark.parametrize("row", ['{"secret": 1}', "secret"])
async def test_a_row_that_cannot_be_read_is_told_without_its_content(
    folder: Path, row: str
) -> None:
    await filled(folder)
    async with await SqlStore.open(folder) as store:
        async with store.database.writing() as connection:
            await connection.exec_driver_sql("UPDATE message SET event = ?", (row,))
        with pytest.raises(StoreUnavailable, match="cannot be read") as caught:
            await store.history.find(ACCOUNT, "q0")
        assert "secret" not in caught.value.text


@pytest.mark.parametrize("row", ['{"secret": 1}', "secret", '["secret"]'])
async def test_a_row_that_cannot_be_read_keeps_no_other_from_its_answer(
    folder: Path, row: str, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(folder, 3)
    async with await SqlStore.open(folder) as store:
        async with store.database.writing() as connection:
            damage = "UPDATE message SET event = ? WHERE event_id = 'q1'"
            await connection.exec_driver_sql(damage, (row,))
        for _ in range(2):
            left = await store.recovery.unanswered(ACCOUNT, START)
            assert [message.event.id for message in left] == ["q0", "q2"]
        async with store.database.reading() as connection:
            states = await connection.exec_driver_sql("SELECT state FROM message ORDER BY id")
            assert [*states.scalars()] == ["received", "failed", "received"]
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


@asynccontextmanager
async def locked(file: Path) -> AsyncGenerator[None]:
    """Another program holds the database's lock."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


async def test_a_lock_that_stays_is_told(folder: Path, file: Path) -> None:
    async with await SqlStore.open(folder, busy_timeout_s=0.01) as store:
        async with locked(file):
            with pytest.raises(StoreUnavailable, match="locked by another program") as caught:
                await store.inbox.admit(ACCOUNT, question("q1"), START)
            assert await store.history.takes_part(CHANNEL) is False
        assert str(file) in caught.value.text
        assert await store.inbox.admit(ACCOUNT, question("q1"), START) is not None


async def test_closing_waits_for_no_other_program(folder: Path, file: Path) -> None:
    store = await SqlStore.open(folder, busy_timeout_s=3600)
    async with locked(file):
        writes = [
            asyncio.create_task(store.inbox.admit(ACCOUNT, question(f"q{number}"), START))
            for number in range(5)
        ]
        await asyncio.sleep(0)
        await asyncio.wait_for(store.close(), 60)
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(one) for one in outcomes] == [StoreUnavailable] * 5


async def test_a_file_that_is_locked_at_the_first_start_is_told(folder: Path, file: Path) -> None:
    folder.mkdir()
    async with locked(file):
        with pytest.raises(StoreUnavailable, match="locked"):
            await SqlStore.open(folder, busy_timeout_s=0.01)


async def test_another_programs_database_is_told_and_left_as_it_is(
    folder: Path, file: Path
) -> None:
    folder.mkdir()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE message (theirs)")
    connection.close()
    content = file.read_bytes()
    assert "another program" in await refusal(folder)
    assert file.read_bytes() == content


async def test_a_newer_database_is_told_and_left_as_it_is(folder: Path, file: Path) -> None:
    await filled(folder)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'f00d'")
    connection.close()
    content = file.read_bytes()
    said = await refusal(folder)
    assert str(file) in said
    assert "newer version" in said
    assert file.read_bytes() == content


async def test_a_closed_store_says_so(folder: Path) -> None:
    store = await SqlStore.open(folder)
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.history.takes_part(CHANNEL)
