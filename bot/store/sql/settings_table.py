"""The scoped settings and the trail of their changes, over the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, Table, and_, delete, insert, select, tuple_
from typing_extensions import override

from bot.store.ports.scopes import ScopeKey
from bot.store.ports.settings_table import Held, SettingChange, SettingsTable, StoredSetting
from bot.store.sql.database import Database
from bot.store.sql.schema import setting as table
from bot.store.sql.schema import setting_change as trail
from bot.store.sql.sqlite import put


class SqlSettingsTable(SettingsTable):
    """One row for each setting and scope, and one for each change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def read(self, name: str, scopes: Sequence[ScopeKey]) -> Sequence[StoredSetting]:
        return await self._read(and_(table.c.name == name, _is_any_of(table, scopes)))

    @override
    async def read_all(self, scopes: Sequence[ScopeKey]) -> Sequence[StoredSetting]:
        return await self._read(_is_any_of(table, scopes))

    async def _read(self, wanted: ColumnElement[bool]) -> Sequence[StoredSetting]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(table).where(wanted))
            return [_stored(row) for row in rows.mappings()]

    @override
    async def write(
        self,
        scope: ScopeKey,
        name: str,
        held: Held | None,
        by: str,
        at: datetime,
        undoes: int | None = None,
    ) -> None:
        place = {"name": name, "scope_kind": scope.kind, "scope_id": scope.id}
        here = and_(*(table.c[column] == value for column, value in place.items()))
        async with self._database.writing() as connection:
            row = (await connection.execute(select(table).where(here))).mappings().first()
            before = None if row is None else Held(row["value"], row["is_locked"])
            if before == held:
                return
            if held is None:
                await connection.execute(delete(table).where(here))
            else:
                value = {"value": held.value, "is_locked": held.is_locked}
                await connection.execute(put(table, {**place, **value, "set_by": by, "set_at": at}))
            change = {**_change_columns(before, held), "changed_by": by, "changed_at": at}
            await connection.execute(insert(trail).values({**place, **change, "undoes": undoes}))

    @override
    async def everywhere(self, name: str) -> Sequence[StoredSetting]:
        return await self._read(table.c.name == name)

    @override
    async def changes(self, scopes: Sequence[ScopeKey], limit: int) -> Sequence[SettingChange]:
        wanted = select(trail).where(_is_any_of(trail, scopes)).order_by(trail.c.id.desc())
        async with self._database.reading() as connection:
            rows = await connection.execute(wanted.limit(limit))
            return [_change(row) for row in rows.mappings()]


def _is_any_of(of: Table, scopes: Sequence[ScopeKey]) -> ColumnElement[bool]:
    scope = tuple_(of.c.scope_kind, of.c.scope_id)
    return scope.in_([(key.kind, key.id) for key in scopes])


def _stored(row: RowMapping) -> StoredSetting:
    return StoredSetting(
        ScopeKey(row["scope_kind"], row["scope_id"]),
        row["name"],
        row["value"],
        row["is_locked"],
        row["set_by"],
        row["set_at"],
    )


def _change_columns(before: Held | None, after: Held | None) -> dict[str, str | bool | None]:
    return {
        "value_before": None if before is None else before.value,
        "was_locked": None if before is None else before.is_locked,
        "value_after": None if after is None else after.value,
        "is_locked": None if after is None else after.is_locked,
    }


def _change(row: RowMapping) -> SettingChange:
    return SettingChange(
        row["id"],
        ScopeKey(row["scope_kind"], row["scope_id"]),
        row["name"],
        None if row["value_before"] is None else Held(row["value_before"], row["was_locked"]),
        None if row["value_after"] is None else Held(row["value_after"], row["is_locked"]),
        row["changed_by"],
        row["changed_at"],
        row["undoes"],
    )
