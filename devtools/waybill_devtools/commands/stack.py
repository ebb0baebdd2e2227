"""Commands about the embedded stack: up, down, status, env."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from waybill.cli.terminal import app, console, messages, report_errors
from waybill.settings import settings

if TYPE_CHECKING:
    from waybill_devtools.stack import Stack


@app.command()
@report_errors
def up(
    airflow: Annotated[bool, typer.Option(help="Also start Airflow.")] = True,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Run tasks on Celery workers; 0: in the scheduler. [default: as before]")
    ] = None,
) -> None:
    """Start the embedded stack. Parts that run already keep running."""
    from waybill.warehouse.connection import connect
    from waybill.warehouse.migrations import upgrade
    from waybill_devtools.stack import Stack

    stack = Stack()
    began = time.monotonic()
    with messages.status("checking the stack") as line:
        changed = stack.up(with_airflow=airflow, workers=workers, report=line.update)
        upgrade(connect(stack.database_url()))
    console.print(f"Started in {time.monotonic() - began:.0f} s." if changed else "Everything is running already.")
    table = addresses(stack, with_airflow=airflow)
    table.add_row("Shell", ". ./activate")
    console.print(table, highlight=False)


@app.command()
@report_errors
def down() -> None:
    """Stop every process of the embedded stack."""
    from waybill_devtools.stack import Stack

    Stack().down()
    console.print("Stopped.")


@app.command()
@report_errors
def status() -> None:
    """List the parts of the embedded stack. The exit code is 1 unless all of them run."""
    from waybill.cli import tables
    from waybill_devtools.stack import Stack

    services = Stack().status()
    table = Table("part", "state", "process", "address", "log", box=None)
    for service in services:
        table.add_row(
            service.name, service.state, str(service.pid or ""), service.address, os.path.relpath(service.log)
        )
    if services:
        tables.print_tables(table)
    else:
        console.print("The stack was never started. Run `make up`.")
    if not services or any(service.state != "running" for service in services):
        raise typer.Exit(1)


@app.command()
@report_errors
def env() -> None:
    """Print the environment of the embedded stack as shell commands for `eval`."""
    from waybill_devtools.stack import Stack

    print(Stack().shell_script(), end="")


def addresses(stack: Stack, *, with_airflow: bool = True) -> Table:
    """Return the addresses and log-ins of the stack."""
    table = Table(box=None, show_header=False, pad_edge=False)
    if with_airflow:
        table.add_row("Airflow", stack.airflow_address())
        for user, password in stack.passwords().items():
            table.add_row("  log-in", f"{user} / {password}")
    for service in stack.status():
        if service.name == "postgres":
            table.add_row("Warehouse", f"{service.address}   psql, after `. ./activate`")
        elif service.name == "s3":
            table.add_row("S3", f"http://{service.address}")
            buckets = settings().raw_bucket, settings().reports_bucket, settings().lake_bucket
            table.add_row("  buckets", ", ".join(buckets))
    table.add_row("Stop", "make down")
    return table
