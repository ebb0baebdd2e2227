"""What the live page shows: figures, charts and shards as texts, and the same as data for its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from waybill.contracts.domains import Amount
from waybill.formatting import count, text
from waybill.settings import settings
from waybill.stream.declared import Declared
from waybill.stream.lag import ShardState
from waybill.views import catalog
from waybill.views.business.charts import Chart, Heading, Row, with_unit
from waybill.views.live.figures import FUNNEL_MINUTES, MINUTES, MOST_REJECTED, Figures, Value, is_idle

SO_FAR: Final = "so far"
"""The note of the current minute, which is not over."""
SHARD_HEADINGS: Final = (
    "Shard",
    "Read by",
    "Lag",
    "Last record arrived",
    "Events",
    "Counted",
    "Repeated",
    "Late",
    "Rejected",
)


@dataclass(frozen=True)
class Cell:
    """A text that may change."""

    text: str
    note: str = ""
    """What follows in small type."""
    since: datetime | None = None
    """The script shows the age of this instant instead of the text."""
    state: str = ""
    """`good`, `warned` or `bad`; empty without a colour."""


@dataclass(frozen=True)
class Tile:
    """A figure."""

    name: str
    cell: Cell
    link: str = ""
    """The address of the page behind it."""


@dataclass(frozen=True)
class Section:
    """A chart with its table."""

    title: str
    purpose: str
    chart: Chart
    empty: str
    """What it says without rows."""


@dataclass(frozen=True)
class Content:
    """The content of the page."""

    dataset: str
    domain: str
    now: datetime
    zone: str
    """The business time zone."""
    is_read: bool
    """Whether a consumer has ever read the stream."""
    notice: str
    """Why there are no new figures; empty if there are."""
    tiles: Mapping[str, Tile]
    """By id."""
    sections: Mapping[str, Section]
    """By id."""
    shards: list[list[Cell]]
    """A row of cells for each shard."""
    books: str
    """What the numbers of the shards are."""

    @property
    def as_of(self) -> str:
        """The time of the figures."""
        return clock(self.now, self.now, "%H:%M:%S")

    def as_data(self) -> dict[str, Any]:
        """Return what may change, without the current instant."""
        return {
            "is_read": self.is_read,
            "notice": self.notice,
            "tiles": {name: _cell(tile.cell) for name, tile in self.tiles.items()},
            "sections": {name: [_row(row) for row in one.chart.rows] for name, one in self.sections.items()},
            "shards": [[_cell(cell) for cell in row] for row in self.shards],
            "books": self.books,
        }


def content(declared: Declared, now: datetime, found: Figures | None) -> Content:
    """Return the content for the figures of a stream; None if it was never read."""
    return Content(
        dataset=declared.dataset,
        domain=declared.contract.domain,
        now=now,
        zone=settings().timezone,
        is_read=found is not None,
        notice=_notice(found) if found else "",
        tiles=_tiles(declared, found),
        sections=_sections(declared, found),
        shards=[_shard(one, found.is_supervised) for one in found.shards] if found else [],
        books=f"Events = counted + repeated + late + rejected, since the stream began at "
        f"{clock(found.created_at, found.now)}."
        if found
        else "",
    )


def _notice(found: Figures) -> str:
    """Return why there are no new figures, and whether that is because no consumer runs; empty if there are."""
    notice = notice_of(found.newest, found.now)
    is_read = any(one.owner for one in found.shards)
    return notice if is_read or not notice else f"{notice} No consumer reads the stream."


def notice_of(newest: datetime | None, now: datetime) -> str:
    """Return why a stream has no new events; empty if it has. `newest` is its newest event."""
    if newest is None:
        return "No events yet."
    return f"No events since {clock(newest, now)}." if is_idle(newest, now) else ""


def clock(instant: datetime, now: datetime, form: str = "%H:%M") -> str:
    """Return the time of an instant in the business time zone, with the date if it is not that of `now`."""
    zone = ZoneInfo(settings().timezone)
    there, here = instant.astimezone(zone), now.astimezone(zone)
    return there.strftime(form if there.date() == here.date() else f"%Y-%m-%d {form}")


def kind_events(amount: Amount) -> str:
    """Return the heading of the events of the amount's kind, such as `Payment events`."""
    return f"{catalog.heading(amount.kind)} events"


