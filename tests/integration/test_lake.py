"""Each day's file in the lake holds the rows of the warehouse, masked, and is written only when they change."""

from __future__ import annotations

import hashlib
import hmac
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import Connection

from support import shop_tables
from support.lake import KEY, Lake
from support.messaging_months import database, ingest_month, put, sample
from support.shop_tables import CUSTOMERS, EVENTS, REVIEWS, ROWS, TRANSACTIONS, insert
from support.waiting import PATIENCE, eventually
from waybill.contracts import load_domain
from waybill.errors import DataError
from waybill.settings import SettingsError, settings
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

CONTRACTS = load_domain("shop")
TABLES = {"customers": "customers_changes", "transactions": "transactions", "clickstream": "clickstream"} | {
    "reviews": "reviews"
}
DAY = date(2026, 3, 1)
Zone = Callable[[str], None]


@pytest.fixture
def zone(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Zone:
    """Set the business time zone."""

    def change(name: str) -> None:
        monkeypatch.setenv("WAYBILL_TIMEZONE", name)
        settings.cache_clear()

    return change


@pytest.fixture
def shop(warehouse_dsn: str, lake: Lake) -> Iterator[Connection]:
    """A warehouse with the shop's base tables."""
    with connect(warehouse_dsn) as connection:
        shop_tables.create(connection)
        yield connection


def pseudonym(value: str, secret: str = KEY) -> str:
    return hmac.new(secret.encode(), value.encode(), hashlib.sha256).hexdigest()[:32]


def expected(dataset: str, day: date, timezone: str = "UTC") -> list[tuple[Any, ...]]:
    """Return the rows of a day that the lake should have, by the calendar of Python."""
    period = {"customers": 5, "transactions": 6, "clickstream": 6, "reviews": 5}[dataset]
    order = (lambda row: (row[0], row[5])) if dataset == "customers" else (lambda row: row[0])
    found = []
    for row in sorted(ROWS[TABLES[dataset]], key=order):
        at = row[period]
        if (at if isinstance(at, date) and dataset == "reviews" else at.astimezone(ZoneInfo(timezone)).date()) == day:
            masked = (row[0], pseudonym(row[1]), pseudonym(row[2]), *row[3:]) if dataset == "customers" else row
            found.append(
                tuple(str(value) if dataset == "clickstream" and n < 2 else value for n, value in enumerate(masked))
            )
    return found


def rows(of: pa.Table) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in of.to_pylist()]


@pytest.mark.parametrize("dataset", sorted(TABLES))
@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati"])
def test_each_day_has_its_rows(dataset: str, timezone: str, shop: Connection, lake: Lake, zone: Zone) -> None:
    zone(timezone)
    days = [date(2026, 2, 28) + timedelta(days=offset) for offset in range(34)]
    counts = lake.write(shop, CONTRACTS[dataset], days)
    assert list(counts) == days
    assert sum(counts.values()) == len(ROWS[TABLES[dataset]])
    full = [day for day in days if expected(dataset, day, timezone)]
    assert lake.folders(CONTRACTS[dataset]) == [f"processed/shop/{dataset}/dt={day}" for day in full]
    assert lake.objects() == lake.files(CONTRACTS[dataset])
    for day in days:
        wanted = expected(dataset, day, timezone)
        assert counts[day] == len(wanted)
        if wanted:
            assert rows(lake.day(CONTRACTS[dataset], day)) == wanted


def test_the_day_of_a_snapshot_has_the_rows_that_were_current_at_its_end(shop: Connection, lake: Lake) -> None:
    days = [date(2026, 2, 28) + timedelta(days=offset) for offset in range(5)]
    assert list(lake.write(shop, CONTRACTS["products"], days).values()) == [0, 1, 2, 1, 1]
    first, second = (lake.day(CONTRACTS["products"], day).to_pylist() for day in days[1:3])
    assert [row["price"] for row in first] == [Decimal("1.00")]
    assert [(row["product_id"], row["name"], row["price"]) for row in second] == [
        (1, "A", Decimal("1.00")),
        (2, "", Decimal("10000000.00")),
    ]
    assert lake.day(CONTRACTS["products"], days[3]) == lake.day(CONTRACTS["products"], days[4])


