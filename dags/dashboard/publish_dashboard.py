"""### The dashboard: the business view as a static site

**What it does.** Writes the business view, with its data as files, to the dashboard bucket. It writes only files whose
content changed, and each page after the files that it links to. The site has no Data operations, and no report that
waits for an approval.

**When it runs.** After reports of any domain are published, and by hand. The site shows one state of the warehouse and
covers no period. Re-running is idempotent.

**When it fails.**
* `publish_dashboard` fails at once if no report was ever published, or if `WAYBILL_DASHBOARD_BUCKET` is not set in
  production. Set it, or pause this DAG if nobody needs the site.
* Other failures are retried with growing pauses.

A failed run sends one message, and so does a run that has not ended after two hours. The runbook says what to do about
each.
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
