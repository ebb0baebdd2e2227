"""### Watch: values outside the range expected from past periods

**What it does.** Compares the profile of each period whose files were loaded since the last run with those of earlier
periods: rows, shares of nulls, means, vocabularies, lengths and arrival. A value outside its expected range is an
anomaly. `docs/reference/watch.md` says how the range follows from the past. Compares the columns and values of files
with their contracts; what differs is schema drift. Then it compares the problems of all data with the open incidents,
sends alerts, and writes the quality report to the bucket of reports, under `quality/`.

**Period.** None. The run looks at what was loaded, every six hours.

**When it fails.**
* `anomalies` fails if the warehouse does not respond. It is retried. The next run looks at the same files. If S3 does
  not respond, new columns have no examples.
* `incidents` fails if the warehouse does not respond. It is retried.
* `report` fails if the warehouse or S3 does not respond. It is retried.

`incidents` and `report` run even if `anomalies` failed; the report says when data was last searched. `complete` then
fails the run.

**Alerts.** One message for each domain whose incidents opened, escalated or closed, one for a failed run, and one if
the run has not finished 1 hour after its start. Anomalies and drift fail no run and stop no publication: look at the
file, then upload a corrected one. Otherwise run `waybill watch accept` for an anomaly, and `waybill contract propose`
for drift.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from waybill.operators import (
    DEFAULT_ARGS,
    IncidentsOperator,
    QualityReportOperator,
    WatchOperator,
    alert_failure,
    deadline_alert,
    owner_links,
)

with DAG(
    dag_id="operations_watch",
    dag_display_name="Operations: watch",
    description="Search for anomalies and schema drift, and write the quality report.",
    doc_md=__doc__,
    tags=["operations", "six-hourly"],
    schedule="30 */6 * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    owner_links=owner_links(),
    on_failure_callback=alert_failure,
    deadline=deadline_alert(hours=1),
):
    anomalies = WatchOperator(task_id="anomalies")
    incidents = IncidentsOperator(task_id="incidents", trigger_rule="all_done")
    report = QualityReportOperator(task_id="report", trigger_rule="all_done")
    complete = EmptyOperator(task_id="complete")

    anomalies >> incidents >> report
    [anomalies, incidents, report] >> complete
