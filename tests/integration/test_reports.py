"""Reports in a real warehouse: replaced month by month, checked, and equal to an independent computation."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import Connection

from oracles.messaging import expected
from support.ledger import add_file
from support.messaging_months import RUN, build_month, content, database, ingest_month, month, put, report_rows, sample
from support.waiting import PATIENCE
from waybill.contracts import load_domain
from waybill.contracts.locations import report_files
from waybill.derived.build import build_from_rows, build_from_sql, known_files, report_contracts
from waybill.derived.refresh import out_of_date
from waybill.errors import DataError
from waybill.intake.ingest import ingest_file
from waybill.intake.landing import list_landed
from waybill.ops.books import gaps
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill_devtools.sampledata.ground_truth import differences
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REPORTS = sorted(report_contracts("messaging"))
TOP = report_contracts("messaging")["top_customers"]
[TOP_SQL] = [path.read_text() for path in report_files("messaging") if path.stem == "top_customers"]
LAST = "2026-03"


@pytest.fixture(scope="module")
def module_patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch
    settings.cache_clear()


def new_bucket(stack: Stack, patch: pytest.MonkeyPatch, name: str) -> S3Client:
    """Return an S3 client; the raw bucket of the settings is a new one."""
    s3 = stack.s3()
    s3.create_bucket(Bucket=name)
    patch.setenv("WAYBILL_RAW_BUCKET", name)
    settings.cache_clear()
    return s3


@pytest.fixture(scope="module")
def template(stack: Stack, module_patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a database with three small months loaded."""
    s3 = new_bucket(stack, module_patch, "reports-small")
    put(s3, "reports-small", sample(LAST, 3, scale=0.3))
    with database(stack) as dsn:
        with connect(dsn) as connection:
            ingest_month(connection, s3, LAST)
        yield dsn


@pytest.fixture
def dsn(stack: Stack, template: str) -> Iterator[str]:
    with database(stack, template) as copy:
        yield copy


@pytest.fixture
def loaded(dsn: str) -> Iterator[Connection]:
    with connect(dsn) as connection:
        yield connection


def build_top(connection: Connection, key: str, text: str = TOP_SQL, run: Run = RUN) -> int:
    inputs = partial(known_files, connection, "messaging", month(key))
    return build_from_sql(connection, TOP, inputs, text, month(key), run).rows


def publication(connection: Connection, key: str) -> dict[str, Any]:
    cursor = connection.execute(
        "select * from waybill.publication where report = 'messaging_report.top_customers' and period = %s",
        (month(key).start,),
    )
    [row] = cursor.fetchall()
    assert cursor.description
    return dict(zip([column.name for column in cursor.description], row, strict=True))


def test_a_rerun_replaces_its_month_alone(loaded: Connection) -> None:
    for key in ("2026-02", LAST):
        assert build_top(loaded, key) >= 20
    february, march = (report_rows(loaded, "top_customers", key) for key in ("2026-02", LAST))
    loaded.execute("delete from messaging_report.top_customers where customer_rank < 5")
    assert build_top(loaded, LAST) == len(march)
    assert report_rows(loaded, "top_customers", LAST) == march
    assert report_rows(loaded, "top_customers", "2026-02") == [row for row in february if row["customer_rank"] >= 5]


def test_a_month_rests_on_all_files_that_were_delivered_within_it(loaded: Connection) -> None:
    within = {add_file(loaded, "messaging.traffic", day, day) for day in ("2026-03-02", "2026-03-31")}
    after = add_file(loaded, "messaging.traffic", "2026-04-01", "2026-04-01")
    inputs = partial(known_files, loaded, "messaging", month(LAST), TOP_SQL)
    build_from_sql(loaded, TOP, inputs, TOP_SQL, month(LAST), RUN)
    recorded = set(publication(loaded, LAST)["file_ids"])
    assert within <= recorded
    assert after not in recorded
    assert out_of_date(loaded, "messaging", [month(LAST)], "messaging_report.top_customers") == []
    add_file(loaded, "messaging.traffic", "2026-03-15", "2026-03-15")
    outdated = out_of_date(loaded, "messaging", [month(LAST)], "messaging_report.top_customers")
    assert outdated == [("messaging_report.top_customers", month(LAST))]


def test_rows_from_python_replace_their_month_alone(loaded: Connection) -> None:
    build_month(loaded, "2026-02")
    build_month(loaded, LAST)
    contract = report_contracts("messaging")["industry_exposure_extended"]
    before = report_rows(loaded, contract.name, LAST)
    for _ in range(2):
        inputs = partial(known_files, loaded, "messaging", month(LAST))
        assert build_from_rows(loaded, contract, inputs, before, month(LAST), RUN).rows == len(before)
    assert report_rows(loaded, contract.name, LAST) == before
    assert report_rows(loaded, contract.name, "2026-02")


