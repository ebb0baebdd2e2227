"""Connections to the warehouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import Connection, IsolationLevel, sql
from psycopg.abc import Params
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from waybill.errors import DataError
from waybill.settings import READER, WAREHOUSE, SettingsError, settings

STATEMENT_TIMEOUT_SECONDS: Final = 5
BEFORE_HORIZON: Final = "22W01"
"""The error code of `waybill.is_kept`: the history of a dataset is no longer whole for the day of a question."""
_QUOTED: Final = re.compile('".*"', re.DOTALL)


class NoConnection(DataError):
    """The address of the warehouse is not set."""


def connect(uri: str | None = None, connect_seconds: int | None = None) -> Connection:
    """Return a connection in autocommit mode, so that each transaction is a `with` block.

    Without `uri`, the address is that of Airflow's connection `waybill_warehouse`, from the environment or the secret.
    `connect_seconds` limits the wait for the server.
    Raises `SettingsError` if it is not set or cannot be read.
    """
    return psycopg.connect(
        uri or warehouse_address(), autocommit=True, application_name="waybill", connect_timeout=connect_seconds
    )


def warehouse_address() -> str:
    """Return the address of the warehouse for libpq.

    The setting has a PostgreSQL URI, or a JSON object as Airflow writes connections. With `"iam": true` in its `extra`,
    the password is a token of RDS that the role of the machine signs; it is valid for 15 minutes.

    Raises:
        SettingsError: the setting is missing, or is no such object.
    """
    return _address(settings().warehouse, WAREHOUSE)


def reader_address() -> str:
    """Return the address of the warehouse for the role that only reads. Like `warehouse_address` otherwise."""
    return _address(settings().reader, READER)


def _address(secret: SecretStr | None, name: str) -> str:
    if secret is None:
        raise SettingsError(f"{name} is not set; start the stack and run `. ./activate`, or set it to a PostgreSQL URI")
    text = secret.get_secret_value()
    return _from_json(text, name) if text.lstrip().startswith("{") else text


def _from_json(text: str, name: str) -> str:
    import json

    try:
        given = json.loads(text)
        extra = given.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else dict(extra)
        host, user, port = given["host"], given["login"], int(given.get("port") or 5432)
    except (KeyError, TypeError, ValueError) as error:
        missing = f"it has no {error}" if isinstance(error, KeyError) else "it is no JSON object of a connection"
        raise SettingsError(f"{name} cannot be read: {missing}") from None
    password = given.get("password")
    if extra.pop("iam", False):
        import boto3

        password = boto3.client("rds").generate_db_auth_token(host, port, user)
    extra.pop("aws_conn_id", None)
    return make_conninfo(
        host=host, port=port, user=user, password=password, dbname=given.get("schema") or None, **extra
    )


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


def set_read_only(connection: Connection, timeout_seconds: int = STATEMENT_TIMEOUT_SECONDS) -> None:
    """Make the connection read one snapshot of the warehouse, with a statement timeout; 0 means none."""
    connection.autocommit = False
    connection.read_only = True
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.execute("select set_config('statement_timeout', %s, false)", (f"{timeout_seconds}s",))


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


def without_values(error: psycopg.Error) -> psycopg.Error:
    """Return an error of the same class whose text quotes no row.

    PostgreSQL's details and context may quote rows. Data errors quote a value in their first line, too.
    """
    primary = error.diag.message_primary
    if primary is None:  # of the client, such as a lost connection
        return error
    if isinstance(error, psycopg.DataError):
        primary = _QUOTED.sub('"…"', primary)
    return type(error)("; ".join(filter(None, (primary, error.diag.message_hint))))


@contextmanager
def quote_no_rows() -> Iterator[None]:
    """Raise the errors of PostgreSQL without what they quote of rows, because tracebacks are logged."""
    try:
        yield
    except psycopg.Error as error:
        told = without_values(error)
        if told is error:
            raise
        raise told.with_traceback(error.__traceback__) from None


def table_exists(connection: Connection, table: sql.Identifier) -> bool:
    """Return whether the warehouse has a table or view."""
    return one_row(connection, "select to_regclass(%s) is not null", (table.as_string(None),)) == (True,)


class HistoryRemoved(DataError):
    """A statement asks for what was known before the horizon of a dataset."""


@contextmanager
def non_retryable_sql(what: str) -> Iterator[None]:
    """Raise `DataError` if a statement from an SQL file or a contract fails, because a retry would fail again.

    `what` names the statement. What PostgreSQL's message quotes of rows is left out.
    """
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
        said = str(without_values(error)).rstrip(".")
        if error.sqlstate == BEFORE_HORIZON:
            raise HistoryRemoved(f"{what} failed: {said}.") from None
        raise DataError(f"{what} failed: {said}. Correct the SQL or the contract.") from None
