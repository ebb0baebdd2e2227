"""Searches for drift and anomalies by the tasks that load data. An error of a search never fails a task."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from waybill.operators.session import run_of, s3_client, warehouse

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.contracts import Contract
    from waybill.run import Run

log = logging.getLogger(__name__)


def now() -> datetime:
    """Return the time at which data is looked at: searches and incidents describe the present."""
    return datetime.now(UTC)


def search(context: Mapping[str, Any], domain: str) -> None:
    """Search the data of a domain for drift and anomalies."""
    from waybill.watch.search import search as search_data

    try:
        with warehouse() as connection:
            search_data(connection, s3_client(), run_of(context), now(), domain)
    except Exception:
        log.exception("the data of %s could not be searched", domain)


@contextmanager
def searched_if_rejected(connection: Connection, contract: Contract, run: Run) -> Iterator[None]:
    """Search a dataset for drift if its files are rejected: the drift may be the cause."""
    from waybill.errors import DataError
    from waybill.watch import drift

    try:
        yield
    except DataError:
        try:
            drift.look(connection, s3_client(), [contract], run)
        except Exception:
            log.exception("%s could not be searched for drift", contract.table)
        raise
