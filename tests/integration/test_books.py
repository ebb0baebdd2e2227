"""`waybill books` reports a range of months as complete or lists gaps; other commands about data print results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import Connection, sql
from typer.testing import CliRunner

from support.messaging_months import build_month, database, ingest_month, put, sample
from waybill.cli import app
from waybill.errors import DataError
from waybill.intake import file_warnings
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill_devtools.demo import landed_for
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "books"
MONTHS = ("2026-01", "2026-02")
HEADER = "traffic_id,send_date,account_id,customer_id,channel_id,interactions_count,revenue_eur"
EXTRA = "raw/messaging/traffic/month=2026-01/traffic_extra.csv"
OF_TRAFFIC = {
    "descriptive_statistics",
    "industry_exposure",
    "industry_exposure_extended",
    "loyal_top_customers",
    "revenue_by_period",
    "top_customers",
}
"""The reports that read traffic."""


@pytest.fixture(scope="module")
def template(stack: Stack) -> Iterator[str]:
    """The address of a database with two months and their reports, loaded from its own bucket."""
    with pytest.MonkeyPatch.context() as patch, database(stack) as dsn:
        patch.setenv("WAYBILL_RAW_BUCKET", BUCKET)
        settings.cache_clear()
        stack.s3().create_bucket(Bucket=BUCKET)
        put(stack.s3(), BUCKET, sample(MONTHS[-1], 2, scale=0.3))
        with connect(dsn) as connection:
            ingest_month(connection, stack.s3(), MONTHS[-1])
            for key in MONTHS:
                build_month(connection, key)
        yield dsn
    settings.cache_clear()


@pytest.fixture
def warehouse(
    template: str, stack: Stack, stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    """A copy of the database; commands use it. Additional files are gone at the end."""
    with database(stack, template) as dsn:
        monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        monkeypatch.setenv("WAYBILL_RAW_BUCKET", BUCKET)
        settings.cache_clear()
        with connect(dsn) as connection:
            yield connection
        stack.s3().delete_object(Bucket=BUCKET, Key=EXTRA)
    settings.cache_clear()


@pytest.fixture(scope="module")
def unchanged(template: str, stack: Stack) -> Iterator[str]:
    """The address of a copy of the database for commands that change nothing."""
    with database(stack, template) as dsn:
        yield dsn


def run(*arguments: str, exit_code: int = 0) -> str:
    """Run a command and return its output as one line."""
    result = CliRunner().invoke(app, list(arguments))
    text = " ".join(result.output.split())
    assert result.exit_code == exit_code, text
    return text


def incomplete(*arguments: str) -> set[tuple[str, str, str]]:
    """Return (period, subject, what) of each gap that `waybill books` prints on standard output."""
    result = CliRunner().invoke(app, ["books", *(arguments or MONTHS)])
    lines = re.findall(r"^incomplete: (.+?) messaging\w*\.(\w+): (.*)$", result.stdout, re.MULTILINE)
    found = {(period, subject, what) for periods, subject, what in lines for period in periods.split(", ")}
    assert result.exit_code == bool(found), result.output
    assert ("Complete: " in result.stdout) == (not found)
    return found


def extra_file(warehouse: Connection, *interactions: int) -> bytes:
    """Return a file with rows of a known customer and channel for the days of January from the first on."""
    row = warehouse.execute("select account_id, customer_id, channel_id from messaging.traffic limit 1").fetchone()
    assert row
    account, customer, channel = row
    lines = (
        f"{900000000 + day},2026-01-{day:02},{account},{customer},{channel},{number},12.50\n"
        for day, number in enumerate(interactions, 1)
    )
    return "".join([f"{HEADER}\n", *lines]).encode()


def outdated(key: str) -> set[tuple[str, str, str]]:
    return {(key, name, "out of date: its inputs have changed since it was built") for name in OF_TRAFFIC}


def test_a_complete_range_is_printed_as_parsed(warehouse: Connection) -> None:
    assert incomplete() == set()
    assert "Complete: 2026-01 to 2026-02. Every file is loaded" in run("books", "2026-1", "2026-2")
    assert incomplete("2026-01", "2026-03") >= {("2026-03", "traffic", "nothing was loaded or built")}
    assert run("books", *MONTHS).startswith("Messaging: every row is accounted for")
    years = run("books", "2023-01", "2026-03", exit_code=1)
    assert "2023-01 to 2026-03 traffic" in years, "the books of all periods are one line"
    many = run("books", "2025-01", "2026-03", exit_code=1)
    assert many.count("messaging.traffic: ") == 1, "a line for each gap, not for each period"
    assert "incomplete: 2025-01, 2025-02, 2025-03, …, 2025-12, 2026-03 (13) messaging.traffic: nothing was" in many


def test_the_role_that_only_reads_may_print_them(
    warehouse: Connection, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On AWS, the task `books` logs in as this role."""
    name = sql.Identifier(warehouse.info.dbname)
    warehouse.execute(sql.SQL("grant connect on database {} to waybill_reader").format(name))
    address = stack.database_url("waybill_reader", warehouse.info.dbname)
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", address)
    settings.cache_clear()
    assert "Complete: 2026-01 to 2026-02." in run("books", *MONTHS)
    stack.s3().put_object(Bucket=BUCKET, Key=EXTRA, Body=b"no header of traffic")
    assert "landed, not loaded" in run("books", *MONTHS, exit_code=1)


