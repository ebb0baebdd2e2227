"""### Freshness: how old the newest data is

**What it does.** Sends to CloudWatch how many hours ago the newest loaded period of each dataset ended, whether its
pipeline runs or not: `FreshnessHours`, on which the alarms for stale data rest. Intakes send it too, but a pipeline
that stands still, or runs once a month, sends nothing. Where measurements are off (`WAYBILL_METRICS`) it only logs the
hours.

**Which day.** None: it says what is so when it runs, every six hours.

**When it fails.**
* `freshness` fails: the warehouse or CloudWatch does not answer. It is retried with growing pauses; until then the
  alarms say that the measurement is missing.

One alert goes out for a failed run, and one when a run has not ended after an hour.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from waybill.operators import DEFAULT_ARGS, FreshnessOperator, alert_failure, deadline_alert, owner_links

with DAG(
    dag_id="operations_freshness",
    dag_display_name="Operations: freshness",
    description="How old the newest loaded period of each dataset is, for the alarms on stale data.",
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
