"""Every type of a contract, from files into the warehouse, through quarantine and replay, and out into the lake."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import Connection, sql

from support.landing import csv_body, total
from support.messaging_months import RUN
from support.shop_landing import Shop
from waybill.contracts import Column, Contract
from waybill.intake.replay import replay
from waybill.outputs.catalog import register
from waybill.outputs.export import copy_csv
from waybill.outputs.lake import write_days
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DAY = "2026-03-02"
COLUMNS = (
    Column("id", "", "integer", "smallint", required=True, key_position=1),
    Column("at", "", "timestamp", "timestamp", required=True),
    Column("opens", "", "time", "time"),
    Column("level", "", "number", "double precision", options={"exclusiveMaximum": 1e300}),
    Column("ratio", "", "number", "real", options={"minimum": -0.1}),
    Column("size", "", "integer", "smallint", options={"maximum": 500}),
)
CONTRACT = Contract("shop", "meters", "1", "", "", COLUMNS, "merge", 100, 7, (), "meters", ("day",), period_column="at")
NAMES = [column.name for column in COLUMNS]
NOON = datetime(2026, 3, 2, 12)  # noqa: DTZ001
Row = Sequence[str | None]

GOOD: list[tuple[Row, tuple[Any, ...]]] = [
    (("1", "2026-03-02T12:00:00", "08:30", "0.1", "0.1", "500"), (NOON, time(8, 30), 0.1, "0.1", 500)),
    (("2", "2026-03-02 12:00", "23:59:59.999999", "1e-320", "-0.1", ""), (NOON, time.max, 1e-320, "-0.1", None)),
    (("-3", "2026-03-02T12:00:00.0000000", "", "-0", "-0.0", "-32768"), (NOON, None, 0.0, "0", -32768)),
    (("4", "2026-03-01T24:00", "00:00", "", "", ""), (datetime(2026, 3, 2), time.min, None, None, None)),  # noqa: DTZ001
    (("5", "2026-03-02T12:00", "", "123456789.12345678", "1e10", "007"), (NOON, None, 123456789.12345678, "1e+10", 7)),
]
BAD: list[tuple[Row, str]] = [
    (("32768", "2026-03-02T12:00", "", "", "", ""), "type:id"),
    (("11", "2026-03-02T12:00Z", "", "", "", ""), "type:at"),
    (("12", "2026-03-02T12:00+01:00", "", "", "", ""), "type:at"),
    (("13", "2026-03-03T00:00", "", "", "", ""), "after_period"),
    (("14", "2026-02-22T23:59:59.999999", "", "", "", ""), "too_late"),
    (("15", "2026-03-02T12:00", "24:00", "", "", ""), "type:opens"),
    (("16", "2026-03-02T12:00", "08:30 AM", "", "", ""), "type:opens"),
    (("17", "2026-03-02T12:00", "", "NaN", "", ""), "type:level"),
    (("18", "2026-03-02T12:00", "", "1e400", "", ""), "type:level"),
    (("19", "2026-03-02T12:00", "", "1e301", "", ""), "range:level"),
    (("20", "2026-03-02T12:00", "", "9007199254740993", "", ""), "type:level"),
    (("21", "2026-03-02T12:00", "", "", "16777217", ""), "type:ratio"),
    (("22", "2026-03-02T12:00", "", "", "-0.11", ""), "range:ratio"),
    (("23", "2026-03-02T12:00", "", "", "", "501"), "range:size"),
    (("24", "2026-03-02T12:00", "", "", "", "7.0"), "type:size"),
]


@pytest.fixture
def shop(empty_connection: Connection) -> Shop:
    shop = Shop(empty_connection)
    shop.contracts["meters"] = CONTRACT
    return shop


def written(rows: Sequence[Row], form: str) -> tuple[str, bytes]:
    if form == "csv":
        return "a.csv", csv_body(",".join(NAMES), (",".join(field or "" for field in row) for row in rows))
    members = [dict(zip(NAMES, (field or None for field in row), strict=True)) for row in rows]
    return "a.jsonl", "\n".join(map(json.dumps, members)).encode()


def stored(shop: Shop, table: str = "meters") -> dict[int, tuple[Any, ...]]:
    rows = shop.all(f"select id, at, opens, level, ratio::text, size from shop.{table} order by id")
    return {number: tuple(rest) for number, *rest in rows}


def rejects(shop: Shop) -> dict[int, list[str]]:
    return dict(shop.all("select record, reasons from waybill.quarantine order by record"))


@pytest.mark.parametrize("form", ["csv", "lines"])
def test_each_value_is_loaded_exactly_or_its_row_is_rejected(form: str, shop: Shop) -> None:
    name, body = written([row for row, _ in (*GOOD, *BAD)], form)
    books = shop.load("meters", DAY, body, name)
    assert books
    assert (books.inserted, books.rejected, total(books)) == (len(GOOD), len(BAD), len(GOOD) + len(BAD))
    assert stored(shop) == {int(row[0] or 0): values for row, values in GOOD}
    assert rejects(shop) == {len(GOOD) + 1 + place: [reason] for place, (_, reason) in enumerate(BAD)}


def test_equal_values_in_other_spellings_are_unchanged_and_others_update(shop: Shop) -> None:
    name, body = written([row for row, _ in GOOD], "csv")
    shop.load("meters", DAY, body, name)
    again = [
        ("1", "2026-03-02 12:00", "08:30:00.0", "1e-1", "1E-1", "+500"),
        ("-3", "2026-03-02 12:00", "", "0.000", "0", "-32768"),
        ("5", "2026-03-02T12:00", "", "123456789.1234567", "1e+10", "7"),
    ]
    books = shop.load("meters", DAY, written(again, "csv")[1], "b.csv")
    assert books
    assert (books.unchanged, books.updated) == (2, 1)
    assert stored(shop)[5][2] == 123456789.1234567
    assert stored(shop, "meters_superseded").keys() == {1, -3, 5}


def test_a_contradicting_repeat_can_be_replayed(shop: Shop) -> None:
    row = ("1", "2026-03-02T12:00:00", "08:30", "0.1", "0.1", "5")
    rows = [row, ("1", "2026-03-02 12:00", "08:30:00", "0.10", "1e-1", "05"), (*row[:3], "1e-7", "3.4e38", "5")]
    books = shop.load("meters", DAY, written(rows, "csv")[1])
    assert books
    assert (books.inserted, books.duplicate, rejects(shop)) == (1, 1, {3: ["conflict"]})
    shop.connection.execute("delete from shop.meters")
    [replayed] = replay(shop.connection, CONTRACT, shop.contracts, RUN)
    assert (replayed.books.inserted, replayed.books.rejected) == (1, 0)
    assert stored(shop)[1][2:4] == (1e-7, "3.4e+38")


def test_a_snapshot_keeps_the_history_of_each_type(shop: Shop) -> None:
    shop.contracts["meters"] = replace(CONTRACT, load_mode="snapshot", period_column=None)
    shop.load("meters", DAY, written([row for row, _ in GOOD], "csv")[1])
    changed = [list(row) for row, _ in GOOD]
    changed[0][2], changed[1][3] = "09:30", "2e-320"
    books = shop.load("meters", "2026-03-03", written(changed, "csv")[1])
    assert books
    assert (books.updated, books.unchanged) == (2, len(GOOD) - 2)
    assert stored(shop, "meters_as_of('2026-03-03')")[1][1] == time(8, 30)
    assert (stored(shop)[1][1], stored(shop)[2][2]) == (time(9, 30), 2e-320)


# --- the lake and files for people --------------------------------------------------------------------------------

LAKE_TYPES = {
    "id": (pa.int16(), "smallint"),
    "at": (pa.timestamp("us"), "timestamp"),
    "opens": (pa.string(), "string"),
    "level": (pa.float64(), "double"),
    "ratio": (pa.float32(), "float"),
    "size": (pa.int16(), "smallint"),
}


@pytest.fixture
def lake(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("WAYBILL_LAKE_BUCKET", bucket)
    monkeypatch.setenv("WAYBILL_TIMEZONE", "Pacific/Kiritimati")
    settings.cache_clear()
    yield bucket
    settings.cache_clear()


@pytest.fixture
def loaded(shop: Shop) -> Connection:
    shop.load("meters", DAY, written([row for row, _ in GOOD], "csv")[1])
    return shop.connection


def test_the_lake_has_the_values_in_types_of_its_own(
    loaded: Connection, s3: S3Client, lake: str, tmp_path: Path
) -> None:
    assert write_days(loaded, s3, CONTRACT, [date(2026, 3, 2)]) == {date(2026, 3, 2): len(GOOD)}
    key = f"processed/shop/meters/dt={DAY}/meters.parquet"
    body = s3.get_object(Bucket=lake, Key=key)["Body"].read()
    found = pq.read_table(io.BytesIO(body))
    assert {field.name: field.type for field in found.schema} == {name: kind for name, (kind, _) in LAKE_TYPES.items()}
    (tmp_path / "a.parquet").write_bytes(body)
    with duckdb.connect() as connection:
        rows = connection.execute(f"select * from '{tmp_path}/a.parquet'").fetchall()
    expected = {}
    for row, (at, opens, level, ratio, size) in GOOD:
        single = None if ratio is None else pa.scalar(float(ratio), pa.float32()).as_py()
        expected[int(row[0] or 0)] = (at, opens.isoformat() if opens else None, level, single, size)
    assert {number: tuple(rest) for number, *rest in rows} == expected


def test_the_catalog_names_types_that_athena_has(loaded: Connection, glue: Any, lake: str) -> None:
    register(glue, CONTRACT, lake, {date(2026, 3, 2): 1})
    table = glue.get_table(DatabaseName="waybill_processed", Name="shop_meters")["Table"]
    found = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
    assert found == {name: kind for name, (_, kind) in LAKE_TYPES.items()}


def test_an_exported_file_loads_again(loaded: Connection, shop: Shop) -> None:
    before = stored(shop)
    rows = sql.SQL("from shop.meters order by id")
    body = b"".join(copy_csv(loaded, CONTRACT, rows, neutralise=True))
    books = shop.load("meters", DAY, body, "z.csv")
    assert books
    assert (books.unchanged, books.rows_in) == (len(before), len(before))
