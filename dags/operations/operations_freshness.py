"""### Freshness: the age of the newest data, and the lag of streams

**What it does.** `freshness` sends `FreshnessHours` to CloudWatch: for each dataset, the hours since its newest loaded
period ended. The alarms on stale data use this metric. Intake tasks send it, too, but a pipeline that stands still or
runs once a month sends nothing. If measurements are off (`WAYBILL_METRICS`), the task only logs the hours.

`streams` looks at the streams of `WAYBILL_STREAMS`. It opens an incident if consumers have lagged by more than
`WAYBILL_STREAM_LAG_SECONDS` for five minutes, if the stream has lost records, or if its archive is late. It closes the
incident once that is over. Consumers are a service of their own, `waybill stream run`: no run reads a stream.

**Period.** None. The run measures the current state: every five minutes if streams are set, else every six hours.

**When it fails.**
* `freshness` fails if the warehouse or CloudWatch does not respond. It is retried. Until it succeeds, the alarms
  report missing data.
* `streams` fails if the warehouse does not respond. It is retried.

**Alerts.** One message for each domain whose incidents about streams opened or closed, one for a failed run with a new
cause, and one if the run has not finished 1 hour after its start.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from waybill.operators import (
    DEFAULT_ARGS,
    FreshnessOperator,
    StreamsOperator,
    alert_failure,
    deadline_alert,
    owner_links,
)
from waybill.settings import settings

with DAG(
    dag_id="operations_freshness",
    dag_display_name="Operations: freshness",
    description="Measure the age of the newest loaded period of each dataset, and the lag of streams.",
    doc_md=__doc__,
    tags=["operations"],
    schedule="*/5 * * * *" if settings().streams else "0 */6 * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    owner_links=owner_links(),
    on_failure_callback=alert_failure,
    deadline=deadline_alert(hours=1),
):
    FreshnessOperator(task_id="freshness")
    StreamsOperator(task_id="streams")