def test_types_are_exact(shop: Connection, lake: Lake) -> None:
    for name in ("customers", "transactions", "clickstream"):
        lake.write(shop, CONTRACTS[name], [DAY])
    instant, text = pa.timestamp("us", "UTC"), pa.string()
    fields = [
        ("transaction_id", pa.int64()), ("customer_id", pa.int32()), ("product_id", pa.int32()),
        ("quantity", pa.int32()), ("price", pa.decimal128(10, 2)), ("total_amount", pa.decimal128(14, 2)),
        ("transaction_ts", instant), ("status", text), ("payment_method", text),
    ]  # fmt: skip
    wanted = pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])
    assert lake.day(CONTRACTS["transactions"], DAY).schema.remove_metadata() == wanted
    assert lake.day(CONTRACTS["customers"], DAY).schema.field("registration_date").type == pa.date32()
    events = lake.day(CONTRACTS["clickstream"], DAY).schema
    assert [events.field(name).nullable for name in ("event_id", "customer_id", "product_id")] == [False, True, True]
    described = pq.read_metadata(io.BytesIO(lake.body(CONTRACTS["transactions"], DAY))).schema
    assert str(described.column(6).logical_type) == (
        "Timestamp(isAdjustedToUTC=true, timeUnit=microseconds, is_from_converted_type=false, "
        "force_set_converted_type=false)"
    )
    assert described.column(6).physical_type == "INT64"


def test_null_is_not_an_empty_text(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACTS["reviews"], [DAY])
    found = lake.day(CONTRACTS["reviews"], DAY)["review_text"].to_pylist()
    assert found == [row[4] for row in REVIEWS]
    assert found[:2] == [None, ""]
    frame = pd.read_parquet(io.BytesIO(lake.body(CONTRACTS["reviews"], DAY)))
    assert frame["review_text"].isna().tolist() == [True] + [False] * (len(REVIEWS) - 1)


def test_duckdb_and_pandas_read_it_and_skip_other_days(shop: Connection, lake: Lake, tmp_path: Path) -> None:
    days = sorted({row[6].date() for row in TRANSACTIONS})
    assert len(days) == 4
    lake.write(shop, CONTRACTS["transactions"], days)
    for key in lake.files(CONTRACTS["transactions"]):
        path = tmp_path / key
        path.parent.mkdir(parents=True)
        lake.s3.download_file(lake.bucket, key, str(path))
    folder = tmp_path / "processed/shop/transactions"
    source = f"read_parquet('{folder}/*/*.parquet', hive_partitioning=true)"
    with duckdb.connect() as engine:
        engine.execute("set timezone = 'UTC'")
        found = engine.execute(f"select * exclude (dt, lake_day) from {source} order by transaction_id").fetchall()
        assert found == sorted(TRANSACTIONS)
        of_day = f"from {source} where dt = '2026-03-02'"
        assert engine.execute(f"select transaction_id, price, dt {of_day}").fetchall() == [
            (3, Decimal("0.10"), date(2026, 3, 2))
        ]
        plan = engine.execute(f"explain select sum(total_amount) {of_day}").fetchall()[0][1]
        assert "Scanning Files: 1/4" in plan
    frame = pd.read_parquet(folder, filters=[("dt", "==", "2026-03-01")])
    assert list(frame.columns) == [*CONTRACTS["transactions"].names, "lake_day", "dt"]
    assert [tuple(row) for row in frame.drop(columns=["lake_day", "dt"]).itertuples(index=False)] == expected(
        "transactions", DAY
    )


def test_the_same_rows_are_not_written_again(shop: Connection, lake: Lake, warehouse_dsn: str) -> None:
    """The order of storage and the settings of the session have no effect."""
    for name in CONTRACTS:
        lake.write(shop, CONTRACTS[name], [DAY])
    before = {name: lake.snapshots(contract) for name, contract in CONTRACTS.items()}
    objects = lake.objects()
    assert [len(snapshots) for snapshots in before.values()] == [1] * len(CONTRACTS)
    for name, values in ROWS.items():
        shop.execute(f"delete from shop.{name}")  # type: ignore[arg-type]
        insert(shop, name, values[::-1])
    options = "-c timezone=Asia/Tokyo -c datestyle=German -c client_encoding=LATIN1 -c extra_float_digits=0"
    with connect(warehouse_dsn + f"?options={quote(options)}") as other:
        for name in CONTRACTS:
            assert lake.write(other, CONTRACTS[name], [DAY, DAY]).keys() == {DAY}
    assert {name: lake.snapshots(contract) for name, contract in CONTRACTS.items()} == before
    assert lake.objects() == objects


