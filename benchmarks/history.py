"""Time what a run costs that finds nothing new, with ledgers of different sizes: the cost must not grow with history.

The ledger, the change log and the publications of ten years are written by SQL, without rows of orders. A stub stands
for S3: it lists as many objects as the ledger has files, in pages of 1,000, and answers at once. Each step runs in a
process of its own; its memory includes Python and all imports.

Usage: python benchmarks/history.py [--files 1000 100000 1000000] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill_devtools.stack import Stack

ROOT = "raw/orders/lines/"
YEARS = 10
DAYS = YEARS * 365
LEDGER = """
insert into waybill.load_file (
  dataset, period, bucket, object_key, etag, sha256, size_bytes, landed_at, name_key, contract_sha256,
  contract_version, code_version, run_id, rows_in, inserted, loaded_at
)
select 'orders.lines', day, %(bucket)s, format('%(root)sdt=%%s/%%s.csv', day, name), name, md5(name), 1, day, name,
  %(contract)s, %(version)s, 'abc123', 'scheduled__' || day, 1000, 1000, day
from (
  select lpad(i::text, 8, '0') as name, %(first)s::date + (i::bigint * %(days)s / %(files)s)::integer as day
  from generate_series(0, %(files)s - 1) as s (i)
) as files;
insert into waybill.change (table_name, day, file_id, changed_at)
select 'orders.lines', period, file_id, period from waybill.load_file;
insert into waybill.rejected_file (dataset, period, object_key, etag, run_id, message, contract_version, rejected_at)
select dataset, period, object_key || '.bad', etag || '.bad', run_id, 'no header', %(version)s, loaded_at
from waybill.load_file where file_id %% 100 = 0;
insert into waybill.quarantine (file_id, record, reasons, raw, contract_version, resolved_as, resolved_by, resolved_at)
select file_id, 1, '{type:quantity}', '{}', '1', 'inserted', 'replay', now() from waybill.load_file
where file_id %% 10 = 0;
insert into waybill.alert (dag_id, run_id, kind, message, raised_at)
select 'orders_reports', 'scheduled__' || period, 'success', 'loaded files', period
from waybill.load_file group by period;
"""
PUBLICATIONS = """
insert into waybill.publication (
  report, cadence, period, row_count, content_sha256, exported_sha256, sql_sha256, contract_sha256, code_version,
  file_ids, changes_seen, built_at
)
select %(report)s, 'day', day, 1, repeat('0', 64), repeat('0', 64), %(sql)s, %(contract)s, 'abc123', array_agg(file_id),
  count(*), day
