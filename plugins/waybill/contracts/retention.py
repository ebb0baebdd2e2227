"""How long the lake keeps the days of a table: the service level `retention`."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, cast

Unit = Literal["d", "months", "y"]
UNITS: Final[dict[Unit, str]] = {"d": "day", "months": "month", "y": "year"}
"""The units of a retention, with their names."""
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
