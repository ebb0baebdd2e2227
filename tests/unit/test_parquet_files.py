"""Parquet files become CSV whose texts are exactly the values that pyarrow reads."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import random
import tempfile
import uuid
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.landing import MONTH, MemoryBucket
from waybill.contracts import Column, Contract
from waybill.contracts.file_format import FileFormat
from waybill.errors import DataError
from waybill.files import parquet_files
from waybill.files.receive import receive
from waybill.files.received_file import ReceivedFile
from waybill.intake.row_source import as_received
from waybill.intake.validate import open_duckdb, validate_rows

PARQUET = FileFormat("parquet")


def contract_of(*columns: Column, file_format: FileFormat = PARQUET) -> Contract:
    return Contract("messaging", "customers", "1", "", "", columns, "snapshot", 100, 0, (), "", file_format=file_format)


ANY = contract_of(Column("a", "", "string", "text"), Column("on", "", "date", "date"))


def packed(table: pa.Table, **options: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(table, target, **options)
    return target.getvalue()


def received(body: bytes, folder: Path, contract: Contract = ANY, name: str = "a.parquet") -> ReceivedFile:
    bucket = MemoryBucket()
    return receive(bucket, bucket.land("customers", MONTH, body, name), contract, folder)


def texts(table: pa.Table, **options: Any) -> list[list[str]]:
    """Return the fields of the records as Python's csv module reads them."""
    with tempfile.TemporaryDirectory() as name:
        file = received(packed(table, **options), Path(name))
        with file.body.open(encoding="utf-8", newline="") as stream:
            found = list(csv.reader(stream))
        assert (file.header, file.rows_in) == (table.column_names, table.num_rows)
    return found


def column(values: list[Any], kind: pa.DataType, **options: Any) -> list[str]:
    return [row[0] for row in texts(pa.table({"a": pa.array(values, kind)}), **options)]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
GROUPS = st.integers(1, 5)


@given(st.lists(st.none() | TEXT | st.text(st.sampled_from('",\r\n \t;a\0\ufeff'), max_size=6)), GROUPS)
@settings(max_examples=150)
def test_texts_of_any_characters_are_kept(values: list[str | None], rows: int) -> None:
    wanted = [value or "" for value in values]
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        assert column(values, kind, row_group_size=rows) == wanted
    both = pa.table({"a": pa.array(values, pa.string()), "b": pa.array(values[::-1], pa.string())})
    assert texts(both, row_group_size=rows) == [list(row) for row in zip(wanted, wanted[::-1], strict=True)]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), GROUPS)
@settings(max_examples=50)
def test_integers_keep_all_digits(values: list[int], rows: int) -> None:
    assert [*map(int, column(values, pa.int64(), row_group_size=rows))] == values
    unsigned = [value + 2**63 for value in values]
    assert [*map(int, column(unsigned, pa.uint64()))] == unsigned


@given(st.lists(st.floats(), min_size=1))
@settings(max_examples=100)
def test_binary_numbers_read_back_and_have_no_exponent(values: list[float]) -> None:
    found = column(values, pa.float64())
    for text, value in zip(found, values, strict=True):
        assert float(text) == value or math.isnan(value)
        assert not math.isfinite(value) or len(text.strip("-0.").replace(".", "")) <= 309 + 17
        assert "e" not in text
        assert not text.endswith(".0")


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
@settings(max_examples=50)
def test_short_binary_numbers_have_short_texts(values: list[float]) -> None:
    found = column(values, pa.float32())
    assert pa.array([*map(float, found)], pa.float32()).to_pylist() == values
    assert column([0.1], pa.float32()) == ["0.1"]


@given(st.lists(st.decimals(-(10**20), 10**20, places=10, allow_nan=False), min_size=1))
@settings(max_examples=50)
def test_decimals_are_exact_and_plain(values: list[Decimal]) -> None:
    for kind in (pa.decimal128(38, 10), pa.decimal256(60, 10)):
        found = column(values, kind)
        assert [*map(Decimal, found)] == values
        assert all(text == text.rstrip("0") for text in found if "." in text)
        assert not any("E" in text for text in found)


