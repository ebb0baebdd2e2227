"""The business view: the reports of a domain and period as charts, tables and numbers, each with its waybill.

Everything is drawn from the contracts of the reports; the dashboard of the domain's manifest says what comes first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg import Connection, errors, sql

from waybill.contracts import Contract
from waybill.contracts.domains import Dashboard, Kpi, Matrix, Trend, load_manifest
from waybill.contracts.locations import domain_of
from waybill.derived.build import of_period
from waybill.ops.provenance import BUILT_LAST
from waybill.period import Cadence, Period
from waybill.views import catalog
from waybill.views.business import charts
from waybill.views.business.comparison import comparison, days_of, lacking_of, parts_of
from waybill.views.business.report import NothingBuilt, measure_of, rows_of, table, within
from waybill.views.business.source import Source, built, notices

NOTICES = 5
"""How many days with unpublished reports a page names."""
BARS = 12
"""How many rows a chart shows."""
TABLE_ROWS = 25
"""How many rows the table under a chart shows."""
TREND_PERIODS = 400
SHADED = 12
"""How many lines a table of shades has."""
LISTED: Mapping[Cadence, int] = {"day": 400, "week": 160, "month": 120}
"""How many periods of a cadence one can choose from."""


@dataclass(frozen=True)
class Number:
    """A number of the strip on top, and how it compares with the period before."""

    label: str
    text: str
    change: str
    """Like `+3.1 %`; empty without a number to compare with."""
    direction: str
    """up, down or flat; empty without a number to compare with."""
    note: str
    """What it is compared with, or why it is not."""
    part: str
    """Like `27 of 30 days`; empty if the period is whole."""
    report: str
    is_built: bool
    """Whether the report was built in the period, so that the number has a waybill."""
    mark: str
    """Why it is not published; empty if it is."""


@dataclass(frozen=True)
class Card:
    """One report of the page."""

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
    shades: charts.Shades | None = None
    funnel: bool = False
    part: str = ""
    """Like `27 of 30 days`; empty if its period is whole."""
    lacking: str = ""
    """Which days its week or month, and the one before, lack; empty if none."""
    problem: str = ""
    """Why it shows nothing, if the warehouse could not tell."""
    mark: str = ""
    """Why its numbers are not published; empty if they are."""
    left_out: str = ""
    """Which periods its line leaves out, because nobody has approved them."""


@dataclass(frozen=True)
class TrendChart:
    """One line of the domain, for each cadence that it is known by."""

    label: str
    report: str
    lines: list[tuple[str, charts.Line]]
    left_out: str = ""
    """Which periods the lines leave out, because nobody has approved them."""


@dataclass(frozen=True)
class Page:
    """All that the page of a domain and period shows."""

    domain: str
    period: Period
    part: str
    """Like `27 of 30 days`; empty if the period is whole."""
    periods: list[Period]
    """The newest ones of its cadence that something was built for, newest first."""
    cadences: list[Period]
    """For each cadence the newest period: where to go for another one."""
    numbers: list[Number]
    trends: list[TrendChart]
    cards: list[Card]
    notices: list[str]
    """Which reports of the period, and of newer ones, wait for an approval."""


def built_periods(
    connection: Connection, domain: str, listed: Mapping[Cadence, int] = LISTED, heads: sql.Composable = BUILT_LAST
) -> dict[Cadence, list[Period]]:
    """The newest periods that a report of the domain was built for, newest first, by cadence; at most so many.

    `heads` is where it stands what was built; the site asks what was published.
    """
    names = [contract.table for contract in catalog.reports(domain).values()]
    found: dict[Cadence, list[Period]] = {}
    for cadence in listed:
        query = sql.SQL(
            "select distinct period from {} as p where report = any(%s) and cadence = %s order by period desc limit %s"
        ).format(heads)
        rows = connection.execute(query, (names, cadence, listed[cadence])).fetchall()
        if rows:
            found[cadence] = [Period.of(cadence, start) for (start,) in rows]
    return found


def first_page(connection: Connection) -> tuple[str, Period]:
    """The domain and period to open with: the first domain that has any, and its newest one.

    Raises `NothingBuilt` if no report was ever built.
    """
    for domain in catalog.domains():
        with contextlib.suppress(NothingBuilt):
            return domain, newest_period(connection, domain)
    raise NothingBuilt("No report was built yet.")


def newest_period(connection: Connection, domain: str) -> Period:
    """The period that a domain opens with: the newest of its longest cadence. Raises `NothingBuilt` without any."""
    found = built_periods(connection, domain)
    if not found:
        raise NothingBuilt(f"No report of {domain} was built yet.")
    return list(found.values())[-1][0]


def page(
    connection: Connection,
    domain: str,
    period: Period,
    listed: Mapping[Cadence, int] = LISTED,
    source: Source | None = None,
) -> Page:
    """The page of a domain and period, by default of what was built last.

    Raises `NothingBuilt` if the source has nothing of the period.
    """
    dashboard, source = load_manifest(domain).dashboard, source or built(connection, domain)
    periods = built_periods(connection, domain, listed, source.heads)
    if period not in periods.get(period.cadence, []):
        raise NothingBuilt(f"No report of {domain} was built for {period}.")
    contracts = source.contracts(domain)
    order = [name for name in dashboard.first if name in contracts]
    order += [name for name in contracts if name not in (*order, *dashboard.last)]
    order += [name for name in dashboard.last if name in contracts]
    newest = _newest_within(connection, domain, period, source.heads)
    cards = [
        _card(connection, dashboard, contracts[name], newest[contracts[name].table], source)
        for name in order
        if contracts[name].table in newest
    ]
    days = days_of(connection, contracts.values(), period, source.heads)
    return Page(
        domain=domain,
        period=period,
        part=days.part if days else "",
        periods=periods[period.cadence],
        cadences=[found[0] for found in periods.values()],
        numbers=[
            _number(connection, contracts, kpi, period, source) for kpi in dashboard.kpis if kpi.report in contracts
        ],
        trends=[
            _trend(connection, contracts[trend.report], trend, period, source)
            for trend in dashboard.trends
            if trend.report in contracts and contracts[trend.report].table in newest
        ],
        cards=cards,
        notices=notices(source, period)[:NOTICES],
    )


def _newest_within(connection: Connection, domain: str, period: Period, heads: sql.Composable) -> dict[str, Period]:
    """By report the period to show: this one, or the newest of its own cadences that overlaps with it."""
    query = sql.SQL(
        """
        select distinct on (report) report, cadence, period
        from {} as p
        where report = any(%(reports)s)
          and period < %(end)s and (period + ('1 ' || cadence)::interval)::date > %(start)s
        order by report, (cadence = %(cadence)s) desc, period desc, cadence
        """
    ).format(heads)
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


def _card(connection: Connection, dashboard: Dashboard, contract: Contract, period: Period, source: Source) -> Card:
    """A report of the page. One that the warehouse cannot give does not keep the others from being shown."""
    counted = connection.execute(
        sql.SQL("select row_count from {} as p where (report, cadence, period) = (%s, %s, %s)").format(source.heads),
        (contract.table, period.cadence, period.start),
    ).fetchone()
    now, before = (days_of(connection, [contract], one, source.heads) for one in (period, period.shift(-1)))
    card = Card(
        name=contract.name,
        title=catalog.in_words(contract.name),
        purpose=contract.description,
        period=period,
        row_count=counted[0] if counted else 0,
        part=now.part if now else "",
        lacking=lacking_of(now, before) if now and before else "",
        mark=source.mark(contract, period),
    )
    domain = domain_of(contract.domain)
    try:
        with connection.transaction():
            rows = rows_of(connection, domain, contract, period, TABLE_ROWS, source)
            headings, texts, numeric = table(contract, rows)
            chart = _chart(connection, dashboard, contract, period, rows, source)
    except errors.QueryCanceled:
        return replace(card, problem="It took the warehouse too long to sort its rows; the CSV may have them.")
    except (errors.UndefinedColumn, errors.UndefinedTable):
        return replace(card, problem="Its table is not what its contract says: it waits to be built again.")
    return replace(card, headings=headings, rows=texts, numeric=numeric, **chart)


def _chart(
    connection: Connection,
    dashboard: Dashboard,
    contract: Contract,
    period: Period,
    rows: Sequence[dict[str, Any]],
    source: Source,
) -> dict[str, Any]:
    """The chart that suits the report: counts, a line over the periods, bars, or none."""
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
            "measure": f"Rows by {(by_name[group].business_name or group).lower()}",
            "bars": charts.counted_bars(connection.execute(query).fetchall()),
        }
    if matrix := dashboard.matrix.get(contract.name):
        by_row, by_column = (by_name[one].business_name or one for one in (matrix.row, matrix.column))
        return {
            "measure": f"{by_name[matrix.value].business_name}, %, by {by_row.lower()} and {by_column.lower()}",
            "shades": _shades(connection, contract, matrix, period, source),
        }
    name = measure_of(dashboard, contract)
    if name is None:
        return {}
    measure = by_name[name].business_name or name
    if not [key for key in contract.key[1:] if key != "cadence"]:
        line = _line(connection, contract, name, period.cadence, period, source)
        return {"measure": measure, "line": line, "left_out": _left_out(source, contract, [period.cadence], period)}
    if any(not charts.label_of(contract, row) for row in rows) or "table_name" in contract.key:
        return {}  # values of different kinds are not compared
    return {
        "measure": measure,
        "bars": charts.bars(contract, by_name[name], rows[:BARS]),
        "funnel": "step_number" in contract.key,
    }


def _line(
    connection: Connection, contract: Contract, column: str, cadence: Cadence, until: Period, source: Source
) -> charts.Line | None:
    """The sum of a column in each period up to one, of the report's newest periods.

    Periods that nobody has approved are left out: a line through approved numbers has no others.
    """
    start = sql.Identifier(contract.key[0])
    condition = sql.SQL("{} < {}").format(start, sql.Literal(until.end))
    if len(contract.cadences) > 1:
        condition += sql.SQL(" and cadence = {}").format(sql.Literal(cadence))
    if held := [period.start for period in source.held(contract, cadence)]:
        condition += sql.SQL(" and {} <> all({})").format(start, sql.Literal(held))
    query = sql.SQL("select {0}, sum({1}) from {2} as r where {3} group by 1 order by 1 desc limit {4}").format(
        start, sql.Identifier(column), source.rows(connection, contract), condition, sql.Literal(TREND_PERIODS)
    )
    rows = connection.execute(query).fetchall()
    values: list[tuple[date, str, Decimal]] = [
        (day, Period.of(cadence, day).key, value) for day, value in reversed(rows) if value is not None
    ]
    parts = parts_of(connection, contract, [Period.of(cadence, day) for day, *_ in values], source.heads)
    return charts.line(charts.unit_of(column), values, parts)


def _left_out(source: Source, contract: Contract, cadences: Sequence[Cadence], until: Period) -> str:
    """Which periods the report's line leaves out, in words."""
    held = sorted(
        period for cadence in cadences for period in source.held(contract, cadence) if period.start < until.end
    )
    if not held:
        return ""
    named = ", ".join(period.key for period in held[-NOTICES:])
    return f"Without what nobody has approved: {'… ' if len(held) > NOTICES else ''}{named}."


