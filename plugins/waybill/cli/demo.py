"""The command `waybill demo`."""

from __future__ import annotations

import time

import typer

from waybill.cli.terminal import app, console, failures_in_words, messages

ANSWERS = ("industry_exposure", "segment_share", "segment_changes", "top_customers", "loyal_top_customers")
MORE = ("revenue_by_period", "descriptive_statistics", "industry_exposure_extended")


@app.command()
@failures_in_words
def demo() -> None:
    """Start the stack, seed 14 months of files, backfill 12 of them, and show the books and the answers."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    from waybill import demo as main_job
    from waybill import show
    from waybill.books import balances
    from waybill.reports import report_contracts
    from waybill.stack import Stack
    from waybill.warehouse.connection import connect

    stack = Stack()
    began = time.monotonic()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("months"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=messages) as progress:
        task = progress.add_task("looking", total=main_job.BACKFILLED_MONTHS)
        outcome = main_job.run(
            stack,
            step=lambda text: progress.update(task, description=text),
            progress=lambda finished, total: progress.update(task, completed=finished, total=total),
        )
        progress.update(task, completed=main_job.BACKFILLED_MONTHS, total=main_job.BACKFILLED_MONTHS)
    latest = outcome.periods[-1]
    reports = report_contracts("messaging")
    with connect(stack.database_url()) as connection:
        show.show(console, show.books_table(balances(connection, "messaging", outcome.periods)))
        for name in ANSWERS:
            show.show(console, show.report_table(connection, reports[name], latest))
        for name in MORE:
            show.show(console, show.report_table(connection, reports[name], latest, limit=9))
    for line in [
        *outcome.disagreements,
        *(f"{gap.period} {gap.subject}: {gap.what}" for gap in outcome.gaps),
    ]:
        messages.print(line, style="red", markup=False)
    first = outcome.periods[0]
    if outcome.backfill_seconds is None:
        done = f"Nothing to do: {first} to {latest} were there already"
    else:
        done = f"Backfilled {first} to {latest} in {outcome.backfill_seconds:.0f} s"
    agreement = "differ from" if outcome.disagreements else "agree with"
    console.print(f"{done}; {time.monotonic() - began:.0f} s in all. The books {agreement} the answer key.\n")
    console.print(show.addresses(stack), highlight=False)
    if outcome.disagreements or outcome.gaps:
        raise typer.Exit(1)
