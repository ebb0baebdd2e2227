"""Rejected rows of a dataset with their reasons, and the replay of selected rows.

The rejected events of a stream are rows of its dataset. They have a shard and a sequence number, and no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.contracts import Contract
from waybill.contracts.classification import restricted_names
from waybill.errors import DataError
from waybill.formatting import count, text
from waybill.intake.expectations import RECORD, columns_of, expectation
from waybill.intake.ledger import COUNTS
from waybill.intake.quarantine import REMOVED, record_text
from waybill.period import Period
from waybill.run import Run
from waybill.settings import PREFIX, settings
from waybill.stream.counting import Counts
from waybill.stream.declared import stream_of
from waybill.views.operations.open_rows import Selected
from waybill.views.operations.scope import PAGE_ROWS, Scope, Total

REPLAYED_AT_ONCE = 200
SHARD: Final = "^[A-Za-z0-9_.-]{1,128}$"
"""The pattern of the names of shards."""
HIDDEN: Final = "hidden (restricted)"
HIDDEN_RECORD: Final = "hidden (the dataset has restricted columns)"
SEARCHED = 20_000
"""How many of the newest rejected rows, of the newest events, and of the newest files of a dataset are searched."""

_NEWEST = """
with files as (
  select file_id, period, object_key
  from waybill.load_file
  where dataset = %(dataset)s and status = 'loaded'
    and (%(file_id)s::integer is null or file_id = %(file_id)s)
    and (%(period)s::date is null or period = %(period)s)
    and %(shard)s::text is null
  order by period desc, file_id desc
  limit %(searched)s
),
newest as (
  (
    select
      f.period, f.object_key, q.file_id, q.record, null as shard, null as sequence, null as arrived_at,
      q.reasons, q.raw, q.resolved_as, q.resolved_by
    from files as f
    cross join lateral (select * from waybill.quarantine as q where q.file_id = f.file_id order by q.record) as q
    limit %(searched)s
  )
  union all
  (
    select
      (e.arrived_at at time zone %(timezone)s)::date, null, null, null, e.shard, e.sequence, e.arrived_at,
      e.reasons, e.raw, e.resolved_as, e.resolved_by
    from waybill.stream_rejected as e
    where e.dataset = %(dataset)s
      and (e.resolved_as is null) = %(is_open)s
      and %(file_id)s::integer is null
      and (%(period)s::date is null or (e.arrived_at at time zone %(timezone)s)::date = %(period)s)
      and (%(shard)s::text is null or e.shard = %(shard)s)
    order by e.rejected_at desc
    limit %(searched)s
  )
)
"""
_PAGE = """
, found as (
  select *
  from newest
  where (resolved_as is null) = %(is_open)s and (%(reason)s::text is null or %(reason)s = any(reasons))
)
select *
from (select count(*) as total from found) as counted
left join lateral (
  select *
  from found
  order by period desc, arrived_at desc, found.sequence desc, file_id desc, record
  limit %(limit)s offset %(offset)s
) as page on true
order by period desc, arrived_at desc, page.sequence desc, file_id desc, record
"""


@dataclass(frozen=True)
class BrokenReason:
    """A reason why a row is rejected, and what the contract requires instead."""

    reason: str
    expectation: str


@dataclass(frozen=True)
class Reason:
    """A reason with its rows: what the contract requires, and what to do."""

    reason: str
    rows: int
    """Among them are the events of a stream."""
    expectation: str
    advice: str
    action: Literal["replay", "late", ""]
    """What a request can do with the rows: replay them, admit them, or nothing."""


@dataclass(frozen=True)
class FilePlace:
    """Where a row is in the files of a dataset."""

    file_id: int
    record: int
    object_key: str


@dataclass(frozen=True)
class StreamPlace:
    """Where an event is in the stream of a dataset."""

    shard: str
    sequence: str
    arrived_at: datetime


@dataclass(frozen=True)
class RejectedRow:
    """A row in quarantine, or a rejected event of a stream, as text."""

    place: FilePlace | StreamPlace
    broken: list[BrokenReason]
    values: list[tuple[str, str, bool]]
    """(column, value, whether the value breaks a rule). Restricted values are hidden."""
    raw: str
    """The text of a record without fields; empty for a record with fields."""
    resolved: str
    """How it was resolved; empty for an open row."""

    @property
    def is_hidden(self) -> bool:
        """Whether a value, or the whole record, is hidden."""
        return self.raw == HIDDEN_RECORD or any(value == HIDDEN for _, value, _ in self.values)

    @property
    def can_be_replayed(self) -> bool:
        """Whether the row is open and has fields."""
        return not self.resolved and not self.raw


def most_rejected(connection: Connection, scope: Scope) -> str:
    """Return the dataset of a scope whose newest files and stream have most rejected rows."""
    row = connection.execute(
        """
        select d.dataset
        from unnest(%(datasets)s::text[]) as d (dataset)
        cross join lateral (
          select sum(books.rejected) as rejected
          from (
            (
              select f.rejected
              from waybill.load_file as f
              where f.dataset = d.dataset and f.status = 'loaded'
              order by f.period desc
              limit 1000
            )
            union all
            select s.rejected from waybill.stream_shard as s where s.dataset = d.dataset
          ) as books
        ) as newest
        where newest.rejected is not null
        order by newest.rejected desc, d.dataset
        limit 1
        """,
        {"datasets": scope.datasets},
    ).fetchone()
    return str(row[0]) if row else scope.datasets[0]


def reasons(connection: Connection, contract: Contract, *, is_open: bool = True) -> list[Reason]:
    """Return the reasons of the open or the resolved rows of a dataset, most frequent first."""
    rows = connection.execute(
        sql.SQL(_NEWEST)
        + sql.SQL(
            "select reason, count(*), count(shard) = count(*) from newest, unnest(reasons) as reason "
            "where (resolved_as is null) = %(is_open)s group by reason order by 2 desc, 1 limit 50"
        ),
        _filters(contract, is_open),
    ).fetchall()
    return [
        Reason(one, number, expectation(contract, one), *_advice(contract, one, are_events))
        for one, number, are_events in rows
    ]


def _filters(
    contract: Contract,
    is_open: bool,
    file_id: int | None = None,
    shard: str | None = None,
    period: Period | None = None,
) -> dict[str, Any]:
    """Return the parameters of `_NEWEST`."""
    return {
        "dataset": contract.table,
        "is_open": is_open,
        "file_id": file_id,
        "shard": shard,
        "period": period.start if period else None,
        "searched": SEARCHED,
        "timezone": settings().timezone,
    }


def _advice(contract: Contract, reason: str, are_events: bool) -> tuple[str, Literal["replay", "late", ""]]:
    """Return what to do about rows with a reason, and what a request can do with them."""
    kind, _, name = reason.partition(":")
    if expectation(contract, reason) == RECORD:
        send = "Send the events again. Events" if are_events else "Send a corrected file under the same name. Rows"
        return f"{send} without fields cannot be replayed.", ""
    if kind == "too_late":
        return "Admit them to the day that they name, or leave them.", "late"
    correct = "Correct what sends the events" if are_events else "Send a corrected file"
    rows = "events" if are_events else "rows"
    advice = {
        "after_arrival": f"Correct the clock that dates them, or raise {PREFIX}STREAM_AHEAD_SECONDS and replay them.",
        "reference": f"Replay them when the missing {name} has arrived.",
        "in_force": "Wait: the next run after the referenced row arrives replays them.",
    }
    return advice.get(kind, f"{correct}. If the contract is wrong, correct it and replay the {rows}."), "replay"


def quarantined(
    connection: Connection,
    contract: Contract,
    *,
    reason: str | None = None,
    file_id: int | None = None,
    shard: str | None = None,
    period: Period | None = None,
    is_open: bool = True,
    page: int = 1,
) -> tuple[list[RejectedRow], Total]:
    """Return (the rejected rows of a page that match the filters, newest period first; the total).

    The period of an event is the one in which it arrived.
    """
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            sql.SQL(_NEWEST + _PAGE),
            _filters(contract, is_open, file_id, shard, period)
            | {"reason": reason, "limit": PAGE_ROWS, "offset": (page - 1) * PAGE_ROWS},
        )
        .fetchall()
    )
    return [_rejected(contract, row) for row in rows if row["raw"] is not None], Total.of(rows[0]["total"])


def _rejected(contract: Contract, row: dict[str, Any]) -> RejectedRow:
    restricted = restricted_names(contract)
    broken = {name for reason in row["reasons"] for name in columns_of(contract, reason)}
    values: list[tuple[str, str, bool]] = []
    raw = ""
    if row["raw"].startswith("{"):
        fields = json.loads(row["raw"], parse_int=str, parse_float=str)
        values = [
            (name, HIDDEN if name in restricted else "" if value is None else str(value), name in broken)
            for name, value in fields.items()
        ]
        values += [(name, "", True) for name in sorted(broken - fields.keys())]
    else:
        is_hidden = restricted and row["raw"] != REMOVED
        raw = HIDDEN_RECORD if is_hidden else record_text(row["raw"]) or "(empty)"
    return RejectedRow(
        StreamPlace(row["shard"], str(row["sequence"]), row["arrived_at"])
        if row["shard"]
        else FilePlace(row["file_id"], row["record"], row["object_key"]),
        [BrokenReason(reason, expectation(contract, reason)) for reason in row["reasons"]],
        values,
        raw,
        f"{row['resolved_as']} by {row['resolved_by']}" if row["resolved_as"] else "",
    )


TOLD: Final = 3
"""How many reasons of files that cannot be replayed are told."""


def replay_selected(
    connection: Connection,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    chosen: Selected,
    *,
    admit_late: bool = False,
) -> dict[str, Any]:
    """Replay rows and events of a dataset.

    Returns the counts of their outcomes, the first period of a row that is loaded now, a sentence, and whether no row
    is rejected still. A file whose rows cannot be replayed does not keep the others from it.
    """
    from waybill.intake.replay import replay

    selected: dict[int, list[int]] = {}
    for file_id, record in chosen.rows:
        selected.setdefault(file_id, []).append(record)
    counts = dict.fromkeys(COUNTS, 0)
    admitted, refused = [], []
    for file_id, records in sorted(selected.items()):
        try:
            replayed = replay(
                connection, contract, contracts, run, file_id=file_id, records=records, admit_late=admit_late
            )
        except DataError as error:
            refused.append(f"{str(error)[:1].upper()}{str(error)[1:].rstrip('.')}.")
            continue
        for done in replayed:
            for name in COUNTS:
                counts[name] += getattr(done.books, name)
            if done.books.rows_in > done.books.rejected:
                admitted.append(done.period)
    first = min(admitted).key if admitted else None
    of_events = _replay_events(connection, contract, run, chosen.events, admit_late)
    still = _still_open(connection, contract, chosen)
    return {
        "counts": counts,
        "events": vars(of_events),
        "admitted_from": first,
        "text": " ".join([_replayed(counts, first, of_events), *refused[:TOLD], *still]),
        "is_done": not still and not refused,
    }


def _replay_events(
    connection: Connection, contract: Contract, run: Run, events: Sequence[tuple[str, str]], admit_late: bool
) -> Counts:
    """Replay (shard, sequence number) events of a dataset, and return the counts of their outcomes."""
    from waybill.stream.replay import replay

    declared, counts = stream_of(contract), Counts()
    if declared is None:
        return counts
    selected: dict[str, list[str]] = {}
    for shard, sequence in events:
        selected.setdefault(shard, []).append(sequence)
    for shard, sequences in sorted(selected.items()):
        for done in replay(connection, declared, run, shard=shard, sequences=sequences, admit_late=admit_late):
            counts += done.counts
    return counts


def _replayed(counts: Mapping[str, int], first: str | None, of_events: Counts) -> str:
    """Return the result of a replay as sentences."""
    of_rows = {name: rows for name, rows in counts.items() if name != "rows_in"}
    told = [
        f"Replayed {count(sum(outcomes.values()), noun)}: "
        + ", ".join(f"{text(rows)} {name}" for name, rows in outcomes.items() if rows)
        + "."
        for noun, outcomes in (("row", of_rows), ("event", vars(of_events)))
        if sum(outcomes.values())
    ]
    again = [f"Run the periods from {first} on again to update their reports."] if first else []
    return " ".join([*told, *again]) or "Nothing was replayed."


def _still_open(connection: Connection, contract: Contract, chosen: Selected) -> list[str]:
    """Return sentences about the rows that a replay left open, and why."""
    found = connection.execute(
        """
        with open as (
          select q.raw, q.reasons
          from waybill.quarantine as q
          inner join unnest(%(files)s::integer[], %(records)s::integer[]) as s (file_id, record)
            on q.file_id = s.file_id and q.record = s.record
          where q.resolved_as is null and q.removed_at is null
          union all
          select e.raw, e.reasons
          from waybill.stream_rejected as e
          inner join unnest(%(shards)s::text[], %(sequences)s::numeric[]) as s (shard, sequence)
            on e.shard = s.shard and e.sequence = s.sequence
          where e.dataset = %(dataset)s and e.resolved_as is null
        )

        select starts_with(open.raw, '{') as has_fields, reason, count(*)
        from open
        cross join lateral unnest(open.reasons) as reason
        group by 1, 2
        order by 3 desc, 2
        """,
        {
            "files": [file_id for file_id, _ in chosen.rows],
            "records": [record for _, record in chosen.rows],
            "dataset": contract.table,
            "shards": [shard for shard, _ in chosen.events],
            "sequences": [sequence for _, sequence in chosen.events],
        },
    ).fetchall()
    rejected, unsplit = (
        ", ".join(f"{reason} ({text(number)})" for has_fields, reason, number in found if has_fields == wanted)
        for wanted in (True, False)
    )
    send = "Send their file" if chosen.rows else "Send them"
    return [
        *([f"Still rejected: {rejected}."] if rejected else []),
        *([f"Not replayed, because they have no fields: {unsplit}. {send} again."] if unsplit else []),
    ]