def _shades(connection: Connection, contract: Contract, matrix: Matrix, until: Period, source: Source) -> charts.Shades:
    """The values of the newest rows of the matrix, in the report's periods up to one."""
    start = sql.Identifier(contract.key[0])
    first = until.shift(1 - SHADED)
    query = sql.SQL("select {0}, {1}, {2} from {3} as r where {4} >= {5} and {4} < {6} and {0} >= {5}").format(
        *(sql.Identifier(name) for name in (matrix.row, matrix.column, matrix.value)),
        source.rows(connection, contract),
        start,
        sql.Literal(first.start),
        sql.Literal(until.end),
    )
    return charts.shades(connection.execute(query).fetchall())


def _trend(connection: Connection, contract: Contract, trend: Trend, period: Period, source: Source) -> TrendChart:
    found = [
        (cadence, _line(connection, contract, trend.column, cadence, period, source)) for cadence in contract.cadences
    ]
    lines: list[tuple[str, charts.Line]] = [(cadence, line) for cadence, line in found if line is not None]
    return TrendChart(trend.label, trend.report, lines, _left_out(source, contract, contract.cadences, period))


def _number(
    connection: Connection, contracts: Mapping[str, Contract], kpi: Kpi, period: Period, source: Source
) -> Number:
    contract = contracts[kpi.report]
    now = _sum(connection, contract, kpi, period, source)
    own = [contract] if "day" in contract.cadences else contracts.values()
    days = days_of(connection, own, period, source.heads)
    change, direction, note = _change(connection, contracts, kpi, period, now, source)
    held = source.held_within(contract, period)
    return Number(
        label=kpi.label,
        text="none" if now is None else charts.spoken("%" if kpi.percent else charts.unit_of(kpi.column), now),
        change=change,
        direction=direction,
        note=note,
        part=days.part if days else "",
        report=kpi.report,
        is_built=now is not None,
        mark=held[0].why if held else "",
    )


