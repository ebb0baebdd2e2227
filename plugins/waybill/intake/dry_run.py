"""Validate files without loading them, against the effective contract or a proposed one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.files.receive import receive
from waybill.files.received_file import ReceivedFile
from waybill.intake import columns, ledger, quarantine
from waybill.intake.comparison import compare
from waybill.intake.landing import list_pages
from waybill.intake.load import is_overruled, snapshot_rows
from waybill.intake.references import reference_values
from waybill.intake.rejected_files import BrokenRules, RejectedFileError, check_snapshot, too_many_rejects
from waybill.intake.row_source import Rows, read_rows
from waybill.intake.validate import open_duckdb, validate_rows
from waybill.period import Period
from waybill.scratch import scratch_folder
from waybill.settings import settings
from waybill.warehouse.evolution import ensure_domain
from waybill.warehouse.forgotten import forgotten_people

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_EXAMPLES = 3


@dataclass
class FileDryRun:
    """One file under the effective and a proposed contract. A dry run does not look for repeated keys in a file."""

    key: str
    rows: int
    is_rejected_today: bool = False
    """Whether the effective contract rejects the whole file."""
    rejection: str | None = None
    """Why the proposed contract rejects the whole file."""
    rows_newly_rejected: int = 0
    rows_newly_accepted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Reasons of the proposed contract to reject rows that the effective one accepts."""
    examples: dict[str, list[int]] = field(default_factory=dict)
    """For each of these reasons the first record numbers."""

    @property
    def is_newly_rejected(self) -> bool:
        """Return whether the proposed contract rejects the whole file and the effective one does not."""
        return self.rejection is not None and not self.is_rejected_today


def dry_run_pending(
    connection: Connection, s3: S3Client, contract: Contract, contracts: dict[str, Contract], until: Period | None
) -> dict[str, dict[str, Any]]:
    """Return what a run would find in each pending file of a dataset up to a period, by object key.

    The result of a file has its number of rows and of rejected rows, the reasons, and, if the whole file would be
    rejected, the message under `file_rejected`. Missing tables are created and nothing is loaded. References are
    checked against the rows that are loaded now. Repeated keys are not detected.
    """
    compared = compare(connection, contract, list_pages(s3, settings().raw_bucket, contract, None, until))
    found: dict[str, dict[str, Any]] = {one.file.key: {"file_rejected": one.message} for one in compared.misplaced}
    with connection.transaction():
        ensure_domain(connection, contracts)
    for file in compared.todo:
        try:
            rejects = _rejects(connection, s3, contract, contracts, file)
        except DataError as error:
            found[file.key] = {"file_rejected": str(error)}
            continue
        reasons = {rule.reason: rule.rows for rule in rejects.broken.listed()}
        result = {"rows_in": rejects.rows, "rejected": len(rejects.reasons), "reasons": reasons}
        if rejects.error:
            result["file_rejected"] = str(rejects.error)
        found[file.key] = result
        log.info("%s: result of the dry run: %s", file.uri, result)
    return found


def try_contract(
    connection: Connection,
    s3: S3Client,
    today: Contract,
    proposed: Contract,
    contracts: Mapping[str, Contract],
    files: Iterable[LandedFile],
) -> list[FileDryRun]:
    """Return the result of each file under the contracts `today` and `proposed`. Nothing is written."""
    return [_try_file(connection, s3, today, proposed, contracts, file) for file in files]


def _try_file(
    connection: Connection,
    s3: S3Client,
    today: Contract,
    proposed: Contract,
    contracts: Mapping[str, Contract],
    file: LandedFile,
) -> FileDryRun:
    try:
        before = _rejects(connection, s3, today, contracts, file)
    except DataError:  # the effective contract rejects the whole file
        before = None
    is_rejected_today = before is None or before.error is not None
    try:
        after = _rejects(connection, s3, proposed, contracts, file)
    except DataError as error:
        return FileDryRun(file.key, before.rows if before else 0, is_rejected_today, str(error))
    result = FileDryRun(file.key, after.rows, is_rejected_today)
    if after.error:
        result.rejection = str(after.error)
    if before is None or (is_rejected_today and not result.rejection):
        result.rows_newly_accepted = after.rows - len(after.reasons)
        return result
    for record, reasons in after.reasons.items():
        if record in before.reasons:
            continue
        result.rows_newly_rejected += 1
        for reason in reasons:
            result.reasons[reason] += 1
            if len(examples := result.examples.setdefault(reason, [])) < _EXAMPLES:
                examples.append(record)
    result.rows_newly_accepted = len(before.reasons.keys() - after.reasons.keys())
    return result


@dataclass(frozen=True)
class _Rejects:
    """What a load would reject of a file."""

    rows: int
    reasons: dict[int, list[str]]
    """The reasons of each rejected row, by record number."""
    broken: BrokenRules
    error: RejectedFileError | None
    """Why a load would reject the whole file because of its rows."""


def _rejects(
    connection: Connection, s3: S3Client, contract: Contract, contracts: Mapping[str, Contract], file: LandedFile
) -> _Rejects:
    """Return what a load would reject of a file. Raises `DataError` if it would reject the file before its rows."""
    with scratch_folder() as folder:
        received = receive(s3, file, contract, folder)
        references = reference_values(connection, contract, contracts, file.period.end, folder)
        forgotten = forgotten_people(connection, contract)

        def validate(rows: Rows) -> _Rejects:
            source, malformed = rows()
            reasons = {reject.record: reject.reasons for reject in malformed}
            broken = BrokenRules(contract)
            for reject in malformed:
                broken.add(reject.record, reject.reasons, reject.raw)
            with closing(open_duckdb(folder)) as duck:
                for batch in validate_rows(duck, source, contract, references, forgotten):
                    bad = batch.filter(batch.column("_reasons").is_valid()).select(["_record", "_reasons", "_raw"])
                    for row in bad.to_pylist():
                        reasons[row["_record"]] = row["_reasons"]
                        broken.add(row["_record"], row["_reasons"], row["_raw"])
            before = ledger.predecessor(connection, contract, file)
            issues = columns.of_received(connection, contract, received, before[0] if before else None)
            columns.raise_errors(file.uri, issues)
            error = _file_error(connection, contract, received, reasons, broken)
            return _Rejects(received.rows_in, reasons, broken, error)

        return read_rows(received, contract, folder, validate)


def _file_error(
    connection: Connection,
    contract: Contract,
    received: ReceivedFile,
    reasons: Mapping[int, list[str]],
    broken: BrokenRules,
) -> RejectedFileError | None:
    """Return the error with which a load would reject the file because of its rows, if it would."""
    landed, rows_in = received.landed, received.rows_in
    waiting = set(quarantine.waiting_reasons(contract))
    rejected = sum(not waiting.issuperset(those) for those in reasons.values())
    if not contract.tolerates(rejected, rows_in):
        return too_many_rejects(landed.uri, contract, rejected, rows_in, broken.listed(), received.hint)
    if contract.load_mode != "snapshot" or is_overruled(connection, contract, landed):
        return None
    try:
        before = snapshot_rows(connection, contract, landed.period)
        check_snapshot(landed.uri, contract, rows_in - len(reasons), before, rows_in, broken.listed())
    except RejectedFileError as error:
        return error
    return None
