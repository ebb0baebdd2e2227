"""A key figure is compared with the same days of the period before, the same weekday, or not at all."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal

import pytest
from psycopg import Connection

from support.ledger import add_file
from support.messaging_months import database
from support.views import Page, fill_report
from waybill.contracts import load_all
from waybill.contracts.domains import Dashboard, Kpi, load_manifest
from waybill.period import Cadence, Period
from waybill.views import catalog, pages
from waybill.views.business import page as business
from waybill.views.business.comparison import comparison
from waybill.views.business.kpis import KpiValue
from waybill.views.site import site
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

KPIS = load_all()["shop_report.daily_kpis"]
TREND = load_all()["shop_report.revenue_trend"]


@pytest.fixture(scope="module")
def dsn(stack: Stack) -> Iterator[str]:
    with database(stack) as found:
        yield found


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """A warehouse with the operations schema; changes of a test are rolled back."""
    with connect(dsn) as found, found.transaction(force_rollback=True):
        yield found


def deliver(connection: Connection, days: Iterable[date], without: str = "") -> None:
    """Insert a loaded file of each dataset of the shop for each day."""
    for day in days:
        for contract in catalog.of_schema("shop").values():
            if contract.name != without:
                add_file(connection, contract.table, f"{contract.name}/{day}", day)


def build(connection: Connection, values: Mapping[date, int]) -> None:
    """Build the daily KPIs with this revenue and as many sessions, half of them with a purchase."""
    deliver(connection, values)
    for day, value in values.items():
        fill_report(connection, KPIS, Period.of("day", day))
        connection.execute(
            "update shop_report.daily_kpis set net_revenue = %(value)s, gross_revenue = %(value)s, "
            "sessions_count = 2 * %(value)s, purchase_sessions_count = %(value)s where day = %(day)s",
            {"value": value, "day": day},
        )


def numbers(connection: Connection, period: Period) -> dict[str, KpiValue]:
    """Return the key figures of a period by label. The page exists if a report was built for the period itself."""
    if period.cadence != "day":
        fill_report(connection, TREND, period)
    return {kpi.label: kpi for kpi in business.page(connection, "shop", period).kpis}


def change_of(now: Iterable[int], before: Iterable[int]) -> str:
    return f"{(Decimal(sum(now)) / Decimal(sum(before)) - 1) * 100:+,.1f} %"


def from_to(first: str, last: str) -> list[date]:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def test_27_days_are_not_compared_with_3(connection: Connection) -> None:
    build(connection, dict.fromkeys(from_to("2026-10-29", "2026-11-27"), 100))
    found = numbers(connection, Period.parse("month", "2026-11"))
    assert {(kpi.change, kpi.direction) for kpi in found.values()} == {("", "")}
    assert found["Net revenue"].note == "not compared: 2026-10 has 3 of 31 days, and no day matches"
    assert found["Net revenue"].text == "2,700.00 €"
    page = Page(pages.business(business.page(connection, "shop", Period.parse("month", "2026-11")), root=""))
    assert "27 of 30 days" in page.text
    assert " ".join(page.text.split()).startswith("Shop 2026-11")


def test_a_month_in_progress_is_compared_with_the_same_first_days(connection: Connection) -> None:
    before = {day: 100 + day.day for day in from_to("2026-10-01", "2026-10-31")}
    now = {day: 90 + 2 * day.day for day in from_to("2026-11-01", "2026-11-12")}
    build(connection, before | now)
    found = numbers(connection, Period.parse("month", "2026-11"))["Net revenue"]
    assert found.change == change_of(now.values(), [value for day, value in before.items() if day.day <= 12])
    assert (found.note, found.coverage) == ("vs the first 12 days of 2026-10", "12 of 30 days")


def test_a_ratio_of_sums_is_computed_over_the_same_days(connection: Connection) -> None:
    build(connection, dict.fromkeys(from_to("2026-10-01", "2026-11-05"), 10))
    connection.execute(
        "update shop_report.daily_kpis set purchase_sessions_count = 0 where day > '2026-10-05' and day < '2026-11-01'"
    )
    found = numbers(connection, Period.parse("month", "2026-11"))
    assert (found["Conversion"].text, found["Conversion"].change) == ("50.00 %", "+0.0 points")


def test_complete_periods_are_compared_as_they_are(connection: Connection) -> None:
    values = {day: day.day for day in from_to("2026-09-28", "2026-11-30")}
    build(connection, values)
    found = numbers(connection, Period.parse("month", "2026-11"))["Net revenue"]
    expected = change_of(*([v for d, v in values.items() if d.month == month] for month in (11, 10)))
    assert (found.change, found.note, found.coverage) == (expected, "vs 2026-10", "")
    week = Period.parse("week", "2026-W41")
    days = [values[week.start + timedelta(days=n)] for n in range(7)]
    found = numbers(connection, week)["Net revenue"]
    assert found.change == change_of(days, [values[week.start + timedelta(days=n - 7)] for n in range(7)])
    assert (found.note, found.coverage) == ("vs 2026-W40", "")


def test_a_day_is_compared_with_the_same_weekday(connection: Connection) -> None:
    build(connection, {date(2026, 11, 20): 50, date(2026, 11, 26): 1, date(2026, 11, 27): 40})
    found = numbers(connection, Period.parse("day", "2026-11-27"))["Net revenue"]
    assert (found.change, found.direction, found.note) == ("-20.0 %", "down", "vs Friday 2026-11-20")
    found = numbers(connection, Period.parse("day", "2026-11-26"))["Net revenue"]
    assert (found.change, found.note) == ("", "not compared: 2026-11-19 was not built")


def test_a_day_without_a_file_of_each_dataset_does_not_count(connection: Connection) -> None:
    build(connection, dict.fromkeys(from_to("2026-10-01", "2026-11-29"), 10))
    deliver(connection, [date(2026, 11, 30)], without="transactions")
    fill_report(connection, KPIS, Period.parse("day", "2026-11-30"))
    found = numbers(connection, Period.parse("month", "2026-11"))["Net revenue"]
    assert (found.coverage, found.note) == ("29 of 30 days", "vs the first 29 days of 2026-10")
    assert found.change == "+0.0 %"


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("cadence", ["week", "month"])
def test_any_days_are_compared_with_their_counterparts(connection: Connection, seed: int, cadence: Cadence) -> None:
    dice = random.Random(seed)
    period = Period.of(cadence, date(2026, dice.randrange(2, 12), 15))
    before = period.shift(-1)
    span = from_to(str(before.start), str(period.end - timedelta(days=1)))
    values = {day: dice.randrange(1, 1000) for day in span if dice.random() < dice.choice([0.3, 0.9, 1])}
    values |= {period.start: 5}
    build(connection, values)
    found = numbers(connection, period)["Net revenue"]
    now = {(day - period.start).days: value for day, value in values.items() if day >= period.start}
    then = {(day - before.start).days: value for day, value in values.items() if day < period.start}
    is_whole = len(now) == (period.end - period.start).days and len(then) == (before.end - before.start).days
    both = now.keys() & then.keys()
    if is_whole:
        assert found.change == change_of(now.values(), then.values())
    elif both:
        assert found.change == change_of((now[one] for one in both), (then[one] for one in both))
        assert f"{len(both)} day" in found.note
    else:
        assert (found.change, "no day matches" in found.note) == ("", True)
    assert found.text == f"{sum(now.values()):,.2f} €"


def test_a_total_that_is_not_the_sum_of_its_days_is_not_compared(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like a count of distinct customers: a period's own row is another number than the sum of its days."""
    columns = {"Orders": "orders_count", "Pieces": "net_units"}
    kpis = tuple(Kpi(label=label, report="revenue_trend", column=column) for label, column in columns.items())
    changed = load_manifest("shop").model_copy(update={"dashboard": Dashboard(kpis=kpis)})
    monkeypatch.setattr(business, "load_manifest", lambda _: changed)
    days = from_to("2026-09-01", "2026-11-20")
    deliver(connection, days)
    for period in (
        *(Period.of("day", day) for day in days),
        *(Period.parse("month", f"2026-{n:02d}") for n in (9, 10, 11)),
    ):
        fill_report(connection, TREND, period)
    connection.execute("update shop_report.revenue_trend set orders_count = 3, net_units = 3")
    connection.execute(
        "update shop_report.revenue_trend set orders_count = 60 where cadence = 'month' and period = '2026-11-01'"
    )
    connection.execute(
        "update shop_report.revenue_trend set orders_count = 90 where cadence = 'month' and period < '2026-11-01'"
    )
    found = {kpi.label: kpi for kpi in business.page(connection, "shop", Period.parse("month", "2026-11")).kpis}
    assert (found["Orders"].text, found["Orders"].change) == ("60", "+0.0 %")
    assert found["Pieces"].change == ""
    assert "do not add up" in found["Pieces"].note
    found = {kpi.label: kpi for kpi in business.page(connection, "shop", Period.parse("month", "2026-10")).kpis}
    assert (found["Pieces"].change, found["Pieces"].note) == ("+0.0 %", "vs 2026-09")


