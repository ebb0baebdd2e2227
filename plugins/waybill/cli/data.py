"""Commands about the data: books, waybills, quarantine, contracts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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


def _s3() -> Any:
    import boto3

    return boto3.client("s3")


def _datasets(domain: str) -> dict[str, Contract]:
    """The domain's datasets, by name. Raises `DataError` if it has none."""
    from waybill.contracts import load_all, load_domain
    from waybill.errors import DataError

    datasets = {name: contract for name, contract in load_domain(domain).items() if contract.is_dataset}
    if not datasets:
        known = sorted({contract.domain for contract in load_all().values() if contract.is_dataset})
        raise DataError(f"there is no domain {domain!r} with datasets; there are {', '.join(known)}")
    return datasets


def _dataset(domain: str | None, name: str) -> Contract:
    """The dataset of this name, or of `domain.name`; in any domain without one.

    Raises `DataError` if there is none, or without a domain several.
    """
    from waybill.contracts import load_all
    from waybill.errors import DataError

    if domain is None and "." in name:
        domain, _, name = name.partition(".")
    everywhere = [contract for contract in load_all().values() if contract.is_dataset]
    named = sorted((contract for contract in everywhere if contract.name == name), key=lambda one: one.domain)
    if domain is None:
        if len(named) == 1:
            return named[0]
        if named:
            where = " or ".join(f"--domain {contract.domain}" for contract in named)
            raise DataError(f"there are several datasets {name!r}: name the domain, {where}")
        known = ", ".join(sorted(contract.table for contract in everywhere))
        raise DataError(f"there is no dataset {name!r}; there are {known}")
    datasets = _datasets(domain)
    if name not in datasets:
        elsewhere = "".join(f"; {one.table} is another domain's: --domain {one.domain}" for one in named)
        raise DataError(f"there is no dataset {name!r} in {domain}; there are {', '.join(datasets)}{elsewhere}")
    return datasets[name]


def _domain_of(period: str) -> str:
    """The domain whose datasets have periods like this one. Raises `DataError` if there is none, or several."""
    from waybill.contracts import load_all
    from waybill.errors import DataError
    from waybill.period import Period

    cadence = Period.named(period).cadence
    found = sorted({one.domain for one in load_all().values() if one.is_dataset and one.cadence == cadence})
    if len(found) != 1:
        where = " or ".join(f"--domain {domain}" for domain in found) or "no domain has files of one"
        raise DataError(f"{period} is a {cadence}: name the domain, {where}")
    return found[0]


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
    import boto3

    from waybill.arrivals import announce, drop_file, key_of, queue_url
    from waybill.contracts import references
    from waybill.errors import DataError
    from waybill.period import EXAMPLE, Period
    from waybill.pipelines import existing_dag_of, without_dag
    from waybill.settings import settings

    if dataset is None:  # what others of the domain refer to is not its main one
        domain = domain or "orders"
        referred = set().union(*references(domain).values())
        dataset = next((name for name in _datasets(domain) if name not in referred), None)
    contract = _dataset(domain, dataset or "")
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
        landed = drop_file(_s3(), settings().raw_bucket, contract, file, start)
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
        text = f"Take it in: airflow dags trigger {dag_id} -c '{conf}'"
    console.print(text, highlight=False, soft_wrap=True)


