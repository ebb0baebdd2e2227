"""### Clicks on Spark, day by day

**What it does.** Loads a day of the clickstream with Spark into Iceberg tables, checks it, and computes sessions, the
funnel and page statistics for each stale day. PostgreSQL has the books, the quarantine and the reports, as for every
domain. A run without new files and without stale reports starts no Spark.

**Period.** The run of 02:00 UTC covers the previous day. To run other days, use *Trigger* with the parameter `day`, or
*Trigger → Backfill* over a range of days without the parameter. Days may run in any order, and re-running is
idempotent. Each run also loads the pending files of all earlier days, so that a backfill of many days starts with one
large job.

**When it fails.** Tasks retry errors of the infrastructure. Errors of the data fail at once:
* `landed` waits while the day has no file under `raw/shop/clickstream/dt=YYYY-MM-DD/`. Ask the sender.
* `prepare_intake` fails if the domain has what Spark cannot do: its log names it.
* `spark_intake` or `spark_reports` fails if the job fails: its log has the job's output. Clear it: what is not recorded
  is computed again.
* `record_intake` fails if a file is invalid; the others are loaded. Upload a corrected file under the same name and
  clear `prepare_intake` with the tasks after it. It also fails if another run has changed the same day meanwhile.
* `record_reports` fails if a check does not pass: `select * from waybill.check_result where not passed`.
* `publish` waits for approval if a report exceeds `maxWarnings`. A rejection fails the run.

To admit rows that are in quarantine, correct the contract and raise its version: the next run loads their files again.

**Alerts.** One for a failed run with a new cause, one for files with warnings, one for a pending approval, and one if
the run has not finished 3 hours after its start.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronPartitionTimetable, chain

from waybill.operators import (
    DEFAULT_ARGS,
    LandedSensor,
    PublishChangedOperator,
    datasets_param,
    day_param,
    deadline_alert,
    dry_run_param,
    owner_links,
    run_callbacks,
    spark_tasks,
)

with DAG(
    dag_id="clicks_daily",
    dag_display_name="Clicks: sessions on Spark",
    description="Load a day of the clickstream with Spark, compute its reports, and publish them.",
    doc_md=__doc__,
    tags=["clicks", "daily", "spark"],
    schedule=CronPartitionTimetable("0 2 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "day": day_param(),
        "datasets": datasets_param("clicks"),
        "dry_run": dry_run_param(
            "List the files that a run would load, and load nothing. The return value of `prepare_intake` has them."
        ),
    },
    default_args=DEFAULT_ARGS,
    owner_links=owner_links(),
    deadline=deadline_alert(hours=3),
    **run_callbacks("clicks"),
):
    landed = LandedSensor(task_id="landed", domain="clicks", cadence="day", poke_interval=60, timeout=86_400)
    publish = PublishChangedOperator(task_id="publish", domain="clicks")

    chain(landed, *spark_tasks("clicks", "day"), publish)
