"""Check a batch of records from a shard against the contract, as the intake does with the rows of a file.

Whether an event is late depends only on the records before it in its shard, so a batch may begin and end anywhere.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from waybill.contracts import Contract
from waybill.files.csv_syntax import MAX_RECORD_BYTES
from waybill.files.json_members import MemberNames
from waybill.files.json_records import JsonBody, read_records
from waybill.files.json_text import BLANK_BYTES
from waybill.files.landed_file import LandedFile
from waybill.files.spellings import spellings_of
from waybill.intake.row_source import RowSource, json_text
from waybill.intake.validate import Reject, validate_rows
from waybill.period import Period
from waybill.settings import settings
from waybill.stream.declared import Declared
from waybill.warehouse.forgotten import Forgotten

AFTER_ARRIVAL = "after_arrival"
"""The reason of an event that is dated too long after its arrival."""
KEY_CHARACTERS: Final = 200
"""The most characters of a value by which events are counted or found."""
_PART_BYTES: Final = 6 * 2**20
"""The most bytes that are checked at once, unless one record has more."""
_LINE_END: Final = re.compile(rb"[\r\n]")
_SHOWN_BYTES: Final = 2**16
"""How much is kept of a record that is too long to be read."""


@dataclass(frozen=True)
class Record:
    """A record of a shard."""

    sequence: str
    """Its sequence number: a decimal number that grows within the shard."""
    arrived_at: datetime
    """When the stream received it."""
    data: bytes
    """One JSON object."""


@dataclass(frozen=True)
class Event:
    """An event that meets the contract."""

    record: Record
    event_id: str
    at: datetime
    session: str
    kind: str
    values: list[str | None]
    """The text of each dimension; None if the event has no value."""
    digest: str
    """A hash of all values: a repeated event has the same."""
    raw: str
    """The record as it arrived, on one line."""
    fields: dict[str, str | None]
    """The text of each column."""
    newest: datetime | None
    """The newest event of the shard before this one."""

    @property
    def is_late(self) -> bool:
        """Whether it is older than the newest event of its shard by more than the allowed lateness."""
        lateness = timedelta(minutes=settings().stream_lateness_minutes)
        return self.newest is not None and self.at < self.newest - lateness

    def as_rejected(self, reason: str) -> Rejected:
        """Return the event as one that is rejected for a reason."""
        return Rejected(self.record, [reason], json.dumps(self.fields, ensure_ascii=False), self.newest)


@dataclass(frozen=True)
class Rejected:
    """An event that breaks the contract."""

    record: Record
    reasons: list[str]
    raw: str
    """The fields as a JSON object, or the record's text as a JSON string if the record has no fields."""
    newest: datetime | None
    """The newest event of the shard before this one."""


@dataclass(frozen=True)
class Row:
    """A record that meets the contract as a row of a file."""

    values: dict[str, Any]
    """The typed value of each column."""
    line: str
    """The record on one line."""
    fields: dict[str, str | None]
    """The text of each column."""


@dataclass(frozen=True)
class Batch:
    """The records of a shard that are applied in one transaction."""

    records: Sequence[Record]
    events: list[Event]
    rejected: list[Rejected]
    newest: datetime | None
    """The newest event of the shard after the batch."""
    newest_erasure: int = 0
    """The number of the last erasure whose people were replaced."""


def check(
    duck: Any,
    folder: Path,
    declared: Declared,
    records: Sequence[Record],
    newest: datetime | None,
    forgotten: Forgotten | None = None,
) -> Batch:
    """Check records of a shard, in their order, against the contract.

    Args:
        duck: a DuckDB connection, which may be used for many batches.
        folder: scratch space for the batch.
        declared: the stream.
        records: the records.
        newest: the newest event of the shard before them; None if there is none.
        forgotten: people whose values are replaced, also in the records as they are kept.
    """
    events, rejected = list[Event](), list[Rejected]()
    for record, row in zip(records, _rows(duck, folder, declared, records, forgotten), strict=True):
        one = _checked(declared, record, row, newest)
        if isinstance(one, Rejected):
            rejected.append(one)
            continue
        events.append(one)
        newest = one.at if newest is None else max(newest, one.at)
    return Batch(records, events, rejected, newest, forgotten.newest if forgotten else 0)


def check_again(
    duck: Any, folder: Path, declared: Declared, kept: Sequence[Rejected], forgotten: Forgotten | None = None
) -> tuple[list[Event], list[Rejected]]:
    """Check rejected events that have fields again, and return (those that pass, those that do not).

    The arguments are those of `check`. Each event has the newest one before it as it was when it arrived.
    """
    records = [replace(one.record, data=one.raw.encode()) for one in kept]
    rows = _rows(duck, folder, declared, records, forgotten)
    found = [_checked(declared, record, row, one.newest) for one, record, row in zip(kept, records, rows, strict=True)]
    return [one for one in found if isinstance(one, Event)], [one for one in found if isinstance(one, Rejected)]


def _rows(
    duck: Any, folder: Path, declared: Declared, records: Sequence[Record], forgotten: Forgotten | None
) -> list[Row | Reject]:
    """Return the typed row of each record, or the reasons to reject it."""
    rows = list[Row | Reject]()
    for day, some in groupby(records, key=_last_day):
        for part in _parts(some):
            rows += _validated(duck, folder, declared.contract, part, day, forgotten)
    return rows


