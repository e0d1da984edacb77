"""The turns of conversations, over the database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    Table,
    and_,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from bot.conversation import Role, Turn
from bot.messages import ConversationRef
from bot.question import whole_question
from bot.store.ports.history import History
from bot.store.ports.records import REPEATED_ITSELF, MessageState, ReplyState, StoredMessage
from bot.store.sql.database import Database
from bot.store.sql.events import (
    HEARD,
    MESSAGE,
    blank,
    event_columns,
    has_id,
    place_columns,
    stored_message,
)
from bot.store.sql.schema import comparison, feedback, removal, reply
from bot.store.sql.schema import conversation as conversations
from bot.store.sql.schema import message as messages
from bot.store.sql.sqlite import put
from bot.text import without_repeated_end


class SqlHistory(History):
    """Questions and answers in the tables `message` and `reply`, since `conversation`'s mark."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def turns(
        self, message: StoredMessage, limit: int, *, only_own: bool = False
    ) -> Sequence[Turn]:
        is_own = messages.c.author_id == message.event.author.id
        seen = and_(reply.c.finished_at <= message.received_at, ~reply.c.is_private)
        is_heard = messages.c.state == MessageState.HEARD
        said = said_before(message).where(is_own if only_own else or_(is_own, seen, is_heard))
        async with self._database.reading() as connection:
            rows = await connection.execute(said.limit(limit))
            newest_first = rows.mappings().all()
        return joined_turns(reversed(newest_first))

    @override
    async def reset(self, conversation: ConversationRef, message_id: int, now: datetime) -> None:
        row = {**place_columns(conversation), "reset_mark": message_id, "reset_at": now}
        async with self._database.writing() as connection:
            await connection.execute(put(conversations, row))

    @override
    async def edit(self, account: str, message_id: str, text: str) -> StoredMessage | None:
        edited = (
            update(messages)
            .where(
                has_id(account, message_id),
                messages.c.kind.in_([MESSAGE, HEARD]),
                messages.c.state != MessageState.WITHDRAWN,
                messages.c.text != text,
            )
            .values(text=text)
            .returning(messages)
        )
        async with self._database.writing() as connection:
            row = (await connection.execute(edited)).mappings().first()
            return None if row is None else stored_message(row)

    @override
    async def withdraw(self, account: str, message_id: str) -> StoredMessage | None:
        async with self._database.writing() as connection:
            row = await _find(connection, account, message_id)
            if row is None:
                return None
            columns = event_columns(blank(stored_message(row).event))
            blanked = update(messages).where(messages.c.id == row["id"]).returning(messages)
            values = {**columns, "state": MessageState.WITHDRAWN}
            withdrawn = (await connection.execute(blanked.values(values))).mappings().one()
            await _blank_replies(connection, row["id"])
            kept = and_(feedback.c.account == account, feedback.c.event_id == message_id)
            await connection.execute(delete(feedback).where(kept))
        await self._database.forget_deleted()
        return stored_message(withdrawn)

    @override
    async def find(self, account: str, message_id: str) -> StoredMessage | None:
        async with self._database.reading() as connection:
            row = await _find(connection, account, message_id)
            return None if row is None else stored_message(row)

    @override
    async def takes_part(self, conversation: ConversationRef, before: str | None = None) -> bool:
        place = is_at(messages, place_columns(conversation))
        addressed = select(messages.c.id).where(
            place,
            messages.c.kind == MESSAGE,
            messages.c.state != MessageState.WITHDRAWN,
        )
        if before is not None:
            later = select(messages.c.id).where(place, messages.c.event_id == before)
            addressed = addressed.where(messages.c.id < later.scalar_subquery())
        async with self._database.reading() as connection:
            return await connection.scalar(addressed.limit(1)) is not None

    @override
    async def mark_removed(self, platform: str, installation_id: str, now: datetime) -> None:
        row = {"platform": platform, "installation_id": installation_id, "removed_at": now}
        async with self._database.writing() as connection:
            await connection.execute(put(removal, row))


def said_before(message: StoredMessage) -> Select[*tuple[Any, ...]]:
    """Questions with their answers, and what was heard, that may come before a message.

    The newest come first (see `History.turns`).
    """
    place = place_columns(message.event.conversation)
    mark = select(conversations.c.reset_mark).where(is_at(conversations, place))
    is_answered = and_(
        or_(messages.c.kind == MESSAGE, reply.c.asked.is_not(None)),
        messages.c.state == MessageState.ANSWERED,
        reply.c.state.in_([ReplyState.ANSWERED, ReplyState.CANCELLED]),
        ~reply.c.is_error,
        func.trim(reply.c.text, " \t\r\n") != "",
    )
    return (
        select(messages, reply.c.text.label("answer"), reply.c.asked, reply.c.finish_reason)
        .outerjoin(reply, reply.c.message_id == messages.c.id)
        .where(
            is_at(messages, place),
            messages.c.account == message.account,
            messages.c.id < message.id,
            messages.c.id > func.coalesce(mark.scalar_subquery(), 0),
            or_(messages.c.state == MessageState.HEARD, is_answered),
        )
        .order_by(messages.c.id.desc())
    )


def joined_turns(rows: Iterable[RowMapping]) -> list[Turn]:
    """The turns of rows, oldest first; what went on with an answer is joined to it."""
    turns: list[Turn] = []
    answers: dict[str, int] = {}
    for row in rows:
        question = _question(row)
        if question is not None and row["answer"] is None:
            turns.append(question)
        elif question is not None:
            answers[row["author_id"]] = len(turns) + 1
            turns += [question, Turn(Role.ASSISTANT, _said(row))]
        elif (begun := answers.get(row["author_id"])) is not None:
            turns[begun] = replace(turns[begun], text=f"{turns[begun].text} {_said(row)}")
    return turns


def _said(row: RowMapping) -> str:
    """What was answered, without the end of an answer that was stopped for repeating itself."""
    is_repeating = row["finish_reason"] == REPEATED_ITSELF
    return without_repeated_end(row["answer"]) if is_repeating else row["answer"]


def _question(row: RowMapping) -> Turn | None:
    """What was asked; None where the answer before was gone on with."""
    event, asked = stored_message(row).event, row["asked"]
    if asked == "":
        return None
    text = whole_question(row["text"], event) if asked is None else asked
    return Turn(Role.USER, text, event.author.name)


def is_at(table: Table, place: Mapping[str, str]) -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in place.items()))


async def _find(connection: AsyncConnection, account: str, event_id: str) -> RowMapping | None:
    found = select(messages).where(has_id(account, event_id))
    return (await connection.execute(found)).mappings().first()


async def _blank_replies(connection: AsyncConnection, message_id: int) -> None:
    """Take the text out of every attempt, and end the one that runs: its claim is lost."""
    mine = update(reply).where(reply.c.message_id == message_id)
    said = mine.where(reply.c.text.is_not(None))
    await connection.execute(said.values(text="", notice=None, footer=None, asked=None))
    await connection.execute(delete(comparison).where(comparison.c.message_id == message_id))
    running = mine.where(reply.c.state == ReplyState.ANSWERING)
    await connection.execute(running.values(state=ReplyState.CANCELLED, lease_until=None))