def _tiles(declared: Declared, found: Figures | None) -> dict[str, Tile]:
    """Return the figures by id. Without figures, their texts are empty."""
    amount = declared.stream.amount
    tiles = {"rate": Tile("Events a second", _rate(found)), "newest": Tile("Newest event", _newest(found))}
    if amount:
        tiles["kind"] = Tile(kind_events(amount), _of_kind(found))
        tiles["worth"] = Tile(amount.label, _worth(declared, amount, found))
    link = f"../operations/quarantine.html?dataset={declared.dataset}"
    return tiles | {
        "late": Tile("Late events", _counted(found.late) if found else Cell("")),
        "rejected": Tile(
            "Open rejected events",
            _counted(found.rejected, "warned" if found.rejected[0] else "") if found else Cell(""),
            link,
        ),
        "repeated": Tile("Repeated events", _repeated(found)),
    }


def _rate(found: Figures | None) -> Cell:
    if found is None or found.newest is None:
        return Cell("none")
    if is_idle(found.newest, found.now):
        return Cell("none", f"since {clock(found.newest, found.now)}", state="warned")
    return Cell(f"{text(found.recent / 60, 1)} events/s", "in the last 60 seconds")


def _newest(found: Figures | None) -> Cell:
    if found is None or found.newest is None:
        return Cell("none")
    return Cell(clock(found.newest, found.now, "%H:%M:%S"), f"at {clock(found.newest, found.now)}", since=found.newest)


def _of_kind(found: Figures | None) -> Cell:
    if found is None or not found.events:
        return Cell("none", f"in the last {MINUTES} minutes")
    return Cell(count(sum(one.of_kind for one in found.minutes), "event"), f"in the last {MINUTES} minutes")


def _worth(declared: Declared, amount: Amount, found: Figures | None) -> Cell:
    if found is None or not found.events:
        return Cell("none", f"in the last {MINUTES} minutes")
    worth = with_unit(amount.unit, sum(one.worth for one in found.minutes))
    if not found.without_row:
        return Cell(worth, f"in the last {MINUTES} minutes")
    verb = "has" if found.without_row == 1 else "have"
    return Cell(
        worth,
        f"without {count(found.without_row, 'event')} that {verb} no row in {declared.contract.domain}.{amount.table}",
        state="warned",
    )


def _counted(numbers: tuple[int, int], state: str = "") -> Cell:
    shown, of_day = (
        f"more than {text(MOST_REJECTED)} events" if number > MOST_REJECTED else count(number, "event")
        for number in numbers
    )
    return Cell(shown, f"in the last {MINUTES} minutes; {of_day} today", state=state)


def _repeated(found: Figures | None) -> Cell:
    if found is None:
        return Cell("")
    number = sum(one.repeated for one in found.shards)
    return Cell(count(number, "event"), f"since {clock(found.created_at, found.now)}")


def _sections(declared: Declared, found: Figures | None) -> dict[str, Section]:
    stream = declared.stream
    sections = {
        "minutes": Section(
            f"The last {MINUTES} minutes",
            "By the instants of the events. The hollow point is the current minute so far.",
            _minutes(declared, found),
            f"No events in the last {MINUTES} minutes.",
        )
    }
    if stream.funnel:
        sections["funnel"] = Section(
            f"Funnel of the last {FUNNEL_MINUTES} minutes",
            f"Sessions with an event in the last {FUNNEL_MINUTES} minutes, by the steps that they reached in order.",
            _funnel(stream.funnel, found),
            f"No sessions in the last {FUNNEL_MINUTES} minutes.",
        )
    for dimension in stream.dimensions:
        amount = stream.amount if stream.amount and stream.amount.column == dimension else None
        column = next(one for one in declared.contract.columns if one.name == dimension)
        events = kind_events(amount) if amount else "Events"
        sections[f"top-{dimension}"] = Section(
            f"{catalog.column_heading(column)}: most {events[:1].lower()}{events[1:]}",
            f"The values with most {events[:1].lower()}{events[1:]} in the last {MINUTES} minutes.",
            _top(catalog.column_heading(column), events, amount, found.top[dimension] if found else []),
            f"No {events[:1].lower()}{events[1:]} in the last {MINUTES} minutes.",
        )
    return sections


