"""`waybill plan` says what runs would do, and the runs do exactly that."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest
from psycopg import Connection, sql
from typer.testing import CliRunner

from support.listings import PagedBucket
from support.messaging_months import RUN, build_month, database, ingest_month, put, sample
from waybill.cli import app
from waybill.contracts import load_domain, loading_order
from waybill.derived.refresh import refresh
from waybill.errors import DataError
from waybill.intake import withdrawal
from waybill.intake.ingest import ingest
from waybill.ops.bucket_state import bucket_state
from waybill.ops.make_plan import make_plan
from waybill.ops.plan import Plan, summed_files
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import connect, set_read_only
from waybill_devtools.sampledata.shop import generate
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MONTHS = Period.parse("month", "2026-01").until(Period.parse("month", "2026-03"))
MESSAGING = sample("2026-03", 3, scale=0.3)
SHOP = generate("2026-03-05", days=6, scale=0.02)
DAYS = Period.parse("day", "2026-02-28").until(Period.parse("day", "2026-03-05"))
Rebuilt = set[tuple[str, str]]


@pytest.fixture
def connection(
    stack: Stack, stack_environment: dict[str, str], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    """A connection to an empty warehouse; its bucket is empty, too. Commands use both."""
    with database(stack) as dsn:
        monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
        settings.cache_clear()
        with closing(connect(dsn)) as found:
            yield found
    settings.cache_clear()


def made(connection: Connection, s3: S3Client, domain: str, periods: list[Period]) -> Plan:
    """Return the plan, which is the same when it is made again."""
    found = make_plan(connection, s3, domain, periods)
    assert make_plan(connection, s3, domain, periods) == found
    return found


def numbers(plan: Plan, *states: str) -> dict[tuple[str, str], tuple[int, ...]]:
    """Return some numbers of files by period and dataset, if they are not all 0."""
    found = {(one.period, one.dataset): tuple(getattr(one, state) for state in states) for one in plan.files}
    return {key: values for key, values in found.items() if any(values)}


def builds(connection: Connection) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Return what the warehouse records of each build, by report and period."""
    rows = connection.execute(
        "select report, cadence, period, content_sha256, changes_seen, file_ids, built_at from waybill.publication"
    ).fetchall()
    return {
        (report, Period.of(cadence, start).key if cadence != "all" else "all"): tuple(rest)
        for report, cadence, start, *rest in rows
    }


def rebuilt(before: dict[tuple[str, str], tuple[Any, ...]], after: dict[tuple[str, str], tuple[Any, ...]]) -> Rebuilt:
    return {key for key, record in after.items() if before.get(key) != record}


def planned(plan: Plan) -> Rebuilt:
    return {(one.table, one.period) for one in plan.rebuilds}


def state(connection: Connection, s3: S3Client, bucket: str) -> tuple[Any, ...]:
    """Return the content of every table and the versions of every object."""
    tables = connection.execute(
        "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
    ).fetchall()
    rows = {
        name: connection.execute(
            sql.SQL("select count(*), md5(string_agg(t::text, chr(10) order by t::text)) from {} as t").format(
                sql.Identifier(*name)
            )
        ).fetchone()
        for name in tables
    }
    listed = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    return rows, [(item["Key"], item["VersionId"]) for page in listed for item in page.get("Versions", [])]


def prepare_messaging(connection: Connection, s3: S3Client, bucket: str) -> dict[str, str]:
    """Load and build January, and land other files. Return the keys of the files that a test names."""
    put(s3, bucket, MESSAGING, ["2026-01"])
    traffic = {file.period: file for file in reversed(MESSAGING.files) if file.dataset == "traffic"}
    keys = {name: f"raw/messaging/traffic/month=2026-01/traffic_{name}.csv" for name in ("gone", "bad")}
    header, first, *others = traffic["2026-01"].body.decode().splitlines(keepends=True)
    s3.put_object(Bucket=bucket, Key=keys["gone"], Body=f"{header}{first}".encode())
    ingest_month(connection, s3, "2026-01")
    build_month(connection, "2026-01")
    s3.put_object(Bucket=bucket, Key=keys["bad"], Body=b"traffic_id\n1\n")
    with pytest.raises(DataError):
        ingest_month(connection, s3, "2026-01")
    s3.delete_object(Bucket=bucket, Key=keys["gone"])
    keys["changed"] = traffic["2026-01"].key
    s3.put_object(Bucket=bucket, Key=keys["changed"], Body=f"{header}{''.join(others)}".encode())
    put(s3, bucket, MESSAGING, ["2026-02"])
    s3.put_object(Bucket=bucket, Key=traffic["2026-03"].key, Body=traffic["2026-03"].body)
    return keys


