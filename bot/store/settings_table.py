"""The scoped settings, over the database."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, delete, select, tuple_
from typing_extensions import override

from bot.store.base import ScopeKey, SettingsTable, StoredSetting
from bot.store.database import Database
from bot.store.schema import setting as table
from bot.store.sqlite import put


class SqlSettingsTable(SettingsTable):
    """One row for each setting and scope."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def read(self, name: str, scopes: Sequence[ScopeKey]) -> Sequence[StoredSetting]:
        scope = tuple_(table.c.scope_kind, table.c.scope_id)
        wanted = scope.in_([(key.kind, key.id) for key in scopes])
        async with self._database.reading() as connection:
            rows = await connection.execute(select(table).where(table.c.name == name, wanted))
            return [_stored(row) for row in rows.mappings()]

    @override
    async def write(self, setting: StoredSetting) -> None:
        async with self._database.writing() as connection:
            await connection.execute(put(table, _row(setting)))

    @override
    async def remove(self, name: str, scope: ScopeKey) -> bool:
        async with self._database.writing() as connection:
            result = await connection.execute(delete(table).where(_is(name, scope)))
            return result.rowcount > 0


def _is(name: str, scope: ScopeKey) -> ColumnElement[bool]:
    return and_(
        table.c.name == name,
        table.c.scope_kind == scope.kind,
        table.c.scope_id == scope.id,
    )


def _row(stored: StoredSetting) -> dict[str, Any]:
    row = asdict(stored)
    del row["scope"]
    return {**row, "scope_kind": stored.scope.kind, "scope_id": stored.scope.id}


def _stored(row: RowMapping) -> StoredSetting:
    return StoredSetting(
        ScopeKey(row["scope_kind"], row["scope_id"]),
        row["name"],
        row["value"],
        row["is_locked"],
        row["set_by"],
        row["set_at"],
    )
