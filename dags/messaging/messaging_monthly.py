"""### Messaging, month by month

**What it does.** Ingests the customers, channels and traffic of a month from S3, checks them, builds the reports in
`include/sql/messaging`, and publishes them as CSV and Parquet with a manifest.

**Which month.** The run of the 1st, 09:00 UTC, covers the month before. To run a month by hand, *Trigger* with the
parameter `month`. For a range, *Trigger → Backfill* and leave the parameter empty. Months may run in any order and
again: a run replaces its month, and computes it as it was known at its end. *Run After* of a scheduled run is the day
after its month; that of a backfill's run is the first day of its month.

**When it fails.**
* `landed` waits: a dataset has no file under `raw/messaging/<dataset>/month=YYYY-MM/`. Its log names it. Ask the
  sender.
* `landed` fails at once for a month that is not over, and for an object whose folder names no month: move the object.
* An intake task fails at once: a file is invalid. The message names file, column and numbers. Send the corrected file
  under the same name, then clear the task. Later months stop here, too, because a run loads earlier files first. To
  continue without the file, delete the object.
* `quality` fails: a check failed. See `select * from waybill.check_result where not passed`.
* `publish` waits for input: reports exceed `maxWarnings`. Answer under *Browse → Required Actions*. *Approve* publishes
  the month. *Reject* is recorded and fails the run; clear the task to be asked again.
* Other failures are retried with growing pauses.

A failed run sends one message, and so does a run that is late. The runbook says what to do about each.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronPartitionTimetable

from messaging.reports import descriptive_statistics, industry_exposure_extended
from waybill.contracts.locations import report_files
from waybill.operators import (
    DEFAULT_ARGS,
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
    publish = PublishOperator(task_id="publish", **OF_MONTH)

    landed >> intake >> quality >> list(reports.values()) >> publish
    reports["industry_exposure"] >> others >> publish
