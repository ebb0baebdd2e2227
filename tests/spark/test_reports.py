"""Reports by Spark equal those of PostgreSQL on the same files, and plain Python.

The loads of both engines are compared on a few days. With WHOLE_RANGE=1 in the environment, they are thirty.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from psycopg import Connection, sql

from support.lake import Lake
from support.spark_job import SparkProcess
from waybill.contracts import load_domain
from waybill.intake.ingest import ingest
from waybill.intake.ledger import Books
from waybill.lakehouse import described
from waybill.lakehouse.exchange import Inputs, Query, ReportsRequest, ReportsResult, receive_result, send
from waybill.lakehouse.prepare import prepare_intake
from waybill.lakehouse.record import record_intake
from waybill.lakehouse.reports import prepare_reports, record_reports
from waybill.period import Period
from waybill.run import Run
from waybill.settings import PROJECT_ROOT, settings
from waybill.warehouse.evolution import ensure
from waybill_devtools.sampledata import shop

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LAST = date(2026, 3, 31)
DAYS = 30 if os.environ.get("WHOLE_RANGE") else 8
Row = dict[str, Any]


@pytest.fixture
def raw(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The bucket of the lake, which also has the files."""
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", lake.bucket)
    settings.cache_clear()
    yield lake.bucket
    settings.cache_clear()


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SparkProcess]]:
    """The process with Spark for the domain `clicks`, once a test has started it."""
    running: list[SparkProcess] = []
    yield running
    for process in running:
        process.stop()


@pytest.fixture
def clicks(empty_connection: Connection, lake: Lake, raw: str, processes: list[SparkProcess], tmp_path: Path) -> Clicks:
    if not processes:
        processes.append(SparkProcess(tmp_path, "clicks"))
    return Clicks(empty_connection, lake, processes[0])


class Clicks:
    """The domain `clicks` on Spark, as the tasks of its DAG run it."""

    def __init__(self, connection: Connection, lake: Lake, spark: SparkProcess) -> None:
        self.connection, self.lake, self.spark, self.runs = connection, lake, spark, 0

    def _scratch(self) -> str:
        self.runs += 1
        return f"s3://{self.lake.bucket}/_spark/{self.runs}"

    def _finish(self, request: str) -> str:
        self.spark.tell(request)
        return f"{request.rpartition('/')[0]}/result.json"

    def load(self, day: date) -> dict[str, Books]:
        run = Run(f"intake-{self.runs}", "test-code")
        request = prepare_intake(
            self.connection, self.lake.s3, self.lake.catalog, "clicks", Period.of("day", day), run, self._scratch()
        )
        assert request
        return record_intake(self.connection, self.lake.s3, self.lake.catalog, self._finish(request), "clicks", run)

    def current_rows(self) -> list[Row]:
        """Return the rows of the view that reports read."""
        request = ReportsRequest(
            domain="clicks",
            requested_at=datetime(2026, 4, 1, tzinfo=UTC),
            lake=described.lake(self.lake.s3),
            timezone="UTC",
            scratch=self._scratch(),
            datasets=described.datasets(self.connection, "clicks"),
            queries=(
                Query(
                    report="rows",
                    cadence="day",
                    period=LAST,
                    text="select * from clicks.clickstream",
                    columns={one.name: one.physical_type for one in load_domain("clicks")["clickstream"].columns},
                    inputs=Inputs(file_ids=(), tables=(), changes=None),
                ),
            ),
        )
        send(self.lake.s3, f"{request.scratch}/request.json", request)
        result = receive_result(self.lake.s3, self._finish(f"{request.scratch}/request.json"))
        assert isinstance(result, ReportsResult)
        (found,) = result.reports
        assert found.address, found.error
        key = found.address.removeprefix(f"s3://{self.lake.bucket}/")
        body = self.lake.s3.get_object(Bucket=self.lake.bucket, Key=key)["Body"].read()
        return pq.read_table(io.BytesIO(body)).to_pylist()

    def ask(self, day: date) -> str | None:
        return prepare_reports(
            self.connection, self.lake.s3, "clicks", self.run, self._scratch(), Period.of("day", day)
        )

    @property
    def run(self) -> Run:
        return Run("reports", "test-code")

    def record(self, result: str) -> dict[str, list[str]]:
        return record_reports(self.connection, self.lake.s3, result, "clicks", self.run)

    def report(self, day: date) -> dict[str, list[str]]:
        request = self.ask(day)
        assert request
        return self.record(self._finish(request))


