"""Alembic migrations of the operations schema `waybill`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from psycopg import Connection, errors

from waybill.errors import DataError

LOCK_SECONDS: Final = 5
"""How long a migration waits for a table: all later statements on the table wait behind it."""
_USERS: Final = """
select distinct
  c.oid::regclass::text, a.pid, coalesce(nullif(a.application_name, ''), a.usename), to_char(a.xact_start, 'HH24:MI:SS')
from pg_locks as l
inner join pg_class as c on l.relation = c.oid and c.relkind in ('r', 'p')
inner join pg_stat_activity as a using (pid)
where c.relnamespace = 'waybill'::regnamespace and l.granted and a.pid <> pg_backend_pid()
order by 1, 2
limit 10
"""


def upgrade(connection: Connection, revision: str = "head") -> str | None:
    """Bring the operations schema to the newest version, or to a revision; does nothing when it is there already.

    A later release has revisions that this one does not know. After a rollback, the schema stays as it is.

    Returns:
        The revision of a schema that is newer than this release; otherwise nothing.

    Raises:
        DataError: a transaction used a table for too long. Nothing was changed.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine, exc, pool

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=pool.StaticPool)
    with _one_transaction(connection), engine.connect() as bound:
        bound.exec_driver_sql("select pg_advisory_xact_lock(hashtext('waybill.migrations'))")
        bound.exec_driver_sql("create schema if not exists waybill")
        present = MigrationContext.configure(bound, opts={"version_table_schema": "waybill"}).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if present is not None and present not in known:
            return present
        config.attributes["connection"] = bound
        bound.exec_driver_sql("select set_config('lock_timeout', %s, true)", (f"{LOCK_SECONDS}s",))
        try:
            command.upgrade(config, revision)
            bound.commit()
        except exc.OperationalError as error:
            if not isinstance(error.orig, errors.LockNotAvailable):
                raise
            bound.rollback()
            raise DataError(_in_use(connection)) from error
    return None


@contextmanager
def _one_transaction(connection: Connection) -> Iterator[None]:
    """Make statements of the block begin a transaction, as SQLAlchemy expects of a connection."""
    before, connection.autocommit = connection.autocommit, False
    try:
        yield
    finally:
        connection.rollback()
        connection.autocommit = before


def _in_use(connection: Connection) -> str:
    """Return the message about a migration that could not lock a table, with the transactions that use tables."""
    users = [
        f"{table} by process {pid} ({name}, in a transaction since {since})"
        for table, pid, name, since in connection.execute(_USERS).fetchall()
    ]
    return (
        f"The migration waited {LOCK_SECONDS} seconds for a table and gave up, so that nothing waits behind it. "
        f"Nothing was changed. In use: {', '.join(users) or 'no longer anything'}. "
        "Repeat the command when they have ended."
    )