def test_only_the_day_that_changed_is_written(shop: Connection, lake: Lake) -> None:
    days = [DAY, date(2026, 3, 2), date(2026, 3, 29)]
    lake.write(shop, CONTRACTS["transactions"], days)
    before = lake.files(CONTRACTS["transactions"])
    shop.execute("update shop.transactions set status = 'returned' where transaction_id = 3")
    lake.write(shop, CONTRACTS["transactions"], days)
    new = set(lake.files(CONTRACTS["transactions"])) - set(before)
    assert [key.split("/")[3] for key in new] == ["dt=2026-03-02"]
    assert lake.day(CONTRACTS["transactions"], days[1])["status"].to_pylist() == ["returned"]


def test_a_day_without_rows_has_no_file(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACTS["reviews"], [DAY])
    shop.execute("delete from shop.reviews")
    for _ in range(2):
        assert lake.write(shop, CONTRACTS["reviews"], [DAY, date(2026, 3, 2)]) == {DAY: 0, date(2026, 3, 2): 0}
    assert lake.files(CONTRACTS["reviews"]) == []
    assert len(lake.snapshots(CONTRACTS["reviews"])) == 2


def test_restricted_columns_are_exported_as_pseudonyms_only(shop: Connection, lake: Lake) -> None:
    days = [DAY, date(2026, 3, 2), date(2026, 3, 3)]
    lake.write(shop, CONTRACTS["customers"], days)
    found = [row for day in days for row in lake.day(CONTRACTS["customers"], day).to_pylist()]
    assert [(row["name"], row["email"]) for row in found] == [
        (pseudonym(row[1]), pseudonym(row[2])) for row in CUSTOMERS
    ]
    assert found[1]["name"] == found[4]["name"]  # it joins over days
    everything = b"".join(
        pq.read_table(io.BytesIO(lake.body(CONTRACTS["customers"], day))).to_pandas().to_csv().encode() for day in days
    )
    for row in CUSTOMERS:
        for value in row[1:3]:
            assert value.encode() not in everything
    assert shop.execute("select current_setting('waybill.mask_inner', true)").fetchone() == ("",)


