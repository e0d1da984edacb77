"""Ratings of answers, and how long they took."""

import sqlalchemy as sa
from alembic import op

from bot.store.sql.schema import UtcTime, Words

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the columns."""
    for name in ("seconds", "tokens_per_s"):
        op.add_column("reply", sa.Column(name, sa.Float))
    op.create_table(
        "rating",
        sa.Column("message_id", sa.Integer, nullable=False),
        sa.Column("rater_id", Words, nullable=False),
        sa.Column("rating", sa.Text, nullable=False),
        sa.Column("rated_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("message_id", "rater_id", name="pk_rating"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name="fk_rating_message", ondelete="CASCADE"
        ),
    )
