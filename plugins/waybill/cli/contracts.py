"""Commands about contracts: contract check, contract try, contract propose, contract new."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated

import typer

from waybill.cli.arguments import dataset_named
from waybill.cli.terminal import app, console, print_line, print_message, report_errors

contract_app = typer.Typer(no_args_is_help=True, help="Check contracts, or try a proposed contract.")
app.add_typer(contract_app, name="contract")


@contract_app.command("check")
@report_errors
def contract_check() -> None:
    """Check all contracts, domain manifests and SQL files, and compare them with the warehouse if it answers.

    The exit code is 1 if there are problems.
    """
    import psycopg

    from waybill.contracts.namesakes import namesake_warnings
    from waybill.formatting import count
    from waybill.ops.lint import lint
    from waybill.settings import SettingsError, settings
    from waybill.warehouse.connection import connect

    unreachable = None
    try:
        with connect() as connection:
            contracts, problems = lint(connection)
    except (psycopg.Error, SettingsError) as error:
        contracts, problems = lint(None)
        unreachable = str(error).strip()
        if isinstance(error, (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)):
            unreachable = "it has no tables of Waybill yet. Run `waybill migrate` and repeat the command."
    for contract in contracts:
        columns, checks = count(len(contract.columns), "column"), count(len(contract.checks), "check")
        print_line(f"{contract.table} {contract.version}: {columns}, {checks}")
    folder = f"{settings().include_dir.parent}/"
    for problem in problems:
        print_line(problem.replace(folder, ""), "red")
    domains = sorted({contract.domain for contract in contracts if contract.is_dataset})
    warnings = [warning for domain in domains for warning in namesake_warnings(domain, contracts)]
    for warning in warnings:
        print_line(warning, "yellow")
    if warnings:
        print_line(
            f"{count(len(warnings), 'warning')}; warnings do not fail the check. "
            "Give each column the same type and the same first sentence of its description in all of these tables."
        )
    if unreachable:
        print_line(f"The warehouse was not compared and the SQL was not planned: {unreachable}")
    elif not problems:
        print_line("PostgreSQL accepts the SQL of all derived tables and checks, and its columns match the contracts.")
    if problems:
        raise typer.Exit(1)


@contract_app.command("try")
@report_errors
def contract_try(
    file: Annotated[Path, typer.Argument(help="The proposed contract.", exists=True, dir_okay=False)],
    last: Annotated[int, typer.Option(help="Number of newest files to try; 0 tries all files.", min=0)] = 24,
) -> None:
    """Validate landed files with a proposed contract and show which rows it newly rejects or accepts, and why.

    Nothing is loaded.
    """
    from datetime import date

    import boto3

    from waybill.cli import tables
    from waybill.contracts import ContractError, load, load_domain
    from waybill.errors import DataError
    from waybill.formatting import of_all
    from waybill.intake.dry_run import try_contract
    from waybill.intake.landing import list_landed
    from waybill.period import Period
    from waybill.settings import settings
    from waybill.warehouse.connection import connect
    from waybill.warehouse.evolution import missing_columns

    proposed = load(file, is_proposal=True)
    if not proposed.is_dataset:
        raise DataError(f"{proposed.table} is a derived table: there are no files to try its contract on")
    today, contracts = dataset_named(proposed.domain, proposed.name), load_domain(proposed.domain)
    bucket, s3 = settings().raw_bucket, boto3.client("s3")
    with connect() as connection:
        landed = list_landed(s3, bucket, today, None, Period.of(today.cadence, date(2999, 12, 31)))
        if landed:
            results = try_contract(connection, s3, today, proposed, contracts, landed[-last:])
            tables.print_tables(tables.dry_run_table(proposed, results))
            if 0 < last < len(landed):
                print_line(f"Tried the newest {of_all(last, len(landed))} files; --last 0 tries all of them.")
        else:
            print_line(f"No file of {today.table} has landed in s3://{bucket}.")
        try:
            missing_columns(connection, proposed)
        except ContractError as error:
            raise ContractError(f"The next load with this contract would stop: {error}") from None


@contract_app.command("impact")
@report_errors
def contract_impact(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A proposed contract, to be compared with that of the project.", exists=True, dir_okay=False
        ),
    ] = None,
    base: Annotated[
        str, typer.Option(help="Without a file, the commit with which the contracts of the project are compared.")
    ] = "HEAD",
) -> None:
    """Show as Markdown what rests on the columns whose name, type or meaning a change of contracts touches.

    Needs no warehouse.
    """
    from waybill.contracts import load, load_all
    from waybill.contracts.committed import changed_contracts
    from waybill.ops.contract_impact import impact, sentences

    now = load_all()
    if file:
        proposed = load(file, is_proposal=True)
        before = {name: one for name, one in now.items() if name == proposed.table}
        now[proposed.table] = proposed
    else:
        before = {one.table: one for one in changed_contracts(base)}
    for line in sentences(impact(before, now)) or ["No column has changed in name, type or meaning."]:
        print(_wrapped(line, console.width) if console.is_terminal else line)


def _wrapped(line: str, width: int) -> str:
    """Return a line of a list in Markdown as lines of at most a width, unless a name is longer."""
    indent = " " * (len(line) - len(line.lstrip(" *")))
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


@contract_app.command("propose")
@report_errors
def contract_propose(
    number: Annotated[int, typer.Argument(help="Number of a drift, as `waybill watch list` shows it.")],
    output: Annotated[
        Path | None, typer.Option(help="Write the whole proposed contract to this file, for `waybill contract try`.")
    ] = None,
) -> None:
    """Show the change of a contract that takes in a drift, as a diff that `git apply` reads. No contract is changed."""
    from waybill.contracts import ContractError, load, load_domain
    from waybill.contracts.odcs import contract_path
    from waybill.errors import DataError
    from waybill.scratch import scratch_folder
    from waybill.settings import settings
    from waybill.warehouse.connection import connect
    from waybill.warehouse.evolution import missing_columns
    from waybill.watch.drift import drift_numbered
    from waybill.watch.proposal import propose

    with connect() as connection:
        drift = drift_numbered(connection, number)
        path = contract_path(drift.dataset)
        contract = load(path)
        others = {name: one for name, one in load_domain(contract.domain).items() if name != contract.name}
        proposal = propose(drift, contract, path, others)
        print_message(f"{drift.dataset}: {drift}")
        typer.echo(proposal.diff(settings().include_dir.parent), nl=False)
        for line in proposal.advice:
            print_message(line)
        if proposal.after == proposal.before:
            return
        if output:
            try:
                output.write_text(proposal.after, encoding="utf-8")
            except OSError as error:
                raise DataError(f"--output {output}: {error.strerror}. Name another file.") from None
            print_message(f"Wrote {output}. Try it on landed files: waybill contract try {output}")
        try:
            with scratch_folder() as folder:
                proposed = folder / path.name
                proposed.write_text(proposal.after, encoding="utf-8")
                missing_columns(connection, load(proposed, is_proposal=True))
        except ContractError as error:
            text = str(error).replace(str(proposed), path.name)
            raise ContractError(f"The change is not enough: {text}") from None


@contract_app.command("new")
@report_errors
def contract_new(
    files: Annotated[list[str], typer.Argument(help="Files of the dataset: paths, or s3://bucket/key.")],
    domain: Annotated[str, typer.Option(help="Domain of the dataset.")],
    dataset: Annotated[str, typer.Option(help="Name of the dataset and its table.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing contract.")] = False,
    imported: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A contract that another tool wrote, with descriptions and classifications to take over.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    records: Annotated[
        str | None, typer.Option(help="Path to the records in JSON, such as invoices.lines.", metavar="PATH")
    ] = None,
) -> None:
    """Draft a contract from files. Every row is read. A comment that begins with `check` marks each doubt.

    If the contract exists, show how the files differ from it and write nothing; the exit code is 1 if they do.
    """
    import psycopg

    from waybill.cli import tables
    from waybill.contracts import load
    from waybill.contracts.domains import domain_names
    from waybill.drafts.compare import differences
    from waybill.drafts.draft import draft_contract
    from waybill.drafts.files import given_files
    from waybill.drafts.imported import complete, read_imported
    from waybill.drafts.target import contract_path
    from waybill.formatting import count
    from waybill.scratch import scratch_folder
    from waybill.settings import SettingsError
    from waybill.warehouse.connection import connect

    path, given = contract_path(domain, dataset), given_files(files)
    said = read_imported(imported) if imported else None
    with scratch_folder() as folder:
        if path.exists() and not force:
            found = differences(given, load(path), folder)
            for difference in found:
                print_line(difference, "yellow")
            result = "exists, and the files fit it."
            if found:
                result = (
                    f"exists and was not changed: {count(len(found), 'difference')}. "
                    "Change the contract, or draft it again with --force."
                )
            print_line(f"{path} {result}")
            raise typer.Exit(1 if found else 0)
        others = {other.stem: load(other) for other in sorted(path.parent.glob("*.yaml")) if other != path}
        key = said.key if said else ()
        try:
            with connect() as connection:
                draft = draft_contract(given, domain, dataset, folder, others, connection, key, records)
        except (psycopg.Error, SettingsError):  # without the warehouse, values are not compared
            draft = draft_contract(given, domain, dataset, folder, others, None, key, records)
    if said:
        complete(draft, said)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draft.text, encoding="utf-8")
    tables.print_tables(tables.draft_table(draft))
    for line in draft.form.evidence:
        print_line(line)
    for place, doubt in draft.doubts:
        print_line(f"{place}: {doubt}", "yellow")
    print_line(f"Wrote {path}. Resolve the comments that begin with check, then run `waybill contract check`.")
    if domain not in domain_names():
        print_line(f"The domain has no manifest yet: run `waybill domain new {domain}`.")
