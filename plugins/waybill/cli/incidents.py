"""Commands about incidents: incidents list, show, acknowledge, mute, unmute, close."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from waybill.cli.arguments import Domain, Limit
from waybill.cli.terminal import app, operating_system_user, print_line, report_errors
from waybill.warehouse import LARGEST_INTEGER

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.ops.incidents import Incident


class _ListByDefault(TyperGroup):
    """A group whose subcommand `list` may be left out."""

    default = "list"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Add the default before the options if no subcommand comes first."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


incidents_app = typer.Typer(
    cls=_ListByDefault, help="List incidents, and acknowledge, mute or close them. Without a command: list."
)
app.add_typer(incidents_app, name="incidents")

Number = Annotated[
    int, typer.Argument(help="Number of an incident, as `waybill incidents` shows it.", min=1, max=LARGEST_INTEGER)
]
Numbers = Annotated[
    list[int],
    typer.Argument(help="Numbers of incidents, as `waybill incidents` shows them.", min=1, max=LARGEST_INTEGER),
]


@incidents_app.command("list")
@report_errors
def incidents_list(
    domain: Domain = None,
    closed: Annotated[bool, typer.Option("--closed", help="List the newest closed incidents instead.")] = False,
    limit: Limit = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the open incidents: errors first, then the oldest."""
    import json
    from dataclasses import asdict

    from waybill.cli import tables
    from waybill.ops.incidents import closed_incidents, open_incidents
    from waybill.warehouse.connection import connect

    domains = [domain] if domain else None
    with connect() as connection:
        found = closed_incidents(connection, domains, limit) if closed else open_incidents(connection, domains)
    if as_json:
        print(json.dumps([asdict(one) | {"state": one.state} for one in found], default=_iso, indent=2))
    elif found:
        tables.print_tables(tables.incidents_table(found))
    else:
        print_line(f"There is no {'closed' if closed else 'open'} incident.")


@incidents_app.command("show")
@report_errors
def incidents_show(number: Number) -> None:
    """Show an incident: cause, remedy, section of the runbook, history and runs."""
    from waybill.cli import tables
    from waybill.ops.incidents import events_of, numbered, runs_of
    from waybill.views.operations.problem import section_address
    from waybill.warehouse.connection import connect

    with connect() as connection:
        found = numbered(connection, number)
        events, runs = events_of(connection, number), runs_of(connection, number)
    whose = f" of {found.domain}" if found.domain else ""
    print_line(f"Incident {number}{whose}: {found.severity}, {tables.incident_state(found)}")
    print_line(found.what)
    print_line(f"Cause: {found.cause}")
    print_line(f"Remedy: {found.remedy}")
    print_line(f"Runbook: {section_address(found.kind)}")
    tables.print_tables(*tables.incident_tables(events, runs))


@incidents_app.command("acknowledge")
@report_errors
def incidents_acknowledge(numbers: Numbers) -> None:
    """Record that you work on incidents, so that they do not escalate unless they grow."""
    from waybill.ops.incidents import acknowledge

    _change(numbers, acknowledge)


@incidents_app.command("mute")
@report_errors
def incidents_mute(
    numbers: Numbers,
    until: Annotated[
        str | None,
        typer.Option(help="Day, such as 2026-04-30, or instant, such as 2026-04-30T12:00, in the business time zone."),
    ] = None,
    days: Annotated[int | None, typer.Option(help="Number of days from now.", min=1, max=366)] = None,
) -> None:
    """Send no alerts about incidents until an instant. A day ends the silence when it begins."""
    from datetime import UTC, timedelta

    from waybill.errors import DataError
    from waybill.ops.incidents import mute

    now = datetime.now(UTC)
    if (until is None) == (days is None):
        raise DataError("give either --until or --days")
    instant = _instant(until) if until else now + timedelta(days=days or 0)
    if instant <= now:
        raise DataError(f"--until {until}: it is {now:%Y-%m-%d %H:%M} UTC already; give a later instant")
    _change(numbers, lambda connection, number, by: mute(connection, number, by, instant))


@incidents_app.command("unmute")
@report_errors
def incidents_unmute(numbers: Numbers) -> None:
    """Send alerts about muted incidents again."""
    from waybill.ops.incidents import unmute

    _change(numbers, unmute)


@incidents_app.command("close")
@report_errors
def incidents_close(numbers: Numbers) -> None:
    """Close incidents of runs that nobody will repeat. Incidents of data close when the data is right."""
    from waybill.ops.incidents import close

    _change(numbers, close)


def _change(numbers: list[int], change: Callable[[Connection, int, str], Incident]) -> None:
    """Change incidents one after another, and print the new state of each."""
    from waybill.cli import tables
    from waybill.warehouse.connection import connect

    with connect() as connection:
        for number in dict.fromkeys(numbers):
            with connection.transaction():
                found = change(connection, number, operating_system_user())
            print_line(f"{number}: {tables.incident_state(found)}. {found.what}")


def _instant(text: str) -> datetime:
    """Return the instant that a text names; without an offset, in the business time zone.

    Raises `DataError` if it names none.
    """
    from zoneinfo import ZoneInfo

    from waybill.errors import DataError
    from waybill.settings import settings

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"--until {text!r} is no day or instant; write it like 2026-04-30 or 2026-04-30T12:00"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(settings().timezone))


def _iso(value: datetime) -> str:
    return value.isoformat()
