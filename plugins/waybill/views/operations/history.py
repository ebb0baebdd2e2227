"""What happened: every load, and every time that a report got another content."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.intake import file_warnings
from waybill.period import Period
from waybill.views.operations.scope import LISTED_ROWS, PAGE_ROWS, Scope, Total
from waybill.warehouse.connection import one_row

FILES_OF_RUN = 500_000
"""A run's files are looked for among so many of the newest."""
CHANGES = 200_000
"""Reports with other content are looked for among so many of the newest entries of the change log."""
FILES_OF_CHANGE = 20
NEWEST_FILES = 20_000
"""Of the files that a report rests on, in order of their id, so many of the newest are looked at."""


def loads(connection: Connection, scope: Scope, dataset: str | None, page: int) -> tuple[list[dict[str, Any]], Total]:
    """(files that were loaded, newest first, with their warnings; how many there are) of a page of fifty."""
    parameters = {
        "datasets": [name for name in scope.datasets if dataset in (None, name)],
        "run_id": scope.run_id,
        "of_run": FILES_OF_RUN,
        "listed": LISTED_ROWS,
        "limit": PAGE_ROWS,
        "offset": (page - 1) * PAGE_ROWS,
    }
    counted = one_row(
        connection,
        sql.SQL("select count(*) from (select from waybill.load_file where {} limit %(listed)s + 1) as files").format(
            sql.SQL(_LOADS)
        ),
        parameters,
    )
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            sql.SQL("""
            select
              file_id, dataset, period, bucket, object_key, size_bytes, status, contract_version, run_id, loaded_at,
              rows_in, inserted, updated, unchanged, rejected, duplicate, stale, filtered
            from waybill.load_file
            where {}
            order by file_id desc
            limit %(limit)s offset %(offset)s
            """).format(sql.SQL(_LOADS)),
            parameters,
        )
        .fetchall()
    )
    warnings = file_warnings.of_files(connection, [row["file_id"] for row in rows])
    return [row | {"warnings": warnings.get(row["file_id"], [])} for row in rows], Total.of(counted[0])


_LOADS = """
dataset = any(%(datasets)s)
and (
  %(run_id)s::text is null
  or run_id = %(run_id)s and file_id > (select max(file_id) - %(of_run)s from waybill.load_file)
)
"""


def rebuilds(connection: Connection, scope: Scope) -> tuple[list[dict[str, Any]], bool]:
    """(the newest times at which a report's period got another content, whether there are more), with the files before.

    The files are the last ones to change a dataset between the content before and this one, of those that the report
    rests on. `files_count` says how many there are, among the last 10,000 changes.
    """
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            with newest as (
              select c.change_id, c.table_name as report, c.cadence, c.day, c.changed_at, b.change_id as before_id,
                b.changed_at as before
              from waybill.change as c
              cross join lateral (
                select b.change_id, b.changed_at
                from waybill.change as b
                where b.table_name = c.table_name and b.day = c.day and b.cadence = c.cadence
                  and b.change_id < c.change_id
                order by b.change_id desc
                limit 1
              ) as b
              where c.change_id > (select max(change_id) - %(changes)s from waybill.change)
                and c.table_name = any(%(reports)s)
              order by c.change_id desc
              limit %(limit)s
            )
            select n.report, n.cadence, n.day, n.before, n.changed_at, f.files, f.files_count
            from newest as n
            left join waybill.publication as p on (n.report, n.cadence, n.day) = (p.report, p.cadence, p.period)
            cross join lateral (
              select (array_agg(f.object_key order by f.file_id desc))[:%(files)s] as files, count(*) as files_count
              from waybill.load_file as f
              where f.file_id in (
                select unnest(p.file_ids[cardinality(p.file_ids) - %(newest_files)s:])
                intersect
                select c.file_id
                from waybill.change as c
                where c.change_id > greatest(n.before_id, n.change_id - 10000) and c.change_id < n.change_id
                  and c.table_name = any(%(datasets)s)
              )
            ) as f
            order by n.change_id desc
            """,
            {
                "reports": [table for table in scope.subjects if table not in scope.datasets],
                "datasets": scope.datasets,
                "changes": CHANGES,
                "files": FILES_OF_CHANGE,
                "newest_files": NEWEST_FILES,
                "limit": PAGE_ROWS + 1,
            },
        )
        .fetchall()
    )
    found = [
        row | {"period": Period.of(row["cadence"], row["day"]), "files": list(reversed(row["files"] or []))}
        for row in rows[:PAGE_ROWS]
    ]
    return found, len(rows) > PAGE_ROWS
