"""Dimensions: one SQL text selects the rows of a dimension, and only rows that differ are written.

Facts refer to the dimension's key. The SQL derives the key from the member and the start of a version, so that it is
the same in every build.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.derived.build import Built, FindInputs, build, sha256
from waybill.period import ALL_TIME
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse import change_log
from waybill.warehouse.schema import columns_sql, equal_sql, relation, subquery

# Set operations treat nulls as equal.
_COMPARE = """
create temp table outdated on commit drop as select {names} from {table} except select {names} from wanted;
create temp table renewed on commit drop as select {names} from wanted except select {names} from {table};
"""

# A version is effective until the next version, old or new, begins. Facts are rebuilt by the day.
_CHANGED_MEMBERS = """
create temp table changed_member on commit drop as
with versions as (
  select {member}, valid_from from {table}
  union
  select {member}, valid_from from wanted
),
spans as (
  select *, lead(valid_from, 1, 'infinity') over (partition by {member} order by valid_from) as next_from
  from versions
),
differing as (
  select {member}, valid_from from outdated
  union
  select {member}, valid_from from renewed
)
select
  {member} as member,
  (s.valid_from at time zone {timezone})::date as first_day,
  (s.next_from at time zone {timezone})::date as last_day
from spans as s
inner join differing as d using ({member}, valid_from)
"""


def build_dimension(
    connection: Connection,
    contract: Contract,
    find_inputs: FindInputs,
    text: str,
    run: Run,
    datasets: Iterable[Contract],
) -> Built:
    """Make the dimension's rows those that the SQL text selects. Otherwise like `waybill.derived.build.build`.

    The change log gets the days on which `datasets` have rows of members whose effective version changed: facts of
    these days are stale.
    """
    parts = {"table": relation(contract), "names": columns_sql(contract.names)}

    def write() -> list[date]:
        connection.execute(
            sql.SQL("create temp table wanted on commit drop as select {names} from (\n").format(**parts)
            + subquery(text)
            + sql.SQL("\n) as wanted"),
            ALL_TIME.parameters(settings().timezone),
        )
        connection.execute(sql.SQL(_COMPARE).format(**parts))
        days = _changed_days(connection, contract, datasets)
        same = equal_sql("d", "o", contract.key)
        connection.execute(
            sql.SQL("delete from {table} as d using outdated as o where {same}").format(**parts, same=same)
        )
        connection.execute(sql.SQL("insert into {table} ({names}) select {names} from renewed").format(**parts))
        connection.execute("drop table wanted, outdated, renewed")
        return days

    return build(connection, contract, find_inputs, write, ALL_TIME, run, sha256(text))


def _changed_days(connection: Connection, contract: Contract, datasets: Iterable[Contract]) -> list[date]:
    """Return the days whose facts are stale, in order."""
    if contract.period_column:  # each row is a day, as in a calendar
        days = sql.SQL("select {0} from outdated union select {0} from renewed").format(
            sql.Identifier(contract.period_column)
        )
        return [day for (day,) in connection.execute(days)]
    member = next((column for column in contract.columns if column.reference), None)
    if member is None:
        return []
    timezone = sql.Literal(settings().timezone)
    connection.execute(
        sql.SQL(_CHANGED_MEMBERS).format(
            table=relation(contract), member=sql.Identifier(member.name), timezone=timezone
        )
    )
    found = set()
    for dataset in datasets:
        if dataset.period_column is None:
            continue
        for column in dataset.columns:
            if column.reference == member.reference:
                query = sql.SQL(
                    """
                    select distinct f.day
                    from (select {column} as member, {day} as day from {table}) as f
                    inner join changed_member as c on f.member = c.member and f.day between c.first_day and c.last_day
                    """
                ).format(
                    column=sql.Identifier(column.name),
                    day=change_log.day_sql(dataset, sql.Identifier(dataset.period_column)),
                    table=relation(dataset),
                )
                found |= {day for (day,) in connection.execute(query)}
    connection.execute("drop table changed_member")
    return sorted(found)
