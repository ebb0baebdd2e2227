"""### Freshness: how old the newest data is

**What it does.** Sends `FreshnessHours` to CloudWatch for each dataset: how many hours ago its newest loaded period
ended. The alarms for stale data need it. Intakes send it, too, but a pipeline that is paused or runs once a month sends
nothing. Without metrics (`WAYBILL_METRICS`), it only logs the hours.

**Which day.** None. It measures the state at the time it runs, every six hours.

**When it fails.**
* `freshness` fails: the warehouse or CloudWatch does not answer. It is retried with growing pauses. Until then, the
  alarms report missing data.

A failed run sends one message, and so does a run that has not ended after an hour. The runbook says what to do about
each.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from waybill.operators import DEFAULT_ARGS, FreshnessOperator, alert_failure, deadline_alert, owner_links

with DAG(
    dag_id="operations_freshness",
    dag_display_name="Operations: freshness",
    description="Measure the age of the newest loaded period of each dataset, for alarms.",
    doc_md=__doc__,
    tags=["operations", "six-hourly"],
    schedule="0 */6 * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    owner_links=owner_links(),
    on_failure_callback=alert_failure,
    deadline=deadline_alert(hours=1),
):
    FreshnessOperator(task_id="freshness")
