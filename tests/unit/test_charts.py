"""Charts: labels of lines do not overlap, bars share one zero, and headings have the unit of their column."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.contracts import load
from waybill.settings import PROJECT_ROOT
from waybill.views import catalog
from waybill.views.business import charts

REPORT = load(PROJECT_ROOT / "include/contracts/orders_report/region_profit.yaml")
PROFIT = next(column for column in REPORT.columns if column.name == "profit")

VALUES = st.decimals(min_value=-(10**9), max_value=10**12, places=2)
SERIES = st.dictionaries(st.integers(0, 400), VALUES, min_size=2, max_size=40)


@given(SERIES)
def test_a_line_lies_in_its_box_and_is_labelled_from_end_to_end(series: dict[int, Decimal]) -> None:
    days = [(date(2026, 1, 1) + timedelta(days=place), f"day {place}", series[place]) for place in sorted(series)]
    line = charts.line("€", days)
    assert line is not None
    assert all(0 <= point.x_pct <= 100 and -0.001 <= point.y_pct <= 100.001 for point in line.points)
    assert [label for _, label in (line.marks[0], line.marks[-1])] == [days[0][1], days[-1][1]]
    places = [left for left, _ in line.marks]
    assert all(later - earlier >= 27 for earlier, later in pairwise(places[:-1]))
    assert len(places) == 2 or places[-1] - places[-2] >= 33
    longest = max(len(value) for _, value in line.levels)
    assert line.gutter_px >= 7 * longest, "a digit is at most 7 pixels wide"


def test_an_incomplete_period_is_marked() -> None:
    days = [(date(2026, month, 1), f"2026-{month:02d}", Decimal(month)) for month in (1, 2)]
    line = charts.line("", days, {date(2026, 2, 1): "3 of 28 days"})
    assert line is not None
    assert [point.coverage for point in line.points] == ["", "3 of 28 days"]


@given(st.lists(VALUES, min_size=1, max_size=12))
def test_bars_begin_at_one_zero_and_lie_in_their_box(values: list[Decimal]) -> None:
    rows = [{"day": None, "region": str(place), "profit": value} for place, value in enumerate(values)]
    bars = charts.bars(REPORT, PROFIT, rows)
    span = max(0, *values) - min(0, *values)
    zeros = [bar.start_pct + (bar.length_pct if bar.is_negative else 0) for bar in bars]
    assert max(zeros) - min(zeros) <= 0.021, "both ends are rounded to two decimals"
    for bar, value in zip(bars, values, strict=True):
        assert bar.is_negative == (value < 0)
        assert bar.start_pct >= 0
        assert bar.start_pct + bar.length_pct <= 100.011
        assert abs(bar.length_pct - float(100 * abs(value) / span if span else 0)) <= 0.01


@pytest.mark.parametrize(
    ("name", "business_name", "heading"),
    [
        ("amount_eur", None, "Amount (EUR)"),
        ("net_amount_usd", None, "Net amount (USD)"),
        ("return_rate_pct", None, "Return rate (%)"),
        ("amount_eur", "Revenue", "Revenue (EUR)"),
        ("amount_eur", "Revenue in EUR", "Revenue in EUR"),
        ("amount_eur", "Revenue, €", "Revenue, €"),
        ("share_pct", "Share in %", "Share in %"),
        ("eur", None, "EUR"),
        ("shop_id", None, "Shop ID"),
        ("shop", "Branch", "Branch"),
    ],
)
def test_a_heading_has_the_unit_of_the_column_once(name: str, business_name: str | None, heading: str) -> None:
    assert catalog.column_heading(replace(PROFIT, name=name, business_name=business_name)) == heading
