"""What one of the consumers of a stream does every minute: write the archive, forget old events, send measurements."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from psycopg import Connection, OperationalError

from waybill.stream import archive, forgetting, measuring
from waybill.stream.connection import connect_briefly
from waybill.stream.declared import Declared
from waybill.stream.failures import told
from waybill.warehouse.connection import one_row

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 60


def lock_name(dataset: str) -> str:
    """Return the name of the advisory lock that the maintenance of a stream holds."""
    return f"stream {dataset}"


def maintain(declared: Declared, stop: threading.Event) -> None:
    """Maintain a stream every minute until `stop` is set. Errors are logged, and the next minute tries again."""
    import boto3

    s3 = boto3.client("s3")
    while not stop.wait(EVERY_SECONDS):
        try:
            with connect_briefly() as connection:
                maintain_once(connection, s3, declared)
        except Exception as error:
            log.warning("%s: maintenance failed and is tried again in a minute: %s", declared.dataset, told(error))


def maintain_once(connection: Connection, s3: S3Client, declared: Declared) -> None:
    """Run each task, unless another consumer runs them. If a task fails, the others run all the same."""
    dataset = declared.dataset
    (is_mine,) = one_row(connection, "select pg_try_advisory_lock(hashtext(%s))", (lock_name(dataset),))
    if not is_mine:
        return
    tasks: tuple[Callable[[], object], ...] = (
        lambda: archive.write_closed(connection, s3, declared),
        lambda: forgetting.forget(connection, declared),
        lambda: measuring.send(connection, dataset),
    )
    for task in tasks:
        try:
            task()
        except OperationalError:
            raise
        except Exception as error:
            log.error("%s: a task of the maintenance failed: %s", dataset, told(error))
