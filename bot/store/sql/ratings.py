"""What members think of answers, over the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import and_, select, update
from typing_extensions import override

from bot.messages import IncomingMessage
from bot.store.ports.ratings import Feedback, Rating, Ratings
from bot.store.ports.records import ReplyState, StoredMessage
from bot.store.sql.database import Database
from bot.store.sql.events import has_id
from bot.store.sql.schema import feedback, message, reply
from bot.store.sql.schema import rating as table
from bot.store.sql.sqlite import put


class SqlRatings(Ratings):
    """The tables `rating`, one row for each question and member, and `feedback`."""

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
            mine = and_(
                feedback.c.account == account,
                feedback.c.event_id == message_id,
                feedback.c.rater_id == rater_id,
            )
            await connection.execute(update(feedback).where(mine).values(rating=rating))
            return True

    @override
    async def of(self, account: str, message_id: str) -> Mapping[str, Rating]:
        rated = select(table).join(message).where(has_id(account, message_id))
        async with self._database.reading() as connection:
            rows = (await connection.execute(rated)).mappings().all()
        return {row["rater_id"]: Rating(row["rating"]) for row in rows}

    @override
    async def keep(self, asked: StoredMessage, now: datetime) -> bool:
        event = asked.event
        answered = (
            select(reply, table.c.rating)
            .join(table, table.c.message_id == reply.c.message_id)
            .where(
                reply.c.message_id == asked.id,
                reply.c.state.in_([ReplyState.ANSWERED, ReplyState.CANCELLED]),
                reply.c.model.is_not(None),
                table.c.rater_id == event.author.id,
            )
            .order_by(reply.c.attempt.desc())
            .limit(1)
        )
        async with self._database.writing() as connection:
            found = (await connection.execute(answered)).mappings().first()
            if found is None:
                return False
            question = event.text if isinstance(event, IncomingMessage) else found["asked"]
            row = {
                "account": asked.account,
                "event_id": event.id,
                "rater_id": event.author.id,
                "platform": event.conversation.platform,
                "installation_id": event.conversation.installation_id,
                "channel_id": event.conversation.channel_id,
                "model": found["model"],
                "question": question or "",
                "answer": found["text"],
                "rating": found["rating"],
                "kept_at": now,
            }
            await connection.execute(put(feedback, row))
            return True

    @override
    async def kept(self) -> Sequence[Feedback]:
        oldest_first = select(feedback).order_by(feedback.c.kept_at, feedback.c.event_id)
        async with self._database.reading() as connection:
            rows = (await connection.execute(oldest_first)).mappings().all()
        return [
            Feedback(
                row["model"],
                row["question"],
                row["answer"],
                Rating(row["rating"]),
                row["kept_at"],
            )
            for row in rows
        ]
