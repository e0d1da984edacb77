"""The first tables."""

import sqlalchemy as sa
from alembic import op

from bot.store.sql.schema import UtcTime, Words

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them."""
    _create_message_tables()
    _create_settings_tables()


def _create_message_tables() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("event_id", Words, nullable=False),
        sa.Column("platform", Words, nullable=False),
        sa.Column("installation_id", Words, nullable=False),
        sa.Column("channel_id", Words, nullable=False),
        sa.Column("thread_id", Words, nullable=False),
        sa.Column("author_id", Words, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("text", Words, nullable=False),
        sa.Column("event", Words, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
        sa.UniqueConstraint("account", "event_id", name="uq_message_account_event_id"),
        sqlite_autoincrement=True,
    )
    place = ["platform", "installation_id", "channel_id", "thread_id"]
    op.create_index("ix_message_platform_installation_id_channel_id_thread_id", "message", place)
    op.create_index("ix_message_account_state", "message", ["account", "state"])
    op.create_index("ix_message_received_at", "message", ["received_at"])
    op.create_table(
        "reply",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("message_id", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("crashed", sa.Boolean, nullable=False),
        sa.Column("claimed_by", Words, nullable=False),
        sa.Column("lease_until", UtcTime),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("finished_at", UtcTime),
        sa.Column("text", Words),
        sa.Column("model", Words),
        sa.Column("finish_reason", Words),
        sa.Column("generated_tokens", sa.Integer),
        sa.Column("is_error", sa.Boolean),
        sa.Column("is_private", sa.Boolean),
        sa.Column("notice", Words),
        sa.Column("footer", Words),
        sa.PrimaryKeyConstraint("id", name="pk_reply"),
        sa.UniqueConstraint("message_id", "attempt", name="uq_reply_message_id_attempt"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name="fk_reply_message", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "reply_part",
        sa.Column("reply_id", sa.Integer, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("platform_id", Words, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.PrimaryKeyConstraint("reply_id", "index", name="pk_reply_part"),
        sa.ForeignKeyConstraint(
            ["reply_id"], ["reply.id"], name="fk_reply_part_reply", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "deduplication",
        sa.Column("account", Words, nullable=False),
        sa.Column("event_id", Words, nullable=False),
        sa.Column("seen_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("account", "event_id", name="pk_deduplication"),
    )
    op.create_index("ix_deduplication_seen_at", "deduplication", ["seen_at"])
    op.create_table(
        "conversation",
        sa.Column("platform", Words, nullable=False),
        sa.Column("installation_id", Words, nullable=False),
        sa.Column("channel_id", Words, nullable=False),
        sa.Column("thread_id", Words, nullable=False),
        sa.Column("reset_mark", sa.Integer, nullable=False),
        sa.Column("reset_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint(*place, name="pk_conversation"),
    )


def _create_settings_tables() -> None:
    op.create_table(
        "setting",
        sa.Column("name", Words, nullable=False),
        sa.Column("scope_kind", Words, nullable=False),
        sa.Column("scope_id", Words, nullable=False),
        sa.Column("value", Words, nullable=False),
        sa.Column("is_locked", sa.Boolean, nullable=False),
        sa.Column("set_by", Words, nullable=False),
        sa.Column("set_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("name", "scope_kind", "scope_id", name="pk_setting"),
    )
    op.create_table(
        "adapter_state",
        sa.Column("adapter", Words, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("value", Words, nullable=False),
        sa.PrimaryKeyConstraint("adapter", "key", name="pk_adapter_state"),
    )
    op.create_table(
        "removal",
        sa.Column("platform", Words, nullable=False),
        sa.Column("installation_id", Words, nullable=False),
        sa.Column("removed_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("platform", "installation_id", name="pk_removal"),
    )
