"""### Purchases, as they land

**What it does.** Takes in every file with rates (`raw/purchases/rates/`) and purchases (bronze,
`datalake/bronze/year=YYYY/month=MM/day=DD/`) that is not loaded yet; converts purchases to Australian dollars
(silver), sums them up by customer (gold, and the table `customer_purchase_summary`); writes the days that changed to
the lake, and publishes the top purchasers of each.

**Which day.** That of ingestion, which the prefix of a file names; without folders like a date, the day on which S3 got
it. A run has no period: it looks into the bucket, whatever woke it. A message in the queue wakes it within seconds;
every 15 minutes one runs without any, so that a lost one changes nothing. Files that land together are one run. By
hand: *Trigger*, with the parameter `file`, or `day` (and `last_day`), also for what was refused.

**Currencies and rates.** Purchases in other currencies than those of `WAYBILL_SOURCE_CURRENCIES` are filtered; with
another setting, the next run loads every file again. A purchase without a rate in force on its day is in quarantine as
`in_force:currency`, and is let in by the first run after its rate has landed.

**When it fails.**
* `intake_rates` or `intake_purchases` fails: files were refused; the message names each, with column and numbers. All
  others are loaded and published. Have it mended and sent again under the same name: nothing else is to be done. The
  same content is not tried again, nor told again, unless a run is triggered for the file or its day.
* `curated` or `reports` fails on a check: days that passed are up to date, the others are tried again by the next run.
* `publish` waits, and a message says so: too many checks warn. Answer under *Browse → Required Actions*.
* `complete` only says that a task before it failed. Anything else is infrastructure, and retried with growing pauses.

One alert goes out for a failed run, and one for a run that is late; one that changed something tells what, once.
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
    description="Files with purchases as they land: loaded, in Australian dollars, summed up by customer, in the lake.",
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
