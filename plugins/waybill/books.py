"""The books of a domain, and whether every month that should be there is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from waybill.contracts import Contract
from waybill.period import Period

COUNTS = ("rows_in", "inserted", "updated", "unchanged", "rejected", "duplicate", "stale")


@dataclass(frozen=True)
class Gap:
    """A report that was not built for a period, or a check of severity error that failed there."""

    period: Period
    subject: str
    what: str


def balances(connection: Connection, domain: str, periods: Iterable[Period]) -> list[dict[str, Any]]:
    """Per period and dataset the files that count and the sum of their books, in order of period."""
    starts = [period.start for period in periods]
    return (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            select
              period, split_part(dataset, '.', 2) as dataset, count(*) as files,
              sum(rows_in)::bigint as rows_in, sum(inserted)::bigint as inserted, sum(updated)::bigint as updated,
              sum(unchanged)::bigint as unchanged, sum(rejected)::bigint as rejected,
              sum(duplicate)::bigint as duplicate, sum(stale)::bigint as stale
            from waybill.load_file
            where status = 'loaded' and split_part(dataset, '.', 1) = %s and period = any(%s)
            group by period, dataset
            order by period, dataset
            """,
            (domain, starts),
        )
        .fetchall()
    )


def gaps(connection: Connection, reports: Iterable[Contract], periods: Sequence[Period]) -> list[Gap]:
    """What is missing for the periods to be complete: read from the warehouse, whatever the scheduler says."""
    names = {contract.table for contract in reports}
    starts = [period.start for period in periods]
    built = set(
        connection.execute(
            "select report, period from waybill.publication where report = any(%s) and period = any(%s)",
            (sorted(names), starts),
        ).fetchall()
    )
    failed = connection.execute(
        "select subject, period, check_name from waybill.check_result "
        "where not passed and severity = 'error' and period = any(%s)",
        (starts,),
    ).fetchall()
    by_start = {period.start: period for period in periods}
    missing = [
        Gap(period, name, "not built")
        for period in periods
        for name in sorted(names)
        if (name, period.start) not in built
    ]
    return missing + [Gap(by_start[start], subject, f"check {check} failed") for subject, start, check in failed]


def disagreements(connection: Connection, answer_key: dict[str, Any]) -> list[str]:
    """Where the books of the files differ from an answer key, which knows what was planted; empty if nowhere.

    Only files in the ledger are compared. `rejected` is compared record by record with all reasons.
    """
    found = []
    files = {
        row["object_key"]: row
        for row in connection.cursor(row_factory=dict_row)
        .execute("select * from waybill.load_file where status = 'loaded'")
        .fetchall()
    }
    for expected in answer_key["files"]:
        file = files.get(expected["key"])
        if file is None:
            continue
        for count in COUNTS:
            wanted = len(expected[count]) if count == "rejected" else expected[count]
            if file[count] != wanted:
                found.append(f"{expected['key']}: {count} is {file[count]}, planted were {wanted}")
        rejects = connection.execute(
            "select record, reasons from waybill.quarantine where file_id = %s and resolved_as is null order by record",
            (file["file_id"],),
        ).fetchall()
        wanted_rejects = {entry["record"]: sorted(entry["reasons"]) for entry in expected["rejected"]}
        if {record: sorted(reasons) for record, reasons in rejects} != wanted_rejects:
            found.append(f"{expected['key']}: the rejected records or their reasons differ from those planted")
    return found
