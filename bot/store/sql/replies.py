"""What is shown of finished answers, over the database."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, or_, select
from typing_extensions import override

from bot.store.ports.records import MessageState, ReplyPart, ReplyState, StoredMessage
from bot.store.ports.replies import Replies, ShownReply
from bot.store.sql.database import Database
from bot.store.sql.events import has_id, place_columns, stored_message
from bot.store.sql.history import is_at
from bot.store.sql.inbox import answer_of, parts_of
from bot.store.sql.schema import message, reply


class SqlReplies(Replies):
    """The finished attempts in the tables `message`, `reply` and `reply_part`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def to(self, account: str, message_id: str) -> ShownReply | None:
        return await self._latest(has_id(account, message_id))

    @override
    async def before(self, later: StoredMessage) -> ShownReply | None:
        return await self._latest(and_(_is_before(later), _is_to_author_of(later)))

    @override
    async def seen_before(self, later: StoredMessage) -> ShownReply | None:
        is_seen = or_(_is_to_author_of(later), ~reply.c.is_private)
        return await self._latest(and_(_is_before(later), is_seen))

    @override
    async def posted(self, message: StoredMessage) -> Sequence[ReplyPart]:
        attempts = select(reply.c.id).where(reply.c.message_id == message.id)
        async with self._database.reading() as connection:
            last = await connection.scalar(attempts.order_by(reply.c.attempt.desc()).limit(1))
            return () if last is None else await parts_of(connection, last)

    async def _latest(self, wanted: ColumnElement[bool]) -> ShownReply | None:
        by_a_model = (
            select(message.c.id.label("asked_id"), reply)
            .join(reply, reply.c.message_id == message.c.id)
            .where(
                wanted,
                message.c.state == MessageState.ANSWERED,
                reply.c.state.in_([ReplyState.ANSWERED, ReplyState.CANCELLED]),
                reply.c.model.is_not(None),
            )
            .order_by(message.c.id.desc(), reply.c.attempt.desc())
        )
        async with self._database.reading() as connection:
            attempt = (await connection.execute(by_a_model.limit(1))).mappings().first()
            answer = None if attempt is None else answer_of(attempt)
            if attempt is None or answer is None:
                return None
            asked = select(message).where(message.c.id == attempt["asked_id"])
            row = (await connection.execute(asked)).mappings().one()
            parts = await parts_of(connection, attempt["id"])
            return ShownReply(stored_message(row), answer, parts, attempt["finished_at"])


def _is_before(later: StoredMessage) -> ColumnElement[bool]:
    """Whether a message came before another one in the same conversation."""
    place = place_columns(later.event.conversation)
    is_here = and_(message.c.account == later.account, is_at(message, place))
    return and_(is_here, message.c.id < later.id)


def _is_to_author_of(later: StoredMessage) -> ColumnElement[bool]:
    return message.c.author_id == later.event.author.id