def test_a_failed_check_keeps_the_former_rows_and_is_recorded(loaded: Connection) -> None:
    build_top(loaded, LAST)
    before, recorded = report_rows(loaded, "top_customers", LAST), publication(loaded, LAST)
    wrong = f"select * from ({TOP_SQL.rstrip().rstrip(';')}\n) as r where customer_rank > 3"
    with pytest.raises(
        DataError, match=r"messaging_report.top_customers 2026-03: top_customers_wrong is 3, must be = 0"
    ):
        build_top(loaded, LAST, wrong, Run("second", "abc123"))
    assert report_rows(loaded, "top_customers", LAST) == before
    assert publication(loaded, LAST) == recorded
    results = "select check_name, observed, passed, run_id from waybill.check_result order by 1"
    assert loaded.execute(results).fetchall() == [
        ("top_customers_beyond_20", 0, True, "second"),
        ("top_customers_unnamed", 0, True, "second"),
        ("top_customers_wrong", 3, False, "second"),
    ]
    assert [gap.what for gap in gaps(loaded, [TOP], [month(LAST)])] == ["check top_customers_wrong failed"]
    build_top(loaded, LAST)
    assert all(passed for _, _, passed, _ in loaded.execute(results))
    assert gaps(loaded, [TOP], [month(LAST)]) == []


def test_a_warning_is_logged_and_the_rows_are_kept(loaded: Connection, caplog: pytest.LogCaptureFixture) -> None:
    nameless = TOP_SQL.rstrip().rstrip(";")
    nameless = (
        f"select month, customer_rank, customer_id, null::text as customer_name, revenue_eur from ({nameless}\n) as r"
    )
    with caplog.at_level(logging.WARNING):
        rows = build_top(loaded, LAST, nameless)
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"top_customers_unnamed is {rows}, must be = 0" in warning
    assert len(report_rows(loaded, "top_customers", LAST)) == rows


def test_a_failing_statement_changes_nothing(loaded: Connection) -> None:
    build_top(loaded, LAST)
    before, recorded = report_rows(loaded, "top_customers", LAST), publication(loaded, LAST)
    broken = TOP_SQL.replace("revenue_eur", "no_such_column")
    with pytest.raises(
        DataError, match=r"top_customers 2026-03 failed: .*\"no_such_column\" does not exist(.*[^.])?\. Correct the SQL"
    ):
        build_top(loaded, LAST, broken)
    twice = f"select r.* from (values (1), (2)) as two cross join ({TOP_SQL.rstrip().rstrip(';')}\n) as r"
    with pytest.raises(DataError, match=r"top_customers 2026-03 failed: .*duplicate key value") as caught:
        build_top(loaded, LAST, twice)
    assert "Key (" not in str(caught.value), "no row is quoted"
    assert report_rows(loaded, "top_customers", LAST) == before
    assert publication(loaded, LAST) == recorded


def test_two_builds_of_one_month_at_once_do_not_double_it(dsn: str, loaded: Connection) -> None:
    rows = build_top(loaded, LAST)
    slow = f"select r.* from (select pg_sleep(0.3)) as pause cross join ({TOP_SQL.rstrip().rstrip(';')}\n) as r"
    start = threading.Barrier(3)

    def build(name: str) -> int:
        with connect(dsn) as connection:
            start.wait(PATIENCE)
            return build_top(connection, LAST, slow, Run(name, "abc123"))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(build, ("one", "two", "three"))) == [rows] * 3
    assert len(report_rows(loaded, "top_customers", LAST)) == rows


def test_builds_of_different_months_at_once_create_the_table_once(dsn: str, loaded: Connection) -> None:
    start = threading.Barrier(3)

    def build(key: str) -> int:
        with connect(dsn) as connection:
            start.wait(PATIENCE)
            return build_top(connection, key)

    with ThreadPoolExecutor(3) as pool:
        assert min(pool.map(build, ("2026-01", "2026-02", LAST))) >= 20
    versions = "select count(*) from waybill.contract where dataset = 'messaging_report.top_customers'"
    assert loaded.execute(versions).fetchone() == (1,)


