"""What a command put to a model stands with its answer."""

import sqlalchemy as sa
from alembic import op

from bot.store.sql.schema import Words

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("reply", sa.Column("asked", Words))
