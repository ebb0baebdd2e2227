"""The measures of a table by period, from the profiles of a dataset's loaded files, or of a report's periods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from math import isfinite, sqrt
from statistics import median
from typing import Any, Final

from psycopg import Connection

from waybill.contracts import Contract
from waybill.period import Period
from waybill.settings import settings

VOCABULARY: Final = 50
"""Up to so many distinct values, a column has a vocabulary, and their number says something."""
_OCCURRENCES: Final = 20
"""How often a word of a vocabulary occurs on average, at least."""
_UNIQUE_SHARE: Final = 0.95
"""From this share of distinct values on, a column is nearly unique, and the share says something."""
_TIMES: Final = ("date", "time", "timestamp")
_FEWEST: Final = 30
"""Without so many values in a period, their mean and length say too little."""
_ERRORS: Final = 4.5
"""How many standard errors a number may differ by chance alone."""
_LATEST_HOURS: Final = 31 * 24
"""A file that lands later was sent again, or loaded in a backfill; its arrival says nothing."""


@dataclass(frozen=True)
class Measure:
    """A number by period, and how much of a deviation from the expected number does not matter."""

    name: str
    label: str
    least: float
    """In the unit of the number."""
    share: float
    """As a share of the expected number."""
    unit: str = ""
    is_share: bool = False
    """Whether it is a percentage of the values."""
    is_signed: bool = False
    """Whether it can be negative."""

    def applies(self, past: Sequence[tuple[float, int]]) -> bool:
        """Return whether the measure says something, from its past numbers and from how many values each follows.

        The number of distinct values does for a vocabulary, their share for a column that is nearly unique.
        """
        if self.name == "distinct":
            words, size = (median(one) for one in zip(*past, strict=True))
            return bool(words <= VOCABULARY and words * _OCCURRENCES <= size)
        return self.name != "distinct_share" or median(share for share, _ in past) >= 100 * _UNIQUE_SHARE

    def tolerance(self, middle: float, size: int) -> float:
        """Return the deviation from an expected number that does not matter, or that chance explains.

        `size` is the number of values in the period. Chance: the standard error of a count that is Poisson distributed,
        or of a binomial share, with one success and one failure added, so that a share of 0 has an error, too.
        """
        error = 0.0
        if self.is_share:
            chance = (min(max(middle, 0), 100) / 100 * size + 1) / (size + 2)
            error = 100 * sqrt(chance * (1 - chance) / size)
        elif self.name == "rows":
            error = sqrt(max(middle, 0))
        return max(self.least, self.share * abs(middle), _ERRORS * error)

    def written(self, value: float) -> str:
        """Return a value of the measure for messages, with its unit."""
        digits = f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.4g}"
        return f"{digits} {self.unit}".strip()


ROWS = Measure("rows", "rows", 5, 0.1)
ARRIVAL = Measure("arrival", "arrival after the period's end", 3, 0, "h", is_signed=True)
NULLS = Measure("nulls", "share of nulls", 1, 0, "%", is_share=True)
DISTINCT = Measure("distinct", "distinct values", 1, 0.1)
DISTINCT_SHARE = Measure("distinct_share", "share of distinct values", 2, 0, "%", is_share=True)
MEAN = Measure("mean", "mean", 0, 0.05, is_signed=True)
RESULT = replace(MEAN, share=0.1)
"""The mean of results in a report: a result is often a number of rows, which have this tolerance, too."""
LENGTH = Measure("length", "mean length", 1, 0.1, "characters")
TOP_SHARE = Measure("top_share", "share of the most frequent value", 5, 0, "%", is_share=True)
MEASURES: Final = {one.name: one for one in (ROWS, ARRIVAL, NULLS, DISTINCT, DISTINCT_SHARE, MEAN, LENGTH, TOP_SHARE)}

# Files of a period count together. Distinct values of several files are at least those of the file with the most.
_PROFILES: Final = """
select
  f.period, p.column_name, sum(p.rows), sum(p.nulls), max(p.distinct_values),
  sum(p.mean * (p.rows - p.nulls)) / nullif(sum(p.rows - p.nulls) filter (where p.mean is not null), 0),
  sum(p.mean_length * (p.rows - p.nulls))
    / nullif(sum(p.rows - p.nulls) filter (where p.mean_length is not null), 0),
  sum(p.top_share * (p.rows - p.nulls)) / nullif(sum(p.rows - p.nulls) filter (where p.top_share is not null), 0)
