"""Alembic migrations of the operations schema `waybill`."""

from __future__ import annotations

from pathlib import Path

from psycopg import Connection


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the operations schema to the newest version, or to a revision; does nothing when it is there already."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, pool

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=pool.StaticPool)
    with engine.connect() as bound:
        bound.exec_driver_sql("select pg_advisory_xact_lock(hashtext('waybill.migrations'))")
        bound.exec_driver_sql("create schema if not exists waybill")
        config.attributes["connection"] = bound
        command.upgrade(config, revision)
        bound.commit()
