"""Commands about the data: books, waybills, quarantine, contracts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from waybill.cli.terminal import app, console, failures_in_words, messages

Domain = Annotated[str, typer.Option(help="Domain of the contracts.")]


def _s3() -> Any:
    import boto3

    return boto3.client("s3")


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
def seed(
    domain: Domain = "messaging",
    last: Annotated[
        str | None, typer.Option(help="The last period to make; by default as before, or the last complete one.")
    ] = None,
    periods: Annotated[
        int | None, typer.Option(help="How many months or days; by default as many as the demo.")
    ] = None,
    scale: Annotated[float, typer.Option(help="How many times as many rows as the demo.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed gives other data.")] = 20260101,
) -> None:
    """Put sample files into the raw bucket, with an answer key of what is wrong with them."""
    from waybill.demo import PIPELINES, last_period
    from waybill.errors import DataError
    from waybill.sampledata.files import upload
    from waybill.settings import settings

    pipeline = next((one for one in PIPELINES if one.domain == domain), None)
    if pipeline is None:
        raise DataError(
            f"there is no sample data of {domain!r}; there is of {', '.join(one.domain for one in PIPELINES)}"
        )
    files = pipeline.generate(last or last_period(_s3(), pipeline).key, periods or pipeline.seeded, seed, scale)
    uploaded = upload(_s3(), settings().raw_bucket, files)
    console.print(f"{uploaded.uploaded} objects written, {uploaded.unchanged} were there with the same content.")


@app.command()
@failures_in_words
def books(
    first: Annotated[str, typer.Argument(help="First month or day, like 2025-11 or 2025-11-30.")],
    last: Annotated[str, typer.Argument(help="Last one.")],
    domain: Domain = "messaging",
) -> None:
    """Show the books of a range of periods and what is missing there; the exit code is 1 if anything is."""
    from waybill import show
    from waybill.books import balances, gaps
    from waybill.contracts import load_domain
    from waybill.period import Period
    from waybill.reports import report_contracts
    from waybill.warehouse.connection import connect

    datasets = load_domain(domain)
    cadence = next(iter(datasets.values())).cadences[0]
    period, end = Period.parse(cadence, first), Period.parse(cadence, last)
    periods = []
    while period <= end:
        periods.append(period)
        period = period.shift(1)
    with connect() as connection:
        show.show(console, show.books_table(balances(connection, domain, periods), periods))
        missing = gaps(connection, [*datasets.values(), *report_contracts(domain).values()], periods)
    for gap in missing:
        messages.print(f"[red]missing[/] {gap.period} {gap.subject}: {gap.what}")
    if missing:
        raise typer.Exit(1)
    console.print(f"Complete: every report is built and every check holds for {first} to {last}.")


@app.command()
@failures_in_words
def trace(
    report: Annotated[str, typer.Argument(help="A report, like top_customers.")],
    period: Annotated[str, typer.Argument(help="The month, week or day, like 2026-03, 2026-W13 or 2026-03-31.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the waybill of a report: its rows, SQL, code, checks and the files it rests on."""
    from dataclasses import asdict

    from waybill import show
    from waybill.period import Period
    from waybill.provenance import trace as trace_report
    from waybill.warehouse.connection import connect

    with connect() as connection:
        waybill = trace_report(connection, report, Period.named(period))
    if as_json:
        print(json.dumps(asdict(waybill) | {"period": period}, default=str, indent=2))
    else:
        show.show(console, *show.waybill_tables(waybill))


@app.command()
@failures_in_words
def quarantine(
    dataset: Annotated[str, typer.Argument(help="A dataset, like traffic.")],
    domain: Domain = "messaging",
    limit: Annotated[int, typer.Option(help="At most so many rows.")] = 20,
) -> None:
    """List open quarantined rows of a dataset: file, record, reasons. Their content is shown in the warehouse only."""
    from waybill import show
    from waybill.intake.quarantine import open_by_file
    from waybill.warehouse.connection import connect

    with connect() as connection:
        show.show(console, *show.quarantine_tables(*open_by_file(connection, f"{domain}.{dataset}", limit)))