def test_a_report_without_days_states_why_it_is_not_compared(connection: Connection) -> None:
    build(connection, dict.fromkeys(from_to("2026-10-01", "2026-11-20"), 10))
    contract = load_all()["shop_report.cohort_retention"]
    found = comparison(connection, contract, catalog.reports("shop").values(), Period.parse("month", "2026-11"))
    assert found.reason == "2026-11 has 20 of 30 days, and the report has no daily rows"


def test_days_without_files_count_if_files_land_at_any_time(connection: Connection) -> None:
    contract = catalog.reports("orders")["region_profit"]
    for day in ("2026-10-10", "2026-11-03", "2026-11-20"):
        fill_report(connection, contract, Period.parse("day", day))
    found = comparison(connection, contract, [contract], Period.parse("month", "2026-11"))
    assert found.days is not None
    assert [(days[0].day, days[-1].day, len(days)) for days in found.days] == [(10, 20, 11)] * 2
    found = comparison(connection, contract, [contract], Period.parse("week", "2026-W45"))
    assert (found.reason, found.days) == ("", None)


def test_the_site_and_the_trend_mark_incomplete_periods(connection: Connection) -> None:
    days = from_to("2026-10-29", "2026-11-27")
    build(connection, dict.fromkeys(days, 100))
    periods = [
        *(Period.of("day", day) for day in days),
        *(Period.parse("month", key) for key in ("2026-10", "2026-11")),
    ]
    for period in periods:
        fill_report(connection, TREND, period)
    connection.execute("update waybill.publication set exported_sha256 = content_sha256")
    found = dict(site(connection, None))["shop/2026-11.html"]
    assert found
    page = Page(found.decode())
    text = " ".join(page.text.split())
    assert "27 of 30 days" in text
    assert "not compared: 2026-10 has 3 of 31 days, and no day matches" in text
    notes = [a["data-note"] for _, a in page.tags if "data-note" in a]
    assert notes == ["27 of 30 days", "3 of 31 days"] * 2, "the points of the trend and of its card"
