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
from waybill.contracts.locations import domain_of
from waybill.contracts.odcs import load_derived
from waybill.derived.build import dataset_relations, insert_rows, named_tables, of_period
from waybill.errors import DataError
from waybill.formatting import count
from waybill.period import Period
from waybill.warehouse.change_log import day_sql, local_day_sql
from waybill.warehouse.connection import one_row, without_values
from waybill.warehouse.schema import PROVENANCE, columns_sql, relation, subquery

log = logging.getLogger(__name__)

_COPY: Final = sql.Identifier("within_window")
_DIFFERING: Final = """
select count(*)
from (select true as is_there, {columns} from {table} where {of_period}) as o
full join (select true as is_there, {columns} from {copy}) as n using ({key})
where o.is_there is null or n.is_there is null or {differs}
"""
_DIFFERENT: Final = "o.{0} is distinct from n.{0}"
# Sums depend on the order of rows. The bound of 1e300 makes infinity differ from finite values.
_DIFFERENT_FLOAT: Final = """(
  o.{0} is distinct from n.{0}
  and abs(o.{0}::double precision - n.{0}::double precision)
    > {1} * least(greatest(abs(o.{0}::double precision), abs(n.{0}::double precision), 1), 1e300)
  is not false
)"""
_TOLERANCES: Final = {"double precision": 1e-9, "real": 1e-4}


@dataclass(frozen=True)
class _Hidden:
    """Rows of a table that a view must not read."""

    table: str
    columns: sql.Composable
    """The columns of the other rows, without what they tell of later ones."""
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
    if not hidden:
        return
    from sqlglot.errors import SqlglotError

    try:
        rows = _differing(connection, view, text, period, hidden)
    except (psycopg.ProgrammingError, SqlglotError) as error:
        why = without_values(error) if isinstance(error, psycopg.Error) else "the text cannot be parsed"
        log.warning(
            "%s %s: it is unknown whether its SQL reads later rows. It does not run if its tables are subqueries: %s",
            view.table,
            period,
            why,
        )
        return
    if not rows:
        return
    for one in hidden:
        if rows_of_one := _differing(connection, view, text, period, [one]):
            raise DataError(
                f"{view.table} {period}: {count(rows_of_one, 'row')} would differ without the rows of {one.table} "
                f"{one.what} Or its result depends on the order of rows: then order them by a key."
            )
    raise DataError(f"{view.table} {period}: {count(rows, 'row')} would differ without rows outside of the window")


def _hidden(view: FeatureView, text: str, period: Period) -> list[_Hidden]:
    """Return the rows that the SQL names and must not read: later ones, and those before the declared window."""
    domain = domain_of(view.contract.domain)
    contracts = {one.table: one for one in load_domain(domain).values()} | load_derived(domain)
    tables = dataset_relations(domain) | {table: table for table in contracts}
    is_current = load_manifest(domain).semantics == "current"
    days_before = view.contract.days_before if is_current else None
    found = []
    for name in sorted(named_tables(text, {name: name for name in tables})):
        contract = contracts[tables[name]]
        if (day := _day(contract, name)) is None:
            continue
        columns, last = _columns(contract, name, period), period.end - timedelta(days=1)
        is_visible = sql.SQL("({} + ('1 ' || {})::interval <= {}::date) is not false").format(
            day, _cadence(contract), sql.Literal(period.end)
        )
        if name == view.table:  # its rows of the period are not built yet
            is_visible = sql.SQL("({} < {}::date) is not false").format(day, sql.Literal(period.start))
            last = period.start - timedelta(days=1)
        future = f"after {last}: it reads the future. Leave out what is not before %(period_end)s or %(ends_at)s."
        found.append(_Hidden(name, columns, is_visible, future))
        if days_before is not None and name == contract.table and contract.load_mode in ("merge", "report", "feature"):
            first = period.start - timedelta(days=days_before)
            is_visible = sql.SQL("({} >= {}::date) is not false").format(day, sql.Literal(first))
            earlier = (
                f"before {first}, and `daysBefore` is {days_before}. State the days that it reads, or a correction of "
                "earlier days will not rebuild it."
            )
            found.append(_Hidden(name, columns, is_visible, earlier))
    return found


def _day(contract: Contract, name: str) -> sql.Composed | None:
    """Return the expression of the first day of a row of a table, view or history; None if rows belong to no day."""
    if name == f"{contract.table}_as_of":
        return None
    valid_from = sql.Identifier(HISTORY_COLUMNS[0])
    if name == f"{contract.table}_history":
        return sql.SQL("{}::date").format(valid_from)
    if contract.load_mode == "dimension":
        return local_day_sql(valid_from) if HISTORY_COLUMNS[0] in contract.names else None
    if contract.load_mode in ("report", "feature"):
        return sql.SQL("{}::date").format(sql.Identifier(contract.key[0]))
    return day_sql(contract, sql.Identifier(contract.period_column)) if contract.period_column else None


def _columns(contract: Contract, name: str, period: Period) -> sql.Composable:
    """Return the columns of visible rows. What ends after the period has no end yet."""
    until = HISTORY_COLUMNS[1]
    if name == f"{contract.table}_history":
        names, day = [*contract.names, *HISTORY_COLUMNS, *PROVENANCE], sql.SQL("{}::date").format(sql.Identifier(until))
    elif contract.load_mode == "dimension" and until in contract.names:
        names, day = contract.names, local_day_sql(sql.Identifier(until))
    else:
        return sql.SQL("*")
    ended = sql.SQL("case when {} < {}::date then {column} else 'infinity' end as {column}").format(
        day, sql.Literal(period.end), column=sql.Identifier(until)
    )
    return sql.SQL(", ").join(ended if one == until else sql.Identifier(one) for one in names)


def _cadence(contract: Contract) -> sql.Composable:
    """Return the expression of the length of what a row covers."""
    if contract.load_mode not in ("report", "feature"):
        return sql.Literal("day")
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
    name = sql.Identifier(column.name)
    if column.physical_type in FLOATS:
        return sql.SQL(_DIFFERENT_FLOAT).format(name, sql.Literal(_TOLERANCES[column.physical_type]))
    return sql.SQL(_DIFFERENT).format(name)


def _without(text: str, hidden: Sequence[_Hidden]) -> sql.Composed:
    """Return the query of an SQL text in which each table is replaced by a query for its visible rows."""
    from sqlglot import exp, parse_one

    # A doubled sign would end a placeholder. All other words stay in their places.
    tree = parse_one(text.replace("%%", " %"), dialect="postgres")
    tables = [table for table in tree.find_all(exp.Table) if table.db]
    parts, done = list[sql.Composable](), 0
    for table in sorted(tables, key=lambda one: int(one.args["db"].meta["start"])):
        name = f"{table.db}.{table.name}".lower()
        of_table = [one for one in hidden if one.table == name]
        if of_table:
            visible = sql.SQL("(select {} from {} where {})").format(
                of_table[0].columns,
                sql.Identifier(*name.split(".")),
                sql.SQL(" and ").join(one.is_visible for one in of_table),
            )
            alias = sql.SQL("") if table.alias else sql.SQL(" as {}").format(sql.Identifier(table.name.lower()))
            parts += [sql.SQL(text[done : table.args["db"].meta["start"]]), visible, alias]
            done = table.this.meta["end"] + 1
    return sql.Composed([*parts, subquery(text[done:])])
