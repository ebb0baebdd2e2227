"""Filters of a page: values of the reports' own columns, kept in the address."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
        for column in filter_columns(contract):
            headings.setdefault(column.name, catalog.column_heading(column))
            values.setdefault(column.name, set()).update(_values(connection, contract, column.name, period, source))
    found = [
        Choice(name, heading, sorted(values[name])[:VALUES], chosen.get(name, "")) for name, heading in headings.items()
    ]
    return [one for one in found if one.chosen or len(one.values) > 1]


def _values(connection: Connection, contract: Contract, column: str, period: Period, source: Source) -> set[str]:
    """Return values of a column of a report; none if it cannot be read, which the card of the report tells."""
    query = sql.SQL(
        "select distinct value from (select {}::text as value from {} as r where {} limit {}) as searched "
        "where value is not null order by value limit {}"
    ).format(
        sql.Identifier(column),
        source.rows(connection, contract),
        of_period(contract, period),
        sql.Literal(_SEARCHED_ROWS),
        sql.Literal(VALUES),
    )
    try:
        with connection.transaction():
            return {value for (value,) in connection.execute(query)}
    except (errors.QueryCanceled, errors.UndefinedColumn, errors.UndefinedTable):
        return set()
