"""### The shop, day by day

**What it does.** Takes in the day's customers, products, transactions, clicks and reviews from S3, checks them,
writes what is clean to the processed zone as Parquet, brings the star schema and the marts up to date and
publishes every mart whose content changed, as CSV and Parquet with a manifest.

**Which day.** The run of 03:00 UTC stands for the day before. By hand: *Trigger* with the parameter `day`, or
*Trigger → Backfill* over a range of days with the parameter left empty. Days may run in any order and again. Rows may
arrive up to seven days late: they go to their own day, and exactly the days, weeks and months that they touch are
computed anew. *Run After* of a scheduled run is the day after the one it stands for; of a backfill's run, that day.

**When it fails.**
* `landed` waits: a dataset has no file under `raw/shop/<dataset>/dt=YYYY-MM-DD/`; its log says which. Ask the
  sender. It fails at once for a day that is not over yet, and for an object whose folder names no day: move it.
* An intake task fails at once: the file is wrong; the message names file, column and numbers. Have it
  mended and sent again under the same name, then clear the task. Until then every later day stops there, too, because
  a run takes in earlier files first; deleting the object lets them go on without it.
* `quality` fails: a check of a contract does not hold. `select * from waybill.check_result where not passed`.
* `curated` or `marts` fails on a check: the tables that passed are up to date, the others stay as they were and
  are tried again by the next run.
* `publish` waits for input, and a message says so: more checks of a report warn than its contract lets (`maxWarnings`).
  Whoever may run the DAG answers under *Browse → Required Actions*; approved, what ends on that day is
  published. A refusal is recorded and fails the run; clear the task to be asked again.
* Anything else is retried with growing pauses; it is infrastructure.

One alert goes out for a failed run, and one when a run is late and has not ended. Rows that came more than seven days
late are in quarantine as `too_late`; `waybill replay <dataset> --domain shop --admit-late` lets them in.
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
    description="A day of the shop: loaded, checked, in the lake, in the star schema and the marts, published.",
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
