"""Erase a person in the tables of datasets: current rows, superseded ones and histories."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.people import NUMBER, PersonColumns, replacement
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
    """The files that brought them."""

    def add(self, place: str, rows: int) -> None:
        """Add rows of a table."""
        if rows:
            self.rows[place] = self.rows.get(place, 0) + rows


_UPDATE = """
with changed as (
  update {table} as t
  set {changes}
  where {is_person} and row({old}) is distinct from row({new})
  returning {first} as first, {last} as last, t._file_id
)
select count(*), array_agg(distinct (first, last)::text), array_agg(distinct _file_id) from changed
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
    contract, parameters = one.contract, {"ids": target.ids, "tombstone": target.person.tombstone}
    first, last = _span(contract)
    new: dict[str, sql.Composable] = {
        column.name: sql.SQL("case when {} then %(tombstone)s::{} else {} end").format(
            is_person(replace(one, ids=(column,))), sql.SQL(column.physical_type), sql.Identifier("t", column.name)
        )
        for column in one.ids
    }
    for column in one.erased:
        text = replacement(column)
        instead = None if text is None else text.replace(NUMBER, str(target.person.number))
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
    rows, spans, files = one_row(connection, statement, parameters)
    if not rows:
        return 0, set()
    erased.files.update(files)
    firsts, lasts = zip(*(span.strip("()").split(",") for span in spans), strict=True)
    if contract.load_mode != "snapshot":
        return rows, {date.fromisoformat(day) for day in firsts}
    bounds = {"firsts": [*firsts], "lasts": [*lasts], "table": contract.table}
    erased.files.update(file_id for (file_id,) in connection.execute(_FILES, bounds))
    return rows, {day for (day,) in connection.execute(_DAYS, bounds)}


def _span(contract: Contract) -> tuple[sql.Composable, sql.Composable]:
    """Return the first day of a row, and for a version of a history the day at which it ends."""
    if contract.load_mode == "snapshot":
        return sql.Identifier("t", "valid_from"), sql.Identifier("t", "valid_to")
    assert contract.period_column
    day = change_log.day_sql(contract, sql.Identifier("t", contract.period_column))
    return day, day
