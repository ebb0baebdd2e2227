"""Commands about the data: books, waybills, quarantine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waybill.cli.lookup import dataset_named, datasets_of, domain_of, s3_client
from waybill.cli.terminal import app, console, failures_in_words
from waybill.warehouse import LARGEST_INTEGER

_WARNINGS_LISTED = 100
Domain = Annotated[str, typer.Option(help="Domain of the contracts.")]
AnyDomain = Annotated[
    str | None, typer.Option("--domain", help="Domain of the contracts, where the other arguments do not say it.")
]
Limit = Annotated[int, typer.Option(help="At most so many.", min=1, max=LARGEST_INTEGER)]


if TYPE_CHECKING:
    from datetime import date

    from waybill.contracts import Contract
    from waybill.period import Period


@app.command()
@failures_in_words
def migrate() -> None:
    """Bring the warehouse's operations schema to the newest version; run it after every deployment."""
    from waybill.warehouse.connection import connect
    from waybill.warehouse.migrations import upgrade

    upgrade(connect())
    console.print("The warehouse is at the newest version.")


@app.command()
@failures_in_words
def drop(
    files: Annotated[list[Path], typer.Argument(help="Files of a dataset.", exists=True, dir_okay=False)],
    domain: Annotated[
        str | None, typer.Option(help="Domain of its contract; by default that of the dataset, else orders.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="By default one that no other refers to, like traffic.")] = None,
    period: Annotated[
        str | None,
        typer.Option(
            help="The month or day to name in the prefix; where files land at any time, else the day of landing counts."
        ),
    ] = None,
) -> None:
    """Put files where their dataset's files land; on the embedded stack also tell the queue, as S3 does on AWS."""
    from datetime import UTC, datetime

    import boto3

    from waybill.contracts import references
    from waybill.contracts.domains import existing_dag_of, without_dag
    from waybill.errors import DataError
    from waybill.intake.upload import announce, drop_file, key_of, queue_url
    from waybill.period import EXAMPLE, Period
    from waybill.settings import settings

    if dataset is None:  # what others of the domain refer to is not its main one
        domain = domain or "orders"
        referred = set().union(*references(domain).values())
        dataset = next((name for name in datasets_of(domain) if name not in referred), None)
    contract = dataset_named(domain, dataset or "")
    domain = contract.domain
    if period is None and not contract.lands_any_time:
        cadence = contract.cadence
        raise DataError(
            f"files of {contract.table} land under the prefix of a {cadence}: name it, like --period {EXAMPLE[cadence]}"
        )
    queue, named = queue_url(domain), Period.parse(contract.cadence, period) if period else None
    start = named.start if named else None
    for file in files:  # before any of them is uploaded
        key_of(contract, file, start)
    for file in files:
        landed = drop_file(s3_client(), settings().raw_bucket, contract, file, start)
        if settings().profile == "dev" and queue:
            announce(boto3.client("sqs"), queue, landed)
        console.print(f"s3://{landed.bucket}/{landed.key}", highlight=False, soft_wrap=True)
    dag_id = existing_dag_of(domain)
    if dag_id is None:
        text = without_dag(domain)
    elif contract.lands_any_time:
        text = f"The DAG {dag_id} writes to s3://{settings().reports_bucket}/analytics/, by landing day."
    else:
        conf = json.dumps({contract.cadence: str(named)})
        text = f"Load it: airflow dags trigger {dag_id} -c '{conf}'"
        if named and (ends := named.instants(settings().timezone)[1]) > datetime.now(UTC):
            text += f"\nThat works once {named} is over, from {ends:%Y-%m-%d %H:%M} UTC on."
    console.print(text, highlight=False, soft_wrap=True)


@app.command()
@failures_in_words
def books(
    first: Annotated[str, typer.Argument(help="First month or day, like 2025-11 or 2025-11-30.")],
    last: Annotated[str, typer.Argument(help="Last one.")],
    domain: AnyDomain = None,
) -> None:
    """Show the books of a range of periods, what keeps it from being complete and what to do; then the exit code is 1.

    Warnings about loaded files and of checks are listed, too; they do not change the exit code.
    """
    from waybill.cli import tables
    from waybill.intake import file_warnings
    from waybill.ops.books import balances, incomplete, summed_up, warned_checks
    from waybill.ops.remedies import remedies
    from waybill.period import Period
    from waybill.warehouse.connection import connect

    domain = domain or domain_of(first)
    cadence = next(iter(datasets_of(domain).values())).cadence
    periods = Period.parse(cadence, first).until(Period.parse(cadence, last))
    with connect() as connection:
        tables.show(console, tables.books_table(domain, balances(connection, domain, periods), periods))
        lacking = incomplete(connection, s3_client(), domain, periods)
        warnings = file_warnings.of_periods(connection, domain, [one.start for one in periods])
        checks = warned_checks(connection, domain, periods)
    for line in [*file_warnings.lines(warnings, _WARNINGS_LISTED), *(f"Warning: {check}" for check in checks)]:
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    listed = summed_up(lacking)
    for missing in listed:
        console.print(f"incomplete: {missing}", style="red", markup=False, highlight=False, soft_wrap=True)
    if steps := remedies(domain, listed, periods):
        console.print("\n".join(["To complete it:", *steps]), markup=False, highlight=False, soft_wrap=True)
    if lacking:
        raise typer.Exit(1)
    console.print(
        f"Complete: every file is loaded, every report is up to date and no check of severity error fails "
        f"for {periods[0]} to {periods[-1]}."
    )


@app.command()
@failures_in_words
def trace(
    report: Annotated[str, typer.Argument(help="A report, like top_customers.")],
    period: Annotated[
        str | None,
        typer.Argument(help="The month, week or day, like 2026-03, 2026-W13 or 2026-03-31; by default the newest."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the waybill of a report: its rows, SQL, code, checks and the files it rests on."""
    from dataclasses import asdict

    from waybill.cli import tables
    from waybill.ops.provenance import built_in_words, newest_period, periods_built
    from waybill.ops.provenance import trace as trace_report
    from waybill.period import Period
    from waybill.warehouse.connection import connect

    with connect() as connection:
        wanted = Period.named(period) if period else newest_period(connection, report)
        waybill = trace_report(connection, report, wanted)
        built = periods_built(connection, waybill.report)
    if as_json:
        print(json.dumps(asdict(waybill) | {"period": wanted.key}, default=str, indent=2))
        return
    tables.show(console, *tables.waybill_tables(waybill))
    if period is None:
        console.print(f"Built for {built_in_words(built)}", markup=False, highlight=False, soft_wrap=True)


@app.command()
@failures_in_words
def quarantine(
    dataset: Annotated[str, typer.Argument(help="A dataset, like traffic.")],
    domain: AnyDomain = None,
    limit: Limit = 20,
) -> None:
    """List open quarantined rows of a dataset: file, record, reasons. Their content is shown in the warehouse only."""
    from waybill.cli import tables
    from waybill.intake.quarantine import open_by_file
    from waybill.warehouse.connection import connect

    contract = dataset_named(domain, dataset)
    with connect() as connection:
        counts, rows, total = open_by_file(connection, contract.table, limit)
    if counts:
        tables.show(console, *tables.quarantine_tables(contract.table, counts, rows, total))
    else:
        console.print(f"No row of {contract.table} is in quarantine.")


@app.command()
@failures_in_words
def conflicts(
    dataset: Annotated[str, typer.Argument(help="A dataset, like traffic.")],
    domain: AnyDomain = None,
    limit: Limit = 20,
) -> None:
    """List the keys about which files of the same period disagree, with each file's values; the last one counts."""
    from waybill.cli import tables
    from waybill.errors import DataError
    from waybill.intake.conflicts import conflicts as find_conflicts
    from waybill.warehouse.connection import connect

    contract = dataset_named(domain, dataset)
    if not contract.is_merged:
        raise DataError(f"{contract.table} has snapshots: of one that does not count no rows are kept")
    with connect() as connection:
        versions, keys = find_conflicts(connection, contract, limit)
    if versions:
        tables.show(console, tables.conflicts_table(contract, versions, keys))
    else:
        console.print(f"No files of the same {contract.cadence} disagree about a row of {contract.table}.")


@app.command()
@failures_in_words
def replay(
    dataset: Annotated[str, typer.Argument(help="A dataset, like traffic.")],
    domain: AnyDomain = None,
    file_id: Annotated[int | None, typer.Option(help="Only the rows of this file.", min=0, max=LARGEST_INTEGER)] = None,
    record: Annotated[
        list[int] | None,
        typer.Option(help="Only this record of the file; may be repeated.", min=0, max=LARGEST_INTEGER),
    ] = None,
    admit_late: Annotated[bool, typer.Option("--admit-late", help="Admit rows that came too late, too.")] = False,
) -> None:
    """Try quarantined rows again, after a contract was mended or a referenced row has arrived."""
    import getpass

    from waybill.cli import tables
    from waybill.contracts import load_domain
    from waybill.errors import DataError
    from waybill.intake.replay import replay as replay_rows
    from waybill.run import Run, code_version
    from waybill.warehouse.connection import connect, one_row

    contract = dataset_named(domain, dataset)
    domain, contracts = contract.domain, load_domain(contract.domain)
    if record and file_id is None:
        raise DataError("--record needs --file-id: records are numbered within a file")
    run = Run(run_id=f"replay by {os.environ.get('USER') or getpass.getuser()}", code_version=code_version())
    with connect() as connection:
        replayed = replay_rows(
            connection, contract, contracts, run, file_id=file_id, records=record or None, admit_late=admit_late
        )
        (newest,) = one_row(
            connection, "select max(period) from waybill.load_file where dataset = %s", [contract.table]
        )
    if not replayed:
        of_file = f"file {file_id} of " if file_id is not None else ""
        console.print(f"Nothing was tried: no row of {of_file}{contract.table} that can be is in quarantine.")
        return
    tables.show(console, tables.replay_table(replayed))
    admitted = [file.period for file in replayed if file.books.rows_in > file.books.rejected]
    if admitted:
        _print_how_to_build("Rows were admitted", contract, min(admitted), newest)


def _print_how_to_build(what: str, contract: Contract, first: Period, newest: date) -> None:
    """Say how the reports are built again that rest on what happened to rows from a period on."""
    from datetime import timedelta

    from waybill.contracts.domains import existing_dag_of, without_dag
    from waybill.period import Period

    dag_id = existing_dag_of(contract.domain)
    if dag_id is None:
        text = f"{what} in {first} and later. {without_dag(contract.domain)}"
    elif contract.cadence == "month":
        last_day = Period.of(contract.cadence, newest).end - timedelta(days=1)
        text = (
            f"{what} in {first} and later. Build the reports that rest on them again:\n"
            f"airflow backfill create --dag-id {dag_id} --from-date {first.start} "
            f"--to-date {last_day} --reprocess-behavior completed"
        )
    else:
        text = f"{what}: the next run of {dag_id} builds what rests on them again."
    console.print(text, soft_wrap=True, highlight=False)


@app.command()
@failures_in_words
def withdraw(
    file: Annotated[str, typer.Argument(help="A loaded file: its id, key or name.")],
    domain: Annotated[str | None, typer.Option(help="Domain of its contract, if the name needs it.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Keep the rows; the file is no longer listed.")] = False,
) -> None:
    """Take the rows of a loaded file out whose object is gone from the bucket, or accept that they stay."""
    from waybill.contracts import load_all
    from waybill.intake import withdrawal
    from waybill.period import Period
    from waybill.warehouse.connection import connect, one_row

    with connect() as connection:
        found = withdrawal.find_loaded(connection, file, domain)
        if accept:
            withdrawal.require_gone(s3_client(), found)
            withdrawal.accept(connection, found)
            console.print(f"The {found.rows_in} rows of {found.uri} stay.", soft_wrap=True, highlight=False)
            return
        contract = load_all()[found.dataset]
        done = withdrawal.withdraw(connection, s3_client(), contract, found)
        (newest,) = one_row(
            connection, "select max(period) from waybill.load_file where dataset = %s", [contract.table]
        )
    console.print(f"{found.uri} is withdrawn, with {found.rows_in} rows.", soft_wrap=True, highlight=False)
    if done.again:
        console.print(f"The next run loads {done.again} again, which stands now.", soft_wrap=True, highlight=False)
    if done.days:
        _print_how_to_build("Rows changed", contract, Period.of(contract.cadence, found.period), newest)


@app.command()
@failures_in_words
def alerts(limit: Limit = 10) -> None:
    """List what was told, alerts and runs that ended well, and over which channels it went out or waits."""
    from waybill.cli import tables
    from waybill.ops import alert_delivery
    from waybill.warehouse.connection import connect, one_row

    with connect() as connection:
        rows = connection.execute(
            "select dag_id, run_id, kind, raised_at, message from waybill.alert order by raised_at desc limit %s",
            (limit,),
        ).fetchall()
        (total,) = one_row(connection, "select count(*) from waybill.alert")
        states = alert_delivery.states(connection, [row[:3] for row in rows])
    console.print(tables.alerts_text(rows, states, total), soft_wrap=True)
