"""Commands about files: drop, withdraw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from waybill.cli.arguments import dataset_named, dataset_of_file
from waybill.cli.terminal import app, print_line, report_errors


@app.command()
@report_errors
def drop(
    files: Annotated[list[Path], typer.Argument(help="Files of one dataset.", exists=True, dir_okay=False)],
    domain: Annotated[str | None, typer.Option(help="Domain of the dataset. Default: any.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Dataset. Default: the one whose columns the file has; else the first to which no other refers."
        ),
    ] = None,
    period: Annotated[
        str | None,
        typer.Option(help="Month or day of the files. Not needed for datasets whose files land at any time."),
    ] = None,
) -> None:
    """Upload files to the prefix of their dataset. On the embedded stack, also send the notification that S3 sends."""
    from datetime import UTC, datetime

    import boto3

    from waybill.contracts.dag_files import defined_dag_of, without_dag
    from waybill.contracts.domains import queue_url
    from waybill.errors import DataError
    from waybill.intake.recognise import misfit
    from waybill.intake.upload import announce, drop_file, key_of
    from waybill.period import EXAMPLE, Period
    from waybill.settings import settings

    contract = dataset_named(domain, dataset) if dataset else dataset_of_file(domain, files[0])
    domain = contract.domain
    if period is None and not contract.lands_any_time:
        cadence = contract.cadence
        raise DataError(
            f"files of {contract.table} land in a folder for each {cadence}: add --period, for example "
            f"--period {EXAMPLE[cadence]}"
        )
    queue, named = queue_url(domain), Period.parse(contract.cadence, period) if period else None
    start = named.start if named else None
    for file in files:  # check all names before the first upload
        key_of(contract, file, start)
    for file in files:
        if problem := misfit(file, contract):
            print_line(f"Warning: the file will be rejected: {problem}")
        landed = drop_file(boto3.client("s3"), settings().raw_bucket, contract, file, start)
        if settings().profile == "dev" and queue and not announce(boto3.client("sqs"), queue, landed):
            queue = None
        print_line(f"s3://{landed.bucket}/{landed.key}")
    dag_id = defined_dag_of(domain)
    if dag_id is None:
        print_line(without_dag(domain))
    elif contract.lands_any_time:
        print_line(f"The DAG {dag_id} publishes to s3://{settings().reports_bucket}/analytics/, by landing day.")
        if not queue:
            print_line(f"A run starts every 15 minutes. To start one now, run: airflow dags trigger {dag_id}")
    else:
        conf = json.dumps({contract.cadence: str(named)})
        print_line(f"To load it, run: airflow dags trigger {dag_id} -c '{conf}'")
        if named and (ends := named.instants(settings().timezone)[1]) > datetime.now(UTC):
            print_line(f"A run for {named} can start when {named} is over, at {ends:%Y-%m-%d %H:%M} UTC.")


@app.command()
@report_errors
def withdraw(
    file: Annotated[str, typer.Argument(help="A loaded file: its id, key or name.")],
    domain: Annotated[str | None, typer.Option(help="Domain of the file, if its name is ambiguous.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Keep the rows, and stop listing the file as gone.")] = False,
) -> None:
    """Remove the rows of a loaded file whose object is gone from the bucket, or accept that they stay."""
    import boto3

    from waybill.contracts.odcs import contract_path, load
    from waybill.errors import DataError
    from waybill.formatting import count
    from waybill.intake import withdrawal
    from waybill.ops.remedies import how_to_rebuild
    from waybill.period import Period
    from waybill.settings import in_project
    from waybill.warehouse.connection import connect

    with connect() as connection:
        found = withdrawal.find_loaded(connection, file, domain)
        rows = count(found.rows_in, "row")
        if accept:
            withdrawal.require_gone(boto3.client("s3"), found)
            withdrawal.accept(connection, found)
            print_line(f"Accepted: {found.dataset} keeps {rows} of {found.uri}.")
            return
        path = contract_path(found.dataset)
        if not path.is_file():
            raise DataError(
                f"{found.dataset} has no contract, so the rows of {found.uri} cannot be withdrawn. To remove the table "
                f"with all its rows, run `waybill retire {found.dataset}`. To keep the rows of this file, add "
                f"`--accept`. To withdraw this file only, restore {in_project(path)} first."
            )
        contract = load(path)
        done = withdrawal.withdraw(connection, boto3.client("s3"), contract, found)
        print_line(f"Withdrew {found.uri} with {rows}.")
        if done.again:
            print_line(f"The next run loads {done.again} again, which is now the current snapshot.")
        if done.days:
            print_line(how_to_rebuild(connection, contract, Period.of(contract.cadence, found.period), "Rows changed"))
