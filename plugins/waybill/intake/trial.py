"""Judge files and load nothing: what a run would reject, or a proposed contract that today's does not, and why."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import Connection

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.intake import quarantine
from waybill.intake.landing import LandedFile, list_landed, pending
from waybill.intake.load import reference_values
from waybill.intake.receive import receive
from waybill.intake.scratch import scratch_folder
from waybill.intake.validate import FastReaderFailed, judge, mend, open_duckdb
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.evolution import ensure_domain

log = logging.getLogger(__name__)

_EXAMPLES = 3


@dataclass
class FileTrial:
    """One file under both contracts. Repeated keys within a file are not part of a trial."""

    key: str
    rows: int
    newly_rejected: int = 0
    newly_accepted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Reasons of the proposed contract against rows that today's accepts."""
    examples: dict[str, list[int]] = field(default_factory=dict)
    """For each of those reasons some record numbers."""
    refusal: str | None = None
    """Why the proposed contract refuses the file as a whole."""


def judge_pending(
    connection: Connection, s3: Any, contract: Contract, contracts: dict[str, Contract], until: Period | None
) -> dict[str, dict[str, Any]]:
    """What a run would find in the files that landed for a dataset up to a period and are not loaded, by object key.

    For each the rows, those that the contract rejects, the reasons, and why the file would be refused as a whole, if it
    would. Nothing is loaded, and nothing is made but tables that are not there yet. References are judged by what is
    loaded by now; repeated keys are not looked for.
    """
    found: dict[str, dict[str, Any]] = {}
    with connection.transaction():
        ensure_domain(connection, contracts)
    for file in pending(connection, contract, list_landed(s3, settings().raw_bucket, contract, None, until)):
        try:
            rejects = _rejects(connection, s3, contract, contracts, file)
        except DataError as error:
            found[file.key] = {"refused": str(error)}
            continue
        reasons = Counter(reason for those in rejects.reasons.values() for reason in those)
        judged = {"rows_in": rejects.rows, "rejected": len(rejects.reasons), "reasons": dict(reasons.most_common())}
        waits = set(quarantine.waiting_reasons(contract))
        flawed = sum(not waits.issuperset(those) for those in rejects.reasons.values())
        if not contract.tolerates(flawed, rejects.rows):
            judged["refused"] = f"more than {contract.reject_threshold_pct:g} % of the rows are rejected"
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
) -> list[FileTrial]:
    """Judge each file by both contracts. Nothing is loaded and nothing is written."""
    return [_try_file(connection, s3, today, proposed, contracts, file) for file in files]


def _try_file(
    connection: Connection,
    s3: Any,
    today: Contract,
    proposed: Contract,
    contracts: Mapping[str, Contract],
    file: LandedFile,
) -> FileTrial:
    try:
        rejected_today = _rejects(connection, s3, today, contracts, file)
    except DataError:  # today's contract refuses the file as a whole
        rejected_today = None
    try:
        rejected_then = _rejects(connection, s3, proposed, contracts, file)
    except DataError as error:
        return FileTrial(file.key, rejected_today.rows if rejected_today else 0, refusal=str(error))
    trial = FileTrial(file.key, rejected_then.rows)
    if rejected_today is None:
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


def _rejects(
    connection: Connection, s3: Any, contract: Contract, contracts: Mapping[str, Contract], file: LandedFile
) -> _Rejects:
    with scratch_folder() as folder:
        received = receive(s3, file, contract, folder)
        references = reference_values(connection, contract, contracts, file.period.end, folder)

        def judged(mended: Path | None) -> dict[int, list[str]]:
            found: dict[int, list[str]] = {}
            with closing(open_duckdb(folder)) as duck:
                for batch in judge(duck, received, contract, file.period, references, mended):
                    bad = batch.filter(batch.column("_reasons").is_valid())
                    found.update(zip(bad["_record"].to_pylist(), bad["_reasons"].to_pylist(), strict=True))
            return found

        try:
            if received.is_regular:
                return _Rejects(received.rows_in, judged(None))
        except FastReaderFailed:
            pass
        malformed = {reject.record: reject.reasons for reject in mend(received, folder / "mended.csv")}
        return _Rejects(received.rows_in, malformed | judged(folder / "mended.csv"))