def test_checks_that_warn_are_listed_and_do_not_make_a_range_incomplete(warehouse: Connection) -> None:
    warehouse.execute(
        "update waybill.check_result set passed = false, observed = 83.89 "
        "where (check_name, period) = ('segment_changes_pct', '2026-02-01')"
    )
    text = run("books", *MONTHS)
    assert (
        "Warning: 2026-02 messaging_report.segment_changes: check segment_changes_pct is 83.89, must be <= 50" in text
    )
    assert "Complete: " in text


def test_a_file_that_landed_is_incomplete_until_it_is_loaded_and_its_reports_are_built(
    warehouse: Connection, s3: S3Client
) -> None:
    s3.put_object(Bucket=BUCKET, Key=EXTRA, Body=extra_file(warehouse, 1))
    assert incomplete() == {("2026-01", "traffic", f"landed, not loaded: s3://{BUCKET}/{EXTRA}")}
    ingest_month(warehouse, s3, "2026-01")
    assert incomplete() == outdated("2026-01") | outdated("2026-02")
    assert "out of date" in run("trace", "top_customers", "2026-01")
    build_month(warehouse, "2026-01")
    assert "out of date" not in run("trace", "top_customers", "2026-01")
    assert incomplete() == outdated("2026-02")
    build_month(warehouse, "2026-02")
    assert incomplete() == set()


def test_warnings_of_current_files_are_listed_and_do_not_make_a_range_incomplete(
    warehouse: Connection,
) -> None:
    rows = warehouse.execute(
        "select file_id, object_key from waybill.load_file where dataset = 'messaging.traffic' "
        "and period = '2026-02-01' order by file_id"
    ).fetchall()
    for number, (file_id, _) in enumerate(rows):
        file_warnings.add(warehouse, file_id, "columns", f"number {number}")
        file_warnings.add(warehouse, file_id, "columns", f"number {number}")
    printed = run("books", *MONTHS)
    for number, (_, key) in enumerate(rows):
        assert printed.count(f"Warning: {key}: number {number}") == 1
    assert "Complete: " in printed
    assert "Warning" not in run("books", "2026-01", "2026-01")
    assert "columns: number 0" in run("trace", "top_customers", "2026-02")
    warehouse.execute("update waybill.load_file set status = 'superseded' where file_id = %s", (rows[0][0],))
    assert f"Warning: {rows[0][1]}" not in CliRunner().invoke(app, ["books", *MONTHS]).output


def test_a_rejected_file_is_incomplete_until_it_is_corrected_or_deleted(warehouse: Connection, s3: S3Client) -> None:
    s3.put_object(Bucket=BUCKET, Key=EXTRA, Body=b"traffic_id\n1\n")
    with pytest.raises(DataError) as caught:
        ingest_month(warehouse, s3, "2026-02")
    [(period, subject, what)] = incomplete()
    assert (period, subject) == ("2026-01", "traffic")
    assert what == f"rejected: {caught.value}"
    s3.put_object(Bucket=BUCKET, Key=EXTRA, Body=extra_file(warehouse, -1))
    with pytest.raises(DataError):
        ingest_month(warehouse, s3, "2026-02")
    assert "range:interactions_count in 1 row: record 1 (interactions_count '-1')" in run("books", *MONTHS, exit_code=1)
    s3.delete_object(Bucket=BUCKET, Key=EXTRA)
    assert incomplete() == set()


def test_the_demo_runs_no_month_that_would_wait_for_a_file(warehouse: Connection, s3: S3Client) -> None:
    key = EXTRA.replace("2026-01", "2026-03")
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    months = Period.parse("month", "2025-11").until(Period.parse("month", "2026-04"))
    assert [str(month) for month in landed_for(s3, "messaging", months)] == [*MONTHS]
    s3.delete_object(Bucket=BUCKET, Key=key)


