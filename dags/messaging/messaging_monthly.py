"""### Messaging, month by month

**What it does.** Takes in the month's customers, channels and traffic from S3, checks them, answers the
questions in `include/sql/messaging` and publishes the answers as CSV and Parquet with a manifest.

**Which month.** The run of the 1st, 09:00 UTC, stands for the month before. By hand: *Trigger* with the
parameter `month`, or *Trigger → Backfill* over a range of months with the parameter left empty. Months may run in any
order and again: a run replaces its own month, and computes it as it was known at its end. *Run After* of a
scheduled run is the day after its month; of a backfill's run it is the first day of the month it stands for.

**When it fails.**
* `landed` waits: a dataset has no file under `raw/messaging/<dataset>/month=YYYY-MM/`; its log says which. Ask the
  sender. It fails at once for a month that is not over yet, and for an object whose folder names no month: move it.
* An intake task fails at once: the file is wrong; the message names file, column and numbers. Have it
  mended and sent again under the same name, then clear the task. Until then every later month stops there, too, because
  a run takes in earlier files first; deleting the object lets them go on without it.
* `quality` fails: a check of a contract does not hold. `select * from waybill.check_result where not passed`.
* `publish` waits for input, and a message says so: more checks of a report warn than its contract lets (`maxWarnings`).
  Whoever may run the DAG answers under *Browse → Required Actions*; approved, the month is published. A refusal
  is recorded and fails the run; clear the task to be asked again.
* Anything else is retried with growing pauses; it is infrastructure.

One alert goes out for a failed run, and one when a run is late and has not ended.
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
    description="Customers, channels and traffic of a month: loaded, checked, answered, published.",
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
