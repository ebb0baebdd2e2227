"""Type-2 history from full snapshots.

A snapshot is effective from the first day of its period until the next loaded snapshot. Applying it replaces exactly
this span of the history, so that snapshots may be loaded repeatedly and in any order.
"""

from __future__ import annotations

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.period import Period
from waybill.warehouse.connection import one_row
from waybill.warehouse.schema import columns_sql, equal_sql, relation

# No row begins or ends between a snapshot and the next one, so that a row that overlaps the span covers it.
_COMPARE = """
create temp table difference on commit drop as
select
  {key_of_either},
  i._record,
  h.valid_from,
  h.valid_to,
  case
    when h.valid_from is null then 'inserted'
    when i._record is null then 'ended'
    when ({incoming_columns}) is not distinct from ({history_columns}) then 'unchanged'
    else 'updated'
  end as outcome
from incoming as i
full join (select * from {table} where valid_from < {span_end} and valid_to > {span_start}) as h on {same_key}
"""

_OUTCOME = """
create temp table outcome on commit drop as
select _record, outcome from difference where outcome <> 'ended'
"""

_REPLACE = """
delete from difference where outcome = 'unchanged';

create temp table cut on commit drop as
select h.*
from {table} as h
inner join difference as d on {history_key} and h.valid_from = d.valid_from;

delete from {table} as h using difference as d where {history_key} and h.valid_from = d.valid_from;

insert into {table} ({columns}, valid_from, valid_to, _file_id, _record)
select {cut_columns}, c.valid_from, {span_start}, c._file_id, c._record from cut as c where c.valid_from < {span_start}
union all
select {cut_columns}, {span_end}, c.valid_to, c._file_id, c._record from cut as c where c.valid_to > {span_end}
union all
select {incoming_columns}, {span_start}, {span_end}, {file_id}, i._record
from incoming as i
inner join difference as d on i._record = d._record;
"""

# Adjacent rows with equal values become one row with the provenance of the earlier row.
_JOIN_NEIGHBOURS = """
create temp table seam on commit drop as
select {key_of_a}, a.valid_from, b.valid_from as seam, b.valid_to
from {table} as a
inner join {table} as b on {neighbour_key} and a.valid_to = b.valid_from
inner join difference as d on {seam_key}
where a.valid_to = {border} and ({a_columns}) is not distinct from ({b_columns});

delete from {table} as h using seam as s where {seam_history_key} and h.valid_from = s.seam;

update {table} as h set valid_to = s.valid_to from seam as s where {seam_history_key} and h.valid_from = s.valid_from;

drop table seam;
"""


def apply_snapshot(connection: Connection, contract: Contract, *, file_id: int, period: Period, is_whole: bool) -> bool:
    """Make the temporary table `incoming` (one row a key) the state of the snapshot's span.

    The span ends where the next loaded snapshot begins. Keys that are absent from the snapshot end at the start of the
    span, unless the rows only complete it (`is_whole` is false). Creates the temporary table `outcome` (_record,
    outcome): inserted, updated or unchanged, compared with the previous state. Returns whether the span has changed.
    """
    (following,) = one_row(
        connection,
        "select min(period) from waybill.load_file where dataset = %s and status = 'loaded' and period > %s",
        (contract.table, period.start),
    )
    key = contract.key
    either = sql.SQL(", ").join(
        sql.SQL("coalesce({0}, {1}) as {2}").format(
            sql.Identifier("i", name), sql.Identifier("h", name), sql.Identifier(name)
        )
        for name in key
    )
    parts = {
        "table": relation(contract),
        "columns": columns_sql(contract.names),
        "incoming_columns": columns_sql(contract.names, "i"),
        "history_columns": columns_sql(contract.names, "h"),
        "cut_columns": columns_sql(contract.names, "c"),
        "a_columns": columns_sql(contract.names, "a"),
        "b_columns": columns_sql(contract.names, "b"),
        "key_of_a": columns_sql(key, "a"),
        "key_of_either": either,
        "same_key": equal_sql("i", "h", key),
        "history_key": equal_sql("h", "d", key),
        "neighbour_key": equal_sql("a", "b", key),
        "seam_key": equal_sql("a", "d", key),
        "seam_history_key": equal_sql("h", "s", key),
        "file_id": sql.Literal(file_id),
        "span_start": sql.SQL("{}::date").format(sql.Literal(period.start)),
        "span_end": sql.SQL("{}::date").format(sql.Literal(following or "infinity")),
    }
    connection.execute(sql.SQL(_COMPARE).format(**parts))
    if not is_whole:
        connection.execute("delete from difference where outcome = 'ended'")
    connection.execute(_OUTCOME)
    connection.execute(sql.SQL(_REPLACE).format(**parts))
    for border in ("span_start", "span_end"):
        connection.execute(sql.SQL(_JOIN_NEIGHBOURS).format(**parts, border=parts[border]))
    differs = connection.execute("select from difference limit 1").fetchone() is not None
    connection.execute("drop table difference, cut")
    return differs
