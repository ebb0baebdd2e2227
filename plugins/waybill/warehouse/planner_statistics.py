"""Keep the planner's statistics of a table true after large writes.

Autovacuum notices new rows only after their transaction has ended, and up to a minute later. Until then the planner
takes a million new rows for none, and sorts and nested loops replace hashing.
"""

from __future__ import annotations

from typing import Final

from psycopg import Connection, sql

_FEW_ROWS: Final = 1000
"""With fewer new rows, no plan is slow."""
_SHARE: Final = 0.1
_FLUSHES_ON_REQUEST: Final = 150_000
"""The version of PostgreSQL since which statistics can be flushed at the end of a transaction."""

_OUTDATED = """
with tables as (
  select to_regclass(%(table)s) as oid
  union
  select relid from pg_partition_tree(to_regclass(%(table)s)) where isleaf
)
select n.nspname, c.relname
from tables as t
inner join pg_class as c on t.oid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) as rows
) as written
where c.relkind = 'r' and written.rows >= greatest(%(few)s, %(share)s * c.reltuples)
order by 1, 2
"""


def analyze_grown(connection: Connection, table: sql.Composable) -> None:
    """Analyze a table, or its partitions, of whose rows the open transaction has written a tenth or more."""
    parameters = {"table": table.as_string(None), "few": _FEW_ROWS, "share": _SHARE}
    for name in connection.execute(_OUTDATED, parameters).fetchall():
        connection.execute(sql.SQL("analyze {}").format(sql.Identifier(*name)))
        if connection.info.server_version >= _FLUSHES_ON_REQUEST:
            # Otherwise the rows may still count in the next transaction, and the table is analyzed once more.
            connection.execute("select pg_stat_force_next_flush()")
