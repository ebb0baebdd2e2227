"""### The dashboard: the business view as a static site

**What it does.** Writes the business view, with its data as files, to the dashboard bucket, each with its content type
and how long a browser may keep it. Only files with other content are written, what a page links to before the page.
Data operations are never part of it, nor is a
report that waits for an approval.

**When it runs.** After reports of any domain were published, and by hand. All of the site shows one state of the
warehouse, so it stands for no period, and running it again changes nothing.

**When it fails.**
* `publish_dashboard` fails at once if no report was ever published, or if `WAYBILL_DASHBOARD_BUCKET` is not set in
  production. Set it, or pause this DAG where nobody wants the site.
* Anything else is retried with growing pauses; it is infrastructure.

One alert goes out for a failed run, and one for a run that has not ended after two hours.
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
    description="The business view, written to the dashboard bucket after reports were published.",
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
