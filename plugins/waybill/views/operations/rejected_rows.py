"""Rejected rows of a dataset with their reasons, and the replay of selected rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.contracts import Contract
from waybill.contracts.classification import restricted_names
from waybill.formatting import count, text
from waybill.intake.ledger import COUNTS
from waybill.period import Period
from waybill.run import Run
from waybill.views.operations.scope import PAGE_ROWS, Scope, Total

REPLAYED_AT_ONCE = 200
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
class RejectedRow:
    """A row in quarantine, as text."""

    file_id: int
    record: int
    object_key: str
    period: date
    reasons: list[str]
    values: list[tuple[str, str]]
    """(column, value). Restricted values are hidden."""
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


def reasons(connection: Connection, dataset: str, *, is_open: bool = True) -> list[tuple[str, int]]:
    """Return (reason, number of rows), most frequent first, of the open or the resolved rows of a dataset."""
    return connection.execute(
        sql.SQL(_NEWEST)
        + sql.SQL(
            "select reason, count(*) from newest, unnest(reasons) as reason where (resolved_as is null) = %(is_open)s "
            "group by reason order by 2 desc, 1 limit 50"
        ),
        {"dataset": dataset, "file_id": None, "period": None, "searched": SEARCHED, "is_open": is_open},
    ).fetchall()


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
    values: list[tuple[str, str]] = []
    raw = ""
    if row["raw"].startswith("{"):
        fields = json.loads(row["raw"], parse_int=str, parse_float=str)
        values = [
            (name, "hidden (restricted)" if name in restricted else "" if value is None else str(value))
            for name, value in fields.items()
        ]
    else:
        raw = "hidden (the dataset has restricted columns)" if restricted else _record_text(row["raw"]) or "(empty)"
    resolved = f"{row['resolved_as']} by {row['resolved_by']}" if row["resolved_as"] else ""
    return RejectedRow(
        row["file_id"], row["record"], row["object_key"], row["period"], row["reasons"], values, raw, resolved
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
    return {
        "counts": counts,
        "admitted_from": first,
        "text": _replayed(counts, first),
        "is_done": not counts["rejected"],
    }


def _replayed(counts: Mapping[str, int], first: str | None) -> str:
    """Return the result of a replay as sentences."""
    if not counts["rows_in"]:
        return "Nothing to replay: the selected rows are no longer open."
    outcomes = ", ".join(f"{text(rows)} {name}" for name, rows in counts.items() if rows and name != "rows_in")
    told = f"Replayed {count(counts['rows_in'], 'row')}: {outcomes}."
    if counts["rejected"]:
        told += " Rejected rows stay in quarantine with their current reasons."
    return f"{told} Run the periods from {first} on again to update their reports." if first else told


def _record_text(raw: str) -> str:
    """Return the text of a record without fields. The quarantine stores it as a JSON string."""
    return str(json.loads(raw)) if raw.startswith('"') else raw
