"""The command stream demo."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from waybill.cli.stream import stream
from waybill.cli.terminal import console, messages, print_line, report_errors
from waybill_devtools.commands.stack import addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from waybill_devtools.stream_demo import Progress


@stream.command()
@report_errors
def demo(
    rate: Annotated[float, typer.Option(min=1, max=5000, help="Events per second.")] = 200,
    seconds: Annotated[float | None, typer.Option(min=1, help="End after so long. [default: at Ctrl-C]")] = None,
    shards: Annotated[int, typer.Option(min=1, max=16, help="Shards of the stream.")] = 2,
    seed: Annotated[int, typer.Option(help="Random seed of the shoppers.")] = 20260101,
    too_late: Annotated[float, typer.Option(min=0, max=0.2, help="Share of events that are too late to count.")] = 0.0,
    future: Annotated[float, typer.Option(min=0, max=0.2, help="Share of events dated in the future.")] = 0.0,
) -> None:
    """Simulate shoppers and count their clicks as they arrive, until Ctrl-C.

    Of the events, 5 % are repeated, 3 % are late by up to ten minutes, and 0.5 % are malformed.
    """
    from waybill_devtools import stream_demo
    from waybill_devtools.sampledata.shop_stream import Mix
    from waybill_devtools.stack import Stack

    stack = Stack()
    with messages.status("checking the stack") as line:
        stack.up(report=line.update)
    options = stream_demo.Options(rate, seconds, shards, seed, Mix(too_late=too_late, future=future))

    def ready() -> None:
        console.print(addresses(stack), highlight=False)
        print_line(f"\nLive view: {stack.airflow_address()}{stream_demo.PAGE}")
        print_line("Revenue needs the prices that `make demo` loads. Ctrl-C stops producer and consumer.\n")

    with _stopped_by_signals() as stop:
        found = stream_demo.run(stack, options, stop, ready=ready, report=_report)
    _report(found)
    if found.events != found.sent:
        messages.print(f"{found.sent - found.events} events are not accounted for.", style="red")
        raise typer.Exit(1)
    print_line("Producer and consumer have stopped, and the stream is deleted. The counts stay.")


def _report(progress: Progress) -> None:
    lag = "no lag yet" if progress.lag_seconds is None else f"lag {progress.lag_seconds:.1f} s"
    print_line(
        f"{progress.events:,} of {progress.sent:,} events, {progress.repeated:,} repeated, {progress.late:,} late, "
        f"{progress.rejected:,} rejected, {lag}"
    )


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Let Ctrl-C, SIGTERM and a closed terminal set an event."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
