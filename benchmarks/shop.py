"""Time the shop: one day of a million transactions from S3 to the marts, and every mart over ten million sales.

The day goes the way of the DAG's tasks, in this process. The marts read synthetic facts of three months; each SQL file
runs for its last period, and `--plans` prints the plans of the slowest two.

Usage: python benchmarks/shop.py [--rows 1000000] [--facts 10000000] [--plans]
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processor import Cost, measured

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill_devtools.stack import Stack

DAY = "2026-03-31"
# A scale of 1 is about 180 transactions a day, and this many on the day below.
ROWS_AT_SCALE_1 = 161
FACTS = """
insert into shop_star.dim_customer
select i, i, 'n', 'n@example.com', '2020-01-01', (array['DE', 'FR', 'IT', 'ES'])[1 + i %% 4], '-infinity',
  'infinity', false
from generate_series(1, %(customers)s) as s (i);
insert into shop_star.dim_product
select i, i, 'p' || i, 'c' || i %% 12, 'b', 's', 10, '-infinity', 'infinity', false
from generate_series(1, %(products)s) as s (i);
insert into shop_star.fact_sales
select day, row_number() over (), customer, product, customer, product, 1 + h %% 3, 10, 10 * (1 + h %% 3),
  (array['completed', 'completed', 'completed', 'completed', 'returned'])[1 + h %% 5], 'card', day + interval '12 hours'
