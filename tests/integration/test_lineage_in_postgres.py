"""PostgreSQL notes the columns that a view uses. It agrees with the lineage of columns, which is found without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

import psycopg
import pytest
from psycopg import ClientCursor, sql

from support.lineage_cases import CASES, TABLES
from support.messaging_months import migrate
from waybill.contracts import load_all
from waybill.contracts.domains import is_on_spark
from waybill.contracts.locations import domain_of, read_sql
from waybill.contracts.odcs import sql_path
from waybill.ops.column_sources import ROWS
from waybill.ops.lineage import project_lineage
from waybill.period import ALL_TIME, Period
from waybill.settings import settings
from waybill.warehouse.evolution import ensure
from waybill.warehouse.schema import subquery
from waybill_devtools.stack import Stack

USED = """
select distinct n.nspname || '.' || regexp_replace(c.relname, '_(history|changes|superseded)$', ''), a.attname
from pg_rewrite as r
inner join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refobjsubid > 0
inner join pg_class as c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid and c.oid <> r.ev_class
inner join pg_namespace as n on n.oid = c.relnamespace
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum = d.refobjsubid
where r.ev_class = 'used'::regclass
"""


UNUSED = {
    "shop_star.fact_sales": {f"shop.transactions.{name}" for name in ("_delivered", "_file_id", "_record")},
    "shop_star.fact_sessions": {
        f"shop.clickstream.{name}" for name in ("_delivered", "_file_id", "_record", "page", "product_id")
    },
}
"""Columns that PostgreSQL notes because of `select *`, although nothing is computed from them."""


def without_functions(text: str) -> str:
    """Return the text with views in place of functions of datasets, whose columns PostgreSQL does not note."""
    while found := re.search(r"_as_of\(", text):
        end, depth = found.end(), 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        text = text[: found.start()] + text[end:]
    return text


def test_postgresql_notes_the_same_columns(warehouse: psycopg.Connection, warehouse_dsn: str) -> None:
    migrate(warehouse_dsn)
    contracts = load_all()
    for contract in sorted(contracts.values(), key=lambda one: not one.is_dataset):
        if not (contract.is_dataset and is_on_spark(contract.domain)):
            ensure(warehouse, contract)
    graph, compared = project_lineage(), 0
    for contract in contracts.values():
        path = sql_path(contract)
        if contract.is_dataset or not path.is_file() or is_on_spark(domain_of(contract.domain)):
            continue
        period = Period.of(contract.cadence, date(2026, 3, 1)) if contract.cadences else ALL_TIME
        text = ClientCursor(warehouse).mogrify(
            subquery(without_functions(read_sql(path))), period.parameters(settings().timezone)
        )
        warehouse.execute(sql.SQL("create temp view used as ") + sql.SQL(text))
        noted = {".".join(row) for row in warehouse.execute(USED)}
        warehouse.execute("drop view used")
        steps = [step for node in graph.nodes_of(contract.table) for step in graph.into[node]]
        ours = {".".join(step.source) for step in steps if step.source.column != ROWS and step.by}
        assert ours == noted - UNUSED.get(contract.table, set()), contract.table
        assert UNUSED.get(contract.table, set()) <= noted
        compared += 1
    assert compared >= 32


@pytest.fixture(scope="module")
def tables(stack: Stack) -> Iterator[psycopg.Connection]:
    """A connection to a warehouse with the tables of the cases, as views that tell their columns apart."""
    with psycopg.connect(stack.database_url("postgres", "postgres")) as connection:
        connection.execute("create schema a")
        connection.execute("create schema b")
        for table, columns in TABLES.items():
            types = {"items": "integer[]"}
            listed = ", ".join(f'"{name}" {types.get(name, "integer")}' for name in columns)
            connection.execute(f"create table {table} ({listed})")
        yield connection
        connection.rollback()


@pytest.mark.parametrize(("text", "columns", "influences"), CASES)
def test_postgresql_notes_the_columns_of_hard_texts(
    text: str, columns: dict[str, str], influences: str, tables: psycopg.Connection
) -> None:
    written = {one for sources in [*columns.values(), influences] for one in sources.split() if not one.endswith(".*")}
    days = {"period_end": date(2026, 4, 1), "day": date(2026, 3, 1)}
    text = ClientCursor(tables).mogrify(subquery(without_functions(text)), days)
    with tables.transaction(force_rollback=True):
        tables.execute(sql.SQL("create temp view used as ") + sql.SQL(text))
        noted = {".".join(row) for row in tables.execute(USED)}
        returned = tables.execute("select * from used").description or ()
    assert [column.name for column in returned] == [*columns]
    assert written <= noted