MOMENTS = st.lists(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)), min_size=1)  # noqa: DTZ001


@given(MOMENTS, st.sampled_from([None, "UTC", "Europe/Berlin", "+05:30"]))
@settings(max_examples=60)
def test_timestamps_of_microseconds_are_exact(values: list[datetime], zone: str | None) -> None:
    if zone:
        values = [value.replace(tzinfo=UTC) for value in values]
    found = column(values, pa.timestamp("us", zone))
    assert [*map(datetime.fromisoformat, found)] == values


@given(MOMENTS)
@settings(max_examples=40)
def test_timestamps_of_96_bits_are_exact_in_every_year(values: list[datetime]) -> None:
    found = column(values, pa.timestamp("us"), use_deprecated_int96_timestamps=True)
    assert [*map(datetime.fromisoformat, found)] == values


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1), st.booleans(), GROUPS)
@settings(max_examples=60)
def test_nanoseconds_are_kept_for_the_rule_that_rejects_them(values: list[int], is_96_bits: bool, rows: int) -> None:
    options = {"use_deprecated_int96_timestamps": True} if is_96_bits else {"version": "2.6"}
    found = column(values, pa.timestamp("ns"), row_group_size=rows, **options)
    for text, value in zip(found, values, strict=True):
        whole, _, fraction = text.partition(".")
        seconds = (datetime.fromisoformat(whole) - datetime(1970, 1, 1)) // timedelta(seconds=1)  # noqa: DTZ001
        assert seconds * 10**9 + int(fraction.ljust(9, "0")) == value


@pytest.mark.parametrize(("unit", "value"), [("s", 1_700_000_000), ("ms", 1_700_000_000_123), ("us", 3)])
def test_timestamps_of_each_unit_are_exact(unit: str, value: int) -> None:
    (text,) = column([value], pa.timestamp(unit))
    assert pa.scalar(datetime.fromisoformat(text), pa.timestamp(unit)).value == value


OTHERS = {
    "dates": ([date(1, 1, 1), date(9999, 12, 31)], pa.date32(), ["0001-01-01", "9999-12-31"]),
    "times": ([time(0, 0), time(23, 59, 59, 999999)], pa.time64("us"), ["00:00:00.000000", "23:59:59.999999"]),
    "booleans": ([True, False, None], pa.bool_(), ["true", "false", ""]),
    "binary": ([b"a", "\u00e9".encode()], pa.binary(), ["a", "\u00e9"]),
    "bytes of equal length": ([b"ab"], pa.binary(2), ["ab"]),
    "UUIDs": ([uuid.UUID(int=5).bytes], pa.uuid(), ["00000000-0000-0000-0000-000000000005"]),
    "half precision": (
        [1.5, 0.1, -0.0, 65504.0, 6e-8, math.nan, -math.inf],
        pa.float16(),
        ["1.5", "0.1", "-0", "65504", "0.00000006", "nan", "-inf"],
    ),
    "seconds": ([timedelta(hours=36), timedelta(0)], pa.duration("s"), ["36:00:00", "00:00:00"]),
    "milliseconds": ([-timedelta(hours=1, milliseconds=250)], pa.duration("ms"), ["-01:00:00.250"]),
    "nanoseconds": ([None, 3_600_000_000_001], pa.duration("ns"), ["", "01:00:00.000000001"]),
    "durations in lists": ([[timedelta(days=1, microseconds=5)]], pa.list_(pa.duration("us")), ['["24:00:00.000005"]']),
    "nothing": ([None, None], pa.null(), ["", ""]),
    "zero decimals": ([Decimal(0), Decimal(-7)], pa.decimal128(20, 10), ["0", "-7"]),
}