def test_months_load_and_build_what_was_planned(connection: Connection, s3: S3Client, bucket: str) -> None:
    keys = prepare_messaging(connection, s3, bucket)
    plan = made(connection, s3, "messaging", MONTHS)
    traffic, customers, channels = (f"messaging.{name}" for name in ("traffic", "customers", "channels"))
    of_february = {file.key for file in MESSAGING.files if file.period == "2026-02"}
    assert numbers(plan, "new", "changed", "rejected", "gone", "missing") == {
        ("2026-01", traffic): (0, 1, 1, 1, 0),
        ("2026-02", traffic): (3, 0, 0, 0, 0),
        ("2026-02", customers): (1, 0, 0, 0, 0),
        ("2026-02", channels): (1, 0, 0, 0, 0),
        ("2026-03", traffic): (1, 0, 0, 0, 0),
        ("2026-03", customers): (0, 0, 0, 0, 1),
        ("2026-03", channels): (0, 0, 0, 0, 1),
    }
    assert {(one.period, one.dataset) for one in plan.files if one.loaded} == {
        ("2026-01", customers),
        ("2026-01", channels),
    }
    assert {(one.uri, one.is_new) for one in plan.to_load} == {
        (f"s3://{bucket}/{keys['changed']}", False),
        *((f"s3://{bucket}/{key}", True) for key in of_february),
    }
    assert plan.waiting == ["2026-03"]
    [bad], [gone] = plan.rejected, plan.gone
    assert keys["bad"] in bad.message
    assert keys["gone"] in gone.message
    dag = "--dag-id messaging_monthly"
    drop = "waybill drop FILE --domain messaging --dataset {} --period 2026-03"
    assert plan.steps == [
        drop.format("channels"),
        drop.format("customers"),
        """Correct the rejected files and upload them again. Then run: {} -c '{{"month": "2026-01"}}'""".format(
            "airflow dags trigger messaging_monthly"
        ),
        f"airflow backfill create {dag} --from-date 2026-01-01 --to-date 2026-04-01 --reprocess-behavior completed",
    ]

    s3.delete_object(Bucket=bucket, Key=keys["bad"])
    before, loaded = builds(connection), set[str]()
    for key in ("2026-01", "2026-02"):
        loaded |= set(ingest_month(connection, s3, key))
        build_month(connection, key)
    assert {f"s3://{bucket}/{key}" for key in loaded} == {one.uri for one in plan.to_load}
    assert rebuilt(before, builds(connection)) == planned(plan)
    assert len(planned(plan)) > 10

    again = made(connection, s3, "messaging", MONTHS[:2])
    assert (again.to_load, again.rebuilds, again.rejected, len(again.gone)) == ([], [], [], 1)
    withdrawal.accept(connection, withdrawal.find_loaded(connection, keys["gone"]))
    done = made(connection, s3, "messaging", MONTHS[:2])
    assert done.is_done
    assert (done.steps, done.outdated_later) == ([], [])
    printed = CliRunner().invoke(app, ["plan", "2026-01", "2026-02"])
    assert printed.exit_code == 0
    assert "Nothing to do: every file of 2026-01 to 2026-02 is loaded" in printed.output