from (
  select date '2026-01-01' + (i / %(per_day)s)::integer as day, 1 + abs(hashint8(i)) %% %(customers)s as customer,
    1 + (power((abs(hashint8(i + 7)) %% 100000) / 100000.0, 3) * (%(products)s - 1))::integer as product,
    abs(hashint8(i + 13)) %% 1000 as h
  from generate_series(0, %(facts)s - 1) as s (i)
) as sales;
analyze shop_star.dim_customer, shop_star.dim_product, shop_star.fact_sales
"""
DAYS_OF_FACTS = 90


def one_day(stack: Stack, connection: Connection, rows: int) -> dict[str, Cost | float]:
    """Return the cost of each step of a day with a number of transactions, and of each table that a step builds."""
    import boto3

    from waybill.checks.quality import check_datasets
    from waybill.contracts import load_domain
    from waybill.derived.refresh import refresh
    from waybill.intake.ingest import ingest
    from waybill.outputs.iceberg_tables import open_catalog
    from waybill.outputs.lake import write_changed_days
    from waybill.outputs.publish import publish_changed
    from waybill.period import Period
    from waybill.run import Run
    from waybill.settings import settings
    from waybill.warehouse.evolution import ensure_domain
    from waybill_devtools.sampledata.files import upload
    from waybill_devtools.sampledata.shop import generate

    sample = generate(DAY, 1, scale=rows / ROWS_AT_SCALE_1, datasets=["transactions"])
    upload(stack.s3(), settings().raw_bucket, sample)
    contracts, period, run = load_domain("shop"), Period.parse("day", DAY), Run("bench", "bench")
    sales, s3 = contracts["transactions"], stack.s3()
    with connection.transaction():
        ensure_domain(connection, contracts)
    steps: dict[str, Callable[[], Any]] = {
        "intake": lambda: ingest(connection, s3, sales, contracts, period, run),
        "processed": lambda: write_changed_days(connection, s3, open_catalog(boto3.Session(), s3), [sales], run),
        "quality": lambda: check_datasets(connection, [sales], [period], run),
        "curated": lambda: refresh(connection, "shop", "shop_star", run),
        "marts": lambda: refresh(connection, "shop", "shop_report", run),
        "publish": lambda: publish_changed(connection, s3, "shop", run),
    }
    found: dict[str, Cost | float] = {}
    for name, step in steps.items():
        with built_tables() as tables:
            result, found[name] = measured(connection, step)
        found |= {f"  {table}": seconds for table, seconds in tables.items()}
        if name == "intake":
            print(*result.values())
    return found


@contextmanager
def built_tables() -> Iterator[dict[str, float]]:
    """Return a mapping that gets the seconds of each table that is built meanwhile, by its name and period."""
    found: dict[str, float] = {}
    began = time.perf_counter()

    class Times(logging.Handler):
        """Takes the time from each message to the next: a build ends with a message."""

        def emit(self, record: logging.LogRecord) -> None:
            nonlocal began
            now = time.perf_counter()
            found[" ".join(map(str, record.args[:2]))] = now - began  # type: ignore[index]
            began = now

    logger, handler = logging.getLogger("waybill.derived.build"), Times()
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


def content(stack: Stack, connection: Connection) -> str:
    """Return a hash of all reports and of all files that were written: it must not depend on how they are made."""
    from waybill.settings import settings

    query = "select report, cadence, period, row_count, content_sha256 from waybill.publication order by 1, 2, 3"
    found = [str(row) for row in connection.execute(query)]
    query = "select distinct on (table_name, day) table_name, day, content_sha256 from waybill.lake_commit"
    found += [str(row) for row in connection.execute(query + " order by table_name, day, commit_id desc")]
    bucket = settings().reports_bucket
    for page in stack.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [item["Key"] for item in page.get("Contents", [])]
        heads = ((key, stack.s3().head_object(Bucket=bucket, Key=key)["Metadata"]["sha256"]) for key in keys)
        found += [f"{key} {sha256}" for key, sha256 in heads if not key.endswith(".json")]  # manifests name times
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def marts(connection: Connection, facts: int, plans: bool) -> list[tuple[str, float]]:
    """Return the seconds of the SQL of each mart over a number of sales."""
    from psycopg import ClientCursor, sql

    from waybill.derived.refresh import derived_tables
    from waybill.period import Period
    from waybill.warehouse.evolution import ensure

    tables = derived_tables("shop")
    for table in tables:
        ensure(connection, table.contract)
    parameters = {
        "facts": facts,
        "per_day": facts // DAYS_OF_FACTS + 1,
        "customers": max(facts // 50, 1),
        "products": max(facts // 2000, 1),
    }
    with ClientCursor(connection) as cursor:
        cursor.execute(FACTS, parameters)
    found: list[tuple[str, float]] = []
    texts = {}
    for table in tables:
        if table.contract.domain != "shop_report":
            continue
        period = Period.of(table.contract.cadences[-1], date.fromisoformat(DAY))
        parameters = period.parameters("UTC")
        texts[table.contract.name] = table.text, parameters
        query = sql.SQL("select count(*) from ({}) as mart").format(sql.SQL(table.text))
        began = time.perf_counter()
        connection.execute(query, parameters).fetchone()
        found.append((table.contract.name, time.perf_counter() - began))
    found.sort(key=lambda one: -one[1])
    for name, _ in found[: 2 if plans else 0]:
        text, parameters = texts[name]
        print(f"\n{name}")
        for (line,) in connection.execute("explain (analyze, costs off, timing off) " + text, parameters):
            print(line)
    return found


def main() -> None:
    """Measure and print both tables."""
    from rich.console import Console
    from rich.table import Table

    from waybill.settings import settings
    from waybill.warehouse.connection import connect
    from waybill.warehouse.migrations import upgrade
    from waybill_devtools.stack import Stack

    parser = argparse.ArgumentParser(description="Time the shop.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="transactions of the day")
    parser.add_argument("--facts", type=int, default=10_000_000, help="sales that the marts read; 0: none")
    parser.add_argument("--plans", action="store_true", help="print the plans of the slowest two marts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as scratch:
        stack = Stack(Path(scratch) / "stack")
        try:
            stack.up(with_airflow=False)
            os.environ.update(stack.env() | {"WAYBILL_SCRATCH_DIR": scratch})
            settings.cache_clear()
            upgrade(connect())
            columns = ("step", "seconds", "CPU seconds of Waybill", "CPU seconds of PostgreSQL")
            table = Table(*columns, title=f"{options.rows:,} transactions of a day")
            with closing(connect()) as connection:
                steps = one_day(stack, connection, options.rows)
                total = sum((cost for cost in steps.values() if isinstance(cost, Cost)), Cost(0, 0, 0))
                for name, cost in [*steps.items(), ("the day", total)]:
                    costs = (cost.seconds, cost.client, cost.server) if isinstance(cost, Cost) else (cost,)
                    table.add_row(name, *(f"{one:.1f}" for one in costs))
                print("content", content(stack, connection))
            Console().print(table)
            if not options.facts:
                return
            table = Table("mart", "seconds", title=f"SQL over {options.facts:,} sales of {DAYS_OF_FACTS} days")
            with closing(connect()) as connection:
                connection.execute("drop schema shop_star, shop_report cascade; delete from waybill.contract")
                for name, seconds in marts(connection, options.facts, options.plans):
                    table.add_row(name, f"{seconds:.1f}")
            Console().print(table)
        finally:
            stack.down()


if __name__ == "__main__":
    main()
