"""Load the rows of a file: one transaction from the first row to balanced books, or nothing at all.

The rows of a file that landed and its quarantined rows that are replayed take the same path, `load_rows`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.files.received_file import ReceivedFile
from waybill.intake import columns, conflicts, file_warnings, ledger, profile, quarantine, repeated_lines
from waybill.intake.deliveries import merge_deliveries
from waybill.intake.form_warnings import warn_of_form
from waybill.intake.ledger import Books
from waybill.intake.merge import merge
from waybill.intake.references import reference_values
from waybill.intake.rejected_files import broken_rules, check_snapshot, too_many_rejects
from waybill.intake.row_source import Rows, RowSource, read_rows
from waybill.intake.staging import Staging
from waybill.intake.validate import FastReaderFailed, open_duckdb, validate_rows
from waybill.period import Period
from waybill.run import Run
from waybill.warehouse import change_log
from waybill.warehouse.connection import one_row
from waybill.warehouse.evolution import ensure
from waybill.warehouse.file_order import comes_before, order_sql, place_sql
from waybill.warehouse.forgotten import Forgotten, forgotten_people
from waybill.warehouse.history import apply_snapshot
from waybill.warehouse.horizons import horizon_of, require_after_horizon
from waybill.warehouse.planner_statistics import analyze_grown
from waybill.warehouse.schema import as_of_function, relation

log = logging.getLogger(__name__)


def lock_table(connection: Connection, contract: Contract) -> None:
    """Wait for every other load of the dataset's table. The transaction holds the lock."""
    connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"load {contract.table}",))


def prepare_tables(connection: Connection, contract: Contract, contracts: Mapping[str, Contract]) -> None:
    """Lock the dataset's table and bring it, and the tables that it refers to, up to date with their contracts."""
    lock_table(connection, contract)
    ensure(connection, contract)
    for column in contract.columns:
        if column.checked_reference and column.in_force_on:  # no file of the referenced dataset may have landed yet
            ensure(connection, contracts[column.checked_reference[0]])


def load_file(
    connection: Connection,
    received: ReceivedFile,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    folder: Path,
) -> Books | None:
    """Load a received file in one transaction and return its books, or None if the same content is loaded already.

    `contracts` are those of the domain, for references. `folder` is scratch space. Raises `DataError` if the contract
    tolerates fewer rejected rows, or if two counts of the records differ.
    """

    def load(rows: Rows) -> Books | None:
        return _load(connection, received, rows, contract, contracts, run, folder)

    return read_rows(received, contract, folder, load)


def _load(
    connection: Connection,
    received: ReceivedFile,
    rows: Rows,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    folder: Path,
) -> Books | None:
    landed = received.landed
    with connection.transaction():
        prepare_tables(connection, contract, contracts)
        before = ledger.predecessor(connection, contract, landed)
        horizon = horizon_of(connection, contract)
        is_final = horizon is not None and landed.period.start < horizon  # another contract cannot read it again
        if before and before[1] == received.content.sha256 and (before[2] or is_final):
            ledger.note_same_content(connection, before[0], received)
            return None
        replaces = before[0] if before else None
        require_after_horizon(
            connection,
            contract,
            landed.period.start,
            f"{landed.uri} cannot be loaded",
            "Deliver its rows with a file of a later period and delete this one"
            if replaces is None
            else f"Put its former content back, or delete it and run `waybill withdraw {replaces} --accept`",
        )
        source, malformed = rows()
        issues = columns.of_received(connection, contract, received, replaces)
        columns.raise_errors(landed.uri, issues)
        file_id = ledger.open_file(connection, contract, received, run, replaces)
        columns.warn(connection, contract, file_id, issues)
        _release_overruling(connection, contract, landed, file_id, replaces)

        forgotten = forgotten_people(connection, contract)
        if forgotten:
            malformed = [replace(one, raw=forgotten.without_people(one.raw)) for one in malformed]

        def store_rejects(staging: Staging) -> int:
            rejected = quarantine.keep(connection, file_id, contract.version, malformed + staging.late_rejects)
            rejected += quarantine.keep_batches(connection, file_id, contract.version, staging.rejected_batches())
            _check_threshold(connection, received, contract, file_id, rejected)
            if contract.load_mode == "snapshot" and not is_overruled(connection, contract, landed):
                _check_snapshot(connection, received, contract, file_id)
            if repeated := repeated_lines.find_repeated(connection, contract, staging):
                file_warnings.add(connection, file_id, repeated_lines.KIND, repeated)
            columns.warn_of_emptied(connection, contract, file_id, replaces, received.brought)
            return rejected

        staging = load_rows(
            *(connection, contract, contracts, source, file_id, folder, store_rejects, forgotten), replaces=replaces
        )
        staging.drop_tables()
        books = staging.books
        ledger.close_file(connection, file_id, books)
        profile.store(connection, file_id, staging.profile)
        warn_of_form(connection, contract, received, file_id, malformed, source.repaired)
    for warning in issues.warnings:
        log.warning("%s: %s", landed.uri, warning)
    log.info("%s: %s", landed.uri, books)
    return books