def test_a_publication_records_the_inputs_of_a_report(loaded: Connection) -> None:
    rows = build_top(loaded, "2026-02", run=Run("first", "v1"))
    first = publication(loaded, "2026-02")
    known = loaded.execute(
        "select array_agg(file_id order by file_id) from waybill.load_file where period < '2026-03-01'"
    ).fetchone()
    assert known
    assert first["file_ids"] == known[0]
    assert (first["row_count"], first["code_version"], first["run_id"]) == (rows, "v1", "first")
    assert len(first["sql_sha256"]) == len(first["content_sha256"]) == 64
    build_top(loaded, "2026-02", run=Run("second", "v1"))
    assert publication(loaded, "2026-02") == first  # nothing is new, so nothing is recorded
    build_top(loaded, "2026-02", TOP_SQL + "\n-- another text", run=Run("third", "v2"))
    third = publication(loaded, "2026-02")
    assert third["sql_sha256"] != first["sql_sha256"]
    assert third["content_sha256"] == first["content_sha256"]
    assert (third["run_id"], third["code_version"]) == ("third", "v2")


def test_a_month_is_computed_as_known_at_its_end(stack: Stack, module_patch: pytest.MonkeyPatch) -> None:
    data = sample("2026-06", 6, scale=0.3)
    months = sorted({file.period for file in data.files})
    corrected = [key for key in months if f"traffic_corrections_for_{key}" in str(data.files)]
    assert len(corrected) >= 2
    s3 = new_bucket(stack, module_patch, "reports-known")
    with database(stack) as address, connect(address) as connection:
        then = {}
        for key in months:
            put(s3, "reports-known", data, [key])
            ingest_month(connection, s3, key)
            if key in corrected:
                build_month(connection, key)
                then[key] = {report: report_rows(connection, report, key) for report in REPORTS}
        for key, reports in then.items():
            recorded = connection.execute("select report, content_sha256 from waybill.publication").fetchall()
            build_month(connection, key)
            for report in REPORTS:
                assert report_rows(connection, report, key) == reports[report], (key, report)
            now = connection.execute("select report, content_sha256 from waybill.publication").fetchall()
            assert sorted(now) == sorted(recorded)


def rounded(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return rows for comparison: sorted, numbers as Decimal, statistics with ten decimals."""
    return sorted(
        (
            tuple(
                round(Decimal(str(value)), 10).normalize()
                if isinstance(value, int | float | Decimal) and not isinstance(value, bool)
                else value
                for _, value in sorted(row.items())
            )
            for row in rows
        ),
        key=str,
    )


def test_fourteen_months_in_any_order_equal_the_oracle(stack: Stack, module_patch: pytest.MonkeyPatch) -> None:
    data = sample("2026-10")
    files = [(file.key, file.body) for file in data.files]
    s3 = new_bucket(stack, module_patch, "reports-all")
    put(s3, "reports-all", data)
    last = month("2026-10")
    contracts = load_domain("messaging")
    shuffled = random.Random(20261101)
    with (
        database(stack) as in_order_dsn,
        database(stack) as any_order_dsn,
        connect(in_order_dsn) as in_order,
        connect(any_order_dsn) as any_order,
    ):
        ingest_month(in_order, s3, "2026-10", lookback=13)
        assert differences(in_order, "messaging", data.ground_truth) == []
        loaded = in_order.execute("select count(*), sum(rows_in) from waybill.load_file").fetchone()
        assert loaded == (len(files), data.ground_truth["totals"]["rows_in"])
        for name in ("customers", "channels", "traffic"):
            landed = list_landed(s3, "reports-all", contracts[name], last.shift(-13), last)
            shuffled.shuffle(landed)
            for file in landed:
                ingest_file(any_order, s3, file, contracts[name], contracts, RUN)
        one, other = content(in_order), content(any_order)
        for table in ("traffic", "traffic_superseded", "quarantine"):
            assert one[table] == other[table], table
        for table in ("customers_history", "channels_history"):  # which of two equal snapshots is named may differ
            assert sorted(row[1:-1] for row in one[table]) == sorted(row[1:-1] for row in other[table]), table
        months = [last.shift(-back) for back in range(12)]
        shuffled.shuffle(months)
        for period in months:
            build_month(any_order, period.key)
        for period in months:
            oracle = expected(files, period.key)
            assert sorted(oracle) == REPORTS
            for report in REPORTS:
                rows = report_rows(any_order, report, period.key)
                assert rounded(rows) == rounded(oracle[report]), (period.key, report)
        assert gaps(any_order, report_contracts("messaging").values(), months) == []
        built = any_order.execute("select min(month), max(month) from messaging_report.segment_share").fetchone()
        assert built == (date(2025, 11, 1), date(2026, 10, 1))
