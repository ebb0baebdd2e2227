"""The snapshots of the lake that have the rows on which published reports rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from psycopg import Connection

from waybill.contracts import Contract, load_all
from waybill.contracts.domains import load_manifest
from waybill.derived.refresh import derived_tables, up_to_date
from waybill.outputs import iceberg_files, iceberg_tables
from waybill.period import Period

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

# A published content refers to a snapshot of a table if, at the same moment, the content is the one built last, its
# inputs have not changed since, all days of the table in its window lie in the lake as they are in the warehouse, and
# their rows come from no other files than the content does.
_NOTE = """
with contents as (
  select p.cadence, p.period, p.content_sha256, p.file_ids, w.first, w.last
  from waybill.published as p
  inner join waybill.publication as b using (report, cadence, period, content_sha256)
  cross join lateral (
    select
      coalesce(p.period - %(days_before)s::integer, '-infinity') as first,
      (p.period + ('1 ' || p.cadence)::interval)::date + %(days_after)s::integer as last
  ) as w
  where p.report = %(report)s and p.published_at > now() - interval '7 days'
    and not exists (
      select
      from waybill.published_snapshot as s
      where (s.report, s.cadence, s.period, s.content_sha256, s.table_name)
        = (%(report)s, p.cadence, p.period, p.content_sha256, %(table)s)
    )
    and b.changes_seen = (
      select coalesce(sum(d.changes), 0)
      from waybill.table_day as d
      where d.table_name = any(b.inputs) and d.day >= w.first and d.day < w.last
    )
    and not exists (
      select
      from waybill.table_day as d
      left join waybill.processed_day as l on l.dataset = d.table_name and l.day = d.day
      where d.table_name = %(table)s and d.day >= w.first and d.day < w.last
        and l.changes_seen is distinct from d.changes
    )
),
commits as (
  select distinct on (c.cadence, c.period, l.day) c.cadence, c.period, l.commit_id, l.snapshot_id, l.file_ids
  from contents as c
  inner join waybill.lake_commit as l on l.table_name = %(table)s and l.day >= c.first and l.day < c.last
  order by c.cadence, c.period, l.day, l.commit_id desc
)
insert into waybill.published_snapshot (report, cadence, period, content_sha256, table_name, snapshot_id)
select distinct on (c.cadence, c.period) %(report)s, c.cadence, c.period, c.content_sha256, %(table)s, l.snapshot_id
from contents as c
inner join commits as l using (cadence, period)
where not exists (
  select
  from commits as o
  cross join unnest(o.file_ids) as f (file_id)
  inner join waybill.load_file as r on f.file_id = r.file_id and r.status = 'loaded'
  where (o.cadence, o.period) = (c.cadence, c.period) and f.file_id <> all(c.file_ids)
)
order by c.cadence, c.period, l.commit_id desc
on conflict do nothing
"""


def note_references(connection: Connection, domain: str) -> int:
    """Record to which snapshots the contents refer that were published lately; returns the number of new references.

    Maintenance keeps these snapshots. Domains whose reports are as of the end of their period have no references.
    """
    if load_manifest(domain).semantics != "current":
        return 0
    in_lake = {name for (name,) in connection.execute("select distinct table_name from waybill.lake_commit")}
    found = 0
    current = up_to_date(connection, domain) if in_lake else set()
    for report in derived_tables(domain) if in_lake else ():
        # Whether a dataset that is read through other tables has the same rows follows from these tables.
        datasets = report.datasets if report.contract.table in current else ()
        for table in sorted(in_lake & {report.contract.table, *report.inputs, *datasets}):
            values = {
                "report": report.contract.table,
                "table": table,
                "days_before": report.contract.days_before,
                "days_after": report.contract.days_after,
            }
            found += connection.execute(_NOTE, values).rowcount
    return found


@dataclass(frozen=True)
class PublishedRows:
    """The rows of a table of the lake on which a published content of a report rests."""

    content_sha256: str
    noted_at: datetime
    table: str
    snapshot_id: int
    files: list[str] | None
    """The addresses of the Parquet files with the days that the report reads; None if the snapshot has expired."""


def published_rows(
    connection: Connection, catalog: Catalog, report: Contract, period: Period
) -> Iterator[PublishedRows]:
    """Yield the rows on which each published content of a report rests, the newest content first.

    Contents that were replaced later have their own rows, as they were when these contents were published.
    """
    contracts = load_all()
    first = date.min if report.days_before is None else period.start - timedelta(days=report.days_before)
    end = period.end + timedelta(days=report.days_after)
    rows = connection.execute(
        "select content_sha256, noted_at, table_name, snapshot_id from waybill.published_snapshot "
        "where (report, cadence, period) = (%s, %s, %s) order by noted_at desc, table_name",
        (report.table, period.cadence, period.start),
    ).fetchall()
    for content, noted_at, name, snapshot in rows:
        table = iceberg_tables.find_table(catalog, contracts[name]) if name in contracts else None
        files = None
        if table and table.snapshot_by_id(snapshot):
            by_day = iceberg_files.files_by_day(table, snapshot=snapshot)
            files = [file.file_path for day in sorted(by_day) if first <= day < end for file in by_day[day]]
        yield PublishedRows(content, noted_at, name, snapshot, files)
