"""Try the quarantined rows of a dataset again, through the path that every row takes.

A row may pass now because its customer has arrived, or because the contract was mended. It joins the file
it came with: its books then hold one rejected row less and one inserted, updated, … row more.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from psycopg import Connection

from waybill.blanks import strip
from waybill.contracts import Column, Contract
from waybill.intake import ledger, quarantine
from waybill.intake.landing import LandedFile
from waybill.intake.ledger import Books
from waybill.intake.load import apply_incoming, in_force_since, is_overruled, lock_table, reference_values
from waybill.intake.receive import ReceivedFile
from waybill.intake.staging import Staging
from waybill.intake.validate import judge, open_duckdb
from waybill.period import Period
from waybill.run import Run
from waybill.scratch import scratch_folder
from waybill.warehouse import change_log
from waybill.warehouse.evolution import ensure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replayed:
    """What a replay did to one file."""

    file_id: int
    object_key: str
    period: Period
    books: Books
    """`rows_in` were tried again; `rejected` of them still do not meet the contract."""


def replay(
    connection: Connection,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    *,
    file_id: int | None = None,
    records: list[int] | None = None,
    admit_late: bool = False,
) -> list[Replayed]:
    """Re-validate the open quarantined rows of a dataset (of one file, or some records of it, if given).

    `admit_late` admits rows of periods before the contract's lookback, too: no row is `too_late`.
    Each file is one transaction. Rows that pass are marked resolved by this run; rows that do not stay, with
    the reasons of today. Records that could not be split into fields are left: only their file can be mended.
    """
    files = connection.execute(
        """
        select f.file_id, f.bucket, f.object_key, f.period, f.landed_at
        from waybill.load_file as f
        where f.dataset = %(dataset)s and f.status = 'loaded'
          and (%(file_id)s::integer is null or f.file_id = %(file_id)s)
          and exists (select from waybill.quarantine as q where q.file_id = f.file_id and q.resolved_as is null)
        order by f.period, f.landed_at, f.name_key
        """,
        {"dataset": contract.table, "file_id": file_id},
    ).fetchall()
    if admit_late:
        contract = replace(contract, lookback_periods=None)
    done = []
    for found_id, bucket, key, start, landed_at in files:
        period = Period.of(contract.cadence, start)
        landed = LandedFile(bucket, key, "", 0, period, landed_at)
        books = _replay_file(connection, contract, contracts, run, found_id, landed, records)
        if books.rows_in:
            done.append(Replayed(found_id, key, period, books))
            log.info("replayed %s: %s", landed.uri, books)
    return done


def replay_waiting(
    connection: Connection, contract: Contract, contracts: Mapping[str, Contract], run: Run
) -> list[Replayed]:
    """Try again the rows of a dataset for which nothing was in force on their date, if by now there is something.

    Rows with another flaw are left. So it does not matter whether rows or what they refer to came first.
    """
    columns = [column for column in contract.columns if column.in_force_on]
    waiting = connection.execute(
        "select q.file_id, q.record, q.raw from waybill.quarantine as q "
        "inner join waybill.load_file as f using (file_id) "
        "where f.dataset = %s and f.status = 'loaded' and q.resolved_as is null and q.reasons <@ %s::text[] "
        "order by q.file_id, q.record",
        (contract.table, quarantine.waiting_reasons(contract)),
    ).fetchall()
    since = in_force_since(connection, contract, contracts) if waiting else {}
    by_file: dict[int, list[int]] = {}
    for file_id, record, raw in waiting:
        fields = json.loads(raw, parse_int=str, parse_float=str)
        if all(_is_in_force(since[column.name], fields, column) for column in columns):
            by_file.setdefault(file_id, []).append(record)
    return [
        replayed
        for file_id, records in by_file.items()
        for replayed in replay(connection, contract, contracts, run, file_id=file_id, records=records)
    ]


def _is_in_force(since: Mapping[str, date], fields: Mapping[str, str], column: Column) -> bool:
    """Whether something is in force for a row's text, as far as that can be told without reading it by the contract."""
    first = since.get(strip(str(fields.get(column.name))))
    try:
        return first is not None and first <= date.fromisoformat(strip(str(fields.get(column.in_force_on or ""))))
    except ValueError:  # in another of the contract's forms
        return True


def _replay_file(
    connection: Connection,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    file_id: int,
    landed: LandedFile,
    records: list[int] | None,
) -> Books:
    with (
        scratch_folder() as folder,
        connection.transaction(),
    ):
        lock_table(connection, contract.table)
        ensure(connection, contract)
        rows = quarantine.open_rows(connection, file_id, records)
        if not rows:
            return Books()
        received = _as_received(landed, contract, rows, folder / "again.csv")
        staging = Staging(connection, contract, landed.period, file_id, len(rows), folder)
        references = reference_values(connection, contract, contracts, None, folder)
        with closing(open_duckdb(folder)) as duck:
            staging.stream(judge(duck, received, contract, landed.period, references, received.body, is_whole=False))
        staging.settle_suspects()
        if not is_overruled(connection, contract, landed):
            staging.settle_against_file()
        staging.check_unique_columns()
        days = apply_incoming(connection, contract, landed, file_id, replaces=None, is_whole=False)
        change_log.record(connection, contract.table, days, file_id)
        change_log.move_checkpoint(connection, contract, landed.period, file_id, staging.places)
        settled = [(record, "duplicate") for record in staging.duplicates]
        settled += [(record, "filtered") for record in staging.filtered]
        connection.cursor().executemany("insert into outcome (_record, outcome) values (%s, %s)", settled)
        books = Books(rows_in=len(rows))
        books.add_outcomes(connection)
        quarantine.resolve(connection, file_id, run.run_id or "command line")
        books.rejected = quarantine.still_rejected(connection, file_id, contract.version, staging.rejects())
        ledger.move_rejected(connection, file_id, books)
        connection.execute("drop table incoming, suspect, outcome")
    return books


def _as_received(landed: LandedFile, contract: Contract, rows: list[tuple[int, str]], body: Path) -> ReceivedFile:
    """The quarantined fields as a numbered CSV file, the form in which mended files are read."""
    fields = [json.loads(raw, parse_int=str, parse_float=str) for _, raw in rows]
    columns = [name for name in contract.names if any(name in row for row in fields)]
    with body.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for (record, _), row in zip(rows, fields, strict=True):
            writer.writerow([record, *(row.get(name) for name in columns)])
    return ReceivedFile(landed, None, "", "", 0, body, len(rows), list(columns), columns, True)
