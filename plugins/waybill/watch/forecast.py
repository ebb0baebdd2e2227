"""The range in which the next value of a series is expected: a median, and the spread around it.

The expected value of a day is the median of the same weekday if there are enough of them, else the median of all past
days; with fewer, a value near the median of the same weekday is within the range, too. The expected value of a week or
month is the median of the past ones. The spread is the median absolute deviation (MAD) of all values
from the expected value of their own weekday, times 1.4826, which estimates a standard deviation of normal values.
Medians resist outliers: up to half of the past may be wrong without moving the range far.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Final

FEWEST: Final = 8
"""Without so many past values, nothing is expected."""
WINDOW: Final = {"day": 56, "week": 26, "month": 24}
"""How many past periods count, by cadence."""
_SAME_WEEKDAYS: Final = 4
_NORMAL: Final = 1.4826
"""The standard deviation of normal values divided by their MAD."""
_LIMITS: Final = ((8, 17.5), (10, 12.0), (12, 9.8), (16, 7.6), (20, 6.5), (28, 5.5), (40, 4.9), (56, 4.5))
"""For a number of past values, the deviation in spreads that one of 4,000 normal values exceeds.

By simulation with 800,000 series each; a test repeats it. With few values the spread itself is uncertain, so the limit
is wide.
"""
_WEEKLY_LIMITS: Final = ((28, 10.6), (35, 8.9), (42, 7.4), (49, 6.5), (56, 5.9))
"""The same for days that are compared with their weekday. Values lie close to a median of few of them."""


@dataclass(frozen=True)
class Expected:
    """The expected value of a series and the range around it, bounds included."""

    value: float
    low: float
    high: float
    past: int
    """From how many past values it follows."""

    def includes(self, observed: float) -> bool:
        """Return whether a value is within the range."""
        return self.low <= observed <= self.high


def expected(
    past: Sequence[tuple[date, float]],
    start: date,
    cadence: str,
    tolerance: Callable[[float], float],
    overlap: int = 1,
) -> Expected | None:
    """Return what is expected for the period that starts on a day; None with too few past values.

    `past` has the first day and the value of each earlier period, in ascending order. `tolerance` returns, for the
    expected value, the deviation that is always within the range. Each value follows from so many periods as `overlap`
    says: values count as independent only at this distance.
    """
    known = past[-WINDOW.get(cadence, FEWEST) :]
    independent = len(known) // overlap
    if independent < FEWEST:
        return None
    values = [value for _, value in known]
    overall = centre = median(values)
    near = [centre]
    middle: dict[int, float] = {}
    if cadence == "day":
        by_weekday: dict[int, list[float]] = {}
        for day, value in known:
            by_weekday.setdefault(day.weekday(), []).append(value)
        middle = {weekday: median(some) for weekday, some in by_weekday.items() if len(some) >= _SAME_WEEKDAYS}
        centre = middle.get(start.weekday(), overall)
        near = [centre, median(by_weekday.get(start.weekday(), [centre]))]
    spread = _NORMAL * median(abs(value - middle.get(day.weekday(), overall)) for day, value in known)
    limit = _limit(_WEEKLY_LIMITS if middle else _LIMITS, independent)
    width = max(limit * spread, tolerance(centre))
    return Expected(centre, min(near) - width, max(near) + width, len(known))


def _limit(limits: Sequence[tuple[int, float]], past: int) -> float:
    """Return the limit for a number of past values: that of the greatest listed number that is not greater."""
    return limits[max(bisect.bisect_right(limits, past, key=lambda one: one[0]) - 1, 0)][1]