from waybill.change where table_name = 'orders.lines' group by day
"""


class StubS3:
    """A client of S3 whose bucket has one object for each file of the ledger."""

    def __init__(self, files: int, first: date) -> None:
        self.files, self.first, self.requests = files, first, 0

    def _key(self, number: int) -> str:
        day = self.first + timedelta(days=number * DAYS // self.files)
        return f"{ROOT}dt={day}/{number:08d}.csv"

    def _item(self, key: str) -> dict[str, Any]:
        return {
            "Key": key,
            "ETag": f'"{key.rpartition("/")[2][:8]}"',
            "Size": 1,
            "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
        }

    def get_paginator(self, _: str) -> StubS3:
        """Return itself."""
        return self

    def paginate(
        self,
        *,
        Bucket: str,  # noqa: ARG002, N803
        Prefix: str,  # noqa: N803
        StartAfter: str = "",  # noqa: N803
        Delimiter: str = "",  # noqa: N803
    ) -> Iterator[dict[str, Any]]:
        """Yield pages of the objects with a prefix, or of the folders below it."""
        entries: Iterator[dict[str, Any]] = iter(())
        if Prefix == ROOT and Delimiter:
            entries = ({"Prefix": f"{ROOT}dt={self.first + timedelta(days=day)}/"} for day in range(DAYS))
        elif Prefix == ROOT:
            begin = bisect.bisect_right(range(self.files), StartAfter, key=self._key)
            entries = (self._item(self._key(number)) for number in range(begin, self.files))
        while page := list(itertools.islice(entries, 1000)):
            self.requests += 1
            yield {"CommonPrefixes" if Delimiter else "Contents": page}
        self.requests += 1
        yield {}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: ARG002, N803
        """Return the headers of an object."""
        self.requests += 1
        return self._item(Key) | {"ContentLength": 1}


def fill(connection: Connection, files: int) -> None:
    """Write the history of a number of files, up to date."""
    from psycopg import ClientCursor

    from waybill.contracts import load_domain
    from waybill.derived.build import sha256
    from waybill.derived.refresh import derived_tables
    from waybill.settings import settings
    from waybill.warehouse.evolution import ensure

    lines = load_domain("orders")["lines"]
    parameters = {
        "files": files,
        "days": DAYS,
        "first": first_day(),
        "bucket": settings().raw_bucket,
        "contract": lines.sha256,
        "version": lines.version,
    }
    with ClientCursor(connection) as cursor:
        ensure(connection, lines)
        cursor.execute(LEDGER.replace("%(root)s", ROOT), parameters)
        for table in derived_tables("orders"):
            ensure(connection, table.contract)
            about = {"report": table.contract.table, "sql": sha256(table.text), "contract": table.contract.sha256}
            cursor.execute(PUBLICATIONS, about)
        cursor.execute("vacuum analyze")


def first_day() -> date:
    """Return the first day of the history, so that its last day is two days ago."""
    return datetime.now(UTC).date() - timedelta(days=DAYS + 1)


def steps(connection: Connection, s3: Any, files: int) -> dict[str, Callable[[], Any]]:
    """Return the steps by name. Each finds nothing new."""
    from waybill.checks.quality import check_datasets
    from waybill.contracts import load_domain
    from waybill.contracts.locations import report_schema
    from waybill.derived.refresh import refresh, stale_days
    from waybill.intake.ingest import ingest_arrived
    from waybill.intake.listing_scope import BY_HAND, Start
    from waybill.ops.books import balances, incomplete
    from waybill.outputs.publish import publish_changed
    from waybill.period import Period
    from waybill.run import Run

    contracts, run = load_domain("orders"), Run("benchmark", "abc123")
    lines, last = contracts["lines"], Period.of("day", first_day() + timedelta(days=DAYS - 1))
    month = last.shift(-29).until(last)

    def intake(start: Start) -> None:
        assert ingest_arrived(connection, s3, lines, contracts, run, start=start) == {}

    def downstream() -> None:
        check_datasets(connection, contracts.values(), stale_days(connection, "orders"), run)
        assert refresh(connection, "orders", report_schema("orders"), run) == {}
        assert publish_changed(connection, s3, "orders", run) == []

    def books() -> None:
        balances(connection, "orders", month)
        assert incomplete(connection, s3, "orders", month) == []

    named = Start(is_routine=True, keys=[s3._key(files // 2)])
    return {
        "intake, all objects": lambda: intake(BY_HAND),
        "intake, scheduled": lambda: intake(Start(is_routine=True)),
        "intake, message": lambda: intake(named),
        "checks, reports, publish": downstream,
        "books of 30 days": books,
        **{f"view {page}": lambda page=page: view(page) for page in PAGES},  # type: ignore[misc]
    }


PAGES = (
    "operations/index.html?domain=orders",
    "operations/index.html?dag_id=orders_reports&run_id=scheduled__{last}",
    "operations/loads.html?dataset=orders.lines",
    "operations/loads.html?dataset=orders.lines&page=20",
    "operations/changes.html",
    "operations/quarantine.html?dataset=orders.lines",
)


def view(page: str) -> None:
    """Request a page of the views."""
    from fastapi import Request
    from fastapi.testclient import TestClient

    from waybill.views.access import Access
    from waybill.views.app import make_app
    from waybill.warehouse.connection import connect

    def identify(request: Any) -> None:
        request.state.waybill_user = type("Viewer", (), {"get_name": lambda _: "viewer"})()

    identify.__annotations__["request"] = Request  # FastAPI reads it, and only this step needs FastAPI
    access = Access(
        view=lambda: None,
        run=lambda: None,
        identify=identify,
        may_run=lambda *_: True,
        may_answer=lambda *_: True,
        may_reveal=lambda _: True,
        reader=connect,
        writer=connect,
        runs=lambda *_: [],
        dead_letters=lambda _: [],
        s3=lambda: None,
    )
    last = first_day() + timedelta(days=DAYS - 1)
    answer = TestClient(make_app(access)).get("/" + page.format(last=last))
    assert answer.status_code == 200, answer.text


def measure(step: str, files: int) -> dict[str, float]:
    """Run one step in this process; return its seconds, CPU seconds and requests, and the peak memory in MiB.

    Pages are requested twice, and the second request is measured.
    """
    from waybill.warehouse.connection import connect

    with closing(connect()) as connection:
        s3 = StubS3(files, first_day())
        work = steps(connection, s3, files)[step]
        if step.startswith("view"):  # a server has imported its modules
            work()
        began, cpu = time.perf_counter(), time.process_time()
        work()
        return {
            "seconds": time.perf_counter() - began,
            "cpu": time.process_time() - cpu,
            "requests": s3.requests,
            "MiB": _peak_mib(),
        }


def _peak_mib() -> float:
    """Return the most memory that this process has had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@contextmanager