from waybill.load_file as f
inner join waybill.file_profile as p using (file_id)
where f.dataset = %(dataset)s and f.status = 'loaded' and f.period >= %(first)s and f.period <= %(last)s
group by f.period, p.column_name
order by f.period
"""

_ROWS: Final = """
select f.period, sum(p.rows)
from waybill.load_file as f
cross join lateral (select max(rows) as rows from waybill.file_profile where file_id = f.file_id) as p
where f.dataset = %(dataset)s and f.status = 'loaded' and f.period >= %(first)s and f.period <= %(last)s
  and p.rows is not null
group by f.period
order by f.period
"""

_REPORT_PROFILES: Final = """
select period, column_name, rows, nulls, distinct_values, mean, mean_length, top_share
from waybill.report_profile
where report = %(dataset)s and cadence = %(cadence)s and period >= %(first)s and period <= %(last)s
order by period
"""

_REPORT_ROWS: Final = """
select period, row_count
from waybill.publication
where report = %(dataset)s and cadence = %(cadence)s and period >= %(first)s and period <= %(last)s
order by period
"""

# Files that early releases loaded have no landing time.
_ARRIVALS: Final = """
select period, min(landed_at)
from waybill.load_file
where dataset = %(dataset)s and status in ('loaded', 'superseded') and period >= %(first)s and period <= %(last)s
  and landed_at > 'epoch'
group by period
order by period
"""


@dataclass
class Series:
    """A measure by the first day of each period, in ascending order, and from how many values each number follows."""

    values: dict[date, float] = field(default_factory=dict)
    sizes: dict[date, int] = field(default_factory=dict)


def series_of(connection: Connection, contract: Contract, first: date, last: date) -> dict[tuple[Measure, str], Series]:
    """Return the series of a table by measure and column ("" for the whole table).

    They cover the periods that start from the first to the last day. A number in a report often follows from few
    values, but each of them from many rows.
    """
    found: dict[tuple[Measure, str], Series] = {}

    def add(measure: Measure, column: str, period: date, value: float | None, size: int = 1) -> None:
        if value is not None and isfinite(value):
            series = found.setdefault((measure, column), Series())
            series.values[period], series.sizes[period] = float(value), size

    bounds = {"dataset": contract.table, "cadence": contract.cadence, "first": first, "last": last}
    quantities, compared = _quantities(contract), _compared(contract)
    rows_query, profiles, fewest, mean_measure = (_ROWS, _PROFILES, _FEWEST, MEAN)
    if not contract.is_dataset:
        rows_query, profiles, fewest, mean_measure = (_REPORT_ROWS, _REPORT_PROFILES, 1, RESULT)
    for period, rows in connection.execute(rows_query, bounds):
        add(ROWS, "", period, rows)
    for period, column, rows, nulls, distinct, mean, length, top_share in connection.execute(profiles, bounds):
        if not rows or column not in contract.names:
            continue
        known = int(rows - nulls)
        add(NULLS, column, period, 100 * nulls / rows, int(rows))
        if column in quantities and known >= fewest:
            add(mean_measure, column, period, mean)
        if column in compared:
            add(LENGTH, column, period, length if known >= fewest else None)
            add(TOP_SHARE, column, period, None if top_share is None else 100 * top_share, known)
            if distinct is not None:
                add(DISTINCT, column, period, distinct, known)
                add(DISTINCT_SHARE, column, period, 100 * distinct / known, known)
    if contract.is_dataset and not contract.lands_any_time:
        for start, hours in _arrivals(connection, contract, bounds):
            add(ARRIVAL, "", start, hours)
    return found


def _arrivals(connection: Connection, contract: Contract, bounds: Mapping[str, Any]) -> Iterator[tuple[date, float]]:
    """Yield the hours from the end of each period to its first file; negative if it landed before the end."""
    for start, landed_at in connection.execute(_ARRIVALS, bounds):
        _, ends_at = Period.of(contract.cadence, start).instants(settings().timezone)
        if (hours := (landed_at - ends_at).total_seconds() / 3600) <= _LATEST_HOURS:
            yield start, hours


def _quantities(contract: Contract) -> set[str]:
    """Return the columns whose mean says something: not keys, references and other identifiers."""
    return {
        column.name
        for column in contract.columns
        if column.key_position is None and not column.unique and column.reference is None
        if not column.name.endswith("_id")
    }


def _compared(contract: Contract) -> set[str]:
    """Return the columns whose distinct and most frequent values say something: not keys, days and times.

    Numbers of reports are results, whose values say nothing.
    """
    silent = _TIMES if contract.is_dataset else (*_TIMES, "integer", "number")
    return {
        column.name
        for column in contract.columns
        if column.key_position is None and not column.unique and column.logical_type not in silent
    }
