"""Lines over time: labels do not overlap, and values have a column of their own."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from waybill.views.business import charts

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
