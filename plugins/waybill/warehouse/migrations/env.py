"""Alembic's entry: runs the versions on the connection that `upgrade` hands over."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], version_table_schema="waybill", target_metadata=None
)
with context.begin_transaction():
    context.run_migrations()
