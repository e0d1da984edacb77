"""New, old and up-to-date databases."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event

from bot.store.sql import schema
from bot.store.sql.migration import MIGRATIONS
from bot.store.sql.store import SqlStore
from tests.contract.store.scene import ACCOUNT, CHANNEL, START, question


def tables(file: Path) -> dict[str, str]:
    """The database's tables and indices, as SQL."""
    connection = sqlite3.connect(file)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    found = {name: " ".join(sql.split()) for name, sql in rows}
    connection.close()
    found.pop("alembic_version")
    return found


def revision(file: Path) -> str:
    """The revision that the database says it is at."""
    connection = sqlite3.connect(file)
    (number,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    connection.close()
    return number


def without_tables(folder: Path) -> Path:
    """A database from before the first migration."""
    folder.mkdir()
    file = folder / "fireside.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
    connection.close()
    return file


async def test_migrating_and_creating_lead_to_the_same_tables(tmp_path: Path) -> None:
    created = tmp_path / "created"
    await (await SqlStore.open(created)).close()
    migrated = without_tables(tmp_path / "migrated")
    await (await SqlStore.open(migrated.parent)).close()
    assert tables(migrated) == tables(created / "fireside.db")
    assert revision(migrated) == revision(created / "fireside.db") == schema.REVISION


def test_the_schema_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.REVISION]


async def test_a_migrated_database_works(folder: Path) -> None:
    without_tables(folder)
    async with await SqlStore.open(folder) as store:
        assert await store.inbox.admit(ACCOUNT, question("q1"), START) is not None


async def test_opening_twice_at_once_on_the_first_start_works(folder: Path) -> None:
    stores = await asyncio.gather(*(SqlStore.open(folder) for _ in range(5)))
    for store in stores:
        await store.close()
    assert revision(folder / "fireside.db") == schema.REVISION


async def test_the_switch_to_a_log_waits_for_a_writer(folder: Path) -> None:
    await (await SqlStore.open(folder)).close()
    writer = sqlite3.connect(folder / "fireside.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode=DELETE")
    writer.execute("BEGIN IMMEDIATE")
    switches = 0

    def let_the_second_pass(*given: Any) -> None:
        nonlocal switches
        if given[2] == "PRAGMA journal_mode=WAL":
            switches += 1
            if switches == 2:
                writer.execute("ROLLBACK")

    event.listen(Engine, "before_cursor_execute", let_the_second_pass)
    try:
        async with await SqlStore.open(folder, busy_timeout_s=1) as store:
            assert not await store.history.takes_part(CHANNEL)
    finally:
        event.remove(Engine, "before_cursor_execute", let_the_second_pass)
        writer.close()
    assert switches == 2


async def test_migrating_twice_at_once_works(folder: Path) -> None:
    file = without_tables(folder)
    stores = await asyncio.gather(*(SqlStore.open(folder) for _ in range(5)))
    for store in stores:
        await store.close()
    assert revision(file) == schema.REVISION


IMPORTS = """
import asyncio, sys
from pathlib import Path
import bot.store.ports.store
assert "sqlalchemy" not in sys.modules
from bot.store.sql.store import SqlStore
async def main():
    for _ in range(2):
        await (await SqlStore.open(Path(sys.argv[1]))).close()
asyncio.run(main())
assert "sqlalchemy" in sys.modules
assert "alembic" not in sys.modules
"""


def test_the_ports_need_no_sqlalchemy_and_an_up_to_date_database_no_alembic(
    folder: Path,
) -> None:
    command = [sys.executable, "-W", "error", "-c", IMPORTS, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
