"""Commands about contracts for other tools: contract export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from waybill.cli.arguments import local_folder
from waybill.cli.contracts import contract_app
from waybill.cli.terminal import messages, print_line, report_errors

if TYPE_CHECKING:
    from waybill.contracts import Contract


@contract_app.command("export")
@report_errors
def contract_export(
    target: Annotated[
        Literal["datacontract", "json-schema", "dbt", "html"],
        typer.Option("--to", help="datacontract: the contract for `datacontract test`. dbt: a source with its tests."),
    ],
    tables: Annotated[
        list[str] | None, typer.Argument(help="Tables such as billing.invoices, or schemas. Default: all.")
    ] = None,
    period: Annotated[
        list[str] | None,
        typer.Option(help="Month, week or day about which checks ask. Repeat it for tables with other periods."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for one file for each table. Without it, a single table is printed.")
    ] = None,
) -> None:
    """Write contracts for other tools, with the address of the warehouse and without user and password.

    datacontract-cli writes the formats other than datacontract.
    """
    from waybill.errors import CommandFailed
    from waybill.formatting import count
    from waybill.outputs.contract_copy import copy_contract, copy_for_test
    from waybill.outputs.datacontract_cli import convert
    from waybill.period import Period

    if folder:
        local_folder(folder, "--folder", "a single table is printed")
    contracts, periods = _chosen(tables or []), [Period.named(one) for one in period or []]
    if folder is None and len(contracts) > 1:
        raise CommandFailed(f"{len(contracts)} tables need a folder: add --folder")
    left_out = checks = 0
    for contract in contracts:
        if target == "datacontract":
            copy = copy_for_test(contract, periods)
            text, suffix = copy.text, ".yaml"
            left_out, checks = left_out + copy.left_out, checks + copy.checks
        else:
            text, suffix = convert(contract.table, copy_contract(contract), target)
        if folder is None:
            print(text, end="" if text.endswith("\n") else "\n")
            continue
        path = folder / f"{contract.table}{suffix}"
        path.write_text(text, encoding="utf-8")
        print_line(str(path))
    if left_out:
        messages.print(
            f"Left out {left_out} of {count(checks, 'check')}, which ask about a period: add --period, for example "
            "--period 2026-03.",
            highlight=False,
            soft_wrap=True,
        )


def _chosen(names: list[str]) -> list[Contract]:
    """Return the contracts of tables and schemas. Raises `DataError` for an unknown name."""
    from waybill.contracts import load_all
    from waybill.contracts.standard import likeliest
    from waybill.errors import DataError

    every = load_all()
    schemas = {contract.domain for contract in every.values()}
    for name in names:
        if name not in every and name not in schemas:
            raise DataError(f"there is no table or schema {name!r}: {likeliest(name, {*every, *schemas})}")
    return [one for one in every.values() if not names or {one.table, one.domain} & {*names}]
