"""### Lake: maintenance of the Iceberg tables, and retention of datasets

**What it does.** For each table of the lake: drops days before the `retention` of its contract, replaces the files of a
day by one file if it has several, expires snapshots that are older than `WAYBILL_LAKE_SNAPSHOT_DAYS`, and removes files
that no snapshot has and that are older than three days. Snapshots to which published reports refer get a tag and stay
for `WAYBILL_LAKE_PUBLISHED_DAYS`. Days whose files are not those of the books become stale, and the next run of their
pipeline writes them again. `waybill.lake_maintenance` records what was done.

Beside that, it enforces the retentions of datasets: former states of rows and texts of rejected rows that are older
than their contract keeps them are removed, and raw files that the bucket should have removed are counted.
`waybill.retention` records it. `operations_watch` opens an incident for raw files that stay longer; it looks often and
changes no data, so it does not remove anything itself.

**Period.** None. The run looks at the whole lake and at all datasets, once a week. With the parameter `dry_run`, it
changes nothing and logs what it would do, as `waybill lake maintain --dry-run` and `waybill retention --dry-run` do.

**When it fails.**
* `maintain` fails if the warehouse, the catalog or S3 does not respond. It is retried, and does what is left.
* `retention` fails for the same reasons, with the same end. It does not wait for `maintain`. It fails at once if the
  tables of a dataset do not fit its contract; the other datasets have had their turn.

**Alerts.** One for a failed run with a new cause, and one if the run has not finished 6 hours after its start.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from waybill.operators import (
    DEFAULT_ARGS,
    MaintainLakeOperator,
    RetentionOperator,
    alert_failure,
    deadline_alert,
    dry_run_param,
    owner_links,
)

with DAG(
    dag_id="operations_lake",
    dag_display_name="Operations: lake",
    description="Compact the tables of the lake, expire their snapshots, and enforce retentions.",
    doc_md=__doc__,
    tags=["operations", "weekly"],
    schedule="0 4 * * 0",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params={"dry_run": dry_run_param("Only log what would be done.")},
    owner_links=owner_links(),
    on_failure_callback=alert_failure,
    deadline=deadline_alert(hours=6),
):
    MaintainLakeOperator(task_id="maintain")
    RetentionOperator(task_id="retention")
