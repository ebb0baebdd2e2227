"""The cards of a page: one for each report, and the lines of its domain over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import Any

from psycopg import Connection, errors, sql

from waybill.contracts import Column, Contract
from waybill.contracts.domains import Dashboard, Matrix, Trend
from waybill.contracts.locations import domain_of
from waybill.derived.build import of_period
from waybill.period import Cadence, Period
from waybill.views import catalog
from waybill.views.business import charts
from waybill.views.business.comparison import coverages_of, days_of, incomplete
from waybill.views.business.report import count_rows, measure_of, rows_of
from waybill.views.business.source import NOTICES, Source
from waybill.warehouse.connection import STATEMENT_TIMEOUT_SECONDS

BARS = 12
"""How many rows a chart shows."""
TABLE_ROWS = 25
"""How many rows the table under a chart shows."""
GROUP_BARS = 5
GROUPED_ROWS = 40
"""How many rows of reports that rank within groups: the first ones of each group."""
LINE_PERIODS = 400
"""How many periods a line shows."""
HEATMAP_ROWS = 12


@dataclass(frozen=True)
class Card:
    """A report of the page."""

    name: str
    title: str
    purpose: str
    period: Period
    row_count: int
    question: str = ""
    """What it answers; empty if the manifest has no questions."""
    not_filtered_by: Sequence[str] = ()
    """The chosen filters that do not apply, because the report lacks the column."""
    chart: charts.Chart | None = None
    """Its table, with a chart if one suits the report; None if it has no rows."""
    measure: str = ""
    """What the chart shows."""
    lists_rows: bool = False
    """Whether the rows of its table are the first ones of the report."""
    coverage: str = ""
    """Like `27 of 30 days`; empty for a complete period."""
    incomplete: str = ""
    """Which of its period and the period before are incomplete; empty if none is."""
    problem: str = ""
    """Why the warehouse cannot return its rows; empty if it can."""
    unpublished: str = ""
    """Why its rows are not published; empty if they are."""
    left_out: str = ""
    """Which periods its line leaves out, because they are not approved."""

    @property
    def is_empty(self) -> bool:
        """Whether it has neither rows nor a problem to tell."""
        return not self.problem and not (self.chart and self.chart.rows)


@dataclass(frozen=True)
class TrendChart:
    """A line of the domain over time, for each cadence of its report."""

    label: str
    report: str
    lines: list[tuple[str, charts.Chart]]
    left_out: str = ""
    """Which periods the lines leave out, because they are not approved."""


def card_of(
    connection: Connection,
    dashboard: Dashboard,
    contract: Contract,
    period: Period,
    question: str,
    source: Source,
    chosen: Mapping[str, str] = MappingProxyType({}),
) -> Card:
    """Return the card of a report. If its query fails, the card says why, and the page shows the others."""
    publication = connection.execute(
        sql.SQL("select row_count from {} as p where (report, cadence, period) = (%s, %s, %s)").format(
            source.publications
        ),
        (contract.table, period.cadence, period.start),
    ).fetchone()
    now, before = (days_of(connection, [contract], one, source.publications) for one in (period, period.shift(-1)))
    waiting = source.unpublished_at(contract, period)
    card = Card(
        name=contract.name,
        title=catalog.heading(contract.name),
        purpose=contract.description,
        period=period,
        row_count=publication[0] if publication else 0,
        question=question,
        coverage=now.coverage if now else "",
        incomplete=incomplete(now, before) if now and before else "",
        unpublished=waiting.why if waiting else "",
        not_filtered_by=[catalog.heading(name) for name in chosen if name not in contract.names],
    )
    if len(card.not_filtered_by) < len(chosen):
        card = replace(card, row_count=count_rows(connection, contract, period, source))
    domain = domain_of(contract.domain)
    try:
        with connection.transaction():
            rows = _rows(connection, domain, contract, period, source)
            chart = _chart(connection, dashboard, contract, period, rows, source)
    except errors.QueryCanceled:
        problem = f"The query took longer than {STATEMENT_TIMEOUT_SECONDS} seconds. Download the CSV instead."
        return replace(card, problem=problem)
    except (errors.UndefinedColumn, errors.UndefinedTable):
        return replace(card, problem="The table does not match its contract. Build the report again.")
    return replace(card, **chart)


def trend_of(connection: Connection, contract: Contract, trend: Trend, period: Period, source: Source) -> TrendChart:
    """Return the line of a trend for each cadence of its report, up to a period."""
    column = next(one for one in contract.columns if one.name == trend.column)
    found = [(cadence, _line(connection, contract, [column], cadence, period, source)) for cadence in contract.cadences]
    lines: list[tuple[str, charts.Chart]] = [(cadence, line) for cadence, line in found if line is not None]
    return TrendChart(trend.label, trend.report, lines, _left_out(source, contract, contract.cadences, period))


def _rows(
    connection: Connection, domain: str, contract: Contract, period: Period, source: Source
) -> list[dict[str, Any]]:
    """Return the rows of a card: the first of the report, or the first of each group."""
    if charts.group_column(contract) is None:
        return rows_of(connection, domain, contract, period, TABLE_ROWS, source)
    rank = next(name for name in contract.names if name.endswith("_rank"))
    first = sql.SQL("{} <= {}").format(sql.Identifier(rank), sql.Literal(GROUP_BARS))
    return rows_of(connection, domain, contract, period, GROUPED_ROWS, source, first)


def _chart(
    connection: Connection,
    dashboard: Dashboard,
    contract: Contract,
    period: Period,
    rows: Sequence[dict[str, Any]],
    source: Source,
) -> dict[str, Any]:
    """Return the chart and the measure of a card: bars, lines or a heat map if they suit the report."""
    by_name = {column.name: column for column in contract.columns}
    if group := dashboard.counted.get(contract.name):
        query = sql.SQL(
            "select {0}::text, count(*) from {1} as r where {2} group by 1 order by 2 desc, 1 limit {3}"
        ).format(
            sql.Identifier(group),
            source.rows(connection, contract),
            of_period(contract, period),
            sql.Literal(BARS),
        )
        heading = catalog.column_heading(by_name[group])
        counts = connection.execute(query).fetchall()
        return {"measure": f"Rows by {heading.lower()}", "chart": charts.counted_bars((heading, "Rows"), counts, group)}
    if matrix := dashboard.matrix.get(contract.name):
        value, by_row, by_column = (
            catalog.column_heading(by_name[one]) for one in (matrix.value, matrix.row, matrix.column)
        )
        return {
            "measure": f"{value} by {by_row.lower()} and {by_column.lower()}",
            "chart": _heatmap(connection, contract, matrix, (by_row, by_column), period, source),
        }
    listed: dict[str, Any] = {"chart": charts.table(contract, rows) if rows else None, "lists_rows": True}
    name = measure_of(dashboard, contract)
    if name is None:
        return listed
    measure = catalog.column_heading(by_name[name], contract)
    if not [key for key in contract.key[1:] if key != "cadence"]:
        columns = [by_name[one] for one in dashboard.lines.get(contract.name, [name])]
        line = _line(connection, contract, columns, period.cadence, period, source)
        left_out = _left_out(source, contract, [period.cadence], period)
        named = measure if len(columns) == 1 else ""
        return {"measure": named, "chart": line, "left_out": left_out} if line else listed
    # Values of different kinds are not comparable.
    is_comparable = "table_name" not in contract.key and all(charts.label_of(contract, row) for row in rows)
    if not rows or not is_comparable:
        return listed
    return listed | {"measure": measure, "chart": charts.bars(contract, by_name[name], rows, BARS)}


def _line(
    connection: Connection,
    contract: Contract,
    columns: Sequence[Column],
    cadence: Cadence,
    until: Period,
    source: Source,
) -> charts.Chart | None:
    """Return the sums of columns by period, up to a period. Periods that are not approved are left out."""
    start = sql.Identifier(contract.key[0])
    condition = sql.SQL("{} < {}").format(start, sql.Literal(until.end))
    if len(contract.cadences) > 1:
        condition += sql.SQL(" and cadence = {}").format(sql.Literal(cadence))
    if held := [period.start for period in source.held(contract, cadence)]:
        condition += sql.SQL(" and {} <> all({})").format(start, sql.Literal(held))
    sums = sql.SQL(", ").join(sql.SQL("sum({})").format(sql.Identifier(column.name)) for column in columns)
    query = sql.SQL("select {0}, {1} from {2} as r where {3} group by 1 order by 1 desc limit {4}").format(
        start, sums, source.rows(connection, contract), condition, sql.Literal(LINE_PERIODS)
    )
    rows = connection.execute(query).fetchall()
    points: list[tuple[date, str, Sequence[Any]]] = [
        (day, Period.of(cadence, day).key, values)
        for day, *values in reversed(rows)
        if any(v is not None for v in values)
    ]
    periods = [Period.of(cadence, day) for day, *_ in points]
    return charts.line(contract, columns, points, coverages_of(connection, contract, periods, source.publications))


def _left_out(source: Source, contract: Contract, cadences: Sequence[Cadence], until: Period) -> str:
    """Return a sentence about the periods that a line of the report leaves out; empty if there are none."""
    held = sorted(
        period for cadence in cadences for period in source.held(contract, cadence) if period.start < until.end
    )
    if not held:
        return ""
    names = ", ".join(period.key for period in held[-NOTICES:])
    return f"Not shown, because not approved: {'… ' if len(held) > NOTICES else ''}{names}."


def _heatmap(
    connection: Connection,
    contract: Contract,
    matrix: Matrix,
    headings: tuple[str, str],
    until: Period,
    source: Source,
) -> charts.Chart:
    """Return the values of the newest rows of the matrix, of the report's periods up to one."""
    start = sql.Identifier(contract.key[0])
    first = until.shift(1 - HEATMAP_ROWS)
    query = sql.SQL("select {0}, {1}, {2} from {3} as r where {4} >= {5} and {4} < {6} and {0} >= {5}").format(
        *(sql.Identifier(name) for name in (matrix.row, matrix.column, matrix.value)),
        source.rows(connection, contract),
        start,
        sql.Literal(first.start),
        sql.Literal(until.end),
    )
    return charts.heatmap(connection.execute(query).fetchall(), headings)
