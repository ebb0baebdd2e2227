"""The first day that a retention keeps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from waybill.contracts.retention import Retention, Unit
from waybill.settings import settings

NAMES: dict[Unit, str] = {"d": "days", "months": "months", "y": "years"}


@given(st.dates(date(1900, 1, 1), date(2200, 1, 1)), st.integers(1, 1000), st.sampled_from([*NAMES]))
def test_it_is_the_date_so_long_ago(today: date, value: int, unit: Unit) -> None:
    expected = today - (timedelta(days=value) if unit == "d" else relativedelta(**{NAMES[unit]: value}))  # type: ignore[arg-type]
    assert Retention(value, unit).first_day(today) == expected


@pytest.mark.parametrize("unit", ["d", "months", "y"])
def test_a_retention_beyond_the_calendar_keeps_everything(unit: Unit) -> None:
    assert Retention(10**9, unit).first_day(date(2026, 3, 31)) == date.min


def test_it_reads_as_a_length() -> None:
    assert [str(Retention(1, "y")), str(Retention(24, "months"))] == ["1 year", "24 months"]


@given(st.integers(1, 800), st.integers(1, 26), st.dates(date(1970, 1, 1), date(2199, 1, 1)))
def test_it_is_within_another_one_if_it_never_keeps_an_earlier_day(days: int, months: int, day: date) -> None:
    shorter, longer = Retention(days, "d"), Retention(months, "months")
    if shorter.is_within(longer):
        assert shorter.first_day(day) >= longer.first_day(day)
    assert Retention(2, "y").is_within(Retention(24, "months"))
    assert not Retention(29, "d").is_within(Retention(1, "months"))
    assert Retention(28, "d").is_within(Retention(1, "months"))


def test_it_begins_at_midnight_in_the_business_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_TIMEZONE", "Pacific/Kiritimati")
    settings.cache_clear()
    assert Retention(1, "d").kept_from(datetime(2026, 3, 31, 10, tzinfo=UTC)) == date(2026, 3, 31)
    monkeypatch.undo()
    settings.cache_clear()
    assert Retention(1, "d").kept_from(datetime(2026, 3, 31, 10, tzinfo=UTC)) == date(2026, 3, 30)
