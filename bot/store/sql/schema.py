"""The one schema: every table of the store, for every database that it runs on.

A change here needs a migration in `migrations/versions/` and its id in `REVISION`.
"""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from typing_extensions import override

from bot.messages import Action

REVISION: Final = "0007"
"""The Alembic revision that these tables stand for."""


class UtcTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC: SQLite has no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "the store takes aware times"
        return value.astimezone(UTC)

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC)


class Actions(TypeDecorator[tuple[Action, ...]]):
    """Buttons, as their names with spaces between them; NULL is none."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: tuple[Action, ...] | None, dialect: Dialect) -> str | None:
        return " ".join(value) if value else None

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[Action, ...]:
        return tuple(Action(name) for name in (value or "").split())


class Words(TypeDecorator[str]):
    """Text from outside: a lone surrogate, which JSON can carry and UTF-8 cannot, becomes "?"."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.encode("utf-8", "replace").decode()


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


message = Table(
    "message",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account", Words, nullable=False),
    Column("event_id", Words, nullable=False),
    Column("platform", Words, nullable=False),
    Column("installation_id", Words, nullable=False),
    Column("channel_id", Words, nullable=False),
    # "" outside threads: `conversation` needs a value for its key, so both use one.
    Column("thread_id", Words, nullable=False),
    Column("author_id", Words, nullable=False),
    Column("kind", Text, nullable=False),
    # What was said, and nowhere else: the event's JSON is without it (see events.py).
    Column("text", Words, nullable=False),
    Column("event", Words, nullable=False),
    Column("state", Text, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    UniqueConstraint("account", "event_id"),
    # Ids are not used again: a purged message, still known to somebody, must not be mistaken.
    sqlite_autoincrement=True,
)
Index(
    None, message.c.platform, message.c.installation_id, message.c.channel_id, message.c.thread_id
)
Index(None, message.c.account, message.c.state)
Index(None, message.c.received_at)

reply = Table(
    "reply",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("message_id", Integer, ForeignKey("message.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("crashed", Boolean, nullable=False),
    Column("claimed_by", Words, nullable=False),
    Column("lease_until", UtcTime),
    Column("fence", Integer, nullable=False),
    Column("finished_at", UtcTime),
    # The finished answer; `text` is null while there is none.
    Column("text", Words),
    Column("model", Words),
    Column("finish_reason", Words),
    Column("generated_tokens", Integer),
    Column("is_error", Boolean),
    Column("is_private", Boolean),
    Column("notice", Words),
    Column("footer", Words),
    Column("seconds", Float),
    Column("tokens_per_s", Float),
    Column("actions", Actions),
    # What a command put to the model; "" where it went on with the answer before.
    Column("asked", Words),
    UniqueConstraint("message_id", "attempt"),
    # Nor are these: a late writer with the claim of a purged attempt must not meet another one.
    sqlite_autoincrement=True,
)

reply_part = Table(
    "reply_part",
    metadata,
    Column("reply_id", Integer, ForeignKey("reply.id", ondelete="CASCADE"), primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("platform_id", Words, nullable=False),
    Column("key", Words, nullable=False),
)

# A member's word on the answer to a question, whichever attempt it was.
rating = Table(
    "rating",
    metadata,
    Column("message_id", Integer, ForeignKey("message.id", ondelete="CASCADE"), primary_key=True),
    Column("rater_id", Words, primary_key=True),
    Column("rating", Text, nullable=False),
    Column("rated_at", UtcTime, nullable=False),
)

# One question to several models, and each one's answer in the order shown.
comparison = Table(
    "comparison",
    metadata,
    Column("message_id", Integer, ForeignKey("message.id", ondelete="CASCADE"), primary_key=True),
    Column("is_blind", Boolean, nullable=False),
    Column("is_revealed", Boolean, nullable=False),
)

contender = Table(
    "contender",
    metadata,
    Column(
        "message_id",
        Integer,
        ForeignKey("comparison.message_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True),
    Column("model", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("is_error", Boolean, nullable=False),
    Column("seconds", Float),
    Column("tokens_per_s", Float),
)

# A vote outlives its comparison: without a word of it, and then without its voter either.
vote = Table(
    "vote",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account", Words, nullable=False),
    Column("event_id", Words, nullable=False),
    Column("platform", Words, nullable=False),
    Column("installation_id", Words, nullable=False),
    Column("voter_id", Words),
    # Names with spaces between them; the winner is null where none was better.
    Column("models", Words, nullable=False),
    Column("winner", Words),
    Column("was_blind", Boolean, nullable=False),
    Column("voted_at", UtcTime, nullable=False),
    UniqueConstraint("account", "event_id", "voter_id"),
)

# What a member let be kept with their rating: it stays until they take it back.
feedback = Table(
    "feedback",
    metadata,
    Column("account", Words, primary_key=True),
    Column("event_id", Words, primary_key=True),
    Column("rater_id", Words, primary_key=True),
    Column("platform", Words, nullable=False),
    Column("installation_id", Words, nullable=False),
    Column("channel_id", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("question", Words, nullable=False),
    Column("answer", Words, nullable=False),
    Column("rating", Text, nullable=False),
    Column("kept_at", UtcTime, nullable=False),
)

deduplication = Table(
    "deduplication",
    metadata,
    Column("account", Words, primary_key=True),
    Column("event_id", Words, primary_key=True),
    Column("seen_at", UtcTime, nullable=False, index=True),
)

# Only conversations that were reset have a row.
conversation = Table(
    "conversation",
    metadata,
    Column("platform", Words, primary_key=True),
    Column("installation_id", Words, primary_key=True),
    Column("channel_id", Words, primary_key=True),
    Column("thread_id", Words, primary_key=True),
    Column("reset_mark", Integer, nullable=False),
    Column("reset_at", UtcTime, nullable=False),
)

setting = Table(
    "setting",
    metadata,
    Column("name", Words, primary_key=True),
    Column("scope_kind", Words, primary_key=True),
    Column("scope_id", Words, primary_key=True),
    Column("value", Words, nullable=False),
    Column("is_locked", Boolean, nullable=False),
    Column("set_by", Words, nullable=False),
    Column("set_at", UtcTime, nullable=False),
)

# The trail: who changed which setting, from what to what; null where a scope held nothing.
setting_change = Table(
    "setting_change",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Words, nullable=False),
    Column("scope_kind", Words, nullable=False),
    Column("scope_id", Words, nullable=False),
    Column("value_before", Words),
    Column("was_locked", Boolean),
    Column("value_after", Words),
    Column("is_locked", Boolean),
    Column("changed_by", Words, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    Column("undoes", Integer),
    sqlite_autoincrement=True,
)
Index(None, setting_change.c.scope_kind, setting_change.c.scope_id)

# What was had of quotas: `counted` is a hash of a member, a channel or a workspace.
usage = Table(
    "usage",
    metadata,
    Column("counted", Words, primary_key=True),
    Column("hour", UtcTime, primary_key=True, index=True),
    Column("answers", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
)

adapter_state = Table(
    "adapter_state",
    metadata,
    Column("adapter", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
)

removal = Table(
    "removal",
    metadata,
    Column("platform", Words, primary_key=True),
    Column("installation_id", Words, primary_key=True),
    Column("removed_at", UtcTime, nullable=False),
)
