"""What alembic runs; it is handed a connection by `agent.fleet.migrations.apply`."""

from __future__ import annotations

from alembic import context

from agent.fleet.schema import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
