"""Rejected rows of a dataset with their reasons, and the replay of selected rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.contracts import Contract
from waybill.contracts.classification import restricted_names
from waybill.formatting import count, text
from waybill.intake.expectations import RECORD, columns_of, expectation
from waybill.intake.ledger import COUNTS
from waybill.period import Period
from waybill.run import Run
from waybill.views.operations.scope import PAGE_ROWS, Scope, Total

REPLAYED_AT_ONCE = 200
HIDDEN: Final = "hidden (restricted)"
SEARCHED = 20_000
"""How many of the newest rejected rows, and of the newest files, of a dataset are searched."""

_NEWEST = """
with files as (
  select file_id, period, object_key
  from waybill.load_file
  where dataset = %(dataset)s and status = 'loaded'
    and (%(file_id)s::integer is null or file_id = %(file_id)s)
    and (%(period)s::date is null or period = %(period)s)
  order by period desc, file_id desc
  limit %(searched)s
),
newest as (
  select f.period, f.object_key, q.file_id, q.record, q.reasons, q.raw, q.resolved_as, q.resolved_by
  from files as f
  cross join lateral (select * from waybill.quarantine as q where q.file_id = f.file_id order by q.record) as q
  limit %(searched)s
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
  select * from found order by period desc, file_id desc, record limit %(limit)s offset %(offset)s
) as page on true
order by period desc, file_id desc, record
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
    expectation: str
    advice: str
    action: Literal["replay", "late", ""]
    """What a request can do with the rows: replay them, admit them, or nothing."""


@dataclass(frozen=True)
class RejectedRow:
    """A row in quarantine, as text."""

    file_id: int
    record: int
    object_key: str
    period: date
    broken: list[BrokenReason]
    values: list[tuple[str, str, bool]]
    """(column, value, whether the value breaks a rule). Restricted values are hidden."""
    raw: str
    """The text of a record without fields; empty for a record with fields."""
    resolved: str
    """How it was resolved; empty for an open row."""

    @property
    def can_be_replayed(self) -> bool:
        """Whether the row is open and has fields."""
        return not self.resolved and not self.raw


