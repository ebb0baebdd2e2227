"""### Purchases, as they land

**What it does.** Ingests each file with rates (`raw/purchases/rates/`) and purchases (bronze,
`datalake/bronze/year=YYYY/month=MM/day=DD/`) that is not loaded yet. Converts purchases to Australian dollars (silver)
and sums them by customer (gold, and the table `customer_purchase_summary`). Writes the changed days to the lake, and
publishes the top purchasers of each.

**Which day.** The ingestion day in the prefix of the file; without such folders, the day on which S3 received it. A run
has no period; it compares the bucket with the ledger. A message in the queue starts it within seconds. Every 15 minutes
a run starts without a message, so a lost one changes nothing. Files that land together are one run. To load single
files by hand, also rejected ones, *Trigger* with the parameter `file`, or with `day` and `last_day`.

**Currencies and rates.** Purchases in currencies outside of `WAYBILL_SOURCE_CURRENCIES` are filtered. If the setting
changes, the next run loads all files again. A purchase without an effective rate on its day is rejected as
`in_force:currency`; the first run after its rate has landed loads it.

**When it fails.**
* `intake_rates` or `intake_purchases` fails: files are invalid. The message names each, with column and numbers. The
  other files are loaded and published. Send the corrected file under the same name; nothing else is to be done. Invalid
  files raise one alert and are skipped until they change, unless a run is triggered for them.
* `curated` or `reports` fails on a check: days that passed are up to date, and the next run tries the others again.
* `publish` waits for input: reports exceed `maxWarnings`. Answer under *Browse → Required Actions*.
* `complete` fails only if a task before it failed. Other failures are retried with growing pauses.

A failed run sends one message, and so does a run that is late. A run that changed something sends one about it. The
runbook says what to do about each.
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
from waybill.settings import settings

with DAG(
    dag_id="purchases_medallion",
    dag_display_name="Purchases: customers on arrival",
    description="Load purchases as their files land, convert them to Australian dollars, and sum them by customer.",
    doc_md=__doc__,
    tags=["purchases", "on arrival"],
    schedule=arrival_schedule("purchases_landed", settings().purchases_queue_url),
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
    # A refused file keeps the others from nothing.
    purchases = IntakeArrivedOperator(domain="purchases", dataset="purchases", trigger_rule=TriggerRule.ALL_DONE)
    curated = RefreshOperator(
        task_id="curated", domain="purchases", schema=star_schema("purchases"), trigger_rule=TriggerRule.ALL_DONE
    )
    lake = ProcessedOperator(task_id="lake", domain=star_schema("purchases"))
    reports = RefreshOperator(task_id="reports", domain="purchases", schema=report_schema("purchases"))
    publish = PublishChangedOperator(task_id="publish", domain="purchases")
    # What ends a run says whether it failed: without this, a run with a refused file would look well.
    complete = EmptyOperator(task_id="complete")

    rates >> purchases >> curated >> [lake, reports]
    reports >> publish
    [rates, purchases, lake, publish] >> complete
