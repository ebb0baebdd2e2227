"""The command retention."""

from __future__ import annotations

from typing import Annotated

import typer

from waybill.cli.arguments import Domain, dataset_named, datasets_of
from waybill.cli.terminal import app, operating_system_user, print_line, report_errors


@app.command()
@report_errors
def retention(
    datasets: Annotated[
        list[str] | None, typer.Argument(help="Datasets, such as billing.invoices. Default: all.")
    ] = None,
    domain: Domain = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> None:
    """Remove what the retentions of contracts no longer keep, as the DAG `operations_lake` does.

    Former states of rows and texts of rejected rows are removed. Raw files are listed: their bucket removes them.
    """
    import boto3

    from waybill.contracts import load_all
    from waybill.formatting import count
    from waybill.retention.enforce import enforce, planned_moves
    from waybill.run import Run, code_version
    from waybill.warehouse.connection import connect

    if datasets:
        contracts = [dataset_named(domain, name) for name in datasets]
    else:
        contracts = [*(datasets_of(domain) if domain else load_all()).values()]
    run = Run(f"retention by {operating_system_user()}", code_version())
    with connect() as connection:
        for move in planned_moves(connection, contracts) if dry_run else ():
            print_line(f"would {move}.")
        found = enforce(connection, boto3.client("s3"), contracts, run, dry_run=dry_run)
    for removal in found:
        print_line(f"{'would ' if dry_run and removal.element != 'raw' else ''}{removal}")
        for detail in removal.details if dry_run or removal.element == "raw" else ():
            print_line(f"  {detail}")
    print_line(f"{count(len(found), 'removal')}{' would be made' if dry_run else ''}.")
