"""Merge the rows of one file into a table whose rows stay with the file that brought them first.

For files that land at any time and may repeat what an earlier one brought. Like `merge`, the state depends on the set
of files alone: in their order (landing day, landing, name), of all deliveries of a key the first of the last run
of equal ones is current, and every other one is in `<table>_superseded`.
"""

from __future__ import annotations

from datetime import date

from psycopg import Connection, Cursor, sql

from waybill.contracts import Contract
from waybill.period import Period
from waybill.warehouse.file_order import order_sql, place_of_sql
from waybill.warehouse.schema import changed_sql, columns_sql, current_sql, equal_sql, relation, superseded_relation

_TOUCHED = """
create temp table touched on commit drop as
select {key} from incoming
union
select {key} from {table} where _file_id = {replaces}
union
select {key} from {superseded} where _file_id = {replaces}
"""

_BEFORE = """
create temp table before on commit drop as
select t.* from {table} as t inner join touched as k on {key_of_t}
"""

# Every delivery of the touched keys is among the superseded ones, until it is known which of them stands.
_GATHER = """
insert into {superseded} ({columns}, _file_id, _record, _delivered)
select {columns}, _file_id, _record, _delivered from before where _file_id is distinct from {replaces}
union all
select {columns}, {file_id}, _record, {period} from incoming
"""

_STANDING = """
create temp table standing on commit drop as
{standing}
"""

_TAKE_PLACE = """
insert into {table} ({columns}, _file_id, _record, _delivered)
select {columns}, _file_id, _record, _delivered from standing
"""

_OUTCOME = """
create temp table outcome on commit drop as
select
  i._record,
  case
    when n._file_id <> {file_id} and {content_of_i_is_that_of_n} and ({order_of_n}) < {place} then 'duplicate'
    when n._file_id <> {file_id} then 'stale'
    when b._file_id is null then 'inserted'
    when {content_of_i_is_that_of_b} then 'unchanged'
    else 'updated'
  end as outcome
from incoming as i
inner join standing as n on {key_of_n}
inner join waybill.load_file as f on n._file_id = f.file_id
left join before as b on {key_of_b}
"""


def merge_deliveries(
    connection: Connection,
    contract: Contract,
    *,
    file_id: int,
    period: Period,
    replaces: int | None,
) -> set[date]:
    """Merge the temporary table `incoming` (one row a key); leaves the temporary table `outcome` (_record, outcome).

    `replaces` is the file_id of the older version of the same object, whose rows are withdrawn. A row that an earlier
    file brought is a `duplicate`; `unchanged` if only later files brought it, which it then takes over. Returns the
    business days whose current rows have another content than before: those of landing, if no other column says so.
    """
    assert contract.period_column
    parts = {
        "table": relation(contract),
        "superseded": superseded_relation(contract),
        "key": columns_sql(contract.key),
        "columns": columns_sql(contract.names),
        "day": sql.Identifier(contract.period_column),
        "replaces": sql.Literal(replaces),
        "file_id": sql.Literal(file_id),
        "period": sql.SQL("{}::date").format(sql.Literal(period.start)),
        "key_of_t": equal_sql("t", "k", contract.key),
        "key_of_s": equal_sql("s", "k", contract.key),
        "key_of_n": equal_sql("n", "i", contract.key),
        "key_of_b": equal_sql("b", "i", contract.key),
        "content_of_i_is_that_of_n": _same_content(contract, "n"),
        "content_of_i_is_that_of_b": _same_content(contract, "b"),
        "order_of_n": order_sql(contract, "f"),
        "place": place_of_sql(contract, file_id),
    }
    touched = sql.SQL("(select s.* from {superseded} as s inner join touched as k on {key_of_s})").format(**parts)
    parts["standing"] = current_sql(contract, touched)
    parts["changed"] = changed_sql(parts["columns"], sql.Identifier("before"), sql.Identifier("standing"))

    def run(statement: str) -> Cursor:
        return connection.execute(sql.SQL(statement).format(**parts))

    run(_TOUCHED)
    run(_BEFORE)
    run("analyze touched, before")
    run("delete from {table} as t using touched as k where {key_of_t}")
    run("delete from {superseded} where _file_id = {replaces}")
    run(_GATHER)
    run(_STANDING)
    run("delete from {superseded} as s using standing as k where {key_of_s} and s._file_id = k._file_id")
    run(_TAKE_PLACE)
    run(_OUTCOME)
    days = {day for (day,) in run("select distinct {day} from {changed}").fetchall()}
    run("drop table touched, before, standing")
    return days


def _same_content(contract: Contract, alias: str) -> sql.Composed:
    return sql.SQL("({}) is not distinct from ({})").format(
        columns_sql(contract.content, "i"), columns_sql(contract.content, alias)
    )
