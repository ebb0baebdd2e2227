"""Compare the books of loaded sample files with the ground truth, which lists the injected errors."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from waybill.intake.ledger import COUNTS


def differences(connection: Connection, domain: str, ground_truth: dict[str, Any]) -> list[str]:
    """Return where the books of a domain's loaded files differ from the ground truth of sample data.

    Only files in the ledger are compared, with their books as they were before any replay. Rejected rows are compared
    by record and reasons, which a replay keeps when it admits a row.
    """
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            select
              f.*,
              coalesce(jsonb_agg(jsonb_build_object(
                'record', q.record, 'reasons', q.reasons, 'resolved_as', q.resolved_as
              ) order by q.record) filter (where q.record is not null), '[]') as rejects
            from waybill.load_file as f
            left join waybill.quarantine as q on f.file_id = q.file_id
            where f.status = 'loaded' and split_part(f.dataset, '.', 1) = %s
            group by f.file_id
            """,
            (domain,),
        )
        .fetchall()
    )
    files = {row["object_key"]: row for row in rows}
    found = []
    for expected in ground_truth["files"]:
        file = files.get(expected["key"])
        if file is None:
            continue
        for reject in file["rejects"]:
            if reject["resolved_as"]:
                file["rejected"] += 1
                file[reject["resolved_as"]] -= 1
        for count in COUNTS:
            wanted = len(expected[count]) if count == "rejected" else expected[count]
            if file[count] != wanted:
                found.append(f"{expected['key']}: {count} is {file[count]}, expected {wanted}")
        reasons = {reject["record"]: sorted(reject["reasons"]) for reject in file["rejects"]}
        if reasons != {entry["record"]: sorted(entry["reasons"]) for entry in expected["rejected"]}:
            found.append(f"{expected['key']}: the rejected records or their reasons differ from the injected errors")
    return found
