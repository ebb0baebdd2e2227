"""Commands about rows that a load did not take over: quarantine, replay, conflicts."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from waybill.cli.arguments import Dataset, Domain, Limit, dataset_named
from waybill.cli.terminal import app, print_line, report_errors
from waybill.warehouse import LARGEST_INTEGER


@app.command()
@report_errors
def quarantine(dataset: Dataset, domain: Domain = None, limit: Limit = 20) -> None:
    """List the open rows in quarantine by file, record and reasons. Their content is visible only in the warehouse."""
    from waybill.cli import tables
    from waybill.intake.quarantine import open_by_file
    from waybill.warehouse.connection import connect

    contract = dataset_named(domain, dataset)
    with connect() as connection:
        counts, rows, total = open_by_file(connection, contract.table, limit)
    if counts:
        tables.print_tables(*tables.quarantine_tables(contract.table, counts, rows, total))
    else:
        print_line(f"No rows of {contract.table} are in quarantine.")


@app.command()
@report_errors
def replay(
    dataset: Dataset,
    domain: Domain = None,
    file_id: Annotated[
        int | None, typer.Option(help="Replay only rows of this file.", min=0, max=LARGEST_INTEGER)
    ] = None,
    record: Annotated[
        list[int] | None,
        typer.Option(help="Replay only this record of the file. May be repeated.", min=0, max=LARGEST_INTEGER),
    ] = None,
    admit_late: Annotated[bool, typer.Option("--admit-late", help="Also admit rows that arrived too late.")] = False,
) -> None:
    """Validate rows in quarantine again, for example after a contract was corrected or a referenced row arrived."""
    import getpass

    from waybill.cli import tables
    from waybill.contracts import load_domain
    from waybill.errors import DataError
    from waybill.intake.replay import replay as replay_rows
    from waybill.ops.remedies import how_to_rebuild
    from waybill.run import Run, code_version
    from waybill.warehouse.connection import connect

    contract = dataset_named(domain, dataset)
    if record and file_id is None:
        raise DataError("--record needs --file-id: records are numbered within a file")
    run = Run(run_id=f"replay by {os.environ.get('USER') or getpass.getuser()}", code_version=code_version())
    with connect() as connection:
        replayed = replay_rows(
            connection,
            contract,
            load_domain(contract.domain),
            run,
            file_id=file_id,
            records=record or None,
            admit_late=admit_late,
        )
        if not replayed:
            subject = f"file {file_id} of {contract.table}" if file_id is not None else contract.table
            print_line(f"Nothing to replay: {subject} has no replayable rows in quarantine.")
            return
        tables.print_tables(tables.replay_table(replayed))
        admitted = [file.period for file in replayed if file.books.rows_in > file.books.rejected]
        if admitted:
            print_line(how_to_rebuild(connection, contract, min(admitted), "Rows were admitted"))


@app.command()
@report_errors
def conflicts(dataset: Dataset, domain: Domain = None, limit: Limit = 20) -> None:
    """List the keys on which files of one period disagree, with the values in each file. The last file counts."""
    from waybill.cli import tables
    from waybill.contracts.spark_engine import require_warehouse
    from waybill.errors import DataError
    from waybill.intake.conflicts import conflicts as find_conflicts
    from waybill.warehouse.connection import connect

    contract = dataset_named(domain, dataset)
    require_warehouse(
        contract,
        "this command cannot compare them",
        "Query the table of the lake: its column `_object` names the file of each row",
    )
    if not contract.is_merged:
        raise DataError(
            f"{contract.table} is loaded as snapshots: only the rows of the snapshot that counts are kept, "
            "so there is nothing to compare"
        )
    with connect() as connection:
        versions, keys = find_conflicts(connection, contract, limit)
    if versions:
        tables.print_tables(tables.conflicts_table(contract, versions, keys))
    else:
        print_line(f"No files of {contract.table} for the same {contract.cadence} disagree.")
