"""The shop's base tables in a test: made by plain DDL and filled with awkward rows, apart from the kernel."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection, sql

PROVENANCE = "_file_id integer not null, _record integer not null, _delivered date not null"
TABLES = {
    "customers_changes": f"""
        customer_id integer not null, name text collate "C" not null, email text collate "C" not null,
        registration_date date not null, country text collate "C" not null, updated_at timestamptz not null,
        {PROVENANCE}, primary key (customer_id, updated_at)""",
    "transactions": f"""
        transaction_id bigint primary key, customer_id integer not null, product_id integer not null,
        quantity integer not null, price numeric(10,2) not null, total_amount numeric(14,2) not null,
        transaction_ts timestamptz not null, status text collate "C" not null,
        payment_method text collate "C" not null, {PROVENANCE}""",
    "clickstream": f"""
        event_id uuid primary key, session_id uuid not null, customer_id integer, event_type text not null,
        page text not null, product_id integer, ts timestamptz not null, device text not null, {PROVENANCE}""",
    "reviews": f"""
        review_id integer primary key, product_id integer not null, customer_id integer not null,
        rating integer not null, review_text text, review_date date not null, {PROVENANCE}""",
    "products_history": """
        product_id integer not null, name text not null, category text not null, brand text not null,
        supplier text not null, price numeric(10,2) not null, stock integer not null,
        valid_from date not null, valid_to date not null, _file_id integer not null, _record integer not null,
        primary key (product_id, valid_from)""",
}
PRODUCTS_AS_OF = """
create function shop.products_as_of(period_end date) returns table (
  product_id integer, name text, category text, brand text, supplier text, price numeric(10,2), stock integer
) language sql stable as
'select product_id, name, category, brand, supplier, price, stock from shop.products_history
 where valid_from < period_end and valid_to >= period_end'
"""


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


CUSTOMERS = [
    (1, 'Åse "the" Öl, Ltd.', "ase@example.org", date(2020, 2, 29), "NO", instant("2026-03-01T00:00:00+00:00")),
    (1, "Åse Öl", "ase@example.org", date(2020, 2, 29), "NO", instant("2026-03-01T23:59:59.999999+00:00")),
    (2, "a\nb\r\nc", "\\.", date(1, 1, 1), "DE", instant("2026-03-01T22:59:59.999999+00:00")),
    (3, " 李小龍 \t", "null@example.org", date(9999, 12, 31), "CN", instant("2026-03-02T00:00:00+00:00")),
    (4, "Åse Öl", "x" * 254, date(2024, 1, 1), "NO", instant("2026-03-03T12:00:00.000001+00:00")),
]
TRANSACTIONS = [
    (2**63 - 1, 1, 1, 1, Decimal("99999999.99"), Decimal("999999999999.99"), CUSTOMERS[0][5], "completed", "card"),
    (2, 1, 2, 3, Decimal("0.01"), Decimal("0.03"), instant("2026-03-01T12:00:00+00:00"), "returned", ""),
    (3, 2, 2, 3, Decimal("0.10"), Decimal("0.30"), instant("2026-03-02T12:00:00.123456+00:00"), "refunded", "NULL"),
    (4, 2, 2, 1, Decimal("1.00"), Decimal("1.00"), instant("2026-03-29T01:30:00+00:00"), "completed", "-"),
    (5, 2, 2, 1, Decimal("1.00"), Decimal("1.00"), instant("2026-03-29T22:30:00+00:00"), "completed", "-"),
    (6, 2, 2, 1, Decimal("1.00"), Decimal("1.00"), instant("2026-03-28T23:30:00+00:00"), "completed", "-"),
]
EVENTS = [
    (UUID(int=number), UUID(int=7), customer, "page_view", page, None, instant("2026-03-01T10:00:00+00:00"), "tablet")
    for number, customer, page in [(2**128 - 1, None, ""), (3, 1, "/"), (2**127, 2**31 - 1, "\\N"), (0, None, "☃")]
]
REVIEWS = [
    (number, 1, 1, 5, text, date(2026, 3, 1))
    for number, text in enumerate(
        [None, "", "NULL", "\\N", '""', '"', ",", "a\nb", "\n", "\r\n", " ", "'; drop table shop.reviews; --", "\\."]
    )
]
PRODUCTS = [
    (1, "A", "c", "b", "s", Decimal("1.00"), 0, date(2026, 3, 1), date(2026, 3, 3), 1, 1),
    (1, "A", "c", "b", "s", Decimal("2.00"), 9, date(2026, 3, 3), date.max, 1, 1),
    (2, "", "c", "b", "s", Decimal("10000000.00"), 1, date(2026, 3, 2), date(2026, 3, 3), 1, 1),
]
ROWS: dict[str, list[tuple[Any, ...]]] = {
    "customers_changes": CUSTOMERS,
    "transactions": TRANSACTIONS,
    "clickstream": EVENTS,
    "reviews": REVIEWS,
}


def insert(connection: Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    """Add rows to a base table; where they come from is made up."""
    made_up = () if table == "products_history" else (1, 1, date(2026, 3, 1))
    statement = sql.SQL("insert into {} values ({})").format(
        sql.Identifier("shop", table), sql.SQL(", ").join([sql.Placeholder()] * (len(rows[0]) + len(made_up)))
    )
    with connection.transaction():
        connection.cursor().executemany(statement, [(*row, *made_up) for row in rows])


def create(connection: Connection) -> None:
    """Create the tables with their rows."""
    connection.execute("create schema shop")
    for name, columns in TABLES.items():
        connection.execute(
            sql.SQL("create table {} ({})").format(sql.Identifier("shop", name), sql.SQL(columns))  # type: ignore[arg-type]
        )
    connection.execute(PRODUCTS_AS_OF)
    for name, rows in ROWS.items():
        insert(connection, name, rows)
    insert(connection, "products_history", PRODUCTS)