def test_a_file_of_a_month_is_dropped_below_the_months_prefix_and_only_a_dag_that_exists_is_named(
    warehouse: Connection, s3: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / Path(EXTRA).name
    file.write_bytes(extra_file(warehouse, 1))
    printed = run("drop", str(file), "--domain", "messaging", "--period", "2026-01")
    assert f"s3://{BUCKET}/{EXTRA}" in printed
    assert """airflow dags trigger messaging_monthly -c '{"month": "2026-01"}'""" in printed
    assert "is over" not in printed
    assert incomplete() == {("2026-01", "traffic", f"landed, not loaded: s3://{BUCKET}/{EXTRA}")}
    printed = run("drop", str(file), "--domain", "messaging", "--period", "2999-01")
    assert "A run for 2999-01 can start when 2999-01 is over, at 2999-02-01 00:00 UTC." in printed
    s3.delete_object(Bucket=BUCKET, Key=EXTRA.replace("2026-01", "2999-01"))
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path))
    printed = run("drop", str(file), "--domain", "messaging", "--period", "2026-01")
    assert "No DAG ingests the files of messaging: " in printed
    assert f"names messaging_monthly, and no file in {tmp_path} defines it. Write {tmp_path}/messaging/" in printed
    s3.delete_object(Bucket=BUCKET, Key=EXTRA)


def test_rows_that_a_replay_admits_make_exactly_the_reports_of_their_dataset_out_of_date(
    warehouse: Connection, s3: S3Client
) -> None:
    s3.put_object(Bucket=BUCKET, Key=EXTRA, Body=extra_file(warehouse, -1, *[1] * 30))
    ingest_month(warehouse, s3, "2026-02")
    for key in MONTHS:
        build_month(warehouse, key)
    assert incomplete() == set()
    run("replay", "traffic")  # admits nothing
    assert incomplete() == set()
    changed = warehouse.execute(
        "update waybill.quarantine set raw = jsonb_set(raw::jsonb, '{interactions_count}', '\"1\"')::text "
        "where raw like '%900000001%'"
    )
    assert changed.rowcount == 1
    assert (
        "airflow backfill create --dag-id messaging_monthly --from-date 2026-01-01 --to-date 2026-02-28 "
        "--reprocess-behavior completed"
    ) in run("replay", "traffic")
    assert incomplete() == outdated("2026-01") | outdated("2026-02")
    assert run("books", *MONTHS, exit_code=1).endswith(
        "To complete it: airflow backfill create --dag-id messaging_monthly --from-date 2026-01-01 "
        "--to-date 2026-03-01 --reprocess-behavior completed"
    )


