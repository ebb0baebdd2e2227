"""Planted faults of files: each becomes exactly one incident with the right action, within one look of the watch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from support.landing import csv_body
from support.messaging_months import RUN, database
from support.shop_landing import CONTRACTS, LAYOUTS, Shop, day
from waybill.contracts.locations import raw_prefix
from waybill.errors import DataError
from waybill.ops import incidents
from waybill.ops.incidents import FailedRun, Incident
from waybill.period import Period
from waybill.settings import settings
from waybill.views.operations.incidents import failed, look
from waybill.warehouse.connection import connect
from waybill.watch import drift, subjects
from waybill.watch.anomalies import watch
from waybill_devtools.stack import Stack

Row = list[str]
PAST = 35
FIRST = day("2026-03-02")
LAST = FIRST.shift(PAST)


def transactions(number: int) -> list[Row]:
    """Return about 400 transactions of a day, at prices around 100."""
    chance, at = random.Random(number), datetime(2026, 3, 2, 12, tzinfo=UTC) + timedelta(days=number)
    rows = []
    for place in range(chance.randrange(390, 411)):
        price = f"{max(chance.gauss(100, 15), 1):.2f}"
        status = chance.choice(["completed", "returned", "refunded"])
        rows.append([str(number * 10_000 + place), "1", "1", "1", price, price, at.isoformat(), status, "card"])
    return rows


def reviews(number: int) -> list[Row]:
    """Return about 400 reviews of a day, of which one in a hundred has no text."""
    chance, at = random.Random(number), FIRST.shift(number).key
    return [
        [
            str(number * 10_000 + place),
            "1",
            "1",
            str(chance.randrange(1, 6)),
            "" if chance.random() < 0.01 else f"text {chance.randrange(10**6)}",
            at,
        ]
        for place in range(chance.randrange(390, 411))
    ]


ROWS = {"transactions": transactions, "reviews": reviews}


@pytest.fixture(scope="module")
def five_weeks(stack: Stack) -> Iterator[Shop]:
    """Five weeks of two datasets without faults. Other datasets have no file: that is what is open."""
    with database(stack) as dsn, connect(dsn) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYBILL_RAW_BUCKET", "memory")
        settings.cache_clear()
        shop = Shop(connection, dict(CONTRACTS))
        for number in range(PAST):
            for dataset, rows_of in ROWS.items():
                load(shop, dataset, number, rows_of(number))
        opened = watched(shop, LAST)
        assert {one.kind for one in opened} <= {"missing", "outdated"}, "clean data has no anomaly and no drift"
        assert not [one for one in opened if one.key in ("missing shop.transactions", "missing shop.reviews")]
        yield shop
    settings.cache_clear()


@pytest.fixture
def shop(five_weeks: Shop) -> Iterator[Shop]:
    """The same, to which a test may add what it likes."""
    with five_weeks.connection.transaction(force_rollback=True):
        yield five_weeks


def load(shop: Shop, dataset: str, number: int, rows: Sequence[Row], header: str = "", hours: int = 2) -> None:
    period = FIRST.shift(number)
    body = csv_body(header or LAYOUTS[dataset].header, [",".join(row) for row in rows])
    landed_at = datetime.combine(period.end, datetime.min.time(), UTC) + timedelta(hours=hours)
    shop.load(dataset, period.key, body, landed_at=landed_at)


def watched(shop: Shop, today: Period) -> list[Incident]:
    """Look at the shop at noon of a day, as the watch does; return the incidents that this opened."""
    now = datetime.combine(today.start, datetime.min.time(), UTC) + timedelta(hours=12)
    before = {one.incident_id for one in incidents.open_incidents(shop.connection, ["shop"])}
    tables = [*subjects.datasets("shop"), *subjects.reports("shop")]
    drift.look(shop.connection, shop.bucket, tables[: len(CONTRACTS)], RUN)
    watch(shop.connection, tables, RUN, now)
    with shop.connection.transaction():
        look(shop.connection, "shop", "watch", now, is_watch=True)
    return [one for one in incidents.open_incidents(shop.connection, ["shop"]) if one.incident_id not in before]


def half(rows: list[Row]) -> list[Row]:
    return rows[: len(rows) // 2]


def doubled(rows: list[Row]) -> list[Row]:
    return [*rows, *([str(int(row[0]) + 5_000), *row[1:]] for row in rows)]


def without_texts(rows: list[Row]) -> list[Row]:
    return [[*row[:4], "" if place % 8 == 0 else row[4], row[5]] for place, row in enumerate(rows)]


def in_another_currency(rows: list[Row]) -> list[Row]:
    def times(row: Row) -> str:
        return f"{float(row[4]) * 1.1:.2f}"

    return [[*row[:4], times(row), times(row), *row[6:]] for row in rows]


def with_a_new_status(rows: list[Row]) -> list[Row]:
    return [[*row[:7], "on_hold" if place % 30 == 0 else row[7], row[8]] for place, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("dataset", "plant", "kind", "action"),
    [
        ("transactions", half, "anomaly", "waybill watch accept"),
        ("transactions", doubled, "anomaly", "waybill watch accept"),
        ("reviews", without_texts, "anomaly", "waybill watch accept"),
        ("transactions", in_another_currency, "anomaly", "waybill watch accept"),
        ("transactions", with_a_new_status, "drift", "waybill contract propose"),
    ],
)
def test_a_planted_fault_is_one_incident_until_the_corrected_file(
    shop: Shop, dataset: str, plant: Callable[[list[Row]], list[Row]], kind: str, action: str
) -> None:
    for name, rows_of in ROWS.items():
        load(shop, name, PAST, plant(rows_of(PAST)) if name == dataset else rows_of(PAST))
    [found] = watched(shop, LAST.shift(1))
    assert (found.kind, found.severity) == (kind, "warning")
    assert f"shop.{dataset}" in found.what
    assert action in found.remedy
    assert watched(shop, LAST.shift(1)) == []
    load(shop, dataset, PAST, ROWS[dataset](PAST))
    assert watched(shop, LAST.shift(1)) == []
    assert incidents.numbered(shop.connection, found.incident_id).closed_at


def test_a_renamed_column_is_one_incident_with_the_run_and_the_day_that_it_stops(shop: Shop) -> None:
    load(shop, "reviews", PAST, reviews(PAST))
    header = LAYOUTS["transactions"].header.replace("total_amount", "amount_in_total")
    with pytest.raises(DataError) as caught:
        load(shop, "transactions", PAST, transactions(PAST), header)
    [found] = watched(shop, LAST.shift(2))
    assert found.kind == "drift"
    assert "'amount_in_total'" in found.what
    assert "waybill contract propose" in found.remedy
    run = FailedRun("shop_daily", str(RUN.run_id), "intake_transactions", LAST.key)
    with shop.connection.transaction():
        joined, event = failed(shop.connection, "shop", run, caught.value, f"shop_daily {LAST}", is_quiet=False)
    assert (joined, event) == (found.incident_id, None)


def test_a_file_of_another_layout_is_one_incident(shop: Shop) -> None:
    load(shop, "reviews", PAST, reviews(PAST))
    with pytest.raises(DataError):
        load(shop, "transactions", PAST, [["1", "2"]], "transaction_id,shelf")
    [found] = watched(shop, LAST.shift(2))
    assert (found.kind, found.severity) == ("drift", "error")
    assert "more changes" in found.what
    assert found.remedy == "`waybill watch list --domain shop`"


def test_a_new_column_hides_no_rejected_rows(shop: Shop) -> None:
    load(shop, "reviews", PAST, reviews(PAST))
    rows = [[*row[:5], "0.01", *row[6:], "x"] for row in transactions(PAST)]
    with pytest.raises(DataError):
        load(shop, "transactions", PAST, rows, f"{LAYOUTS['transactions'].header},shelf")
    found = watched(shop, LAST.shift(2))
    assert "file shop.transactions" in [one.key for one in found]


def test_a_rejected_file_that_is_deleted_needs_no_correction_until_it_returns(shop: Shop) -> None:
    load(shop, "reviews", PAST, reviews(PAST))
    load(shop, "transactions", PAST, transactions(PAST))
    for _ in range(2):
        with pytest.raises(DataError):
            shop.load("transactions", LAST.key, b"no table", "another.csv")
        [found] = watched(shop, LAST.shift(1))
        assert (found.kind, found.key) == ("file", "file shop.transactions")
        shop.bucket.delete(raw_prefix("shop", "transactions", LAST) + "another.csv")
        assert watched(shop, LAST.shift(1)) == []
        assert incidents.numbered(shop.connection, found.incident_id).closed_at


def test_a_late_file_is_one_incident_until_it_arrives(shop: Shop) -> None:
    load(shop, "reviews", PAST, reviews(PAST))
    [found] = watched(shop, LAST.shift(2))
    assert (found.kind, found.key) == ("missing", "missing shop.transactions")
    assert found.remedy.startswith(f"`waybill drop FILE --domain shop --dataset transactions --period {LAST}")
    load(shop, "transactions", PAST, transactions(PAST))
    assert watched(shop, LAST.shift(2)) == []
    assert incidents.numbered(shop.connection, found.incident_id).closed_at


def test_a_file_that_was_late_is_one_incident(shop: Shop) -> None:
    load(shop, "reviews", PAST, reviews(PAST))
    load(shop, "transactions", PAST, transactions(PAST), hours=60)
    [found] = watched(shop, LAST.shift(2))
    assert found.kind == "anomaly"
    assert "arrival after the period's end: 60 h" in found.what
