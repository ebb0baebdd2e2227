"""Files that were not loaded, and reports that were not approved."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from waybill.checks import approval
from waybill.settings import settings
from waybill.views.operations.scope import Scope

REJECTIONS = 10
"""How many are listed."""


def rejections(connection: Connection, scope: Scope) -> list[dict[str, Any]]:
    """Return the newest rejected files and reports, and whether each is resolved.

    A file is resolved by a later load of the file, or of the same content under another key. A report is resolved by
    an approval, or by a build without the warnings.
    """
    return (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            select
              r.dataset, r.period, r.object_key, r.message, r.rejected_at,
              case
                when r.dataset = any(%(datasets)s) then exists (
                  select
                  from waybill.load_file as f
                  where (f.dataset, f.bucket, f.status) = (r.dataset, %(bucket)s, 'loaded')
                    and (f.object_key = r.object_key or f.etag = r.etag)
                    and f.loaded_at > r.rejected_at
                )
                else not exists (
                  select
                  from waybill.check_result as c
                  where (c.subject, c.period, c.check_name) = (r.dataset, r.period, %(approval)s) and not c.passed
                )
              end as is_resolved
            from waybill.rejected_file as r
            where r.dataset = any(%(subjects)s) and (%(run_id)s::text is null or r.run_id = %(run_id)s)
            order by r.rejected_file_id desc
            limit %(limit)s
            """,
            {
                "datasets": scope.datasets,
                "subjects": scope.subjects,
                "approval": approval.CHECK,
                "bucket": settings().raw_bucket,
                "run_id": scope.run_id,
                "limit": REJECTIONS,
            },
        )
        .fetchall()
    )
