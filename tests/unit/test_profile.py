"""The profile of a file against the standard library, whatever its values and however they are batched."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.contracts import Column, Contract
from waybill.intake.profile import SAMPLE_ROWS, ColumnProfile, FileProfile

KINDS: dict[str, tuple[str, pa.DataType, st.SearchStrategy[Any]]] = {
    "whole": ("integer", pa.int32(), st.integers(-3, 3) | st.integers(-(2**31), 2**31 - 1)),
    "large": ("bigint", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "amount": ("numeric(12,2)", pa.decimal128(12, 2), st.decimals("-9999999999", "9999999999", places=2)),
    "level": ("double precision", pa.float64(), st.floats(-1e9, 1e9, allow_subnormal=False)),
    "word": ("text", pa.string(), st.text(max_size=4) | st.sampled_from("ab")),
    "day": ("date", pa.date32(), st.dates(date(1, 1, 1), date(9999, 12, 31))),
    "at": (
        "timestamptz",
        pa.timestamp("us", "UTC"),
        st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    ),
    "opens": ("time", pa.time64("us"), st.times(time(0), time(23, 59))),
    "flag": ("boolean", pa.bool_(), st.booleans()),
}


def contract(**classification: str) -> Contract:
    columns = [
        Column(name, "", "", physical_type, classification=classification.get(name))
        for name, (physical_type, *_) in KINDS.items()
    ]
    columns += [Column("document", "", "", "jsonb"), Column("items", "", "", "text[]")]
    return Contract("a", "b", "1", "", "", tuple(columns), "merge", 0, 0, (), "")


def batch(rows: Sequence[Sequence[Any]], first_record: int = 1) -> pa.RecordBatch:
    arrays = {
        name: pa.array([row[place] for row in rows], kind) for place, (name, (_, kind, _)) in enumerate(KINDS.items())
    }
    arrays["document"] = pa.array([None if row[0] is None else "{}" for row in rows], pa.string())
    arrays["items"] = pa.array([None if row[0] is None else ["x"] for row in rows], pa.list_(pa.string()))
    arrays["_record"] = pa.array(range(first_record, first_record + len(rows)), pa.int32())
    return pa.record_batch(arrays)


ROWS = st.lists(st.tuples(*(st.none() | values for _, _, values in KINDS.values())), max_size=30)


def profile_of(rows: Sequence[Sequence[Any]], cut: int, **classification: str) -> dict[str, ColumnProfile]:
    profile = FileProfile(contract(**classification), len(rows))
    for part, first in ((rows[:cut], 1), (rows[cut:], cut + 1)):
        if part:
            profile.add(batch(part, first))
    return profile.columns()


@given(ROWS, st.integers(0, 30))
def test_a_profile_counts_and_describes_the_values(rows: list[tuple[Any, ...]], cut: int) -> None:
    found = profile_of(rows, cut)
    for place, name in enumerate(KINDS):
        column, values = found[name], [row[place] for row in rows if row[place] is not None]
        assert (column.rows, column.nulls) == (len(rows), len(rows) - len(values))
        if not values:
            assert (column.distinct, column.minimum, column.mean, column.top) == (None, None, None, [])
            continue
        counts = Counter(values)
        assert column.distinct == len(counts)
        assert column.top_share == pytest.approx(max(counts.values()) / len(values))
        assert sorted((share for _, share in column.top), reverse=True) == pytest.approx(
            sorted((number / len(values) for number in counts.values() if number > 1), reverse=True)[:5]
        )
        by_text = Counter(map(str, values))
        assert all(share == pytest.approx(by_text[text] / len(values)) for text, share in column.top)
        if name != "flag":
            assert (column.minimum, column.maximum) == (str(min(values)), str(max(values)))
        if name in ("whole", "large", "amount", "level"):
            numbers = [float(value) for value in values]
            close = max(1e-6, 1e-9 * max(map(abs, numbers)))
            assert column.mean == pytest.approx(statistics.fmean(numbers), abs=close)
            if len(values) > 1:
                assert column.quartiles == pytest.approx(statistics.quantiles(numbers, method="inclusive"), abs=close)
        if name == "word":
            assert column.mean_length == pytest.approx(statistics.fmean(map(len, values)))


@given(ROWS)
def test_documents_and_lists_have_nulls_only(rows: list[tuple[Any, ...]]) -> None:
    found = profile_of(rows, 0)
    for name in ("document", "items"):
        assert found[name] == ColumnProfile(len(rows), sum(row[0] is None for row in rows))


@pytest.mark.parametrize("classification", ["restricted", "confidential"])
def test_a_classified_column_has_no_values_in_its_profile(classification: str) -> None:
    secret = "4111 1111 1111 1111"
    row = (1, 1, Decimal(1), 1.0, secret, date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), time(1), True)
    kept = profile_of([row] * 3, 1, word=classification, amount=classification)
    for found in (kept["word"], kept["amount"]):
        assert (found.minimum, found.maximum, found.top, found.mean, found.quartiles) == (None, None, [], None, None)
        assert (found.distinct, found.top_share) == (1, 1.0)
    assert kept["word"].mean_length == len(secret)


def test_a_large_file_is_sampled_and_its_counts_stay_exact() -> None:
    records, part = 10 * SAMPLE_ROWS, SAMPLE_ROWS
    column = Column("id", "", "", "integer"), Column("state", "", "", "text"), Column("size", "", "", "integer")
    column += (Column("rare", "", "", "integer"),)
    profile = FileProfile(Contract("a", "b", "1", "", "", column, "merge", 0, 0, (), ""), records)
    for first in range(0, records, part):
        numbers = range(first, first + part)
        arrays = {
            "id": pa.array(numbers, pa.int32()),
            "state": pa.array([("open", "paid", "sent", None)[number // 7 % 4] for number in numbers]),
            "size": pa.array([number * 7919 % 5000 for number in numbers], pa.int32()),
            "rare": pa.array([5 if number == 7 else None for number in numbers], pa.int32()),
            "_record": pa.array([number + 1 for number in numbers], pa.int32()),
        }
        profile.add(pa.record_batch(arrays))
    found = profile.columns()
    assert profile.is_sampled
    assert (found["id"].minimum, found["id"].maximum) == ("0", str(records - 1))
    assert found["id"].mean == pytest.approx((records - 1) / 2)
    assert found["id"].distinct == pytest.approx(records, rel=0.02)
    assert found["state"].distinct == 3
    assert found["state"].nulls == sum(number // 7 % 4 == 3 for number in range(records))
    assert found["state"].top_share == pytest.approx(1 / 3, abs=0.01)
    assert found["size"].distinct == pytest.approx(5000, rel=0.05)
    assert (found["rare"].nulls, found["rare"].distinct, found["rare"].minimum) == (records - 1, None, "5")
    assert found["size"].quartiles == pytest.approx((1250, 2500, 3750), rel=0.02)
