"""The planner knows the rows of a table right after a large write, in the transaction that writes them."""

from __future__ import annotations

import psycopg
from psycopg import sql

from waybill.warehouse.connection import one_row
from waybill.warehouse.planner_statistics import analyze_grown

TABLE = sql.Identifier("public", "a table")


def known_rows(connection: psycopg.Connection, table: str) -> int:
    (rows,) = one_row(connection, "select reltuples::bigint from pg_class where oid = %s::regclass", (table,))
    return int(rows)


def insert(connection: psycopg.Connection, first: int, last: int) -> None:
    connection.execute(
        sql.SQL("insert into {} select i from generate_series({}, {}) as s (i)").format(TABLE, first, last)
    )


def test_a_table_is_analyzed_after_it_grew_by_a_tenth(warehouse_dsn: str) -> None:
    with psycopg.connect(warehouse_dsn) as connection:
        connection.execute(sql.SQL("create table {} (n integer) with (autovacuum_enabled = false)").format(TABLE))
        insert(connection, 1, 999)
        analyze_grown(connection, TABLE)
        assert known_rows(connection, 'public."a table"') == -1
        insert(connection, 1000, 20_000)
        analyze_grown(connection, TABLE)
        assert known_rows(connection, 'public."a table"') == 20_000
        connection.commit()
        insert(connection, 20_001, 21_500)
        analyze_grown(connection, TABLE)
        assert known_rows(connection, 'public."a table"') == 20_000
        insert(connection, 21_501, 22_000)
        analyze_grown(connection, TABLE)
        assert known_rows(connection, 'public."a table"') == 22_000


def test_only_partitions_that_grew_are_analyzed(warehouse_dsn: str) -> None:
    with psycopg.connect(warehouse_dsn) as connection:
        connection.execute(
            sql.SQL(
                "create table {0} (n integer) partition by range (n);"
                "create table public.low partition of {0} for values from (0) to (10000);"
                "create table public.high partition of {0} for values from (10000) to (100000)"
            ).format(TABLE)
        )
        insert(connection, 10_000, 15_000)
        insert(connection, 1, 10)
        analyze_grown(connection, TABLE)
        assert known_rows(connection, "public.high") == 5001
        assert known_rows(connection, "public.low") == -1
