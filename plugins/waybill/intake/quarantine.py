"""The quarantine: rejected rows with their file, record number, fields, all reasons and the contract's version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.formatting import count
from waybill.intake.transfer import copy_batches, repeated
from waybill.intake.validate import Reject
from waybill.warehouse.connection import one_row

if TYPE_CHECKING:
    import pyarrow as pa

REMOVED: Final = '"(removed by the retention)"'
"""What takes the place of a text that the retention removed: the text of a record without fields."""


@dataclass(frozen=True)
class RemovedTexts:
    """Open rejected rows whose text the retention of the quarantine has removed."""

    rows: int
    files: int
    first: str
    """The address of the first of their files."""

    def __str__(self) -> str:
        where = self.first if self.files == 1 else f"{count(self.files, 'file')}, the first one {self.first}"
        return (
            f"{count(self.rows, 'rejected row')} of {where} cannot be replayed: the retention of the quarantine has "
            "removed their text. Correct the rows in the file, and put it under the same name"
        )


def removed_texts(
    connection: Connection, dataset: str, file_id: int | None = None, records: list[int] | None = None
) -> RemovedTexts | None:
    """Return the open rows of a dataset without their text, optionally of one file or of some of its records."""
    rows, files, first = one_row(
        connection,
        """
        select count(*), count(distinct q.file_id), min('s3://' || f.bucket || '/' || f.object_key)
        from waybill.quarantine as q
        inner join waybill.load_file as f using (file_id)
        where f.dataset = %(dataset)s and f.status = 'loaded' and q.resolved_as is null and q.removed_at is not null
          and (%(file_id)s::integer is null or q.file_id = %(file_id)s)
          and (%(records)s::integer[] is null or q.record = any(%(records)s::integer[]))
        """,
        {"dataset": dataset, "file_id": file_id, "records": records},
    )
    return RemovedTexts(rows, files, first) if rows else None


def keep(connection: Connection, file_id: int, contract_version: str, rejects: Iterable[Reject]) -> int:
    """Store the rejects of a file and return their number."""
    stored = 0
    statement = "copy waybill.quarantine (file_id, record, reasons, raw, contract_version) from stdin"
    with connection.cursor().copy(statement) as copy:
        for reject in rejects:
            copy.write_row((file_id, reject.record, reject.reasons, reject.raw, contract_version))
            stored += 1
    return stored


def keep_batches(connection: Connection, file_id: int, contract_version: str, rejects: Iterable[pa.RecordBatch]) -> int:
    """Store batches of rejected rows with `_record`, `_reasons` and `_raw`, and return their number."""
    import pyarrow as pa

    def rows() -> Iterator[pa.RecordBatch]:
        names = ["record", "reasons", "raw", "file_id", "contract_version"]
        for batch in rejects:
            same = [repeated(file_id, batch.num_rows), repeated(contract_version, batch.num_rows)]
            yield pa.RecordBatch.from_arrays([*batch.columns, *same], names)

    return copy_batches(connection, sql.Identifier("waybill", "quarantine"), rows())


def reason_counts(connection: Connection, file_id: int) -> list[tuple[str, int]]:
    """Return (reason, rows) of a file's rejects, most frequent first."""
    return connection.execute(
        """
        select reason, count(*)
        from waybill.quarantine, unnest(reasons) as reason
        where file_id = %s
        group by reason
        order by count(*) desc, reason
        """,
        (file_id,),
    ).fetchall()


def first_rows(
    connection: Connection, file_id: int, reason: str, limit: int, *, only_open: bool = False
) -> list[tuple[int, str]]:
    """Return (record, fields as JSON text) of a file's first rejects for a reason."""
    return connection.execute(
        """
        select record, raw
        from waybill.quarantine
        where file_id = %s and %s = any(reasons) and (resolved_as is null or not %s)
        order by record
        limit %s
        """,
        (file_id, reason, only_open, limit),
    ).fetchall()


def waiting_reasons(contract: Contract) -> list[str]:
    """Return the reasons of rows that wait for an effective row to refer to."""
    return [f"in_force:{column.name}" for column in contract.columns if column.in_force_on]


def waiting_rows(connection: Connection, contract: Contract, file_id: int) -> int:
    """Return how many of a file's rejects have no other reason than `waiting_reasons`."""
    (rows,) = one_row(
        connection,
        "select count(*) from waybill.quarantine where file_id = %s and reasons <@ %s::text[]",
        (file_id, waiting_reasons(contract)),
    )
    return int(rows)


def open_rows(connection: Connection, file_id: int, records: list[int] | None = None) -> list[tuple[int, str]]:
    """Return (record, fields as JSON text) of a file's open rejects that have fields, optionally of some records."""
    return connection.execute(
        """
        select record, raw
        from waybill.quarantine
        where file_id = %(file_id)s and resolved_as is null and starts_with(raw, '{')
          and (%(records)s::integer[] is null or record = any(%(records)s))
        order by record
        """,
        {"file_id": file_id, "records": records},
    ).fetchall()


def resolve(connection: Connection, file_id: int, resolved_by: str) -> None:
    """Mark the rejects in the temporary table `outcome` (_record, outcome) as resolved."""
    connection.execute(
        """
        update waybill.quarantine as q
        set resolved_as = o.outcome, resolved_by = %s, resolved_at = now()
        from outcome as o
        where q.file_id = %s and q.record = o._record
        """,
        (resolved_by, file_id),
    )


def still_rejected(connection: Connection, file_id: int, contract_version: str, rejects: Iterable[Reject]) -> int:
    """Store the new reasons of rows that a replay rejected again, and return their number."""
    rows = [(reject.reasons, contract_version, file_id, reject.record) for reject in rejects]
    connection.cursor().executemany(
        "update waybill.quarantine set reasons = %s, contract_version = %s where file_id = %s and record = %s",
        rows,
    )
    return len(rows)


def open_by_file(
    connection: Connection, dataset: str, limit: int
) -> tuple[list[tuple[str, int, int]], list[tuple[int, str, int, list[str], str]], int]:
    """Return the open rejects of a dataset.

    These are (reason, rows, files), the newest `limit` as (file id, key, record, reasons, contract), and their number.
    """
    counts = connection.execute(
        """
        select reason, count(*), count(distinct q.file_id)
        from waybill.quarantine as q
        inner join waybill.load_file as f using (file_id), unnest(q.reasons) as reason
        where f.dataset = %s and f.status = 'loaded' and q.resolved_as is null
        group by reason
        order by 2 desc, 1
        """,
        (dataset,),
    ).fetchall()
    rows = connection.execute(
        """
        select q.file_id, f.object_key, q.record, q.reasons, q.contract_version
        from waybill.quarantine as q
        inner join waybill.load_file as f using (file_id)
        where f.dataset = %s and f.status = 'loaded' and q.resolved_as is null
        order by q.file_id desc, q.record
        limit %s
        """,
        (dataset, limit),
    ).fetchall()
    (total,) = one_row(
        connection,
        """
        select count(*)
        from waybill.quarantine as q
        inner join waybill.load_file as f using (file_id)
        where f.dataset = %s and f.status = 'loaded' and q.resolved_as is null
        """,
        (dataset,),
    )
    return counts, rows, int(total)


def record_text(raw: str) -> str:
    """Return the text of a record without fields. The quarantine stores it as a JSON string."""
    return str(json.loads(raw)) if raw.startswith('"') else raw