def test_reports_of_months_after_the_planned_ones_are_named(connection: Connection, s3: S3Client, bucket: str) -> None:
    put(s3, bucket, MESSAGING, ["2026-01", "2026-02"])
    for key in ("2026-01", "2026-02"):
        ingest_month(connection, s3, key)
        build_month(connection, key)
    connection.execute(
        "insert into waybill.published (report, cadence, period, row_count, content_sha256, code_version, file_ids, "
        "inputs, built_at) select report, cadence, period, row_count, content_sha256, code_version, file_ids, inputs, "
        "built_at from waybill.publication where report = 'messaging_report.top_customers'"
    )
    file = next(file for file in MESSAGING.files if (file.dataset, file.period) == ("traffic", "2026-01"))
    s3.put_object(Bucket=bucket, Key=file.key, Body=file.body.rstrip(b"\n").rpartition(b"\n")[0])
    plan = made(connection, s3, "messaging", MONTHS[:1])
    assert {one.period for one in plan.rebuilds} == {"2026-01"}
    assert [one.table for one in plan.rebuilds if one.is_published] == ["messaging_report.top_customers"]
    ingest_month(connection, s3, "2026-01")
    build_month(connection, "2026-01")
    assert plan.outdated_later
    assert {(one.table, one.period) for one in plan.outdated_later} == planned(
        made(connection, s3, "messaging", MONTHS[1:2])
    )


def run_day(connection: Connection, s3: S3Client, day: Period) -> set[str]:
    """Load the files of a day, as the tasks of the DAG do; return the keys of the loaded files."""
    contracts, loaded = load_domain("shop"), set[str]()
    for name in loading_order("shop"):
        loaded |= set(ingest(connection, s3, contracts[name], contracts, day, RUN))
    refresh(connection, "shop", "shop_star", RUN)
    refresh(connection, "shop", "shop_report", RUN)
    return loaded


def prepare_shop(connection: Connection, s3: S3Client, bucket: str) -> None:
    """Run the first three days; land the others, except the reviews of the last day, and correct a file."""
    for file in SHOP.files:
        if file.period <= DAYS[2].key:
            s3.put_object(Bucket=bucket, Key=file.key, Body=file.body)
    for day in DAYS[:3]:
        run_day(connection, s3, day)
    for file in SHOP.files:
        if file.period > DAYS[2].key and (file.dataset, file.period) != ("reviews", DAYS[-1].key):
            s3.put_object(Bucket=bucket, Key=file.key, Body=file.body)
    file = next(file for file in SHOP.files if (file.dataset, file.period) == ("transactions", DAYS[1].key))
    s3.put_object(Bucket=bucket, Key=file.key, Body=file.body.rstrip(b"\n").rpartition(b"\n")[0] + b"\n")


def test_days_load_what_was_planned_and_build_nothing_else(connection: Connection, s3: S3Client, bucket: str) -> None:
    prepare_shop(connection, s3, bucket)
    plan = made(connection, s3, "shop", DAYS)
    assert plan.waiting == [DAYS[-1].key]
    assert numbers(plan, "changed") == {(DAYS[1].key, "shop.transactions"): (1,)}
    before, loaded = builds(connection), set[str]()
    for day in DAYS[:-1]:
        loaded |= run_day(connection, s3, day)
    assert {f"s3://{bucket}/{key}" for key in loaded} == {one.uri for one in plan.to_load}
    done = rebuilt(before, builds(connection))
    assert done <= planned(plan), "nothing is built that was not planned"
    new = {(table, period) for table, period in planned(plan) if (table, period) not in before}
    assert new <= done, "what was never built is built"
    assert {table for table, _ in planned(plan)} == {table for table, _ in done}
    assert made(connection, s3, "shop", DAYS[:-1]).is_done


