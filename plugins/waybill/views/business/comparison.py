"""Compare like with like: which days of a period have data, and which days of the period before match them."""

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
from waybill.warehouse.connection import one_row

_A_WEEK = 7


@dataclass(frozen=True)
class Days:
    """The days of a period that have data."""

    period: Period
    covered: frozenset[date]

    @property
    def total(self) -> int:
        """Number of days in the period."""
        return (self.period.end - self.period.start).days

    @property
    def coverage(self) -> str:
        """Like `27 of 30 days`; empty for a complete period."""
        return "" if len(self.covered) == self.total else f"{len(self.covered)} of {self.total} days"

    @property
    def offsets(self) -> set[int]:
        """The covered days as distances from the first day."""
        return {(day - self.period.start).days for day in self.covered}

    def at(self, offsets: Iterable[int]) -> list[date]:
        """Return the days at these distances from the first day, in order."""
        return [self.period.start + timedelta(days=offset) for offset in sorted(offsets)]


@dataclass(frozen=True)
class Comparison:
    """What a value of a period is compared with."""

    before: Period
    against: str
    """A phrase such as `vs 2026-10`."""
    days: tuple[list[date], list[date]] | None = None
    """The days to compare, and the matching days of the period before; None to compare whole periods."""
    reason: str = ""
    """Why the value is not compared; empty if it is."""


def incomplete(*found: Days) -> str:
    """Return a phrase about the incomplete periods: `2026-11 has 27 of 30 days`; empty if all are complete."""
    return " and ".join(f"{days.period} has {days.coverage}" for days in found if days.coverage)


def days_of(
    connection: Connection, reports: Iterable[Contract], period: Period, publications: sql.Composable = BUILT_LAST
) -> Days | None:
    """Return the days of a week or month with a report and with a file of each daily dataset of the domain.

    For datasets whose files land at any time, all days from the first to the last report count. Returns None for a
    day, and for reports without the cadence day. `publications` is the relation that lists the reports.
    """
    daily = [contract for contract in reports if "day" in contract.cadences]
    if period.cadence == "day" or not daily:
        return None
    names = [contract.table for contract in daily]
    datasets = catalog.of_schema(catalog.domain_of_report(names[0]) or "").values()
    if any(contract.lands_any_time for contract in datasets):
        first, last = one_row(
            connection,
            sql.SQL("select min(period), max(period) from {} as p where report = any(%s) and cadence = 'day'").format(
                publications
            ),
            (names,),
        )
        if first is None:
            return Days(period, frozenset())
        every = (period.start + timedelta(days=offset) for offset in range((period.end - period.start).days))
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
    ).format(publications)
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


def coverages_of(
    connection: Connection, contract: Contract, periods: Sequence[Period], publications: sql.Composable = BUILT_LAST
) -> dict[date, str]:
    """Return `Days.coverage` of the incomplete ones of these weeks or months, by first day. `periods` are in order.

    Returns nothing for datasets whose files land at any time: no day of theirs is known to be missing.
    """
    datasets = catalog.of_schema(catalog.domain_of_report(contract.table) or "").values()
    is_anytime = any(dataset.lands_any_time for dataset in datasets)
    if not periods or periods[0].cadence == "day" or "day" not in contract.cadences or is_anytime:
        return {}
    query = sql.SQL(
        "select date_trunc(%s, period)::date, array_agg(period) from {} as p "
        "where report = %s and cadence = 'day' and period >= %s and period < %s group by 1"
    ).format(publications)
    rows = connection.execute(
        query,
        (periods[0].cadence, contract.table, periods[0].start, periods[-1].end),
    ).fetchall()
    built = {start: frozenset(days) for start, days in rows}
    found = {period.start: Days(period, built.get(period.start, frozenset())).coverage for period in periods}
    return {start: coverage for start, coverage in found.items() if coverage}


def year_before(period: Period) -> Period:
    """Return the same month, week number or weekday of the year before."""
    return period.shift({"day": -52 * _A_WEEK, "week": -52, "month": -12}[period.cadence])


def comparison(
    connection: Connection,
    contract: Contract,
    siblings: Iterable[Contract],
    period: Period,
    publications: sql.Composable = BUILT_LAST,
    before: Period | None = None,
) -> Comparison:
    """Return what a value of a report is compared with. `siblings` are all reports of its domain.

    By default, a day is compared with the same weekday of the week before, a complete week or month with the one before
    it. If one of two weeks or months is incomplete, only days that both have are compared: the same weekdays, or the
    same days of the month.
    """
    if period.cadence == "day":
        before = before or period.shift(-_A_WEEK)
        return Comparison(before, f"vs {before.start:%A} {before}")
    before = before or period.shift(-1)
    own = [contract] if "day" in contract.cadences else [*siblings]
    now, then = (days_of(connection, own, one, publications) for one in (period, before))
    if now is None or then is None or not (now.coverage or then.coverage):
        return Comparison(before, f"vs {before}")
    if own != [contract]:
        return Comparison(before, "", reason=f"{incomplete(now, then)}, and the report has no daily rows")
    both = now.offsets & then.offsets
    if not both:
        return Comparison(before, "", reason=f"{incomplete(then)}, and no day matches")
    days = (now.at(both), then.at(both))
    number = count(len(both), "day")
    if both == now.offsets == set(range(len(both))):
        return Comparison(before, f"vs the first {number} of {before}", days)
    return Comparison(before, f"for {number}, vs the same days of {before}", days)