@pytest.mark.parametrize(("values", "kind", "wanted"), OTHERS.values(), ids=OTHERS.keys())
def test_values_of_other_types_are_exact(values: list[Any], kind: pa.DataType, wanted: list[str]) -> None:
    assert column(values, kind) == wanted


@given(st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=1))
@settings(max_examples=50)
def test_half_precision_numbers_read_back(values: list[float]) -> None:
    found = column(values, pa.float16())
    assert [float(np.float16(text)) for text in found] == values
    assert all(len(text.strip("-0.").replace(".", "")) <= 5 for text in found)


@given(st.lists(st.timedeltas(timedelta(-(10**8)), timedelta(10**8)), min_size=1))
@settings(max_examples=50)
def test_durations_are_exact(values: list[timedelta]) -> None:
    for text, value in zip(column(values, pa.duration("us")), values, strict=True):
        hours, minutes, seconds = text.lstrip("-").split(":")
        found = timedelta(hours=int(hours), minutes=int(minutes), microseconds=int(Decimal(seconds) * 10**6))
        assert (-found if text.startswith("-") else found) == value


def test_nested_values_are_json_with_all_digits() -> None:
    kind = pa.struct(
        {
            "price": pa.decimal128(38, 18),
            "tags": pa.list_(pa.string()),
            "by": pa.map_(pa.string(), pa.float64()),
            "at": pa.timestamp("us", "UTC"),
        }
    )
    value = {
        "price": Decimal("12345678901234567890.123456789012345678"),
        "tags": ['a"b', None, "\u00e9\n"],
        "by": [("x", 0.1), ("nan", math.nan)],
        "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
    }
    one, nothing = column([value, None], kind)
    assert nothing == ""
    assert json.loads(one, parse_float=str) == {
        "price": "12345678901234567890.123456789012345678",
        "tags": ['a"b', None, "\u00e9\n"],
        "by": {"x": "0.1", "nan": "nan"},
        "at": "2026-03-01 12:00:00+00:00",
    }


def test_nested_values_keep_what_python_has_no_type_for() -> None:
    kind = pa.struct(
        {
            "real": pa.float32(),
            "reals": pa.list_(pa.struct({"x": pa.list_(pa.float32(), 2)})),
            "by": pa.map_(pa.string(), pa.time64("ns")),
            "times": pa.large_list(pa.time64("ns")),
        }
    )
    value = {
        "real": 0.1,
        "reals": [{"x": [16777216.0, 3.4028235e38]}, None],
        "by": [("a", 1)],
        "times": [3_600_000_000_000],
    }
    assert json.loads(column([value], kind)[0]) == {
        "real": 0.1,
        "reals": [{"x": [16777216.0, 3.4028235e38]}, None],
        "by": {"a": "00:00:00.000000001"},
        "times": ["01:00:00.000000000"],
    }


def test_nested_bytes_that_are_not_utf8_lead_to_the_reason_for_their_record(tmp_path: Path) -> None:
    values = pa.array([{"b": b"ok"}, {"b": b"\xff"}], pa.struct({"b": pa.binary()}))
    file = received(packed(pa.table({"a": values})), tmp_path)
    assert (file.rows_in, file.is_regular) == (2, False)
    assert file.body.read_bytes() == b'"{""b"": ""ok""}"\n"{""b"": ""\xff""}"\n'


BEYOND_PYTHON = {
    "day": pa.array([{"a": 2_932_897}], pa.struct({"a": pa.date32()})),
    "instant": pa.array([[2**60]], pa.list_(pa.timestamp("us", "UTC"))),
    "repeated": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]),
}