def _parts(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield records in parts for which DuckDB's memory suffices."""
    part, size = list[Record](), 0
    for record in records:
        if part and size + len(record.data) > _PART_BYTES:
            yield part
            part, size = [], 0
        part.append(record)
        size += len(record.data)
    yield part


def _checked(declared: Declared, record: Record, row: Row | Reject, newest: datetime | None) -> Event | Rejected:
    if isinstance(row, Reject):
        return Rejected(record, row.reasons, row.raw, newest)
    event = _event(declared, record, row, newest)
    return event.as_rejected(AFTER_ARRIVAL) if event.at > _latest(record) else event


def _latest(record: Record) -> datetime:
    return record.arrived_at + timedelta(seconds=settings().stream_ahead_seconds)


def _last_day(record: Record) -> date:
    """Return the last business day that an event may have: it stands for the period of a file."""
    return _latest(record).astimezone(ZoneInfo(settings().timezone)).date()


def _event(declared: Declared, record: Record, row: Row, newest: datetime | None) -> Event:
    stream, values = declared.stream, row.values
    return Event(
        record,
        _key(values[declared.contract.key[0]]),
        values[declared.instant_column],
        _key(values[stream.session]),
        _key(values[stream.kind]),
        [None if values[name] is None else _key(values[name]) for name in stream.dimensions],
        _digest(values),
        row.line,
        row.fields,
        newest,
    )


def _digest(values: dict[str, Any]) -> str:
    """Return a hash of the values. A column that the contract gains does not change that of events without it."""
    present = [(name, value) for name, value in sorted(values.items()) if value is not None]
    return hashlib.md5(repr(present).encode(), usedforsecurity=False).hexdigest()


def _key(value: Any) -> str:
    """Return the text of a value by which events are counted or found.

    An index of PostgreSQL holds no text of more than 2,704 bytes, so the end of a long one is a hash.
    """
    text = str(value)
    if len(text) <= KEY_CHARACTERS:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: KEY_CHARACTERS - 17]}\N{HORIZONTAL ELLIPSIS}{digest}"


def _validated(
    duck: Any,
    folder: Path,
    contract: Contract,
    records: Sequence[Record],
    day: date,
    forgotten: Forgotten | None,
) -> list[Row | Reject]:
    """Return the typed row of each record of a day, or the reasons to reject it."""
    unread = [_unreadable(place, record) for place, record in enumerate(records)]
    places = [place for place, reject in enumerate(unread) if reject is None]
    body, target = folder / "events.jsonl", folder / "events.csv"
    body.write_bytes(b"".join(_line(records[place].data) + b"\n" for place in places))
    columns, read = contract.names, dict[int, tuple[str, dict[str, str | None]]]()
    parsed = read_records(JsonBody(body, len(places), False), columns, MemberNames(spellings_of(contract)))
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for place, record in zip(places, parsed, strict=True):
            if record.reasons:
                unread[place] = Reject(place, record.reasons, json_text(record.text))
                continue
            writer.writerow([place, *record.fields])
            read[place] = record.text, dict(zip(columns, record.fields, strict=True))
    if forgotten:  # those that are read are checked without forgotten people
        unread = [replace(one, raw=forgotten.without_people(one.raw)) if one else None for one in unread]
    found: list[Row | Reject | None] = [*unread]
    if read:
        landed = LandedFile("", "", "", 0, Period.of(contract.cadence, day), records[0].arrived_at)
        source = RowSource(landed, target, len(read), columns, is_numbered=True, is_whole=False)
        for batch in validate_rows(duck, source, contract, {}, forgotten):
            for row in batch.to_pylist():
                place = int(row["_record"])
                if row["_reasons"]:
                    found[place] = Reject(place, row["_reasons"], row["_raw"])
                elif fields := row.get("_forgotten"):
                    found[place] = Row(_values(contract, row), fields, json.loads(fields))
                else:
                    found[place] = Row(_values(contract, row), *read[place])
    assert None not in found
    return [row for row in found if row is not None]


def _unreadable(place: int, record: Record) -> Reject | None:
    """Return why a record cannot be read as a line of a file; None if it can."""
    text = record.data.strip(BLANK_BYTES)
    if len(text) > MAX_RECORD_BYTES:
        return Reject(place, ["too_long"], json_text(text[:_SHOWN_BYTES].decode("utf-8", "replace")))
    if not text or (_LINE_END.search(text) and not _is_json(text)):
        return Reject(place, ["json"], json_text(text.decode("utf-8", "replace")))
    return None


def _is_json(text: bytes) -> bool:
    """Return whether a text with line ends is JSON. Then they occur only between tokens."""
    try:
        json.loads(text)
    except UnicodeDecodeError:
        return True  # its line says so
    except (ValueError, RecursionError):
        return False
    return True


def _line(data: bytes) -> bytes:
    """Return a record on one line."""
    return _LINE_END.sub(b" ", data.strip(BLANK_BYTES))


def _values(contract: Contract, row: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a row; UUIDs, which DuckDB returns as 16 bytes, as text."""
    values = {name: row[name] for name in contract.names}
    for column in contract.columns:
        if column.physical_type == "uuid" and (found := values[column.name]) is not None:
            text = found.hex()
            values[column.name] = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return values
