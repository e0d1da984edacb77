"""What is stored of people and places, and its removal.

Each table is either in `RULES`, which says whose its rows are, goes with a row of such a table
(a foreign key with ON DELETE CASCADE), or stands in `OF_NOBODY` with the reason. A test walks the
schema: a new table that is in none of them fails it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKey,
    Table,
    and_,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from bot.messages import ConversationRef
from bot.store.ports.erasure import Erasure, Person
from bot.store.ports.scopes import PERSONAL_SCOPE, scope_id
from bot.store.sql.database import Database
from bot.store.sql.events import stored_message
from bot.store.sql.schema import (
    adapter_state,
    conversation,
    deduplication,
    feedback,
    message,
    metadata,
    rating,
    removal,
    setting,
    setting_change,
    usage,
    vote,
)

FORGOTTEN = "forgotten"
"""Stands where the name of somebody stood who was forgotten."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Whose the rows of a table are.

    `named_in` is a column of others' rows that names a person as "platform:id": it is overwritten.
    """

    table: Table
    is_persons: Callable[[Person], ColumnElement[bool]]
    is_channels: Callable[[ConversationRef], ColumnElement[bool]]
    named_in: Column[str] | None = None


def _is_own_scope(table: Table) -> Callable[[Person], ColumnElement[bool]]:
    def is_own(person: Person) -> ColumnElement[bool]:
        own = scope_id(person.platform, person.id)
        return and_(table.c.scope_kind == PERSONAL_SCOPE, table.c.scope_id == own)

    return is_own


def _is_scope_in(table: Table) -> Callable[[ConversationRef], ColumnElement[bool]]:
    def is_in(channel: ConversationRef) -> ColumnElement[bool]:
        place = scope_id(channel.platform, channel.installation_id, channel.channel_id)
        begins = table.c.scope_id.startswith(f"{place}/", autoescape=True)
        return and_(table.c.scope_kind != PERSONAL_SCOPE, or_(table.c.scope_id == place, begins))

    return is_in


def _is_in_channel(table: Table) -> Callable[[ConversationRef], ColumnElement[bool]]:
    def is_in(channel: ConversationRef) -> ColumnElement[bool]:
        return and_(
            table.c.platform == channel.platform,
            table.c.installation_id == channel.installation_id,
            table.c.channel_id == channel.channel_id,
        )

    return is_in


def _is_on_platform(platform: str) -> ColumnElement[bool]:
    return exists().where(message.c.id == rating.c.message_id, message.c.platform == platform)


RULES = (
    # Before the messages: a rating says only through its message on which platform it was given.
    Rule(
        rating,
        lambda person: and_(rating.c.rater_id == person.id, _is_on_platform(person.platform)),
        lambda channel: exists().where(
            message.c.id == rating.c.message_id, _is_in_channel(message)(channel)
        ),
    ),
    Rule(
        vote,
        lambda person: and_(vote.c.platform == person.platform, vote.c.voter_id == person.id),
        # A vote does not say in which channel it was cast.
        lambda channel: false(),
    ),
    Rule(
        feedback,
        lambda person: and_(
            feedback.c.platform == person.platform, feedback.c.rater_id == person.id
        ),
        _is_in_channel(feedback),
    ),
    Rule(
        message,
        lambda person: and_(
            message.c.platform == person.platform, message.c.author_id == person.id
        ),
        _is_in_channel(message),
    ),
    Rule(conversation, lambda person: false(), _is_in_channel(conversation)),
    Rule(setting, _is_own_scope(setting), _is_scope_in(setting), setting.c.set_by),
    Rule(
        setting_change,
        _is_own_scope(setting_change),
        _is_scope_in(setting_change),
        setting_change.c.changed_by,
    ),
)

OF_NOBODY: Mapping[Table, str] = {
    deduplication: "ids of events alone, so that erasing a person does not reopen old ones",
    adapter_state: "marks of an adapter about channels and its own commands",
    usage: "numbers under a hash for two days, so that forgetting does not renew a quota",
    removal: "which installations the bot was removed from",
}


Conditions = dict[Table, ColumnElement[bool]]
"""For each table that holds something of people, which of its rows are meant."""


def cascade_of(table: Table) -> ForeignKey | None:
    """The key by which a table's rows go with a row of another one."""
    return next((key for key in table.foreign_keys if key.ondelete == "CASCADE"), None)


