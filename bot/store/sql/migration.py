"""Brings a database to the present schema; Alembic is imported only when that takes a migration."""

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, select

from bot.errors import StoreUnavailable
from bot.store.sql import schema
from bot.translations import gettext as _

MIGRATIONS = Path(__file__).parents[1] / "migrations"

version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False, primary_key=True),
)
"""Alembic's own table: which revision the database is at."""


def is_due(connection: Connection, place: str) -> bool:
    """Whether the database needs `migrate`. Raises `StoreUnavailable` if it is not Fireside's."""
    tables = inspect(connection).get_table_names()
    if tables and version.name not in tables:
        text = _(
            "{path} is the database of another program. Nothing was changed in it. Move it"
            " elsewhere, or set FIRESIDE_DATA_DIR to another folder."
        )
        raise StoreUnavailable(text.format(path=place))
    return not tables or connection.scalar(select(version.c.version_num)) != schema.REVISION


def migrate(connection: Connection, place: str) -> None:
    """Create or migrate the tables within the connection's transaction, which holds the lock.

    Does nothing where another process was faster. Raises `StoreUnavailable` for a database that a
    newer version of Fireside wrote.
    """
    if not is_due(connection, place):
        return
    if inspect(connection).get_table_names():
        _upgrade(connection, place)
    else:
        _create(connection)


def _create(connection: Connection) -> None:
    """Create all tables as they are now: the same as all migrations in turn, and quick."""
    schema.metadata.create_all(connection, checkfirst=False)
    version.create(connection)
    connection.execute(insert(version).values(version_num=schema.REVISION))


def _upgrade(connection: Connection, place: str) -> None:
    # Imported here: a database that is up to date opens without Alembic.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        text = _(
            "{path} was written by a newer version of Fireside. Nothing was changed in it. Install"
            " that version again, or set FIRESIDE_DATA_DIR to another folder."
        )
        raise StoreUnavailable(text.format(path=place)) from error
