"""The history of loads."""

from __future__ import annotations

from typing import Any, Literal

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.contracts.domains import load_manifest
from waybill.intake import file_warnings
from waybill.intake.ledger import IS_SETTLED
from waybill.settings import settings
from waybill.views import catalog
from waybill.views.operations.file_problems import NEWEST
from waybill.views.operations.scope import FILES_OF_RUN, LISTED_ROWS, PAGE_ROWS, Scope, Total
from waybill.warehouse.connection import one_row

State = Literal["loaded", "superseded", "withdrawn", "rejected"]
"""What became of a file."""


def loaded_files(
    connection: Connection, scope: Scope, dataset: str | None, page: int, state: State | None = None
) -> tuple[list[dict[str, Any]], Total]:
    """Return (the loaded files of a page, newest first, with their warnings; the total)."""
    parameters = {
        "datasets": [name for name in scope.datasets if dataset in (None, name)],
        "state": state,
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
    return [
        row | {"warnings": warnings.get(row["file_id"], []), "dag_id": dag_of(row["dataset"])} for row in rows
    ], Total.of(counted)


def dag_of(dataset: str) -> str:
    """Return the DAG that loads a dataset."""
    return load_manifest(catalog.contracts()[dataset].domain).dag


_LOADS = """
dataset = any(%(datasets)s)
and (%(run_id)s::text is null or run_id = %(run_id)s)
and (%(state)s::text is null or status = %(state)s)
and (
  %(run_id)s::text is null and coalesce(%(state)s::text, 'loaded') = 'loaded'
  or file_id > (select max(file_id) - %(of_run)s from waybill.load_file)
)
"""


def rejected_files(
    connection: Connection, scope: Scope, dataset: str | None, page: int, *, only_open: bool = False
) -> tuple[list[dict[str, Any]], Total]:
    """Return (the rejected files of a page, newest first; the total).

    `is_settled` says whether a file needs nothing, and `deleted_at` when it was found to be deleted. With `only_open`,
    the newest 1,000 are searched for those that are not settled.
    """
    parameters = {
        "datasets": [name for name in scope.datasets if dataset in (None, name)],
        "run_id": scope.run_id,
        "bucket": settings().raw_bucket,
        "only_open": only_open,
        "searched": NEWEST if only_open else LISTED_ROWS + 1,
        "limit": PAGE_ROWS,
        "offset": (page - 1) * PAGE_ROWS,
    }
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(sql.SQL(_REJECTED).format(is_settled=sql.SQL(IS_SETTLED)), parameters)
        .fetchall()
    )
    counted = rows[0]["counted"]
    return [row | {"dag_id": dag_of(row["dataset"])} for row in rows if row["dataset"] is not None], Total.of(counted)


_REJECTED = """
with newest as (
  select r.*
  from waybill.rejected_file as r
  where r.dataset = any(%(datasets)s) and (%(run_id)s::text is null or r.run_id = %(run_id)s)
  order by r.rejected_file_id desc
  limit %(searched)s
),
found as (
  select r.* from newest as r where case when %(only_open)s then not {is_settled} else true end
)
select total.counted, page.*
from (select count(*) as counted from found) as total
left join lateral (
  select r.dataset, r.object_key, r.message, r.run_id, r.rejected_at, {is_settled} as is_settled, r.deleted_at
  from found as r
  order by r.rejected_file_id desc
  limit %(limit)s offset %(offset)s
) as page on true
"""
