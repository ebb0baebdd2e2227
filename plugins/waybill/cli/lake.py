"""Commands of the lake: lake files, lake maintain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from waybill.cli.terminal import app, print_line, report_errors

if TYPE_CHECKING:
    from waybill.contracts import Contract

lake_app = typer.Typer(no_args_is_help=True, help="Read and maintain the Iceberg tables of the lake.")
app.add_typer(lake_app, name="lake")


@lake_app.command("files")
@report_errors
def lake_files(
    table: Annotated[str, typer.Argument(help="A table, such as billing.invoices.")],
    first: Annotated[str | None, typer.Argument(help="First day, such as 2026-03-01. Default: all days.")] = None,
    last: Annotated[str | None, typer.Argument(help="Last day. Default: the first.")] = None,
    snapshot: Annotated[int | None, typer.Option(help="Files of this snapshot instead of the current one.")] = None,
) -> None:
    """List the Parquet files with the rows of a table, for readers that do not know Iceberg.

    Folders of the lake also have the files of earlier snapshots: read only the files that this command lists.
    """
    import boto3

    from waybill.errors import DataError
    from waybill.outputs.iceberg_files import files_by_day
    from waybill.outputs.iceberg_tables import find_table, open_catalog
    from waybill.period import Period

    contract = _contract(table)
    found = find_table(open_catalog(boto3.Session(), boto3.client("s3")), contract)
    if found is None:
        raise DataError(f"the lake has no table of {table} yet")
    if snapshot is not None and found.snapshot_by_id(snapshot) is None:
        raise DataError(
            f"{table} has no snapshot {snapshot}: it has expired, or belongs to another table. `waybill trace` shows "
            "the snapshots to which reports refer"
        )
    days = None
    if first is not None:
        days = {one.start for one in Period.parse("day", first).until(Period.parse("day", last or first))}
    for day, files in sorted(files_by_day(found, snapshot=snapshot).items()):
        if days is None or day in days:
            for file in files:
                print_line(file.file_path)


@lake_app.command("maintain")
@report_errors
def lake_maintain(
    tables: Annotated[list[str] | None, typer.Argument(help="Tables, such as billing.invoices. Default: all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")] = False,
) -> None:
    """Compact, expire snapshots and remove orphaned files, as the DAG `operations_lake` does."""
    import boto3

    from waybill.contracts import load_all
    from waybill.formatting import count
    from waybill.outputs.iceberg_tables import open_catalog
    from waybill.outputs.lake_maintenance import described, maintain
    from waybill.run import Run, code_version
    from waybill.warehouse.connection import connect

    contracts = [_contract(name) for name in tables] if tables else list(load_all().values())
    s3 = boto3.client("s3")
    with connect() as connection:
        catalog = open_catalog(boto3.Session(), s3)
        run = Run("command", code_version())
        found = maintain(connection, s3, catalog, contracts, run, dry_run=dry_run)
    for action in found:
        print_line(f"{'would ' if dry_run else ''}{described(action)}")
        for detail in action.details if dry_run else ():
            print_line(f"  {detail}")
    print_line(f"{count(len(found), 'action')}{' would be taken' if dry_run else ''}.")


def _contract(name: str) -> Contract:
    from waybill.contracts import load_all
    from waybill.contracts.standard import likeliest
    from waybill.errors import DataError

    contracts = load_all()
    if name not in contracts:
        raise DataError(f"there is no table {name!r}; {likeliest(name, set(contracts))}")
    return contracts[name]
