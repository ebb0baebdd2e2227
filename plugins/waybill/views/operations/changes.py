"""Reports whose content changed, and the files loaded in between."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from waybill.period import Period
from waybill.views.operations.scope import PAGE_ROWS, Scope

CHANGES = 200_000
"""How many of the newest entries of the change log are searched."""
FILES_OF_CHANGE = 20
"""How many files of a change are listed."""
NEWEST_FILES = 20_000
"""How many of the newest files of a report are searched, in order of their id."""


def rebuilds(connection: Connection, scope: Scope) -> tuple[list[dict[str, Any]], bool]:
    """Return (the newest changes of a report's content, whether there are more).

    Each change lists files that changed a dataset between the two builds, of those that the report was built from:
    the newest in `files`, their number in `files_count`. The search covers the last 10,000 changes before the build.
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