def put_sample(s3: S3Client, bucket: str, days: int) -> None:
    for file in shop.generate(str(LAST), days=days, datasets=["clickstream"]).files:
        s3.put_object(Bucket=bucket, Key=file.key, Body=file.body)


def rows_of(connection: Connection, schema: str, name: str) -> list[Row]:
    """Return the rows of a table in the order of its key."""
    contract = load_domain(schema)[name]
    columns = sql.SQL(", ").join(map(sql.Identifier, contract.names))
    order = sql.SQL(", ").join(map(sql.Identifier, contract.key))
    query = sql.SQL("select {} from {} order by {}").format(columns, sql.Identifier(schema, name), order)
    return [dict(zip(contract.names, row, strict=True)) for row in connection.execute(query).fetchall()]


def load_shop(connection: Connection, s3: S3Client) -> dict[str, Books]:
    """Load the clicks into PostgreSQL, on one machine; returns the books by object key."""
    contracts = load_domain("shop")
    for schema in ("shop", "shop_star", "shop_report"):
        for contract in load_domain(schema).values():
            ensure(connection, contract)

    run = Run("pg", "test-code")
    return ingest(connection, s3, contracts["clickstream"], contracts, Period.of("day", LAST), run)


def build_in_postgresql(connection: Connection, days: list[date]) -> None:
    """Build the sessions and the funnel of the shop."""
    for day in days:
        parameters = Period.of("day", day).parameters(settings().timezone)
        for schema, folder, name in (
            ("shop_star", "shop_star", "fact_sessions"),
            ("shop_report", "shop", "conversion_funnel"),
        ):
            text = (PROJECT_ROOT / "include/sql" / folder / f"{name}.sql").read_text()
            columns = sql.SQL(", ").join(map(sql.Identifier, load_domain(schema)[name].names))
            insert = sql.SQL("insert into {} ({}) select {} from ({}) as selected")
            connection.execute(insert.format(sql.Identifier(schema, name), columns, columns, sql.SQL(text)), parameters)


def rounded(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.0001"), ROUND_HALF_UP)


def sessions_of(rows: list[Row]) -> dict[date, list[list[Row]]]:
    """Return the sessions by the day on which they began, each with its events in order, up to the next day's end."""
    by_session: dict[Any, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["ts"], row["event_id"])):
        by_session[row["session_id"]].append(row)
    found: dict[date, list[list[Row]]] = defaultdict(list)
    for events in by_session.values():
        for day in {event["ts"].date() for event in events}:
            window = [one for one in events if day - timedelta(1) <= one["ts"].date() <= day + timedelta(1)]
            if window[0]["ts"].date() == day:
                found[day].append(window)
    return found


def page_statistics(day: date, sessions: list[list[Row]]) -> list[Row]:
    pages = sorted({event["page"] for events in sessions for event in events})
    found = []
    for page in pages:
        on_page = [[one for one in events if one["page"] == page] for events in sessions]
        visits = sum(map(bool, on_page))
        entrances = sum(events[0]["page"] == page for events in sessions)
        exits = sum(events[-1]["page"] == page for events in sessions)
        customers = {one["customer_id"] for events in on_page for one in events} - {None}
        found.append(
            {
                "day": day,
                "page": page,
                "views_count": sum(map(len, on_page)),
                "sessions_count": visits,
                "customers_count": len(customers),
                "entrances_count": entrances,
                "exits_count": exits,
                "share_of_entrances_pct": rounded(Decimal(100 * entrances) / len(sessions)),
                "exit_rate_pct": rounded(Decimal(100 * exits) / visits),
            }
        )
    return found


