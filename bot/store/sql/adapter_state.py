"""The adapters' small state, over the database."""

from sqlalchemy import select
from typing_extensions import override

from bot.adapter import AdapterState
from bot.store.sql.database import Database
from bot.store.sql.schema import adapter_state
from bot.store.sql.sqlite import put


class SqlAdapterState(AdapterState):
    """The keys and values of one adapter."""

    def __init__(self, database: Database, adapter: str) -> None:
        self._database = database
        self._adapter = adapter

    @override
    async def get(self, key: str) -> str | None:
        rows = adapter_state.c
        wanted = select(rows.value).where(rows.adapter == self._adapter, rows.key == key)
        async with self._database.reading() as connection:
            return await connection.scalar(wanted)

    @override
    async def put(self, key: str, value: str) -> None:
        row = {"adapter": self._adapter, "key": key, "value": value}
        async with self._database.writing() as connection:
            await connection.execute(put(adapter_state, row))
