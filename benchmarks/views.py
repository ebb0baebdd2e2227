"""Time the views over a warehouse with ten years of data and ten million rows in each table that they read.

Every page is requested three times with the rights of a viewer of Airflow. Then Chromium opens the business view,
inside Airflow and alone, and measures the time to the first chart.

Usage: make benchviews, or python benchmarks/views.py [--rows 10000000] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection, Cursor

    from waybill.contracts import Contract
    from waybill_devtools.stack import Stack

LAST_DAY = date(2026, 3, 31)
YEARS = 10

LEDGER = """
insert into waybill.load_file (
  dataset, period, bucket, object_key, etag, sha256, size_bytes, contract_sha256, contract_version, code_version,
  run_id, rows_in, inserted, rejected, loaded_at
)
select dataset, day, 'waybill-raw', 'raw/' || dataset || '/' || i, md5(i::text), md5(i::text), 1000, 'x', '1.0.0',
  'abc123', 'scheduled__' || day, 1000, 1000 - rejected, rejected, day + interval '1 day'
from (
  select i, (%(daily)s::text[])[1 + i %% cardinality(%(daily)s::text[])] as dataset,
    (%(last)s::date - ((%(rows)s - i)::float / %(rows)s * %(days)s)::integer) as day,
    case when i %% 10 = 0 then 10 else 0 end as rejected
  from generate_series(1, %(rows)s) as s (i)
) as files;
insert into waybill.load_file (
  dataset, period, bucket, object_key, etag, sha256, size_bytes, contract_sha256, contract_version, code_version,
  rows_in, inserted, loaded_at
)
select dataset, month, 'waybill-raw', 'raw/' || dataset || '/' || month || '/' || i, 'x', 'x', 1000, 'x', '1.0.0',
  'abc123', 1000, 1000, month + interval '1 month'
from unnest(%(monthly)s::text[]) as d (dataset), generate_series(1, 10) as s (i),
  generate_series(date_trunc('month', %(first)s::date), %(last)s, interval '1 month') as m (month);
insert into waybill.quarantine (file_id, record, reasons, raw, contract_version)
select f, 2 + i,
  array[(array['required:customer_id', 'reference:customer_id', 'range:revenue_eur', 'type:quantity'])[1 + i %% 4]],
  '{"traffic_id": "1", "send_date": "2026-03-01", "revenue_eur": "x"}', '1.0.0'
from generate_series(10, %(rows)s, 10) as files (f), generate_series(0, 9) as records (i);
insert into waybill.change (table_name, day, file_id, changed_at)
select (%(tables)s::text[])[1 + i %% cardinality(%(tables)s::text[])], day, i, day + interval '1 day'
from (
  select i, (%(last)s::date - ((%(rows)s - i)::float / %(rows)s * %(days)s)::integer - i %% 3) as day
  from generate_series(1, %(rows)s) as s (i)
) as changes;
"""
PUBLICATIONS = """
insert into waybill.publication (
  report, cadence, period, row_count, content_sha256, exported_sha256, sql_sha256, contract_sha256, code_version,
  file_ids, changes_seen, built_at
)
select %(report)s, %(cadence)s, period::date, 1, repeat('0', 64), repeat('0', 64), repeat('0', 64), repeat('0', 64),
  'abc123', '{1,2,3}', 0, period + interval '1 day'
