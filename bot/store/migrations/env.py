"""Run by Alembic: migrates over the connection, and in the transaction, that `migration.py` has."""

from alembic import context
from sqlalchemy import Connection

from bot.store.sql.schema import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
