"""Rejected rows: kept with their file, record number, fields, every reason and the contract's version."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import Connection

from waybill.intake.validate import Reject


def keep(connection: Connection, file_id: int, contract_version: str, rejects: Iterable[Reject]) -> int:
    """Store the rejects of a file; returns how many."""
    stored = 0
    statement = "copy waybill.quarantine (file_id, record, reasons, raw, contract_version) from stdin"
    with connection.cursor().copy(statement) as copy:
        for reject in rejects:
            copy.write_row((file_id, reject.record, reject.reasons, reject.raw, contract_version))
            stored += 1
    return stored


def reason_counts(connection: Connection, file_id: int) -> list[tuple[str, int, int]]:
    """(reason, rows, first record) of a file's rejects, most frequent first."""
    return connection.execute(
        "select reason, count(*), min(record) from waybill.quarantine, unnest(reasons) as reason "
        "where file_id = %s group by reason order by count(*) desc, reason",
        (file_id,),
    ).fetchall()
