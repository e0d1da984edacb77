"""What was had of quotas."""

import sqlalchemy as sa
from alembic import op

from bot.store.sql.schema import UtcTime, Words

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "usage",
        sa.Column("counted", Words, nullable=False),
        sa.Column("hour", UtcTime, nullable=False),
        sa.Column("answers", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("counted", "hour", name="pk_usage"),
    )
    op.create_index("ix_usage_hour", "usage", ["hour"])
