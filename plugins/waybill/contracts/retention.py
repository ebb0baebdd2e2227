"""How long data is kept: the service level `retention`, of the days of the lake or of another element."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal, cast
from zoneinfo import ZoneInfo

from waybill.settings import settings

Unit = Literal["d", "months", "y"]
Element = Literal["raw", "quarantine", "history"]
ELEMENTS: Final[tuple[Element, ...]] = ("raw", "quarantine", "history")
"""What a dataset keeps besides its rows: files in the raw bucket, texts of rejected rows, and former states of rows."""
UNITS: Final[dict[Unit, str]] = {"d": "day", "months": "month", "y": "year"}
"""The units of a retention, with their names."""
_LEAP: Final = date(2400, 1, 1)
_DAYS: Final = 1461
"""Four years have months of all lengths."""
_MONTHS: Final = {"months": 1, "y": 12}


@dataclass(frozen=True)
class Retention:
    """A number of days, months or years."""

    value: int
    unit: Unit

    @classmethod
    def of(cls, value: object, unit: object) -> Retention:
        """Return the retention that a contract declares; both were checked before."""
        return cls(int(str(value)), cast("Unit", unit))

    def __str__(self) -> str:
        return f"{self.value} {UNITS[self.unit]}{'' if self.value == 1 else 's'}"

    def first_day(self, today: date) -> date:
        """Return the first day that is kept. A day that its month does not have becomes the last one of the month."""
        if self.unit == "d":
            return date.fromordinal(max(1, today.toordinal() - self.value))
        months = today.year * 12 + today.month - 1 - self.value * _MONTHS[self.unit]
        if months < 12:
            return date.min
        year, month = divmod(months, 12)
        return date(year, month + 1, min(today.day, calendar.monthrange(year, month + 1)[1]))

    def kept_from(self, now: datetime) -> date:
        """Return the first day that is kept at an instant, in the business time zone."""
        return self.first_day(now.astimezone(ZoneInfo(settings().timezone)).date())

    def is_within(self, other: Retention, later: int = 0) -> bool:
        """Return whether another retention keeps every day that this one keeps, whatever the day of the question.

        The other one keeps them also so many days later.
        """
        days = (date.fromordinal(_LEAP.toordinal() + number) for number in range(_DAYS))
        return all(self.first_day(day) >= other.first_day(day + timedelta(days=later)) for day in days)


def declared(promises: Sequence[Mapping[str, Any]], element: Element | None) -> Retention | None:
    """Return the retention of an element, or of the days of the lake (None), among the service levels of a contract."""
    for one in promises:
        named = one.get("element")
        if one["property"] == "retention" and (named if named in ELEMENTS else None) == element:
            return Retention.of(one["value"], one["unit"])
    return None
