"""Built periods of reports have a profile, and unusual ones are anomalies unless a dataset explains them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import mean
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from psycopg import Connection

from support.landing import csv_body
from support.messaging_months import RUN, database
from support.shop_landing import Shop, day
from waybill.contracts import Column, Contract, load_all
from waybill.derived import report_profile
from waybill.derived.build import BuildInputs, build_from_rows
from waybill.warehouse.connection import connect
from waybill.watch import causes, subjects
from waybill.watch.anomalies import accept, described, open_anomalies, watch
from waybill_devtools.stack import Stack

Row = Mapping[str, Any]
REPORT = Contract(
    "shop_report",
    "meters_by_region",
    "1",
    "",
    "",
    (
        Column("day", "", "date", "date", required=True, key_position=1),
        Column("region", "", "string", "text", required=True, key_position=2),
        Column("amount", "", "number", "numeric(12,2)"),
        Column("state", "", "string", "text"),
        Column("margin", "", "number", "numeric(12,2)", classification="restricted"),
        Column("details", "", "object", "jsonb"),
    ),
    "report",
    0,
    None,
    (),
    "meters by region",
    ("day",),
)
METERS = Contract(
    "shop",
    "meters",
    "1",
    "",
    "",
    (
        Column("id", "", "integer", "integer", required=True, key_position=1),
        Column("at", "", "date", "date", required=True),
    ),
    "merge",
    100,
    7,
    (),
    "meters",
    ("day",),
    period_column="at",
)
FIRST, PAST = day("2026-03-02"), 35
MOMENT = datetime.now(UTC) + timedelta(days=2)
"""Later than a day after each build."""
INPUTS_OF = causes.inputs_of


def rows_of(number: int, rows: int = 60) -> list[Row]:
    chance, start = random.Random(number), FIRST.shift(number).start
    return [
        {
            "day": start,
            "region": f"region {place}",
            "amount": Decimal(round(chance.gauss(10_000, 800))) / 100,
            "state": chance.choice(["new", "old"]),
            "margin": Decimal(7),
            "details": {"place": place},
        }
        for place in range(rows)
    ]


def build(connection: Connection, number: int, rows: Sequence[Row], contract: Contract = REPORT) -> bool:
    def inputs() -> BuildInputs:
        return BuildInputs([])

    return build_from_rows(connection, contract, inputs, rows, FIRST.shift(number), RUN).is_changed


def profile(connection: Connection, number: int) -> dict[str, tuple[Any, ...]]:
    rows = connection.execute(
        "select column_name, rows, nulls, distinct_values, mean, mean_length, top_share from waybill.report_profile "
        "where report = %s and period = %s",
        (REPORT.table, FIRST.shift(number).start),
    ).fetchall()
    return {name: values for name, *values in rows}


def found(shop: Shop) -> list[str]:
    return described(watch(shop.connection, [METERS, REPORT], RUN, MOMENT))


@pytest.fixture(scope="module")
def five_weeks(stack: Stack) -> Iterator[Shop]:
    """A dataset and a report of five weeks that nobody would find odd."""
    with database(stack) as dsn, connect(dsn) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(causes, "inputs_of", lambda _: [METERS])
        shop = Shop(connection, {"meters": METERS})
        for number in range(PAST):
            load(shop, number, 200)
            build(connection, number, rows_of(number))
        assert found(shop) == []
        yield shop


@pytest.fixture
def shop(five_weeks: Shop) -> Iterator[Shop]:
    with five_weeks.connection.transaction(force_rollback=True):
        yield five_weeks


def load(shop: Shop, number: int, rows: int) -> None:
    period = FIRST.shift(number)
    landed_at = datetime.combine(period.end, datetime.min.time(), UTC)
    body = csv_body("id,at", [f"{number * 1000 + place},{period.key}" for place in range(rows)])
    shop.load("meters", period.key, body, landed_at=landed_at)


CELLS = st.fixed_dictionaries(
    {
        "amount": st.none() | st.decimals(-(10**6), 10**6, places=2) | st.just(Decimal("NaN")),
        "state": st.none() | st.sampled_from(["", "a", "Ä", "🙂🙂", "null"]),
        "margin": st.none() | st.decimals(0, 9, places=2),
        "details": st.none() | st.just({"a": 1}),
    }
)


@given(cells=st.lists(CELLS, max_size=12))
@examples(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_profile_is_that_of_the_rows(shop: Shop, cells: list[dict[str, Any]]) -> None:
    rows = [{"day": FIRST.start, "region": str(place), **one} for place, one in enumerate(cells)]
    with shop.connection.transaction(force_rollback=True):
        build(shop.connection, 0, rows)
        stored = profile(shop.connection, 0)
    assert {*stored} == {*REPORT.names}
    for column in ("amount", "state", "margin", "details"):
        known = [row[column] for row in rows if row[column] is not None]
        number, nulls, distinct, middle, length, share = stored[column]
        assert (number, nulls) == (len(rows), len(rows) - len(known))
        counts = Counter(str(one) for one in known)
        if column == "details" or not known:
            assert (distinct, middle, length, share) == (None, None, None, None)
            continue
        assert distinct == len(counts)
        assert share == pytest.approx(max(counts.values()) / len(known))
        if column == "amount" and not any(one.is_nan() for one in known):
            assert middle == pytest.approx(float(mean(known)), abs=1e-9)
        else:
            assert middle is None
        assert length == (pytest.approx(mean(map(len, known))) if column == "state" else None)


def test_a_rebuilt_period_replaces_its_profile_and_only_new_content_is_looked_at_again(shop: Shop) -> None:
    def unwatched() -> list[Any]:
        return shop.all("select period from waybill.publication where not is_watched")

    assert unwatched() == []
    assert not build(shop.connection, 3, rows_of(3))
    assert unwatched() == []
    assert build(shop.connection, 3, rows_of(3)[:59])
    assert unwatched() == [(FIRST.shift(3).start,)]
    assert profile(shop.connection, 3)["amount"][0] == 59
    assert found(shop) == []
    assert unwatched() == []
    build(shop.connection, 3, [])
    assert profile(shop.connection, 3)["amount"] == [0, 0, None, None, None, None]


def test_a_period_with_many_rows_is_sampled_by_its_keys(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_profile, "SAMPLE_ROWS", 500)
    build(shop.connection, 0, rows_of(0, 2000))
    number, nulls, distinct, middle, *_ = stored = profile(shop.connection, 0)["amount"]
    assert 400 < number < 600
    assert (nulls, distinct) == (0, None)
    assert middle == pytest.approx(100, abs=2)
    build(shop.connection, 0, rows_of(0, 1999))
    build(shop.connection, 0, rows_of(0, 2000))
    assert profile(shop.connection, 0)["amount"] == stored


PLANTED: dict[str, tuple[Any, tuple[str, str]]] = {
    "a third of the rows": (lambda rows: rows[:20], ("rows", "")),
    "an amount of a hundred is missing": (
        lambda rows: [{**row, "amount": None} if place % 3 == 0 else row for place, row in enumerate(rows)],
        ("nulls", "amount"),
    ),
    "another currency": (
        lambda rows: [{**row, "amount": row["amount"] * Decimal("1.3")} for row in rows],
        ("mean", "amount"),
    ),
    "one state only": (lambda rows: [{**row, "state": "new"} for row in rows], ("top_share", "state")),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_change_is_found_once_and_settled_by_a_rebuild(shop: Shop, name: str) -> None:
    plant, (measure, column) = PLANTED[name]
    load(shop, PAST, 200)
    build(shop.connection, PAST, rows_of(PAST))
    assert found(shop) == []
    build(shop.connection, PAST, plant(rows_of(PAST)))
    [line] = found(shop)
    assert line.startswith(f"{REPORT.table} {FIRST.shift(PAST)}: ")
    assert found(shop) == []
    assert [(one.anomaly.measure.name, one.anomaly.column) for one in open_anomalies(shop.connection, [REPORT.table])][
        :1
    ] == [(measure, column)]
    build(shop.connection, PAST, rows_of(PAST))
    assert found(shop) == []
    assert open_anomalies(shop.connection, [REPORT.table]) == []


def test_an_accepted_step_of_a_report_is_its_new_level(shop: Shop) -> None:
    for number in range(PAST, PAST + 3):
        load(shop, number, 200)
        build(shop.connection, number, rows_of(number)[:20])
    assert len(found(shop)) == 3
    *_, first = [one for one in open_anomalies(shop.connection, [REPORT.table]) if one.anomaly.measure.name == "rows"]
    accept(shop.connection, [first.anomaly_id], "ada", is_step=True)
    assert found(shop) == []
    assert open_anomalies(shop.connection, [REPORT.table]) == []


def test_an_unusual_or_missing_file_explains_the_report(shop: Shop) -> None:
    load(shop, PAST, 80)
    build(shop.connection, PAST, rows_of(PAST)[:20])
    build(shop.connection, PAST + 1, rows_of(PAST + 1)[:20])  # no file has landed
    [line] = found(shop)
    assert line.startswith(f"{METERS.table} {FIRST.shift(PAST)}: rows: 80")
    load(shop, PAST, 200)
    load(shop, PAST + 1, 200)
    build(shop.connection, PAST, rows_of(PAST))
    build(shop.connection, PAST + 1, rows_of(PAST + 1)[:21])
    [line] = found(shop)
    assert line.startswith(f"{REPORT.table} {FIRST.shift(PAST + 1)}: rows: 21")
    assert open_anomalies(shop.connection, [METERS.table]) == []


def test_a_report_that_reads_earlier_days_needs_a_longer_past(shop: Shop) -> None:
    weekly = replace(REPORT, name="meters_of_a_week", days_before=6, document="of a week")
    all_time = replace(REPORT, name="meters_of_all_time", days_before=None, document="of all time")
    for number in range(PAST + 1):
        load(shop, number, 200)
        for contract in (weekly, all_time):
            build(shop.connection, number, rows_of(number)[: 20 if number == PAST else 60], contract)
    assert described(watch(shop.connection, [weekly, all_time], RUN, MOMENT)) == []


def test_periods_before_the_first_row_are_no_history(shop: Shop) -> None:
    late = replace(REPORT, name="meters_later", document="later")
    for number in range(PAST):
        load(shop, number, 200)
        build(shop.connection, number, [] if number < 20 else rows_of(number), late)
    assert described(watch(shop.connection, [late], RUN, MOMENT)) == []


def test_means_of_a_column_that_is_classified_later_are_forgotten(shop: Shop) -> None:
    columns = tuple(
        replace(one, classification="restricted") if one.name == "amount" else one for one in REPORT.columns
    )
    assert profile(shop.connection, 0)["amount"][3] is not None
    watch(shop.connection, [replace(REPORT, columns=columns, document="classified")], RUN, MOMENT)
    assert profile(shop.connection, 0)["amount"][3] is None


def test_a_report_is_explained_by_the_datasets_that_it_reads_through_other_tables() -> None:
    reports = {one.table: one for one in subjects.reports()}
    assert "shop_star.fact_sales" not in reports

    def inputs(table: str) -> set[str]:
        return {one.table for one in INPUTS_OF(reports[table])}

    funnel = inputs("shop_report.conversion_funnel")
    assert funnel == {"shop.transactions", "shop.clickstream", "shop.customers", "shop.reviews"}
    assert inputs("messaging_report.top_customers") == {"messaging.traffic", "messaging.customers"}
    assert {one.table for one in subjects.datasets("shop")} == {
        name for name, one in load_all().items() if one.domain == "shop"
    }


def test_content_is_judged_when_it_has_not_changed_for_a_day(shop: Shop) -> None:
    load(shop, PAST, 200)
    build(shop.connection, PAST, rows_of(PAST)[:20])
    [(built_at,)] = shop.all("select max(built_at) from waybill.publication")
    for hours, judged in ((1, 0), (23, 0), (25, 1)):
        found = watch(shop.connection, [METERS, REPORT], RUN, built_at + timedelta(hours=hours))
        assert len(found) == judged
