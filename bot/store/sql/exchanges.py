"""Single questions and answers, over the database."""

from collections.abc import Mapping, Sequence
from statistics import median

from sqlalchemy import RowMapping, and_, func, or_, select
from typing_extensions import override

from bot.conversation import Turn
from bot.messages import IncomingMessage
from bot.store.ports.exchanges import Exchange, Exchanges
from bot.store.ports.records import MessageState, StoredMessage
from bot.store.sql.database import Database
from bot.store.sql.events import MESSAGE, place_columns, stored_message
from bot.store.sql.history import is_at, joined_turns, said_before
from bot.store.sql.inbox import answer_of, leaves_the_context
from bot.store.sql.schema import conversation as conversations
from bot.store.sql.schema import message as messages
from bot.store.sql.schema import reply, reply_part

MEASURED_ANSWERS = 200
"""Of so many of the latest answers the speeds are told."""

ENDED = (MessageState.ANSWERED, MessageState.FAILED)


class SqlExchanges(Exchanges):
    """Rows of `message` with their last attempt in `reply`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def chain(self, message: StoredMessage, limit: int) -> Sequence[Turn]:
        rows: list[RowMapping] = []
        at = message
        is_own = messages.c.author_id == message.event.author.id
        pairs_here = said_before(message).where(or_(is_own, ~reply.c.is_private))
        async with self._database.reading() as connection:
            while len(rows) < limit and (replied := _replied_to(at)) is not None:
                is_it = reply_part.c.platform_id == replied
                pair = pairs_here.join(reply_part).where(is_it)
                row = (await connection.execute(pair.limit(1))).mappings().first()
                if row is None:
                    break
                rows.append(row)
                at = stored_message(row)
        return joined_turns(reversed(rows))

    @override
    async def last(self, before: int) -> Exchange | None:
        later = await self.get(before)
        if later is None:
            return None
        place = place_columns(later.event.conversation)
        mark = select(conversations.c.reset_mark).where(is_at(conversations, place))
        ended = and_(
            is_at(messages, place),
            messages.c.account == later.account,
            messages.c.author_id == later.event.author.id,
            messages.c.id < before,
            messages.c.id > func.coalesce(mark.scalar_subquery(), 0),
            messages.c.state.in_(ENDED),
        )
        was_put = or_(messages.c.kind == MESSAGE, reply.c.asked.is_not(None))
        newest = (
            select(messages, reply.c.id.label("reply_id"))
            .join(reply, reply.c.message_id == messages.c.id)
            .where(ended, was_put)
            .order_by(messages.c.id.desc(), reply.c.attempt.desc())
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(newest.limit(1))).mappings().first()
            if row is None:
                return None
            attempt = select(reply).where(reply.c.id == row["reply_id"])
            return _exchange(row, (await connection.execute(attempt)).mappings().one())

    @override
    async def get(self, message_id: int) -> StoredMessage | None:
        found = select(messages).where(messages.c.id == message_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(found)).mappings().first()
            return None if row is None else stored_message(row)

    @override
    async def undo(self, message_id: int) -> bool:
        async with self._database.writing() as connection:
            undone = await connection.execute(leaves_the_context(message_id))
            return undone.rowcount > 0

    @override
    async def speeds(self) -> Mapping[str, float]:
        measured = select(reply.c.model, reply.c.tokens_per_s).where(
            reply.c.model.is_not(None), reply.c.tokens_per_s.is_not(None)
        )
        async with self._database.reading() as connection:
            latest = measured.order_by(reply.c.id.desc()).limit(MEASURED_ANSWERS)
            rows = (await connection.execute(latest)).all()
        by_model: dict[str, list[float]] = {}
        for model, tokens_per_s in rows:
            by_model.setdefault(model, []).append(tokens_per_s)
        return {model: median(speeds) for model, speeds in by_model.items()}


def _exchange(row: RowMapping, attempt: RowMapping) -> Exchange:
    message, answer = stored_message(row), answer_of(attempt)
    asked = row["text"] if attempt["asked"] is None else attempt["asked"]
    has_answer = answer is not None and not answer.is_error
    is_continuation = attempt["asked"] == ""
    return Exchange(message, asked, answer if has_answer else None, is_continuation)


def _replied_to(message: StoredMessage) -> str | None:
    event = message.event
    return event.replies_to if isinstance(event, IncomingMessage) else None
