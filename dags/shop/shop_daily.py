"""### The shop, day by day

**What it does.** Ingests the customers, products, transactions, clicks and reviews of a day from S3 and checks them.
Writes valid rows to the processed zone as Parquet, and brings the star schema and the marts up to date. Publishes each
mart whose content changed, as CSV and Parquet with a manifest.

**Which day.** The run of 03:00 UTC covers the day before. To run a day by hand, *Trigger* with the parameter `day`. For
a range, *Trigger → Backfill* and leave the parameter empty. Days may run in any order and again. Rows may arrive up to
seven days late: they belong to their own day, and exactly the affected days, weeks and months are built again. *Run
After* of a scheduled run is the day after its day; that of a backfill's run is its day.

**When it fails.**
* `landed` waits: a dataset has no file under `raw/shop/<dataset>/dt=YYYY-MM-DD/`. The log names it. Ask the sender.
* `landed` fails at once for a day that is not over, and for an object whose folder names no day: move the object.
* An intake task fails at once: a file is invalid. The message names file, column and numbers. Send the corrected file
  under the same name, then clear the task. Later days stop here, too, because a run loads earlier files first. To
  continue without the file, delete the object.
* `quality` fails: a check failed. See `select * from waybill.check_result where not passed`.
* `curated` or `marts` fails on a check: tables that passed are up to date. The others keep their content, and the next
  run tries them again.
* `publish` waits for input: reports exceed `maxWarnings`. Answer under *Browse → Required Actions*. *Approve* publishes
  all reports that end on that day. *Reject* is recorded and fails the run; clear the task to be asked again.
* Other failures are retried with growing pauses.

A failed run sends one message, and so does a run that is late. Rows that are more than seven days late are rejected as
`too_late`; `waybill replay <dataset> --domain shop --admit-late` admits them. The runbook says what to do about each
message.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronPartitionTimetable

from waybill.contracts.locations import report_schema, star_schema
from waybill.operators import (
    DEFAULT_ARGS,
    LandedSensor,
    ProcessedOperator,
    PublishChangedOperator,
    QualityOperator,
    RefreshOperator,
    datasets_param,
    day_param,
    deadline_alert,
    dry_run_param,
    intake_tasks,
    owner_links,
    run_callbacks,
)

OF_DAY = {"domain": "shop", "cadence": "day"}

with DAG(
    dag_id="shop_daily",
    dag_display_name="Shop: daily marts",
    description="Load and check a day of the shop, write it to the lake and the star schema, and publish its reports.",
    doc_md=__doc__,
    tags=["shop", "daily"],
    schedule=CronPartitionTimetable("0 3 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=4,
    params={"day": day_param(), "datasets": datasets_param("shop"), "dry_run": dry_run_param()},
    default_args=DEFAULT_ARGS,
    owner_links=owner_links(),
    deadline=deadline_alert(hours=3),
    **run_callbacks("shop"),
):
    landed = LandedSensor(task_id="landed", poke_interval=60, timeout=86_400, **OF_DAY)
    processed = ProcessedOperator(task_id="processed", domain="shop")
    quality = QualityOperator(task_id="quality", **OF_DAY)
    curated = RefreshOperator(task_id="curated", domain="shop", schema=star_schema("shop"))
    marts = RefreshOperator(task_id="marts", domain="shop", schema=report_schema("shop"))
    publish = PublishChangedOperator(task_id="publish", domain="shop")

    landed >> intake_tasks(**OF_DAY) >> processed >> quality >> curated >> marts >> publish
