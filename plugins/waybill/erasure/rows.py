"""Erase a person in the tables of datasets: current rows, superseded ones and histories."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.people import PersonColumns, replacement_for
from waybill.erasure.person import Target, is_person
from waybill.warehouse import change_log
from waybill.warehouse.connection import one_row
from waybill.warehouse.schema import tables_of


@dataclass
class Erased:
    """What was erased in the warehouse."""

    rows: dict[str, int] = field(default_factory=dict)
    """The number of rows by table."""
    days: dict[str, set[date]] = field(default_factory=dict)
    """The business days of these rows, by dataset."""
    files: set[int] = field(default_factory=set)
    """The files that brought rows of the person, also those that were loaded after an erasure."""

    def add(self, place: str, rows: int) -> None:
        """Add rows of a table."""
        if rows:
            self.rows[place] = self.rows.get(place, 0) + rows


_UPDATE = """
with changed as (
  update {table} as t
  set {changes}
  where {is_person} and row({old}) is distinct from row({new})
  returning {first} as first, {last} as last
)
select count(*), coalesce(array_agg(distinct (first, last)::text), '{{}}') from changed
"""
_HELD = """
select coalesce(array_agg(distinct ({first}, {last})::text), '{{}}'), coalesce(array_agg(distinct t._file_id), '{{}}')
from {table} as t
where {is_person}
"""
_DAYS = """
select distinct d.day
from waybill.table_day as d
inner join unnest(%(firsts)s::date[], %(lasts)s::date[]) as s (first, last) on d.day >= s.first and d.day < s.last
where d.table_name = %(table)s
union
select unnest(%(firsts)s::date[])
"""
_FILES = """
select f.file_id
from waybill.load_file as f
inner join unnest(%(firsts)s::date[], %(lasts)s::date[]) as s (first, last) on f.period >= s.first and f.period < s.last
where f.dataset = %(table)s
"""


def erase_rows(connection: Connection, target: Target, erased: Erased) -> None:
    """Replace the person in every row of the datasets. By the change log, all that rests on their days is stale."""
    for one in target.columns:
        contract = one.contract
        days: set[date] = set()
        for table in tables_of(contract):
            rows, found = _erase_table(connection, target, one, table, erased)
            erased.add(table.as_string(None).replace('"', ""), rows)
            days |= found
        if days:
            erased.days.setdefault(contract.table, set()).update(days)
            change_log.record(connection, contract.table, days, file_id=None)


def _erase_table(
    connection: Connection, target: Target, one: PersonColumns, table: sql.Identifier, erased: Erased
) -> tuple[int, set[date]]:
    contract, tombstone = one.contract, target.person.tombstone
    first, last = _span(contract)
    new: dict[str, sql.Composable] = {
        column.name: sql.SQL("case when {} then %(tombstone)s::{} else {} end").format(
            is_person(replace(one, ids=(column,))), sql.SQL(column.physical_type), sql.Identifier("t", column.name)
        )
        for column in one.ids
    }
    for column in one.erased:
        instead = replacement_for(column, target.person.number)
        new[column.name] = sql.SQL("{}::{}").format(sql.Literal(instead), sql.SQL(column.physical_type))
    statement = sql.SQL(_UPDATE).format(
        table=table,
        changes=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in new.items()
        ),
        is_person=is_person(one),
        old=sql.SQL(", ").join(sql.Identifier("t", name) for name in new),
        new=sql.SQL(", ").join(new.values()),
        first=first,
        last=last,
    )
    rows, spans = one_row(connection, statement, {"ids": target.ids, "tombstone": tombstone})
    held = sql.SQL(_HELD).format(table=table, is_person=is_person(one), first=first, last=last)
    held_spans, files = one_row(connection, held, {"ids": [target.value, tombstone]})
    erased.files.update(files)
    if contract.load_mode != "snapshot":
        return rows, {date.fromisoformat(first) for first, _ in map(_days_of, spans)}
    erased.files.update(file_id for (file_id,) in _within(connection, contract, _FILES, held_spans))
    return rows, {day for (day,) in _within(connection, contract, _DAYS, spans)}


def _days_of(span: str) -> list[str]:
    """Return the first and the last day of a span as PostgreSQL writes it."""
    return span.strip("()").split(",")


def _within(connection: Connection, contract: Contract, query: str, spans: list[str]) -> list[tuple[Any, ...]]:
    """Return what a query finds within spans of days of a history."""
    bounds = {"table": contract.table, "firsts": [], "lasts": []}
    if spans:
        bounds |= dict(zip(("firsts", "lasts"), map(list, zip(*map(_days_of, spans), strict=True)), strict=True))
    return connection.execute(query, bounds).fetchall()


def _span(contract: Contract) -> tuple[sql.Composable, sql.Composable]:
    """Return the first day of a row, and for a version of a history the day at which it ends."""
    if contract.load_mode == "snapshot":
        return sql.Identifier("t", "valid_from"), sql.Identifier("t", "valid_to")
    assert contract.period_column
    day = change_log.day_sql(contract, sql.Identifier("t", contract.period_column))
    return day, day
