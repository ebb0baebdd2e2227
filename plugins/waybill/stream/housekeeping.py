"""What one consumer of a stream does every minute: write the archive, forget old events, send measurements."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from psycopg import Connection, OperationalError

from waybill.stream import archive, forgetting, measuring
from waybill.stream.declared import Declared
from waybill.warehouse.connection import connect, one_row

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 60


class Housekeeping:
    """Keeps house for one stream; of several consumers, one does."""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared

    def run(self, stop: threading.Event) -> None:
        """Keep house every minute until `stop` is set. Errors are logged, and the next minute tries again."""
        import boto3

        s3 = boto3.client("s3")
        while not stop.wait(EVERY_SECONDS):
            try:
                with connect() as connection:
                    self.once(connection, s3)
            except OperationalError as error:
                log.warning("%s: the warehouse does not answer: %s", self._declared.dataset, error)

    def once(self, connection: Connection, s3: S3Client) -> None:
        """Do each chore, unless another consumer is at it. A chore that fails does not keep the others back."""
        dataset = self._declared.dataset
        (is_mine,) = one_row(connection, "select pg_try_advisory_lock(hashtext(%s))", (f"stream {dataset}",))
        if not is_mine:
            return
        chores: tuple[Callable[[], object], ...] = (
            lambda: archive.write_closed(connection, s3, self._declared),
            lambda: forgetting.forget(connection, self._declared),
            lambda: measuring.send(connection, dataset),
        )
        for chore in chores:
            try:
                chore()
            except OperationalError:
                raise
            except Exception:
                log.exception("%s: a chore failed; the next minute tries again", dataset)
