"""What members think of answers, over the database."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select
from typing_extensions import override

from bot.store.base import Rating, Ratings
from bot.store.database import Database
from bot.store.events import has_id
from bot.store.schema import message
from bot.store.schema import rating as table
from bot.store.sqlite import put


class SqlRatings(Ratings):
    """The table `rating`: one row for each question and member."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def rate(
        self, account: str, message_id: str, rater_id: str, rating: Rating, now: datetime
    ) -> bool:
        asked = select(message.c.id).where(has_id(account, message_id))
        async with self._database.writing() as connection:
            found = await connection.scalar(asked)
            if found is None:
                return False
            row = {"message_id": found, "rater_id": rater_id, "rating": rating, "rated_at": now}
            await connection.execute(put(table, row))
            return True

    @override
    async def of(self, account: str, message_id: str) -> Mapping[str, Rating]:
        rated = select(table).join(message).where(has_id(account, message_id))
        async with self._database.reading() as connection:
            rows = (await connection.execute(rated)).mappings().all()
        return {row["rater_id"]: Rating(row["rating"]) for row in rows}
