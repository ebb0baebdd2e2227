"""Summaries: one row for each member, of all its rows in a table; computed again for members that were touched, alone.

Whatever replaces rows of that table notes in `<summary>_touched`, in its own transaction, whose rows became others
(`waybill.derived.build.build_from_sql`). So a summary is a function of the rows that are there, however often and in
whichever order they came, and building it costs what its touched members have, not what all have.
"""

from __future__ import annotations

from datetime import date

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.derived.build import Built, FindInputs, build, sha256
from waybill.period import ALL_TIME
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.evolution import equivalent_hashes
from waybill.warehouse.schema import changed_keys_relation, columns_sql, equal_sql, relation, subquery

_TAKE = """
create temp table touched on commit drop as select {key} from {table} limit 0;
with taken as (delete from {touched} returning {key})
insert into touched select {key} from taken
"""

# One array, so that the condition on the key reaches into the query and its index is used.
_STAGE = """
create temp table staging on commit drop as
select {columns} from (
{text}
) as wanted
where {key} = any(array(select {key} from touched))
"""

_UPSERT = """
insert into {table} as t ({columns}, {updated_at})
select {columns}, now() from staging
on conflict ({key}) do update
set ({columns}, {updated_at}) = ({new_columns}, excluded.{updated_at})
where ({old_columns}) is distinct from ({new_columns})
"""

_REMOVE = """
delete from {table} as t using touched as k
where {key_of_t} and not exists (select from staging as s where {key_of_s})
"""


def build_summary(connection: Connection, contract: Contract, find_basis: FindInputs, text: str, run: Run) -> Built:
    """Bring the touched members' rows up to date by one upsert; otherwise like `waybill.derived.build.build`.

    With another SQL text or contract than before every member is touched. A row whose values are as before is not
    written, so that its `updated_at` stays.
    """
    assert contract.updated_at_column
    parts = {
        "table": relation(contract),
        "touched": changed_keys_relation(contract),
        "key": sql.Identifier(contract.key[0]),
        "columns": columns_sql(contract.computed_columns),
        "old_columns": columns_sql(contract.computed_columns, "t"),
        "new_columns": columns_sql(contract.computed_columns, "excluded"),
        "updated_at": sql.Identifier(contract.updated_at_column),
        "key_of_t": equal_sql("t", "k", contract.key),
        "key_of_s": equal_sql("s", "k", contract.key),
        "text": subquery(text),
    }

    def execute(statement: str) -> None:
        parameters = ALL_TIME.parameters(settings().timezone) if "{text}" in statement else None
        connection.execute(sql.SQL(statement).format(**parts), parameters)

    def write() -> list[date]:
        execute(_TAKE)
        if not _was_built_by(connection, contract, text):
            execute("insert into touched select {key} from (\n{text}\n) as wanted union select {key} from {table}")
        connection.execute("analyze touched")
        execute(_STAGE)
        execute(_UPSERT)
        execute(_REMOVE)
        connection.execute("drop table touched, staging")
        return []

    return build(connection, contract, find_basis, write, ALL_TIME, run, sha256(text))


def _was_built_by(connection: Connection, contract: Contract, text: str) -> bool:
    found = connection.execute(
        "select from waybill.publication where report = %s and sql_sha256 = %s and contract_sha256 = any(%s)",
        (contract.table, sha256(text), equivalent_hashes(connection, contract)),
    ).fetchone()
    return found is not None
