"""The key figures of a period, and how they compare with the period before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.domains import Kpi
from waybill.period import Period
from waybill.views import catalog
from waybill.views.business import charts
from waybill.views.business.comparison import comparison, days_of
from waybill.views.business.report import within
from waybill.views.business.source import Source
from waybill.warehouse.connection import one_row


@dataclass(frozen=True)
class KpiValue:
    """A key figure of a period."""

    label: str
    text: str
    change: str
    """Like `+3.1 %`; empty if it is not compared."""
    direction: str
    """up, down or flat; empty if it is not compared."""
    note: str
    """What it is compared with, or why it is not compared."""
    coverage: str
    """Like `27 of 30 days`; empty for a complete period."""
    report: str
    is_built: bool
    """Whether the report was built in the period, so that the figure has a waybill."""
    unpublished: str
    """Why it is not published; empty if it is."""


def kpi_value(
    connection: Connection, contracts: Mapping[str, Contract], kpi: Kpi, period: Period, source: Source
) -> KpiValue:
    """Return a key figure. `contracts` are all reports of its domain by name."""
    contract = contracts[kpi.report]
    value = _value(connection, contract, kpi, period, source)
    own = [contract] if "day" in contract.cadences else contracts.values()
    days = days_of(connection, own, period, source.publications)
    change, direction, note = _change(connection, contracts, kpi, period, value, source)
    held = source.held_within(contract, period)
    return KpiValue(
        label=kpi.label,
        text="no data"
        if value is None
        else charts.with_unit("%" if kpi.percent else catalog.unit_of(kpi.column), value),
        change=change,
        direction=direction,
        note=note,
        coverage=days.coverage if days else "",
        report=kpi.report,
        is_built=value is not None,
        unpublished=held[0].why if held else "",
    )


def _change(
    connection: Connection,
    contracts: Mapping[str, Contract],
    kpi: Kpi,
    period: Period,
    value: Decimal | int | None,
    source: Source,
) -> tuple[str, str, str]:
    """Return (change in percent, direction, what the value is compared with or why it is not compared)."""
    if value is None:
        return "", "", "not built"
    contract = contracts[kpi.report]
    found = comparison(connection, contract, contracts.values(), period, source.publications)
    if found.reason:
        return "", "", f"not compared: {found.reason}"
    if held := [one for one in (period, found.before) if source.held_within(contract, one)]:
        return "", "", f"not compared: {held[0]} is not approved"
    before = _value(connection, contract, kpi, found.before, source)
    if found.days is not None:
        if contract.cadences != ("day",) and value != _value(connection, contract, kpi, period, source, daily=True):
            return "", "", "not compared: the period is incomplete, and its days do not add up to its total"
        value, before = (_value(connection, contract, kpi, period, source, days=days) for days in found.days)
    if value is None or not before:
        return "", "", f"not compared: {found.before} {'was not built' if before is None else 'has the value 0'}"
    moved = (value / before - 1) * 100
    return f"{moved:+,.1f} %", "flat" if round(moved, 1) == 0 else "up" if moved > 0 else "down", found.against


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
    total = sql.SQL("count(*)") if kpi.column == "*" else sql.SQL("sum({})").format(sql.Identifier(kpi.column))
    if kpi.per:
        total = sql.SQL("{} * {} / nullif(sum({}), 0)").format(
            total, sql.Literal(100 if kpi.percent else 1), sql.Identifier(kpi.per)
        )
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
        sql.SQL("select {} from {} as r where {}").format(total, source.rows(connection, contract), condition),
    )
    integers = {column.name for column in contract.columns if column.logical_type == "integer"} | {"*"}
    if value is None or (kpi.column in integers and not kpi.per):
        return None if value is None else int(value)
    return round(Decimal(value), 2)
