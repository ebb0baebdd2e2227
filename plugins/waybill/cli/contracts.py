"""Commands about contracts: check them, and try a proposed one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waybill.cli.lookup import dataset_named, s3_client
from waybill.cli.terminal import app, console, failures_in_words
from waybill.formatting import count, of_all

contract_app = typer.Typer(no_args_is_help=True, help="Check contracts, and try a proposed one.")
app.add_typer(contract_app, name="contract")


@contract_app.command("check")
@failures_in_words
def contract_check() -> None:
    """Check every contract against the standard, Waybill's needs, the SQL files and the warehouse, if there is one."""
    import psycopg

    from waybill.contracts.namesakes import namesake_warnings
    from waybill.ops.lint import review
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
        checks = count(len(contract.checks), "check")
        console.print(f"{contract.table} {contract.version}: {len(contract.columns)} columns, {checks}")
    folder = f"{settings().include_dir.parent}/"
    for problem in problems:
        console.print(problem.replace(folder, ""), style="red", markup=False, highlight=False, soft_wrap=True)
    domains = sorted({contract.domain for contract in contracts if contract.is_dataset})
    warnings = [warning for domain in domains for warning in namesake_warnings(domain, contracts)]
    for warning in warnings:
        console.print(warning, style="yellow", markup=False, highlight=False, soft_wrap=True)
    if warnings:
        counted = f"{len(warnings)} warning{'' if len(warnings) == 1 else 's'}, which do not fail the check."
        advice = "Give each column the same type and the same first sentence of its description in all of these tables."
        console.print(f"{counted} {advice}", soft_wrap=True)
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

    from waybill.cli import tables
    from waybill.contracts import ContractError, load, load_domain
    from waybill.errors import DataError
    from waybill.intake.dry_run import try_contract
    from waybill.intake.landing import list_landed
    from waybill.period import Period
    from waybill.settings import settings
    from waybill.warehouse.connection import connect
    from waybill.warehouse.evolution import missing_columns

    proposed = load(file, is_proposal=True)
    if not proposed.is_dataset:
        raise DataError(f"{proposed.table} is computed, not loaded: there are no files to try its contract on")
    today, contracts = dataset_named(proposed.domain, proposed.name), load_domain(proposed.domain)
    bucket = settings().raw_bucket
    with connect() as connection:
        landed = list_landed(s3_client(), bucket, today, None, Period.of(today.cadence, date(2999, 12, 31)))
        if landed:
            trials = try_contract(connection, s3_client(), today, proposed, contracts, landed[-last:])
            tables.show(console, tables.dry_run_table(proposed, trials))
            if 0 < last < len(landed):
                console.print(f"Tried {of_all(last, len(landed))} files, the newest; --last 0 tries all.")
        else:
            console.print(f"No file of {today.table} has landed in s3://{bucket}.")
        try:
            missing_columns(connection, proposed)
        except ContractError as error:
            raise ContractError(f"With this contract the next load stops: {error}") from None
