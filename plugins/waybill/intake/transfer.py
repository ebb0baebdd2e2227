"""Move Arrow batches into PostgreSQL by binary COPY, and park the few that must wait on disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import Connection, sql

if TYPE_CHECKING:
    import pyarrow as pa

_QUEUE_CHUNKS = 8


class Spool:
    """Batches set aside on disk while the main stream runs; memory stays flat however many there are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch; an empty one is passed over."""
        import pyarrow as pa

        if not batch.num_rows:
            return
        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._path, batch.schema)
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def read(self) -> Iterator[pa.RecordBatch]:
        """All batches written; call it once, when writing is over."""
        import pyarrow as pa

        if self._writer is not None:
            self._writer.close()
            with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as stream:
                yield from stream


def copy_batches(
    connection: Connection, table: sql.Composable, batches: Iterable[pa.RecordBatch], *, freeze: bool = False
) -> int:
    """COPY the batches into the columns of their names; returns the number of rows.

    Reading, judging and encoding run in a thread, so that they and PostgreSQL keep two cores busy.
    `freeze` is for a table that was created in this transaction.
    """
    chunks: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUE_CHUNKS)
    names: queue.Queue[list[str] | None] = queue.Queue(1)
    stopped = threading.Event()
    rows = 0

    def put(item: bytes | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                chunks.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def produce() -> None:
        from pgpq import ArrowToPostgresBinaryEncoder

        nonlocal rows
        encoder = None
        try:
            for batch in batches:
                if encoder is None:
                    encoder = ArrowToPostgresBinaryEncoder(batch.schema)
                    names.put(batch.schema.names)
                    put(bytes(encoder.write_header()))
                rows += batch.num_rows
                put(bytes(encoder.write_batch(batch)))
            if encoder is not None:
                put(bytes(encoder.finish()))
            put(None)
        except BaseException as error:
            put(error)
        finally:
            if encoder is None:
                names.put(None)

    thread = threading.Thread(target=produce, name="encode", daemon=True)
    thread.start()
    try:
        columns = names.get()
        if columns is None:
            _raise_if_error(chunks.get())
            return 0
        options = sql.SQL("format binary, freeze" if freeze else "format binary")
        statement = sql.SQL("copy {} ({}) from stdin ({})").format(
            table, sql.SQL(", ").join(map(sql.Identifier, columns)), options
        )
        with connection.cursor().copy(statement) as copy:
            while (chunk := chunks.get()) is not None:
                _raise_if_error(chunk)
                copy.write(chunk)  # type: ignore[arg-type]  # not an exception any more
    finally:
        stopped.set()
        thread.join()
    return rows


def _raise_if_error(item: bytes | BaseException | None) -> None:
    if isinstance(item, BaseException):
        raise item