def most_rejected(connection: Connection, scope: Scope) -> str:
    """Return the dataset of a scope whose newest files have most rejected rows."""
    row = connection.execute(
        """
        select d.dataset
        from unnest(%(datasets)s::text[]) as d (dataset)
        cross join lateral (
          select sum(f.rejected) as rejected
          from (
            select rejected from waybill.load_file as f
            where f.dataset = d.dataset and f.status = 'loaded'
            order by f.period desc
            limit 1000
          ) as f
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
            "select reason, count(*) from newest, unnest(reasons) as reason where (resolved_as is null) = %(is_open)s "
            "group by reason order by 2 desc, 1 limit 50"
        ),
        {"dataset": contract.table, "file_id": None, "period": None, "searched": SEARCHED, "is_open": is_open},
    ).fetchall()
    return [Reason(one, number, expectation(contract, one), *_advice(contract, one)) for one, number in rows]


def _advice(contract: Contract, reason: str) -> tuple[str, Literal["replay", "late", ""]]:
    """Return what to do about rows with a reason, and what a request can do with them."""
    kind, _, name = reason.partition(":")
    if expectation(contract, reason) == RECORD:
        return (
            "Send a corrected file under the same name. Rows without fields cannot be replayed.",
            "",
        )
    if kind == "too_late":
        return "Admit them to the day that they name, or leave them.", "late"
    if kind == "reference":
        return f"Replay them when the missing {name} has arrived.", "replay"
    if kind == "in_force":
        return "Wait: the next run after the referenced row arrives replays them.", "replay"
    return "Send a corrected file. If the contract is wrong, correct it and replay the rows.", "replay"


def quarantined(
    connection: Connection,
    contract: Contract,
    *,
    reason: str | None = None,
    file_id: int | None = None,
    period: Period | None = None,
    is_open: bool = True,
    page: int = 1,
) -> tuple[list[RejectedRow], Total]:
    """Return (the rejected rows of a page that match the filters, newest period first; the total)."""
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            sql.SQL(_NEWEST + _PAGE),
            {
                "dataset": contract.table,
                "is_open": is_open,
                "reason": reason,
                "file_id": file_id,
                "period": period.start if period else None,
                "searched": SEARCHED,
                "limit": PAGE_ROWS,
                "offset": (page - 1) * PAGE_ROWS,
            },
        )
        .fetchall()
    )
    return [_rejected(contract, row) for row in rows if row["file_id"] is not None], Total.of(rows[0]["total"])


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
        raw = "hidden (the dataset has restricted columns)" if restricted else _record_text(row["raw"]) or "(empty)"
    return RejectedRow(
        row["file_id"],
        row["record"],
        row["object_key"],
        row["period"],
        [BrokenReason(reason, expectation(contract, reason)) for reason in row["reasons"]],
        values,
        raw,
        f"{row['resolved_as']} by {row['resolved_by']}" if row["resolved_as"] else "",
    )


def replay_selected(
    connection: Connection,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    rows: Iterable[tuple[int, int]],
    *,
    admit_late: bool = False,
) -> dict[str, Any]:
    """Replay (file, record) rows of a dataset.

    Returns the counts of their outcomes, the first period of a row that is loaded now, a sentence, and whether no row
    is rejected still.
    """
    from waybill.intake.replay import replay

    rows = list(rows)
    selected: dict[int, list[int]] = {}
    for file_id, record in rows:
        selected.setdefault(file_id, []).append(record)
    counts = dict.fromkeys(COUNTS, 0)
    admitted = []
    for file_id, records in sorted(selected.items()):
        for done in replay(
            connection, contract, contracts, run, file_id=file_id, records=records, admit_late=admit_late
        ):
            for name in COUNTS:
                counts[name] += getattr(done.books, name)
            if done.books.rows_in > done.books.rejected:
                admitted.append(done.period)
    first = min(admitted).key if admitted else None
    still = _still_open(connection, rows)
    return {
        "counts": counts,
        "admitted_from": first,
        "text": " ".join([_replayed(counts, first), *still]),
        "is_done": not still,
    }


def _replayed(counts: Mapping[str, int], first: str | None) -> str:
    """Return the result of a replay as sentences."""
    if not counts["rows_in"]:
        return "Nothing was replayed."
    outcomes = ", ".join(f"{text(rows)} {name}" for name, rows in counts.items() if rows and name != "rows_in")
    told = f"Replayed {count(counts['rows_in'], 'row')}: {outcomes}."
    return f"{told} Run the periods from {first} on again to update their reports." if first else told


def _still_open(connection: Connection, rows: Sequence[tuple[int, int]]) -> list[str]:
    """Return sentences about the rows that a replay left open, and why."""
    found = connection.execute(
        """
        select starts_with(q.raw, '{') as has_fields, reason, count(*)
        from waybill.quarantine as q
        inner join unnest(%s::integer[], %s::integer[]) as s (file_id, record) using (file_id, record)
        cross join lateral unnest(q.reasons) as reason
        where q.resolved_as is null
        group by 1, 2
        order by 3 desc, 2
        """,
        ([file_id for file_id, _ in rows], [record for _, record in rows]),
    ).fetchall()
    rejected, unsplit = (
        ", ".join(f"{reason} ({text(number)})" for has_fields, reason, number in found if has_fields == wanted)
        for wanted in (True, False)
    )
    return [
        *([f"Still rejected: {rejected}."] if rejected else []),
        *([f"Not replayed, because they have no fields: {unsplit}. Send their file again."] if unsplit else []),
    ]


def _record_text(raw: str) -> str:
    """Return the text of a record without fields. The quarantine stores it as a JSON string."""
    return str(json.loads(raw)) if raw.startswith('"') else raw
