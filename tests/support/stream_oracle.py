"""Windows, sessions and books of the clickstream, computed from the producer's log in plain Python.

Nothing here is of the code under test: records are read by `json`, and the rules are those of the documents.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

EVENT_TYPES = ("page_view", "product_view", "add_to_cart", "checkout", "purchase")
FUNNEL = EVENT_TYPES[1:]
DIMENSIONS = ("page", "device", "product_id")
MINUTE = timedelta(minutes=1)


class Logged(Protocol):
    """A record that is in the stream."""

    @property
    def shard(self) -> str: ...
    @property
    def sequence(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def arrived_at(self) -> datetime: ...


@dataclass
class Rules:
    lateness: timedelta = timedelta(minutes=10)
    ahead: timedelta = timedelta(seconds=60)
    pause: timedelta = timedelta(minutes=30)


@dataclass
class Expected:
    counts: Counter[tuple[datetime, str, str, str]] = field(default_factory=Counter)
    """Events by minute, kind, dimension and value; the dimension is empty for all events of the kind."""
    sliding: Counter[tuple[datetime, str, str, str]] = field(default_factory=Counter)
    """The same of the five minutes before an instant."""
    late: Counter[tuple[datetime, str]] = field(default_factory=Counter)
    """Events that are too late, by minute and kind."""
    sessions: set[tuple[str, datetime, datetime, int, int]] = field(default_factory=set)
    """Session, first and last event, number of events, and steps of the funnel."""
    books: dict[str, Counter[str]] = field(default_factory=dict)
    """Events, counted, repeated, late and rejected ones of each shard."""
    rejected: set[tuple[str, str]] = field(default_factory=set)
    """Shard and sequence number of rejected records."""
    newest: dict[str, datetime | None] = field(default_factory=dict)
    """The newest event of each shard."""


def expected(log: Iterable[Logged], parents: Mapping[str, Sequence[str]], rules: Rules | None = None) -> Expected:
    """Return what a stream should have come to, from its records in any order and the parents of its shards.

    The records of an event's key must be in one shard and its descendants.
    """
    rules, found = rules or Rules(), Expected()
    by_shard = defaultdict[str, list[Logged]](list)
    for record in log:
        by_shard[record.shard].append(record)
    known, counted = dict[str, tuple[Any, ...]](), list[dict[str, Any]]()
    for shard in _parents_first({**dict.fromkeys(by_shard, ()), **parents}):
        begins = [newest for parent in parents.get(shard, ()) if (newest := found.newest[parent]) is not None]
        newest = min(begins, default=None)
        books = found.books[shard] = Counter(events=0, counted=0, repeated=0, late=0, rejected=0)
        for record in sorted(by_shard[shard], key=lambda one: int(one.sequence)):
            books["events"] += 1
            event = read(record.data)
            if event is None or event["ts"] > record.arrived_at + rules.ahead:
                books["rejected"] += 1
                found.rejected.add((shard, record.sequence))
                continue
            is_late = newest is not None and newest - event["ts"] > rules.lateness
            newest = event["ts"] if newest is None else max(newest, event["ts"])
            values = tuple(sorted((name, str(value)) for name, value in event.items()))
            if event["event_id"] in known:
                if known[event["event_id"]] == values:
                    books["repeated"] += 1
                else:
                    books["rejected"] += 1
                    found.rejected.add((shard, record.sequence))
                continue
            known[event["event_id"]] = values
            minute = event["ts"].replace(second=0, microsecond=0)
            if is_late:
                books["late"] += 1
                found.late[minute, event["event_type"]] += 1
            else:
                books["counted"] += 1
                counted.append(event)
        found.newest[shard] = newest
    _windows(found, counted)
    _sessions(found, counted, rules.pause)
    return found


def read(data: bytes) -> dict[str, Any] | None:
    """Return the values of an event; None if it breaks the contract."""
    try:
        event = json.loads(data.decode("utf-8"))
        values = {
            "event_id": str(uuid.UUID(event["event_id"])),
            "session_id": str(uuid.UUID(event["session_id"])),
            "customer_id": event.get("customer_id"),
            "event_type": event["event_type"],
            "page": event["page"],
            "product_id": event.get("product_id"),
            "ts": datetime.fromisoformat(event["ts"]).astimezone(UTC),
            "device": event["device"],
        }
    except (ValueError, KeyError, TypeError):
        return None
    is_valid = (
        values["event_type"] in EVENT_TYPES
        and all(values[name] is None or values[name] >= 1 for name in ("customer_id", "product_id"))
        and bool(values["page"])
        and 1 <= len(values["device"]) <= 50
    )
    return values if is_valid else None


def steps(events: Iterable[tuple[datetime, str]]) -> int:
    """Return how many steps of the funnel events reach, each by its instant and kind."""
    reached = 0
    for _, step in sorted((at, FUNNEL.index(kind)) for at, kind in events if kind in FUNNEL):
        reached += step == reached
    return reached


def _windows(found: Expected, events: Iterable[dict[str, Any]]) -> None:
    for event in events:
        minute = event["ts"].replace(second=0, microsecond=0)
        places = [("", ""), *((name, str(event[name])) for name in DIMENSIONS if event[name] is not None)]
        for place in places:
            found.counts[minute, event["event_type"], *place] += 1
            for later in range(1, 6):
                found.sliding[minute + later * MINUTE, event["event_type"], *place] += 1


def _sessions(found: Expected, events: Iterable[dict[str, Any]], pause: timedelta) -> None:
    by_session = defaultdict[str, list[tuple[datetime, str]]](list)
    for event in events:
        by_session[event["session_id"]].append((event["ts"], event["event_type"]))
    for session, acts in by_session.items():
        acts.sort()
        begins = [0, *(place for place in range(1, len(acts)) if acts[place][0] - acts[place - 1][0] > pause)]
        for first, end in zip(begins, [*begins[1:], len(acts)], strict=True):
            part = acts[first:end]
            found.sessions.add((session, part[0][0], part[-1][0], len(part), steps(part)))


def _parents_first(parents: Mapping[str, Sequence[str]]) -> list[str]:
    ordered = list[str]()

    def visit(shard: str) -> None:
        for parent in parents[shard]:
            visit(parent)
        if shard not in ordered:
            ordered.append(shard)

    for shard in parents:
        visit(shard)
    return ordered
