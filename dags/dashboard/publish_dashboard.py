"""### The dashboard: the business view as a static site

**What it does.** Writes the business view and its data to the dashboard bucket, with content types and cache times.
Only changed files are written, and a page is written after the files that it links to. The site never contains data
operations, or reports that wait for approval.

**Period.** None. The site shows one state of the warehouse. A run starts after reports of any domain were published,
or by hand. Re-running is idempotent.

**When it fails.**
* `publish_dashboard` fails at once if no report has ever been published, or if `WAYBILL_DASHBOARD_BUCKET` is missing
  in production. Set it, or pause the DAG if nobody needs the site. Errors of the infrastructure are retried.

**Alerts.** One for a failed run with a new cause, and one if the run has not finished 2 hours after its start.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, AssetAny

from waybill.operators import (
    DEFAULT_ARGS,
    PublishDashboardOperator,
    alert_failure,
    all_reports,
    deadline_alert,
    owner_links,
)

with DAG(
    dag_id="publish_dashboard",
    dag_display_name="Dashboard: the business view as a site",
    description="Write the business view as a static site to the dashboard bucket.",
    doc_md=__doc__,
    tags=["dashboard", "reports"],
    schedule=AssetAny(*all_reports()),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    owner_links=owner_links(),
    on_failure_callback=alert_failure,
    deadline=deadline_alert(hours=2),
):
    PublishDashboardOperator(task_id="publish_dashboard", task_display_name="Publish the dashboard")
