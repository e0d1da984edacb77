"""The trail of changes of settings."""

import sqlalchemy as sa
from alembic import op

from bot.store.sql.schema import UtcTime, Words

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "setting_change",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("scope_kind", Words, nullable=False),
        sa.Column("scope_id", Words, nullable=False),
        sa.Column("value_before", Words),
        sa.Column("was_locked", sa.Boolean),
        sa.Column("value_after", Words),
        sa.Column("is_locked", sa.Boolean),
        sa.Column("changed_by", Words, nullable=False),
        sa.Column("changed_at", UtcTime, nullable=False),
        sa.Column("undoes", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="pk_setting_change"),
        sqlite_autoincrement=True,
    )
    scope = ["scope_kind", "scope_id"]
    op.create_index("ix_setting_change_scope_kind_scope_id", "setting_change", scope)
