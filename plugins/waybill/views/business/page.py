"""The page of a domain and period: key figures, trends, and a card for each report.

Contracts define what a report shows, the dashboard in the domain's manifest what comes first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.domains import load_manifest
from waybill.formatting import count
from waybill.ops.provenance import BUILT_LAST
from waybill.period import Cadence, Period
from waybill.views import catalog
from waybill.views.business.cards import Card, TrendChart, card_of, trend_of
from waybill.views.business.comparison import days_of, year_before
from waybill.views.business.filters import Choice, choices, chosen_of
from waybill.views.business.kpis import KpiValue, kpi_value
from waybill.views.business.report import NothingBuilt
from waybill.views.business.source import NOTICES, Source, built, notices
from waybill.views.live.teaser import Teaser, teasers
from waybill.views.operations.file_problems import rejected_files
from waybill.views.operations.scope import Scope

LISTED: Mapping[Cadence, int] = {"day": 400, "week": 160, "month": 120}
"""How many periods of each cadence one can choose from."""
OTHERS = "More reports"
"""The heading of reports that answer none of the manifest's questions."""


@dataclass(frozen=True)
class State:
    """What the header of a page says about the files of its domain."""

    text: str
    is_good: bool


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
    state: State | None = None
    """Whether all files of the domain were accepted; None on the site."""
    streams: list[Teaser] = field(default_factory=list)
    """Figures of its streams that were ever read; none on the site."""
    filters: list[Choice] = field(default_factory=list)
    """The filters that it offers; none on the site."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """The chosen filters by column."""

    @property
    def year_before(self) -> Period:
        """The same period of the year before."""
        return year_before(self.period)

    @property
    def sections(self) -> list[tuple[str, list[Card]]]:
        """The cards by question, in order; those without rows last, where they take one line."""
        return [
            (question, sorted(cards, key=lambda card: card.is_empty))
            for question, cards in groupby(self.cards, key=lambda card: card.question)
        ]


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
    query: Mapping[str, str] | None = None,
) -> Page:
    """Return the page of a domain and period, by default of what was built last, with the state of its files.

    `query` has the filters of a request, and may have other parameters. Raises `NothingBuilt` if the source has no
    report of the period.
    """
    state = None if source else _state(connection, domain)
    chosen = chosen_of(catalog.reports(domain).values(), query or {})
    dashboard, source = load_manifest(domain).dashboard, source or built(connection, domain, chosen)
    periods = built_periods(connection, domain, listed, source.publications)
    if period not in periods.get(period.cadence, []):
        raise NothingBuilt(f"No report of {domain} was built for {period}.")
    contracts = source.contracts(domain)
    order = {name: one.ask for one in dashboard.questions for name in one.reports if name in contracts}
    order |= {name: OTHERS if order else "" for name in contracts if name not in order}
    built_for = _built_for(connection, domain, period, source.publications)
    days = days_of(connection, contracts.values(), period, source.publications)
    return Page(
        domain=domain,
        period=period,
        coverage=days.coverage if days else "",
        periods=periods[period.cadence],
        cadences=[found[0] for found in periods.values()],
        kpis=[
            kpi_value(connection, contracts, kpi, period, source, chosen)
            for kpi in dashboard.kpis
            if kpi.report in contracts
        ],
        trends=[
            trend_of(connection, contracts[trend.report], trend, period, source)
            for trend in dashboard.trends
            if trend.report in contracts and _is_built(connection, contracts[trend.report], source.publications)
        ],
        cards=[
            card_of(connection, dashboard, contracts[name], period, question, source, chosen)
            for name, question in order.items()
            if contracts[name].table in built_for
        ],
        notices=notices(source, period)[:NOTICES],
        state=state,
        streams=teasers(connection, domain) if state else [],
        chosen=chosen,
        filters=[]
        if state is None
        else choices(
            connection,
            [one for one in contracts.values() if one.table in built_for],
            period,
            built(connection, domain) if chosen else source,
            chosen,
        ),
    )


def _state(connection: Connection, domain: str) -> State:
    refused = rejected_files(connection, Scope((domain,)))
    if not refused:
        return State("All files accepted", is_good=True)
    since = min(one.since for one in refused if one.since)
    return State(f"{count(sum(one.number for one in refused), 'file')} refused since {since:%Y-%m-%d}", is_good=False)


def _is_built(connection: Connection, contract: Contract, publications: sql.Composable) -> bool:
    query = sql.SQL("select from {} as p where report = %s limit 1").format(publications)
    return connection.execute(query, (contract.table,)).fetchone() is not None


def _built_for(connection: Connection, domain: str, period: Period, publications: sql.Composable) -> set[str]:
    """Return the reports of a domain that have rows of their own for a period: a month shows no days."""
    names = [contract.table for contract in catalog.reports(domain).values()]
    query = sql.SQL("select report from {} as p where report = any(%s) and cadence = %s and period = %s")
    rows = connection.execute(query.format(publications), (names, period.cadence, period.start)).fetchall()
    return {report for (report,) in rows}
