"""A loaded file whose object is deleted is reported, its rows are withdrawn, and older rows become current."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import Connection
from typer.testing import CliRunner

from support.landing import CUSTOMERS, MONTH, TRAFFIC, Landing, csv_body, customer_rows, traffic_rows
from support.messaging_months import RUN, database, month
from support.order_files import CONTRACTS, Line, body
from waybill.cli import app
from waybill.derived.refresh import refresh
from waybill.errors import DataError
from waybill.files.content import ObjectChanged
from waybill.files.landed_file import LandedFile
from waybill.files.receive import receive
from waybill.intake import withdrawal
from waybill.intake.ingest import ingest_arrived
from waybill.intake.landing import list_landed
from waybill.ops.books import incomplete
from waybill.period import Period
from waybill.settings import settings
from waybill.views.operations.missing import missing
from waybill.views.operations.scope import Scope
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIELD = Path(__file__).parents[1] / "field"
PREFIX = "raw/orders/lines/"
CONTRACT = CONTRACTS["lines"]
KEY = PREFIX + "withdrawn.csv"


@pytest.fixture
def raw_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    yield bucket
    settings.cache_clear()


@pytest.fixture
def warehouse(stack: Stack, stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """The warehouse of the test, which commands use."""
    with database(stack) as dsn:
        monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        settings.cache_clear()
        with connect(dsn) as connection:
            yield connection
    settings.cache_clear()


def command(*arguments: str, exit_code: int = 0) -> str:
    """Run a command and return its output as one line."""
    result = CliRunner().invoke(app, list(arguments))
    text = " ".join(result.output.split())
    assert result.exit_code == exit_code, text
    return text


def ingest(connection: Connection, s3: S3Client) -> list[str]:
    return [*ingest_arrived(connection, s3, CONTRACT, CONTRACTS, RUN)]


def states(connection: Connection, key: str = KEY) -> list[tuple[str, str | None]]:
    return connection.execute(
        "select status, gone from waybill.load_file where object_key = %s order by file_id", (key,)
    ).fetchall()


def test_a_deleted_file_is_reported_withdrawn_and_loaded_again_when_it_returns(
    warehouse: Connection, s3: S3Client, raw_bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    content = (FIELD / "22_deleted_object" / "withdrawn.csv").read_bytes()
    s3.put_object(Bucket=raw_bucket, Key=KEY, Body=content)
    s3.put_object(Bucket=raw_bucket, Key=PREFIX + "other.csv", Body=body(Line("2")))
    ingest(warehouse, s3)
    refresh(warehouse, "orders", "orders_report", RUN)
    ((file_id, day),) = warehouse.execute(
        "select file_id, period from waybill.load_file where object_key = %s", (KEY,)
    ).fetchall()
    assert "is still in the bucket" in command("withdraw", str(file_id), exit_code=1)
    s3.delete_object(Bucket=raw_bucket, Key=KEY)

    today = Period.of("day", day)
    notice = f"was loaded and is gone from the bucket: s3://{raw_bucket}/{KEY} (file {file_id}, 1 rows)"
    books = command("books", str(today), str(today), "--domain", "orders", exit_code=1)
    assert notice in books, "books compare with the bucket"
    assert f"waybill withdraw {file_id}" in books
    assert missing(warehouse, Scope(("orders",))) == [], "the warehouse has not recorded it yet"
    with caplog.at_level(logging.WARNING):
        assert ingest(warehouse, s3) == []
        assert ingest(warehouse, s3) == []
    assert len([record for record in caplog.records if notice in record.getMessage()]) == 1, "the log reports it once"
    (gap,) = missing(warehouse, Scope(("orders",)))
    assert notice in str(gap)

    printed = command("withdraw", "withdrawn.csv", "--domain", "orders")
    assert f"Withdrew s3://{raw_bucket}/{KEY} with 1 row." in printed
    assert "Rows changed. The next run of orders_reports rebuilds" in printed
    assert warehouse.execute("select order_id from orders.lines").fetchall() == [("2",)]
    assert states(warehouse) == [("withdrawn", None)]
    assert missing(warehouse, Scope(("orders",))) != [], "reports are out of date"
    assert refresh(warehouse, "orders", "orders_report", RUN)
    assert incomplete(warehouse, s3, "orders", [today]) == []
    assert "no loaded file" in command("withdraw", str(file_id), exit_code=1)

    s3.put_object(Bucket=raw_bucket, Key=KEY, Body=content)
    assert ingest(warehouse, s3) == [KEY]
    assert states(warehouse) == [("withdrawn", None), ("loaded", None)]
    prices = warehouse.execute("select list_price from orders.lines where order_id = 'C22'").fetchall()
    assert prices == [(Decimal("100.00"),)]


def test_the_reports_of_a_day_whose_only_file_is_withdrawn_are_built_again(
    warehouse: Connection, s3: S3Client, raw_bucket: str
) -> None:
    s3.put_object(Bucket=raw_bucket, Key=PREFIX + "dt=2026-03-02/only.csv", Body=body(Line()))
    ingest(warehouse, s3)
    refresh(warehouse, "orders", "orders_report", RUN)
    s3.delete_object(Bucket=raw_bucket, Key=PREFIX + "dt=2026-03-02/only.csv")
    command("withdraw", "only.csv")
    assert warehouse.execute("select count(*) from orders_report.region_profit").fetchall() != [(0,)]
    assert refresh(warehouse, "orders", "orders_report", RUN)
    assert warehouse.execute("select count(*) from orders_report.region_profit").fetchall() == [(0,)]


def test_an_accepted_file_keeps_its_rows_and_is_no_longer_listed_until_it_returns(
    warehouse: Connection, s3: S3Client, raw_bucket: str
) -> None:
    s3.put_object(Bucket=raw_bucket, Key=KEY, Body=body(Line()))
    ingest(warehouse, s3)
    assert "is still in the bucket" in command("withdraw", KEY, "--accept", exit_code=1)
    s3.delete_object(Bucket=raw_bucket, Key=KEY)
    ingest(warehouse, s3)
    assert states(warehouse) == [("loaded", "noticed")]
    assert f"Accepted: orders.lines keeps 1 row of s3://{raw_bucket}/{KEY}." in command("withdraw", KEY, "--accept")
    ingest(warehouse, s3)
    assert states(warehouse) == [("loaded", "accepted")]
    (day,) = warehouse.execute("select landed_on from orders.lines").fetchone() or ()
    gaps = [str(gap) for gap in incomplete(warehouse, s3, "orders", [Period.of("day", day)])]
    assert not any("gone" in gap for gap in gaps)
    s3.put_object(Bucket=raw_bucket, Key=KEY, Body=body(Line()))
    assert ingest(warehouse, s3) == [], "the same content is loaded already"
    assert states(warehouse) == [("loaded", None)]
    s3.delete_object(Bucket=raw_bucket, Key=KEY)
    ingest(warehouse, s3)
    assert states(warehouse) == [("loaded", "noticed")], "it is reported again when it disappears again"


def test_withdrawing_a_name_of_several_files_asks_for_an_id(
    warehouse: Connection, s3: S3Client, raw_bucket: str
) -> None:
    for day in ("2026-03-01", "2026-03-02"):
        s3.put_object(Bucket=raw_bucket, Key=f"{PREFIX}dt={day}/a.csv", Body=body(Line()))
    ingest(warehouse, s3)
    printed = command("withdraw", "a.csv", exit_code=1)
    assert "2 loaded files are named 'a.csv'" in printed
    assert "Use the id of one of them" in printed


def test_a_file_that_is_named_like_the_id_of_another_does_not_hide_it(landing: Landing) -> None:
    file_id = landing.ledger(landing.load("traffic", csv_body(TRAFFIC, traffic_rows(1)), "a.csv"))["file_id"]
    landing.load("traffic", csv_body(TRAFFIC, traffic_rows(2)), str(file_id))
    assert withdrawal.find_loaded(landing.connection, str(file_id)).object_key.endswith("/a.csv")


def withdraw(landing: Landing, dataset: str, key: str) -> withdrawal.Withdrawn:
    """Delete an object and withdraw its rows."""
    landing.s3.delete_object(Bucket=landing.bucket, Key=key)
    file = withdrawal.find_loaded(landing.connection, key)
    return withdrawal.withdraw(landing.connection, landing.s3, landing.contracts[dataset], file)


def test_older_rows_become_current_again_and_quarantined_rows_are_closed(landing: Landing) -> None:
    older = landing.load("traffic", csv_body(TRAFFIC, traffic_rows(3, revenue="1.00")), "a.csv")
    rows = [*traffic_rows(2, revenue="2.00"), "9,2026-03-09,1,1,1,10,never"]
    rows += traffic_rows(30, revenue="2.00")[10:]
    newer = landing.load("traffic", csv_body(TRAFFIC, rows), "b.csv")
    assert landing.rejects(newer) == {3: ["type:revenue_eur"]}
    books = landing.ledger(newer)
    done = withdraw(landing, "traffic", newer)
    assert len(done.days) > 2
    assert (
        landing.all("select _file_id, revenue_eur from messaging.traffic where send_date >= '2026-03-01'")
        == [(landing.ledger(older)["file_id"], Decimal("1.00"))] * 3
    )
    assert landing.all("select * from messaging.traffic_superseded") == []
    assert landing.rejects(newer) == {}
    kept = landing.ledger(newer, "withdrawn")
    assert kept | {"status": "loaded"} == books, "the ledger keeps the file and its books"
    recorded = landing.column(
        "select day from waybill.change where file_id = %s order by change_id", (books["file_id"],)
    )
    assert sorted(recorded[-len(done.days) :]) == done.days
    landing.check(older, 3)


def test_withdrawing_a_snapshot_loads_another_of_its_month_or_extends_the_former_one(landing: Landing) -> None:
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(segment="Startup")), key_month="2026-02")
    first = landing.load("customers", csv_body(CUSTOMERS, customer_rows(8)), "a.csv")
    second = landing.load("customers", csv_body(CUSTOMERS, customer_rows(9, segment="Enterprise")), "b.csv")

    def segments() -> dict[str, int]:
        query = "select segment, count(*) from messaging.customers_as_of('2026-04-01') group by segment"
        return dict(landing.all(query))

    assert segments() == {"Enterprise": 9}
    landing.s3.delete_object(Bucket=landing.bucket, Key=first)
    with pytest.raises(DataError, match=r"cannot be withdrawn yet: .*/a\.csv"):
        withdraw(landing, "customers", second)
    assert segments() == {"Enterprise": 9}, "nothing changed"
    landing.put("customers", MONTH, csv_body(CUSTOMERS, customer_rows(8)), "a.csv")
    done = withdraw(landing, "customers", second)
    assert done.again == first
    assert segments() == {"Startup": 9}, "the former state continues"
    assert [*landing.ingest("customers", MONTH)] == ["a.csv"]
    assert segments() == {"Startup": 8}
    assert withdraw(landing, "customers", first).again is None
    assert segments() == {"Startup": 9}
    assert [
        status
        for (status,) in landing.all(
            "select status from waybill.load_file where object_key in (%s, %s) order by file_id", (first, second)
        )
    ] == ["superseded", "withdrawn", "withdrawn"]


def test_a_run_for_a_month_detects_deleted_files(landing: Landing) -> None:
    key = landing.load("traffic", csv_body(TRAFFIC, traffic_rows(3)), "a.csv")
    landing.s3.delete_object(Bucket=landing.bucket, Key=key)
    landing.ingest("traffic", MONTH)
    assert landing.ledger(key)["gone"] == "noticed"
    found = incomplete(landing.connection, landing.s3, "messaging", [month(MONTH)])
    (gap,) = [one for one in found if "gone" in one.what]
    assert (gap.period, gap.subject) == (month(MONTH), "messaging.traffic")
    assert key in gap.what


class Changing:
    """A client of S3 whose object changes between the listing and the read."""

    def __init__(self, s3: S3Client, change: Any) -> None:
        self._s3, self._change = s3, change

    def get_object(self, **names: str) -> Any:
        self._change(names["Key"])
        return self._s3.get_object(**names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)


def test_an_object_that_changes_while_it_is_read_waits_for_the_next_run(
    warehouse: Connection, s3: S3Client, raw_bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = body(Line("1"), Line("2"))
    s3.put_object(Bucket=raw_bucket, Key=KEY, Body=whole[:-20])
    growing: Any = Changing(s3, lambda key: s3.put_object(Bucket=raw_bucket, Key=key, Body=whole))
    assert ingest(warehouse, growing) == []
    assert f"changed after it was listed, from {len(whole) - 20} to {len(whole)} bytes" in caplog.text
    assert warehouse.execute("select count(*) from waybill.rejected_file").fetchone() == (0,)
    (file,) = list_landed(s3, raw_bucket, CONTRACT, None, None)
    (gap,) = incomplete(warehouse, s3, "orders", [file.period])
    assert gap.what == f"landed, not loaded: {file.uri}"
    deleted: Any = Changing(s3, lambda key: s3.delete_object(Bucket=raw_bucket, Key=key))
    with pytest.raises(ObjectChanged, match="deleted after it was listed"):
        receive(deleted, file, CONTRACT, tmp_path)
    s3.put_object(Bucket=raw_bucket, Key=KEY, Body=whole)
    with pytest.raises(ObjectChanged, match="changed after it was listed"):
        receive(s3, LandedFile(file.bucket, KEY, file.etag, 1, file.period, file.landed_at), CONTRACT, tmp_path)
    assert ingest(warehouse, s3) == [KEY]
    assert warehouse.execute("select count(*) from orders.lines").fetchone() == (2,)


def test_a_file_of_a_dataset_without_a_contract_can_only_be_kept(
    warehouse: Connection, s3: S3Client, raw_bucket: str, include_dir: Path
) -> None:
    s3.put_object(Bucket=raw_bucket, Key=KEY, Body=body(Line()))
    ingest(warehouse, s3)
    s3.delete_object(Bucket=raw_bucket, Key=KEY)
    (include_dir / "contracts/orders/lines.yaml").unlink()
    printed = command("withdraw", "withdrawn.csv", exit_code=1)
    assert f"orders.lines has no contract, so the rows of s3://{raw_bucket}/{KEY} cannot be withdrawn." in printed
    assert "run `waybill retire orders.lines`" in printed
    assert "include/contracts/orders/lines.yaml" in printed
    assert states(warehouse) == [("loaded", None)]
    assert "Accepted: orders.lines keeps 1 row" in command("withdraw", "withdrawn.csv", "--accept")
