"""### Purchases, as they land

**What it does.** Ingests every pending file with rates (`raw/purchases/rates/`) and purchases (bronze,
`datalake/bronze/year=YYYY/month=MM/day=DD/`), converts purchases to Australian dollars (silver), sums them by customer
(gold, and the table `customer_purchase_summary`), writes changed days to the lake, and publishes the top purchasers.

**Period.** Rows belong to the day of ingestion, which the folders of a file name; without such folders, to the day on
which S3 received the file. A run has no period of its own, because it lists the bucket. A notification starts a run
within seconds. Another run starts every 15 minutes, so a lost notification changes nothing. With more than 5,000
objects, the runs look at new ones, and once a day at all. To run it by hand, use *Trigger*: it looks at all. The
parameter `file`, or `day` and `last_day`, limits the run, and tries rejected files again.

**Currencies.** Purchases in currencies outside `WAYBILL_SOURCE_CURRENCIES` are filtered. After a change of this
setting, the next run loads all files again. A purchase without a rate that is effective on its day is in quarantine as
`in_force:currency`. The first run after the rate has landed admits it.

**When it fails.** Tasks retry errors of the infrastructure. Errors of the data fail at once:
* `intake_rates` or `intake_purchases` fails if files are invalid. The other files are loaded and published. Upload
  corrected files under the same names. Unchanged invalid files are skipped and raise no further alert.
* `curated` or `reports` fails if a check does not pass. Days that passed are up to date. The next run tries the
  others.
* `publish` waits for approval if a report exceeds `maxWarnings`. Answer under *Browse → Required Actions*.
* `complete` fails if one of the tasks before it failed.

**Alerts.** One for a failed run with a new cause, one for a pending approval, and one if the run has not finished 2
hours after its start. A successful run that changed data sends a message with the files and reports.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TriggerRule

from waybill.contracts.locations import report_schema, star_schema
from waybill.operators import (
    ARRIVAL_ARGS,
    IntakeArrivedOperator,
    ProcessedOperator,
    PublishChangedOperator,
    RefreshOperator,
    arrival_params,
    arrival_schedule,
    deadline_alert,
    owner_links,
    run_callbacks,
)

with DAG(
    dag_id="purchases_medallion",
    dag_display_name="Purchases: customers on arrival",
    description="Load purchases as their files land, convert them to Australian dollars, and sum them by customer.",
    doc_md=__doc__,
    tags=["purchases", "on arrival"],
    schedule=arrival_schedule("purchases"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=arrival_params(),
    default_args=ARRIVAL_ARGS,
    owner_links=owner_links(),
    deadline=deadline_alert(hours=2),
    **run_callbacks("purchases", on_arrival=True),
):
    rates = IntakeArrivedOperator(domain="purchases", dataset="rates")
    # A rejected file does not stop the others.
    purchases = IntakeArrivedOperator(domain="purchases", dataset="purchases", trigger_rule=TriggerRule.ALL_DONE)
    curated = RefreshOperator(
        task_id="curated", domain="purchases", schema=star_schema("purchases"), trigger_rule=TriggerRule.ALL_DONE
    )
    lake = ProcessedOperator(task_id="lake", domain=star_schema("purchases"))
    reports = RefreshOperator(task_id="reports", domain="purchases", schema=report_schema("purchases"))
    publish = PublishChangedOperator(task_id="publish", domain="purchases")
    # The last task decides the state of a run. Without this task, a run with a rejected file would be successful.
    complete = EmptyOperator(task_id="complete")

    rates >> purchases >> curated >> [lake, reports]
    reports >> publish
    [rates, purchases, lake, publish] >> complete
