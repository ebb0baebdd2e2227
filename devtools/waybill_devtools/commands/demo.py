"""The command demo."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from waybill.cli.terminal import app, console, messages, report_errors
from waybill_devtools.commands.stack import addresses

if TYPE_CHECKING:
    from psycopg import Connection
    from rich.table import Table

    from waybill_devtools.demo import Outcome

SHOWN = {
    "messaging": {
        "industry_exposure": 5,
        "segment_share": 5,
        "segment_changes": 5,
        "top_customers": 5,
        "loyal_top_customers": 5,
        "revenue_by_period": 9,
        "descriptive_statistics": 9,
        "industry_exposure_extended": 5,
    },
    "shop": {"daily_kpis": 1, "top_products_30_days": 5, "conversion_funnel": 5, "rfm_segments": 9},
    "orders": {"region_profit": 5, "shipping_methods": 5, "orders_by_category": 5},
    "purchases": {"top_purchasers": 5},
}
"""The reports to print for the latest period, and their number of rows."""

NOTES = {"loyal_top_customers": " (ranks are those among all customers)"}
"""Notes on the title of a report."""


@app.command()
@report_errors
def demo() -> None:
    """Start the stack, run all pipelines on sample data, and print their reconciliation and reports.

    Messaging and the shop are backfilled. Orders and purchases run when their files land.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    from waybill.cli import tables
    from waybill.ops.books import summarise
    from waybill.warehouse.connection import connect
    from waybill_devtools import demo as main_job
    from waybill_devtools.stack import Stack

    stack = Stack()
    began = time.monotonic()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=messages) as progress:
        steps = progress.add_task("checking the stack", total=None)
        bars = {
            pipeline: progress.add_task(
                f"{pipeline.dag_id}, {'on arrival' if pipeline.is_on_arrival else f'{pipeline.cadence}s'}",
                total=pipeline.backfilled or 1,
                start=False,
            )
            for pipeline in main_job.PIPELINES
        }

        def move(pipeline: main_job.Pipeline, finished: int, total: int) -> None:
            progress.start_task(bars[pipeline])
            progress.update(bars[pipeline], completed=finished, total=total)

        def step(text: str) -> None:
            if not messages.is_terminal:  # without a terminal, bars appear only at the end
                messages.print(text)
            progress.update(steps, description=text)

        try:
            outcomes = main_job.run(stack, step=step, progress=move)
        except KeyboardInterrupt:
            messages.print("The stack keeps running. `make demo` continues, `make down` stops it.")
            raise
        progress.update(steps, description="done", completed=1, total=1)
    with connect(stack.database_url()) as connection:
        for outcome in outcomes:
            tables.print_tables(*_tables(connection, outcome))
    for outcome in outcomes:
        for line in [*outcome.differences, *map(str, summarise(outcome.gaps))]:
            messages.print(line, style="red", markup=False)
        span = " to ".join(dict.fromkeys(map(str, (outcome.periods[0], outcome.periods[-1]))))
        if outcome.run_seconds is None:
            done = f"nothing to do, {span} is complete"
        elif outcome.pipeline.is_on_arrival:
            done = f"published reports for {span} {outcome.run_seconds:.0f} s after the notification"
        else:
            done = f"backfilled {span} in {outcome.run_seconds:.0f} s"
        agreement = "differ from" if outcome.differences else "match"
        console.print(f"{outcome.pipeline.dag_id}: {done}. The books {agreement} the ground truth.")
    console.print(f"Finished in {time.monotonic() - began:.0f} s.\n")
    console.print(addresses(stack, outcomes[0].periods[-1]), highlight=False)
    if any(outcome.differences or outcome.gaps for outcome in outcomes):
        raise typer.Exit(1)


def _tables(connection: Connection, outcome: Outcome) -> list[Table]:
    """Return the books of a pipeline, and some of its reports for the latest period."""
    from waybill.cli import tables
    from waybill.derived.build import report_contracts
    from waybill.ops.books import balances
    from waybill.period import Period

    domain, latest = outcome.pipeline.domain, outcome.periods[-1]
    shown = [tables.books_table(domain, balances(connection, domain, outcome.periods), outcome.periods)]
    contracts = report_contracts(domain)
    for name, rows in SHOWN[domain].items():
        period = Period.of(contracts[name].cadences[0], latest.start)
        shown.append(tables.report_table(connection, contracts[name], period, rows, NOTES.get(name, "")))
    return shown
