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
