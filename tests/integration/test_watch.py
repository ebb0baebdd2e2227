"""Planted changes of loaded files become anomalies once, and end when the file is corrected or they are accepted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.landing import csv_body
from support.messaging_months import RUN, database
from support.shop_landing import Shop, day
from waybill.contracts import Column, Contract
from waybill.errors import DataError
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill.watch.anomalies import accept, described, open_anomalies, watch
from waybill.watch.drift import look
from waybill_devtools.stack import Stack

Row = list[str]
HEADER = "id,at,amount,note,state"
COLUMNS = (
    Column("id", "", "integer", "integer", required=True, key_position=1),
    Column("at", "", "timestamp", "timestamptz", required=True),
    Column("amount", "", "number", "numeric(12,2)"),
    Column("note", "", "string", "text"),
    Column("state", "", "string", "text"),
)
CONTRACT = Contract("shop", "meters", "1", "", "", COLUMNS, "merge", 100, 7, (), "meters", ("day",), period_column="at")
ROWS, PAST = 400, 35
MOMENT = datetime(2026, 6, 1, tzinfo=UTC)
LAST = day("2026-03-02").shift(PAST)


def rows_of(number: int) -> list[Row]:
    """Return the rows of a day: amounts around 100, one note of a hundred missing, three states."""
    chance, at = random.Random(number), datetime(2026, 3, 2, 12, tzinfo=UTC) + timedelta(days=number)
    return [
        [
            str(number * 10_000 + place),
            f"{at:%FT%TZ}",
            f"{chance.gauss(100, 15):.2f}",
            "" if chance.random() < 0.01 else f"note {chance.randrange(10**6)}",
            chance.choice(["open", "paid", "sent"]),
        ]
        for place in range(chance.randrange(ROWS - 12, ROWS + 12))
    ]


@pytest.fixture(scope="module")
def five_weeks(stack: Stack) -> Iterator[Shop]:
    """A shop with a dataset of five weeks that nobody would find odd."""
    with database(stack) as dsn, connect(dsn) as connection:
        shop = Shop(connection, {"meters": CONTRACT})
        for number in range(PAST):
            load(shop, number, rows_of(number))
        assert found(shop) == []
        yield shop


@pytest.fixture
def shop(five_weeks: Shop) -> Iterator[Shop]:
    """The same, to which a test may add what it likes."""
    with five_weeks.connection.transaction(force_rollback=True):
        yield five_weeks


def load(shop: Shop, number: int, rows: Sequence[Row]) -> None:
    period, body = day("2026-03-02").shift(number), csv_body(HEADER, [",".join(row) for row in rows])
    landed_at = datetime.combine(period.end, datetime.min.time(), UTC) + timedelta(hours=2)
    shop.load("meters", period.key, body, landed_at=landed_at)


def found(shop: Shop) -> list[str]:
    """Watch, and return a line for each new anomaly."""
    return described(watch(shop.connection, shop.contracts.values(), RUN, MOMENT))


def still_open(shop: Shop) -> list[tuple[str, str]]:
    return [(one.anomaly.measure.name, one.anomaly.column) for one in open_anomalies(shop.connection, ["shop.meters"])]


def without_notes(rows: list[Row]) -> list[Row]:
    return [[*row[:3], "" if place % 8 == 0 else row[3], row[4]] for place, row in enumerate(rows)]


def in_another_currency(rows: list[Row]) -> list[Row]:
    return [[*row[:2], f"{float(row[2]) * 1.1:.2f}", *row[3:]] for row in rows]


def with_new_states(rows: list[Row]) -> list[Row]:
    return [[*row[:4], f"lost {place // 40 % 5}" if place % 40 == 0 else row[4]] for place, row in enumerate(rows)]


def twice(rows: list[Row]) -> list[Row]:
    return [*rows, *([str(int(row[0]) + 5_000), *row[1:]] for row in rows)]


PLANTED: dict[str, tuple[Callable[[list[Row]], list[Row]], set[tuple[str, str]]]] = {
    "half a day is missing": (lambda rows: rows[: len(rows) // 2], {("rows", "")}),
    "all rows are sent twice under new numbers": (
        twice,
        {("rows", ""), ("distinct_share", "amount"), ("distinct_share", "note")},
    ),
    "notes are missing in 12 of 100 rows": (without_notes, {("nulls", "note")}),
    "amounts are in another currency": (in_another_currency, {("mean", "amount")}),
    "states are new": (with_new_states, {("distinct", "state")}),
}


def test_every_planted_change_is_found_alone_and_settled_by_a_corrected_file(shop: Shop) -> None:
    good = rows_of(PAST)
    load(shop, PAST, good)
    assert found(shop) == []
    for name, (plant, expected) in PLANTED.items():
        load(shop, PAST, plant(good))
        lines = found(shop)
        assert len(lines) == 1, name
        assert lines[0].startswith(f"shop.meters {LAST}: ")
        assert set(still_open(shop)) == expected
        assert found(shop) == [], "a second look finds the same once"
        load(shop, PAST, good)
        assert found(shop) == []
        assert still_open(shop) == []
    assert shop.all("select count(*) from waybill.anomaly where settled_at is null") == [(0,)]


def test_a_late_file_is_an_anomaly_of_its_arrival(shop: Shop) -> None:
    rows = [",".join(row) for row in rows_of(PAST)]
    landed_at = datetime.combine(LAST.end, datetime.min.time(), UTC) + timedelta(hours=40)
    shop.load("meters", LAST.key, csv_body(HEADER, rows), landed_at=landed_at)
    [line] = found(shop)
    assert "arrival after the period's end: 40 h, expected -1 h to 5 h" in line


def test_a_withdrawn_file_takes_its_anomaly_along(shop: Shop) -> None:
    load(shop, PAST, rows_of(PAST)[:100])
    assert len(found(shop)) == 1
    shop.withdraw("meters", LAST.key, "part-1.csv")
    assert found(shop) == []
    assert still_open(shop) == []


def test_an_accepted_value_is_no_longer_open_and_the_next_one_is_judged_as_before(shop: Shop) -> None:
    for number in (PAST, PAST + 1):
        load(shop, number, rows_of(number)[:100])
    assert len(found(shop)) == 2
    newest, oldest = open_anomalies(shop.connection, ["shop.meters"])
    accept(shop.connection, [oldest.anomaly_id], "ada", is_step=False)
    assert [one.anomaly_id for one in open_anomalies(shop.connection, ["shop.meters"])] == [newest.anomaly_id]
    load(shop, PAST + 2, rows_of(PAST + 2)[:100])
    assert len(found(shop)) == 1
    with pytest.raises(DataError, match="no open anomaly has the number 4711"):
        accept(shop.connection, [4711], "ada", is_step=False)


def test_an_accepted_step_is_the_new_level(shop: Shop) -> None:
    for number in range(PAST, PAST + 3):
        load(shop, number, rows_of(number)[:100])
    assert len(found(shop)) == 3
    first = open_anomalies(shop.connection, ["shop.meters"])[-1]
    accept(shop.connection, [first.anomaly_id], "ada", is_step=True)
    assert found(shop) == []
    assert still_open(shop) == []
    for number in range(PAST + 3, PAST + 9):
        load(shop, number, rows_of(number)[:100])
    assert found(shop) == []
    load(shop, PAST + 9, rows_of(PAST + 9))
    assert [one for one in still_open(shop) if one[0] == "rows"] == []
    assert len(found(shop)) == 1, "the old level is the anomaly now"


def test_the_order_of_files_does_not_matter(shop: Shop) -> None:
    def stored() -> list[Any]:
        return shop.all(
            "select period, measure, column_name, observed, low, high from waybill.anomaly "
            "where settled_at is null order by period, measure, column_name"
        )

    load(shop, PAST, rows_of(PAST)[:200])
    load(shop, PAST + 1, twice(rows_of(PAST + 1)))
    found(shop)
    expected = stored()
    shop.connection.execute("truncate waybill.anomaly, waybill.watched")
    for number in (PAST + 1, PAST, 3):  # other versions first, then the same as before
        load(shop, number, rows_of(number)[:50])
        found(shop)
    for number, rows in ((3, rows_of(3)), (PAST + 1, twice(rows_of(PAST + 1))), (PAST, rows_of(PAST)[:200])):
        load(shop, number, rows)
        found(shop)
    assert stored() == expected
    assert {row[0] for row in expected if row[1] == "rows"} == {LAST.start, LAST.end}


def test_a_day_that_has_not_ended_is_looked_at_when_it_has(shop: Shop) -> None:
    def look(hour: int) -> list[str]:
        moment = datetime.combine(LAST.start, datetime.min.time(), UTC) + timedelta(hours=hour)
        return described(watch(shop.connection, shop.contracts.values(), RUN, moment))

    load(shop, PAST, rows_of(PAST)[:100])
    assert look(12) == []
    assert look(18) == []
    assert len(look(25)) == 1
    assert look(26) == []


def test_an_accepted_value_that_changes_is_new(shop: Shop) -> None:
    load(shop, PAST, rows_of(PAST)[:100])
    assert len(found(shop)) == 1
    [one] = open_anomalies(shop.connection, ["shop.meters"])
    accept(shop.connection, [one.anomaly_id], "ada", is_step=False)
    load(shop, PAST, rows_of(PAST)[:50])
    assert len(found(shop)) == 1
    assert still_open(shop) == [("rows", "")]


def test_the_anomaly_of_an_old_withdrawn_file_ends(shop: Shop) -> None:
    load(shop, PAST, rows_of(PAST)[:100])
    assert len(found(shop)) == 1
    shop.connection.execute("update waybill.anomaly set period = period - 400")
    assert found(shop) == []
    assert still_open(shop) == []


def test_values_of_a_column_that_is_classified_later_are_forgotten(shop: Shop) -> None:
    def kept() -> list[Any]:
        return shop.all(
            "select count(*) from waybill.file_profile where column_name = 'note' and "
            "(minimum is not null or mean is not null or top_values <> '[]')"
        )

    assert kept() == [(PAST,)]
    columns = tuple(replace(one, classification="restricted") if one.name == "note" else one for one in COLUMNS)
    changed = replace(CONTRACT, columns=columns, document="classified")
    load(shop, PAST, rows_of(PAST))
    watch(shop.connection, [changed], RUN, MOMENT)
    assert kept() == [(0,)]


def test_a_missing_column_explains_the_values_of_its_column(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", "memory")
    settings.cache_clear()
    rows = [",".join([*row[:3], row[4]]) for row in rows_of(PAST)[:100]]
    landed_at = datetime.combine(LAST.end, datetime.min.time(), UTC) + timedelta(hours=2)
    shop.load("meters", LAST.key, csv_body(HEADER.replace(",note", ""), rows), landed_at=landed_at)
    drifted = look(shop.connection, shop.bucket, shop.contracts.values(), RUN)  # type: ignore[arg-type]
    assert [(one.kind, one.column_name) for one in drifted] == [("missing column", "note")]
    assert len(found(shop)) == 1
    assert still_open(shop) == [("rows", "")]
    shop.connection.execute("update waybill.drift set settled_at = now()")
    shop.connection.execute("truncate waybill.watched")
    found(shop)
    assert set(still_open(shop)) == {("rows", ""), ("nulls", "note")}
