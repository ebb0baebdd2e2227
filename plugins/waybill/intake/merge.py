"""Merge the accepted rows of one file into a keyed table that remembers what newer files superseded.

The state depends on the set of files alone, not on the order in which they were loaded: for every key the
row of the last file in order (delivery period, landing, name) is current, and every other accepted
row is in `<table>_superseded`.
"""

from __future__ import annotations

from datetime import date

from psycopg import Connection, Cursor, sql

from waybill.contracts import Contract
from waybill.period import Period
from waybill.warehouse.change_log import day_sql
from waybill.warehouse.file_order import comes_before, order_sql, place_of_sql
from waybill.warehouse.schema import changed_sql, columns_sql, equal_sql, relation, superseded_relation

_CLASSIFY = """
create temp table outcome on commit drop as
select
  i._record,
  case
    when c._file_id is null then 'inserted'
    when ({order}) > {place} then 'stale'
    when ({incoming_columns}) is not distinct from ({current_columns}) then 'unchanged'
    else 'updated'
  end as outcome,
  i.{at} as at,
  c.{at} as was_at
from incoming as i
left join {table} as c on {same_key}
left join waybill.load_file as f on c._file_id = f.file_id
"""

_KEEP_OLD = """
insert into {superseded} ({columns}, _file_id, _record, _delivered)
select {current_columns}, c._file_id, c._record, c._delivered
from {table} as c
inner join incoming as i on {same_key}
inner join outcome as o on i._record = o._record
where o.outcome in ('unchanged', 'updated') and c._file_id is distinct from {replaces}
"""

_TAKE_OVER = """
update {table} as c
set ({columns}, _file_id, _record, _delivered) = ({incoming_columns}, {file_id}, i._record, {period})
from incoming as i
inner join outcome as o on i._record = o._record
where {same_key} and o.outcome in ('unchanged', 'updated')
"""

_ADD = """
insert into {target} ({columns}, _file_id, _record, _delivered)
select {incoming_columns}, {file_id}, i._record, {period}
from incoming as i
inner join outcome as o on i._record = o._record
where o.outcome = {outcome}
"""

_CHANGED_DAYS = """
select distinct {day_of_at}, {day_of_was_at} from outcome where outcome in ('inserted', 'updated')
"""

_PROMOTE = """
delete from {superseded} where _file_id = {file_id};
create temp table orphan on commit drop as select {columns} from {table} where _file_id = {file_id};
delete from {table} where _file_id = {file_id};
create temp table promoted on commit drop as
select distinct on ({key_of_s}) {old_columns}, s._file_id, s._record, s._delivered
from {superseded} as s
inner join orphan as o on {orphan_key}
inner join waybill.load_file as f on s._file_id = f.file_id
order by {key_of_s}, {newest_first};
delete from {superseded} as s using promoted as p where {promoted_key} and s._file_id = p._file_id;
insert into {table} ({columns}, _file_id, _record, _delivered) select * from promoted
"""


def ensure_partitions(connection: Connection, contract: Contract) -> None:
    """Create the monthly partitions that the rows of `incoming` need, if the table has partitions."""
    if not contract.is_partitioned:
        return
    assert contract.period_column
    days = connection.execute(
        sql.SQL("select distinct date_trunc('month', {})::date from incoming").format(
            sql.Identifier(contract.period_column)
        )
    ).fetchall()
    for (first,) in days:
        month = Period.of("month", first)
        connection.execute(
            sql.SQL("create table if not exists {} partition of {} for values from ({}) to ({})").format(
                partition(contract, month),
                relation(contract),
                sql.Literal(month.start),
                sql.Literal(month.end),
            )
        )


def partition(contract: Contract, month: Period) -> sql.Identifier:
    """The table of one calendar month's rows."""
    return sql.Identifier(contract.domain, f"{contract.name}_{month.start:%Y_%m}")