class SqlErasure(Erasure):
    """Every table that holds something of people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def stored(self, person: Person, before: int | None = None) -> Mapping[str, int]:
        async with self._database.reading() as connection:
            owned = await _of_person(connection, person, before)
            return await _count(connection, _with_named(owned, person))

    @override
    async def export(self, person: Person) -> Mapping[str, Sequence[Mapping[str, object]]]:
        found: dict[str, Sequence[Mapping[str, object]]] = {}
        async with self._database.reading() as connection:
            owned = await _of_person(connection, person, None)
            for table, wanted in _with_named(owned, person).items():
                rows = (await connection.execute(select(table).where(wanted))).mappings().all()
                if rows:
                    found[table.name] = [dict(row) for row in rows]
        return found

    @override
    async def forget(self, person: Person, before: int | None = None) -> Mapping[str, int]:
        async with self._database.writing() as connection:
            owned = await _of_person(connection, person, before)
            counts = await _count(connection, _with_named(owned, person))
            await _delete(connection, owned)
            for rule in RULES:
                if rule.named_in is not None:
                    named = update(rule.table).where(rule.named_in == _account(person))
                    await connection.execute(named.values({rule.named_in: FORGOTTEN}))
        await self._database.forget_deleted()
        return counts

    @override
    async def stored_in(
        self, channel: ConversationRef, before: int | None = None
    ) -> Mapping[str, int]:
        owned = _conditions(lambda rule: rule.is_channels(channel), before)
        async with self._database.reading() as connection:
            return await _count(connection, owned)

    @override
    async def forget_channel(
        self, channel: ConversationRef, before: int | None = None
    ) -> Mapping[str, int]:
        owned = _conditions(lambda rule: rule.is_channels(channel), before)
        async with self._database.writing() as connection:
            counts = await _count(connection, owned)
            await _delete(connection, owned)
        await self._database.forget_deleted()
        return counts

    @override
    async def drop(self, message_id: int) -> None:
        async with self._database.writing() as connection:
            await connection.execute(delete(message).where(message.c.id == message_id))
        await self._database.forget_deleted()

    @override
    async def conversations(self, person: Person) -> Sequence[ConversationRef]:
        async with self._database.reading() as connection:
            return await _conversations(connection, person)

    @override
    async def listed(self, person: Person) -> int:
        columns = (setting.c.value, setting_change.c.value_before, setting_change.c.value_after)
        async with self._database.reading() as connection:
            return sum([await _count_entries(connection, column, person) for column in columns])


async def _count_entries(connection: AsyncConnection, values: Column[str], person: Person) -> int:
    """In how many values of a column the person is an entry, such as in "user:1, user:2"."""
    table = values.table
    places = or_(
        table.c.scope_id == "", table.c.scope_id.startswith(f"{person.platform}/", autoescape=True)
    )
    entry = f", user:{person.id}, "
    is_entry = (", " + func.coalesce(values, "") + ", ").contains(entry, autoescape=True)
    wanted = select(func.count()).select_from(table).where(places, is_entry)
    return await connection.scalar(wanted) or 0


async def _conversations(connection: AsyncConnection, person: Person) -> Sequence[ConversationRef]:
    place = ("platform", "installation_id", "channel_id", "thread_id")
    mine = and_(message.c.platform == person.platform, message.c.author_id == person.id)
    newest = select(func.max(message.c.id)).where(mine).group_by(*(message.c[one] for one in place))
    rows = await connection.execute(select(message).where(message.c.id.in_(newest)))
    return [stored_message(row).event.conversation for row in rows.mappings()]


async def _of_person(connection: AsyncConnection, person: Person, before: int | None) -> Conditions:
    """What is a person's own, and everything in their direct conversations with the bot."""
    direct = [one for one in await _conversations(connection, person) if one.is_direct]

    def is_theirs(rule: Rule) -> ColumnElement[bool]:
        return or_(rule.is_persons(person), *(rule.is_channels(channel) for channel in direct))

    return _conditions(is_theirs, before)


def _conditions(is_owned: Callable[[Rule], ColumnElement[bool]], before: int | None) -> Conditions:
    """The rows that the rules name, and those that go with them."""
    owned = {rule.table: is_owned(rule) for rule in RULES}
    if before is not None:
        owned[message] = and_(owned[message], message.c.id < before)
    for table in metadata.sorted_tables:
        key = cascade_of(table)
        if key is not None and (parent := owned.get(key.column.table)) is not None:
            goes_with = key.parent.in_(select(key.column).where(parent))
            owned[table] = or_(owned[table], goes_with) if table in owned else goes_with
    return owned


def _with_named(owned: Conditions, person: Person) -> Conditions:
    """The rows and those of others that name the person."""
    named = {
        rule.table: or_(owned[rule.table], rule.named_in == _account(person))
        for rule in RULES
        if rule.named_in is not None
    }
    return {**owned, **named}


async def _count(connection: AsyncConnection, owned: Conditions) -> dict[str, int]:
    counts: dict[str, int] = {}
    for table, wanted in owned.items():
        number = await connection.scalar(select(func.count()).select_from(table).where(wanted))
        if number:
            counts[table.name] = number
    return counts


async def _delete(connection: AsyncConnection, owned: Conditions) -> None:
    """Delete what the rules name, in their order; the rest goes with it."""
    for rule in RULES:
        await connection.execute(delete(rule.table).where(owned[rule.table]))


def _account(person: Person) -> str:
    return f"{person.platform}:{person.id}"
