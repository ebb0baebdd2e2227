"""The books: the reconciliation of loaded files by period and dataset."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.intake.ledger import imbalance, sums_sql
from waybill.period import Period
from waybill.views import catalog
from waybill.views.operations.scope import FILES_OF_RUN, Scope

BOOKS = 40
"""How many periods of datasets are listed."""


def balances(connection: Connection, scope: Scope) -> list[dict[str, Any]]:
    """Return the books of the newest periods, or of the files of a run. Books that do not balance come first."""
    query = sql.SQL(_BOOKS_OF_RUN if scope.run_id else _BOOKS).format(sums=sums_sql("f"))
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(query, {"datasets": scope.datasets, "run_id": scope.run_id, "limit": BOOKS, "of_run": FILES_OF_RUN})
        .fetchall()
    )
    cadences = {dataset: catalog.contracts()[dataset].cadence for dataset in scope.datasets}
    found = [
        row | {"period": Period.of(cadences[row["dataset"]], row["period"]), "difference": imbalance(row)}
        for row in rows
    ]
    return sorted(found, key=lambda row: row["difference"] == 0)


# Steps from period to period in the index, so the time does not depend on the number of files.
_BOOKS = """
with recursive steps as (
  select d.dataset, (select max(f.period) from waybill.load_file as f where f.dataset = d.dataset) as period, 1 as place
  from unnest(%(datasets)s::text[]) as d (dataset)
  union all
  select
    s.dataset,
    (select max(f.period) from waybill.load_file as f where f.dataset = s.dataset and f.period < s.period),
    s.place + 1
  from steps as s
  where s.period is not null and s.place < %(limit)s
),
newest as (
  select period, dataset from steps where period is not null order by period desc, dataset limit %(limit)s
)
select n.period, n.dataset, b.*
from newest as n
cross join lateral (
  select count(*) as files, max(f.loaded_at) as loaded_at, {sums}
  from waybill.load_file as f
  where (f.dataset, f.period, f.status) = (n.dataset, n.period, 'loaded')
) as b
where b.files > 0
order by n.period desc, n.dataset
"""
_BOOKS_OF_RUN = """
select f.period, f.dataset, count(*) as files, max(f.loaded_at) as loaded_at, {sums}
from waybill.load_file as f
where f.status = 'loaded' and f.dataset = any(%(datasets)s) and f.run_id = %(run_id)s
  and f.file_id > (select max(file_id) - %(of_run)s from waybill.load_file)
group by f.period, f.dataset
order by f.period desc, f.dataset
limit %(limit)s
"""
