"""Convert between Arrow and numpy by buffers.

The conversions of pyarrow itself import pandas, which takes time and memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def numbers_of(values: pa.Array, kind: type[np.generic]) -> np.ndarray:
    """Return an Arrow array of numbers or dates as numpy; nulls become arbitrary numbers."""
    import numpy as np

    return np.frombuffer(values.buffers()[1], kind)[values.offset : values.offset + len(values)]


def bits_of(values: pa.Array) -> np.ndarray:
    """Return an Arrow array of booleans as numpy."""
    import numpy as np

    bits = np.unpackbits(np.frombuffer(values.buffers()[1], np.uint8), bitorder="little")
    return bits[values.offset : values.offset + len(values)].view(np.bool_)


def rows_where(mask: np.ndarray, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows whose mask is true."""
    import numpy as np
    import pyarrow as pa

    bits = pa.py_buffer(np.packbits(mask, bitorder="little"))
    return rows.filter(pa.Array.from_buffers(pa.bool_(), len(mask), [None, bits]))


def texts_of_uuids(values: pa.Array) -> pa.Array:
    """Return the texts of UUIDs, an array of 16 bytes each or null."""
    import numpy as np
    import pyarrow as pa

    if not len(values):
        return pa.array([], pa.string())
    known, present = values.drop_null(), bits_of(values.is_valid())
    first = int(np.frombuffer(known.buffers()[1], np.int32)[known.offset]) if len(known) else 0
    octets = np.frombuffer(known.buffers()[2] or b"", np.uint8)[first : first + len(known) * 16].reshape(-1, 16)
    digits = np.frombuffer(bytes(range(256)).hex().encode(), np.uint8).reshape(256, 2)[octets].reshape(-1, 32)
    texts = np.full((len(known), 36), ord("-"), np.uint8)
    for start, end, dashes in ((0, 8, 0), (8, 12, 1), (12, 16, 2), (16, 20, 3), (20, 32, 4)):
        texts[:, start + dashes : end + dashes] = digits[:, start:end]
    ends = np.zeros(len(values) + 1, np.int32)
    np.cumsum(present.astype(np.int32) * 36, out=ends[1:])
    validity = pa.py_buffer(np.packbits(present, bitorder="little"))
    return pa.Array.from_buffers(pa.string(), len(values), [validity, pa.py_buffer(ends), pa.py_buffer(texts)])