def merge(
    connection: Connection,
    contract: Contract,
    *,
    file_id: int,
    period: Period,
    replaces: int | None,
) -> set[date]:
    """Merge the temporary table `incoming` (one row a key); leaves the temporary table `outcome` (_record, outcome).

    `replaces` is the file_id of the older version of the same object, whose rows are withdrawn. Returns the
    business days whose current rows have another content than before.
    """
    if replaces is not None and comes_before(connection, contract, file_id, replaces):
        return _bring_back(connection, contract, file_id=file_id, period=period, replaces=replaces)
    ensure_partitions(connection, contract)
    assert contract.period_column
    period_column = sql.Identifier(contract.period_column)
    parts = {
        "table": relation(contract),
        "superseded": superseded_relation(contract),
        "columns": columns_sql(contract.names),
        "incoming_columns": columns_sql(contract.names, "i"),
        "current_columns": columns_sql(contract.names, "c"),
        "same_key": equal_sql("c", "i", contract.row_key),
        "file_id": sql.Literal(file_id),
        "period": sql.SQL("{}::date").format(sql.Literal(period.start)),
        "order": order_sql(contract, "f"),
        "place": place_of_sql(contract, file_id),
        "replaces": sql.Literal(replaces),
        "at": period_column,
        "day_of_at": day_sql(contract, sql.Identifier("at")),
        "day_of_was_at": day_sql(contract, sql.Identifier("was_at")),
    }

    def run(statement: str, **more: sql.Composable) -> Cursor:
        return connection.execute(sql.SQL(statement).format(**parts, **more))

    run(_CLASSIFY)
    run("analyze outcome")
    run(_KEEP_OLD)
    run(_TAKE_OVER)
    run(_ADD, target=parts["table"], outcome=sql.Literal("inserted"))
    run(_ADD, target=parts["superseded"], outcome=sql.Literal("stale"))
    days = {day for pair in run(_CHANGED_DAYS).fetchall() for day in pair if day is not None}
    return days if replaces is None else days | withdraw_rows(connection, contract, replaces)


_TOUCHED = """
create temp table touched on commit drop as
select {key} from incoming
union
select {key} from {table} where _file_id = {replaces};
create temp table before on commit drop as select {columns} from {table} as t inner join touched as k on {same_key}
"""
_AFTER = """
create temp table after on commit drop as select {columns} from {table} as t inner join touched as k on {same_key}
"""


def _bring_back(
    connection: Connection, contract: Contract, *, file_id: int, period: Period, replaces: int
) -> set[date]:
    """Merge an older version of an object that has come back: other files may stand between the two versions.

    The version that it replaces is withdrawn first. Only the difference between before and after has changed.
    """
    assert contract.period_column
    parts = {
        "table": relation(contract),
        "key": columns_sql(contract.row_key),
        "columns": columns_sql(contract.names, "t"),
        "same_key": equal_sql("t", "k", contract.row_key),
        "replaces": sql.Literal(replaces),
        "day": day_sql(contract, sql.Identifier(contract.period_column)),
        "changed": changed_sql(columns_sql(contract.names), sql.Identifier("before"), sql.Identifier("after")),
    }
    connection.execute(sql.SQL(_TOUCHED).format(**parts))
    withdraw_rows(connection, contract, replaces)
    merge(connection, contract, file_id=file_id, period=period, replaces=None)
    connection.execute(sql.SQL(_AFTER).format(**parts))
    days = {day for (day,) in connection.execute(sql.SQL("select distinct {day} from {changed}").format(**parts))}
    connection.execute("drop table touched, before, after")
    return days


def withdraw_rows(connection: Connection, contract: Contract, file_id: int) -> set[date]:
    """Remove the rows of a file; where they were current, the newest older version of their key takes their place.

    Returns the business days whose current rows have another content than before.
    """
    assert contract.period_column
    parts = {
        "table": relation(contract),
        "superseded": superseded_relation(contract),
        "columns": columns_sql(contract.names),
        "key_of_s": columns_sql(contract.row_key, "s"),
        "orphan_key": equal_sql("s", "o", contract.row_key),
        "promoted_key": equal_sql("s", "p", contract.row_key),
        "old_columns": columns_sql(contract.names, "s"),
        "newest_first": order_sql(contract, "f", descending=True),
        "file_id": sql.Literal(file_id),
        "day": day_sql(contract, sql.Identifier(contract.period_column)),
        "changed": changed_sql(columns_sql(contract.names), sql.Identifier("orphan"), sql.Identifier("promoted")),
    }
    connection.execute(sql.SQL(_PROMOTE).format(**parts))
    days = {day for (day,) in connection.execute(sql.SQL("select distinct {day} from {changed}").format(**parts))}
    connection.execute("drop table orphan, promoted")
    return days
