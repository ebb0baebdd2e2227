"""Roles of PostgreSQL, and what the warehouse and Airflow's database need beside their tables."""

from __future__ import annotations

from psycopg import Connection, sql

from waybill.warehouse.schema import ANALYST_ROLE, READER_ROLE


def set_role(connection: Connection, role: str, password: str | None = None) -> None:
    """Create a role that may log in, if it is missing, and set its password.

    The server receives only the hash of the password, because it may log the statement.
    """
    name = sql.Identifier(role)
    if connection.execute("select from pg_roles where rolname = %s", (role,)).fetchone() is None:
        connection.execute(sql.SQL("create role {} login").format(name))
    if password is not None:
        hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        connection.execute(sql.SQL("alter role {} login password {}").format(name, sql.Literal(hashed)))


def set_group(connection: Connection, role: str) -> None:
    """Create a role that may not log in, if it is missing. Its members have its rights."""
    if connection.execute("select from pg_roles where rolname = %s", (role,)).fetchone() is None:
        connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))


def prepare_warehouse(connection: Connection) -> None:
    """Create the extension in the database of the connection, and let only its owner, the reader and analysts connect.

    Creates the role of analysts if it is missing.
    """
    database = sql.Identifier(connection.info.dbname)
    connection.execute("create extension if not exists btree_gist")
    connection.execute(sql.SQL("revoke all on database {} from public").format(database))
    set_group(connection, ANALYST_ROLE)
    for role in (READER_ROLE, ANALYST_ROLE):
        connection.execute(sql.SQL("grant connect on database {} to {}").format(database, sql.Identifier(role)))


def limit_idle_transactions(connection: Connection, role: str) -> None:
    """End transactions of Airflow's role that are idle for a minute.

    Workers of a killed scheduler keep its connection open, and with it the locks of its transaction.
    """
    statement = sql.SQL("alter role {} set idle_in_transaction_session_timeout = '60s'")
    connection.execute(statement.format(sql.Identifier(role)))
