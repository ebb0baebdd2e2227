"""Rejected rows: which there are, why, and another try for those that somebody chose.

However many there are, one look reads the newest of them.
"""

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
from waybill.intake.ledger import COUNTS
from waybill.period import Period
from waybill.run import Run
from waybill.views.operations.scope import PAGE_ROWS, Scope, Total

REPLAYED_AT_ONCE = 200
LOOKED_AT = 20_000
"""How many of a dataset's newest rejected rows, and of its newest files, one look reads."""

_NEWEST = """
with files as (
  select file_id, period, object_key
  from waybill.load_file
  where dataset = %(dataset)s and status = 'loaded'
    and (%(file_id)s::integer is null or file_id = %(file_id)s)
    and (%(period)s::date is null or period = %(period)s)
  order by period desc, file_id desc
  limit %(looked_at)s
),
newest as (
  select f.period, f.object_key, q.file_id, q.record, q.reasons, q.raw, q.resolved_as, q.resolved_by
  from files as f
  cross join lateral (select * from waybill.quarantine as q where q.file_id = f.file_id order by q.record) as q
  limit %(looked_at)s
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
class Rejected:
    """A quarantined row, to be shown as text."""

    file_id: int
    record: int
    object_key: str
    period: date
    reasons: list[str]
    values: list[tuple[str, str]]
    """(column, value); restricted values are hidden."""
    raw: str
    """The record as it came, where it has no fields."""
    resolved: str

    @property
    def can_be_replayed(self) -> bool:
        """Only open rows that have fields."""
        return not self.resolved and not self.raw


def most_rejected(connection: Connection, scope: Scope) -> str:
    """The dataset of the scope whose newest files have most rejected rows."""
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
    """(reason, rows) among the newest rejected rows of a dataset that are open or resolved, most frequent first."""
    return connection.execute(
        sql.SQL(_NEWEST)
        + sql.SQL(
            "select reason, count(*) from newest, unnest(reasons) as reason where (resolved_as is null) = %(is_open)s "
            "group by reason order by 2 desc, 1 limit 50"
        ),
        {"dataset": dataset, "file_id": None, "period": None, "looked_at": LOOKED_AT, "is_open": is_open},
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
) -> tuple[list[Rejected], Total]:
    """(those of a dataset's newest rejected rows, newest period first; how many there are) of a page of fifty."""
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
                "looked_at": LOOKED_AT,
                "limit": PAGE_ROWS,
                "offset": (page - 1) * PAGE_ROWS,
            },
        )
        .fetchall()
    )
    return [_rejected(contract, row) for row in rows if row["file_id"] is not None], Total.of(rows[0]["total"])


def _rejected(contract: Contract, row: dict[str, Any]) -> Rejected:
    restricted = restricted_names(contract)
    values: list[tuple[str, str]] = []
    raw = ""
    if row["raw"].startswith("{"):
        fields = json.loads(row["raw"], parse_int=str, parse_float=str)
        values = [
            (name, "hidden: restricted" if name in restricted else "" if value is None else str(value))
            for name, value in fields.items()
        ]
    else:
        raw = "hidden: the dataset has restricted columns" if restricted else _as_in_file(row["raw"]) or "(empty)"
    resolved = f"{row['resolved_as']} by {row['resolved_by']}" if row["resolved_as"] else ""
    return Rejected(
        row["file_id"], row["record"], row["object_key"], row["period"], row["reasons"], values, raw, resolved
    )


def replay_selected(
    connection: Connection,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    rows: Iterable[tuple[int, int]],
) -> dict[str, Any]:
    """Try the chosen (file, record) rows of a dataset again.

    Returns what became of them, and the first period for which one counts now.
    """
    from waybill.intake.replay import replay

    selected: dict[int, list[int]] = {}
    for file_id, record in rows:
        selected.setdefault(file_id, []).append(record)
    counts = dict.fromkeys(COUNTS, 0)
    admitted = []
    for file_id, records in sorted(selected.items()):
        for done in replay(connection, contract, contracts, run, file_id=file_id, records=records):
            for name in COUNTS:
                counts[name] += getattr(done.books, name)
            if done.books.rows_in > done.books.rejected:
                admitted.append(done.period)
    return {"counts": counts, "admitted_from": min(admitted).key if admitted else None}


def _as_in_file(raw: str) -> str:
    """The text of a record without fields, which the quarantine keeps as a JSON string."""
    return str(json.loads(raw)) if raw.startswith('"') else raw