def history(stack: Stack, files: int) -> Iterator[None]:
    """Name a database with a history of this many files in the environment; filled once."""
    import psycopg
    from psycopg import sql

    from waybill.settings import settings
    from waybill.warehouse.connection import connect
    from waybill.warehouse.migrations import upgrade

    name = f"history_{files}"
    with psycopg.connect(stack.database_url("postgres", "postgres"), autocommit=True) as admin:
        query = "select from pg_database where datname = %s"
        if is_new := admin.execute(query, (name,)).fetchone() is None:
            create = sql.SQL("create database {} template warehouse owner waybill_etl")
            admin.execute(create.format(sql.Identifier(name)))
    os.environ["AIRFLOW_CONN_WAYBILL_WAREHOUSE"] = stack.database_url("waybill_etl", name)
    settings.cache_clear()
    with closing(connect()) as connection:
        upgrade(connection)
        if is_new:
            fill(connection, files)
    yield


def main() -> None:
    """Measure and print a table for each step and size."""
    from rich.console import Console
    from rich.table import Table

    from waybill_devtools.stack import Stack

    parser = argparse.ArgumentParser(description="Time runs that find nothing new.")
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 100_000, 1_000_000], help="sizes of the ledger")
    parser.add_argument("--keep", type=Path, help="a folder for the stack, to measure again what it was filled with")
    parser.add_argument("--only", default="", help="measure only steps whose name contains this")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measure(options.step, options.files[0])))
        return
    found: dict[str, list[dict[str, float]]] = {}
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory(prefix="waybill-bench-") as scratch:
        stack = Stack(Path(scratch) / "stack")
        try:
            stack.up(with_airflow=False)
            os.environ.update(stack.env())
            for files in options.files:
                with history(stack, files):
                    names = list(steps(None, StubS3(files, first_day()), files))  # type: ignore[arg-type]
                    for step in filter(lambda name: options.only in name, names):
                        words = [sys.executable, __file__, "--files", str(files), "--step", step]
                        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
                        found.setdefault(step, []).append(json.loads(done.stdout))
                        print(files, step, found[step][-1], flush=True)
        finally:
            stack.down()
    table = Table("step", *(f"{files:,} files" for files in options.files), title="Seconds, MiB, requests to S3")
    for step, measured in found.items():
        table.add_row(step, *(f"{one['seconds']:.2f} s {one['MiB']:.0f} MiB {one['requests']:.0f}" for one in measured))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
