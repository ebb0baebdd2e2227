"""Find out whether the SQL of a feature view reads rows outside of its window, above all later ones.

A value that rests on later rows leaks the future into models. To see it, the SQL runs once more while such rows are
hidden: each table that it names is replaced by a query for the rows within the window. All values must stay.

The rows of snapshots and of functions are not hidden, because they belong to no day.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import psycopg
from psycopg import Connection, errors, sql

from waybill.contracts import Column, Contract, load_domain
from waybill.contracts.contract import FLOATS, HISTORY_COLUMNS
from waybill.contracts.domains import load_manifest
from waybill.contracts.feature_views import FeatureView
from waybill.contracts.locations import SCHEMAS, domain_of
from waybill.derived.build import dataset_relations, insert_rows, named_tables, of_period
from waybill.errors import DataError
from waybill.formatting import count
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import one_row
from waybill.warehouse.schema import columns_sql, relation, subquery

log = logging.getLogger(__name__)

_COPY: Final = sql.Identifier("within_window")
_DIFFERING: Final = """
select count(*)
from (select true as is_there, {columns} from {table} where {of_period}) as o
full join (select true as is_there, {columns} from {copy}) as n using ({key})
where o.is_there is null or n.is_there is null or {differs}
"""
# Sums of doubles depend on the order of rows.
_DIFFERENT_FLOAT: Final = "(o.{0} is distinct from n.{0} and (abs(o.{0} - n.{0}) <= 1e-9 * abs(o.{0})) is not true)"
_DIFFERENT: Final = "o.{0} is distinct from n.{0}"


@dataclass(frozen=True)
class _Hidden:
    """Rows of a table that a view must not read."""

    table: str
    is_visible: sql.Composed
    """The condition for the other rows."""
    what: str
    """Which rows they are, and what to do if they are read."""


def raise_outside_window(
    connection: Connection, view: FeatureView, text: str, datasets: Collection[str], period: Period
) -> None:
    """Raise `DataError` if values of a period, which was just built, rest on rows outside of the view's window.

    Nothing is compared as long as the `datasets` that it reads have no later rows. Then no value can rest on them.
    """
    if not _have_later_days(connection, datasets, period):
        return
    hidden = _hidden(view, text, period)
    from sqlglot.errors import SqlglotError

    try:
        rows = _differing(connection, view, text, period, hidden)
    except (errors.GroupingError, SqlglotError):
        log.warning(
            "%s %s: it is unknown whether its SQL reads later rows. Group by every column that is selected, and not by "
            "a primary key alone.",
            view.table,
            period,
        )
        return
    if not rows:
        return
    for one in hidden:
        if rows_of_one := _differing(connection, view, text, period, [one]):
            raise DataError(
                f"{view.table} {period}: {count(rows_of_one, 'row')} would differ without the rows of {one.table} "
                f"{one.what}"
            )
    raise DataError(f"{view.table} {period}: {count(rows, 'row')} would differ without rows outside of the window")


def _hidden(view: FeatureView, text: str, period: Period) -> list[_Hidden]:
    """Return the rows that the SQL names and must not read: later ones, and those before the declared window."""
    domain = domain_of(view.contract.domain)
    contracts = {
        one.table: one
        for schema in (domain, *(make(domain) for make in SCHEMAS))
        for one in load_domain(schema).values()
    }
    tables = dataset_relations(domain) | {table: table for table in contracts}
    is_current = load_manifest(domain).semantics == "current"
    days_before = view.contract.days_before if is_current else None
    found = []
    for name in sorted(named_tables(text, {name: name for name in tables}) - {view.table}):
        contract = contracts[tables[name]]
        if (day := _day(contract, name)) is None:
            continue
        end = sql.SQL("{} + interval '1 day'").format(day)
        if contract.load_mode in ("report", "feature"):
            end = sql.SQL("{} + ('1 ' || {})::interval").format(day, _cadence(contract))
        found.append(
            _Hidden(
                name,
                sql.SQL("({} <= {}::date) is not false").format(end, sql.Literal(period.end)),
                f"after {period.end - timedelta(days=1)}: it reads the future. Leave out what is not before "
                "%(period_end)s or %(ends_at)s.",
            )
        )
        if days_before is not None and name == contract.table and contract.load_mode in ("merge", "report", "feature"):
            first = period.start - timedelta(days=days_before)
            found.append(
                _Hidden(
                    name,
                    sql.SQL("({} >= {}::date) is not false").format(day, sql.Literal(first)),
                    f"before {first}, and `daysBefore` is {days_before}. State the days that it reads, or a correction "
                    "of earlier days will not rebuild it.",
                )
            )
    return found


def _day(contract: Contract, name: str) -> sql.Composed | None:
    """Return the expression of the first day of a row of a table, view or history; None if rows belong to no day."""
    if name == f"{contract.table}_as_of":
        return None
    if name == f"{contract.table}_history":
        return sql.SQL("{}").format(sql.Identifier(HISTORY_COLUMNS[0]))
    column: str | None
    if contract.is_dataset:
        column = contract.period_column
    elif contract.load_mode == "dimension":
        column = HISTORY_COLUMNS[0] if HISTORY_COLUMNS[0] in contract.names else None
    else:
        column = contract.key[0] if contract.load_mode in ("report", "feature") else None
    if column is None:
        return None
    if contract.has_instants(column):
        return sql.SQL("({} at time zone {})::date").format(sql.Identifier(column), sql.Literal(settings().timezone))
    return sql.SQL("{}").format(sql.Identifier(column))


def _cadence(contract: Contract) -> sql.Composable:
    """Return the expression of the length of a row's period."""
    return sql.Literal(contract.cadence) if len(contract.cadences) == 1 else sql.Identifier("cadence")


