"""Export the reports of a period as CSV and Parquet, with a manifest of their provenance."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.checks.approval import held
from waybill.contracts import Contract, locations
from waybill.derived.build import of_period, report_contracts
from waybill.errors import DataError
from waybill.outputs.export import PARQUET, copy_csv, csv_for_people, parquet_schema, put, write_parquet
from waybill.outputs.formulas import may_be_formula
from waybill.outputs.lake_references import note_references
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.connection import advisory_lock
from waybill.warehouse.schema import columns_sql, relation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": PARQUET, "json": "application/json"}


def _rows(export: _Export) -> sql.Composed:
    contract = export.contract
    return sql.SQL("from {} as r where {} order by {}").format(
        relation(contract), of_period(contract, export.period), columns_sql(contract.key, "r")
    )


@dataclass(frozen=True)
class _Export:
    """One period of a report."""

    contract: Contract
    period: Period

    @property
    def name(self) -> str:
        """The name of its files: the report, and the cadence if the report has several."""
        return f"{self.contract.name}_{self.period.cadence}" if len(self.contract.cadences) > 1 else self.contract.name

    @property
    def key(self) -> tuple[str, str, date]:
        """Its key in `waybill.publication`."""
        return (self.contract.table, self.period.cadence, self.period.start)


def csv_key(contract: Contract, period: Period) -> str:
    """Return the key of the CSV file of a report for a period."""
    return f"{locations.report_prefix(period)}{_Export(contract, period).name}.csv"


def manifest_key(domain: str, period: Period) -> str:
    """Return the key of the manifest for the reports of a domain whose periods end on the same day."""
    return f"{locations.report_prefix(period)}manifest_{domain}.json"


def parquet_key(contract: Contract, period: Period) -> str:
    """Return the key of the Parquet file of a report for a period."""
    return f"{locations.report_prefix(period)}{_Export(contract, period).name}.parquet"


_IN_MANIFEST = ("row_count", "content_sha256", "sql_sha256", "code_version")
_PROVENANCE = """
select
  p.row_count, p.content_sha256, p.sql_sha256, p.code_version, p.run_id, p.file_ids, p.inputs, p.built_at,
  coalesce((
    select jsonb_agg(
      jsonb_build_object('key', f.object_key, 'version_id', f.version_id, 'sha256', f.sha256) order by f.file_id
    )
    from waybill.load_file as f
    where f.file_id = any(p.file_ids)
  ), '[]') as files