@app.command()
@failures_in_words
def replay(
    dataset: Annotated[str, typer.Argument(help="A dataset, like traffic.")],
    domain: Domain = "messaging",
    file_id: Annotated[int | None, typer.Option(help="Only the rows of this file.")] = None,
    record: Annotated[list[int] | None, typer.Option(help="Only this record of the file; may be repeated.")] = None,
    admit_late: Annotated[bool, typer.Option("--admit-late", help="Admit rows that came too late, too.")] = False,
) -> None:
    """Try quarantined rows again, after a contract was mended or a referenced row has arrived."""
    import getpass

    from waybill import show
    from waybill.contracts import load_domain
    from waybill.errors import DataError
    from waybill.intake.ledger import Run
    from waybill.intake.replay import replay as replay_rows
    from waybill.provenance import code_version
    from waybill.warehouse.connection import connect

    contracts = load_domain(domain)
    if dataset not in contracts:
        raise DataError(f"there is no dataset {dataset!r} in {domain}; there are {', '.join(contracts)}")
    if record and file_id is None:
        raise DataError("--record needs --file-id: records are numbered within a file")
    run = Run(run_id=f"replay by {os.environ.get('USER') or getpass.getuser()}", code_version=code_version())
    with connect() as connection:
        replayed = replay_rows(
            connection,
            contracts[dataset],
            contracts,
            run,
            file_id=file_id,
            records=record or None,
            admit_late=admit_late,
        )
    show.show(console, show.replay_table(replayed))
    if admitted := [file.period for file in replayed if file.books.rows_in > file.books.rejected]:
        console.print(f"Rows of {min(admitted)} and later were admitted: backfill from there for their reports.")


@app.command()
@failures_in_words
def alerts(limit: Annotated[int, typer.Option(help="At most so many.")] = 10) -> None:
    """List the alerts that were raised, and over which channels they went out."""
    from waybill import show
    from waybill.warehouse.connection import connect

    with connect() as connection:
        rows = connection.execute(
            "select raised_at, kind, channels, message from waybill.alert order by raised_at desc limit %s",
            (limit,),
        ).fetchall()
    console.print(show.alerts_text(rows), soft_wrap=True)


contract_app = typer.Typer(no_args_is_help=True, help="Check contracts, and try a proposed one.")
app.add_typer(contract_app, name="contract")


@contract_app.command("check")
@failures_in_words
def contract_check() -> None:
    """Check every contract against the standard's schema and Waybill's needs."""
    from waybill.contracts import load_all

    for contract in load_all().values():
        console.print(
            f"{contract.table} {contract.version}: {len(contract.columns)} columns, {len(contract.checks)} checks"
        )


@contract_app.command("try")
@failures_in_words
def contract_try(
    file: Annotated[Path, typer.Argument(help="The proposed contract.", exists=True, dir_okay=False)],
    last: Annotated[int, typer.Option(help="Try the newest so many files; 0 for all.")] = 24,
) -> None:
    """Judge files that have landed by a proposed contract: how many rows it rejects that today's accepts, and why."""
    from datetime import date

    from waybill import show
    from waybill.contracts import load, load_domain
    from waybill.errors import DataError
    from waybill.intake.landing import list_landed
    from waybill.intake.trial import try_contract
    from waybill.period import Period
    from waybill.settings import settings
    from waybill.warehouse.connection import connect

    proposed = load(file)
    contracts = load_domain(proposed.domain)
    today = contracts.get(proposed.name)
    if today is None:
        raise DataError(f"there is no contract of {proposed.table} to compare with; name the file {file.stem} like one")
    with connect() as connection:
        landed = list_landed(_s3(), settings().raw_bucket, today, None, Period.of(today.cadence, date(2999, 12, 31)))
        trials = try_contract(connection, _s3(), today, proposed, contracts, landed[-last:])
    show.show(console, show.trial_table(proposed, trials))
