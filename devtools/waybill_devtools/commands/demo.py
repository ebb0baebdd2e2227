"""The command demo."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from waybill.cli.terminal import app, console, messages, print_line, report_errors
from waybill_devtools.commands.stack import addresses

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.period import Period
    from waybill_devtools.demo import Outcome
    from waybill_devtools.stack import Stack


@dataclass(frozen=True)
class Question:
    """A question that the first row of a report answers."""

    domain: str
    report: str
    question: str
    answer: str
    """A template with the columns of the report."""


QUESTIONS = (
    Question("orders", "region_profit", "Which region earns most?", "{region}, a profit of {profit}"),
    Question(
        "messaging",
        "industry_exposure",
        "Which industry brings most revenue?",
        "{industry}, {revenue_eur} EUR ({revenue_share_pct} %)",
    ),
    Question("messaging", "top_customers", "Which customer brings most revenue?", "{customer_name}, {revenue_eur} EUR"),
    Question(
        "shop",
        "daily_kpis",
        "How was the shop's day?",
        "{orders_count} orders, revenue {net_revenue}, {conversion_pct} % of sessions buy",
    ),
    Question("purchases", "top_purchasers", "Who has spent most?", "{full_name}, {total_spent_aud} AUD"),
    Question("clicks", "page_statistics", "Which page is viewed most?", "{page}, {views_count} views"),
)


@app.command()
@report_errors
def demo(
    all_periods: Annotated[
        bool, typer.Option("--all", help="30 days of the shop and a year of purchases. [default: 14 and 90 days]")
    ] = False,
    with_spark: Annotated[
        bool, typer.Option("--spark", help="Also the clickstream on Spark; needs `make spark`.")
    ] = False,
) -> None:
    """Start the stack, run all pipelines on sample data, and print their books and some answers.

    Messaging and the shop are backfilled. Orders and purchases run when their files land.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from waybill.ops.books import summarise
    from waybill.warehouse.connection import connect
    from waybill_devtools import demo as main_job
    from waybill_devtools.stack import Stack

    stack = Stack()
    began = time.monotonic()
    pipelines: Sequence[main_job.Pipeline] = main_job.ALL_PERIODS if all_periods else main_job.PIPELINES
    if with_spark:
        pipelines = main_job.on_spark(pipelines)
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=messages, transient=True) as progress:
        steps = progress.add_task("checking the stack", total=None)
        bars = {
            pipeline: progress.add_task(
                f"{pipeline.dag_id}, {'on arrival' if pipeline.is_on_arrival else f'{pipeline.cadence}s'}",
                total=pipeline.backfilled or 1,
                start=False,
            )
            for pipeline in pipelines
        }

        def move(pipeline: main_job.Pipeline, finished: int, total: int) -> None:
            progress.start_task(bars[pipeline])
            progress.update(bars[pipeline], completed=finished, total=total)

        def step(text: str) -> None:
            if not messages.is_terminal:  # without a terminal, bars appear only at the end
                messages.print(text)
            progress.update(steps, description=text)

        def finished(outcome: Outcome) -> None:
            messages.print(f"{time.monotonic() - began:3.0f} s  {_done(outcome)}", highlight=False)

        try:
            outcomes = main_job.run(stack, step=step, progress=move, finished=finished, pipelines=pipelines)
        except KeyboardInterrupt:
            messages.print("The stack keeps running. `make demo` continues, `make down` stops it.")
            raise
    with connect(stack.database_url()) as connection:
        print_screen(connection, stack, outcomes)
    for outcome in outcomes:
        for line in [*outcome.differences, *map(str, summarise(outcome.gaps))]:
            messages.print(line, style="red", markup=False)
    print_line(f"\nFinished in {time.monotonic() - began:.0f} s.")
    if any(outcome.differences or outcome.gaps for outcome in outcomes):
        raise typer.Exit(1)


