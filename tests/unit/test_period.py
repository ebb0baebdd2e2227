from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.errors import DataError
from waybill.period import Cadence, Period, resolve

DAYS = st.dates(date(1001, 1, 1), date(9990, 12, 31))
CADENCES = st.sampled_from(["month", "week", "day"])


@given(CADENCES, DAYS)
def test_a_period_holds_its_day_and_is_found_by_its_key(cadence: Cadence, day: date) -> None:
    period = Period.of(cadence, day)
    assert period.start <= day < period.end
    assert Period.parse(cadence, period.key) == Period.parse(cadence, f" {period} ") == period
    assert Period.of(cadence, period.end - timedelta(days=1)) == period


@given(CADENCES, DAYS, st.integers(-9000, 9000))
def test_shifting_back_undoes_a_shift_and_adjacent_periods_meet(cadence: Cadence, day: date, periods: int) -> None:
    period = Period.of(cadence, day)
    try:
        there = period.shift(periods)
    except (ValueError, OverflowError):
        assert day.year + periods / 12 < 2 or day.year + periods / 12 > 9998
        return
    assert there.shift(-periods) == period
    assert period.shift(1).start == period.end
    assert (there < period) == (periods < 0)


@given(DAYS)
def test_a_month_has_the_calendars_length(day: date) -> None:
    period = Period.of("month", day)
    assert (period.end - period.start).days == calendar.monthrange(day.year, day.month)[1]


@given(DAYS)
def test_a_week_is_the_standards_week(day: date) -> None:
    period = Period.of("week", day)
    assert period.start.isoweekday() == 1
    assert period.key == "{0.year}-W{0.week:02d}".format(day.isocalendar())


@pytest.mark.parametrize(
    ("cadence", "key"),
    [
        ("month", "2026-13"),
        ("month", "2026-03-01"),
        ("month", "26-03"),
        ("month", ""),
        ("month", "last"),
        ("month", "9999-12"),
        ("month", "0001-01"),
        ("week", "2026-W54"),
        ("week", "2026-03-02"),
        ("week", "2025-W53"),
        ("day", "2026-02-30"),
        ("day", "2026-03"),
        ("day", "2026-03-01T00:00"),
        ("day", "9999-12-31"),
        ("day", "0001-01-01"),
    ],
)
def test_an_invalid_period_is_rejected_with_an_example(cadence: Cadence, key: str) -> None:
    example = {"month": "2026-03", "week": "2026-W13", "day": "2026-03-31"}[cadence]
    with pytest.raises(DataError, match=f"write it like {example}$"):
        Period.parse(cadence, key)


def instants(start: str, end: str, zone: str = "UTC") -> tuple[datetime, datetime]:
    first, last = (datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) for text in (start, end))
    return first, last


MARCH = instants("2026-03-01", "2026-04-01")


@pytest.mark.parametrize(
    ("param", "partition_key", "interval", "expected"),
    [
        ("2026-01", None, MARCH, "2026-01"),
        ("2026-02", "2026-02", MARCH, "2026-02"),
        (None, "2026-02", MARCH, "2026-02"),
        ("", None, MARCH, "2026-03"),
        (None, None, MARCH, "2026-03"),
    ],
)
def test_the_parameter_overrides_the_partition_key_which_overrides_the_interval(
    param: str | None, partition_key: str | None, interval: tuple[datetime, datetime], expected: str
) -> None:
    period = resolve("month", param=param, partition_key=partition_key, interval=interval, timezone="UTC")
    assert period.key == expected


@pytest.mark.parametrize(
    "interval",
    [
        instants("2026-03-01", "2026-03-01"),
        instants("2026-03-01", "2026-05-01"),
        instants("2026-03-02", "2026-04-02"),
        instants("2026-03-01T09:00", "2026-04-01T09:00"),
        instants("2026-03-31", "2026-04-01"),
        instants("2026-03-01", "2026-04-01", "Europe/Berlin"),
    ],
)
def test_an_interval_other_than_a_calendar_month_is_rejected(interval: tuple[datetime, datetime]) -> None:
    with pytest.raises(DataError, match=r"not one calendar month in UTC\. Trigger the run with the parameter 'month'"):
        resolve("month", param=None, partition_key=None, interval=interval, timezone="UTC")


def test_a_parameter_that_contradicts_the_partition_key_is_rejected() -> None:
    with pytest.raises(DataError, match="'month' is 2026-03, but the partition key of the run is 2026-02"):
        resolve("month", param="2026-03", partition_key="2026-02", interval=None, timezone="UTC")


def test_a_run_without_a_period_is_rejected() -> None:
    with pytest.raises(DataError, match="the run has no day"):
        resolve("day", param=None, partition_key=None, interval=None, timezone="UTC")


@given(DAYS, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]), CADENCES)
def test_an_interval_counts_in_the_business_time_zone(day: date, zone: str, cadence: Cadence) -> None:
    expected = Period.of(cadence, day.replace(year=1990 + day.year % 60, day=min(day.day, 28)))
    start, end = instants(expected.start.isoformat(), expected.end.isoformat(), zone)
    interval = (start.astimezone(ZoneInfo("UTC")), end.astimezone(ZoneInfo("UTC")))
    found = resolve(cadence, param=None, partition_key=None, interval=interval, timezone=zone)
    assert found == expected
    if zone != "UTC":
        with pytest.raises(DataError, match="is not one calendar"):
            resolve(cadence, param=None, partition_key=None, interval=interval, timezone="UTC")


@pytest.mark.parametrize(
    ("key", "timezone", "start", "end"),
    [
        ("2026-03-31", "UTC", "2026-03-31T00:00", "2026-04-01T00:00"),
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
        ("2026-04-05", "Australia/Sydney", "2026-04-04T13:00", "2026-04-05T14:00"),  # 25 hours
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00", "2018-11-05T02:00"),  # a day without midnight
    ],
)
def test_a_days_instants_are_the_midnights_of_the_time_zone(key: str, timezone: str, start: str, end: str) -> None:
    expected = tuple(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end))
    assert Period.parse("day", key).instants(timezone) == expected
