"""Commands that operate a deployment: bootstrap, migrate, alerts, publish-dashboard."""

from __future__ import annotations

from waybill.cli.arguments import Limit, Rotate
from waybill.cli.terminal import app, console, print_line, report_errors


@app.command()
@report_errors
def bootstrap(rotate: Rotate = None) -> None:
    """Prepare a new deployment on AWS: roles of PostgreSQL and missing secret values. `WAYBILL_BOOTSTRAP` describes it.

    Run it in the private network, before `migrate`. A second run changes nothing.
    """
    import os

    import boto3

    from waybill.ops.bootstrap import VARIABLE, Deployment
    from waybill.ops.bootstrap import bootstrap as prepare
    from waybill.settings import SettingsError

    text = os.environ.get(VARIABLE)
    if not text:
        raise SettingsError(f"{VARIABLE} is not set. Terraform sets it for the task `bootstrap`.")
    deployment = Deployment.parse(text)
    for line in prepare(deployment, boto3.client("secretsmanager"), boto3.client("elasticache"), rotate or ()):
        print_line(line)
    print_line("The deployment is prepared.")


@app.command()
@report_errors
def migrate() -> None:
    """Migrate Waybill's own tables in the warehouse to the newest version. Run it after every deployment.

    It also grants analysts the columns that are not restricted.
    """
    from waybill.formatting import count
    from waybill.warehouse.analysts import renew_grants
    from waybill.warehouse.connection import connect
    from waybill.warehouse.migrations import upgrade
    from waybill.warehouse.schema import ANALYST_ROLE

    with connect() as connection:
        if newer := upgrade(connection):
            print_line(f"The warehouse is at revision {newer} of a later release. Nothing was changed.")
            return
        print_line("The warehouse is at the newest version.")
        tables = renew_grants(connection)
    if tables is None:
        print_line(f"The role {ANALYST_ROLE} does not exist, so analysts have no access.")
    else:
        print_line(f"{ANALYST_ROLE} may select the unrestricted columns of {count(tables, 'table')}.")


@app.command()
@report_errors
def alerts(limit: Limit = 10) -> None:
    """List the newest alerts and success messages, with the delivery state of each channel."""
    from waybill.cli import tables
    from waybill.ops import alert_delivery
    from waybill.warehouse.connection import connect

    with connect() as connection:
        rows = connection.execute(
            "select dag_id, run_id, kind, raised_at, message, count(*) over () "
            "from waybill.alert order by raised_at desc limit %s",
            (limit,),
        ).fetchall()
        states = alert_delivery.states(connection, [row[:3] for row in rows])
    total = rows[0][-1] if rows else 0
    console.print(tables.alerts_text([row[:-1] for row in rows], states, total), soft_wrap=True)


@app.command()
@report_errors
def publish_dashboard() -> None:
    """Write the business view to the dashboard bucket as a static site. Unchanged files are not written again.

    Without a published report, there is nothing to write; the exit code is 0.
    """
    import boto3

    from waybill.settings import settings
    from waybill.views.business.report import NothingBuilt
    from waybill.views.site import publish_dashboard as publish
    from waybill.warehouse.connection import connect

    with connect() as connection:
        try:
            written = publish(connection, boto3.client("s3"))
        except NothingBuilt as error:
            print_line(f"Nothing to write: {error}")
            return
    place = f"s3://{settings().dashboard_bucket}/{settings().dashboard_prefix}index.html"
    print_line(f"{len(written)} files written. The site starts at {place}")
