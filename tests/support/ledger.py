"""Insert rows into the ledger and the quarantine without a load, for tests of their readers."""

from __future__ import annotations

from datetime import date

from psycopg import Connection

from waybill.intake.ledger import COUNTS
from waybill.warehouse.connection import one_row


def add_file(
    connection: Connection,
    dataset: str,
    key: str = "k",
    period: date | str = "2026-03-01",
    run_id: str | None = None,
    *,
    bucket: str = "raw",
    etag: str = "e",
    **counts: int,
) -> int:
    """Add a loaded file with these books, such as `rows_in=3, rejected=3`, and return its file_id."""
    (file_id,) = one_row(
        connection,
        """
        insert into waybill.load_file (
          dataset, period, bucket, object_key, etag, sha256, size_bytes, landed_at, name_key, contract_sha256,
          contract_version, code_version, run_id, rows_in, inserted, updated, unchanged, rejected, duplicate, stale,
          filtered
        )
        values (
          %(dataset)s, %(period)s, %(bucket)s, %(key)s, %(etag)s, 's', 1, now(), 'k', 'c', '1.0.0', 'v', %(run_id)s,
          %(rows_in)s, %(inserted)s, %(updated)s, %(unchanged)s, %(rejected)s, %(duplicate)s, %(stale)s, %(filtered)s
        )
        returning file_id
        """,
        dict.fromkeys(COUNTS, 0)
        | {"dataset": dataset, "key": key, "period": period, "run_id": run_id, "bucket": bucket, "etag": etag}
        | counts,
    )
    return int(file_id)


def add_reject(connection: Connection, file_id: int, record: int, raw: str, *reasons: str) -> None:
    """Add a quarantined row of a file. `raw` has its fields or text as JSON."""
    connection.execute(
        "insert into waybill.quarantine (file_id, record, reasons, raw, contract_version) values (%s, %s, %s, %s, '1')",
        (file_id, record, list(reasons), raw),
    )
