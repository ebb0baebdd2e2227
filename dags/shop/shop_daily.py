"""### The shop, day by day

**What it does.** Ingests the customers, products, transactions, clicks and reviews of a day from S3, checks them,
writes the changed days to the processed zone as Parquet, refreshes the star schema, the marts and the feature views,
and publishes every mart whose content changed, as CSV and Parquet with a manifest.

**Period.** The run at 03:00 UTC covers the previous day. To run other days, use *Trigger* with the parameter `day`, or
*Trigger → Backfill* over a range of days without the parameter. Days may run in any order, and re-running is
idempotent. Rows may arrive up to seven days late. They belong to their own day, and only the days, weeks and months
that they change are rebuilt. *Run After* of a scheduled run is the day after its day; of one in a backfill, its day.

**When it fails.** Tasks retry errors of the infrastructure. Errors of the data fail at once:
* `landed` waits while a dataset has no file under `raw/shop/<dataset>/dt=YYYY-MM-DD/`. Its log names the dataset. Ask
  the sender. It fails if the day is not over, or if an object is in a folder that names no day: move it.
* An intake task fails if a file is invalid. Upload a corrected file under the same name and clear the task. Later days
  wait for it, because files are loaded in order. To continue without the file, delete the object.
* `quality` fails if a check does not pass: `select * from waybill.check_result where not passed`.
* `curated` or `marts` fails if a check of a table does not pass. Tables that passed are up to date. The next run tries
  the others again. So does `features`, which also refuses changed files of a version. Reports do not wait for it.
* `publish` waits for approval if a report exceeds `maxWarnings`. Users who may run the DAG answer under *Browse →
  Required Actions*. A rejection fails the run; clear the task to be asked again.

Rows that arrive more than seven days late are in quarantine as `too_late`. To admit them, run `waybill replay
<dataset> --domain shop --admit-late`.

**Alerts.** One for a failed run with a new cause, one for files with warnings, one for a pending approval, and one if
the run has not finished 3 hours after its start.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronPartitionTimetable

from waybill.contracts.locations import report_schema, star_schema
from waybill.operators import (
    DEFAULT_ARGS,
    FeaturesOperator,
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
    features = FeaturesOperator(task_id="features", **OF_DAY)
    publish = PublishChangedOperator(task_id="publish", domain="shop")

    landed >> intake_tasks(**OF_DAY) >> processed >> quality >> curated >> marts >> [features, publish]
