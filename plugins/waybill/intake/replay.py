"""Replay the quarantined rows of a dataset through the path that all rows take.

A row may pass now because the row it refers to has arrived, or because the contract was corrected. It joins the rows
of its file: the file's books then have one rejected row less and one inserted, updated, … row more.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from psycopg import Connection

from waybill.blanks import strip
from waybill.contracts import Column, Contract
from waybill.contracts.spark_engine import require_warehouse
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.intake import ledger, personal_columns, quarantine
from waybill.intake.ledger import Books
from waybill.intake.load import load_rows, prepare_tables
from waybill.intake.references import effective_since
from waybill.intake.row_source import RowSource
from waybill.intake.staging import Staging
from waybill.period import Period
from waybill.run import Run
from waybill.scratch import scratch_folder
from waybill.warehouse.forgotten import forgotten_people
from waybill.warehouse.horizons import horizon_of, require_after_horizon

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replayed:
    """The result of a replay for one file."""

    file_id: int
    object_key: str
    period: Period
    books: Books
    """`rows_in` rows were replayed; `rejected` of them still do not meet the contract."""


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
    """Validate the open quarantined rows of a dataset again, optionally of one file or of some of its records.

    With `admit_late`, rows of periods before the contract's lookback pass, too. Each file is one transaction. Rows that
    pass are marked as resolved by this run. The others stay open with their new reasons. Records that could not be
    split into fields are left: their file must be corrected. So are rows whose text the retention has removed, and rows
    of periods before the horizon of the dataset. Raises `ContractError` for a dataset on Spark, and `DataError` if all
    rows of the chosen file or records are left by the retention.
    """
    require_warehouse(
        contract,
        "rows are not replayed one by one",
        "Correct the contract and raise its version: the next run loads the files again that have rows in quarantine. "
        "Or correct the file, and upload it again under the same name",
    )
    horizon = horizon_of(connection, contract)
    files = connection.execute(
        """
        select f.file_id, f.bucket, f.object_key, f.period, f.landed_at
        from waybill.load_file as f
        where f.dataset = %(dataset)s and f.status = 'loaded'
          and (%(file_id)s::integer is null or f.file_id = %(file_id)s)
          and exists (
            select from waybill.quarantine as q
            where q.file_id = f.file_id and q.resolved_as is null and (%(file_id)s is not null or q.removed_at is null)
          )
          and (%(file_id)s::integer is not null or %(horizon)s::date is null or f.period >= %(horizon)s)
        order by f.period, f.landed_at, f.name_key
        """,
        {"dataset": contract.table, "file_id": file_id, "horizon": horizon},
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
        elif file_id is not None and (
            removed := quarantine.removed_texts(connection, contract.table, file_id, records)
        ):
            raise DataError(f"{removed}.")
    return done


def replay_waiting(
    connection: Connection, contract: Contract, contracts: Mapping[str, Contract], run: Run
) -> list[Replayed]:
    """Replay the rows that wait only for an effective row to refer to, if that row has arrived.

    Therefore the order in which rows and the rows that they refer to arrive does not matter.
    """
    columns = [column for column in contract.columns if column.in_force_on]
    waiting = connection.execute(
        """
        select q.file_id, q.record, q.raw
        from waybill.quarantine as q
        inner join waybill.load_file as f using (file_id)
        where f.dataset = %(dataset)s and f.status = 'loaded' and q.resolved_as is null
          and q.reasons <@ %(reasons)s::text[] and q.removed_at is null
          and (%(horizon)s::date is null or f.period >= %(horizon)s)
        order by q.file_id, q.record
        """,
        {
            "dataset": contract.table,
            "reasons": quarantine.waiting_reasons(contract),
            "horizon": horizon_of(connection, contract),
        },
    ).fetchall()
    since = effective_since(connection, contract, contracts) if waiting else {}
    by_file: dict[int, list[int]] = {}
    for file_id, record, raw in waiting:
        fields = json.loads(raw, parse_int=str, parse_float=str)
        if all(_is_effective(since[column.name], fields, column) for column in columns):
            by_file.setdefault(file_id, []).append(record)
    return [
        replayed
        for file_id, records in by_file.items()
        for replayed in replay(connection, contract, contracts, run, file_id=file_id, records=records)
    ]


def _is_effective(since: Mapping[str, date], fields: Mapping[str, str], column: Column) -> bool:
    """Return whether a row's reference is effective on its date; True if the date has another form than ISO 8601."""
    first = since.get(strip(str(fields.get(column.name))))
    try:
        return first is not None and first <= date.fromisoformat(strip(str(fields.get(column.in_force_on or ""))))
    except ValueError:  # the contract may allow other forms
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
    """Replay the open rows of one file. Returns books without rows if none can be replayed."""
    with scratch_folder() as folder, connection.transaction():
        prepare_tables(connection, contract, contracts)
        require_after_horizon(
            connection,
            contract,
            landed.period.start,
            f"the rejected rows of {landed.uri} cannot be replayed",
            "Deliver their rows with a file of a later period",
        )
        rows = quarantine.open_rows(connection, file_id, records)
        if not rows:
            return Books()

        def store_rejects(staging: Staging) -> int:
            return quarantine.still_rejected(connection, file_id, contract.version, staging.rejects())

        source = _quarantined_rows(landed, contract, rows, folder / "replayed.csv")
        forgotten = forgotten_people(connection, contract)
        staging = load_rows(connection, contract, contracts, source, file_id, folder, store_rejects, forgotten)
        settled = [(record, "duplicate") for record in staging.duplicates]
        settled += [(record, "filtered") for record in staging.filtered]
        connection.cursor().executemany("insert into outcome (_record, outcome) values (%s, %s)", settled)
        quarantine.resolve(connection, file_id, run.run_id or "command line")
        ledger.move_rejected(connection, file_id, staging.books)
        found = {name: one.personal for name, one in staging.profile.columns().items()}
        personal_columns.store(connection, file_id, found)
        staging.drop_tables()
    return staging.books


def _quarantined_rows(landed: LandedFile, contract: Contract, rows: list[tuple[int, str]], body: Path) -> RowSource:
    """Write quarantined rows, each led by its record number, to `body` and return them as a source."""
    fields = [json.loads(raw, parse_int=str, parse_float=str) for _, raw in rows]
    columns = [name for name in contract.names if any(name in row for row in fields)]
    with body.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for (record, _), row in zip(rows, fields, strict=True):
            writer.writerow([record, *(row.get(name) for name in columns)])
    return RowSource(landed, body, len(rows), columns, is_numbered=True, is_whole=False)
