"""Commands that account for rows and numbers, and plan runs: books, plan, trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from waybill.cli.arguments import Domain, datasets_of, domain_of
from waybill.cli.terminal import app, print_line, report_errors

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.period import Period

_WARNINGS_LISTED = 100

First = Annotated[str, typer.Argument(help="First month or day, such as 2025-11 or 2025-11-30.")]
Last = Annotated[str, typer.Argument(help="Last month or day.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
@report_errors
def books(first: First, last: Last, domain: Domain = None) -> None:
    """Show the reconciliation (books) of a range of periods, and what to do if it is incomplete.

    A line for each stream sums all events that were ever read.
    The exit code is 1 if a period is incomplete. Warnings are listed and do not change the exit code.
    """
    import boto3

    from waybill.cli import tables
    from waybill.intake import file_warnings
    from waybill.ops.books import balances, failed_warnings, incomplete, summarise
    from waybill.ops.remedies import remedies
    from waybill.stream.books import stream_books
    from waybill.warehouse.connection import connect

    domain, periods = _periods(first, last, domain)
    with connect() as connection:
        tables.print_tables(tables.books_table(domain, balances(connection, domain, periods), periods))
        for dataset, counts in stream_books(connection, domain).items():
            print_line(tables.stream_books_line(dataset, counts))
        gaps = incomplete(connection, boto3.client("s3"), domain, periods)
        warnings = file_warnings.of_periods(connection, domain, [one.start for one in periods])
        checks = failed_warnings(connection, domain, periods)
    for line in [*file_warnings.lines(warnings, _WARNINGS_LISTED), *(f"Warning: {check}" for check in checks)]:
        print_line(line, "yellow")
    summary = summarise(gaps)
    for entry in summary:
        print_line(f"incomplete: {entry}", "red")
    if steps := remedies(domain, summary, periods):
        print_line("\n".join(["To complete it:", *steps]))
    if gaps:
        raise typer.Exit(1)
    print_line(
        f"Complete: {periods[0]} to {periods[-1]}. Every file is loaded, every report is up to date, "
        "and no check of severity error fails."
    )


@app.command()
@report_errors
def plan(
    first: First,
    last: Last,
    domain: Domain = None,
    as_json: AsJson = False,
    against: Annotated[
        Path | None, typer.Option(help="A plan from before the runs, in JSON: print what they have done of it.")
    ] = None,
) -> None:
    """Show what runs of a range of periods would load and rebuild, and how to start them. Writes nothing.

    The files are not read, so a run may reject some of them. With --against, the exit code is 1 if planned files were
    not loaded.
    """
    from dataclasses import asdict

    import boto3

    from waybill.cli import tables
    from waybill.ops.make_plan import make_plan
    from waybill.ops.plan_outcome import outcome
    from waybill.warehouse.connection import connect, set_read_only

    domain, periods = _periods(first, last, domain)
    with connect() as connection:
        set_read_only(connection, timeout_seconds=0)
        if against:
            done = outcome(connection, _saved_plan(against, domain, periods))
        else:
            found = make_plan(connection, boto3.client("s3"), domain, periods)
    if against:
        print_line("\n".join(done.lines()))
        if done.files.undone:
            raise typer.Exit(1)
        return
    if as_json:
        print(json.dumps(asdict(found) | {"is_done": found.is_done}, indent=2))
        return
    tables.print_tables(*tables.plan_tables(found))
    for line in found.sentences():
        print_line(line)
    if found.steps:
        print_line("\n".join(["To run it:", *found.steps]))


def _saved_plan(path: Path, domain: str, periods: list[Period]) -> dict[str, Any]:
    """Return a plan in JSON. Raises `DataError` if the file has no plan of these periods."""
    from waybill.errors import DataError

    try:
        found = json.loads(path.read_text())
        of = (found["domain"], found["first"], found["last"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no plan in JSON ({type(error).__name__}); write it with --json") from None
    if of != (domain, periods[0].key, periods[-1].key):
        raise DataError(f"{path} is the plan of {of[0]} {of[1]} to {of[2]}; name these periods")
    return dict(found)


def _periods(first: str, last: str, domain: str | None) -> tuple[str, list[Period]]:
    """Return the domain, given or the only one with such periods, and the periods of the range."""
    from waybill.period import Period

    domain = domain or domain_of(first)
    cadence = next(iter(datasets_of(domain).values())).cadence
    return domain, Period.parse(cadence, first).until(Period.parse(cadence, last))


@app.command()
@report_errors
def trace(
    report: Annotated[str, typer.Argument(help="A report, such as top_customers or billing.top_customers.")],
    period: Annotated[
        str | None,
        typer.Argument(help="Month, week or day, such as 2026-03, 2026-W13 or 2026-03-31. Default: the newest."),
    ] = None,
    domain: Domain = None,
    as_json: AsJson = False,
    as_of_snapshot: Annotated[
        bool,
        typer.Option("--as-of-snapshot", help="List the files of the lake with the rows as they were when published."),
    ] = False,
) -> None:
    """Show the waybill of a report: its rows, SQL, code, checks and source files."""
    from dataclasses import asdict

    from waybill.cli import tables
    from waybill.ops.provenance import built_report, format_periods, newest_period, periods_built
    from waybill.ops.provenance import trace as trace_report
    from waybill.period import Period
    from waybill.warehouse.connection import connect

    with connect() as connection:
        table = built_report(connection, report, domain)
        wanted = Period.named(period) if period else newest_period(connection, table)
        if as_of_snapshot:
            _print_published_rows(connection, table, wanted, as_json=as_json)
            return
        waybill = trace_report(connection, table, wanted)
        built = periods_built(connection, table)
    if as_json:
        print(json.dumps(asdict(waybill) | {"period": wanted.key}, default=str, indent=2))
        return
    tables.print_tables(*tables.waybill_tables(waybill))
    if period is None:
        print_line(f"Built for {format_periods(built)}")


def _print_published_rows(connection: Connection, report: str, period: Period, *, as_json: bool) -> None:
    """Print for each published content of a report the files of the lake with its rows."""
    from dataclasses import asdict

    import boto3

    from waybill.contracts import load_all
    from waybill.errors import DataError
    from waybill.outputs.iceberg_tables import open_catalog
    from waybill.outputs.lake_references import published_rows

    catalog = open_catalog(boto3.Session(), boto3.client("s3"))
    found = list(published_rows(connection, catalog, load_all()[report], period))
    if as_json:
        print(json.dumps([asdict(one) for one in found], default=str, indent=2))
        return
    if not found:
        raise DataError(f"no published content of {report} for {period} refers to a snapshot of the lake")
    for one in found:
        state = "" if one.files is not None else ", which has expired"
        print_line(f"content {one.content_sha256[:12]}: {one.table} at snapshot {one.snapshot_id}{state}")
        for file in one.files or ():
            print_line(f"  {file}")
