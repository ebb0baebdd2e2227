"""Summaries: one row for each key, computed from all rows of the key in another table, for changed keys only.

`waybill.derived.build.build_from_sql` records the keys whose rows changed in `<summary>_touched`, in the transaction
that changes them. Therefore a summary depends on the rows alone, not on the order of builds, and the cost of a build
depends on the number of changed keys.
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
create temp table changed_key on commit drop as select {key} from {table} limit 0;
with taken as (delete from {changed_keys} returning {key})
insert into changed_key select {key} from taken
"""

# PostgreSQL pushes a condition with one array down into the query, where it uses an index.
_STAGE = """
create temp table staging on commit drop as
select {columns} from (
{text}
) as wanted
where {key} = any(array(select {key} from changed_key))
"""

_UPSERT = """
insert into {table} as t ({columns}, {updated_at})
select {columns}, now() from staging
on conflict ({key}) do update
set ({columns}, {updated_at}) = ({new_columns}, excluded.{updated_at})
where ({old_columns}) is distinct from ({new_columns})
"""

_REMOVE = """
delete from {table} as t using changed_key as k
where {key_of_t} and not exists (select from staging as s where {key_of_s})
"""


def build_summary(connection: Connection, contract: Contract, find_inputs: FindInputs, text: str, run: Run) -> Built:
    """Update the rows of changed keys by one upsert. Otherwise like `waybill.derived.build.build`.

    If the SQL text or the contract has changed, all keys count as changed. Rows with equal values are not written, so
    that their `updated_at` stays.
    """
    assert contract.updated_at_column
    parts = {
        "table": relation(contract),
        "changed_keys": changed_keys_relation(contract),
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
            execute("insert into changed_key select {key} from (\n{text}\n) as wanted union select {key} from {table}")
        connection.execute("analyze changed_key")
        execute(_STAGE)
        execute(_UPSERT)
        execute(_REMOVE)
        connection.execute("drop table changed_key, staging")
        return []

    return build(connection, contract, find_inputs, write, ALL_TIME, run, sha256(text))


def _was_built_by(connection: Connection, contract: Contract, text: str) -> bool:
    found = connection.execute(
        "select from waybill.publication where report = %s and sql_sha256 = %s and contract_sha256 = any(%s)",
        (contract.table, sha256(text), equivalent_hashes(connection, contract)),
    ).fetchone()
    return found is not None