@app.command()
@failures_in_words
def books(
    first: Annotated[str, typer.Argument(help="First month or day, like 2025-11 or 2025-11-30.")],
    last: Annotated[str, typer.Argument(help="Last one.")],
    domain: AnyDomain = None,
) -> None:
    """Show the books of a range of periods, what keeps it from being complete and what to do; then the exit code is 1.

    Warnings about loaded files are listed, too; they do not change the exit code.
    """
    from waybill import show
    from waybill.books import balances, incomplete, summed_up
    from waybill.intake import file_warnings
    from waybill.period import Period
    from waybill.remedies import remedies
    from waybill.warehouse.connection import connect

    domain = domain or _domain_of(first)
    cadence = next(iter(_datasets(domain).values())).cadence
    periods = Period.parse(cadence, first).until(Period.parse(cadence, last))
    with connect() as connection:
        show.show(console, show.books_table(domain, balances(connection, domain, periods), periods))
        lacking = incomplete(connection, _s3(), domain, periods)
        warnings = file_warnings.of_periods(connection, domain, [one.start for one in periods])
    for line in file_warnings.lines(warnings, _WARNINGS_LISTED):
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    listed = summed_up(lacking)
    for missing in listed:
        console.print(f"incomplete: {missing}", style="red", markup=False, highlight=False, soft_wrap=True)
    if steps := remedies(domain, listed, periods):
        console.print("\n".join(["To complete it:", *steps]), markup=False, highlight=False, soft_wrap=True)
    if lacking:
        raise typer.Exit(1)
    console.print(
        f"Complete: every file is loaded, every report is up to date and every check holds "
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

    from waybill import show
    from waybill.period import Period
    from waybill.provenance import built_in_words, newest_period, periods_built
    from waybill.provenance import trace as trace_report
    from waybill.warehouse.connection import connect

    with connect() as connection:
        wanted = Period.named(period) if period else newest_period(connection, report)
        waybill = trace_report(connection, report, wanted)
        built = periods_built(connection, waybill.report)
    if as_json:
        print(json.dumps(asdict(waybill) | {"period": wanted.key}, default=str, indent=2))
        return
    show.show(console, *show.waybill_tables(waybill))
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
    from waybill import show
    from waybill.intake.quarantine import open_by_file
    from waybill.warehouse.connection import connect

    contract = _dataset(domain, dataset)
    with connect() as connection:
        counts, rows, total = open_by_file(connection, contract.table, limit)
    if counts:
        show.show(console, *show.quarantine_tables(contract.table, counts, rows, total))
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
    from waybill import show
    from waybill.errors import DataError
    from waybill.intake.conflicts import conflicts as find_conflicts
    from waybill.warehouse.connection import connect

    contract = _dataset(domain, dataset)
    if not contract.is_merged:
        raise DataError(f"{contract.table} has snapshots: of one that does not count no rows are kept")
    with connect() as connection:
        versions, keys = find_conflicts(connection, contract, limit)
    if versions:
        show.show(console, show.conflicts_table(contract, versions, keys))
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

    from waybill import show
    from waybill.contracts import load_domain
    from waybill.errors import DataError
    from waybill.intake.ledger import Run
    from waybill.intake.replay import replay as replay_rows
    from waybill.provenance import code_version
    from waybill.warehouse.connection import connect

    contract = _dataset(domain, dataset)
    domain, contracts = contract.domain, load_domain(contract.domain)
    if record and file_id is None:
        raise DataError("--record needs --file-id: records are numbered within a file")
    run = Run(run_id=f"replay by {os.environ.get('USER') or getpass.getuser()}", code_version=code_version())
    with connect() as connection:
        replayed = replay_rows(
            connection, contract, contracts, run, file_id=file_id, records=record or None, admit_late=admit_late
        )
        newest = connection.execute(
            "select max(period) from waybill.load_file where dataset = %s", [contract.table]
        ).fetchone()
    if not replayed:
        of_file = f"file {file_id} of " if file_id is not None else ""
        console.print(f"Nothing was tried: no row of {of_file}{contract.table} that can be is in quarantine.")
        return
    show.show(console, show.replay_table(replayed))
    admitted = [file.period for file in replayed if file.books.rows_in > file.books.rejected]
    if admitted:
        assert newest
        _print_how_to_build("Rows were admitted", contract, min(admitted), newest[0])


def _print_how_to_build(what: str, contract: Contract, first: Period, newest: date) -> None:
    """Say how the reports are built again that rest on what happened to rows from a period on."""
    from datetime import timedelta

    from waybill.period import Period
    from waybill.pipelines import existing_dag_of, without_dag

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
    from waybill.warehouse.connection import connect

    with connect() as connection:
        found = withdrawal.find_loaded(connection, file, domain)
        if accept:
            withdrawal.require_gone(_s3(), found)
            withdrawal.accept(connection, found)
            console.print(f"The {found.rows_in} rows of {found.uri} stay.", soft_wrap=True, highlight=False)
            return
        contract = load_all()[found.dataset]
        done = withdrawal.withdraw(connection, _s3(), contract, found)
        newest = connection.execute(
            "select max(period) from waybill.load_file where dataset = %s", [contract.table]
        ).fetchone()
    console.print(f"{found.uri} is withdrawn, with {found.rows_in} rows.", soft_wrap=True, highlight=False)
    if done.again:
        console.print(f"The next run loads {done.again} again, which stands now.", soft_wrap=True, highlight=False)
    if done.days:
        assert newest
        _print_how_to_build("Rows changed", contract, Period.of(contract.cadence, found.period), newest[0])


@app.command()
@failures_in_words
def alerts(limit: Limit = 10) -> None:
    """List what was told, alerts and runs that ended well, and over which channels it went out or waits."""
    from waybill import alert_delivery, show
    from waybill.warehouse.connection import connect

    with connect() as connection:
        rows = connection.execute(
            "select dag_id, run_id, kind, raised_at, message from waybill.alert order by raised_at desc limit %s",
            (limit,),
        ).fetchall()
        counted = connection.execute("select count(*) from waybill.alert").fetchone()
        states = alert_delivery.states(connection, [row[:3] for row in rows])
    console.print(show.alerts_text(rows, states, counted[0] if counted else 0), soft_wrap=True)


contract_app = typer.Typer(no_args_is_help=True, help="Check contracts, and try a proposed one.")
app.add_typer(contract_app, name="contract")


@contract_app.command("check")
@failures_in_words
def contract_check() -> None:
    """Check every contract against the standard, Waybill's needs, the SQL files and the warehouse, if there is one."""
    import psycopg

    from waybill.review import review
    from waybill.settings import SettingsError, settings
    from waybill.warehouse.connection import connect

    missing = None
    try:
        with connect() as connection:
            contracts, problems = review(connection)
    except (psycopg.Error, SettingsError) as error:
        contracts, problems = review(None)
        missing = str(error).strip()
    for contract in contracts:
        console.print(
            f"{contract.table} {contract.version}: {len(contract.columns)} columns, {len(contract.checks)} checks"
        )
    folder = f"{settings().include_dir.parent}/"
    for problem in problems:
        console.print(problem.replace(folder, ""), style="red", markup=False, highlight=False, soft_wrap=True)
    if missing:
        text = f"Not compared with the warehouse, and its SQL not planned: {missing}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    elif not problems:
        console.print(
            "PostgreSQL accepts the SQL of derived tables and of checks, and it gives what the contracts say."
        )
    if problems:
        raise typer.Exit(1)


@contract_app.command("try")
@failures_in_words
def contract_try(
    file: Annotated[Path, typer.Argument(help="The proposed contract.", exists=True, dir_okay=False)],
    last: Annotated[int, typer.Option(help="Try the newest so many files; 0 for all.", min=0)] = 24,
) -> None:
    """Judge files that have landed by a proposed contract: how many rows it rejects that today's accepts, and why."""
    from datetime import date

    from waybill import show
    from waybill.contracts import ContractError, load, load_domain
    from waybill.errors import DataError
    from waybill.intake.landing import list_landed
    from waybill.intake.trial import try_contract
    from waybill.period import Period
    from waybill.settings import settings
    from waybill.warehouse.connection import connect
    from waybill.warehouse.evolution import missing_columns

    proposed = load(file, is_proposal=True)
    if not proposed.is_dataset:
        raise DataError(f"{proposed.table} is computed, not loaded: there are no files to try its contract on")
    today, contracts = _dataset(proposed.domain, proposed.name), load_domain(proposed.domain)
    bucket = settings().raw_bucket
    with connect() as connection:
        landed = list_landed(_s3(), bucket, today, None, Period.of(today.cadence, date(2999, 12, 31)))
        if landed:
            trials = try_contract(connection, _s3(), today, proposed, contracts, landed[-last:])
            show.show(console, show.trial_table(proposed, trials))
            if 0 < last < len(landed):
                console.print(f"Tried {show.of_all(last, len(landed))} files, the newest; --last 0 tries all.")
        else:
            console.print(f"No file of {today.table} has landed in s3://{bucket}.")
        try:
            missing_columns(connection, proposed)
        except ContractError as error:
            raise ContractError(f"With this contract the next load stops: {error}") from None
