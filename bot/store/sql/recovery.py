"""What a starting process and the daily sweep need, over the database."""

import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Row,
    RowMapping,
    Table,
    Update,
    and_,
    case,
    delete,
    exists,
    literal,
    or_,
    select,
    true,
    update,
)
from typing_extensions import override

from bot.store.ports.records import MessageState, ReplyState, StoredMessage
from bot.store.ports.recovery import GivenUp, Reason, Recovery
from bot.store.ports.scopes import PERSONAL_SCOPE, ScopeKey, scope_id, scope_parts
from bot.store.sql.database import Database
from bot.store.sql.deaths import ended_by_death, is_suspect
from bot.store.sql.events import stored_message
from bot.store.sql.schema import (
    UtcTime,
    conversation,
    deduplication,
    feedback,
    message,
    removal,
    reply,
    setting,
    vote,
)
from bot.store.sql.schema import setting_change as trail

KEYS_STAY = timedelta(days=7)
"""How much longer than its message a deduplication key is kept."""

TRAIL_STAYS = timedelta(days=365)
"""How much longer than messages the trail of settings is kept."""

BATCH = 500
"""Rows that one transaction of a purge deletes, so that nobody waits long for it."""

MAX_UNANSWERED = 500
"""Messages that are handed out at once."""

log = logging.getLogger(__name__)


class SqlRecovery(Recovery):
    """What is left over in the tables, and its removal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def take_over(self, account: str) -> int:
        own = select(message.c.id).where(message.c.account == account)
        async with self._database.writing() as connection:
            dead = await connection.execute(ended_by_death(reply.c.message_id.in_(own)))
        return dead.rowcount

    @override
    async def unanswered(self, account: str, now: datetime) -> Sequence[StoredMessage]:
        live = exists().where(
            reply.c.message_id == message.c.id,
            reply.c.state == ReplyState.ANSWERING,
            reply.c.lease_until > now,
        )
        waiting = select(message, is_suspect().label("is_suspect")).where(
            message.c.account == account, message.c.state == MessageState.RECEIVED, ~live
        )
        oldest_first = waiting.order_by(message.c.id).limit(MAX_UNANSWERED)
        async with self._database.reading() as connection:
            rows = (await connection.execute(oldest_first)).mappings().all()
        found = {row["id"]: _readable(row) for row in rows}
        await self._give_up([key for key, one in found.items() if one is None])
        return [one for one in found.values() if one is not None]

    @override
    async def given_up(self) -> Sequence[GivenUp]:
        has_reply = exists().where(reply.c.message_id == message.c.id)
        undelivered = exists().where(
            reply.c.message_id == message.c.id,
            reply.c.state == ReplyState.FAILED,
            reply.c.text.is_not(None),
            ~reply.c.is_error,
        )
        crashed = exists().where(reply.c.message_id == message.c.id, reply.c.crashed)
        reason = case(
            (~has_reply, Reason.UNREADABLE), (crashed, Reason.CRASHED), else_=Reason.REFUSED
        ).label("reason")
        lost = select(message, reason).where(
            message.c.state == MessageState.FAILED, or_(~has_reply, crashed, undelivered)
        )
        async with self._database.reading() as connection:
            latest_first = lost.order_by(message.c.id.desc()).limit(MAX_UNANSWERED)
            rows = (await connection.execute(latest_first)).mappings().all()
        names = [field.name for field in fields(GivenUp) if field.name != "reason"]
        return [
            GivenUp(**{name: row[name] for name in names}, reason=Reason(row["reason"]))
            for row in rows
        ]

    async def _give_up(self, unreadable: Sequence[int]) -> None:
        """Mark messages that cannot be read as failed, so that they keep no other one waiting."""
        if not unreadable:
            return
        log.error("messages that cannot be read were given up: %s", [*unreadable])
        damaged = update(message).where(
            message.c.id.in_(unreadable), message.c.state == MessageState.RECEIVED
        )
        async with self._database.writing() as connection:
            await connection.execute(damaged.values(state=MessageState.FAILED))

    @override
    async def purge(
        self,
        older_than: datetime,
        rules: Sequence[tuple[ScopeKey, datetime]] = (),
        removed_before: datetime | None = None,
    ) -> int:
        deleted = 0
        gone = or_(
            message.c.received_at < _limit(older_than, rules),
            exists().where(_is_of_removed(), _is_due(removed_before)),
        )
        while batch := await self._purge_batch(gone):
            deleted += batch
        async with self._database.writing() as connection:
            seen_at = deduplication.c.seen_at
            await connection.execute(delete(deduplication).where(seen_at < older_than - KEYS_STAY))
            await connection.execute(delete(conversation).where(~exists().where(_is_in_it())))
            await connection.execute(_forget_voters())
            old = trail.c.changed_at < older_than - TRAIL_STAYS
            await connection.execute(delete(trail).where(old))
            due = select(removal).where(_is_due(removed_before))
            for removed in (await connection.execute(due)).all():
                for table, at in ((setting, setting.c.set_at), (trail, trail.c.changed_at)):
                    of_it = and_(_is_in_installation(table, removed), at <= removed.removed_at)
                    await connection.execute(delete(table).where(of_it))
                for table, at in ((vote, vote.c.voted_at), (feedback, feedback.c.kept_at)):
                    of_it = and_(_is_of_installation(table, removed), at <= removed.removed_at)
                    await connection.execute(delete(table).where(of_it))
            served = and_(_is_due(removed_before), ~exists().where(_is_of_removed()))
            await connection.execute(delete(removal).where(served))
        await self._database.forget_deleted()
        return deleted

    async def _purge_batch(self, gone: ColumnElement[bool]) -> int:
        batch = select(message.c.id).where(gone).limit(BATCH)
        deleted = delete(message).where(message.c.id.in_(batch))
        async with self._database.writing() as connection:
            return (await connection.execute(deleted)).rowcount


def _forget_voters() -> Update:
    """Votes whose comparison is gone count on, as nobody's."""
    asked = exists().where(
        message.c.account == vote.c.account, message.c.event_id == vote.c.event_id
    )
    return update(vote).where(vote.c.voter_id.is_not(None), ~asked).values(voter_id=None)


