"""Commands about rows and events that were not taken over: quarantine, reveal, replay, conflicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from waybill.cli.arguments import Dataset, Domain, Limit, dataset_named
from waybill.cli.terminal import app, operating_system_user, print_line, report_errors
from waybill.warehouse import LARGEST_INTEGER

if TYPE_CHECKING:
    from waybill.intake.replay import Replayed
    from waybill.stream.replay import Replayed as ReplayedEvents

MOST_DIGITS: Final = 128
"""The most digits that a sequence number has in Kinesis."""
_EVENTS_LEFT: Final = (
    "cannot be replayed: the retention of the quarantine has removed their text. Send the corrected events again"
)


@app.command()
@report_errors
def quarantine(dataset: Dataset, domain: Domain = None, limit: Limit = 20) -> None:
    """List the open rows in quarantine by file, record and reasons. `waybill reveal` shows the content of one.

    The open events of a stream follow by shard, sequence number and reasons.
    """
    from waybill.cli import tables
    from waybill.intake.quarantine import open_by_file
    from waybill.stream.quarantine import newest_open
    from waybill.warehouse.connection import connect

    contract = dataset_named(domain, dataset)
    with connect() as connection:
        counts, rows, total = open_by_file(connection, contract.table, limit)
        events = newest_open(connection, contract.table, limit)
    if counts:
        tables.print_tables(*tables.quarantine_tables(contract.table, counts, rows, total))
    if events.total:
        tables.print_tables(*tables.rejected_events_tables(contract.table, events))
    if not counts and not events.total:
        print_line(f"No rows of {contract.table} are in quarantine.")


@app.command()
@report_errors
def reveal(
    dataset: Dataset,
    domain: Domain = None,
    file_id: Annotated[int | None, typer.Option(help="The file of the row.", min=0, max=LARGEST_INTEGER)] = None,
    record: Annotated[
        int | None, typer.Option(help="The number of the row in the file.", min=0, max=LARGEST_INTEGER)
    ] = None,
    shard: Annotated[str | None, typer.Option(help="The shard of the event.")] = None,
    sequence: Annotated[str | None, typer.Option(help="The sequence number of the event.")] = None,
    reason: Annotated[str, typer.Option(help="Why the values are needed, such as a ticket.")] = "",
) -> None:
    """Show all values of a row or event in quarantine, also restricted ones. Each use is recorded with your account."""
    from waybill.errors import DataError
    from waybill.formatting import printable
    from waybill.ops.reveals import Place
    from waybill.ops.reveals import reveal as show
    from waybill.warehouse.connection import connect

    contract = dataset_named(domain, dataset)
    _sequences([sequence] if sequence else None)
    given = [one is not None for one in (file_id, record, shard, sequence)]
    if given not in ([True, True, False, False], [False, False, True, True]):
        raise DataError("name the record with --file-id and --record, or the event with --shard and --sequence")
    with connect() as connection:
        place = Place(file_id, record, shard, sequence)
        values = show(connection, contract, place, by=operating_system_user(), shown_in="command", reason=reason)
    for name, value in values:
        print_line(printable(f"{name}: {value}"))
    print_line(f"The reveal of {place} is recorded.")


def _sequences(given: list[str] | None) -> list[str] | None:
    """Return sequence numbers. Raises `BadParameter` if one is no whole number."""
    for one in given or ():
        if not (one.isascii() and one.isdigit() and len(one) <= MOST_DIGITS):
            raise typer.BadParameter(f"{one!r} is no sequence number: they have only digits")
    return given


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
    shard: Annotated[str | None, typer.Option(help="Replay only events of this shard of the stream.")] = None,
    sequence: Annotated[
        list[str] | None,
        typer.Option(help="Replay only the event with this sequence number. May be repeated.", callback=_sequences),
    ] = None,
    admit_late: Annotated[
        bool, typer.Option("--admit-late", help="Also admit rows and events with the reason `too_late`.")
    ] = False,
) -> None:
    """Validate rows in quarantine again, for example after a contract was corrected or a referenced row arrived.

    The rejected events of a stream are validated again, too.
    """
    from waybill.cli import tables
    from waybill.contracts import load_domain
    from waybill.errors import DataError
    from waybill.formatting import count
    from waybill.intake.quarantine import removed_texts
    from waybill.intake.replay import replay as replay_rows
    from waybill.ops.remedies import how_to_rebuild
    from waybill.run import Run, code_version
    from waybill.stream.declared import stream_of
    from waybill.stream.quarantine import removed_texts as removed_events
    from waybill.stream.replay import replay as replay_events
    from waybill.warehouse.connection import connect

    contract = dataset_named(domain, dataset)
    if record and file_id is None:
        raise DataError("--record needs --file-id: records are numbered within a file")
    if sequence and shard is None:
        raise DataError("--sequence needs --shard: records of a stream are numbered within a shard")
    if file_id is not None and shard is not None:
        raise DataError("--file-id and --shard exclude each other: an event of a stream is in no file")
    declared = stream_of(contract)
    if shard is not None and declared is None:
        raise DataError(f"--shard: {contract.table} has no stream")
    run = Run(run_id=f"replay by {operating_system_user()}", code_version=code_version())
    replayed: list[Replayed] = []
    counted: list[ReplayedEvents] = []
    with connect() as connection:
        if shard is None:
            replayed = replay_rows(
                connection,
                contract,
                load_domain(contract.domain),
                run,
                file_id=file_id,
                records=record or None,
                admit_late=admit_late,
            )
        if declared and file_id is None:
            counted = replay_events(
                connection, declared, run, shard=shard, sequences=sequence or None, admit_late=admit_late
            )
        left = [removed] if file_id is None and (removed := removed_texts(connection, contract.table)) else []
        events_left = removed_events(connection, contract.table, shard, sequence) if declared and file_id is None else 0
        for text in (*map(str, left), *([f"{count(events_left, 'event')} {_EVENTS_LEFT}"] if events_left else ())):
            print_line(f"{text}.")
        if not replayed and not counted:
            place = f"file {file_id} of " if file_id is not None else f"shard {shard} of " if shard is not None else ""
            what = "events" if shard is not None else "rows"
            print_line(f"Nothing to replay: {place}{contract.table} has no replayable {what} in quarantine.")
            return
        if replayed:
            tables.print_tables(tables.replay_table(replayed))
        if counted:
            tables.print_tables(tables.replayed_events_table(counted))
        admitted = [file.period for file in replayed if file.books.rows_in > file.books.rejected]
        if admitted:
            print_line(how_to_rebuild(connection, contract, min(admitted), "Rows were admitted"))
    if any(one.counts.events > one.counts.rejected for one in counted):
        print_line("The windows of the stream count the events now. Its archive brings them to the next run.")


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
