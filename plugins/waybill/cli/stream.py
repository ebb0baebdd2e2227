"""Commands about streams: run, status, archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waybill.cli.terminal import app, print_line, report_errors

stream = typer.Typer(no_args_is_help=True, help="Count the events of a stream as they arrive.")
app.add_typer(stream, name="stream")

Streamed = Annotated[
    str | None,
    typer.Option("--dataset", metavar="DATASET", help="A dataset with a stream, such as billing.payments."),
]


@stream.command()
@report_errors
def run(
    dataset: Streamed = None,
    alive: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file to touch every few seconds, for health checks."),
    ] = None,
) -> None:
    """Read a stream until SIGTERM or Ctrl-C. Several of these processes share its shards."""
    import logging
    import signal
    import threading

    from waybill.errors import DataError
    from waybill.stream import kinesis
    from waybill.stream.consumer import Consumer
    from waybill.stream.declared import declared_stream

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    declared = declared_stream(dataset)
    if declared.name is None:
        raise DataError(f'Name the stream of {declared.dataset}: WAYBILL_STREAMS={{"{declared.dataset}": "STREAM"}}')
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Consumer(declared, declared.name, kinesis.client(), alive).run(stop)


@stream.command()
@report_errors
def status(dataset: Streamed = None) -> None:
    """Show the position, owner, lag and books of each shard. Exit code 1 if the lag is a problem."""
    from waybill.cli import tables
    from waybill.errors import CommandFailed
    from waybill.stream.declared import declared_stream
    from waybill.stream.lag import known_state
    from waybill.warehouse.connection import connect

    declared = declared_stream(dataset)
    with connect() as connection:
        state = known_state(connection, declared.dataset)
    if state is None:
        raise CommandFailed(f"No consumer has read a stream of {declared.dataset}: run `waybill stream run`.")
    tables.print_tables(tables.shards_table(state))
    if state.is_behind_for_long:
        raise CommandFailed(
            f"The stream lags by {state.lag_seconds:,.0f} s, since {state.behind_since:%Y-%m-%d %H:%M}."
        )


@stream.command()
@report_errors
def archive(dataset: Streamed = None) -> None:
    """Write the events of all past hours to the raw zone now, including late ones that still wait."""
    from datetime import UTC, datetime

    import boto3

    from waybill.formatting import count
    from waybill.stream.archive import write
    from waybill.stream.declared import declared_stream
    from waybill.stream.maintenance import lock_name
    from waybill.warehouse.connection import advisory_lock, connect

    declared = declared_stream(dataset)
    with connect() as connection, advisory_lock(connection, lock_name(declared.dataset)):
        files = write(connection, boto3.client("s3"), declared, datetime.now(UTC), has_all_late=True)
    print_line(f"{count(files, 'file')} of {declared.dataset} {'was' if files == 1 else 'were'} written.")
