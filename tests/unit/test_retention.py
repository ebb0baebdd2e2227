"""The first day that a retention keeps."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from waybill.contracts.retention import Retention, Unit

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
