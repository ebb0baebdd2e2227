"""Commands of the watch: watch run, watch list, watch accept, watch report."""

from __future__ import annotations

from typing import Annotated

import typer

from waybill.cli.arguments import Domain, Limit
from waybill.cli.terminal import app, operating_system_user, print_line, report_errors
from waybill.errors import CommandFailed

watch_app = typer.Typer(no_args_is_help=True, help="Search loaded files for anomalies and schema drift.")
app.add_typer(watch_app, name="watch")


@watch_app.command("run")
@report_errors
def watch_run(domain: Domain = None) -> None:
    """Search files and reports for anomalies, and files for schema drift, as the DAG `operations_watch` does."""
    from datetime import UTC, datetime

    import boto3

    from waybill.formatting import count
    from waybill.run import Run, code_version
    from waybill.warehouse.connection import connect
    from waybill.watch import drift, subjects
    from waybill.watch.anomalies import described
    from waybill.watch.search import search

    run = Run(run_id="command", code_version=code_version())
    with connect() as connection:
        drifted, found = search(connection, boto3.client("s3"), run, datetime.now(UTC), domain)
    for line in (*described(found), *drift.described(drifted)):
        print_line(line)
    if drifted:
        print_line(f"{count(len(drifted), 'new change')} of columns or values in files.")
    datasets, reports = len(subjects.datasets(domain)), len(subjects.reports(domain))
    where = f"{count(datasets, 'dataset')} and {count(reports, 'report')}"
    print_line(f"{count(len(found), 'new anomalous value')} in {where}.")


@watch_app.command("list")
@report_errors
def watch_list(domain: Domain = None, limit: Limit = 50) -> None:
    """List what is open: anomalies that nobody has accepted, and schema drift that files still show."""
    from waybill.warehouse.connection import connect
    from waybill.watch import subjects
    from waybill.watch.anomalies import open_anomalies
    from waybill.watch.drift import open_drift

    names = [one.table for one in (*subjects.datasets(domain), *subjects.reports(domain))]
    with connect() as connection:
        found = open_anomalies(connection, names, limit)
        drifted = open_drift(connection, names, limit)
    for one in found:
        print_line(f"{one.anomaly_id:>6}  {one.anomaly.dataset} {one.anomaly.period}: {one.anomaly}")
    if not found:
        print_line("There is no open anomaly.")
    if drifted:
        print_line("Schema drift, with numbers for `waybill contract propose` and `waybill watch accept --drift`:")
    for difference in drifted:
        print_line(f"{difference.drift_id:>6}  {difference.dataset}: {difference}")


@watch_app.command("accept")
@report_errors
def watch_accept(
    numbers: Annotated[list[int], typer.Argument(help="Numbers that `waybill watch list` shows.")],
    is_drift: Annotated[
        bool, typer.Option("--drift", help="The numbers are those of schema drift that is meant.")
    ] = False,
    step: Annotated[
        bool, typer.Option("--step", help="The values stay at this level: compare later periods with it only.")
    ] = False,
) -> None:
    """Explain anomalies or schema drift, so that they are no longer open."""
    from waybill.warehouse.connection import connect
    from waybill.watch import drift
    from waybill.watch.anomalies import accept

    if is_drift and step:
        raise CommandFailed("--step is for anomalies: drift has no level")
    with connect() as connection, connection.transaction():
        if is_drift:
            for one in drift.accept(connection, numbers, operating_system_user()):
                print_line(f"{one.dataset}: {one.what}: accepted")
            return
        for dataset, period in accept(connection, numbers, operating_system_user(), is_step=step):
            print_line(f"{dataset} {period}: accepted{' as a step' if step else ''}")


@watch_app.command("report")
@report_errors
def watch_report(
    is_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of writing it.")] = False,
) -> None:
    """Write the quality report of this moment to the bucket of reports, as `operations_watch` does."""
    from datetime import UTC, datetime

    import boto3

    from waybill.views.quality_report import as_json, publish, quality_report
    from waybill.warehouse.connection import connect, set_read_only

    moment = datetime.now(UTC)
    with connect() as connection:
        if is_json:
            set_read_only(connection)
            typer.echo(as_json(quality_report(connection, moment)))
        else:
            print_line(publish(connection, boto3.client("s3"), moment))
