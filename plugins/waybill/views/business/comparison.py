"""Compare like with like: which days of a period are there, and which of the period before belong to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.formatting import count
from waybill.ops.provenance import BUILT_LAST
from waybill.period import Period
from waybill.views import catalog

_A_WEEK = 7


@dataclass(frozen=True)
class Days:
    """Which days of a period a report has."""

    period: Period
    there: frozenset[date]

    @property
    def total(self) -> int:
        """How many days the period has."""
        return (self.period.end - self.period.start).days

    @property
    def part(self) -> str:
        """Like `27 of 30 days`; empty if all are there."""
        return "" if len(self.there) == self.total else f"{len(self.there)} of {self.total} days"

    @property
    def places(self) -> set[int]:
        """The days by their distance from the first one."""
        return {(day - self.period.start).days for day in self.there}

    def at(self, places: Iterable[int]) -> list[date]:
        """The days at these distances from the first one."""
        return [self.period.start + timedelta(days=place) for place in sorted(places)]


@dataclass(frozen=True)
class Comparison:
    """What to compare a number of a period with."""

    before: Period
    against: str
    """In words."""
    days: tuple[list[date], list[date]] | None = None
    """The days to compare, and those of the period before; None to compare the periods as they are."""
    reason: str = ""
    """Why there is nothing to compare with."""


def lacking_of(*found: Days) -> str:
    """Which of some periods lack days, in words."""
    return " and ".join(f"{days.period} has {days.part}" for days in found if days.part)


def days_of(
    connection: Connection, reports: Iterable[Contract], period: Period, heads: sql.Composable = BUILT_LAST
) -> Days | None:
    """The days of a week or month that one of a domain's reports was built for and no dataset lacks a file for.

    Where files land at any time, a day without a file lacks nothing: every day from the first to the last with a
    report is there. None for a day, and for reports that have no days. `heads` is where it stands what is shown of
    the reports.
    """
    daily = [contract for contract in reports if "day" in contract.cadences]
    if period.cadence == "day" or not daily:
        return None
    names = [contract.table for contract in daily]
    datasets = catalog.of_schema(catalog.domain_of_report(names[0]) or "").values()
    if any(contract.lands_any_time for contract in datasets):
        bounds = connection.execute(
            sql.SQL("select min(period), max(period) from {} as p where report = any(%s) and cadence = 'day'").format(
                heads
            ),
            (names,),
        ).fetchone()
        first, last = bounds or (None, None)
        if first is None:
            return Days(period, frozenset())
        every = (period.start + timedelta(days=place) for place in range((period.end - period.start).days))
        return Days(period, frozenset(day for day in every if first <= day <= last))
    query = sql.SQL(
        """
        select distinct p.period
        from {} as p
        where p.report = any(%(reports)s) and p.cadence = 'day' and p.period >= %(start)s and p.period < %(end)s
          and not exists (
            select
            from unnest(%(datasets)s::text[]) as d (dataset)
            where not exists (
              select from waybill.load_file as f where (f.dataset, f.period, f.status) = (d.dataset, p.period, 'loaded')
            )
          )
        """
    ).format(heads)
    rows = connection.execute(
        query,
        {
            "reports": names,
            "datasets": [contract.table for contract in datasets if contract.cadence == "day"],
            "start": period.start,
            "end": period.end,
        },
    ).fetchall()
    return Days(period, frozenset(day for (day,) in rows))


def parts_of(
    connection: Connection, contract: Contract, periods: Sequence[Period], heads: sql.Composable = BUILT_LAST
) -> dict[date, str]:
    """By first day what `Days.part` says of those weeks or months, in order, for which a report lacks days.

    Where files land at any time nothing is known to lack.
    """
    datasets = catalog.of_schema(catalog.domain_of_report(contract.table) or "").values()
    is_anytime = any(dataset.lands_any_time for dataset in datasets)
    if not periods or periods[0].cadence == "day" or "day" not in contract.cadences or is_anytime:
        return {}
    query = sql.SQL(
        "select date_trunc(%s, period)::date, array_agg(period) from {} as p "
        "where report = %s and cadence = 'day' and period >= %s and period < %s group by 1"
    ).format(heads)
    rows = connection.execute(
        query,
        (periods[0].cadence, contract.table, periods[0].start, periods[-1].end),
    ).fetchall()
    built = {start: frozenset(days) for start, days in rows}
    found = {period.start: Days(period, built.get(period.start, frozenset())).part for period in periods}
    return {start: part for start, part in found.items() if part}


def comparison(
    connection: Connection,
    contract: Contract,
    siblings: Iterable[Contract],
    period: Period,
    heads: sql.Composable = BUILT_LAST,
) -> Comparison:
    """What to compare a number of a report with. `siblings` are all reports of its domain.

    A day is compared with the same weekday of the week before, a whole week or month with the one before. Of a week
    or month that lacks days, or follows one that does, only the days are compared that both have: the same weekdays,
    or the same days of the month.
    """
    if period.cadence == "day":
        before = period.shift(-_A_WEEK)
        return Comparison(before, f"against {before.start:%A} {before}")
    before = period.shift(-1)
    own = [contract] if "day" in contract.cadences else [*siblings]
    now, then = (days_of(connection, own, one, heads) for one in (period, before))
    if now is None or then is None or not (now.part or then.part):
        return Comparison(before, f"against {before}")
    if own != [contract]:
        return Comparison(before, "", reason=f"the report has no days to compare: {lacking_of(now, then)}")
    both = now.places & then.places
    if not both:
        return Comparison(before, "", reason=f"no day to compare with: {lacking_of(then)}")
    days = (now.at(both), then.at(both))
    number = count(len(both), "day")
    if both == now.places == set(range(len(both))):
        return Comparison(before, f"against the first {number} of {before}", days)
    return Comparison(before, f"of the {number} that {before} has, too", days)
