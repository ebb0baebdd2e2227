"""Ingest a dataset: load the files that have landed and are not in the ledger."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from psycopg import Connection

from waybill.contracts import Contract
from waybill.contracts.locations import raw_prefix
from waybill.contracts.spark_engine import require_warehouse
from waybill.errors import DataError
from waybill.files.content import ObjectChanged
from waybill.files.landed_file import LandedFile
from waybill.files.receive import receive
from waybill.formatting import count
from waybill.intake import ledger
from waybill.intake.comparison import Comparison, compare, pending
from waybill.intake.landing import Listing, Misplaced, list_pages, with_first_landing
from waybill.intake.ledger import Books
from waybill.intake.listing_scope import BY_HAND, Start, choose_scope, settle
from waybill.intake.load import load_file
from waybill.intake.object_keys import may_belong_to
from waybill.intake.replay import replay_waiting
from waybill.intake.withdrawal import record_gone, record_returned
from waybill.period import Period
from waybill.run import Run
from waybill.scratch import scratch_folder
from waybill.settings import settings
from waybill.warehouse.evolution import ensure
from waybill.warehouse.unloaded import is_unloaded

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


def ingest(
    connection: Connection,
    s3: S3Client,
    contract: Contract,
    contracts: Mapping[str, Contract],
    period: Period,
    run: Run,
    *,
    lookback_periods: int | None = None,
) -> dict[str, Books]:
    """Load the dataset's new and changed files of the period and of all earlier periods; return books by object key.

    Earlier periods are included, so that periods may run in any order. `lookback_periods` limits them. Files are loaded
    in the order of period, landing and name, each in its own transaction: the run after a failure continues with the
    next file. A `DataError` is recorded as a rejected file, then raised. After the files, `reject_misplaced` rejects
    objects whose folders name no period.
    """
    first = None if lookback_periods is None else period.shift(-lookback_periods)
    compared = compare(connection, contract, list_pages(s3, settings().raw_bucket, contract, first, period))
    todo, landed = compared.todo, compared.landed.total()
    log.info("%s %s: %d of %d landed files are new or changed", contract.table, period, len(todo), landed)
    _log_ignored(contract, compared)
    record_gone(connection, contract, compared.seen, first, period)
    record_returned(connection, contract, compared.seen)
    done = {}
    for file in with_first_landing(s3, contract, todo, compared.landed):
        books = ingest_file(connection, s3, file, contract, contracts, run)
        if books is not None:
            done[file.key] = books
    reject_misplaced(connection, contract, compared.misplaced, run, period)
    return done


def reject_misplaced(
    connection: Connection, contract: Contract, misplaced: Sequence[Misplaced], run: Run, period: Period
) -> None:
    """Record objects as `record_misplaced` does. Raises `DataError` with its messages, if there are any."""
    if rejected := record_misplaced(connection, contract, misplaced, run, period):
        raise DataError("\n".join(rejected))


def record_misplaced(
    connection: Connection, contract: Contract, misplaced: Sequence[Misplaced], run: Run, period: Period
) -> list[str]:
    """Record objects whose folders name no period of the dataset as rejected files; return the messages.

    Returns the messages about objects that no other run has rejected, and about objects that may belong to the run's
    own period, which would otherwise be incomplete. Other objects are logged.
    """
    known = ledger.rejected_by_others(connection, contract, run, [one.file for one in misplaced])
    rejected = []
    for one in misplaced:
        is_known = (one.file.key, one.file.etag) in known
        if is_known and not may_belong_to(contract, one.file.key, period):
            log.warning("not loaded, rejected by an earlier run: %s", one.message)
            continue
        ledger.record_rejected_file(connection, contract, one.file, run, one.error)
        rejected.append(one.message)
    return rejected


def _log_ignored(contract: Contract, compared: Comparison) -> None:
    """Log the number of objects that are not data, with the rule for the first few."""
    if compared.ignored:
        some = "; ".join(f"{key}: {rule}" for key, rule in compared.ignored_examples.items())
        log.info("%s: %s ignored: %s", contract.table, count(compared.ignored, "object"), some)


def ingest_arrived(
    connection: Connection,
    s3: S3Client,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    *,
    name: str | None = None,
    days: tuple[Period, Period] | None = None,
    start: Start = BY_HAND,
) -> dict[str, Books]:
    """Load new and changed files of a dataset whose files land at any time; return books by object key.

    Looks at all objects, or at those that `choose_scope` chooses for the `start` of the run.
    `name` (an object's key, address or last part) or `days` (first and last landing day) limits the files. Rejected
    files and objects whose folders name no day do not keep others from being loaded: `DataError` lists them at the end.
    Files that another run rejected are skipped until they or the contract's version change, unless `name` or `days`
    selects them. Quarantined rows that wait for a row to refer to are replayed.
    """
    scope = None
    if name is None and days is None:
        if is_unloaded(connection, contract):  # a corrected draft, even of the same version, tries its files again
            with connection.transaction():
                ensure(connection, contract)
        scope = choose_scope(connection, s3, contract, start)
        compared = compare(connection, contract, scope.pages, unless_rejected=run)
        if scope.is_whole:
            record_gone(connection, contract, compared.seen, None, None)
        record_returned(connection, contract, compared.seen)
    else:
        compared = _compare_chosen(connection, s3, contract, contracts, name, days)
    _log_ignored(contract, compared)
    todo, misplaced = compared.todo, compared.misplaced
    log.info("%s: %d of %d landed files are to be loaded", contract.table, len(todo), compared.landed.total())
    done, rejected = {}, [one.message for one in misplaced]
    for one in misplaced:
        ledger.record_rejected_file(connection, contract, one.file, run, one.error)
    knows_all = scope.is_whole if scope else name is None
    skipped = []
    for file in with_first_landing(s3, contract, todo, compared.landed if knows_all else None):
        try:
            books = ingest_file(connection, s3, file, contract, contracts, run)
        except DataError as error:
            rejected.append(str(error))
            continue
        if books is None:
            skipped.append(file)
        else:
            done[file.key] = books
    if scope and not pending(connection, contract, skipped):  # else one has changed while it was read
        settle(connection, contract, scope, compared.objects)
    for replayed in replay_waiting(connection, contract, contracts, run):
        log.info("%s: replayed waiting rows: %s", replayed.object_key, replayed.books)
    if rejected:
        tried = len(todo) + len(misplaced)
        others = "; the others are loaded" if len(rejected) < tried else ""
        lines = [f"{len(rejected)} of {tried} files of {contract.table} were rejected{others}:", *rejected]
        raise DataError("\n".join(lines))
    return done


def _compare_chosen(
    connection: Connection,
    s3: S3Client,
    contract: Contract,
    contracts: Mapping[str, Contract],
    name: str | None,
    days: tuple[Period, Period] | None,
) -> Comparison:
    """Return the comparison of the files that a run's parameters choose. Raises `DataError` if none has the name."""
    first, last = days or (None, None)
    pages = list_pages(s3, settings().raw_bucket, contract, None, None)
    if name is None:
        return compare(connection, contract, pages, first=first, last=last)
    compared = compare(connection, contract, (_named(page, name) for page in pages), first=first, last=last)
    if compared.objects == compared.ignored:
        _raise_unknown(s3, name, contracts)
    return compared


def _raise_unknown(s3: S3Client, name: str, contracts: Mapping[str, Contract]) -> None:
    """Raise `DataError` if no dataset of the domain has a file of the name: it is ignored or has not landed."""
    bucket, rules = settings().raw_bucket, dict[str, str]()
    for contract in contracts.values():
        for page in list_pages(s3, bucket, contract, None, None):
            found = _named(page, name)
            if found.landed or found.misplaced:
                return
            rules |= found.ignored
    if rules:
        raise DataError("\n".join(f"s3://{bucket}/{key} is ignored: {rule}" for key, rule in rules.items()))
    prefixes = ", ".join(raw_prefix(contract.domain, contract.name) for contract in contracts.values())
    raise DataError(f"{name!r} has not landed: there is no such object in s3://{bucket} under {prefixes}")


def _named(page: Listing, name: str) -> Listing:
    """Return the objects of a page that a name (an object's key, address or last part) names."""
    bucket = settings().raw_bucket

    def is_named(key: str) -> bool:
        return name in (f"s3://{bucket}/{key}", key, key.rsplit("/", 1)[1])

    return Listing(
        [file for file in page.landed if is_named(file.key)],
        [one for one in page.misplaced if is_named(one.file.key)],
        {key: rule for key, rule in page.ignored.items() if is_named(key)},
    )


def ingest_file(
    connection: Connection,
    s3: S3Client,
    file: LandedFile,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
) -> Books | None:
    """Receive and load one file and return its books. A `DataError` is recorded as a rejected file, then raised.

    Returns None if the same content is loaded already, or if the object changed since it was listed: the next run loads
    the changed object.
    """
    received = None
    require_warehouse(
        contract,
        "this task would load them into PostgreSQL",
        "Use `spark_tasks` in the DAG instead of intake tasks",
    )
    with scratch_folder() as folder:
        try:
            received = receive(s3, file, contract, folder)
            return load_file(connection, received, contract, contracts, run, folder)
        except ObjectChanged as error:
            log.warning("%s", error)
            return None
        except DataError as error:
            ledger.record_rejected_file(connection, contract, file, run, error, received)
            raise
