"""Time the pages of data operations over ten million rejected rows of 100,000 files, without Airflow.

The views run in this process with the rights of `waybill_reader`, and know 200 runs of each DAG. Each page is requested
20 times. The table has the first request, the median and the 95th percentile of the others, and the CPU time of a
request in this process and its session of PostgreSQL, which other programs on the machine hardly change.

Usage: python benchmarks/operations.py [--files 100000] [--rows 10000000] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from views import LAST_DAY, fill

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.views.access import Access
    from waybill.views.operations.runs import RunState
    from waybill_devtools.stack import Stack

REQUESTS = 20
REJECTED = """
update waybill.load_file
set rejected = %(each)s, rows_in = inserted + %(each)s, contract_version = '1.0.0'
where rejected > 0;
truncate waybill.quarantine;
insert into waybill.quarantine (file_id, record, reasons, raw, contract_version)
select f.file_id, 2 + i,
  array[(array['required:customer_id', 'reference:customer_id', 'range:revenue_eur', 'type:quantity'])[1 + i %% 4]],
  '{"traffic_id": "1", "send_date": "2026-03-01", "customer_id": "' || i || '", "revenue_eur": "x"}', '1.0.0'
from waybill.load_file as f
cross join generate_series(1, %(each)s) as s (i)
where f.rejected > 0;
insert into waybill.rejected_file (dataset, period, object_key, etag, run_id, message, rejected_at)
select dataset, period, object_key || '.bad', 'bad', run_id, 'The file has no header.', loaded_at
from waybill.load_file
where file_id %% 10 = 3;
"""
PAGES = {
    "Needs attention, all domains": "index.html",
    "Needs attention, one domain": "index.html?domain=shop",
    "Tab of a run": f"index.html?dag_id=shop_daily&run_id=scheduled__{LAST_DAY - timedelta(days=1)}",
    "Tab of an old run": "index.html?dag_id=shop_daily&run_id=scheduled__2017-03-30",
    "Loads": "loads.html",
    "Loads, last page": "loads.html?page=200",
    "Loads, superseded": "loads.html?state=superseded",
    "Loads, rejected": "loads.html?state=rejected",
    "Loads of a run": "loads.html?dag_id=shop_daily&run_id=scheduled__2017-03-30",
    "Quarantine": "quarantine.html",
    "Quarantine, one reason": "quarantine.html?dataset=shop.reviews&reason=type:quantity",
    "Quarantine, last page": "quarantine.html?dataset=shop.reviews&reason=type:quantity&page=200",
    "Quarantine, resolved": "quarantine.html?dataset=shop.reviews&state=resolved",
    "Changed reports": "changes.html",
    "Incidents": "incidents.html",
}
"""The pages by what they show. The checks are a part of *Needs attention* and of the tab of a run."""


def reject_rows(connection: Connection, rows: int) -> None:
    """Replace the quarantine by about this many open rows, and add rejected files."""
    from psycopg import ClientCursor

    (files,) = connection.execute("select count(*) from waybill.load_file where rejected > 0").fetchone() or (1,)
    with ClientCursor(connection) as cursor:
        cursor.execute(REJECTED, {"each": rows // files})
        cursor.execute("vacuum analyze waybill.load_file")
        cursor.execute("vacuum analyze waybill.quarantine")
        cursor.execute("vacuum analyze waybill.rejected_file")


def cpu_seconds(process: int) -> float:
    """Return how long a process has used a CPU. On Linux only; 0 elsewhere."""
    status = Path(f"/proc/{process}/stat")
    if not status.exists():
        return 0
    user, system = status.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def access_of(stack: Stack, sessions: list[float]) -> Access:
    """Return the access of somebody who may do everything. Each session adds its CPU seconds to `sessions`."""
    import psycopg

    from waybill.contracts.domains import load_manifests
    from waybill.views.access import Access
    from waybill.views.operations.runs import RunState
    from waybill.warehouse.connection import set_read_only

    began = datetime.combine(LAST_DAY, datetime.min.time(), UTC)
    states = [
        RunState(manifest.dag, f"scheduled__{day.date()}", "success", str(day.date()), day, day, day)
        for manifest in load_manifests().values()
        for day in (began - timedelta(days=number) for number in range(200))
    ]

    def runs(dags: Sequence[str], run_id: str | None) -> list[RunState]:
        return [one for one in states if one.dag_id in dags and run_id in (None, one.run_id)]

    @contextmanager
    def reader() -> Iterator[Connection]:
        with psycopg.connect(stack.database_url("waybill_reader")) as connection:
            set_read_only(connection)
            yield connection
            sessions.append(cpu_seconds(connection.info.backend_pid))

    def anybody() -> None:
        pass

    def client() -> Any:
        raise AssertionError("no page of data operations reads S3")

    may = lambda *_: True  # noqa: E731
    return Access(anybody, anybody, anybody, may, may, reader, reader, runs, lambda _: [], client)


def time_pages(stack: Stack) -> Iterator[tuple[str, list[float], float, int]]:
    """Return (page, seconds of each request, CPU seconds of a request, bytes)."""
    from fastapi.testclient import TestClient

    from waybill.views.app import make_app

    sessions: list[float] = []
    client = TestClient(make_app(access_of(stack, sessions)), headers={"accept": "text/html"})
    for name, page in PAGES.items():
        seconds, used = [], time.process_time()
        sessions.clear()
        for _ in range(REQUESTS):
            began = time.perf_counter()
            answer = client.get(f"/operations/{page}")
            seconds.append(time.perf_counter() - began)
            assert answer.status_code == 200, (page, answer.text)
        yield name, seconds, (time.process_time() - used + sum(sessions)) / REQUESTS, len(answer.content)


def main() -> None:
    """Measure and print the table."""
    from rich.console import Console
    from rich.table import Table

    from waybill.warehouse.connection import connect
    from waybill.warehouse.migrations import upgrade
    from waybill_devtools.stack import Stack

    parser = argparse.ArgumentParser(description="Time data operations.")
    parser.add_argument("--files", type=int, default=100_000, help="files in the ledger")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rejected rows")
    parser.add_argument("--keep", type=Path, help="a folder for the stack, to measure again what it was filled with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as scratch:
        stack = Stack((options.keep or Path(scratch)) / "stack")
        try:
            stack.up(with_airflow=False)
            with closing(connect(stack.database_url())) as connection:
                upgrade(connection)
                if connection.execute("select from waybill.load_file limit 1").fetchone() is None:
                    began = time.perf_counter()
                    fill(connection, options.files)
                    reject_rows(connection, options.rows)
                    print(f"filled in {time.perf_counter() - began:.0f} s", flush=True)
            title = f"{options.rows:,} rejected rows, {options.files:,} files"
            table = Table("page", "first s", "median s", "95 % s", "CPU s", "kB", title=title)
            for name, (first, *others), used, size in time_pages(stack):
                ordered = sorted(others)
                percentile = ordered[-(-len(ordered) * 95 // 100) - 1]
                middle = ordered[len(ordered) // 2]
                table.add_row(
                    name, f"{first:.2f}", f"{middle:.2f}", f"{percentile:.2f}", f"{used:.2f}", f"{size / 1000:.0f}"
                )
            Console(width=120).print(table)
        finally:
            stack.down()


if __name__ == "__main__":
    main()