from generate_series(date_trunc(%(cadence)s, %(first)s::date), %(last)s, ('1 ' || %(cadence)s)::interval) as s (period)
"""
CHECKS = """
insert into waybill.check_result (
  subject, check_name, cadence, period, severity, observed, operator, threshold, passed, checked_at
)
select %(subject)s, %(check)s, %(cadence)s, period::date, %(severity)s, 0, '=', 0, true, period + interval '1 day'
from generate_series(date_trunc(%(cadence)s, %(first)s::date), %(last)s, ('1 ' || %(cadence)s)::interval) as s (period)
"""


def fill(connection: Connection, rows: int) -> None:
    """Insert ten years of files, quarantine, changes, checks and reports, up to a number of rows for each table."""
    from psycopg import ClientCursor

    from waybill.contracts import load_all
    from waybill.warehouse.evolution import ensure

    contracts = load_all()
    datasets = [contract for contract in contracts.values() if contract.is_dataset]
    derived = [contract for contract in contracts.values() if not contract.is_dataset and contract.cadences]
    first = LAST_DAY.replace(year=LAST_DAY.year - YEARS)
    parameters = {
        "rows": rows,
        "last": LAST_DAY,
        "first": first,
        "days": (LAST_DAY - first).days,
        "daily": [contract.table for contract in datasets if contract.cadence == "day"],
        "monthly": [contract.table for contract in datasets if contract.cadence == "month"],
        "tables": [contract.table for contract in contracts.values()],
    }
    with ClientCursor(connection) as cursor:
        cursor.execute(LEDGER, parameters)
        for contract in contracts.values():
            ensure(connection, contract)
            for cadence in contract.cadences:
                for check in contract.checks:
                    about = {"subject": contract.table, "check": check.name, "severity": check.severity}
                    cursor.execute(CHECKS, {**parameters, **about, "cadence": cadence})
        for contract in derived:
            for cadence in contract.cadences:
                cursor.execute(PUBLICATIONS, {**parameters, "report": contract.table, "cadence": cadence})
        for contract in derived:
            for cadence in contract.cadences if contract.domain.endswith("_report") else ():
                _fill_report(cursor, contract, cadence, rows, parameters)
        cursor.execute("vacuum analyze")


LARGE = ("shop_report.customer_lifetime_value", "messaging_report.revenue_by_period")
"""Reports with a row for each customer and month: they get the ten million rows."""


def _fill_report(cursor: Cursor, contract: Contract, cadence: str, rows: int, parameters: dict[str, Any]) -> None:
    """Insert rows with arbitrary values for each period of a report."""
    from psycopg import sql

    from waybill.warehouse.schema import columns_sql, relation

    enums = [len(column.enum) for column in contract.columns if column.enum and column.key_position]
    alone = not [name for name in contract.key[1:] if name != "cadence"]
    each = 1 if alone else min([rows // (12 * YEARS) if contract.table in LARGE else 20, *enums])
    kinds = {
        "integer": "n",
        "bigint": "n",
        "text": "'name ' || n",
        "date": "period::date - n",
        "boolean": "n %% 2 = 0",
        "timestamptz": "period",
    }
    values = []
    for column in contract.columns:
        if column.name == contract.key[0]:
            value = sql.SQL("period::date")
        elif column.name == "cadence":
            value = sql.Literal(cadence)
        elif column.enum:
            value = sql.SQL("({}::text[])[1 + n %% {}]").format(sql.Literal(list(column.enum)), len(column.enum))
        else:
            value = sql.SQL(kinds.get(column.physical_type, "abs(hashint4(n) %% 9) + 0.25"))
        values.append(value)
    query = sql.SQL(
        "insert into {} ({}) select {} from generate_series(date_trunc({}, %(first)s::date), %(last)s, {}::interval) "
        "as s (period), generate_series(1, {}) as r (n)"
    ).format(
        relation(contract),
        columns_sql(contract.names),
        sql.SQL(", ").join(values),
        sql.Literal(cadence),
        sql.Literal(f"1 {cadence}"),
        sql.Literal(each),
    )
    cursor.execute(query, parameters)


PAGES = (
    "business/index.html",
    "business/messaging/2026-03.html",
    "business/shop/2026-03.html",
    "business/shop/2026-03-31.html",
    "business/shop/2026-03/customer_lifetime_value.html",
    "business/shop/2026-03/revenue_trend.html",
    "business/shop/2026-03/customer_lifetime_value.csv",
    "business/orders/2026-03-31.html",
    "operations/index.html",
    "operations/index.html?domain=shop",
    "operations/index.html?dag_id=shop_daily&run_id=scheduled__2026-03-30",
    "operations/index.html?dag_id=shop_daily&run_id=scheduled__2017-03-30",
    "operations/loads.html",
    "operations/loads.html?page=200",
    "operations/loads.html?dataset=shop.reviews",
    "operations/loads.html?dag_id=shop_daily&run_id=scheduled__2017-03-30",
    "operations/changes.html",
    "operations/quarantine.html",
    "operations/quarantine.html?dataset=shop.reviews&reason=type:quantity&page=200",
    "operations/quarantine.html?dataset=shop.reviews&reason=none",
    "operations/quarantine.html?dataset=shop.reviews&state=resolved",
    "operations/quarantine.html?file_id=10",
)
"""Typical requests, and the most expensive ones."""


def time_pages(address: str, password: str) -> Iterator[tuple[str, list[float], int, int]]:
    """Return (page, seconds of three requests, status, bytes) for each page."""
    with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
        token = client.post("/auth/token", json={"username": "viewer", "password": password}).json()["access_token"]
        client.headers.update({"Authorization": f"Bearer {token}", "Accept": "text/html"})
        for page in PAGES:
            seconds = []
            for _ in range(3):
                began = time.perf_counter()
                answer = client.get(f"/waybill/{page}")
                seconds.append(time.perf_counter() - began)
            yield page, seconds, answer.status_code, len(answer.content)


def time_charts(address: str, password: str) -> Iterator[tuple[str, list[float]]]:
    """Return (cache state, seconds until the first chart) for opening the business view: once cold, five times warm."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(base_url=address).new_page()
        page.set_default_timeout(120_000)
        page.goto("/")
        page.fill("input[name=username]", "viewer")
        page.fill("input[name=password]", password)
        page.click("button[type=submit]")
        link = page.get_by_role("link", name="Business")
        link.wait_for()
        within = page.frame_locator("iframe[title='Business']")
        ways: dict[str, tuple[Any, Callable[[], object]]] = {
            "the view alone": (page, lambda: page.goto("/waybill/business/index.html", wait_until="commit")),
            "within Airflow, by its link": (within, link.click),
            "within Airflow, all loaded anew": (within, lambda: page.goto("/plugin/business", wait_until="commit")),
        }
        for name, (frame, open_it) in ways.items():
            seconds = []
            for _ in range(6):
                if "link" in name:
                    page.goto("/")
                    link.wait_for()
                began = time.perf_counter()
                open_it()
                frame.locator(".drawing svg").first.wait_for(state="visible")
                seconds.append(time.perf_counter() - began)
            yield name, seconds
        browser.close()


