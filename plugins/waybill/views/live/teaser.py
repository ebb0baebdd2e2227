"""What the business view says about the streams of a domain."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection

from waybill.formatting import count
from waybill.stream.declared import Declared, streams_of
from waybill.views import catalog
from waybill.views.business.charts import with_unit
from waybill.views.live.content import notice_of
from waybill.views.live.figures import (
    MINUTES,
    current_instant,
    first_read,
    is_idle,
    newest_event,
    recent_events,
    shown_minutes,
    worth_of,
)


@dataclass(frozen=True)
class Teaser:
    """A figure of a stream that leads to its live page."""

    dataset: str
    name: str
    text: str
    note: str


def teasers(connection: Connection, domain: str) -> list[Teaser]:
    """Return a figure for each stream of a domain that a consumer has ever read."""
    found = (_teaser(connection, declared) for declared in streams_of(domain))
    return [one for one in found if one]


def _teaser(connection: Connection, declared: Declared) -> Teaser | None:
    if first_read(connection, declared.dataset) is None:
        return None
    now, amount = current_instant(connection), declared.stream.amount
    newest = newest_event(connection, declared.dataset)
    if newest is None or is_idle(newest, now):
        shown = notice_of(newest, now).rstrip(".")
    else:
        shown = f"{count(recent_events(connection, declared.dataset, newest), 'event')} a minute"
    note = ""
    if amount:
        worth = worth_of(connection, declared, amount, shown_minutes(now))
        total = sum(worth.by_minute.values())
        note = f"{amount.label} of the last {MINUTES} minutes: {with_unit(amount.unit, total)}" if worth.top else ""
    return Teaser(declared.dataset, f"Live: {catalog.heading(declared.contract.name)}", shown, note)
