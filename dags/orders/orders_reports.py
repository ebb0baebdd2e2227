"""### Orders, as they land

**What it does.** Ingests every pending file under `raw/orders/lines/`, refreshes the reports of the landing days that
changed, and publishes the reports whose content changed, as CSV and Parquet with a manifest.

**Period.** Rows belong to their landing day: the day on which S3 received the first version of their file. A run has
no period of its own, because it lists the bucket. A notification starts a run within seconds. Another run starts every
15 minutes, so a lost notification changes nothing. With more than 5,000 objects, the runs look at new ones, and once a
day at all. To run it by hand, use *Trigger*: it looks at all. The parameter `file`, or `day` and `last_day`, limits
the run, and tries rejected files again.

**When it fails.** Tasks retry errors of the infrastructure. Errors of the data fail at once:
* `intake_lines` fails if files are invalid. The other files are loaded and published. Upload corrected files under the
  same names. Unchanged invalid files are skipped and raise no further alert.
* `quality` fails if a check of the lines of a changed day does not pass. Nothing is published until it passes.
* `reports` fails if a check of a report does not pass. Days that passed are up to date. The next run tries the others
  again. `select * from waybill.check_result where not passed` lists the checks of both tasks.
* `publish` waits for approval if a report exceeds `maxWarnings`. Users who may run the DAG answer under *Browse →
  Required Actions*. New files wait until then. A rejection fails the run; clear the task to be asked again.
* `complete` fails if one of the tasks before it failed.

**Alerts.** One for a failed run with a new cause, one for a pending approval, and one if the run has not finished 2
hours after its start. A successful run that changed data sends a message with the files and reports.
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

with DAG(
    dag_id="orders_reports",
    dag_display_name="Orders: reports on arrival",
    description="Load orders as their files land, and publish reports by landing day.",
    doc_md=__doc__,
    tags=["orders", "on arrival"],
    schedule=arrival_schedule("orders"),
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
    # A rejected file does not stop the others.
    quality = QualityOperator(task_id="quality", domain="orders", trigger_rule=TriggerRule.ALL_DONE)
    reports = RefreshOperator(task_id="reports", domain="orders", schema=report_schema("orders"))
    publish = PublishChangedOperator(task_id="publish", domain="orders")
    # The last task decides the state of a run. Without this task, a run with a rejected file would be successful.
    complete = EmptyOperator(task_id="complete")

    intake >> quality >> reports >> publish >> complete
    intake >> complete