def _is_of_installation(
    table: Table, removed: Row[tuple[str, str, datetime]]
) -> ColumnElement[bool]:
    """Whether a row says that it came from an installation."""
    return and_(
        table.c.platform == removed.platform,
        table.c.installation_id == removed.installation_id,
    )


def _readable(row: RowMapping) -> StoredMessage | None:
    try:
        return replace(stored_message(row), is_suspect=row["is_suspect"])
    except (ValueError, TypeError):
        return None  # the error quotes what was stored


def _is_in_it() -> ColumnElement[bool]:
    """Whether a message belongs to a conversation."""
    names = ("platform", "installation_id", "channel_id", "thread_id")
    return and_(*(message.c[name] == conversation.c[name] for name in names))


def _limit(
    older_than: datetime, rules: Sequence[tuple[ScopeKey, datetime]]
) -> ColumnElement[datetime]:
    """Before when a message must have been received to go."""
    otherwise = literal(older_than, UtcTime)
    if not rules:
        return otherwise
    cases = [(_is_within(scope), literal(limit, UtcTime)) for scope, limit in rules]
    return case(*cases, else_=otherwise)


def _is_within(scope: ScopeKey) -> ColumnElement[bool]:
    """Whether a message is in a scope of a place: its workspace, channel or thread."""
    names = ("platform", "installation_id", "channel_id", "thread_id")
    parts = scope_parts(scope)
    return and_(
        true(), *(message.c[name] == part for name, part in zip(names, parts, strict=False))
    )


def _is_due(removed_before: datetime | None) -> ColumnElement[bool]:
    return true() if removed_before is None else removal.c.removed_at < removed_before


def _is_of_removed() -> ColumnElement[bool]:
    """Whether a message came before the bot was removed from its installation."""
    return and_(
        message.c.platform == removal.c.platform,
        message.c.installation_id == removal.c.installation_id,
        message.c.received_at <= removal.c.removed_at,
    )


def _is_in_installation(
    table: Table, removed: Row[tuple[str, str, datetime]]
) -> ColumnElement[bool]:
    """Whether a setting, or a change of one, is of an installation's scopes."""
    place = scope_id(removed.platform, removed.installation_id)
    return and_(
        table.c.scope_kind != PERSONAL_SCOPE,
        or_(table.c.scope_id == place, table.c.scope_id.startswith(f"{place}/", autoescape=True)),
    )