def session_numbers(day: date, sessions: list[list[Row]]) -> Row:
    customers = [next((one["customer_id"] for one in events if one["customer_id"]), None) for events in sessions]
    micro = sum((events[-1]["ts"] - events[0]["ts"]) // timedelta(microseconds=1) for events in sessions)
    events = sum(map(len, sessions))
    return {
        "day": day,
        "sessions_count": len(sessions),
        "signed_in_sessions_count": sum(one is not None for one in customers),
        "customers_count": len({*customers} - {None}),
        "events_count": events,
        "single_event_sessions_count": sum(len(one) == 1 for one in sessions),
        "average_events": rounded(Decimal(events) / len(sessions)),
        "average_minutes": rounded(Decimal(micro) / len(sessions) / 60_000_000),
    }


def test_reports_of_spark_equal_those_of_postgresql(clicks: Clicks, raw: str) -> None:
    warehouse = clicks.connection
    put_sample(clicks.lake.s3, raw, 5)  # with late, repeated and wrong rows
    clicks.load(LAST)
    rebuilt = clicks.report(LAST)

    load_shop(warehouse, clicks.lake.s3)
    events = rows_of(warehouse, "shop", "clickstream")
    sessions = sessions_of(events)
    days = sorted(sessions)
    assert len(days) > 4
    assert {*rebuilt} == {f"clicks_report.{name}" for name in ("funnel", "page_statistics", "sessions_by_day")}
    assert rebuilt["clicks_report.funnel"] == [str(day) for day in days]

    build_in_postgresql(warehouse, days)
    funnel = rows_of(warehouse, "clicks_report", "funnel")
    assert funnel == rows_of(warehouse, "shop_report", "conversion_funnel")
    assert [row["day"] for row in funnel if row["step_number"] == 5] == days
    numbers = rows_of(warehouse, "clicks_report", "sessions_by_day")
    assert numbers == [session_numbers(day, sessions[day]) for day in days]
    facts = warehouse.execute(
        "select session_date, count(*), count(customer_id), sum(events) from shop_star.fact_sessions "
        "group by 1 order by 1"
    ).fetchall()
    names = ("day", "sessions_count", "signed_in_sessions_count", "events_count")
    assert [tuple(row[name] for name in names) for row in numbers] == facts
    pages = [row for day in days for row in page_statistics(day, sessions[day])]
    assert rows_of(warehouse, "clicks_report", "page_statistics") == pages
    assert len(pages) > 100


def content_hash(rows: list[Row]) -> str:
    """Return the hash of rows in the order of their key."""
    texts = sorted("|".join(f"{name}={row[name]}" for name in sorted(row)) for row in rows)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def days_changed(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select day, changes from waybill.table_day where table_name = %s order by day", (table,)
    ).fetchall()


def test_days_have_the_same_rows_and_books_on_both_engines(clicks: Clicks, raw: str) -> None:
    put_sample(clicks.lake.s3, raw, DAYS)
    warehouse = clicks.connection
    on_spark, in_postgresql = clicks.load(LAST), load_shop(warehouse, clicks.lake.s3)
    assert len(on_spark) >= DAYS
    assert on_spark == in_postgresql
    assert sum(books.updated + books.rejected + books.duplicate for books in on_spark.values()) > 3 * DAYS
    assert days_changed(warehouse, "clicks.clickstream") == days_changed(warehouse, "shop.clickstream")
    rows = rows_of(warehouse, "shop", "clickstream")
    assert len(rows) > 1_600 * DAYS
    assert content_hash(clicks.current_rows()) == content_hash(rows)
