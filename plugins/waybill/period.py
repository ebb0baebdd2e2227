"""Resolve the month, week or day that a run covers. It never depends on the clock."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from waybill.errors import DataError

Cadence = Literal["month", "week", "day", "all"]
"""The length of a period. `all` is for tables without periods and is never a key."""
_KEY_FORMAT: dict[Cadence, str] = {"month": "%Y-%m", "week": "%G-W%V", "day": "%Y-%m-%d"}
EXAMPLE: dict[Cadence, str] = {"month": "2026-03", "week": "2026-W13", "day": "2026-03-31"}
"""An example key of each cadence, for messages."""


@dataclass(frozen=True, order=True)
class Period:
    """A calendar month, ISO week or day. It includes `start` and excludes `end`."""

    start: date
    end: date
    cadence: Cadence

    @classmethod
    def of(cls, cadence: Cadence, day: date) -> Period:
        """Return the period of a cadence that contains `day`."""
        if cadence == "day":
            return cls(day, day + timedelta(days=1), cadence)
        if cadence == "week":
            monday = day - timedelta(days=day.weekday())
            return cls(monday, monday + timedelta(days=7), cadence)
        first = day.replace(day=1)
        return cls(first, (first + timedelta(days=31)).replace(day=1), cadence)

    @classmethod
    def parse(cls, cadence: Cadence, key: str) -> Period:
        """Return the period of a key such as `2026-03` or `2026-03-31`. Raises `DataError` for any other text."""
        try:
            text, form = key.strip(), _KEY_FORMAT[cadence]
            if cadence == "week":  # strptime requires the day
                text, form = f"{text} 1", f"{form} %u"
            period = cls.of(cadence, datetime.strptime(text, form).date())  # noqa: DTZ007  # a calendar day has no time zone
            period.shift(-1)  # raises for the calendar's first period
            if cadence == "week" and period.key != key.strip():  # not every year has a week 53
                raise ValueError
            return period
        except (ValueError, OverflowError):  # the calendar's first period has none before it, and its last one no end
            raise DataError(f"{key!r} is not a {cadence}; write it like {EXAMPLE[cadence]}") from None

    @classmethod
    def named(cls, key: str) -> Period:
        """Return the month, week or day of a key. Raises `DataError` for any other text."""
        for cadence in _KEY_FORMAT:
            with contextlib.suppress(DataError):
                return cls.parse(cadence, key)
        raise DataError(f"{key!r} is not a period; write it like {', '.join(EXAMPLE.values())}")

    @property
    def key(self) -> str:
        """Return the name of the period in prefixes, parameters and messages."""
        return "all" if self.cadence == "all" else self.start.strftime(_KEY_FORMAT[self.cadence])

    def parameters(self, timezone: str) -> dict[str, Any]:
        """Return the parameters that SQL can bind.

        `period_start` and `period_end` are days, `starts_at` and `ends_at` the same as instants; `timezone` and
        `cadence` are text.
        """
        starts_at, ends_at = self.instants(timezone)
        return {
            "period_start": self.start,
            "period_end": self.end,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "timezone": timezone,
            "cadence": self.cadence,
        }

    def shift(self, periods: int) -> Period:
        """Return the period that is `periods` later, or earlier if negative."""
        if self.cadence == "day":
            return Period.of("day", self.start + timedelta(days=periods))
        if self.cadence == "week":
            return Period.of("week", self.start + timedelta(weeks=periods))
        months = self.start.year * 12 + self.start.month - 1 + periods
        return Period.of("month", date(months // 12, months % 12 + 1, 1))

    def until(self, last: Period) -> list[Period]:
        """Return the periods from this one to `last`, inclusive. Raises `DataError` if `last` is earlier."""
        if last < self:
            raise DataError(f"{self} is after {last}; name the earlier {self.cadence} first")
        periods = [self]
        while periods[-1] < last:
            periods.append(periods[-1].shift(1))
        return periods

    def covers(self, other: Period) -> bool:
        """Return whether this period contains the other one."""
        return self.start <= other.start and other.end <= self.end

    def instants(self, timezone: str) -> tuple[datetime, datetime]:
        """Return the midnights of a time zone (an IANA name) at which the period starts and ends, in UTC."""
        zone = ZoneInfo(timezone)
        start, end = (datetime.combine(day, time.min, zone).astimezone(UTC) for day in (self.start, self.end))
        return start, end

    def __str__(self) -> str:
        return self.key


ALL_TIME = Period(date(1, 1, 2), date(9999, 12, 31), "all")
"""The period of a table without periods; one day shorter than the calendar, to allow for time zones."""


def resolve(
    cadence: Cadence,
    *,
    param: str | None,
    partition_key: str | None,
    interval: tuple[datetime, datetime] | None,
    timezone: str,
) -> Period:
    """Return the period of a run: its parameter, else its partition key, else its data interval.

    The interval must be exactly one calendar period in the business time zone: that of a manually triggered run may be
    another one, and the run would load the wrong period. Raises `DataError` if there is no period, or if parameter and
    partition key differ.
    """
    named = [Period.parse(cadence, key) for key in (param, partition_key) if key]
    if len(set(named)) > 1:
        raise DataError(
            f"the parameter {cadence!r} is {named[0]}, but the partition key of the run is {named[1]}. Leave the "
            "parameter empty in a backfill, and trigger single runs without a partition key."
        )
    if named:
        return named[0]
    if interval is not None:
        start, end = (instant.astimezone(ZoneInfo(timezone)) for instant in interval)
        period = Period.of(cadence, start.date())
        midnight = start.time() == end.time() == datetime.min.time()
        if midnight and (start.date(), end.date()) == (period.start, period.end):
            return period
        raise DataError(
            f"the run's data interval {start.isoformat()} to {end.isoformat()} is not one calendar {cadence} "
            f"in {timezone}. Trigger the run with the parameter {cadence!r}."
        )
    raise DataError(f"the run has no {cadence}. Trigger it with the parameter {cadence!r}.")
