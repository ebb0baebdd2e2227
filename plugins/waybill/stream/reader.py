"""Read one shard: batch after batch, each counted in one transaction, until the shard ends or somebody stops it."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Final

from psycopg import Connection

from waybill.intake.validate import open_duckdb
from waybill.scratch import scratch_folder
from waybill.stream import kinesis, shards
from waybill.stream.connection import connect_briefly
from waybill.stream.counting import Shard, count_batch
from waybill.stream.declared import Declared
from waybill.stream.events import check
from waybill.warehouse.forgotten import Forgotten, forgotten_people, newest_erasure

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
"""How often a shard is read whose end is reached."""
CATCH_UP_SECONDS: Final = 0.2
"""How often a shard is read that has more records: Kinesis allows five requests a second and shard."""
THROTTLED_SECONDS: Final = 1
"""How long a reader waits after Kinesis has refused a request because there were too many."""
NOTE_SECONDS: Final = 2
"""How often a shard without new records is noted as read."""


def read_shard(declared: Declared, name: str, client: KinesisClient, shard: Shard, stop: Event) -> None:
    """Read a shard of the stream `name` until `stop` is set or a closed shard ends. One batch at a time is in memory.

    Raises `Fenced` if another consumer has the shard, and the errors of PostgreSQL and Kinesis.
    """
    with scratch_folder() as folder, closing(open_duckdb(folder)) as duck, connect_briefly() as connection:
        _note_loss(connection, client, name, shard)
        at: str | None = kinesis.iterator(client, name, shard.shard, shard.position)
        noted_at = float("-inf")
        known = 0
        forgotten: Forgotten | None = None
        while at is not None and not stop.is_set():
            began = time.monotonic()
            try:
                read = kinesis.read(client, at)
            except client.exceptions.ExpiredIteratorException:
                at = kinesis.iterator(client, name, shard.shard, shard.position)
                continue
            except client.exceptions.ProvisionedThroughputExceededException:
                stop.wait(THROTTLED_SECONDS)
                continue
            if read.records:
                if (newest := newest_erasure(connection, declared.contract.domain)) != known:
                    known, forgotten = newest, forgotten_people(connection, declared.contract)
                batch = check(duck, folder, declared, read.records, shard.newest, forgotten)
                with connection.transaction():  # one commit for both
                    count_batch(connection, declared, shard, batch)
                    shards.note_read(connection, shard, read.behind_seconds, time.monotonic() - began)
                shard = replace(shard, position=read.records[-1].sequence, newest=batch.newest)
                noted_at = time.monotonic()
            elif began - noted_at > NOTE_SECONDS:
                shards.note_read(connection, shard, read.behind_seconds, 0)
                noted_at = time.monotonic()
            at = read.next_iterator
            if at is not None:
                pause = CATCH_UP_SECONDS if read.behind_seconds else POLL_SECONDS
                stop.wait(began + pause - time.monotonic())
        if at is None:
            shards.finish(connection, shard)


def _note_loss(connection: Connection, client: KinesisClient, name: str, shard: Shard) -> None:
    """Note if the stream has removed records since the last one that was read.

    Kinesis does not say so: it goes on with the oldest record that it has.
    """
    if shard.read_until is None:
        return
    retention = kinesis.describe(client, name).retention
    if datetime.now(UTC) - shard.read_until > retention:
        shards.note_loss(connection, shard)
        log.error(
            "%s: all records of %s until %s are read, and %s keeps records for %s: events are lost",
            *(shard.dataset, shard.shard, shard.read_until, name, retention),
        )