def test_planning_writes_nothing(
    connection: Connection, s3: S3Client, bucket: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_messaging(connection, s3, bucket)
    before = state(connection, s3, bucket)
    address = stack.database_url("waybill_reader", connection.info.dbname)
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", address)
    settings.cache_clear()
    results = [CliRunner().invoke(app, ["plan", "2026-01", "2026-03", *more]) for more in ([], ["--json"], ["--json"])]
    assert [result.exit_code for result in results] == [0, 0, 0], results[0].output
    assert results[1].stdout == results[2].stdout
    assert state(connection, s3, bucket) == before
    found = json.loads(results[1].stdout)
    assert (found["domain"], found["first"], found["is_done"], found["waiting"]) == (
        "messaging",
        "2026-01",
        False,
        ["2026-03"],
    )
    for line in (*found["steps"], "Runs of these periods would wait for a file: 2026-03."):
        assert line in results[0].output
    set_read_only(connection)
    assert make_plan(connection, s3, "messaging", MONTHS).steps == found["steps"]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("delete from waybill.load_file")


def test_the_time_is_the_sum_of_medians(connection: Connection, s3: S3Client, bucket: str) -> None:
    put(s3, bucket, MESSAGING, ["2026-01", "2026-02"])
    began = datetime.now(UTC)
    for key in ("2026-01", "2026-02"):
        ingest_month(connection, s3, key)
        build_month(connection, key)
    took = (datetime.now(UTC) - began).total_seconds()
    files = connection.execute("select dataset, seconds from waybill.load_file").fetchall()
    reports = connection.execute("select report, seconds from waybill.publication").fetchall()
    assert all(seconds > 0 for _, seconds in [*files, *reports])
    assert sum(seconds for _, seconds in [*files, *reports]) <= took
    put(s3, bucket, MESSAGING, ["2026-03"])
    plan = made(connection, s3, "messaging", MONTHS)
    names = [*(one.dataset for one in plan.to_load), *(one.table for one in plan.rebuilds)]
    by_name: dict[str, list[float]] = {}
    for name, seconds in [*files, *reports]:
        by_name.setdefault(name, []).append(seconds)
    assert plan.estimate.unknown == []
    assert plan.estimate.seconds == pytest.approx(sum(statistics.median(by_name[name]) for name in names), rel=1e-5)
    connection.execute("update waybill.load_file set seconds = null")
    assert made(connection, s3, "messaging", MONTHS).estimate.unknown == sorted({one.dataset for one in plan.to_load})
    connection.execute("update waybill.publication set seconds = null")
    nothing = made(connection, s3, "messaging", MONTHS)
    assert nothing.estimate.seconds == 0
    assert any(line.startswith("No history yet of messaging.channels, ") for line in nothing.lines())


def test_numbers_of_many_periods_are_summed_by_dataset(connection: Connection, s3: S3Client, bucket: str) -> None:
    put(s3, bucket, MESSAGING, ["2026-02"])
    plan = made(connection, s3, "messaging", Period.parse("month", "2023-01").until(MONTHS[-1]))
    assert [(one.dataset, one.new, one.missing) for one in summed_files(plan)] == [
        ("messaging.channels", 1, 38),
        ("messaging.customers", 1, 38),
        ("messaging.traffic", 3, 38),
    ]
    printed = CliRunner().invoke(app, ["plan", "2023-01", "2026-03"]).output
    assert printed.count("messaging.customers ") == 1


def test_only_the_folders_of_the_periods_are_listed(
    empty_connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, bucket = load_domain("orders")["lines"], PagedBucket(1000)
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket.name)
    settings.cache_clear()
    first = date(2020, 1, 1)
    landed = datetime(2026, 3, 5, tzinfo=UTC)
    bucket.objects = {
        f"raw/orders/lines/dt={first + timedelta(days=day)}/{number}.csv": ("e", landed)
        for day in range(2000)
        for number in range(500)
    }
    days = Period.parse("day", "2022-05-01").until(Period.parse("day", "2022-05-03"))
    found = bucket_state(empty_connection, cast("Any", bucket), contract, days)
    assert sum(found.landed[day] for day in days) == len(found.todo) == 1500
    assert bucket.pages <= 8
    with pytest.raises(DataError, match="has more than 1,000 objects in these periods"):
        bucket_state(empty_connection, cast("Any", bucket), contract, days, most_objects=1000)
    settings.cache_clear()
