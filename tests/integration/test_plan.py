"""`waybill plan` says what runs would do, and the runs do exactly that."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest
from psycopg import Connection, sql
from typer.testing import CliRunner

from support.listings import PagedBucket
from support.messaging_months import RUN, build_month, database, ingest_month, put, sample
from support.order_files import Line, body
from support.views import Page, Someone, check_inert, client_of
from waybill.cli import app
from waybill.contracts import load_domain, loading_order
from waybill.derived.refresh import refresh
from waybill.derived.refresh_features import refresh_features
from waybill.errors import DataError
from waybill.intake import withdrawal
from waybill.intake.ingest import ingest, ingest_arrived
from waybill.intake.ledger import Books
from waybill.ops.bucket_state import bucket_state
from waybill.ops.make_plan import make_plan
from waybill.ops.plan import Plan
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


def run_month(connection: Connection, s3: S3Client, key: str) -> dict[str, Books]:
    """Load the files of a month and build its reports and features, as the tasks of the DAG do."""
    loaded = ingest_month(connection, s3, key)
    build_month(connection, key)
    refresh_features(connection, "messaging", RUN, Period.parse("month", key))
    return loaded


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


def run_plan(*arguments: str, exit_code: int = 0) -> str:
    """Run `waybill plan` and return its standard output."""
    result = CliRunner().invoke(app, ["plan", *arguments])
    assert result.exit_code == exit_code, result.output
    return result.output


def prepare_messaging(connection: Connection, s3: S3Client, bucket: str) -> dict[str, str]:
    """Load and build January, and land other files. Return the keys of the files that a test names."""
    put(s3, bucket, MESSAGING, ["2026-01"])
    traffic = {file.period: file for file in reversed(MESSAGING.files) if file.dataset == "traffic"}
    keys = {name: f"raw/messaging/traffic/month=2026-01/traffic_{name}.csv" for name in ("gone", "bad")}
    header, first, *others = traffic["2026-01"].body.decode().splitlines(keepends=True)
    s3.put_object(Bucket=bucket, Key=keys["gone"], Body=f"{header}{first}".encode())
    run_month(connection, s3, "2026-01")
    s3.put_object(Bucket=bucket, Key=keys["bad"], Body=b"traffic_id\n1\n")
    with pytest.raises(DataError):
        ingest_month(connection, s3, "2026-01")
    s3.delete_object(Bucket=bucket, Key=keys["gone"])
    keys["changed"] = traffic["2026-01"].key
    s3.put_object(Bucket=bucket, Key=keys["changed"], Body=f"{header}{''.join(others)}".encode())
    put(s3, bucket, MESSAGING, ["2026-02"])
    s3.put_object(Bucket=bucket, Key=traffic["2026-03"].key, Body=traffic["2026-03"].body)
    return keys


def test_months_load_and_build_what_was_planned(
    connection: Connection, s3: S3Client, bucket: str, tmp_path: Path
) -> None:
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
    assert plan.runs
    assert plan.runs.command == plan.steps[-1]

    saved = tmp_path / "plan.json"
    saved.write_text(run_plan("2026-01", "2026-03", "--json"))
    compare = ("2026-01", "2026-03", "--against", str(saved))
    assert "Loaded 0 of 6 planned files." in run_plan(*compare, exit_code=1)
    assert "name these periods" in run_plan("2026-01", "2026-02", *compare[2:], exit_code=1)

    s3.delete_object(Bucket=bucket, Key=keys["bad"])
    before, loaded = builds(connection), set[str]()
    for key in ("2026-01", "2026-02"):
        loaded |= set(run_month(connection, s3, key))
    assert {f"s3://{bucket}/{key}" for key in loaded} == {one.uri for one in plan.to_load}
    assert rebuilt(before, builds(connection)) == planned(plan)
    number = len(plan.rebuilds)
    assert run_plan(*compare) == f"Loaded 6 of 6 planned files.\nBuilt {number} of {number} planned periods.\n"

    again = made(connection, s3, "messaging", MONTHS[:2])
    assert (again.to_load, again.rebuilds, again.rejected, len(again.gone)) == ([], [], [], 1)
    withdrawal.accept(connection, withdrawal.find_loaded(connection, keys["gone"]))
    done = made(connection, s3, "messaging", MONTHS[:2])
    assert done.is_done
    assert (done.steps, done.outdated_later) == ([], [])
    assert "Nothing to do: every file of 2026-01 to 2026-02 is loaded" in run_plan("2026-01", "2026-02")
    put(s3, bucket, MESSAGING, ["2026-03"])
    ingest_month(connection, s3, "2026-03")
    assert "Loaded, but not planned: s3://" in run_plan(*compare)
    saved.write_text('{"domain": 1}')
    assert "is no plan in JSON (KeyError)" in run_plan(*compare, exit_code=1)


def test_reports_of_months_after_the_planned_ones_are_named(connection: Connection, s3: S3Client, bucket: str) -> None:
    put(s3, bucket, MESSAGING, ["2026-01", "2026-02"])
    for key in ("2026-01", "2026-02"):
        run_month(connection, s3, key)
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
    run_month(connection, s3, "2026-01")
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
    refresh_features(connection, "shop", RUN)
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


def test_files_that_land_at_any_time_wait_for_none(connection: Connection, s3: S3Client, bucket: str) -> None:
    contracts, days = load_domain("orders"), Period.parse("day", "2026-03-01").until(Period.parse("day", "2026-03-03"))
    folder = "raw/orders/lines/dt={}/{}.csv"

    def run(*chosen: Period) -> set[str]:
        limits = (chosen[0], chosen[-1]) if chosen else None
        return set(ingest_arrived(connection, s3, contracts["lines"], contracts, RUN, days=limits))

    s3.put_object(Bucket=bucket, Key=folder.format(days[0], "a"), Body=body(Line("1"), Line("2")))
    s3.put_object(Bucket=bucket, Key=folder.format(days[0], "bad"), Body=b"x\n1\n")
    with pytest.raises(DataError):
        run()
    refresh(connection, "orders", "orders_report", RUN)
    new = folder.format(days[1], "b")
    s3.put_object(Bucket=bucket, Key=new, Body=body(Line("1", quantity="5"), Line("3")))
    plan = made(connection, s3, "orders", days)
    assert numbers(plan, "new", "loaded", "rejected", "missing") == {
        (days[0].key, "orders.lines"): (0, 1, 1, 0),
        (days[1].key, "orders.lines"): (1, 0, 0, 0),
    }
    assert (plan.waiting, plan.loads_earlier) == ([], False)
    assert """airflow dags trigger orders_reports -c '{"day": "2026-03-02"}'""" in plan.steps
    before = builds(connection)
    assert run(days[1]) == {new}
    assert [one.uri for one in plan.to_load] == [f"s3://{bucket}/{new}"]
    refresh(connection, "orders", "orders_report", RUN)
    done = rebuilt(before, builds(connection))
    assert {period for _, period in done} == {"2026-03-01", "2026-03-02"}, "a line of the first day moved"
    assert done == planned(plan)
    again = made(connection, s3, "orders", days)
    assert (again.to_load, again.rebuilds, len(again.rejected)) == ([], [], 1)


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


def test_the_page_shows_the_plan_and_its_bounds(
    connection: Connection, s3: S3Client, bucket: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_messaging(connection, s3, bucket)
    before, plan = state(connection, s3, bucket), made(connection, s3, "messaging", MONTHS)
    database_name = connection.info.dbname
    client = client_of(
        stack.database_url("waybill_reader", database_name), stack.database_url("waybill_etl", database_name)
    )
    for place in ("domain=messaging", "dag_id=messaging_monthly"):
        page = Page(client.get(f"/operations/plan.html?{place}&first=2026-01&last=2026-03").text)
        check_inert(page)
        shown = " ".join(page.text.split())
        for line in (*plan.sentences(), *plan.steps):
            assert " ".join(line.split()) in shown
        assert plan.runs
        (form,) = [attributes for tag, attributes in page.tags if "data-request" in attributes]
        assert form["data-request"] == "../../api/v2/backfills"
        assert json.loads(form["data-body"] or "") == plan.runs.body
    viewer = client_of(
        stack.database_url("waybill_reader", database_name),
        stack.database_url("waybill_etl", database_name),
        Someone(may_run=False),
    )
    assert "data-request" not in viewer.get("/operations/plan.html?domain=messaging&first=2026-01&last=2026-03").text
    for asked, status, message in (
        ("domain=messaging&first=2026-03&last=2026-01", 422, "2026-03 is after 2026-01"),
        ("domain=messaging&first=2020-01&last=2026-03", 422, "2020-01 to 2026-03 are more than 366 days"),
        ("domain=messaging&first=0001-01", 422, "'0001-01' is not a month"),
        ("first=2026-03", 422, "Choose a domain and the first period."),
    ):
        answer = client.get(f"/operations/plan.html?{asked}")
        assert (answer.status_code, message in Page(answer.text).text) == (status, True), asked
    monkeypatch.setattr("waybill.views.operations.plans.MOST_OBJECTS", 3)
    answer = client.get("/operations/plan.html?domain=messaging&first=2026-01&last=2026-03")
    assert answer.status_code == 400
    assert "messaging.traffic has more than 3 objects in these periods" in Page(answer.text).text
    assert state(connection, s3, bucket) == before


def test_the_time_is_the_sum_of_medians(connection: Connection, s3: S3Client, bucket: str) -> None:
    put(s3, bucket, MESSAGING, ["2026-01", "2026-02"])
    began = datetime.now(UTC)
    for key in ("2026-01", "2026-02"):
        run_month(connection, s3, key)
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
    assert any(line.startswith("No history yet of messaging.channels, ") for line in nothing.sentences())


def test_numbers_of_many_periods_are_summed_by_dataset(connection: Connection, s3: S3Client, bucket: str) -> None:
    put(s3, bucket, MESSAGING, ["2026-02"])
    plan = made(connection, s3, "messaging", Period.parse("month", "2023-01").until(MONTHS[-1]))
    assert [(one.dataset, one.new, one.missing) for one in plan.listed_files()] == [
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
