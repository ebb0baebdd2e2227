"""Copy Arrow batches into PostgreSQL by binary COPY, and keep batches in spill files on disk."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import Connection, sql

from waybill.files.prefetch import prefetch, short_switch_interval

if TYPE_CHECKING:
    import pyarrow as pa


class SpillFile:
    """A file of batches that are read when the main stream has ended, so that they need no memory until then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch, unless it is empty."""
        import pyarrow as pa

        if not batch.num_rows:
            return
        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._path, batch.schema)
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def read(self) -> Iterator[pa.RecordBatch]:
        """Yield all batches. Call it once, after the last write."""
        import pyarrow as pa

        if self._writer is not None:
            self._writer.close()
            with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as stream:
                yield from stream


def repeated(value: int | str, rows: int) -> pa.Array:
    """Return an Arrow array that repeats a 32-bit integer or a text, made without importing pandas."""
    import numpy as np
    import pyarrow as pa

    if isinstance(value, int):
        return pa.Array.from_buffers(pa.int32(), rows, [None, pa.py_buffer(np.full(rows, value, np.int32))])
    text = value.encode()
    ends = np.arange(rows + 1, dtype=np.int32) * len(text)
    return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(ends), pa.py_buffer(text * rows)])


def copy_batches(
    connection: Connection, table: sql.Composable, batches: Iterable[pa.RecordBatch], *, freeze: bool = False
) -> int:
    """Copy the batches into the columns of the same names and return the number of rows.

    A thread reads and encodes the batches, so that Python and PostgreSQL use two cores. `freeze` requires a table that
    was created in this transaction.
    """
    from pgpq import ArrowToPostgresBinaryEncoder

    source = iter(batches)
    first = next(source, None)
    if first is None:
        return 0
    rows = 0

    def encoded() -> Iterator[bytes]:
        nonlocal rows
        encoder = ArrowToPostgresBinaryEncoder(first.schema)
        yield bytes(encoder.write_header())
        for batch in itertools.chain((first,), source):
            rows += batch.num_rows
            yield bytes(encoder.write_batch(batch))
        yield bytes(encoder.finish())

    statement = sql.SQL("copy {} ({}) from stdin ({})").format(
        table,
        sql.SQL(", ").join(map(sql.Identifier, first.schema.names)),
        sql.SQL("format binary, freeze" if freeze else "format binary"),
    )
    with short_switch_interval(), closing(prefetch(encoded())) as chunks, connection.cursor().copy(statement) as copy:
        for chunk in chunks:
            copy.write(chunk)
    return rows