def _have_later_days(connection: Connection, datasets: Collection[str], period: Period) -> bool:
    found = connection.execute(
        "select from waybill.table_day where table_name = any(%s) and day >= %s limit 1", ([*datasets], period.end)
    ).fetchone()
    return found is not None


def _differing(connection: Connection, view: FeatureView, text: str, period: Period, hidden: Sequence[_Hidden]) -> int:
    """Return the number of the period's rows that differ if some rows are hidden."""
    contract = view.contract
    parts = {
        "columns": columns_sql(contract.names),
        "table": relation(contract),
        "of_period": of_period(contract, period),
        "copy": _COPY,
        "key": columns_sql(contract.key),
        "differs": sql.SQL(" or ").join(_differs(one) for one in contract.columns if one.key_position is None),
    }
    try:
        with connection.transaction():
            connection.execute(
                sql.SQL("create temp table {copy} as select {columns} from {table} with no data").format(**parts)
            )
            insert_rows(connection, contract, _COPY, _without(text, hidden), period)
            (rows,) = one_row(connection, sql.SQL(_DIFFERING).format(**parts))
            connection.execute(sql.SQL("drop table {copy}").format(**parts))
    except (psycopg.DataError, errors.CardinalityViolation):  # without these rows, the SQL fails
        (rows,) = one_row(connection, sql.SQL("select count(*) from {table} where {of_period}").format(**parts))
    return int(rows)


def _differs(column: Column) -> sql.Composed:
    text = _DIFFERENT_FLOAT if column.physical_type in FLOATS else _DIFFERENT
    return sql.SQL(text).format(sql.Identifier(column.name))


def _without(text: str, hidden: Sequence[_Hidden]) -> sql.Composed:
    """Return the query of an SQL text in which each table is replaced by a query for its visible rows."""
    from sqlglot import exp, parse_one

    # A doubled sign would end a placeholder. All other words stay in their places.
    tree = parse_one(text.replace("%%", " %"), dialect="postgres")
    tables = [table for table in tree.find_all(exp.Table) if table.db]
    parts, done = list[sql.Composable](), 0
    for table in sorted(tables, key=lambda one: int(one.args["db"].meta["start"])):
        conditions = [one.is_visible for one in hidden if one.table == f"{table.db}.{table.name}"]
        if conditions:
            visible = sql.SQL("(select * from {} where {})").format(
                sql.Identifier(table.db, table.name), sql.SQL(" and ").join(conditions)
            )
            alias = sql.SQL("") if table.alias else sql.SQL(" as {}").format(sql.Identifier(table.name))
            parts += [sql.SQL(text[done : table.args["db"].meta["start"]]), visible, alias]
            done = table.this.meta["end"] + 1
    return sql.Composed([*parts, subquery(text[done:])])
