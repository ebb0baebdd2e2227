"""The key figures of a period, and how they compare with the period before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.domains import Kpi
from waybill.period import Period
from waybill.views import catalog
from waybill.views.business import charts
from waybill.views.business.comparison import comparison, days_of, year_before
from waybill.views.business.report import within
from waybill.views.business.source import Source
from waybill.warehouse.connection import one_row

SPARK_PERIODS = {"day": 28, "week": 13, "month": 13}
"""How many of the newest periods of each cadence a small line shows."""


@dataclass(frozen=True)
class KpiValue:
    """A key figure of a period."""

    label: str
    value: Decimal | int | None
    unit: str
    text: str
    """Its value with the unit, or `no data`."""
    change: str
    """Like `+3.1 %`, or `+3.1 points` for a percentage; empty if it is not compared."""
    direction: str
    """up, down or flat; empty if it is not compared."""
    note: str
    """What it is compared with, or why it is not compared."""
    year_change: str
    """The change from the year before; empty if it is not compared with it."""
    year_note: str
    """What it is compared with in the year before."""
    spark: Sequence[Decimal | int]
    """Its values in the newest periods up to this one, in order; none if there are fewer than three."""
    coverage: str
    """Like `27 of 30 days`; empty for a complete period."""
    report: str
    is_built: bool
    """Whether the report was built in the period, so that the figure has a waybill."""
    unpublished: str
    """Why it is not published; empty if it is."""
    is_unfiltered: bool = False
    """Whether a chosen filter does not apply, because its report lacks the column."""


def kpi_value(
    connection: Connection,
    contracts: Mapping[str, Contract],
    kpi: Kpi,
    period: Period,
    source: Source,
    chosen: Collection[str] = (),
) -> KpiValue:
    """Return a key figure. `contracts` are all reports of its domain by name, `chosen` the columns of filters."""
    contract = contracts[kpi.report]
    value = _value(connection, contract, kpi, period, source)
    own = [contract] if "day" in contract.cadences else contracts.values()
    days = days_of(connection, own, period, source.publications)
    unit = "%" if kpi.percent else catalog.unit_in(contract, kpi.column)
    change, direction, note = _change(connection, contracts, kpi, period, value, unit, source)
    year_change, _, year_note = _change(connection, contracts, kpi, period, value, unit, source, year_before(period))
    held = source.held_within(contract, period)
    return KpiValue(
        label=kpi.label,
        value=value,
        unit=unit,
        text="no data" if value is None else charts.with_unit(unit, value),
        change=change,
        direction=direction,
        note=note,
        year_change=year_change,
        year_note=year_note if year_change else "",
        spark=[] if value is None else _spark(connection, contract, kpi, period, source),
        coverage=days.coverage if days else "",
        report=kpi.report,
        is_built=value is not None,
        unpublished=held[0].why if held else "",
        is_unfiltered=not {*chosen} <= {*contract.names},
    )


def _change(
    connection: Connection,
    contracts: Mapping[str, Contract],
    kpi: Kpi,
    period: Period,
    value: Decimal | int | None,
    unit: str,
    source: Source,
    against: Period | None = None,
) -> tuple[str, str, str]:
    """Return (change, direction, what the value is compared with or why it is not compared)."""
    if value is None:
        return "", "", "not built"
    contract = contracts[kpi.report]
    found = comparison(connection, contract, contracts.values(), period, source.publications, against)
    if found.reason:
        return "", "", f"not compared: {found.reason}"
    if held := [one for one in (period, found.before) if source.held_within(contract, one)]:
        return "", "", f"not compared: {held[0]} is not approved"
    before = _value(connection, contract, kpi, found.before, source)
    if found.days is not None:
        if contract.cadences != ("day",) and value != _value(connection, contract, kpi, period, source, daily=True):
            return "", "", "not compared: the period is incomplete, and its days do not add up to its total"
        value, before = (_value(connection, contract, kpi, period, source, days=days) for days in found.days)
    if value is None or before is None or (not before and unit != "%"):
        return "", "", f"not compared: {found.before} {'was not built' if before is None else 'has the value 0'}"
    moved, word = (value - before, "points") if unit == "%" else ((Decimal(value) / before - 1) * 100, "%")
    return f"{moved:+,.1f} {word}", "flat" if round(moved, 1) == 0 else "up" if moved > 0 else "down", found.against


def _spark(connection: Connection, contract: Contract, kpi: Kpi, period: Period, source: Source) -> list[Decimal | int]:
    first = period.shift(1 - SPARK_PERIODS[period.cadence])
    start = sql.Identifier(contract.key[0])
    condition = sql.SQL("{0} >= {1} and {0} < {2}").format(start, sql.Literal(first.start), sql.Literal(period.end))
    if len(contract.cadences) > 1:
        condition += sql.SQL(" and cadence = {}").format(sql.Literal(period.cadence))
    if held := [one.start for cadence in contract.cadences for one in source.held(contract, cadence)]:
        condition += sql.SQL(" and {} <> all({})").format(start, sql.Literal(held))
    rows = connection.execute(
        sql.SQL("select date_trunc({}, {}) as start, {} from {} as r where {} group by 1 order by 1").format(
            sql.Literal(period.cadence), start, _total(kpi), source.rows(connection, contract), condition
        )
    ).fetchall()
    values = [value for _, value in rows if value is not None]
    return values if len(values) > 2 else []


def _total(kpi: Kpi) -> sql.Composable:
    total = sql.SQL("count(*)") if kpi.column == "*" else sql.SQL("sum({})").format(sql.Identifier(kpi.column))
    if not kpi.per:
        return total
    return sql.SQL("{} * {} / nullif(sum({}), 0)").format(
        total, sql.Literal(100 if kpi.percent else 1), sql.Identifier(kpi.per)
    )


def _value(
    connection: Connection,
    contract: Contract,
    kpi: Kpi,
    period: Period,
    source: Source,
    *,
    daily: bool = False,
    days: Sequence[date] | None = None,
) -> Decimal | int | None:
    """Return the value for a period; None if nothing was built, or the divisor is zero.

    With `daily`, the rows of its days count instead of the rows of the period. With `days`, only these days count.
    """
    condition = within(contract, period, ["day" if daily else period.cadence])
    if days is not None:
        condition = sql.SQL("{} = any({})").format(sql.Identifier(contract.key[0]), sql.Literal([*days]))
        if len(contract.cadences) > 1:
            condition += sql.SQL(" and cadence = 'day'")
    is_built = connection.execute(
        sql.SQL("select from {} as p where report = %s and period >= %s and period < %s limit 1").format(
            source.publications
        ),
        (contract.table, period.start, period.end),
    ).fetchone()
    if is_built is None and days is None:
        return None
    (value,) = one_row(
        connection,
        sql.SQL("select {} from {} as r where {}").format(_total(kpi), source.rows(connection, contract), condition),
    )
    integers = {column.name for column in contract.columns if column.logical_type == "integer"} | {"*"}
    if value is None or (kpi.column in integers and not kpi.per):
        return None if value is None else int(value)
    return round(Decimal(value), 2)
