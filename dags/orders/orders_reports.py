"""### Orders, as they land

**What it does.** Ingests each file under `raw/orders/lines/` that is not loaded yet. Builds the reports of the affected
landing days, and publishes those whose content changed, as CSV and Parquet with a manifest.

**Which day.** The landing day: the day on which S3 received the first version of a file. A run has no period; it
compares the bucket with the ledger. A message in the queue starts it within seconds. Every 15 minutes a run starts
without a message, so a lost one changes nothing. Files that land together are one run. To load single files by hand,
also rejected ones, *Trigger* with the parameter `file`, or with `day` and `last_day`.

**When it fails.**
* `intake_lines` fails: files are invalid. The message names each, with column and numbers. The other files are loaded,
  reported and published. Send the corrected file under the same name; nothing else is to be done. Invalid files raise
  one alert and are skipped until they change, unless a run is triggered for them.
* `quality` fails: a check of the lines failed. No report is built until it passes.
* `reports` fails on a check: days that passed are up to date. The others keep their content, and the next run tries
  them again. See `select * from waybill.check_result where not passed`.
* `publish` waits for input: reports exceed `maxWarnings`. Answer under *Browse → Required Actions*. *Approve* publishes
  the day. *Reject* is recorded and fails the run; clear the task to be asked again. Files that land meanwhile are
  loaded afterwards.
* `complete` fails only if a task before it failed.
* Other failures are retried with growing pauses.

A failed run sends one message, and so does a run that has not ended after two hours. A run that loaded or reported
something sends one about it. The runbook says what to do about each.
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
    description="Load orders as their files land, and publish reports by landing day.",
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
