"""The cards of a page: one for each report, and the lines of its domain over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg import Connection, errors, sql

from waybill.contracts import Contract
from waybill.contracts.domains import Dashboard, Matrix, Trend
from waybill.contracts.locations import domain_of
from waybill.derived.build import of_period
from waybill.period import Cadence, Period
from waybill.views import catalog
from waybill.views.business import charts
from waybill.views.business.comparison import coverages_of, days_of, incomplete
from waybill.views.business.report import measure_of, rows_of, table
from waybill.views.business.source import NOTICES, Source
from waybill.warehouse.connection import STATEMENT_TIMEOUT_SECONDS

BARS = 12
"""How many rows a chart shows."""
TABLE_ROWS = 25
"""How many rows the table under a chart shows."""
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
    headings: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    numeric: list[bool] = field(default_factory=list)
    measure: str = ""
    bars: list[charts.Bar] = field(default_factory=list)
    line: charts.Line | None = None
    heatmap: charts.Heatmap | None = None
    funnel: bool = False
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


@dataclass(frozen=True)
class TrendChart:
    """A line of the domain over time, for each cadence of its report."""

    label: str
    report: str
    lines: list[tuple[str, charts.Line]]
    left_out: str = ""
    """Which periods the lines leave out, because they are not approved."""


def card_of(connection: Connection, dashboard: Dashboard, contract: Contract, period: Period, source: Source) -> Card:
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
        coverage=now.coverage if now else "",
        incomplete=incomplete(now, before) if now and before else "",
        unpublished=waiting.why if waiting else "",
    )
    domain = domain_of(contract.domain)
    try:
        with connection.transaction():
            rows = rows_of(connection, domain, contract, period, TABLE_ROWS, source)
            headings, texts, numeric = table(contract, rows)
            chart = _chart(connection, dashboard, contract, period, rows, source)
    except errors.QueryCanceled:
        problem = f"The query took longer than {STATEMENT_TIMEOUT_SECONDS} seconds. Download the CSV instead."
        return replace(card, problem=problem)
    except (errors.UndefinedColumn, errors.UndefinedTable):
        return replace(card, problem="The table does not match its contract. Build the report again.")
    return replace(card, headings=headings, rows=texts, numeric=numeric, **chart)


def trend_of(connection: Connection, contract: Contract, trend: Trend, period: Period, source: Source) -> TrendChart:
    """Return the line of a trend for each cadence of its report, up to a period."""
    found = [
        (cadence, _line(connection, contract, trend.column, cadence, period, source)) for cadence in contract.cadences
    ]
    lines: list[tuple[str, charts.Line]] = [(cadence, line) for cadence, line in found if line is not None]
    return TrendChart(trend.label, trend.report, lines, _left_out(source, contract, contract.cadences, period))


def _chart(
    connection: Connection,
    dashboard: Dashboard,
    contract: Contract,
    period: Period,
    rows: Sequence[dict[str, Any]],
    source: Source,
) -> dict[str, Any]:
    """Return the fields of a card for the chart that suits its report: bars, a line, a heatmap, or none."""
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
        return {
            "measure": f"Rows by {catalog.column_heading(by_name[group]).lower()}",
            "bars": charts.counted_bars(connection.execute(query).fetchall()),
        }
    if matrix := dashboard.matrix.get(contract.name):
        value, by_row, by_column = (
            catalog.column_heading(by_name[one]) for one in (matrix.value, matrix.row, matrix.column)
        )
        return {
            "measure": f"{value} by {by_row.lower()} and {by_column.lower()}",
            "heatmap": _heatmap(connection, contract, matrix, period, source),
        }
    name = measure_of(dashboard, contract)
    if name is None:
        return {}
    measure = catalog.column_heading(by_name[name])
    if not [key for key in contract.key[1:] if key != "cadence"]:
        line = _line(connection, contract, name, period.cadence, period, source)
        return {"measure": measure, "line": line, "left_out": _left_out(source, contract, [period.cadence], period)}
    if any(not charts.label_of(contract, row) for row in rows) or "table_name" in contract.key:
        return {}  # values of different kinds are not comparable
    return {
        "measure": measure,
        "bars": charts.bars(contract, by_name[name], rows[:BARS]),
        "funnel": "step_number" in contract.key,
    }


def _line(
    connection: Connection, contract: Contract, column: str, cadence: Cadence, until: Period, source: Source
) -> charts.Line | None:
    """Return the sum of a column by period, up to a period. Periods that are not approved are left out."""
    start = sql.Identifier(contract.key[0])
    condition = sql.SQL("{} < {}").format(start, sql.Literal(until.end))
    if len(contract.cadences) > 1:
        condition += sql.SQL(" and cadence = {}").format(sql.Literal(cadence))
    if held := [period.start for period in source.held(contract, cadence)]:
        condition += sql.SQL(" and {} <> all({})").format(start, sql.Literal(held))
    query = sql.SQL("select {0}, sum({1}) from {2} as r where {3} group by 1 order by 1 desc limit {4}").format(
        start, sql.Identifier(column), source.rows(connection, contract), condition, sql.Literal(LINE_PERIODS)
    )
    rows = connection.execute(query).fetchall()
    values: list[tuple[date, str, Decimal]] = [
        (day, Period.of(cadence, day).key, value) for day, value in reversed(rows) if value is not None
    ]
    periods = [Period.of(cadence, day) for day, *_ in values]
    coverages = coverages_of(connection, contract, periods, source.publications)
    return charts.line(catalog.unit_of(column), values, coverages)


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
    connection: Connection, contract: Contract, matrix: Matrix, until: Period, source: Source
) -> charts.Heatmap:
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
    return charts.heatmap(connection.execute(query).fetchall())
