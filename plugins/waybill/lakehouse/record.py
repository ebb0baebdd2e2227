"""Record the result of an intake: the ledger, the quarantine, the change log and the checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import Connection, sql

from waybill.contracts import Contract, load_domain
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.formatting import text
from waybill.intake import columns, file_warnings, ledger, quarantine
from waybill.intake.ledger import Books
from waybill.intake.load import lock_table
from waybill.intake.rejected_files import BrokenRule, RejectedFileError
from waybill.lakehouse.exchange import (
    MOST_REJECTED,
    IntakeRequest,
    IntakeResult,
    Landed,
    LoadedFile,
    address_of_rejects,
    receive_request,
    receive_result,
)
from waybill.lakehouse.facts import received_from
from waybill.lakehouse.prepare import REQUEST
from waybill.outputs.iceberg_files import RUN_ID, days_of
from waybill.period import Period
from waybill.run import Run
from waybill.scratch import scratch_folder
from waybill.warehouse import change_log

if TYPE_CHECKING:
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client
    from pyiceberg.catalog import Catalog
    from pyiceberg.table.snapshots import Snapshot

log = logging.getLogger(__name__)


class ChangedMeanwhile(DataError):
    """Another run has changed the same part of a table or the same file. The next run loads the file again."""


@dataclass(frozen=True)
class _File:
    """A file of the result with what the request says about it."""

    contract: Contract
    landed: LandedFile
    replaces_etag: str | None
    result: LoadedFile


def record_intake(
    connection: Connection, s3: S3Client, catalog: Catalog, address_of_result: str, domain: str, run: Run
) -> dict[str, Books]:
    """Record the files that the job loaded or rejected; return the books by object key.

    Each file is one transaction, and a file that is recorded already is left: repeating this, also after it was killed,
    gives the same ledger. Raises `ChangedMeanwhile` if another
    run has changed the same rows, or `DataError` with the rejected files, after the other files are recorded.
    """
    request = receive_request(s3, f"{address_of_result.rpartition('/')[0]}/{REQUEST}")
    result = receive_result(s3, address_of_result)
    assert isinstance(request, IntakeRequest)
    assert isinstance(result, IntakeResult)
    done, rejected, changed = dict[str, Books](), [*request.rejected], list[str]()
    overwritten = _overwritten(catalog, request, result)
    with scratch_folder() as folder:
        rejects = _Rejects(s3, result.rejected_rows, folder)
        for file in _files(domain, request, result):
            if file.result.status == "changed":
                log.warning("%s changed after it was listed: the next run loads it", file.landed.uri)
            elif file.result.status == "rejected":
                rejected.append(_record_rejected(connection, file, run))
            else:
                by = overwritten.get((file.contract.name, file.landed.period.start))
                try:
                    done[file.landed.key] = _record_loaded(connection, file, rejects, run, by)
                except ChangedMeanwhile as error:
                    changed.append(str(error))
    if changed:
        raise ChangedMeanwhile(
            "\n".join(
                [
                    *changed,
                    "Clear the run from prepare_intake on, or wait for the next run: it loads these files again.",
                ]
            )
        )
    if rejected:
        tried = len(result.files) + len(request.rejected)
        others = "; the others are loaded" if len(rejected) < tried else ""
        raise DataError("\n".join([f"{len(rejected)} of {tried} files of {domain} were rejected{others}:", *rejected]))
    return done


def _files(domain: str, request: IntakeRequest, result: IntakeResult) -> Iterator[_File]:
    """Yield the files of a result with what the request says about them."""
    contracts = load_domain(domain)
    asked: dict[tuple[str, str], tuple[Period, Landed]] = {
        (part.dataset, file.key): (Period.of(contracts[part.dataset].cadence, part.period), file)
        for part in request.parts
        for file in part.files
    }
    for one in result.files:
        period, file = asked[one.dataset, one.key]
        landed = LandedFile(file.bucket, file.key, file.etag, file.size_bytes, period, file.landed_at)
        yield _File(contracts[one.dataset], landed, file.replaces_etag, one)


def _overwritten(catalog: Catalog, request: IntakeRequest, result: IntakeResult) -> dict[tuple[str, date], str]:
    """Return the parts that another run or program has changed since the job did, with a description.

    The job's rows may be gone from them, so they are not recorded: the next run loads their files again.
    """
    from pyiceberg.table.snapshots import Operation

    found: dict[tuple[str, date], str] = {}
    for name in result.snapshots:
        table = catalog.load_table(tuple(request.datasets[name].table.split(".")))
        others = dict[date, str]()  # who has changed each day later than the job
        open_days = {part.period for part in request.parts if part.dataset == name}
        snapshot = table.current_snapshot()
        while snapshot is not None and open_days:
            own, days = _run_of(snapshot), days_of(snapshot).keys()
            if own == request.run_id:
                found |= {
                    (name, day): f"{others[day]} has changed {day} of {request.datasets[name].table} meanwhile"
                    for day in open_days & days & others.keys()
                }
                open_days -= days
            elif snapshot.summary and snapshot.summary.operation != Operation.REPLACE:  # else a compaction
                by = f"the run {own}" if own else "another program"
                others = dict.fromkeys(days or open_days, by) | others
            snapshot = table.snapshot_by_id(parent) if (parent := snapshot.parent_snapshot_id) else None
    return found


def _run_of(snapshot: Snapshot) -> str | None:
    return snapshot.summary.additional_properties.get(RUN_ID) if snapshot.summary else None


def _record_rejected(connection: Connection, file: _File, run: Run) -> str:
    message, facts = file.result.error or f"{file.landed.uri} was rejected", file.result.facts
    error = RejectedFileError(message)
    error.broken = [BrokenRule(reason, rows) for reason, rows in file.result.broken.items()]
    received = received_from(file.landed, facts) if facts else None
    ledger.record_rejected_file(connection, file.contract, file.landed, run, error, received)
    return message


def _record_loaded(connection: Connection, file: _File, rejects: _Rejects, run: Run, overwritten: str | None) -> Books:
    """Record a loaded file; `overwritten` says who has changed its part since. Raises `ChangedMeanwhile`."""
    contract, landed, result = file.contract, file.landed, file.result
    books = Books(**result.books)
    received = received_from(landed, result.facts)
    with connection.transaction():
        lock_table(connection, contract)
        before = connection.execute(
            """
            select file_id, etag, contract_sha256 = %s and kept_values is not distinct from %s::text[]
            from waybill.load_file
            where dataset = %s and bucket = %s and object_key = %s and status = 'loaded'
            """,
            (contract.sha256, contract.kept_values, contract.table, landed.bucket, landed.key),
        ).fetchone()
        if before and before[1:] == (received.content.etag, True):
            return books  # recorded by an earlier try, or by another run that loaded the same
        if overwritten:
            raise ChangedMeanwhile(f"{landed.uri}: {overwritten}")
        if (before[1] if before else None) != file.replaces_etag:
            raise ChangedMeanwhile(f"{landed.uri}: another run has loaded another version meanwhile")
        replaces = before[0] if before else None
        issues = columns.of_received(connection, contract, received, replaces)
        file_id = ledger.open_file(connection, contract, received, run, replaces)
        columns.warn(connection, contract, file_id, issues)
        _keep_rejects(connection, file, file_id, books, rejects)
        for kind, message in result.warnings:
            file_warnings.add(connection, file_id, kind, message)
        change_log.record(connection, contract.table, result.changed_days, file_id)
        if result.newest is not None:
            change_log.move_checkpoint_to(connection, contract, landed.period, file_id, sql.Literal(result.newest))
        ledger.close_file(connection, file_id, books)
        # Spark's time is that of all files of a run.
        connection.execute("update waybill.load_file set seconds = null where file_id = %s", (file_id,))
    log.info("%s: %s", landed.uri, books)
    return books


def _keep_rejects(connection: Connection, file: _File, file_id: int, books: Books, rejects: _Rejects) -> None:
    if not books.rejected:
        return
    contract = file.contract
    kept = quarantine.keep_batches(connection, file_id, contract.version, rejects.of(file))
    if kept != min(books.rejected, MOST_REJECTED):
        raise RuntimeError(
            f"{file.landed.uri}: the job counted {text(books.rejected)} rejected rows and wrote {text(kept)}. Nothing "
            "of the file was recorded. Clear the run from prepare_intake on."
        )
    if kept < books.rejected:
        message = (
            f"the quarantine has the first {text(kept)} of {text(books.rejected)} rejected rows. The quarantine table "
            "of the lake has all of them."
        )
        file_warnings.add(connection, file_id, "quarantine", message)


class _Rejects:
    """The rejected rows of the files of a result."""

    def __init__(self, s3: S3Client, address: str | None, folder: Path) -> None:
        self._s3, self._address, self._folder = s3, address, folder

    def of(self, file: _File) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a file as the quarantine stores them, the first ones in the order of their records."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._download(file)
        if path is None:
            return
        found = pq.read_table(path, columns=["record", "reasons", "raw"])
        path.unlink()
        found = found.sort_by("record").slice(0, MOST_REJECTED).rename_columns(["_record", "_reasons", "_raw"])
        wanted = pa.schema([("_record", pa.int32()), ("_reasons", pa.list_(pa.string())), ("_raw", pa.string())])
        yield from found.cast(wanted).combine_chunks().to_batches(max_chunksize=10_000)

    def _download(self, file: _File) -> Path | None:
        """Return the path of the rejected rows of a file, or None if the job wrote none."""
        from botocore.exceptions import ClientError

        if self._address is None:
            return None
        address = address_of_rejects(self._address, file.contract.name, file.landed.period.start, file.landed.key)
        bucket, _, key = address.removeprefix("s3://").partition("/")
        path = self._folder / "rejected.parquet"
        try:
            self._s3.download_file(bucket, key, str(path))
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            return None
        return path