@pytest.mark.parametrize("secret", ["k" * 64, "k" * 65, "schlüssel-ÄÖÜ-schlüssel-ÄÖÜ-schlüssel"])
def test_a_pseudonym_is_the_standard_hmac_for_any_key(
    secret: str, shop: Connection, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_MASK_KEY", secret)
    settings.cache_clear()
    lake.write(shop, CONTRACTS["customers"], [date(2026, 3, 2)])
    assert lake.day(CONTRACTS["customers"], date(2026, 3, 2))["name"].to_pylist() == [
        pseudonym(CUSTOMERS[3][1], secret)
    ]


def test_a_restricted_number_and_a_missing_value_are_masked_too(shop: Connection, lake: Lake) -> None:
    plain = CONTRACTS["clickstream"]
    columns = [
        replace(column, classification="restricted") if column.name in ("event_id", "customer_id") else column
        for column in plain.columns
    ]
    lake.write(shop, replace(plain, columns=tuple(columns)), [DAY])
    found = lake.day(CONTRACTS["clickstream"], DAY)
    assert found.schema.field("customer_id").type == pa.string()
    wanted = {(pseudonym(str(row[0])), None if row[2] is None else pseudonym(str(row[2])), row[4]) for row in EVENTS}
    assert {(row["event_id"], row["customer_id"], row["page"]) for row in found.to_pylist()} == wanted


def test_without_a_key_nothing_is_exported(shop: Connection, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYBILL_MASK_KEY")
    settings.cache_clear()
    with pytest.raises(SettingsError, match=r"WAYBILL_MASK_KEY is not set\. shop\.customers .*\(name, email\)"):
        lake.write(shop, CONTRACTS["customers"], [DAY])
    assert lake.objects() == []
    assert lake.write(shop, CONTRACTS["reviews"], [DAY]) == {DAY: len(REVIEWS)}  # it has nothing to hide


def test_a_writer_waits_for_the_previous_one(shop: Connection, lake: Lake, warehouse_dsn: str) -> None:
    """Otherwise the first reader could write last, and the file would miss rows that were committed in between."""

    class Held:
        """A client that blocks before it writes a day."""

        begun, go_on = threading.Event(), threading.Event()

        def __getattr__(self, name: str) -> Any:
            return getattr(lake.s3, name)

        def upload_file(self, *arguments: Any) -> None:
            self.begun.set()
            assert self.go_on.wait(PATIENCE)
            lake.s3.upload_file(*arguments)

    def write(client: Any) -> None:
        with connect(warehouse_dsn) as connection:
            lake.write(connection, CONTRACTS["reviews"], [DAY], client)

    def waits() -> bool:
        query = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        return shop.execute(query).fetchone() == (1,)

    first, second = (threading.Thread(target=write, args=(client,)) for client in (Held(), lake.s3))
    first.start()
    assert Held.begun.wait(PATIENCE)
    insert(shop, "reviews", [(1000, 1, 1, 1, "late", DAY)])
    second.start()
    try:
        assert eventually(waits)
    finally:
        Held.go_on.set()
        first.join(PATIENCE)
        second.join(PATIENCE)
    assert lake.day(CONTRACTS["reviews"], DAY)["review_text"].to_pylist()[-1] == "late"


def test_long_texts_fill_several_row_groups(shop: Connection, lake: Lake) -> None:
    """Reads are bounded in bytes, not rows. One row may be longer."""
    shop.execute("delete from shop.reviews")
    shop.execute(
        "insert into shop.reviews select i, 1, 1, 5, repeat(E'\"a\\n,' || i, 1700), %s, 1, i, %s "
        "from generate_series(1, 5000) as i",
        (DAY, DAY),
    )
    insert(shop, "reviews", [(5001, 1, 1, 5, "\n" * 17 * 2**20, DAY), (5002, 1, 1, 5, None, DAY)])
    assert lake.write(shop, CONTRACTS["reviews"], [DAY]) == {DAY: 5002}
    found = pq.ParquetFile(io.BytesIO(lake.body(CONTRACTS["reviews"], DAY)))
    assert 3 <= found.metadata.num_row_groups <= 6
    texts = found.read(["review_text"])["review_text"].to_pylist()
    assert all(text == f'"a\n,{number}' * 1700 for number, text in enumerate(texts[:5000], start=1))
    assert texts[5000:] == ["\n" * 17 * 2**20, None]


def test_a_report_by_month_has_no_days(shop: Connection, lake: Lake) -> None:
    with pytest.raises(DataError, match=r"shop\.reviews has load mode report and no column for days"):
        lake.write(shop, replace(CONTRACTS["reviews"], load_mode="report", cadences=("month",)), [DAY])


def test_loaded_rows_are_the_rows_in_the_lake(stack: Stack, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partitioned table: messaging's traffic."""
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", lake.bucket)
    settings.cache_clear()
    put(lake.s3, lake.bucket, sample("2026-03", 1, scale=0.3))
    contract = load_domain("messaging")["traffic"]
    with database(stack) as dsn, connect(dsn) as connection:
        ingest_month(connection, lake.s3, "2026-03")
        days = [day for (day,) in connection.execute("select distinct send_date from messaging.traffic").fetchall()]
        counts = lake.write(connection, contract, days)
        assert len(days) >= 31
        query = f"select {', '.join(contract.names)} from messaging.traffic order by {', '.join(contract.key)}"
        wanted = connection.execute(query).fetchall()  # type: ignore[arg-type]
    found: list[tuple[Any, ...]] = []
    for day in sorted(days):
        found += rows(lake.day(contract, day))
    assert found == wanted
    assert sum(counts.values()) == len(wanted)
