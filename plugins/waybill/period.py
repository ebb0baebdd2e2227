"""Which month, week or day a run stands for. Never derived from the clock."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from waybill.errors import DataError

Cadence = Literal["month", "week", "day", "all"]
"""How long a period is; `all` is for what stands for all time and is never a key."""
_KEY_FORMAT: dict[Cadence, str] = {"month": "%Y-%m", "week": "%G-W%V", "day": "%Y-%m-%d"}
EXAMPLE: dict[Cadence, str] = {"month": "2026-03", "week": "2026-W13", "day": "2026-03-31"}
"""How a period is written, for messages."""


@dataclass(frozen=True, order=True)
class Period:
    """A calendar month, ISO week or day, half-open: `start` belongs to it, `end` does not."""

    start: date
    end: date
    cadence: Cadence

    @classmethod
    def of(cls, cadence: Cadence, day: date) -> Period:
        """The period of this cadence that `day` falls into."""
        if cadence == "day":
            return cls(day, day + timedelta(days=1), cadence)
        if cadence == "week":
            monday = day - timedelta(days=day.weekday())
            return cls(monday, monday + timedelta(days=7), cadence)
        first = day.replace(day=1)
        return cls(first, (first + timedelta(days=31)).replace(day=1), cadence)

    @classmethod
    def parse(cls, cadence: Cadence, key: str) -> Period:
        """The period that a key such as `2026-03` or `2026-03-31` names.

        Raises `DataError` if the text is anything else.
        """
        try:
            text, form = key.strip(), _KEY_FORMAT[cadence]
            if cadence == "week":  # strptime needs to be told the day
                text, form = f"{text} 1", f"{form} %u"
            period = cls.of(cadence, datetime.strptime(text, form).date())  # noqa: DTZ007  # a calendar day has no zone
            if cadence == "week" and period.key != key.strip():  # not every year has a week 53
                raise ValueError
            return period
        except (ValueError, OverflowError):  # the calendar's last period has no end
            raise DataError(f"{key!r} is not a {cadence}; write it like {EXAMPLE[cadence]}") from None

    @classmethod
    def named(cls, key: str) -> Period:
        """The month, week or day that a key names. Raises `DataError` if the text is anything else."""
        for cadence in _KEY_FORMAT:
            with contextlib.suppress(DataError):
                return cls.parse(cadence, key)
        raise DataError(f"{key!r} is no period; write it like {', '.join(EXAMPLE.values())}")

    @property
    def key(self) -> str:
        """The name of the period in prefixes, parameters and messages."""
        return "all" if self.cadence == "all" else self.start.strftime(_KEY_FORMAT[self.cadence])

    def parameters(self, timezone: str) -> dict[str, Any]:
        """What SQL may bind.

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
        """The period that lies `periods` later (earlier if negative)."""
        if self.cadence == "day":
            return Period.of("day", self.start + timedelta(days=periods))
        if self.cadence == "week":
            return Period.of("week", self.start + timedelta(weeks=periods))
        months = self.start.year * 12 + self.start.month - 1 + periods
        return Period.of("month", date(months // 12, months % 12 + 1, 1))

    def until(self, last: Period) -> list[Period]:
        """The periods from this one to `last`. Raises `DataError` if that comes before it."""
        if last < self:
            raise DataError(f"{self} comes after {last}; name the first {self.cadence} first")
        periods = [self]
        while periods[-1] < last:
            periods.append(periods[-1].shift(1))
        return periods

    def covers(self, other: Period) -> bool:
        """Whether the other period lies within this one."""
        return self.start <= other.start and other.end <= self.end

    def instants(self, timezone: str) -> tuple[datetime, datetime]:
        """The midnights of the time zone (an IANA name) at which the period starts and ends, in UTC; half-open."""
        zone = ZoneInfo(timezone)
        start, end = (datetime.combine(day, time.min, zone).astimezone(UTC) for day in (self.start, self.end))
        return start, end

    def __str__(self) -> str:
        return self.key


ALL_TIME = Period(date(1, 1, 2), date(9999, 12, 31), "all")
"""What a table stands for that has no periods; a day short of the calendar, for the sake of time zones."""


def resolve(
    cadence: Cadence,
    *,
    param: str | None,
    partition_key: str | None,
    interval: tuple[datetime, datetime] | None,
    timezone: str,
) -> Period:
    """The period of a run: explicit parameter, else partition key, else data interval.

    An interval counts only if it is exactly one calendar period of the business time zone: a manual
    trigger or an adopted run may carry another one, and would silently load the wrong period.
    Raises `DataError` when nothing names a period, or when parameter and partition key name two.
    """
    named = [Period.parse(cadence, key) for key in (param, partition_key) if key]
    if len(set(named)) > 1:
        raise DataError(
            f"the parameter {cadence!r} says {named[0]} and the run's partition key {named[1]}: "
            f"leave the parameter empty in a backfill, and trigger single runs without a partition key"
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
            f"in {timezone}; trigger the run with the parameter {cadence!r}"
        )
    raise DataError(f"nothing says which {cadence} this run stands for; trigger it with the parameter {cadence!r}")
