"""Enforce the retentions of contracts, dataset by dataset."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import psycopg
from psycopg import Connection

from waybill.contracts import Contract
from waybill.contracts.domains import is_on_spark
from waybill.contracts.retention import Retention
from waybill.errors import DataError
from waybill.retention.history import HorizonMove, planned_move, remove_history
from waybill.retention.quarantine import remove_texts
from waybill.retention.raw_files import due_files
from waybill.retention.removal import Removal, record
from waybill.run import Run
from waybill.warehouse.connection import advisory_lock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


def enforce(
    connection: Connection,
    s3: S3Client,
    contracts: Iterable[Contract],
    run: Run,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
) -> list[Removal]:
    """Remove what the retentions of datasets no longer keep; returns what was removed, or would be with `dry_run`.

    Each place of a dataset loses at most a million rows a run, in transactions of 5,000 rows. Raw files are looked for
    and recorded, not removed. `connection` is in autocommit mode. A dataset that fails does not keep the others from
    their turn. Raises at the end the first error that a retry may fix, of S3 or PostgreSQL, with the others as notes;
    else `DataError` with all of them.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    moment, found, failures = now or datetime.now(UTC), list[Removal](), dict[str, Exception]()
    for contract in contracts:
        if not contract.is_dataset:
            continue
        with nullcontext() if dry_run else advisory_lock(connection, f"retention {contract.table}"):
            try:
                for removal in _of_dataset(connection, s3, contract, run, dry_run=dry_run, now=moment):
                    if removal.objects:
                        found.append(removal)
                        level = logging.WARNING if removal.is_cut else logging.INFO
                        log.log(level, "%s%s", "would " if dry_run else "", removal)
            except (DataError, psycopg.Error, BotoCoreError, ClientError) as error:
                if connection.broken:
                    raise
                log.error("%s: %s", contract.table, error)
                failures[contract.table] = error
    _raise(failures)
    return found


def _raise(failures: Mapping[str, Exception]) -> None:
    told = [f"{table}: {error}" for table, error in failures.items()]
    for error in failures.values():
        if not isinstance(error, DataError):
            error.add_note("Retentions that failed:\n" + "\n".join(told))
            raise error
    if told:
        raise DataError("\n".join(told))


def planned_moves(
    connection: Connection, contracts: Iterable[Contract], now: datetime | None = None
) -> list[HorizonMove]:
    """Return the horizons that `enforce` would move."""
    moment = now or datetime.now(UTC)
    days = [
        (contract, day)
        for contract in contracts
        if contract.is_dataset
        and not is_on_spark(contract.domain)
        and (day := _first_day(contract.history_retention, moment))
    ]
    moves = (planned_move(connection, contract, day) for contract, day in days)
    return [move for move in moves if move]


def _of_dataset(
    connection: Connection, s3: S3Client, contract: Contract, run: Run, *, dry_run: bool, now: datetime
) -> Iterator[Removal]:
    if day := _first_day(contract.raw_retention, now):
        due = due_files(s3, contract, day)
        if not dry_run:  # also without files: this ends the incident
            record(connection, due, run)
        yield due
    if is_on_spark(contract.domain):  # the lake drops days of rows and of rejected rows
        return
    if day := _first_day(contract.quarantine_retention, now):
        yield from remove_texts(connection, contract, day, run, dry_run=dry_run)
    if day := _first_day(contract.history_retention, now):
        yield from remove_history(connection, contract, day, run, dry_run=dry_run)


def _first_day(retention: Retention | None, now: datetime) -> date | None:
    """Return the first day that is kept; None if all days are."""
    day = retention.kept_from(now) if retention else date.min
    return None if day == date.min else day
