"""Take in a dataset for a period: everything that landed for it and is not in the ledger yet."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from psycopg import Connection

from waybill.contracts import Contract
from waybill.contracts.locations import raw_prefix
from waybill.errors import DataError
from waybill.formatting import count
from waybill.intake import ledger
from waybill.intake.landing import LandedFile, Listing, list_objects, pending, with_first_landing
from waybill.intake.ledger import Books
from waybill.intake.load import load_file
from waybill.intake.object_keys import may_belong_to
from waybill.intake.receive import ObjectChanged, receive
from waybill.intake.replay import replay_waiting
from waybill.intake.withdrawal import note_gone
from waybill.period import Period
from waybill.run import Run
from waybill.scratch import scratch_folder
from waybill.settings import settings

log = logging.getLogger(__name__)


def ingest(
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
    order of period, landing and name, each in a transaction of its own, so a run that dies leaves whole files and the
    next one goes on. A `DataError` is recorded as a refusal, then raised. So is, after the files, an object whose
    folders name no period, by the first run that meets it and by those of whose period it may be; others only warn.
    """
    first = None if lookback_periods is None else period.shift(-lookback_periods)
    listing = list_objects(s3, settings().raw_bucket, contract, first, period)
    todo, landed = pending(connection, contract, listing.landed), len(listing.landed)
    log.info("%s %s: %d of %d landed files are new or changed", contract.table, period, len(todo), landed)
    _log_ignored(contract, listing)
    note_gone(connection, contract, listing, todo, first, period)
    done = {}
    for file in with_first_landing(s3, contract, todo, listing.landed):
        books = take_in_file(connection, s3, file, contract, contracts, run)
        if books is not None:
            done[file.key] = books
    refuse_misplaced(connection, contract, listing, run, period)
    return done


def refuse_misplaced(connection: Connection, contract: Contract, listing: Listing, run: Run, period: Period) -> None:
    """Record objects whose folders name no period of the dataset.

    Raises `DataError` for those that no other run has refused, and for those whose folders have the numbers of the
    run's own period: that would else be incomplete without a word.
    """
    known = ledger.rejected_by_others(connection, contract, run) if listing.misplaced else set()
    refusals = []
    for one in listing.misplaced:
        is_known = (one.file.key, one.file.etag) in known
        if is_known and not may_belong_to(contract, one.file.key, period):
            log.warning("not loaded, as an earlier run said: %s", one.message)
            continue
        ledger.record_rejected_file(connection, contract, one.file, run, one.error)
        refusals.append(one.message)
    if refusals:
        raise DataError("\n".join(refusals))


def _log_ignored(contract: Contract, listing: Listing) -> None:
    """Say which objects are no data: how many, and why the first few are none."""
    if listing.ignored:
        some = "; ".join(f"{key}: {rule}" for key, rule in itertools.islice(listing.ignored.items(), 5))
        log.info("%s: %s ignored: %s", contract.table, count(len(listing.ignored), "object"), some)


def ingest_arrived(
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
    and last landing day) limits that. A file that is refused, or whose folders look like a day and name none, does not
    keep the others out; `DataError` names all such files at the end. What another run refused is left alone until it
    changes, or is asked for by name or day. Rows in quarantine that wait for what they refer to are tried again.
    """
    listing = list_objects(s3, settings().raw_bucket, contract, None, None)
    todo = pending(connection, contract, listing.landed)
    misplaced = listing.misplaced
    _log_ignored(contract, listing)
    note_gone(connection, contract, listing, todo, None, None)
    if name is not None:
        bucket = settings().raw_bucket
        if not any(_is_named(bucket, file.key, name) for file in _files(listing)):
            _refuse_unknown(s3, name, contracts)
        todo = [file for file in todo if _is_named(bucket, file.key, name)]
        misplaced = [one for one in misplaced if _is_named(bucket, one.file.key, name)]
    if days is not None:
        todo = [file for file in todo if days[0] <= file.period <= days[1]]
        misplaced = [one for one in misplaced if days[0] <= one.file.period <= days[1]]
    if name is None and days is None:
        known = ledger.rejected_by_others(connection, contract, run)
        todo = [file for file in todo if (file.key, file.etag) not in known]
        misplaced = [one for one in misplaced if (one.file.key, one.file.etag) not in known]
    log.info("%s: %d of %d landed files are to be loaded", contract.table, len(todo), len(listing.landed))
    done, refusals = {}, [one.message for one in misplaced]
    for one in misplaced:
        ledger.record_rejected_file(connection, contract, one.file, run, one.error)
    for file in with_first_landing(s3, contract, todo, listing.landed):
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
        tried = len(todo) + len(misplaced)
        others = ", the others are loaded" if len(refusals) < tried else ""
        lines = [f"{len(refusals)} of {tried} files of {contract.table} were refused{others}:", *refusals]
        raise DataError("\n".join(lines))
    return done


def _refuse_unknown(s3: Any, name: str, contracts: Mapping[str, Contract]) -> None:
    """Raise `DataError` if no dataset of the domain has a file of the name: it is ignored, or has not landed."""
    bucket, rules = settings().raw_bucket, dict[str, str]()
    for contract in contracts.values():
        listing = list_objects(s3, bucket, contract, None, None)
        if any(_is_named(bucket, file.key, name) for file in _files(listing)):
            return
        rules |= {key: rule for key, rule in listing.ignored.items() if _is_named(bucket, key, name)}
    if rules:
        raise DataError("\n".join(f"s3://{bucket}/{key} is ignored: {rule}" for key, rule in rules.items()))
    prefixes = ", ".join(raw_prefix(contract.domain, contract.name) for contract in contracts.values())
    raise DataError(f"{name!r} has not landed: there is no such object in s3://{bucket} under {prefixes}")


def _files(listing: Listing) -> Iterator[LandedFile]:
    """The files of a listing, whether they lie in their place or not."""
    yield from listing.landed
    yield from (one.file for one in listing.misplaced)


def _is_named(bucket: str, key: str, name: str) -> bool:
    return name in (f"s3://{bucket}/{key}", key, key.rsplit("/", 1)[1])


def take_in_file(
    connection: Connection,
    s3: Any,
    file: LandedFile,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
) -> Books | None:
    """Receive and load one file. A refusal is recorded, then raised.

    None if its content was loaded before, or if the object changed since it was listed: then it waits for the next run.
    """
    with scratch_folder() as folder:
        try:
            received = receive(s3, file, contract, folder)
            return load_file(connection, received, contract, contracts, run, folder)
        except ObjectChanged as error:
            log.warning("%s", error)
            return None
        except DataError as error:
            ledger.record_rejected_file(connection, contract, file, run, error)
            raise
