"""Comparisons of models, the votes on them, and the buttons under an answer."""

import sqlalchemy as sa
from alembic import op

from bot.store.sql.schema import Actions, UtcTime, Words

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and the column."""
    op.add_column("reply", sa.Column("actions", Actions))
    op.create_table(
        "comparison",
        sa.Column("message_id", sa.Integer, nullable=False),
        sa.Column("is_blind", sa.Boolean, nullable=False),
        sa.Column("is_revealed", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_comparison"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name="fk_comparison_message", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "contender",
        sa.Column("message_id", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("model", Words, nullable=False),
        sa.Column("text", Words, nullable=False),
        sa.Column("is_error", sa.Boolean, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("tokens_per_s", sa.Float),
        sa.PrimaryKeyConstraint("message_id", "position", name="pk_contender"),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["comparison.message_id"],
            name="fk_contender_comparison",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "vote",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("account", Words, nullable=False),
        sa.Column("event_id", Words, nullable=False),
        sa.Column("platform", Words, nullable=False),
        sa.Column("installation_id", Words, nullable=False),
        sa.Column("voter_id", Words),
        sa.Column("models", Words, nullable=False),
        sa.Column("winner", Words),
        sa.Column("was_blind", sa.Boolean, nullable=False),
        sa.Column("voted_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_vote"),
        sa.UniqueConstraint(
            "account", "event_id", "voter_id", name="uq_vote_account_event_id_voter_id"
        ),
    )