@contextmanager
def running(folder: Path | None) -> Iterator[Stack]:
    """Run a stack for the benchmark, and stop it at the end. A stack in a kept folder keeps its data."""
    from waybill_devtools.stack import Stack

    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as scratch:
        stack = Stack((folder or Path(scratch)) / "stack")
        try:
            stack.up()
            yield stack
        finally:
            stack.down()


def main() -> None:
    """Measure and print both tables."""
    from rich.console import Console
    from rich.table import Table

    from waybill.warehouse.connection import connect
    from waybill.warehouse.migrations import upgrade

    parser = argparse.ArgumentParser(description="Time the views.")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of each of the largest tables")
    parser.add_argument("--keep", type=Path, help="a folder for the stack, to measure again what it was filled with")
    options = parser.parse_args()
    console = Console(width=140)
    with running(options.keep) as stack:
        with closing(connect(stack.database_url())) as connection:
            upgrade(connection)
            if connection.execute("select from waybill.load_file limit 1").fetchone() is None:
                began = time.perf_counter()
                fill(connection, options.rows)
                print(f"filled in {time.perf_counter() - began:.0f} s")
        address, password = stack.airflow_address(), stack.passwords()["viewer"]
        table = Table("page", "first s", "then s", "status", "kB", title=f"Server, {options.rows:,} rows")
        for page, (first, *others), status, size in time_pages(address, password):
            table.add_row(page, f"{first:.2f}", f"{min(others):.2f}", str(status), f"{size / 1000:.0f}")
        console.print(table)
        table = Table("opened", "cold s", "warm s, median of 5", "most", title="First chart in Chromium")
        for name, (cold, *warm) in time_charts(address, password):
            table.add_row(name, f"{cold:.2f}", f"{sorted(warm)[len(warm) // 2]:.2f}", f"{max(warm):.2f}")
        console.print(table)


if __name__ == "__main__":
    main()
