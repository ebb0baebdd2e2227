"""Filters of a page: values of the reports' own columns, kept in the address."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from psycopg import Connection, errors, sql

from waybill.contracts import Contract
from waybill.derived.build import of_period
from waybill.period import Period
from waybill.views import catalog
from waybill.views.business.charts import filter_columns
from waybill.views.business.source import Source

VALUES = 200
"""How many values of a column are offered. Any other value can be in the address."""
_SEARCHED_ROWS = 20_000


@dataclass(frozen=True)
class Choice:
    """A filter of a page."""

    column: str
    heading: str
    values: list[str]
    chosen: str = ""


def chosen_of(contracts: Collection[Contract], query: Mapping[str, str]) -> dict[str, str]:
    """Return the filters of a request by column, in order of the column. Other parameters are ignored."""
    known = {column.name for contract in contracts for column in filter_columns(contract)}
    return {name: query[name] for name in sorted(known & query.keys())}


def choices(
    connection: Connection,
    contracts: Collection[Contract],
    period: Period,
    source: Source,
    chosen: Mapping[str, str],
) -> list[Choice]:
    """Return the filters of a page: the columns of its reports with at least two values, and the chosen ones."""
    headings: dict[str, str] = {}
    values: dict[str, set[str]] = {}
    for contract in contracts:
        columns = filter_columns(contract)
        headings |= {column.name: catalog.column_heading(column) for column in columns if column.name not in headings}
        for name, found in _values(connection, contract, [column.name for column in columns], period, source).items():
            values.setdefault(name, set()).update(found)
    offered = [
        Choice(name, heading, sorted(values.get(name, ()))[:VALUES], chosen.get(name, ""))
        for name, heading in headings.items()
    ]
    return [one for one in offered if one.chosen or len(one.values) > 1]


def _values(
    connection: Connection, contract: Contract, columns: Sequence[str], period: Period, source: Source
) -> dict[str, list[str]]:
    """Return values of columns of a report; none if it cannot be read, which the card of the report tells."""
    if not columns:
        return {}
    pairs = [sql.SQL("({}, {}::text)").format(sql.Literal(name), sql.Identifier(name)) for name in columns]
    query = sql.SQL(
        "select name, (array_agg(distinct value order by value))[:{}] "
        "from (select * from {} as r where {} limit {}) as searched cross join lateral (values {}) as v (name, value) "
        "where value is not null group by name"
    ).format(
        sql.Literal(VALUES),
        source.rows(connection, contract),
        of_period(contract, period),
        sql.Literal(_SEARCHED_ROWS),
        sql.SQL(", ").join(pairs),
    )
    try:
        with connection.transaction():
            return dict(connection.execute(query).fetchall())
    except (errors.QueryCanceled, errors.UndefinedColumn, errors.UndefinedTable):
        return {}
