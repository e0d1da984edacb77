"""Messages to answer and the claims on them, over the database."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Update, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from bot.errors import LeaseLost
from bot.messages import Answerable, IncomingMessage
from bot.store.ports.inbox import Claim, Inbox
from bot.store.ports.records import Answer, MessageState, ReplyPart, ReplyState, StoredMessage
from bot.store.sql.database import Database
from bot.store.sql.deaths import crashes_of, ended_by_death
from bot.store.sql.events import HEARD, event_columns, has_id, place_columns, stored_message
from bot.store.sql.schema import deduplication, message, reply, reply_part
from bot.store.sql.sqlite import put, put_once

ANSWER_COLUMNS = [field.name for field in fields(Answer)]


class SqlInbox(Inbox):
    """The tables `message`, `deduplication`, `reply` and `reply_part`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def admit(
        self, account: str, event: Answerable, received_at: datetime
    ) -> StoredMessage | None:
        state = {"state": MessageState.RECEIVED}
        async with self._database.writing() as connection:
            message_id = await _add(connection, account, event, received_at, state)
        if message_id is None:
            return None
        return StoredMessage(message_id, account, event, received_at)

    @override
    async def hear(self, account: str, event: IncomingMessage, received_at: datetime) -> None:
        state = {"kind": HEARD, "state": MessageState.HEARD}
        async with self._database.writing() as connection:
            await _add(connection, account, event, received_at, state)

    @override
    async def reopen(
        self, account: str, message_id: str, action_id: str, now: datetime
    ) -> StoredMessage | None:
        seen = put_once(deduplication, {"account": account, "event_id": action_id, "seen_at": now})
        ended = message.c.state.in_(
            [MessageState.ANSWERED, MessageState.FAILED, MessageState.UNDONE]
        )
        reopened = update(message).where(has_id(account, message_id), ended).returning(message)
        async with self._database.writing() as connection:
            if (await connection.execute(seen)).rowcount == 0:
                return None
            values = {"state": MessageState.RECEIVED, "received_at": now}
            row = (await connection.execute(reopened.values(values))).mappings().first()
            if row is None:
                return None
            await _begin_afresh(connection, row["id"])
        return stored_message(row)

    @override
    async def claim(
        self, message_id: int, worker: str, now: datetime, lease_until: datetime
    ) -> Claim | None:
        async with self._database.writing() as connection:
            row = await _received(connection, message_id)
            last = await _last_attempt(connection, message_id)
            if row is None or (last is not None and _is_live(last, now)):
                return None
            if last is not None:
                await connection.execute(ended_by_death(reply.c.id == last["id"]))
            attempt = await _begin_attempt(connection, message_id, last, worker, lease_until)
            return Claim(
                message=stored_message(row),
                reply_id=attempt["id"],
                attempt=attempt["attempt"],
                fence=attempt["fence"],
                worker=worker,
                crashes=await crashes_of(connection, message_id),
                parts=await parts_of(connection, attempt["id"]),
                answer=answer_of(attempt),
            )

    @override
    async def renew(self, claim: Claim, lease_until: datetime) -> None:
        async with self._database.writing() as connection:
            await _hold(connection, claim, lease_until=lease_until)

    @override
    async def save_part(self, claim: Claim, part: ReplyPart) -> None:
        async with self._database.writing() as connection:
            await _hold(connection, claim)
            row = {"reply_id": claim.reply_id, **asdict(part)}
            await connection.execute(put(reply_part, row))

    @override
    async def save_answer(self, claim: Claim, answer: Answer) -> None:
        async with self._database.writing() as connection:
            await _hold(connection, claim, **asdict(answer))

    @override
    async def finish(
        self, claim: Claim, state: ReplyState, now: datetime, replaces: int | None = None
    ) -> None:
        assert state is not ReplyState.ANSWERING, "finish ends the attempt"
        is_failed = state is ReplyState.FAILED
        outcome = MessageState.FAILED if is_failed else MessageState.ANSWERED
        async with self._database.writing() as connection:
            await _hold(connection, claim, state=state, lease_until=None, finished_at=now)
            ended = update(message).where(message.c.id == claim.message.id)
            await connection.execute(ended.values(state=outcome))
            if replaces is not None and not is_failed:
                await connection.execute(leaves_the_context(replaces))

    @override
    async def release(self, claim: Claim) -> None:
        async with self._database.writing() as connection:
            await _hold(connection, claim, state=ReplyState.FAILED, lease_until=None)