def _minutes(declared: Declared, found: Figures | None) -> Chart:
    """Return a line for all events and, with an amount, for the events of its kind and what they are worth.

    A minute without any event is left out: it can mean that nothing happened, or that nothing was read.
    """
    amount = declared.stream.amount
    headings = [Heading("Minute", is_numeric=False), Heading("Events", "events", is_drawn=True)]
    if amount:
        headings += [
            Heading(kind_events(amount), "events", is_drawn=True),
            Heading(f"{amount.label} ({amount.unit})", amount.unit, is_drawn=True),
        ]
    rows = []
    for place, one in enumerate(reversed(found.minutes if found and found.events else [])):
        if not one.events:
            continue
        numbers = [one.events, one.of_kind, one.worth] if amount else [one.events]
        label = one.start.astimezone(ZoneInfo(settings().timezone)).strftime("%H:%M")
        cells = [label if place else f"{label} {SO_FAR}", *(text(number) for number in numbers)]
        rows.append(Row(cells, label, dict(enumerate(numbers, 1)), "" if place else SO_FAR, day=one.start))
    return Chart(headings, rows, "line")


def _funnel(steps: Sequence[str], found: Figures | None) -> Chart:
    headings = [Heading("Step", is_numeric=False), Heading("Sessions", "sessions", is_drawn=True)]
    reached = found.reached if found and found.sessions else []
    rows = [
        Row([catalog.heading(step), text(number)], catalog.heading(step), {1: number})
        for step, number in zip(steps, reached, strict=False)
    ]
    return Chart(headings, rows, "funnel")


def _top(heading: str, events: str, amount: Amount | None, found: Sequence[Value]) -> Chart:
    headings = [Heading(heading, is_numeric=False), Heading(events, "events", is_drawn=True)]
    if amount:
        headings.append(Heading(f"{amount.label} ({amount.unit})"))
    rows = [
        Row(
            [one.value, text(one.events), *([text(one.worth)] if amount else [])],
            one.value or "(empty)",
            {1: one.events},
        )
        for one in found
    ]
    return Chart(headings, rows, "bars")


def _shard(one: ShardState, is_supervised: bool) -> list[Cell]:
    """Return the cells of a shard. One that is not supervised need not be read, so it does not lag without a reader."""
    if one.is_finished:
        read_by = Cell("finished")
    elif one.owner:
        read_by = Cell(one.owner)
    else:
        note = "" if one.is_open else "follows others that are read first"
        read_by = Cell("nobody", note, state="bad" if one.is_open and is_supervised else "")
    arrived = (
        Cell(clock(one.arrived_at, one.now, "%H:%M:%S"), since=one.arrived_at)
        if one.arrived_at
        else Cell("no record yet")
    )
    name = Cell(one.shard)
    if one.lost_at:
        name = Cell(one.shard, f"records were lost, found {clock(one.lost_at, one.now)}", state="bad")
    books = (one.events, one.counted, one.repeated, one.late, one.rejected)
    lag = _lag(one) if is_supervised or one.owner else Cell("")
    return [name, read_by, lag, arrived, *(Cell(text(number)) for number in books)]


def _lag(one: ShardState) -> Cell:
    """Return the lag, as the age of an instant that changes only when the shard is read."""
    if one.lag_seconds is None:
        return Cell("")
    since = one.now - timedelta(seconds=one.lag_seconds)
    since = since.replace(microsecond=since.microsecond // 100_000 * 100_000)
    note = f"too long since {clock(one.behind_since, one.now)}" if one.behind_since else ""
    return Cell(f"since {clock(since, one.now, '%H:%M:%S')}", note, since, "bad" if note else "")


def _cell(cell: Cell) -> dict[str, Any]:
    since = {"since": milliseconds(cell.since)} if cell.since else {}
    return {"text": cell.text, "note": cell.note, "state": cell.state} | since


def _row(row: Row) -> dict[str, Any]:
    data: dict[str, Any] = {"cells": row.cells, "label": row.label}
    data["values"] = {place: float(value) for place, value in row.values.items()}
    if row.note:
        data["note"] = row.note
    if row.day:
        data["day"] = row.day.isoformat()
    return data


def milliseconds(instant: datetime) -> int:
    """Return an instant as JavaScript counts: milliseconds since 1970."""
    return round(instant.timestamp() * 1000)
