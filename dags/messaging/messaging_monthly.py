"""### Messaging, month by month

**What it does.** Ingests the customers, channels and traffic of a month from S3, checks them, builds the reports in
`include/sql/messaging` and publishes them as CSV and Parquet with a manifest. Refreshes the feature views.

**Period.** The run on the 1st at 09:00 UTC covers the previous month. To run other months, use *Trigger* with the
parameter `month`, or *Trigger → Backfill* over a range of months without the parameter. Months may run in any order.
Re-running is idempotent: a run replaces its own month, as it was known at the end of that month. *Run After* of a
scheduled run is the day after its month; of a run in a backfill, it is the first day of its month.

**When it fails.** Tasks retry errors of the infrastructure. Errors of the data fail at once:
* `landed` waits while a dataset has no file under `raw/messaging/<dataset>/month=YYYY-MM/`. Its log names the dataset.
  Ask the sender. It fails if the month is not over, or if an object is in a folder that names no month: move it.
* An intake task fails if a file is invalid. Upload a corrected file under the same name and clear the task. Later
  months wait for it, because files are loaded in order. To continue without the file, delete the object.
* `quality` fails if a check does not pass: `select * from waybill.check_result where not passed`.
* `features` fails if a check of a feature view does not pass, or if the files of a version changed that has values.
  Reports are published all the same.
* `publish` waits for approval if a report exceeds `maxWarnings`. Users who may run the DAG answer under *Browse →
  Required Actions*. A rejection fails the run; clear the task to be asked again.

**Alerts.** One for a failed run with a new cause, one for files with warnings, one for a pending approval, and one if
the run has not finished 3 hours after its start.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronPartitionTimetable

from messaging.reports import descriptive_statistics, industry_exposure_extended
from waybill.contracts.locations import report_files
from waybill.operators import (
    DEFAULT_ARGS,
    FeaturesOperator,
    LandedSensor,
    PublishOperator,
    PythonReportOperator,
    QualityOperator,
    SqlReportOperator,
    datasets_param,
    deadline_alert,
    dry_run_param,
    intake_tasks,
    month_param,
    owner_links,
    run_callbacks,
)

OF_MONTH = {"domain": "messaging", "cadence": "month"}

with DAG(
    dag_id="messaging_monthly",
    dag_display_name="Messaging: monthly reports",
    description="Load and check a month of messaging data, and publish its reports.",
    doc_md=__doc__,
    tags=["messaging", "monthly"],
    schedule=CronPartitionTimetable("0 9 1 * *", timezone="UTC", run_offset=-1, key_format="%Y-%m"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=4,
    params={"month": month_param(), "datasets": datasets_param("messaging"), "dry_run": dry_run_param()},
    default_args=DEFAULT_ARGS,
    owner_links=owner_links(),
    deadline=deadline_alert(hours=3),
    **run_callbacks("messaging"),
):
    landed = LandedSensor(task_id="landed", poke_interval=60, timeout=172_800, **OF_MONTH)
    intake = intake_tasks(**OF_MONTH)
    quality = QualityOperator(task_id="quality", **OF_MONTH)
    reports = {path.stem: SqlReportOperator(path=path, **OF_MONTH) for path in report_files("messaging")}
    python = (descriptive_statistics, industry_exposure_extended)
    others = [PythonReportOperator(task_id=one.__name__, function=one, **OF_MONTH) for one in python]
    features = FeaturesOperator(task_id="features", **OF_MONTH)
    publish = PublishOperator(task_id="publish", **OF_MONTH)

    landed >> intake >> quality >> list(reports.values()) >> publish
    reports["industry_exposure"] >> others >> publish
    [*reports.values(), *others] >> features
