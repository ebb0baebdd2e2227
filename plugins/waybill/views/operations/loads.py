"""The history of loads."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.contracts.domains import load_manifest
from waybill.intake import file_warnings
from waybill.views import catalog
from waybill.views.operations.scope import FILES_OF_RUN, LISTED_ROWS, PAGE_ROWS, Scope, Total
from waybill.warehouse.connection import one_row


def loaded_files(
    connection: Connection, scope: Scope, dataset: str | None, page: int
) -> tuple[list[dict[str, Any]], Total]:
    """Return (the loaded files of a page, newest first, with their warnings; the total)."""
    parameters = {
        "datasets": [name for name in scope.datasets if dataset in (None, name)],
        "run_id": scope.run_id,
        "of_run": FILES_OF_RUN,
        "listed": LISTED_ROWS,
        "limit": PAGE_ROWS,
        "offset": (page - 1) * PAGE_ROWS,
    }
    (counted,) = one_row(
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
    dags = {table: load_manifest(catalog.contracts()[table].domain).dag for table in scope.datasets}
    return [
        row | {"warnings": warnings.get(row["file_id"], []), "dag_id": dags[row["dataset"]]} for row in rows
    ], Total.of(counted)


_LOADS = """
dataset = any(%(datasets)s)
and (
  %(run_id)s::text is null
  or run_id = %(run_id)s and file_id > (select max(file_id) - %(of_run)s from waybill.load_file)
)
"""
