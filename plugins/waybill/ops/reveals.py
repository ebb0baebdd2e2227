"""Show the restricted values of a rejected row or event to a person, and record that it happened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from psycopg import Connection

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.intake.quarantine import record_text
from waybill.warehouse.connection import one_row

LONGEST_REASON: Final = 500
"""The most characters of a reason."""

_OF_FILE: Final = """
select q.raw
from waybill.quarantine as q
inner join waybill.load_file as f on q.file_id = f.file_id
where f.dataset = %(dataset)s and q.file_id = %(file_id)s and q.record = %(record)s
"""
_OF_STREAM: Final = """
select e.raw
from waybill.stream_rejected as e
where e.dataset = %(dataset)s and e.shard = %(shard)s and e.sequence = %(sequence)s::numeric
"""


@dataclass(frozen=True)
class Place:
    """Where a rejected record is: in a file, or in the shard of a stream."""

    file_id: int | None = None
    record: int | None = None
    shard: str | None = None
    sequence: str | None = None

    def __str__(self) -> str:
        """Return the place in words."""
        if self.shard is not None:
            return f"event {self.sequence} of {self.shard}"
        return f"record {self.record} of file {self.file_id}"


@dataclass(frozen=True)
class Reveal:
    """That somebody saw the values of a record."""

    dataset: str
    place: Place
    revealed_at: datetime
    revealed_by: str
    shown_in: str
    reason: str


def reveal(
    connection: Connection,
    contract: Contract,
    place: Place,
    *,
    by: str,
    shown_in: Literal["command", "page"],
    reason: str = "",
) -> list[tuple[str, str]]:
    """Record a reveal, and return the columns of the record with their values as text.

    A record without fields has one value, of the column `record`. The reveal is committed before this returns.

    Args:
        connection: a connection that may write, outside a transaction.
        contract: the contract of the dataset.
        place: the record.
        by: who sees the values.
        shown_in: where.
        reason: why, in the words of the person.

    Raises:
        DataError: the dataset has no such record in quarantine.
    """
    wanted = {"dataset": contract.table, **vars(place)}
    with connection.transaction():
        found = connection.execute(_OF_FILE if place.shard is None else _OF_STREAM, wanted).fetchone()
        if found is None:
            command = f"waybill quarantine {contract.table}"
            raise DataError(f"{contract.table} has no {place} in quarantine. `{command}` lists its open records.")
        connection.execute(
            """
            insert into waybill.reveal (dataset, file_id, record, shard, sequence, revealed_by, shown_in, reason)
            values (
              %(dataset)s, %(file_id)s, %(record)s, %(shard)s, %(sequence)s::numeric, %(by)s, %(shown_in)s, %(reason)s
            )
            """,
            wanted | {"by": by, "shown_in": shown_in, "reason": reason.strip()[:LONGEST_REASON]},
        )
    return _values(found[0])


def _values(raw: str) -> list[tuple[str, str]]:
    if raw.startswith("{"):
        fields = json.loads(raw, parse_int=str, parse_float=str)
        return [(name, "" if value is None else str(value)) for name, value in fields.items()]
    return [("record", record_text(raw))]


def newest(
    connection: Connection, datasets: list[str], limit: int, offset: int, counted: int
) -> tuple[list[Reveal], int]:
    """Return the newest reveals of records of some datasets, and the number of all, of which `counted` are counted."""
    rows = connection.execute(
        """
        select dataset, file_id, record, shard, sequence::text, revealed_at, revealed_by, shown_in, reason
        from waybill.reveal
        where dataset = any(%s)
        order by reveal_id desc
        limit %s offset %s
        """,
        (datasets, limit, offset),
    ).fetchall()
    (total,) = one_row(
        connection,
        "select count(*) from (select from waybill.reveal where dataset = any(%s) limit %s) as listed",
        (datasets, counted),
    )
    return [Reveal(row[0], Place(*row[1:5]), *row[5:]) for row in rows], int(total)
