"""Conflicting rows of two files of one period are reported with both files; files of later periods update."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import Connection
from typer.testing import CliRunner

from support.landing import CUSTOMERS, LANDED_AT, MONTH, TRAFFIC, Landing, csv_body, customer_rows, reported_conflicts
from support.messaging_months import RUN, database
from support.order_files import CONTRACTS, Line, Orders
from support.shop_landing import SHOP, Shop
from waybill.cli import app
from waybill.intake import conflicts, file_warnings
from waybill.intake.ingest import ingest_arrived
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIELD = Path(__file__).parents[1] / "field"
PREFIX = "raw/orders/lines/"
LATER = LANDED_AT + timedelta(hours=1)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def warehouse(
    stack: Stack, stack_environment: dict[str, str], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    """A warehouse and a bucket of the test's own, which commands use."""
    with database(stack) as dsn:
        monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
        settings.cache_clear()
        with connect(dsn) as connection:
            yield connection
    settings.cache_clear()


def command(*arguments: str) -> str:
    """Run a command and return its output as one line."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_a_correction_on_the_same_day_is_reported_with_both_files_and_values(
    warehouse: Connection, s3: S3Client, bucket: str
) -> None:
    assert command("conflicts", "lines") == "No files of orders.lines for the same day disagree."
    for name in ("week48.csv", "week48 (1).csv"):
        content = (FIELD / "01_browser_copy_loses" / name).read_bytes()
        s3.put_object(Bucket=bucket, Key=PREFIX + name, Body=content)
        ingest_arrived(warehouse, s3, CONTRACTS["lines"], CONTRACTS, RUN)
    ((key, kind, message),) = [
        (warning.object_key, warning.kind, warning.message)
        for warning in file_warnings.of_run(warehouse, "orders", RUN.run_id or "")
    ]
    assert (key, kind) == (f"{PREFIX}week48 (1).csv", "conflict")
    assert message == (
        f"1 row differs from {PREFIX}week48.csv, a file of the same day; {PREFIX}week48 (1).csv is the later one and "
        "counts (first: order_id C01, product_id P-1, occurrence 1). Compare: waybill conflicts lines --domain orders"
    )
    printed = command("conflicts", "lines", "--domain", "orders")
    assert "1 keys on which files of the same day disagree" in printed
    assert f"{PREFIX}week48.csv list_price 100.00" in printed
    assert f"{PREFIX}week48 (1).csv yes list_price 110.00" in printed


def test_an_overruled_file_reports_conflicts_but_not_equal_rows_or_other_days(
    empty_connection: Connection,
) -> None:
    orders = Orders(empty_connection)
    orders.arrive("2026-03-01", "a.csv", Line("1"), Line("2"), landed_at=LATER)
    orders.arrive("2026-03-01", "b.csv", Line("1", quantity="2"), Line("2"), Line("3"))
    assert reported_conflicts(empty_connection) == {"a.csv": 1}
    (message,) = empty_connection.execute("select message from waybill.file_warning").fetchone() or ()
    assert "a.csv is the later one and counts" in message
    orders.arrive("2026-03-02", "c.csv", Line("1", quantity="3"), Line("3", quantity="4"))
    assert reported_conflicts(empty_connection) == {}
    # The current rows are those of a later day; the files of the first day still disagree with each other.
    orders.arrive("2026-03-01", "d.csv", Line("1", quantity="5"), Line("3"), landed_at=LATER)
    assert reported_conflicts(empty_connection) == {"a.csv": 1, "b.csv": 1}
    versions, keys = conflicts.conflicts(empty_connection, CONTRACTS["lines"], 20)
    assert keys == 1
    assert [(one.object_key.rsplit("/", 1)[1], one.values, one.is_current) for one in versions] == [
        ("b.csv", "quantity 2", False),
        ("a.csv", "quantity 1", False),
        ("d.csv", "quantity 5", False),
    ]
    assert conflicts.conflicts(empty_connection, CONTRACTS["lines"], 0) == ([], 0)


def test_conflicting_snapshots_of_one_month_are_reported_in_any_order(landing: Landing) -> None:
    contract = landing.contracts["customers"]
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(9)), "a.csv")
    assert reported_conflicts(landing.connection) == {}
    landing.load("customers", csv_body(CUSTOMERS, [*customer_rows(7), *customer_rows(9, segment="SMB")[7:]]), "b.csv")
    assert reported_conflicts(landing.connection) == {"a.csv": 2}
    by_name = replace(contract, file_order="name")
    landing.contracts = landing.contracts | {"customers": by_name}
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(9)), "aa.csv")
    assert reported_conflicts(landing.connection) == {"b.csv": 2}
    (message,) = landing.column("select message from waybill.file_warning order by file_id desc limit 1")
    assert "b.csv is the later one and counts (first: customer_id 8; customer_id 9)" in message
    assert "Compare the two files" in message


def test_conflicting_changes_of_one_version_are_reported_and_restricted_values_masked(
    empty_connection: Connection,
) -> None:
    shop = Shop(empty_connection)
    shop.load_rows("customers", "2026-03-01", [(1, AT, 1), (2, AT, 1)], "a.csv")
    later = [(1, AT, 2), (2, AT + timedelta(seconds=1), 2)]
    shop.load_rows("customers", "2026-03-01", later, "b.csv", LATER)
    assert reported_conflicts(empty_connection) == {"a.csv": 1}, "two versions of a key are two rows"
    masked = {column.name for column in SHOP["customers"].columns if column.classification == "restricted"}
    assert masked
    hidden = replace(
        SHOP["customers"],
        columns=tuple(replace(column, classification="restricted") for column in SHOP["customers"].columns),
    )
    versions, _ = conflicts.conflicts(empty_connection, hidden, 20)
    assert {(one.key, one.values) for one in versions} == {("customer_id ***, updated_at ***", "name ***")}


def test_of_many_rows_the_first_keys_are_named(landing: Landing) -> None:
    def rows(revenue: str) -> list[str]:
        return [f"{n},2026-03-01,1,{n},1,10,{revenue}" for n in range(1, 10)]

    landing.load("traffic", csv_body(TRAFFIC, rows("1.00")), "a.csv", MONTH)
    landing.load("traffic", csv_body(TRAFFIC, rows("2.00")), "b.csv", MONTH)
    (message,) = landing.column("select message from waybill.file_warning")
    assert message.startswith("9 rows differ from ")
    assert message.count("customer_id") == 3
