"""Alembic migrations of the operations schema `waybill`."""

from __future__ import annotations

from pathlib import Path

from psycopg import Connection


def upgrade(connection: Connection, revision: str = "head") -> str | None:
    """Bring the operations schema to the newest version, or to a revision; does nothing when it is there already.

    A later release has revisions that this one does not know. After a rollback, the schema stays as it is.

    Returns:
        The revision of a schema that is newer than this release; otherwise nothing.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine, pool

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=pool.StaticPool)
    with engine.connect() as bound:
        bound.exec_driver_sql("select pg_advisory_xact_lock(hashtext('waybill.migrations'))")
        bound.exec_driver_sql("create schema if not exists waybill")
        present = MigrationContext.configure(bound, opts={"version_table_schema": "waybill"}).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if present is not None and present not in known:
            return present
        config.attributes["connection"] = bound
        command.upgrade(config, revision)
        bound.commit()
    return None
