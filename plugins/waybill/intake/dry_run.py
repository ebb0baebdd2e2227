"""Judge files and load nothing: what a run would reject, or a proposed contract that today's does not, and why."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.intake import columns, ledger, quarantine
from waybill.intake.landing import LandedFile, list_objects, pending
from waybill.intake.load import is_overruled, reparse, snapshot_rows
from waybill.intake.receive import ReceivedFile, receive
from waybill.intake.references import reference_values
from waybill.intake.rejected_files import BrokenRules, Refusal, check_snapshot, too_many_rejects
from waybill.intake.validate import FastReaderFailed, Reject, RowSource, judge, open_duckdb
from waybill.period import Period
from waybill.scratch import scratch_folder
from waybill.settings import settings
from waybill.warehouse.evolution import ensure_domain

log = logging.getLogger(__name__)

_EXAMPLES = 3


@dataclass
class FileDryRun:
    """One file under both contracts. Repeated keys within a file are not part of a trial."""

    key: str
    rows: int
    is_refused_today: bool = False
    """Whether today's contract refuses the file as a whole."""
    refusal: str | None = None
    """Why the proposed contract refuses the file as a whole."""
    newly_rejected: int = 0
    newly_accepted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Reasons of the proposed contract against rows that today's accepts."""
    examples: dict[str, list[int]] = field(default_factory=dict)
    """For each of those reasons some record numbers."""

    @property
    def is_newly_refused(self) -> bool:
        """Whether the proposed contract refuses the file as a whole, and today's does not."""
        return self.refusal is not None and not self.is_refused_today


def dry_run_pending(
    connection: Connection, s3: Any, contract: Contract, contracts: dict[str, Contract], until: Period | None
) -> dict[str, dict[str, Any]]:
    """What a run would find in the files that landed for a dataset up to a period and are not loaded, by object key.

    For each the rows, those that the contract rejects, the reasons, and why the file would be refused as a whole, if it
    would. Nothing is loaded, and nothing is made but tables that are not there yet. References are judged by what is
    loaded by now; repeated keys are not looked for.
    """
    listing = list_objects(s3, settings().raw_bucket, contract, None, until)
    found: dict[str, dict[str, Any]] = {one.file.key: {"refused": one.message} for one in listing.misplaced}
    with connection.transaction():
        ensure_domain(connection, contracts)
    for file in pending(connection, contract, listing.landed):
        try:
            rejects = _rejects(connection, s3, contract, contracts, file)
        except DataError as error:
            found[file.key] = {"refused": str(error)}
            continue
        reasons = {rule.reason: rule.rows for rule in rejects.broken.listed()}
        judged = {"rows_in": rejects.rows, "rejected": len(rejects.reasons), "reasons": reasons}
        if rejects.refusal:
            judged["refused"] = str(rejects.refusal)
        found[file.key] = judged
        log.info("%s would be judged: %s", file.uri, judged)
    return found


def try_contract(
    connection: Connection,
    s3: Any,
    today: Contract,
    proposed: Contract,
    contracts: Mapping[str, Contract],
    files: Iterable[LandedFile],
) -> list[FileDryRun]:
    """Judge each file by both contracts. Nothing is loaded and nothing is written."""
    return [_try_file(connection, s3, today, proposed, contracts, file) for file in files]


def _try_file(
    connection: Connection,
    s3: Any,
    today: Contract,
    proposed: Contract,
    contracts: Mapping[str, Contract],
    file: LandedFile,
) -> FileDryRun:
    try:
        rejected_today = _rejects(connection, s3, today, contracts, file)
    except DataError:  # today's contract refuses the file as a whole
        rejected_today = None
    is_refused_today = rejected_today is None or rejected_today.refusal is not None
    try:
        rejected_then = _rejects(connection, s3, proposed, contracts, file)
    except DataError as error:
        return FileDryRun(file.key, rejected_today.rows if rejected_today else 0, is_refused_today, str(error))
    trial = FileDryRun(file.key, rejected_then.rows, is_refused_today)
    if rejected_then.refusal:
        trial.refusal = str(rejected_then.refusal)
    if rejected_today is None or (is_refused_today and not trial.refusal):
        trial.newly_accepted = rejected_then.rows - len(rejected_then.reasons)
        return trial
    for record, reasons in rejected_then.reasons.items():
        if record in rejected_today.reasons:
            continue
        trial.newly_rejected += 1
        for reason in reasons:
            trial.reasons[reason] += 1
            if len(examples := trial.examples.setdefault(reason, [])) < _EXAMPLES:
                examples.append(record)
    trial.newly_accepted = len(rejected_today.reasons.keys() - rejected_then.reasons.keys())
    return trial


@dataclass(frozen=True)
class _Rejects:
    rows: int
    reasons: dict[int, list[str]]
    """By record, of the rows that are rejected."""
    broken: BrokenRules
    refusal: Refusal | None
    """Why the file would be refused because of its rows."""


def _rejects(
    connection: Connection, s3: Any, contract: Contract, contracts: Mapping[str, Contract], file: LandedFile
) -> _Rejects:
    """What a load would reject of a file. Raises `DataError` if it would refuse the file before it judges a row."""
    with scratch_folder() as folder:
        received = receive(s3, file, contract, folder)
        references = reference_values(connection, contract, contracts, file.period.end, folder)

        def judged(source: RowSource, malformed: list[Reject]) -> _Rejects:
            reasons = {reject.record: reject.reasons for reject in malformed}
            broken = BrokenRules(contract)
            for reject in malformed:
                broken.add(reject.record, reject.reasons, reject.raw)
            with closing(open_duckdb(folder)) as duck:
                for batch in judge(duck, source, contract, references):
                    bad = batch.filter(batch.column("_reasons").is_valid()).select(["_record", "_reasons", "_raw"])
                    for row in bad.to_pylist():
                        reasons[row["_record"]] = row["_reasons"]
                        broken.add(row["_record"], row["_reasons"], row["_raw"])
            before = ledger.predecessor(connection, contract, file)
            odd = columns.of_received(connection, contract, received, before[0] if before else None)
            columns.refuse_errors(file.uri, odd)
            refusal = _refusal(connection, contract, received, reasons, broken)
            return _Rejects(received.rows_in, reasons, broken, refusal)

        try:
            if received.is_regular:
                return judged(RowSource.of_file(received), [])
        except FastReaderFailed:
            pass
        return judged(*reparse(received, contract, folder / "reparsed.csv"))


def _refusal(
    connection: Connection,
    contract: Contract,
    received: ReceivedFile,
    reasons: Mapping[int, list[str]],
    broken: BrokenRules,
) -> Refusal | None:
    """Why a load would refuse the file because of its rows, in the words of the load."""
    landed, rows_in = received.landed, received.rows_in
    waits = set(quarantine.waiting_reasons(contract))
    flawed = sum(not waits.issuperset(those) for those in reasons.values())
    if not contract.tolerates(flawed, rows_in):
        return too_many_rejects(received.landed.uri, contract, flawed, received.rows_in, broken.listed(), received.hint)
    if contract.load_mode != "snapshot" or is_overruled(connection, contract, landed):
        return None
    try:
        before = snapshot_rows(connection, contract, landed.period)
        check_snapshot(landed.uri, contract, rows_in - len(reasons), before, rows_in, broken.listed())
    except Refusal as error:
        return error
    return None