@pytest.mark.parametrize(
    ("arguments", "exit_code", "expected"),
    [
        (("books", "2026-02", "2026-01"), 1, "2026-02 is after 2026-01"),
        (
            ("books", "2026-01", "2026-02", "--domain", "mesaging"),
            1,
            "no domain 'mesaging' .* messaging, orders, purchases, shop",
        ),
        (("books", "2026-01", "2026-02", "--domain", "messaging_report"), 1, "no domain 'messaging_report'"),
        (
            ("drop", "README.md", "--domain", "messaging"),
            1,
            "files of messaging.traffic land in a folder for each month: add --period, for example --period 2026-03",
        ),
        (
            ("drop", "README.md", "--domain", "shop", "--dataset", "reviews", "--period", "2026-03"),
            1,
            "'2026-03' is not a day; write it like 2026-03-31",
        ),
        (
            ("drop", "README.md", "--domain", "purchases", "--dataset", "x"),
            1,
            "no dataset 'x' in purchases; there are ",
        ),
        (
            ("quarantine", "trafic"),
            1,
            "no dataset 'trafic'; there are clicks.clickstream, messaging.channels, ",
        ),
        (
            ("quarantine", "trafic", "--domain", "messaging"),
            1,
            "no dataset 'trafic' in messaging; there are channels, customers, traffic",
        ),
        (
            ("quarantine", "lines", "--domain", "messaging"),
            1,
            "no dataset 'lines' in messaging; .*; orders.lines belongs to another domain: --domain orders",
        ),
        (("quarantine", "lines"), 0, r"No rows of orders\.lines are in quarantine"),
        (("quarantine", "orders.lines"), 0, r"No rows of orders\.lines are in quarantine"),
        (("quarantine", "customers"), 1, "several datasets .* --domain messaging or --domain shop"),
        (("replay", "lines"), 0, r"Nothing to replay: orders\.lines has no replayable rows in quarantine"),
        (("replay", "customers"), 1, "several datasets"),
        (("replay", "traffic", "--file-id", str(2**31)), 2, "Invalid value for '--file-id'"),
        (("replay", "traffic", "--file-id", "1", "--record", str(2**31)), 2, "Invalid value for '--record'"),
        (("alerts", "--limit", str(10**30)), 2, "Invalid value for '--limit'"),
        (
            ("books", "2026-03-01", "2026-03-02"),
            1,
            "is a day, and several domains have datasets by day: add --domain clicks or .* shop",
        ),
        (("books", "2026-W10", "2026-W11"), 1, "is a week, and no domain has datasets by week"),
        (("drop", "README.md", "--dataset", "customers"), 1, "several datasets"),
        (
            ("drop", "README.md"),
            1,
            "the header does not have the required columns of any dataset: add --domain clicks --dataset clickstream",
        ),
        (
            ("drop", "examples/purchases.csv", "--domain", "messaging"),
            1,
            "files of messaging.traffic land in a folder for each month",
        ),
        (
            ("drop", "README.md", "--dataset", "traffic"),
            1,
            "files of messaging.traffic land in a folder for each month",
        ),
        (
            ("trace", "top_customers"),
            0,
            r"Waybill of messaging_report.top_customers, 2026-02 .*Built for 2026-02, 2026-01",
        ),
        (("trace", "nonsense"), 1, "nonsense was not built; reports that were built: messaging_report"),
        (("trace", "top_customers", "--domain", "messaging"), 0, r"Waybill of messaging_report.top_customers, 2026-02"),
        (("trace", "messaging.top_customers", "2026-01"), 0, r"Waybill of messaging_report.top_customers, 2026-01"),
        (
            ("trace", "top_customers", "--domain", "shop"),
            1,
            "top_customers was not built in shop; reports that were built: messaging_report",
        ),
        (
            ("trace", "traffic"),
            1,
            r"traffic is a dataset\. Name a report that reads it: messaging_report.industry_exposure, ",
        ),
        (("quarantine", "reviews", "--domain", "shop"), 0, r"No rows of shop\.reviews are in quarantine"),
        (("quarantine", "traffic", "--limit", "-1"), 2, "Invalid value for '--limit'"),
        (("replay", "trafic"), 1, "no dataset 'trafic'"),
        (("replay", "traffic", "--file-id", "99999"), 0, "Nothing to replay: file 99999 of messaging"),
        (("trace", "top_customers", "2020-03"), 1, "not built for 2020-03; it was built for 2026-02, 2026-01"),
        (("trace", "nonsense", "2020-03"), 1, "reports that were built: messaging_report.descriptive_statistics, "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_arguments_are_explained(
    arguments: tuple[str, ...],
    exit_code: int,
    expected: str,
    unchanged: str,
    stack_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", unchanged)
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", BUCKET)
    settings.cache_clear()
    assert re.search(expected, run(*arguments, exit_code=exit_code))


def test_a_trace_of_a_name_that_several_domains_use_names_the_domains(warehouse: Connection) -> None:
    warehouse.execute(
        """
        insert into waybill.publication
        select (jsonb_populate_record(p, '{"report": "shop_report.top_customers"}')).*
        from waybill.publication as p
        where report = 'messaging_report.top_customers'
        """
    )
    expected = "there are several reports 'top_customers': add --domain messaging or --domain shop"
    assert expected in run("trace", "top_customers", exit_code=1)
    assert expected in run("trace", "top_customers", "2026-02", exit_code=1)
    for arguments in (("messaging_report.top_customers",), ("top_customers", "--domain", "messaging")):
        assert "Waybill of messaging_report.top_customers, 2026-02" in run("trace", *arguments)


def test_a_trace_lists_the_files_of_the_tables_that_the_sql_reads(warehouse: Connection) -> None:
    read = {"segment_share": {"customers"}, "top_customers": {"customers", "traffic"}}
    for report, datasets in read.items():
        text = run("trace", report, "2026-02")
        assert set(re.findall(r"raw/messaging/(\w+)/", text)) == datasets


@pytest.mark.parametrize("name", ["AIRFLOW_CONN_WAYBILL_WAREHOUSE", "AWS_ENDPOINT_URL_S3"])
def test_an_unreachable_service_is_named_with_the_next_step(
    name: str, warehouse: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = "127.0.0.1:9"
    monkeypatch.setenv(name, f"http://{closed}" if name.startswith("AWS") else f"postgresql://etl:x@{closed}/warehouse")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    settings.cache_clear()
    assert "does not answer. On the embedded stack, run `make up`. Cause: " in run("books", *MONTHS, exit_code=1)


def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_TIMEZONE", "Europe/Nowhere")
    settings.cache_clear()
    assert run("books", *MONTHS, exit_code=1).startswith("WAYBILL_TIMEZONE: 'Europe/Nowhere' is no time zone")
    settings.cache_clear()