def load_rows(
    connection: Connection,
    contract: Contract,
    contracts: Mapping[str, Contract],
    source: RowSource,
    file_id: int,
    folder: Path,
    store_rejects: Callable[[Staging], int],
    forgotten: Forgotten | None,
    *,
    replaces: int | None = None,
) -> Staging:
    """Validate the rows of a file, settle repeated ones and merge the rest into the dataset's table.

    `store_rejects` stores the rejected rows before the others are merged, and returns how many there are. The values of
    `forgotten` people are replaced. `replaces` is the file_id of the older version of the same object. Returns the
    staging with complete books; its temporary tables and the table `outcome` (_record, outcome) remain.
    """
    landed, period = source.landed, source.landed.period
    known_before = period.end if source.is_whole else None
    references = reference_values(connection, contract, contracts, known_before, folder)
    staging = Staging(connection, contract, period, file_id, source.records, folder)
    if source.is_whole:
        staging.use_fresh_partition()
    with closing(open_duckdb(folder)) as duck:
        staging.stream(validate_rows(duck, source, contract, references, forgotten))
    found = staging.rows_read + source.malformed
    if found != source.records:
        message = f"the reader found {found} records and the count {source.records}"
        if not source.is_numbered:
            raise FastReaderFailed(message)
        raise DataError(f"{landed.uri}: {message}; nothing was loaded. Look for stray quotes or line ends.")
    staging.settle_candidates()
    if not source.is_whole and not is_overruled(connection, contract, landed):
        staging.settle_against_file()
    staging.check_unique_columns()
    books = staging.books
    books.rows_in = source.records
    books.rejected = store_rejects(staging)
    days = apply_incoming(connection, contract, landed, file_id, replaces=replaces, is_whole=source.is_whole)
    analyze_grown(connection, relation(contract))
    if staging.fresh:
        days |= change_log.days_of_partition(connection, contract, period, staging.fresh)
    change_log.record(connection, contract.table, days, file_id)
    change_log.move_checkpoint(connection, contract, period, file_id, staging.places)
    books.add_outcomes(connection)
    return staging


def _check_threshold(
    connection: Connection, received: ReceivedFile, contract: Contract, file_id: int, rejected: int
) -> None:
    """Raise `RejectedFileError` if more rows are rejected than the contract tolerates."""
    if contract.tolerates(rejected, received.rows_in):
        return
    # Rows that wait for the row they refer to do not count: a rejected file would not be replayed when it arrives.
    rejected -= quarantine.waiting_rows(connection, contract, file_id)
    if contract.tolerates(rejected, received.rows_in):
        return
    broken = broken_rules(connection, contract, file_id)
    raise too_many_rejects(received.landed.uri, contract, rejected, received.rows_in, broken, received.hint)


def _check_snapshot(connection: Connection, received: ReceivedFile, contract: Contract, file_id: int) -> None:
    (rows,) = one_row(connection, "select count(*) from incoming")
    before = snapshot_rows(connection, contract, received.landed.period)
    broken = broken_rules(connection, contract, file_id)
    odd = check_snapshot(received.landed.uri, contract, rows, before, received.rows_in, broken)
    if odd:
        file_warnings.add(connection, file_id, "shrunk", odd)


def snapshot_rows(connection: Connection, contract: Contract, period: Period) -> int:
    """Return the number of rows with which a snapshot of the period is compared.

    This is the greater of the numbers of effective rows at the period's start and at its end, so that a snapshot that
    is sent repeatedly cannot shrink unnoticed step by step.
    """
    counts = one_row(
        connection,
        sql.SQL("select (select count(*) from {0}({1})), (select count(*) from {0}({2}))").format(
            as_of_function(contract), sql.Literal(period.start), sql.Literal(period.end)
        ),
    )
    return int(max(counts))


def apply_incoming(
    connection: Connection,
    contract: Contract,
    landed: LandedFile,
    file_id: int,
    *,
    replaces: int | None,
    is_whole: bool,
) -> set[date]:
    """Merge the temporary table `incoming` into the dataset's table and create the table `outcome` (_record, outcome).

    With `is_whole`, keys that a snapshot lacks have ended. Returns the business days whose content changed; for a
    snapshot at most the first day of its period.
    """
    if contract.is_merged:
        merge_rows = merge_deliveries if contract.lands_any_time else merge
        days = merge_rows(connection, contract, file_id=file_id, period=landed.period, replaces=replaces)
        conflicts.warn(connection, contract, landed, file_id, replaces=replaces)
        return days
    overruled = is_overruled(connection, contract, landed)
    if overruled:
        connection.execute(
            "create temp table outcome on commit drop as select _record, 'stale' as outcome from incoming"
        )
        differs = False
    else:
        differs = apply_snapshot(connection, contract, file_id=file_id, period=landed.period, is_whole=is_whole)
    if is_whole:
        conflicts.warn(connection, contract, landed, file_id, replaces=replaces, is_overruled=overruled)
    return {landed.period.start} if differs else set()


def is_overruled(connection: Connection, contract: Contract, landed: LandedFile) -> bool:
    """Return whether a later snapshot of the same period is loaded, which then counts instead of this one."""
    if contract.load_mode != "snapshot":
        return False
    newer = connection.execute(
        sql.SQL(
            """
            select
            from waybill.load_file as f
            where f.dataset = {dataset} and f.status = 'loaded' and f.period = {period} and ({order}) > {place}
            """
        ).format(
            dataset=sql.Literal(contract.table),
            period=sql.Literal(landed.period.start),
            order=order_sql(contract, "f"),
            place=place_sql(contract, landed.period.start, landed.landed_at, landed.name_key),
        )
    ).fetchone()
    return newer is not None


def _release_overruling(
    connection: Connection, contract: Contract, landed: LandedFile, file_id: int, replaces: int | None
) -> None:
    """If an older version of a snapshot returns, let the next run load the file that may come between the two again.

    The table has no rows of a snapshot that a later one overruled.
    """
    if contract.load_mode != "snapshot" or replaces is None:
        return
    if comes_before(connection, contract, file_id, replaces):
        released = ledger.release(connection, contract, landed.period, but=file_id)
        if released:
            log.info("the next run loads %s again: it comes after %s", released, landed.key)
