"""### Digest: incidents and loads of a day

**What it does.** Sends a message with the open incidents, those of the last day that were closed or opened without an
alert, and the number of files that were loaded and rejected. Domains with the same channels share a message.

**Period.** The day before the run, which starts at `WAYBILL_DIGEST_HOUR` in the business time zone.

**When it fails.**
* `digest` fails if the warehouse does not respond. It is retried. A run sends each message once.

**Alerts.** One for a failed run with a new cause, and one if the run has not finished 1 hour after its start.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronTriggerTimetable

from waybill.operators import DEFAULT_ARGS, DigestOperator, alert_failure, deadline_alert, owner_links
from waybill.settings import settings

with DAG(
    dag_id="operations_digest",
    dag_display_name="Operations: digest",
    description="Send a daily summary of incidents and loads.",
    doc_md=__doc__,
    tags=["operations", "daily"],
    schedule=CronTriggerTimetable(f"0 {settings().digest_hour} * * *", timezone=settings().timezone),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    owner_links=owner_links(),
    on_failure_callback=alert_failure,
    deadline=deadline_alert(hours=1),
):
    DigestOperator(task_id="digest")
