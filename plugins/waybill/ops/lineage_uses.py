"""What uses columns besides SQL files: the dashboards and streams of manifests, and the checks of contracts.

Each use is a table of the graph, whose columns are its figures. A figure is one number, so that everything that it is
computed from is part of its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from waybill.contracts import Check, Contract
from waybill.contracts.domains import Dashboard, load_manifests
from waybill.contracts.locations import report_schema
from waybill.derived.build import named_tables
from waybill.ops.column_sources import ROWS, Dialect, Relation, Source, Sources, UnresolvedSql, column_sources

_WORD: Final = re.compile(r"[a-z_]\w*", re.IGNORECASE)


class Use(NamedTuple):
    """A dashboard, a stream, or the checks of a table."""

    name: str
    kind: Literal["dashboard", "stream", "check"]
    figures: Mapping[str, Sources]
    """The columns that each figure is computed from."""


def uses(contracts: Mapping[str, Contract]) -> Iterator[Use]:
    """Yield the dashboards and streams of all manifests."""
    for domain, manifest in load_manifests().items():
        figures = {label: found for label, found in _dashboard(domain, manifest.dashboard) if found}
        if figures:
            yield Use(f"dashboard of {domain}", "dashboard", figures)
        for name in manifest.streams:
            if contract := contracts.get(f"{domain}.{name}"):
                yield Use(f"stream of {contract.table}", "stream", _stream(contract, contracts))


def _dashboard(domain: str, dashboard: Dashboard) -> Iterator[tuple[str, Sources]]:
    """Yield the label of each figure and chart that a manifest declares, with its columns."""

    def of(report: str, *columns: str | None) -> Sources:
        return frozenset(Source(f"{report_schema(domain)}.{report}", one) for one in columns if one)

    for kpi in dashboard.kpis:
        yield kpi.label, of(kpi.report, kpi.column, kpi.per)
    for trend in dashboard.trends:
        yield f"{trend.label} over time", of(trend.report, trend.column)
    charts: dict[str, Sources] = {}
    for report, drawn in [
        *((report, of(report, column)) for report, column in (dashboard.measure | dashboard.counted).items()),
        *((report, of(report, *columns)) for report, columns in dashboard.lines.items()),
        *((report, of(report, one.row, one.column, one.value)) for report, one in dashboard.matrix.items()),
    ]:
        charts[report] = charts.get(report, frozenset()) | drawn
    yield from ((f"chart of {report}", columns) for report, columns in charts.items())


def _stream(contract: Contract, contracts: Mapping[str, Contract]) -> dict[str, Sources]:
    """Return the figures of the stream of a dataset."""
    stream = load_manifests()[contract.domain].streams[contract.name]

    def of(*columns: str | None) -> Sources:
        return frozenset(Source(contract.table, one) for one in columns if one)

    figures = {"events by minute": of(stream.kind, contract.period_column)}
    figures |= {f"events by {name}": of(stream.kind, name, contract.period_column) for name in stream.dimensions}
    figures["sessions"] = of(stream.session, contract.period_column)
    if stream.funnel:
        figures["funnel"] = of(stream.session, stream.kind)
    if amount := stream.amount:
        figures[amount.label] = of(stream.kind, amount.column)
        table = f"{contract.domain}.{amount.table}"
        if table in contracts:
            figures[amount.label] |= {Source(table, amount.value)}
    return figures


def checks_of(contract: Contract, relations: Mapping[str, Relation], dialect: Dialect) -> Use | None:
    """Return the checks of a table with the columns that each reads; None without checks."""
    if not contract.checks:
        return None
    figures = {check.name: _read_by(check, contract, relations, dialect) for check in contract.checks}
    return Use(f"checks of {contract.table}", "check", figures)


def _read_by(check: Check, contract: Contract, relations: Mapping[str, Relation], dialect: Dialect) -> Sources:
    if check.query is None:
        return frozenset(Source(contract.table, name) for name in check.columns or (ROWS,))
    try:
        found = column_sources(check.query, relations, dialect)
    except UnresolvedSql:  # it also reads tables without a contract, such as those of the ledger
        words = set(_WORD.findall(check.query))
        tables = named_tables(check.query, {name: name for name in relations})
        named = [one for name in tables for one in relations[name].columns]
        return frozenset[Source]().union(*(sources for name, sources in named if name in words)) or frozenset(
            {Source(contract.table, ROWS)}
        )
    return frozenset[Source]().union(*found.columns.values(), found.influences, found.rows)