def print_screen(connection: Connection, stack: Stack, outcomes: Sequence[Outcome]) -> None:
    """Print the books by pipeline, some answers, the addresses, and what to try next."""
    from waybill.cli.tables import print_tables

    latest = {outcome.pipeline.domain: outcome.periods[-1] for outcome in outcomes}
    month, day = latest["messaging"], latest["shop"]
    print_tables(_books(connection, outcomes), _answers(connection, latest), console=console)
    console.print(addresses(stack), highlight=False)
    print_line("\nTry next, after `. ./activate`:")
    commands = [
        (f"waybill books {day} {day} --domain shop", "the books of each dataset, and what is missing"),
        (f"waybill trace top_customers {month}", "the files, rows, checks and code of a report"),
        ("waybill quarantine traffic", "rejected rows and their reasons"),
        *_features_of_somebody(connection),
    ]
    for command, purpose in commands:
        print_line(f"  {command:63} {purpose}")


def _features_of_somebody(connection: Connection) -> list[tuple[str, str]]:
    """Return a command that prints values, and its purpose; nothing if the features were not built."""
    from psycopg import sql

    from waybill.warehouse.connection import table_exists

    newest = sql.Identifier("shop_feature", "customer_orders_v1_latest")
    if not table_exists(connection, newest):
        return []
    query = sql.SQL("select customer_id from {} order by event_ts desc, customer_id limit 1").format(newest)
    return [
        (
            f"waybill features get customer_orders:1 --key customer_id={customer_id}",
            "the values of a customer for models",
        )
        for (customer_id,) in connection.execute(query)
    ]


def _done(outcome: Outcome) -> str:
    """Return what a pipeline has done, and whether its books are right."""
    if outcome.run_seconds is None:
        did = f"{_span(outcome)} was complete already"
    elif outcome.pipeline.is_on_arrival:
        did = f"published reports {outcome.run_seconds:.0f} s after the notification"
    else:
        did = f"backfilled {_span(outcome)} in {outcome.run_seconds:.0f} s"
    agreement = "differ from" if outcome.differences else "match"
    return f"{outcome.pipeline.dag_id}: {did}. The books {agreement} the ground truth."


def _span(outcome: Outcome) -> str:
    return " to ".join(dict.fromkeys(map(str, (outcome.periods[0], outcome.periods[-1]))))


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))


def _books(connection: Connection, outcomes: Sequence[Outcome]) -> Table:
    """Return the sums of each pipeline's books."""
    from waybill.formatting import text
    from waybill.intake.ledger import COUNTS, imbalance
    from waybill.ops.books import balances

    names = ("files", *COUNTS)
    table = _table("Every row is accounted for: rows in = inserted + updated + … + filtered")
    table.add_column("pipeline")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_column("balance")
    table.add_column("ground truth")
    for outcome in outcomes:
        rows = balances(connection, outcome.pipeline.domain, outcome.periods)
        sums: dict[str, Any] = {name: sum(row[name] for row in rows) for name in names}
        difference = imbalance(sums)
        table.add_row(
            outcome.pipeline.dag_id,
            *(text(int(sums[name])) for name in names),
            f"[red]off by {difference}[/]" if difference else "[green]ok[/]",
            "[red]differs[/]" if outcome.differences else "[green]matches[/]",
        )
    return table


def _answers(connection: Connection, latest: dict[str, Period]) -> Table:
    """Return the answers to the questions for the latest period of each domain."""
    from psycopg import sql
    from psycopg.rows import dict_row

    from waybill.contracts.display import cell
    from waybill.derived.build import of_period, report_contract
    from waybill.period import Period
    from waybill.warehouse.schema import columns_sql, relation

    table = _table("\nAnswers from the reports, more of them in Business")
    for heading in ("question", "answer", "report", "period"):
        table.add_column(heading)
    for one in (question for question in QUESTIONS if question.domain in latest):
        contract = report_contract(one.domain, one.report)
        period = Period.of(contract.cadences[0], latest[one.domain].start)
        ranks = [name for name in contract.names if name.endswith("_rank")]
        row = (
            connection.cursor(row_factory=dict_row)
            .execute(
                sql.SQL("select * from {} where {} order by {} limit 1").format(
                    relation(contract), of_period(contract, period), columns_sql([*ranks, *contract.key])
                )
            )
            .fetchone()
        )
        answer = "no rows"
        if row:
            answer = one.answer.format_map({column.name: cell(column, row[column.name]) for column in contract.columns})
        table.add_row(one.question, answer, one.report, str(period))
    return table
