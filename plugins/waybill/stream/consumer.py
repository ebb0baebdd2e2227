"""The process that reads a stream: it leases shards, and has a thread for each of them.

Several processes share the shards of a stream evenly, and one of them maintains it. Leases are renewed in a thread that
does nothing else that takes time.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg import Connection

from waybill.errors import DataError
from waybill.stream import kinesis, shards
from waybill.stream.connection import connect_briefly
from waybill.stream.counting import Fenced, Shard
from waybill.stream.declared import Declared
from waybill.stream.failures import UNREACHABLE, told
from waybill.stream.maintenance import maintain
from waybill.stream.reader import read_shard

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

LISTING_SECONDS: Final = 15
"""How often a consumer lists the shards of its stream."""
REST_SECONDS: Final = 5
"""How long a shard rests after an error."""
STOP_SECONDS: Final = 15
"""How long a consumer that stops waits for its last batches."""


@dataclass
class _Reader:
    """A shard and the thread that reads it."""

    shard: Shard
    stop: threading.Event
    thread: threading.Thread


class Consumer:
    """Reads the shards of one stream that it can lease, until it is stopped."""

    def __init__(self, declared: Declared, name: str, client: KinesisClient, alive: Path | None = None) -> None:
        """`name` is the stream in Kinesis. The file `alive` is touched every few seconds while the consumer works."""
        self.name = f"{socket.gethostname()[:40]}-{uuid.uuid4().hex[:8]}"
        self._declared, self._stream, self._kinesis, self._alive = declared, name, client, alive
        self._readers: dict[str, _Reader] = {}
        self._resting: dict[str, float] = {}
        self._is_changed, self._is_listed = threading.Event(), threading.Event()
        self._failure: DataError | None = None

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set; then finish the batches at hand and give back the shards.

        Raises `DataError` if the stream does not exist.
        """
        log.info("%s: consumer %s reads the stream %s", self._declared.dataset, self.name, self._stream)
        threading.Thread(target=maintain, args=(self._declared, stop), name="maintenance", daemon=True).start()
        threading.Thread(target=self._list, args=(stop,), name="listing", daemon=True).start()
        self._is_listed.wait(shards.RENEWAL_SECONDS)
        try:
            while not stop.is_set():
                self._connected(stop)
        finally:
            stop.set()
            self._leave()
        if self._failure:
            raise self._failure
        log.info("%s: consumer %s has stopped", self._declared.dataset, self.name)

    def _connected(self, stop: threading.Event) -> None:
        """Lease shards until `stop` is set or the warehouse does not answer."""
        try:
            with connect_briefly() as connection:
                while not stop.is_set():
                    self._balance(connection)
                    self._rest(stop, shards.RENEWAL_SECONDS)
        except UNREACHABLE as error:
            log.warning("%s: trying again: %s", self._declared.dataset, told(error))
            self._rest(stop, 1)

    def _rest(self, stop: threading.Event, seconds: float) -> None:
        """Wait, and show health checks that the process works. It does so, too, while it waits for a service."""
        if self._alive:
            self._alive.touch()
        stop.wait(seconds)

    def _list(self, stop: threading.Event) -> None:
        """Register the shards of the stream every few seconds, and when one may have ended, until `stop` is set.

        Sets `stop` if there is no such stream.
        """
        dataset = self._declared.dataset
        while not stop.is_set():
            self._is_changed.clear()
            try:
                created_at = kinesis.describe(self._kinesis, self._stream).created_at
                listed = kinesis.list_shards(self._kinesis, self._stream)
                with connect_briefly() as connection:
                    lost = shards.register(connection, dataset, self._stream, created_at, listed)
                for shard in lost:
                    log.error(
                        "%s: the stream removed %s before it was read to its end: events are lost", dataset, shard
                    )
            except DataError as error:
                self._failure = error
                stop.set()
            except Exception as error:
                log.warning("%s: the shards cannot be listed: %s", dataset, told(error))
            self._is_listed.set()
            self._is_changed.wait(LISTING_SECONDS)

    def _balance(self, connection: Connection) -> None:
        """Renew the leases, end readers of lost shards, and take or give back shards up to a fair share."""
        dataset = self._declared.dataset
        epochs = shards.renew(connection, dataset, self.name)
        lost = [shard for shard, reader in self._readers.items() if epochs.get(shard) != reader.shard.epoch]
        for shard in lost:
            self._end(shard)
        if lost:
            self._is_changed.set()  # a shard may have ended, and others follow it
        failed = [shard for shard, reader in self._readers.items() if not reader.thread.is_alive()]
        most = shards.share(connection, dataset)
        for shard in (*failed, *sorted(self._readers.keys() - {*failed})[most:]):
            self._end(shard)
            shards.give_back(connection, dataset, self.name, shard)
        now = time.monotonic()
        self._resting |= dict.fromkeys(failed, now + REST_SECONDS)
        resting = [shard for shard, until in self._resting.items() if until > now]
        for taken in shards.take(connection, dataset, self.name, most - len(self._readers), resting):
            self._start(taken)

    def _start(self, shard: Shard) -> None:
        log.info("%s: reading %s after %s", shard.dataset, shard.shard, shard.position or "its oldest record")
        stop = threading.Event()
        thread = threading.Thread(target=self._read, args=(shard, stop), name=shard.shard, daemon=True)
        self._readers[shard.shard] = _Reader(shard, stop, thread)
        thread.start()

    def _end(self, shard: str) -> None:
        """Stop a reader. If it still counts a batch, the shard's epoch decides whether that counts."""
        self._readers.pop(shard).stop.set()

    def _leave(self) -> None:
        """Wait for the readers, whose last batches count, and give back all shards."""
        deadline = time.monotonic() + STOP_SECONDS
        for reader in self._readers.values():
            reader.stop.set()
        for reader in self._readers.values():
            reader.thread.join(max(0.0, deadline - time.monotonic()))
        try:
            with connect_briefly() as connection:
                shards.leave(connection, self._declared.dataset, self.name)
        except UNREACHABLE as error:
            log.warning("%s: the leases end by themselves: %s", self._declared.dataset, told(error))

    def _read(self, shard: Shard, stop: threading.Event) -> None:
        try:
            read_shard(self._declared, self._stream, self._kinesis, shard, stop)
        except Fenced as error:
            log.info("%s: another consumer reads it", error)
        except Exception as error:
            log.warning("%s: %s rests for %s s: %s", shard.dataset, shard.shard, REST_SECONDS, told(error))
