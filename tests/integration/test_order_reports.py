"""Reports of orders, against an independent computation in Python's decimals, and where they are published."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import Connection

from oracles.orders import EXPECTED, make_lines, regions
from support.messaging_months import RUN, migrate
from support.order_files import CONTRACTS, LINES, Line, Orders, day
from waybill.checks.quality import check_datasets
from waybill.contracts import load
from waybill.derived.refresh import refresh, stale_days
from waybill.errors import DataError
from waybill.intake.ingest import ingest_file
from waybill.ops.books import incomplete
from waybill.outputs.publish import publish_changed
from waybill.settings import PROJECT_ROOT, settings
from waybill.views import pages
from waybill.views.business import page as business
from waybill.views.operations.missing import missing
from waybill.views.operations.scope import Scope
from waybill.warehouse.connection import connect
from waybill.warehouse.evolution import is_changed_version

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DAY, NEXT_DAY = "2026-03-01", "2026-03-02"
REPORTS = ("orders_by_category", "region_profit", "shipping_methods")


def check(connection: Connection, key: str, lines: list[Line]) -> None:
    for report, expected in EXPECTED.items():
        cursor = connection.execute(f"select * from orders_report.{report} where day = %s", (key,))
        assert cursor.description
        names = [column.name for column in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        for row in found:
            assert str(row.pop("day")) == key
        in_order = sorted(found, key=lambda row: (row.get("region"), row.get("category"), row.get("sub_category")))
        assert in_order == expected(lines), report


@pytest.fixture
def orders(empty_connection: Connection) -> Orders:
    return Orders(empty_connection)


def run_refresh(connection: Connection) -> dict[str, list[str]]:
    return refresh(connection, "orders", "orders_report", RUN)


@pytest.mark.parametrize("seed", range(4))
def test_the_reports_of_a_day_equal_an_independent_computation(orders: Orders, seed: int) -> None:
    lines = make_lines(seed, 120)
    assert orders.arrive(DAY, "a.csv", *lines)
    run_refresh(orders.connection)
    check(orders.connection, DAY, lines)


def test_the_lines_of_a_day_are_checked_before_they_are_reported(orders: Orders) -> None:
    def checked() -> dict[str, dict[str, Decimal | None]]:
        found: dict[str, dict[str, Decimal | None]] = {}
        for result in check_datasets(orders.connection, [LINES], stale_days(orders.connection, "orders"), RUN):
            found.setdefault(str(result.period), {})[result.check.name.removeprefix("lines_")] = result.observed
        return found

    assert checked() == {}, "nothing has landed"
    orders.arrive(NEXT_DAY, "b.csv", Line("9", date="2026-03-03", ship_mode="unknown", list_price="5.99"))
    lines = [Line("1", date="3/1/2026"), Line("2", ship_mode=""), Line("3", list_price="1.00"), Line("4")]
    orders.arrive(DAY, "a.csv", *lines)
    assert checked() == {
        DAY: {"ordered_after_landing": 0, "cost_above_list_price_pct": 25, "ship_mode_null_pct": 25},
        NEXT_DAY: {"ordered_after_landing": 1, "cost_above_list_price_pct": 100, "ship_mode_null_pct": 100},
    }
    run_refresh(orders.connection)
    assert checked() == {}, "all is reported"


def test_ties_are_counted_and_an_unknown_ship_mode_is_no_method(orders: Orders) -> None:
    lines = [
        Line("1", region="West", ship_mode="Same Day"),
        Line("2", region="East", ship_mode="First Class"),
        Line("2", region="East", ship_mode="First Class", product="P2", list_price="6.00"),
        Line("3", region="South", cost="20.00", ship_mode="unknown", category="Art", sub_category="Prints"),
        Line("4", region="South", cost="0", list_price="0", ship_mode="", category="Art", sub_category="Prints"),
    ]
    orders.arrive(DAY, "a.csv", *lines)
    run_refresh(orders.connection)
    check(orders.connection, DAY, lines)
    rows = orders.connection.execute(
        "select region, profit_rank, is_tied, profit::text from orders_report.region_profit order by 2, 1"
    ).fetchall()
    assert rows == [("East", 1, True, "4.000000"), ("West", 1, True, "4.000000"), ("South", 3, False, "-10.000000")]
    rows = orders.connection.execute(
        "select category, ship_mode, orders_count, is_tied from orders_report.shipping_methods order by 1"
    ).fetchall()
    assert rows == [("Art", None, 0, False), ("Furniture", "First Class", 1, True)]


def test_cents_of_a_large_sum_are_exact(orders: Orders) -> None:
    lines = [
        Line(str(n), list_price="9999999999.99", cost="0.01", discount="33.33", quantity="2147483647") for n in range(3)
    ]
    orders.arrive(DAY, "a.csv", *lines)
    run_refresh(orders.connection)
    check(orders.connection, DAY, lines)


def test_a_second_file_a_corrected_file_and_a_repetition_give_exact_reports(orders: Orders) -> None:
    first, second, later = make_lines(1, 30), make_lines(2, 20), make_lines(3, 10)
    second = [replace(line, order=f"s{line.order}") for line in second]
    later = [replace(line, order=f"l{line.order}") for line in later]
    orders.arrive(DAY, "a.csv", *first)
    assert run_refresh(orders.connection) == {f"orders_report.{name}": [DAY] for name in REPORTS}
    orders.arrive(DAY, "b.csv", *second)
    run_refresh(orders.connection)
    check(orders.connection, DAY, first + second)
    orders.arrive(NEXT_DAY, "c.csv", *first, *later)  # repeats what landed the day before
    run_refresh(orders.connection)
    check(orders.connection, DAY, first + second)
    check(orders.connection, NEXT_DAY, later)
    orders.arrive(NEXT_DAY, "c.csv", *later)
    corrected = [replace(line, cost="1.23") for line in first[:7]]
    orders.arrive(DAY, "a.csv", *corrected)
    run_refresh(orders.connection)
    check(orders.connection, DAY, corrected + second)
    check(orders.connection, NEXT_DAY, later)
    assert run_refresh(orders.connection) == {}, "nothing is stale"


@pytest.fixture
def reports_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("WAYBILL_REPORTS_BUCKET", bucket)
    settings.cache_clear()
    yield bucket
    settings.cache_clear()


def read_csv(s3: S3Client, bucket: str, key: str) -> list[dict[str, str]]:
    text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_a_description_rebuilds_nothing_and_a_rule_does(
    orders: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    include = shutil.copytree(PROJECT_ROOT / "include", tmp_path / "include")
    contract = include / "contracts/orders_report/region_profit.yaml"

    def built_after(old: str, new: str) -> list[tuple[Any, ...]]:
        """Return the records of all builds after an edit of the contract."""
        text = contract.read_text()
        assert old in text
        contract.write_text(text.replace(old, new))
        assert is_changed_version(orders.connection, load(contract)) == (old == "value: 0}")
        assert run_refresh(orders.connection).keys() <= {f"orders_report.{report}" for report in REPORTS}
        query = "select report, contract_sha256, built_at, content_sha256 from waybill.publication order by 1"
        return orders.connection.execute(query).fetchall()

    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(include))
    settings.cache_clear()
    try:
        orders.arrive(DAY, "a.csv", *make_lines(1, 20))
        before = built_after("name: region_profit", "name: region_profit")
        assert len(before) == 3
        assert built_after("Sales region.", "Region of sales.  # of the seller") == before
        after = built_after("value: 0}", "value: 5}")
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    changed = [one[0] for one, other in zip(before, after, strict=True) if one != other]
    assert changed == ["orders_report.region_profit"]
    assert [one[3] for one in after] == [one[3] for one in before]


def test_the_failure_of_a_removed_check_is_forgotten(
    orders: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    include = shutil.copytree(PROJECT_ROOT / "include", tmp_path / "include")
    contract = include / "contracts/orders_report/region_profit.yaml"
    text = contract.read_text()
    failing = "      - {name: many_regions, metric: rowCount, mustBeGreaterThan: 999, severity: error}\n"
    contract.write_text(text.replace("    quality:\n", f"    quality:\n{failing}"))

    def failures() -> list[tuple[Any, ...]]:
        return orders.connection.execute("select check_name from waybill.check_result where not passed").fetchall()

    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(include))
    settings.cache_clear()
    try:
        orders.arrive(DAY, "a.csv", *make_lines(1, 20))
        with pytest.raises(DataError, match="many_regions is "):
            run_refresh(orders.connection)
        assert failures() == [("many_regions",)]
        contract.write_text(text)
        run_refresh(orders.connection)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert failures() == []


def test_changed_reports_are_published_under_their_landing_day(
    warehouse_dsn: str, s3: S3Client, reports_bucket: str
) -> None:
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        publish_two_days(Orders(connection), s3, reports_bucket)


def publish_two_days(orders: Orders, s3: S3Client, reports_bucket: str) -> None:
    lines = make_lines(5, 40)
    orders.arrive(DAY, "a.csv", *lines)
    orders.arrive(NEXT_DAY, "b.csv", *lines)
    run_refresh(orders.connection)
    published = publish_changed(orders.connection, s3, "orders", RUN)
    expected = [f"{name}.{kind}" for name in REPORTS for kind in ("csv", "parquet")] + ["manifest_orders.json"]
    assert published == [f"analytics/2026/03/{number}/{name}" for number in ("01", "02") for name in expected]
    rows = read_csv(s3, reports_bucket, "analytics/2026/03/01/region_profit.csv")
    assert [{name: row[name] for name in ("region", "profit", "profit_rank")} for row in rows] == [
        {"region": row["region"], "profit": f"{row['profit']:.6f}", "profit_rank": str(row["profit_rank"])}
        for row in regions(lines)
    ]
    assert read_csv(s3, reports_bucket, "analytics/2026/03/02/region_profit.csv") == [], "all lines are repetitions"
    manifest = json.loads(
        s3.get_object(Bucket=reports_bucket, Key="analytics/2026/03/01/manifest_orders.json")["Body"].read()
    )
    assert [file["key"].rsplit("/", 1)[1] for file in manifest["files"]] == ["a.csv"]
    assert publish_changed(orders.connection, s3, "orders", RUN) == []


def test_a_day_without_a_file_is_complete(
    orders: Orders, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    days = day(DAY).until(day("2026-03-05"))
    orders.arrive(NEXT_DAY, "a.csv", Line())
    assert {(gap.period.key, gap.subject) for gap in incomplete(orders.connection, s3, "orders", days)} == {
        (NEXT_DAY, f"orders_report.{name}") for name in REPORTS
    }
    run_refresh(orders.connection)
    assert incomplete(orders.connection, s3, "orders", days) == []
    s3.put_object(Bucket=bucket, Key="raw/orders/lines/dt=2026-03-04/late.csv", Body=b"x")
    (gap,) = incomplete(orders.connection, s3, "orders", days)
    assert str(gap).startswith("2026-03-04 orders.lines: landed, not loaded")
    orders.arrive(NEXT_DAY, "b.csv", Line("2"))
    stale = {gap.subject for gap in incomplete(orders.connection, s3, "orders", days) if "out of date" in gap.what}
    assert stale == {f"orders_report.{name}" for name in REPORTS}
    settings.cache_clear()


def test_the_example_is_read_without_a_reject_and_shown_like_any_other_domain(orders: Orders) -> None:
    example = (PROJECT_ROOT / "examples" / "orders.csv").read_bytes()
    file = orders.land(DAY, "orders.csv", example)
    books = ingest_file(orders.connection, orders.bucket, file, LINES, CONTRACTS, RUN)
    assert books
    assert (books.rows_in, books.inserted) == (16, 16)
    orders.arrive("2026-03-04", "later.csv", Line("9"))
    run_refresh(orders.connection)
    rows = csv.DictReader(io.StringIO(example.decode()))
    profit = sum(
        (Decimal(row["List Price"]) * (1 - Decimal(row["Discount Percent"]) / 100) - Decimal(row["cost price"]))
        * int(row["Quantity"])
        for row in rows
    )
    assert orders.connection.execute(
        "select sum(profit), count(*) from orders_report.region_profit where day = %s", (DAY,)
    ).fetchone() == (profit, 4)
    page = business.page(orders.connection, "orders", day(DAY))
    assert [kpi.label for kpi in page.kpis] == ["Profit", "Revenue", "Profit by revenue"]
    html = pages.business(page, root="")
    assert "Central" in html
    assert "Standard Class" in html
    scope = Scope(("orders",))
    assert missing(orders.connection, scope) == [], "days between two files are complete"
