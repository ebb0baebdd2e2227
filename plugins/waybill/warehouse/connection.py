"""Connections to the warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import Connection, IsolationLevel, sql
from psycopg.abc import Params

from waybill.errors import DataError
from waybill.settings import WAREHOUSE, SettingsError, settings

STATEMENT_TIMEOUT_SECONDS: Final = 5


class NoConnection(DataError):
    """The address of the warehouse is not set."""


def connect(uri: str | None = None) -> Connection:
    """Return a connection in autocommit mode, so that each transaction is a `with` block.

    Without `uri`, the address is that of Airflow's connection `waybill_warehouse`, from the environment or the secret.
    Raises `SettingsError` if it is not set.
    """
    if not uri:
        warehouse = settings().warehouse
        if warehouse is None:
            raise SettingsError(
                f"{WAREHOUSE} is not set; start the stack and run `. ./activate`, or set it to a PostgreSQL URI"
            )
        uri = warehouse.get_secret_value()
    return psycopg.connect(uri, autocommit=True, application_name="waybill")


class RowCountError(LookupError):
    """A query that always returns exactly one row returned another number of rows."""


def one_row(
    connection: Connection,
    query: LiteralString | sql.SQL | sql.Composed,
    parameters: Params | None = None,
) -> tuple[Any, ...]:
    """Return the only row of a query. Raises `RowCountError` if the query returns no row or several."""
    cursor = connection.execute(query, parameters)
    rows = cursor.fetchmany(2)
    if len(rows) != 1:
        text = query if isinstance(query, str) else query.as_string(None)
        raise RowCountError(f"expected one row and got {cursor.rowcount} from: {' '.join(text.split())}")
    return rows[0]


def set_read_only(connection: Connection) -> None:
    """Make the connection read one snapshot of the warehouse, with a statement timeout of five seconds."""
    connection.autocommit = False
    connection.read_only = True
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.execute("select set_config('statement_timeout', %s, false)", (f"{STATEMENT_TIMEOUT_SECONDS}s",))


@contextmanager
def advisory_lock(connection: Connection, work: str) -> Iterator[None]:
    """Wait until no other connection holds the lock named `work`, and hold it during the block.

    The lock spans transactions and is released with the connection if the process dies.
    """
    connection.execute("select pg_advisory_lock(hashtext(%s))", (work,))
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("select pg_advisory_unlock(hashtext(%s))", (work,))


@contextmanager
def non_retryable_sql(what: str) -> Iterator[None]:
    """Raise `DataError` if a statement from an SQL file or a contract fails, because a retry would fail again.

    `what` names the statement. The details of PostgreSQL's message are left out, because they may quote rows.
    """
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
        said = "; ".join(filter(None, (error.diag.message_primary, error.diag.message_hint))) or str(error)
        raise DataError(f"{what} failed: {said.rstrip('.')}. Correct the SQL or the contract.") from error