def _change(
    connection: Connection,
    contracts: Mapping[str, Contract],
    kpi: Kpi,
    period: Period,
    now: Decimal | int | None,
    source: Source,
) -> tuple[str, str, str]:
    """(change in percent, its direction, what it is compared with or why not) of a number."""
    if now is None:
        return "", "", "not built"
    contract = contracts[kpi.report]
    found = comparison(connection, contract, contracts.values(), period, source.heads)
    if found.reason:
        return "", "", found.reason
    if held := [one for one in (period, found.before) if source.held_within(contract, one)]:
        return "", "", f"not compared: nobody has approved {held[0]}"
    before = _sum(connection, contract, kpi, found.before, source)
    if found.days is not None:
        if contract.cadences != ("day",) and now != _sum(connection, contract, kpi, period, source, daily=True):
            return "", "", "its days do not add up to it, and not all of them are there"
        now, before = (_sum(connection, contract, kpi, period, source, days=days) for days in found.days)
    if now is None or not before:
        return "", "", f"nothing to compare with: {found.before} {'was not built' if before is None else 'has none'}"
    moved = (now / before - 1) * 100
    return f"{moved:+,.1f} %", "flat" if round(moved, 1) == 0 else "up" if moved > 0 else "down", found.against


def _sum(
    connection: Connection,
    contract: Contract,
    kpi: Kpi,
    period: Period,
    source: Source,
    *,
    daily: bool = False,
    days: Sequence[date] | None = None,
) -> Decimal | int | None:
    """The number in a period; None where nothing was built, or the divisor is zero.

    `daily`: from the rows of its days, though the report has rows of the period itself. With `days`, of these alone.
    """
    summed = sql.SQL("count(*)") if kpi.column == "*" else sql.SQL("sum({})").format(sql.Identifier(kpi.column))
    if kpi.per:
        summed = sql.SQL("{} * {} / nullif(sum({}), 0)").format(
            summed, sql.Literal(100 if kpi.percent else 1), sql.Identifier(kpi.per)
        )
    condition = within(contract, period, ["day" if daily else period.cadence])
    if days is not None:
        condition = sql.SQL("{} = any({})").format(sql.Identifier(contract.key[0]), sql.Literal([*days]))
        if len(contract.cadences) > 1:
            condition += sql.SQL(" and cadence = 'day'")
    is_there = connection.execute(
        sql.SQL("select from {} as p where report = %s and period >= %s and period < %s limit 1").format(source.heads),
        (contract.table, period.start, period.end),
    ).fetchone()
    if is_there is None and days is None:
        return None
    row = connection.execute(
        sql.SQL("select {} from {} as r where {}").format(summed, source.rows(connection, contract), condition)
    ).fetchone()
    value: Decimal | int | None = row[0] if row else None
    whole = {column.name for column in contract.columns if column.logical_type == "integer"} | {"*"}
    if value is None or (kpi.column in whole and not kpi.per):
        return None if value is None else int(value)
    return round(Decimal(value), 2)