from waybill.publication as p
where (p.report, p.cadence, p.period) = (%s, %s, %s)
"""


def _provenance(connection: Connection, export: _Export) -> dict[str, Any] | None:
    return connection.cursor(row_factory=dict_row).execute(_PROVENANCE, export.key).fetchone()


def publish(
    connection: Connection, s3: S3Client, domain: str, contracts: Iterable[Contract], period: Period, run: Run
) -> list[str]:
    """Write reports of a domain for a period, and then their manifest; returns the keys.

    All reports are read in one snapshot of the warehouse. Unchanged objects are not written again. Nothing is written
    while one of the reports waits for approval, because the manifest covers all of them. Raises `DataError` for a
    report that was not built for the period.
    """
    exports = [_Export(contract, period) for contract in contracts]
    with advisory_lock(connection, f"publish {domain}"):
        keys = _publish(connection, s3, domain, exports, run)
    note_references(connection, domain)
    return keys


# All reports whose periods end on the same day as that of a report with unpublished content.
_TO_PUBLISH = """
with built as (
  select report, cadence, period, exported_sha256 is distinct from content_sha256 as is_changed,
    period + ('1 ' || cadence)::interval as ends_at
  from waybill.publication
  where report = any(%(reports)s)
)
select report, cadence, period
from built
where ends_at in (select ends_at from built where is_changed)
order by period, report, cadence
"""


def _held(connection: Connection, contracts: Iterable[Contract]) -> set[tuple[str, str, date]]:
    return {one.key for one in held(connection, contracts)}


def publish_changed(connection: Connection, s3: S3Client, domain: str, run: Run) -> list[str]:
    """Write all reports whose content has changed since they were written; returns the keys.

    A manifest covers all reports whose periods end on the same day. They are written together, and wait together while
    one of them waits for approval.
    """
    contracts = {contract.table: contract for contract in report_contracts(domain).values()}
    with advisory_lock(connection, f"publish {domain}"):
        built = connection.execute(_TO_PUBLISH, {"reports": sorted(contracts)}).fetchall()
        waiting = _held(connection, contracts.values())
        by_day: dict[str, list[_Export]] = {}
        waits = set()
        for report, cadence, start in built:
            export = _Export(contracts[report], Period.of(cadence, start))
            prefix = locations.report_prefix(export.period)
            by_day.setdefault(prefix, []).append(export)
            if export.key in waiting:
                waits.add(prefix)
        if waits:
            log.warning("waiting for approval: %s", ", ".join(sorted(waits)))
        ready = sorted(by_day.keys() - waits)
        keys = [key for prefix in ready for key in _publish(connection, s3, domain, by_day[prefix], run)]
    note_references(connection, domain)
    return keys


def _publish(connection: Connection, s3: S3Client, domain: str, exports: list[_Export], run: Run) -> list[str]:
    """Write reports whose periods end on the same day, and their manifest; nothing if one waits for approval.

    Approvals are read in the same snapshot as the rows, because a build may replace the rows at any time.
    """
    bucket, prefix = settings().reports_bucket, locations.report_prefix(exports[0].period)
    exports = sorted(exports, key=lambda export: export.name)
    bodies = {}
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        held_keys = _held(connection, [export.contract for export in exports])
        if waiting := [f"{one.contract.table} {one.period}" for one in exports if one.key in held_keys]:
            log.warning("%s is not published: approval is missing for %s", prefix, ", ".join(waiting))
            return []
        found = [(export, _provenance(connection, export)) for export in exports]
        if missing := [f"{one.contract.table} for {one.period}" for one, head in found if head is None]:
            raise DataError(f"not built: {', '.join(missing)}. Run the tasks of these reports first.")
        provenance = {export.name: head for export, head in found if head is not None}
        for export in exports:
            csv, parquet = b"".join(copy_csv(connection, export.contract, _rows(export))), io.BytesIO()
            write_parquet([csv], parquet_schema(export.contract), parquet)
            if may_be_formula(export.contract):
                csv = b"".join(csv_for_people(connection, export.contract, _rows(export)))
            bodies[csv_key(export.contract, export.period)] = csv
            bodies[parquet_key(export.contract, export.period)] = parquet.getvalue()
    files = {file["key"]: file for report in provenance.values() for file in report.pop("files")}
    manifest = {
        "domain": domain,
        "last_day": str(exports[0].period.end - timedelta(days=1)),
        "code_version": run.code_version,
        "run_id": run.run_id,
        "reports": {
            export.name: {name: provenance[export.name][name] for name in _IN_MANIFEST}
            | {"table": export.contract.table, "period": export.period.key}
            for export in exports
        },
        "objects": [
            {"key": key, "size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            for key, body in bodies.items()
        ],
        "files": [files[key] for key in sorted(files)],
    }
    key_of_manifest = manifest_key(domain, exports[0].period)
    text = json.dumps(manifest, indent=2, sort_keys=True).encode()
    for key, body in [*bodies.items(), (key_of_manifest, text)]:
        put(s3, bucket, key, io.BytesIO(body), _CONTENT_TYPES[key.rpartition(".")[2]])
    for export in exports:
        body = bodies[parquet_key(export.contract, export.period)]
        _record_published(connection, export, provenance[export.name], hashlib.sha256(body).hexdigest(), run)
    log.info("published %d objects under s3://%s/%s", len(bodies) + 1, bucket, prefix)
    return [*bodies, key_of_manifest]


_UPSERT_PUBLISHED = """
insert into waybill.published as p (
  report, cadence, period, row_count, content_sha256, sql_sha256, code_version, run_id, file_ids, inputs, built_at,
  object_sha256, published_by
)
values (
  %(report)s, %(cadence)s, %(period)s, %(row_count)s, %(content_sha256)s, %(sql_sha256)s, %(code_version)s, %(run_id)s,
  %(file_ids)s, %(inputs)s, %(built_at)s, %(object_sha256)s, %(published_by)s
)
on conflict (report, cadence, period) do update
set row_count = excluded.row_count, content_sha256 = excluded.content_sha256, sql_sha256 = excluded.sql_sha256,
  code_version = excluded.code_version, run_id = excluded.run_id, file_ids = excluded.file_ids,
  inputs = excluded.inputs, built_at = excluded.built_at, object_sha256 = excluded.object_sha256,
  published_at = case when p.content_sha256 = excluded.content_sha256 then p.published_at else now() end,
  published_by = case when p.content_sha256 = excluded.content_sha256 then p.published_by else excluded.published_by end
"""


def _record_published(
    connection: Connection, export: _Export, head: dict[str, Any], object_sha256: str, run: Run
) -> None:
    """Record that the content of a report is published, with its provenance."""
    key = dict(zip(("report", "cadence", "period"), export.key, strict=True))
    with connection.transaction():
        connection.execute(
            "update waybill.publication set exported_sha256 = %(content_sha256)s "
            "where (report, cadence, period) = (%(report)s, %(cadence)s, %(period)s)",
            head | key,
        )
        connection.execute(_UPSERT_PUBLISHED, head | key | {"object_sha256": object_sha256, "published_by": run.run_id})


def has_published(connection: Connection, domain: str, run: Run) -> bool:
    """Return whether a run has published new content of the domain's reports, in any of its attempts."""
    found = connection.execute(
        "select from waybill.published where report = any(%s) and published_by = %s limit 1",
        ([contract.table for contract in report_contracts(domain).values()], run.run_id),
    ).fetchone()
    return found is not None
