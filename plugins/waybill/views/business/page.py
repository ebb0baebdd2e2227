"""The page of a domain and period: key figures, trends, and a card for each report.

Contracts define what a report shows, the dashboard in the domain's manifest what comes first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Connection, sql

from waybill.contracts.domains import load_manifest
from waybill.ops.provenance import BUILT_LAST
from waybill.period import Cadence, Period
from waybill.views import catalog
from waybill.views.business.cards import Card, TrendChart, card_of, trend_of
from waybill.views.business.comparison import days_of
from waybill.views.business.kpis import KpiValue, kpi_value
from waybill.views.business.report import NothingBuilt
from waybill.views.business.source import NOTICES, Source, built, notices

LISTED: Mapping[Cadence, int] = {"day": 400, "week": 160, "month": 120}
"""How many periods of each cadence one can choose from."""


@dataclass(frozen=True)
class Page:
    """The content of a page."""

    domain: str
    period: Period
    coverage: str
    """Like `27 of 30 days`; empty for a complete period."""
    periods: list[Period]
    """The newest built periods of its cadence, newest first."""
    cadences: list[Period]
    """The newest period of each cadence: where the links to the other cadences lead."""
    kpis: list[KpiValue]
    trends: list[TrendChart]
    cards: list[Card]
    notices: list[str]
    """Sentences about reports that wait for an approval, of this period and newer ones."""


def built_periods(
    connection: Connection,
    domain: str,
    listed: Mapping[Cadence, int] = LISTED,
    publications: sql.Composable = BUILT_LAST,
) -> dict[Cadence, list[Period]]:
    """Return the newest periods with a report of the domain by cadence, newest first; at most `listed` of each.

    `publications` is the relation to read: by default it has what was built last. The site reads what is published.
    """
    names = [contract.table for contract in catalog.reports(domain).values()]
    found: dict[Cadence, list[Period]] = {}
    for cadence in listed:
        query = sql.SQL(
            "select distinct period from {} as p where report = any(%s) and cadence = %s order by period desc limit %s"
        ).format(publications)
        rows = connection.execute(query, (names, cadence, listed[cadence])).fetchall()
        if rows:
            found[cadence] = [Period.of(cadence, start) for (start,) in rows]
    return found


def start_page(connection: Connection) -> tuple[str, Period]:
    """Return the first domain with a built report, and its newest period. Raises `NothingBuilt` without one."""
    for domain in catalog.domains():
        with contextlib.suppress(NothingBuilt):
            return domain, newest_period(connection, domain)
    raise NothingBuilt("No report has been built yet.")


def newest_period(connection: Connection, domain: str) -> Period:
    """Return the newest period of the longest cadence of a domain. Raises `NothingBuilt` without a built report."""
    found = built_periods(connection, domain)
    if not found:
        raise NothingBuilt(f"No report of {domain} has been built yet.")
    return list(found.values())[-1][0]


def page(
    connection: Connection,
    domain: str,
    period: Period,
    listed: Mapping[Cadence, int] = LISTED,
    source: Source | None = None,
) -> Page:
    """Return the page of a domain and period, by default of what was built last.

    Raises `NothingBuilt` if the source has no report of the period.
    """
    dashboard, source = load_manifest(domain).dashboard, source or built(connection, domain)
    periods = built_periods(connection, domain, listed, source.publications)
    if period not in periods.get(period.cadence, []):
        raise NothingBuilt(f"No report of {domain} was built for {period}.")
    contracts = source.contracts(domain)
    order = [name for name in dashboard.first if name in contracts]
    order += [name for name in contracts if name not in (*order, *dashboard.last)]
    order += [name for name in dashboard.last if name in contracts]
    newest = _newest_within(connection, domain, period, source.publications)
    days = days_of(connection, contracts.values(), period, source.publications)
    return Page(
        domain=domain,
        period=period,
        coverage=days.coverage if days else "",
        periods=periods[period.cadence],
        cadences=[found[0] for found in periods.values()],
        kpis=[
            kpi_value(connection, contracts, kpi, period, source) for kpi in dashboard.kpis if kpi.report in contracts
        ],
        trends=[
            trend_of(connection, contracts[trend.report], trend, period, source)
            for trend in dashboard.trends
            if trend.report in contracts and contracts[trend.report].table in newest
        ],
        cards=[
            card_of(connection, dashboard, contracts[name], newest[contracts[name].table], source)
            for name in order
            if contracts[name].table in newest
        ],
        notices=notices(source, period)[:NOTICES],
    )


def _newest_within(
    connection: Connection, domain: str, period: Period, publications: sql.Composable
) -> dict[str, Period]:
    """Return by report the period to show: this one, or the newest of another cadence that overlaps with it."""
    query = sql.SQL(
        """
        select distinct on (report) report, cadence, period
        from {} as p
        where report = any(%(reports)s)
          and period < %(end)s and (period + ('1 ' || cadence)::interval)::date > %(start)s
        order by report, (cadence = %(cadence)s) desc, period desc, cadence
        """
    ).format(publications)
    rows = connection.execute(
        query,
        {
            "reports": [contract.table for contract in catalog.reports(domain).values()],
            "start": period.start,
            "end": period.end,
            "cadence": period.cadence,
        },
    ).fetchall()
    return {report: Period.of(cadence, start) for report, cadence, start in rows}
