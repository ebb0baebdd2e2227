"""Compare the intake of clicks by Spark with that by PostgreSQL, on one machine.

Both load the same files from S3, of which one row in a hundred is invalid: PostgreSQL in one process, file by file, and
Spark on `local[2]` by the job that tasks start, with one task a file. The seconds of Spark include its start. Memory is
the largest resident size of the processes: that of the loading process without PostgreSQL's, or that of Java (the
driver, which holds the executors here) and that of all Python processes together.

Usage: make benchspark
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from waybill_devtools.stack import Stack

FIRST = date(2026, 3, 1)
ROWS_OF_FILE = 500_000
FILES_OF_DAY = 4
BUCKET = "waybill-raw"
KINDS = ["page_view", "product_view", "add_to_cart", "checkout", "purchase"]


@dataclass
class Measured:
    """The cost of one engine with one number of rows."""

    engine: str
    rows: int
    seconds: float
    peak_mib: dict[str, int]


def make(rows: int) -> int:
    """Put the files of so many rows into S3; returns the number of days."""
    import boto3
    import duckdb

    s3, duck = boto3.client("s3"), duckdb.connect()
    files = rows // ROWS_OF_FILE
    for number in range(files):
        day = FIRST + timedelta(days=number // FILES_OF_DAY)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clicks.csv"
            duck.execute(
                f"""
                copy (
                  select format('{{:08x}}-0000-4000-8000-{{:012x}}', {number}, i) as event_id,
                    format('{{:08x}}-0000-4000-9000-{{:012x}}', {number}, i // 8) as session_id,
                    case i % 3 when 0 then null else 1 + i % 100000 end as customer_id,
                    case i % 100 when 13 then 'click' else {KINDS}[1 + (hash(i) % 5)::bigint] end as event_type,
                    '/page/' || (hash(i) % 500) as page,
                    case i % 2 when 0 then null else 1 + i % 5000 end as product_id,
                    strftime(timestamp '{day}' + to_seconds(i * 86400 // {ROWS_OF_FILE}), '%Y-%m-%dT%H:%M:%SZ')
                      as timestamp,
                    'mobile' as device
                  from range({ROWS_OF_FILE}) as r (i)
                ) to '{path}' (header)
                """
            )
            s3.upload_file(str(path), BUCKET, f"raw/shop/clickstream/dt={day}/part-{number:04}.csv")
    return -(-files // FILES_OF_DAY)


def load(engine: str, days: int) -> dict[str, Any]:
    """Load the files of so many days, and return the seconds and the sums of the books."""
    import boto3

    from waybill.contracts import load_domain
    from waybill.intake.ingest import ingest
    from waybill.lakehouse.prepare import prepare_intake
    from waybill.lakehouse.record import record_intake
    from waybill.lakehouse.submit import LocalJob
    from waybill.outputs.iceberg_tables import open_catalog
    from waybill.period import Period
    from waybill.run import Run
    from waybill.settings import settings
    from waybill.warehouse.connection import connect
    from waybill.warehouse.evolution import ensure_domain
    from waybill.warehouse.migrations import upgrade

    domain, run = {"postgresql": "shop", "spark": "clicks"}[engine], Run(None, "bench")
    with connect() as connection:
        connection.execute("drop schema if exists shop cascade; drop schema if exists waybill cascade")
    upgrade(connect())
    s3, contracts = boto3.client("s3"), load_domain(domain)
    period = Period.of("day", FIRST + timedelta(days=days - 1))
    with connect() as connection:
        ensure_domain(connection, contracts)
        begin = time.perf_counter()
        if engine == "postgresql":
            done = ingest(connection, s3, contracts["clickstream"], contracts, period, run)
        else:
            catalog = open_catalog(boto3.Session(), s3)
            scratch = f"s3://{settings().lake_bucket}/_spark/bench-{time.time_ns()}"
            request = prepare_intake(connection, s3, catalog, domain, period, run, scratch)
            assert request
            LocalJob(request, {}).run()
            done = record_intake(connection, s3, catalog, f"{scratch}/result.json", domain, run)
        seconds = time.perf_counter() - begin
    books = [vars(one) for one in done.values()]
    return {
        "seconds": seconds,
        **{name: sum(one[name] for one in books) for name in ("rows_in", "inserted", "rejected")},
    }


def measure(engine: str, rows: int, days: int, environment: dict[str, str]) -> Measured:
    """Load in a process of its own, and look at the memory of the process and its descendants five times a second."""
    import psutil

    command = [sys.executable, __file__, "--load", engine, str(days)]
    peaks: dict[str, int] = {}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        of_load = psutil.Process(process.pid)
        while process.poll() is None:
            sizes: dict[str, int] = {}
            for one in [of_load, *of_load.children(recursive=True)]:
                try:
                    name = "java" if "java" in one.name() else "python"
                    sizes[name] = sizes.get(name, 0) + one.memory_info().rss
                except psutil.Error:  # it has ended
                    continue
            peaks |= {name: max(size, peaks.get(name, 0)) for name, size in sizes.items()}
            time.sleep(0.2)
        assert process.stdout
        found = json.loads(process.stdout.read().splitlines()[-1])
    assert process.returncode == 0
    print(engine, found, peaks, f"load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    assert found["rows_in"] == rows
    return Measured(engine, rows, found["seconds"], {name: size >> 20 for name, size in peaks.items()})


def empty(stack: Stack) -> None:
    """Remove the files and the tables of the lake."""
    import boto3

    s3 = stack.s3()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="raw/shop/clickstream/"):
        for one in page.get("Contents", []):
            s3.delete_object(Bucket=BUCKET, Key=one["Key"])
    from waybill.outputs.iceberg_tables import open_catalog
    from waybill.settings import settings

    catalog = open_catalog(boto3.Session(), s3)
    for name in catalog.list_tables(settings().lake_database):
        catalog.drop_table(name)


def main() -> None:
    """Measure both engines with each number of rows and print a table."""
    parser = argparse.ArgumentParser(description="Compare the intake by Spark with that by PostgreSQL.")
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000_000, 10_000_000, 50_000_000])
    parser.add_argument("--engines", nargs="+", default=["postgresql", "spark"])
    parser.add_argument("--load", nargs=2, metavar=("ENGINE", "DAYS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(load(options.load[0], int(options.load[1]))))
        return

    from rich.console import Console
    from rich.table import Table

    from waybill_devtools.stack import Stack

    console, found = Console(stderr=True), list[Measured]()
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as scratch:
        folder = Path(scratch)
        stack = Stack(folder / "stack")
        try:
            with console.status("starting PostgreSQL and S3") as status:
                stack.up(with_airflow=False)
                os.environ |= {**stack.env(), "WAYBILL_SCRATCH_DIR": str(folder)}
                for rows in options.rows:
                    status.update(f"making {rows:,} rows, 1 % of them invalid")
                    empty(stack)
                    days = make(rows)
                    for engine in options.engines:
                        status.update(f"{engine}, {rows:,} rows, load {os.getloadavg()[0]:.1f}")
                        found.append(measure(engine, rows, days, dict(os.environ)))
        finally:
            stack.down()
    table = Table("engine", "rows", "seconds", "rows a second", "peak MiB", title="Intake of clicks")
    for one in found:
        peak = ", ".join(f"{name} {size:,}" for name, size in sorted(one.peak_mib.items()))
        table.add_row(one.engine, f"{one.rows:,}", f"{one.seconds:.1f}", f"{one.rows / one.seconds:,.0f}", peak)
    Console().print(table)


if __name__ == "__main__":
    main()
