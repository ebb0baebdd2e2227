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
from waybill.intake.scratch import scratch_folder
from waybill.period import Period
from waybill.settings import settings

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
            ledger.refuse(connection, contract, file, run, str(error))
            raise
