"""Alembic's entry: runs the migrations on the connection that migrate() hands over."""

from __future__ import annotations

from alembic import context

from aisdk.core.storage.tables import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
