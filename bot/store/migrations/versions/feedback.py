"""Questions and answers that members let be kept with their ratings."""

import sqlalchemy as sa
from alembic import op

from bot.store.sql.schema import UtcTime, Words

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "feedback",
        sa.Column("account", Words, nullable=False),
        sa.Column("event_id", Words, nullable=False),
        sa.Column("rater_id", Words, nullable=False),
        sa.Column("platform", Words, nullable=False),
        sa.Column("installation_id", Words, nullable=False),
        sa.Column("channel_id", Words, nullable=False),
        sa.Column("model", Words, nullable=False),
        sa.Column("question", Words, nullable=False),
        sa.Column("answer", Words, nullable=False),
        sa.Column("rating", sa.Text, nullable=False),
        sa.Column("kept_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("account", "event_id", "rater_id", name="pk_feedback"),
    )
