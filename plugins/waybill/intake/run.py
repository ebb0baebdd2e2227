"""Take in a dataset for a period: everything that landed for it and is not in the ledger yet."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from psycopg import Connection

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.intake import ledger
from waybill.intake.landing import LandedFile, list_landed, pending
from waybill.intake.ledger import Books, Run
from waybill.intake.load import load_file
from waybill.intake.receive import receive
from waybill.intake.replay import replay_waiting
from waybill.intake.scratch import scratch_folder
from waybill.period import Period
from waybill.settings import settings
from waybill.zones import raw_prefix

log = logging.getLogger(__name__)


def take_in(
    connection: Connection,
    s3: Any,
    contract: Contract,
    contracts: Mapping[str, Contract],
    period: Period,
    run: Run,
    *,
    lookback_periods: int | None = None,
) -> dict[str, Books]:
    """Load the dataset's new and changed files of the period and of all before it; books by object key.

    What landed earlier comes first, so that periods may run in any order: whichever runs, it finds the history
    that it rests on. `lookback_periods` limits how far back missing files are looked for. Files apply in the
    order of period and name, each in a transaction of its own, so a run that dies leaves whole files and the
    next one goes on. A `DataError` is recorded as a refusal, then raised.
    """
    first = None if lookback_periods is None else period.shift(-lookback_periods)
    landed = list_landed(s3, settings().raw_bucket, contract, first, period)
    todo = pending(connection, contract, landed)
    log.info("%s %s: %d of %d landed files are new or changed", contract.table, period, len(todo), len(landed))
    done = {}
    for file in todo:
        books = take_in_file(connection, s3, file, contract, contracts, run)
        if books is not None:
            done[file.key] = books
    return done


def take_in_arrived(
    connection: Connection,
    s3: Any,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    *,
    name: str | None = None,
    days: tuple[Period, Period] | None = None,
) -> dict[str, Books]:
    """Load whatever landed of a dataset and is not in the ledger; books by object key.

    For datasets whose files land at any time. `name` (of the object: its key, address or last part) or `days` (first
    and last landing day) limits that. A file that is refused does not keep the others out; `DataError` names all
    such files at the end. What another run refused is left alone until it changes, or is asked for by name or day.
    Rows in quarantine that wait for what they refer to are tried again.
    """
    landed = list_landed(s3, settings().raw_bucket, contract, None, None)
    todo = pending(connection, contract, landed)
    if name is not None:
        if not any(_is_named(file, name) for file in landed):
            _refuse_unknown(s3, name, contracts)
        todo = [file for file in todo if _is_named(file, name)]
    if days is not None:
        todo = [file for file in todo if days[0] <= file.period <= days[1]]
    if name is None and days is None:
        known = ledger.refused(connection, contract, run)
        todo = [file for file in todo if (file.key, file.etag) not in known]
    log.info("%s: %d of %d landed files are to be loaded", contract.table, len(todo), len(landed))
    done, refusals = {}, []
    for file in todo:
        try:
            books = take_in_file(connection, s3, file, contract, contracts, run)
        except DataError as error:
            refusals.append(str(error))
            continue
        if books is not None:
            done[file.key] = books
    for replayed in replay_waiting(connection, contract, contracts, run):
        log.info("%s: %s of the rows that waited", replayed.object_key, replayed.books)
    if refusals:
        others = ", the others are loaded" if len(refusals) < len(todo) else ""
        lines = [f"{len(refusals)} of {len(todo)} files of {contract.table} were refused{others}:", *refusals]
        raise DataError("\n".join(lines))
    return done


def _refuse_unknown(s3: Any, name: str, contracts: Mapping[str, Contract]) -> None:
    """Raise `DataError` if no dataset of the domain has an object of the name."""
    bucket = settings().raw_bucket
    for contract in contracts.values():
        if any(_is_named(file, name) for file in list_landed(s3, bucket, contract, None, None)):
            return
    prefixes = ", ".join(raw_prefix(contract.domain, contract.name) for contract in contracts.values())
    raise DataError(f"{name!r} has not landed: there is no such object in s3://{bucket} under {prefixes}")


def _is_named(file: LandedFile, name: str) -> bool:
    return name in (file.uri, file.key, file.key.rsplit("/", 1)[1])


def take_in_file(
    connection: Connection,
    s3: Any,
    file: LandedFile,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
) -> Books | None:
    """Receive and load one file; None if its content was loaded before. A refusal is recorded, then raised."""
    with scratch_folder() as folder:
        try:
            received = receive(s3, file, contract, folder)
            return load_file(connection, received, contract, contracts, run, folder)
        except DataError as error:
            ledger.refuse(connection, contract, file, run, error)
            raise
