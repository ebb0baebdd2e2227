"""Load one received file: one transaction from the first row to balanced books, or nothing at all."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.intake import columns, conflicts, file_warnings, ledger, quarantine, repeated_lines
from waybill.intake.deliveries import merge_deliveries
from waybill.intake.form_warnings import warn_of_form
from waybill.intake.landing import LandedFile
from waybill.intake.ledger import Books
from waybill.intake.merge import merge
from waybill.intake.receive import ReceivedFile
from waybill.intake.rejected_files import BrokenRules, Refusal, broken_rules, check_snapshot, too_many_rejects
from waybill.intake.staging import Staging
from waybill.intake.validate import LINE_FEEDS, FastReaderFailed, Reject, csv_source, judge, mend, open_duckdb
from waybill.period import Period
from waybill.run import Run
from waybill.warehouse import change_log
from waybill.warehouse.connection import one_row
from waybill.warehouse.evolution import ensure
from waybill.warehouse.file_order import comes_before, order_sql, place_sql
from waybill.warehouse.history import apply_snapshot
from waybill.warehouse.schema import as_of_function, relation

log = logging.getLogger(__name__)

_FEW_RECORDS = 10_000
_AS_CSV = sql.SQL("copy ({}) to stdout (format csv, force_quote *)")


def lock_table(connection: Connection, table: str) -> None:
    """Wait for every other load of the table; the lock goes with the transaction."""
    connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"load {table}",))


def reference_values(
    connection: Connection,
    contract: Contract,
    contracts: Mapping[str, Contract],
    known_before: date | None,
    folder: Path,
) -> dict[str, str]:
    """By column with a checked reference, as a relation of DuckDB's, the values it may take.

    Those delivered before a day (None: all there are). Where a reference must be in force, each value and its first
    day; then it plays no part when it was delivered. They lie in `folder`: as Python's or Arrow's objects they would
    cost more than all the rest of a small load.
    """
    found = {}
    for column in contract.columns:
        if column.checked_reference is None:
            continue
        dataset, name = column.checked_reference
        target = contracts[dataset]
        types = {"value": _duckdb_type(target, name)}
        parts = {"value": sql.Identifier(name), "table": relation(target)}
        if column.in_force_on:
            types["since"] = "date"
            query = _in_force(target, name)
        else:
            query = sql.SQL("select distinct {value} from {table} where {since} < {until}").format(
                **parts,
                since=sql.Identifier("valid_from" if target.load_mode == "snapshot" else "_delivered"),
                until=sql.Literal(known_before or "infinity"),
            )
        path = folder / f"{column.name}.references"
        with path.open("wb") as file, connection.cursor().copy(_AS_CSV.format(query)) as copy:
            for chunk in copy:
                file.write(chunk)
        found[column.name] = csv_source(path, types, LINE_FEEDS + "allow_quoted_nulls=false, ")
    return found


def in_force_since(
    connection: Connection, contract: Contract, contracts: Mapping[str, Contract]
) -> dict[str, dict[Any, date]]:
    """By column whose reference must be in force on a date: since when each value is."""
    found: dict[str, dict[Any, date]] = {}
    for column in contract.columns:
        if column.checked_reference and column.in_force_on:
            dataset, name = column.checked_reference
            found[column.name] = dict(connection.execute(_in_force(contracts[dataset], name)).fetchall())
    return found


def _in_force(target: Contract, name: str) -> sql.Composed:
    """The query for the values of a column, each with the first day on which it is in force."""
    assert target.period_column
    return sql.SQL("select {name}, min({since}) from {table} group by {name}").format(
        name=sql.Identifier(name), since=sql.Identifier(target.period_column), table=relation(target)
    )


def _duckdb_type(contract: Contract, name: str) -> str:
    physical = next(column.physical_type for column in contract.columns if column.name == name)
    return physical if physical in ("integer", "bigint") else "varchar"


def load_file(
    connection: Connection,
    received: ReceivedFile,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    folder: Path,
) -> Books | None:
    """Load one file into its table and return its books, or None if the ledger holds this content already.

    `contracts` are those of the domain, for references. `folder` is scratch space. Everything happens in
    one transaction. Raises `DataError` if more rows are rejected than the contract allows or no count agrees.
    """
    try:
        if received.is_regular:
            return _load(connection, received, contract, contracts, run, folder, mended=False)
    except FastReaderFailed as error:
        log.info("%s is read record by record: %s", received.landed.uri, error)
    return _load(connection, received, contract, contracts, run, folder, mended=True)


def _load(
    connection: Connection,
    received: ReceivedFile,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    folder: Path,
    *,
    mended: bool,
) -> Books | None:
    landed = received.landed
    with connection.transaction():
        lock_table(connection, contract.table)
        ensure(connection, contract)
        for column in contract.columns:
            if column.checked_reference and column.in_force_on:  # nothing of it may have landed yet
                ensure(connection, contracts[column.checked_reference[0]])
        before = ledger.predecessor(connection, contract, landed)
        if before and before[1:] == (received.sha256, True):
            ledger.note_same_content(connection, before[0], received)
            return None
        replaces = before[0] if before else None
        malformed = malformed_records(received, contract, folder / "mended.csv") if mended else []
        odd = columns.of_received(connection, contract, received, replaces)
        columns.refuse_errors(landed.uri, odd)
        file_id = ledger.open_file(connection, contract, received, run, replaces)
        columns.warn(connection, contract, file_id, odd)
        _release_overruling(connection, contract, landed, file_id, replaces)
        references = reference_values(connection, contract, contracts, landed.period.end, folder)
        staging = Staging(connection, contract, landed.period, file_id, received.rows_in, folder)
        staging.use_fresh_partition()
        with closing(open_duckdb(folder)) as duck:
            path = folder / "mended.csv" if mended else None
            staging.stream(judge(duck, received, contract, landed.period, references, path))
        books = staging.books
        books.rows_in = received.rows_in
        if staging.rows_judged + len(malformed) != received.rows_in:
            message = (
                f"the reader found {staging.rows_judged + len(malformed)} records and the count {received.rows_in}"
            )
            if not mended:
                raise FastReaderFailed(message)
            raise DataError(f"{landed.uri}: {message}; nothing was loaded. Look for stray quotes or line ends.")
        staging.settle_suspects()
        staging.check_unique_columns()
        books.rejected = quarantine.keep(connection, file_id, contract.version, malformed + staging.late_rejects)
        books.rejected += quarantine.keep_judged(connection, file_id, contract.version, staging.judged_rejects())
        _check_threshold(connection, received, contract, file_id, books)
        if contract.load_mode == "snapshot" and not is_overruled(connection, contract, landed):
            _check_snapshot(connection, received, contract, file_id)
        if repeated := repeated_lines.find_repeated(connection, contract, staging):
            file_warnings.add(connection, file_id, repeated_lines.KIND, repeated)
        columns.warn_of_emptied(connection, contract, file_id, replaces, received.brought)
        days = apply_incoming(connection, contract, landed, file_id, replaces=replaces, is_whole=True)
        if staging.fresh:
            days |= change_log.days_of_partition(connection, contract, landed.period, staging.fresh)
        change_log.record(connection, contract.table, days, file_id)
        change_log.move_checkpoint(connection, contract, landed.period, file_id, staging.places)
        books.add_outcomes(connection)
        connection.execute("drop table incoming, suspect, outcome")
        ledger.close_file(connection, file_id, books)
        warn_of_form(connection, contract, received, file_id, malformed)
    for warning in odd.warnings:
        log.warning("%s: %s", landed.uri, warning)
    log.info("%s: %s", landed.uri, books)
    return books


def malformed_records(received: ReceivedFile, contract: Contract, target: Path) -> list[Reject]:
    """The records that are no records, while the others are written to `target`.

    A file that is malformed throughout is refused before it fills the memory.
    """
    allowed = max(contract.reject_threshold_pct * received.rows_in / 100, _FEW_RECORDS)
    found: list[Reject] = []
    for reject in mend(received, target):
        found.append(reject)
        if len(found) > allowed:
            broken = BrokenRules(contract)
            for one in found:
                broken.add(one.record, one.reasons, one.raw)
            raise Refusal(
                f"{received.landed.uri}: more than {allowed:.0f} of {received.rows_in} records are malformed; nothing "
                f"was loaded. Mend the file and send it again under the same name.{received.hint} "
                f"Up to record {reject.record}:",
                broken.listed(),
            )
    return found


def _check_threshold(
    connection: Connection, received: ReceivedFile, contract: Contract, file_id: int, books: Books
) -> None:
    if contract.tolerates(books.rejected, books.rows_in):
        return
    # A row that came before what it refers to is no flaw of the file: a refused file would not see it come.
    rejected = books.rejected - quarantine.waiting_rows(connection, contract, file_id)
    if contract.tolerates(rejected, books.rows_in):
        return
    broken = broken_rules(connection, contract, file_id)
    raise too_many_rejects(received.landed.uri, contract, rejected, books.rows_in, broken, received.hint)


def _check_snapshot(connection: Connection, received: ReceivedFile, contract: Contract, file_id: int) -> None:
    (rows,) = one_row(connection, "select count(*) from incoming")
    before = snapshot_rows(connection, contract, received.landed.period)
    broken = broken_rules(connection, contract, file_id)
    odd = check_snapshot(received.landed.uri, contract, rows, before, received.rows_in, broken)
    if odd:
        file_warnings.add(connection, file_id, "shrunk", odd)


def snapshot_rows(connection: Connection, contract: Contract, period: Period) -> int:
    """How many rows a snapshot of a period is held against: those in force at its start or its end, by what is loaded.

    The greater of the two: a snapshot that is sent again and again must not shrink step by step without a word.
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
    """Bring the temporary table `incoming` into the dataset's table, and leave what became of each row in `outcome`.

    `is_whole` says that a snapshot's rows are all there, so that absent keys have ended. Returns the business days
    whose content changed; for a snapshot at most the first day of its period.
    """
    if contract.is_merged:
        bring = merge_deliveries if contract.lands_any_time else merge
        days = bring(connection, contract, file_id=file_id, period=landed.period, replaces=replaces)
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
    """Whether another snapshot of the same period stands because it comes after this one."""
    if contract.load_mode != "snapshot":
        return False
    newer = connection.execute(
        sql.SQL(
            "select from waybill.load_file as f where f.dataset = {dataset} and f.status = 'loaded' "
            "and f.period = {period} and ({order}) > {place}"
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
    """When an older version of a snapshot has come back: have the file loaded again that may come between the two.

    The rows of a snapshot that another one overruled are not kept.
    """
    if contract.load_mode != "snapshot" or replaces is None:
        return
    if comes_before(connection, contract, file_id, replaces):
        released = ledger.release(connection, contract, landed.period, but=file_id)
        if released:
            log.info("%s is loaded again by the next run: it comes after %s", released, landed.key)