async def _add(
    connection: AsyncConnection,
    account: str,
    event: Answerable,
    received_at: datetime,
    state: Mapping[str, str],
) -> int | None:
    """Add a message with its deduplication key; None if it was seen before."""
    key = {"account": account, "event_id": event.id}
    seen = put_once(deduplication, {**key, "seen_at": received_at})
    if (await connection.execute(seen)).rowcount == 0:
        return None
    row = {
        **key,
        **place_columns(event.conversation),
        **event_columns(event),
        "author_id": event.author.id,
        "received_at": received_at,
        **state,
    }
    added = insert(message).values(row).returning(message.c.id)
    return (await connection.execute(added)).scalar_one()


def leaves_the_context(message_id: int) -> Update:
    """Mark an ended message as undone; its text stays until its retention."""
    ended = message.c.state.in_([MessageState.ANSWERED, MessageState.FAILED])
    undone = update(message).where(message.c.id == message_id, ended)
    return undone.values(state=MessageState.UNDONE)


async def _hold(connection: AsyncConnection, claim: Claim, **values: Any) -> None:
    """Write to a claim's attempt if it still holds, in one statement. Raises `LeaseLost`."""
    held = update(reply).where(
        reply.c.id == claim.reply_id,
        reply.c.fence == claim.fence,
        reply.c.state == ReplyState.ANSWERING,
    )
    result = await connection.execute(held.values(values or {"fence": claim.fence}))
    if result.rowcount == 0:
        raise LeaseLost(f"{claim.worker} no longer holds message {claim.message.id}")


async def _received(connection: AsyncConnection, message_id: int) -> RowMapping | None:
    """The row of a message that waits for its answer, locked against other claims."""
    wanted = select(message).where(
        message.c.id == message_id, message.c.state == MessageState.RECEIVED
    )
    return (await connection.execute(wanted.with_for_update())).mappings().first()


async def _last_attempt(connection: AsyncConnection, message_id: int) -> RowMapping | None:
    attempts = select(reply).where(reply.c.message_id == message_id)
    newest_first = attempts.order_by(reply.c.attempt.desc()).limit(1)
    return (await connection.execute(newest_first)).mappings().first()


def _is_live(attempt: RowMapping, now: datetime) -> bool:
    return attempt["state"] == ReplyState.ANSWERING and attempt["lease_until"] > now


async def _begin_attempt(
    connection: AsyncConnection,
    message_id: int,
    last: RowMapping | None,
    worker: str,
    lease_until: datetime,
) -> RowMapping:
    """Add an attempt that starts with the parts and the finished answer of the last one."""
    row = {
        "message_id": message_id,
        "attempt": 1 if last is None else last["attempt"] + 1,
        "state": ReplyState.ANSWERING,
        "crashed": False,
        "claimed_by": worker,
        "lease_until": lease_until,
        "fence": 1 if last is None else last["fence"] + 1,
        **({} if last is None else {name: last[name] for name in ANSWER_COLUMNS}),
    }
    added = await connection.execute(insert(reply).values(row).returning(reply))
    attempt = added.mappings().one()
    if last is not None:
        await _copy_parts(connection, last["id"], attempt["id"])
    return attempt


async def _begin_afresh(connection: AsyncConnection, message_id: int) -> None:
    """Add an attempt that has ended without an answer, for the next one to start from."""
    last = await _last_attempt(connection, message_id)
    if last is None:
        return
    earlier = update(reply).where(reply.c.message_id == message_id)
    await connection.execute(earlier.values(state=ReplyState.REPLACED, crashed=False))
    row = {
        "message_id": message_id,
        "attempt": last["attempt"] + 1,
        "state": ReplyState.FAILED,
        "crashed": False,
        "claimed_by": "",
        "fence": last["fence"] + 1,
    }
    added = await connection.execute(insert(reply).values(row).returning(reply.c.id))
    await _copy_parts(connection, last["id"], added.scalar_one())


async def _copy_parts(connection: AsyncConnection, source_id: int, target_id: int) -> None:
    columns = [column for column in reply_part.c if column.name != "reply_id"]
    source = select(literal(target_id), *columns).where(reply_part.c.reply_id == source_id)
    names = ["reply_id", *(column.name for column in columns)]
    await connection.execute(insert(reply_part).from_select(names, source))


async def parts_of(connection: AsyncConnection, reply_id: int) -> tuple[ReplyPart, ...]:
    """The messages that an attempt posted, in order."""
    wanted = select(reply_part).where(reply_part.c.reply_id == reply_id)
    rows = await connection.execute(wanted.order_by(reply_part.c.index))
    return tuple(ReplyPart(row["index"], row["platform_id"], row["key"]) for row in rows.mappings())


def answer_of(attempt: RowMapping) -> Answer | None:
    """The finished answer of a row of `reply`, if there is one."""
    if attempt["text"] is None:
        return None
    return Answer(**{name: attempt[name] for name in ANSWER_COLUMNS})
