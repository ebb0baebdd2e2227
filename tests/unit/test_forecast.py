"""The expected range of a series: how often it is wrong by chance, and what moves it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.watch.forecast import _LIMITS as LIMITS
from waybill.watch.forecast import FEWEST, WINDOW, Expected, expected

MONDAY = date(2026, 1, 5)
RATE = 1 / 4000


def days(values: Sequence[float]) -> list[tuple[date, float]]:
    return [(MONDAY + timedelta(days=number), value) for number, value in enumerate(values)]


def range_after(values: Sequence[float], tolerance: float = 0, cadence: str = "day") -> Expected:
    found = expected(days(values), MONDAY + timedelta(days=len(values)), cadence, lambda _: tolerance)
    assert found is not None
    return found


@pytest.mark.parametrize(("past", "limit"), LIMITS)
def test_the_limits_have_the_stated_rate_of_false_alarms(past: int, limit: float) -> None:
    chance = np.random.default_rng(past)
    outside, series = 0, 400_000
    for _ in range(8):
        known = chance.standard_normal((series // 8, past), dtype=np.float32)
        middle = np.median(known, axis=1)
        spread = 1.4826 * np.median(np.abs(known - middle[:, None]), axis=1)
        outside += int((np.abs(chance.standard_normal(series // 8) - middle) > limit * spread).sum())
    assert outside / series == pytest.approx(RATE, rel=0.35)


def test_a_weekly_pattern_causes_no_more_false_alarms() -> None:
    chance = np.random.default_rng(1)
    level = np.array([100, 100, 110, 105, 90, 40, 30])
    for weeks in (4, 6, 8):
        outside = 0
        for _ in range(4000):
            values = [level[day % 7] + chance.standard_normal() for day in range(7 * weeks + 1)]
            outside += not range_after(values[:-1]).includes(values[-1])
        assert outside <= 4


def test_nothing_is_expected_from_few_values() -> None:
    for past in range(FEWEST):
        assert expected(days([5.0] * past), MONDAY, "day", lambda _: 1) is None


def test_a_constant_series_has_the_tolerance_around_it() -> None:
    assert range_after([7.0] * 20, tolerance=0.5) == Expected(7, 6.5, 7.5, 20)


def test_a_quiet_weekday_is_compared_with_its_own_kind() -> None:
    weeks = [100.0, 101, 99, 100, 102, 20, 10] * 8
    sunday = expected(days(weeks), MONDAY + timedelta(days=6), "day", lambda _: 2)
    assert sunday is not None
    assert sunday.includes(10)
    assert not sunday.includes(100)
    monday = range_after(weeks, tolerance=2)
    assert monday.includes(100)
    assert not monday.includes(10)


@pytest.mark.parametrize("cadence", ["day", "month"])
def test_wrong_values_in_the_past_do_not_move_the_range(cadence: str) -> None:
    past = [100.0 + number % 5 for number in range(24)]
    clean, soiled = range_after(past, cadence=cadence), range_after([*past[:18], *[10_000.0] * 6], cadence=cadence)
    assert soiled.high < 150
    assert abs(soiled.value - clean.value) <= 3


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=FEWEST, max_size=70),
    st.sampled_from([0.5, 2.0, 1024.0]),
    st.integers(-1000, 1000),
    st.sampled_from(["day", "month"]),
)
def test_the_range_scales_with_the_values(values: list[float], factor: float, shift: int, cadence: str) -> None:
    plain, moved = (
        range_after(values, cadence=cadence),
        range_after([v * factor + shift for v in values], cadence=cadence),
    )
    assert moved.value == pytest.approx(plain.value * factor + shift, rel=1e-9, abs=1e-6)
    assert moved.high - moved.low == pytest.approx((plain.high - plain.low) * factor, rel=1e-9, abs=1e-6)
    assert plain.low <= plain.value <= plain.high


@given(st.lists(st.floats(-1e6, 1e6), min_size=80, max_size=90))
def test_only_the_newest_periods_count(values: list[float]) -> None:
    start = MONDAY + timedelta(days=len(values))
    newest = days(values)[-WINDOW["day"] :]
    assert expected(days(values), start, "day", lambda _: 0) == expected(newest, start, "day", lambda _: 0)
