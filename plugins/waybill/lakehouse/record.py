"""Record the result of an intake: the ledger, the quarantine, the change log and the checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import Connection, sql

from waybill.contracts import Contract, load_domain
from waybill.contracts.locations import bucket_and_key
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.formatting import text
from waybill.intake import columns, file_warnings, ledger, quarantine
from waybill.intake.ledger import Books
from waybill.intake.load import lock_table
from waybill.intake.rejected_files import BrokenRule, RejectedFileError
from waybill.lakehouse.exchange import (
    MOST_REJECTED,
    REQUEST,
    IntakeRequest,
    IntakeResult,
    Landed,
    LoadedFile,
    address_of_rejects,
    beside,
    receive_request,
    receive_result,
)
from waybill.lakehouse.facts import received_from
from waybill.lakehouse.recorded import record_snapshots
from waybill.period import Period
from waybill.run import Run
from waybill.scratch import scratch_folder
from waybill.warehouse import change_log

if TYPE_CHECKING:
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client
    from pyiceberg.catalog import Catalog

log = logging.getLogger(__name__)


_AGAIN: Final = (
    "Nothing is recorded. Clear the run from prepare_intake on, or wait for the next run: it loads these files again."
)


class ChangedMeanwhile(DataError):
    """Another run has changed the same part of a table or the same file. The next run loads the file again."""


class _Version(NamedTuple):
    """A version of an object that the ledger has as loaded."""

    file_id: int
    etag: str
    is_of_contract: bool
    """Whether the present contract checked it."""


@dataclass(frozen=True)
class _File:
    """A file of the result with what the request says about it."""

    contract: Contract
    landed: LandedFile
    replaces_etag: str | None
    result: LoadedFile

    @property
    def address(self) -> tuple[str, str]:
        """Return the dataset and the key."""
        return self.contract.table, self.landed.key

    def is_version(self, version: _Version | None) -> bool:
        """Return whether a version is the one that the job loaded: an earlier try, or another run, has recorded it."""
        return version is not None and version.is_of_contract and version.etag == self.result.facts["etag"]


def record_intake(
    connection: Connection, s3: S3Client, catalog: Catalog, address_of_result: str, domain: str, run: Run
) -> dict[str, Books]:
    """Record the files that the job loaded or rejected, in one transaction; return the books by object key.

    Repeating this gives the same ledger. Raises `ChangedMeanwhile` if another writer has changed the tables or a
    contract has changed, and then records nothing. Raises `DataError` with the rejected files after all is recorded.
    """
    request = receive_request(s3, beside(address_of_result, REQUEST))
    result = receive_result(s3, address_of_result)
    assert isinstance(request, IntakeRequest)
    assert isinstance(result, IntakeResult)
    done, rejected = dict[str, Books](), [*request.rejected]
    with scratch_folder() as folder, connection.transaction():
        rejects = _Rejects(s3, result.rejected_rows, folder)
        for name in sorted({one.dataset for one in result.files}):
            lock_table(connection, load_domain(domain)[name])
        files = [*_files(domain, request, result)]
        loaded = [file for file in files if file.result.status == "loaded"]
        versions = {file.address: _loaded_version(connection, file) for file in loaded}
        is_current = _are_current(catalog, result.snapshots)
        if not all(file.is_version(versions[file.address]) for file in loaded):
            _check_contracts(domain, request, result)
            if not is_current:
                tables = ", ".join(sorted(result.snapshots))
                raise ChangedMeanwhile(f"Another run or program has changed {tables} since the job has. {_AGAIN}")
        for file in files:
            if file.result.status == "changed":
                log.warning("%s changed after it was listed: the next run loads it", file.landed.uri)
            elif file.result.status == "rejected":
                rejected.append(_record_rejected(connection, file, run))
            else:
                done[file.landed.key] = _record_loaded(connection, file, versions[file.address], rejects, run)
        if is_current:
            record_snapshots(connection, result.snapshots)
    if rejected:
        tried = len(result.files) + len(request.rejected)
        others = "; the others are loaded" if len(rejected) < tried else ""
        raise DataError("\n".join([f"{len(rejected)} of {tried} files of {domain} were rejected{others}:", *rejected]))
    return done


def _check_contracts(domain: str, request: IntakeRequest, result: IntakeResult) -> None:
    """Raise `ChangedMeanwhile` if a contract is no longer the one by which the job checked the rows."""
    contracts = load_domain(domain)
    for name in sorted({one.dataset for one in result.files}):
        checked, contract = request.datasets[name], contracts[name]
        if (checked.contract, checked.kept) != (contract.document, contract.kept):
            raise ChangedMeanwhile(f"The contract of {contract.table} has changed since prepare_intake. {_AGAIN}")


def _are_current(catalog: Catalog, snapshots: Mapping[str, int]) -> bool:
    return all(
        catalog.load_table(tuple(table.split("."))).metadata.current_snapshot_id == snapshot
        for table, snapshot in snapshots.items()
    )


def _loaded_version(connection: Connection, file: _File) -> _Version | None:
    """Return the version of an object that the ledger has as loaded, if there is one."""
    contract, landed = file.contract, file.landed
    found = connection.execute(
        """
        select file_id, etag, contract_sha256 = %s and kept_values is not distinct from %s::text[]
        from waybill.load_file
        where dataset = %s and bucket = %s and object_key = %s and status = 'loaded'
        """,
        (contract.sha256, contract.kept_values, contract.table, landed.bucket, landed.key),
    ).fetchone()
    return _Version(*found) if found else None


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


def _record_rejected(connection: Connection, file: _File, run: Run) -> str:
    message, facts = file.result.error or f"{file.landed.uri} was rejected", file.result.facts
    error = RejectedFileError(message)
    error.broken = [BrokenRule(reason, rows) for reason, rows in file.result.broken.items()]
    received = received_from(file.landed, facts) if facts else None
    ledger.record_rejected_file(connection, file.contract, file.landed, run, error, received)
    return message


def _record_loaded(connection: Connection, file: _File, before: _Version | None, rejects: _Rejects, run: Run) -> Books:
    """Record a loaded file; `before` is the version that the ledger has.

    Raises `ChangedMeanwhile` if another run has recorded another version of it.
    """
    contract, landed, result = file.contract, file.landed, file.result
    books = Books(**result.books)
    if file.is_version(before):
        return books
    if (before.etag if before else None) != file.replaces_etag:
        raise ChangedMeanwhile(f"{landed.uri}: another run has loaded another version meanwhile. {_AGAIN}")
    received, replaces = received_from(landed, result.facts), before.file_id if before else None
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
            "is recorded. Clear the run from prepare_intake on."
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
        bucket, key = bucket_and_key(address)
        path = self._folder / "rejected.parquet"
        try:
            self._s3.download_file(bucket, key, str(path))
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            return None
        return path
