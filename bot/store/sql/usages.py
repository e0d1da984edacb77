"""What was had of quotas, over the database."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from typing_extensions import override

from bot.store.ports.usages import Usages, Used
from bot.store.sql.database import Database
from bot.store.sql.schema import usage
from bot.store.sql.sqlite import put_more

KEPT = timedelta(days=2)


class SqlUsages(Usages):
    """The table `usage`: one row for each key and hour."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def since(self, time: datetime, counted: Sequence[str]) -> Sequence[Used]:
        wanted = select(usage).where(usage.c.counted.in_(counted), usage.c.hour >= time)
        async with self._database.reading() as connection:
            rows = await connection.execute(wanted)
            return [Used(**row) for row in rows.mappings()]

    @override
    async def add(
        self, counted: Sequence[str], hour: datetime, *, answers: int = 0, tokens: int = 0
    ) -> None:
        async with self._database.writing() as connection:
            for key in counted:
                row = {"counted": key, "hour": hour}
                more = {"answers": answers, "tokens": tokens}
                await connection.execute(put_more(usage, row, more))
            await connection.execute(delete(usage).where(usage.c.hour < hour - KEPT))
