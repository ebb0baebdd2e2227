"""### Orders, as they land

**What it does.** Takes in every file under `raw/orders/lines/` that is not loaded yet, brings the reports of the
landing days that it touches up to date and publishes those whose content changed, as CSV and Parquet with a manifest.

**Which day.** That of landing: the day on which S3 got the first version of a file. A run has no period: it looks
into the bucket, whatever woke it. A message in the queue wakes it within seconds; every 15 minutes one runs without
any, so that a lost one changes nothing. Files that land together are one run. By hand: *Trigger*, with the parameter
`file`, or `day` (and `last_day`), to take in just those, also if they were refused before.

**When it fails.**
* `intake_lines` fails: files were refused; the message names each, with column and numbers. The other files are loaded,
  reported and published. Have it mended and sent again under the same name: nothing else is to be done. The same
  content is not tried again, nor told again, unless a run is triggered for the file or its day.
* `quality` fails on a check of the lines of a day that is to be reported: nothing is reported before it holds.
* `reports` fails on a check of a report: the days that passed are up to date, the others stay as they were and are
  tried again by the next run. `select * from waybill.check_result where not passed` shows those of both.
* `publish` waits for input, and a message says so: more checks of a report warn than its contract lets (`maxWarnings`).
  Whoever may run the DAG answers under *Browse → Required Actions*; approved, the day is published. A refusal is
  recorded and fails the run; clear the task to be asked again. Files that land meanwhile are taken in when it is
  answered.
* `complete` only says that a task before it failed.
* Anything else is retried with growing pauses; it is infrastructure.

One alert goes out for a failed run, one when a run has not ended after two hours, and a message of what was loaded and
reported for one that ended well, if that was anything.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TriggerRule

from waybill.contracts.locations import report_schema
from waybill.operators import (
    ARRIVAL_ARGS,
    IntakeArrivedOperator,
    PublishChangedOperator,
    QualityOperator,
    RefreshOperator,
    arrival_params,
    arrival_schedule,
    deadline_alert,
    owner_links,
    run_callbacks,
)
from waybill.settings import settings

with DAG(
    dag_id="orders_reports",
    dag_display_name="Orders: reports on arrival",
    description="Files with orders as they land: loaded, reported by landing day, published.",
    doc_md=__doc__,
    tags=["orders", "on arrival"],
    schedule=arrival_schedule("orders_landed", settings().orders_queue_url),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=arrival_params(),
    default_args=ARRIVAL_ARGS,
    owner_links=owner_links(),
    deadline=deadline_alert(hours=2),
    **run_callbacks("orders", on_arrival=True),
):
    intake = IntakeArrivedOperator(domain="orders", dataset="lines")
    # A refused file keeps the others from nothing.
    quality = QualityOperator(task_id="quality", domain="orders", trigger_rule=TriggerRule.ALL_DONE)
    reports = RefreshOperator(task_id="reports", domain="orders", schema=report_schema("orders"))
    publish = PublishChangedOperator(task_id="publish", domain="orders")
    # What ends a run says whether it failed: without this, a run with a refused file would look well.
    complete = EmptyOperator(task_id="complete")

    intake >> quality >> reports >> publish >> complete
    intake >> complete