@pytest.mark.parametrize("values", BEYOND_PYTHON.values(), ids=BEYOND_PYTHON.keys())
def test_nested_values_beyond_python_reject_the_file(values: pa.Array, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.parquet: a list, map or struct cannot be read: .*as text"):
        received(packed(pa.table({"a": values})), tmp_path)


def test_a_map_with_a_repeated_key_is_not_read_as_another_value() -> None:
    with pytest.raises(DataError, match="a key of a map occurs twice"):
        column([[("x", 1), ("x", 2)]], pa.map_(pa.string(), pa.int64()))


def test_midnights_are_dates_for_a_column_of_dates() -> None:
    moments = [datetime(2026, 3, 1), datetime(2026, 3, 1, 0, 0, 1), None]  # noqa: DTZ001
    for kind in (pa.timestamp("ns"), pa.timestamp("s")):
        rows = texts(pa.table({"a": pa.array(moments, kind), "on": pa.array(moments, kind)}))
        assert [row[1][:19] for row in rows] == ["2026-03-01", "2026-03-01 00:00:01", ""]
        assert rows[0][0].startswith("2026-03-01 00:00:00")
    (instant,) = texts(pa.table({"on": pa.array(moments[:1], pa.timestamp("s", "UTC"))}))
    assert instant == ["2026-03-01 00:00:00.000Z"]


def test_a_row_without_values_is_a_record(tmp_path: Path) -> None:
    for names in ("a", "ab", "abc"):
        table = pa.table({name: pa.array([None, "", None], pa.string()) for name in names})
        file = received(packed(table), tmp_path)
        assert (file.rows_in, file.is_regular) == (3, True)


def test_text_that_is_not_utf8_leads_to_the_reason_for_its_record(tmp_path: Path) -> None:
    file = received(packed(pa.table({"a": pa.array([b"ok", b"\xff\xfe"], pa.binary())})), tmp_path)
    assert (file.rows_in, file.is_regular) == (2, False)
    assert file.body.read_bytes() == b"ok\n\xff\xfe\n"


# --- files that cannot be read --------------------------------------------------------------------------------

ROWS = pa.table({"a": [f"value {n}" for n in range(2000)], "b": [random.Random(n).random() for n in range(2000)]})
GOOD = packed(ROWS, row_group_size=700, write_page_checksum=True)


def test_a_packed_parquet_file_is_read(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("b.parquet", GOOD)
        opened.writestr("a.parquet", GOOD)
    assert received(gzip.compress(GOOD), tmp_path).rows_in == 2000
    both = contract_of(*ANY.columns, file_format=replace(PARQUET, members="*"))
    file = received(archive.getvalue(), tmp_path, both)
    assert (file.rows_in, file.is_regular) == (4000, True)
    assert [path.name for path in tmp_path.rglob("*.parquet")] == []


@pytest.mark.parametrize("size", [0, 3, 4, 8, 100, len(GOOD) // 2, len(GOOD) - 1])
def test_a_truncated_file_is_named(size: int, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a.parquet: the (Parquet file is (truncated|corrupt)|file is empty|contract declares)"
    ):
        received(GOOD[:size], tmp_path)


@given(st.integers(4, len(GOOD) - 5), st.integers(1, 255))
@settings(max_examples=300)
def test_no_changed_byte_is_read_as_another_value(place: int, change: int) -> None:
    body = bytearray(GOOD)
    body[place] ^= change
    with tempfile.TemporaryDirectory() as name:
        try:
            file = received(bytes(body), Path(name))
        except DataError:
            return
        with file.body.open(encoding="utf-8", newline="") as stream:
            found = [(row[0], float(row[1])) for row in csv.reader(stream)]
    assert found == [(row["a"], row["b"]) for row in ROWS.to_pylist()]


def test_an_encrypted_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.parquet: the Parquet file is encrypted. Send it without encryption"):
        received(b"PARE" + bytes(50) + b"PARE", tmp_path)


def test_a_file_in_another_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a.parquet: the contract declares `format: parquet`, but the file is in another format"
    ):
        received(b"a,b\n1,2\n", tmp_path)
    with pytest.raises(DataError, match="the contract declares `format: parquet`, but the file is an Excel workbook"):
        received(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), tmp_path)


def test_a_difference_of_the_counts_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: Callable[..., Any] = parquet_files._lines
    monkeypatch.setattr(parquet_files, "_lines", lambda *given: list(lines(*given))[:-1])
    with pytest.raises(DataError, match="metadata of the Parquet file has 2,000 records, but 1,400 records were read"):
        received(GOOD, tmp_path)


def test_a_parquet_file_in_a_dataset_of_csv_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.parquet: it is a Parquet file"):
        received(GOOD, tmp_path, replace(ANY, file_format=FileFormat()))


# --- values of the contract's types -----------------------------------------------------------------------------

MORNING, NIGHT = datetime(2026, 3, 1, 1, 2, 3, 4), datetime(2026, 3, 1)  # noqa: DTZ001
TYPES: dict[str, tuple[str, str, pa.DataType, list[Any]]] = {
    "small": ("integer", "smallint", pa.int16(), [1, -5]),
    "big": ("integer", "bigint", pa.int64(), [2**63 - 1, -(2**63)]),
    "unsigned": ("integer", "bigint", pa.uint32(), [2**32 - 1, 0]),
    "whole": ("integer", "integer", pa.float64(), [7.0, None]),  # integers of pandas with an absent one
    "exact": ("number", "numeric(20,4)", pa.decimal128(30, 10), [Decimal("1.5000"), Decimal("-0.0001")]),
    "binary": ("number", "double precision", pa.float64(), [0.1 + 0.2, 1e300]),
    "short": ("number", "real", pa.float32(), [0.5, 1.5]),
    "day": ("date", "date", pa.date32(), [date(2026, 3, 1), date(1999, 1, 1)]),
    "midnight": ("date", "date", pa.timestamp("ns"), [NIGHT, NIGHT]),
    "clock": ("time", "time", pa.time64("us"), [time(1, 2, 3, 4), time()]),
    "fine_clock": ("time", "time", pa.time64("ns"), [time(1, 2, 3, 4), time()]),
    "local": ("timestamp", "timestamp", pa.timestamp("us"), [MORNING, NIGHT]),
    "fine": ("timestamp", "timestamp", pa.timestamp("ns"), [MORNING, NIGHT]),
    "instant": ("timestamp", "timestamptz", pa.timestamp("us", "Europe/Berlin"), [MORNING, NIGHT]),
    "truth": ("boolean", "boolean", pa.bool_(), [True, False]),
    "words": ("string", "text", pa.string(), ['x, "y"\nz', None]),
    "id": ("string", "uuid", pa.uuid(), [uuid.UUID(int=7).bytes, None]),
    "object": (
        "object",
        "jsonb",
        pa.struct({"a": pa.int32(), "b": pa.list_(pa.string())}),
        [{"a": 1, "b": ['"']}, None],
    ),
    "list": ("array", "text[]", pa.list_(pa.string()), [["x", 'y,"'], []]),
}


def test_a_contract_of_every_type_reads_the_values_of_pyarrow(tmp_path: Path) -> None:
    columns = [
        Column(name, "", logical, physical, key_position=1 if name == "small" else None)
        for name, (logical, physical, _, _) in TYPES.items()
    ]
    table = pa.table({name: pa.array(values, kind) for name, (_, _, kind, values) in TYPES.items()})
    contract = contract_of(*columns)
    file = received(packed(table), tmp_path, contract)
    with closing(open_duckdb(tmp_path)) as duck:
        found = [row for batch in validate_rows(duck, as_received(file), contract, {}) for row in batch.to_pylist()]
    assert [row["_reasons"] for row in found] == [None, None]
    for name, (_, physical, _, values) in TYPES.items():
        read = [row[name] for row in found]
        if physical == "jsonb":  # as the binary COPY of PostgreSQL has it, after a version byte
            read = [value and json.loads(value[1:]) for value in read]
        if physical == "timestamptz":
            read = [value.astimezone(UTC).replace(tzinfo=None) for value in read]
        assert read == ([NIGHT.date()] * 2 if name == "midnight" else values), name
