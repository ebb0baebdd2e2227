"""Profile the valid rows of a file while they stream: how many values each column has, and how they are distributed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from psycopg import Connection
from psycopg.types.json import Jsonb

from waybill.contracts import Column, Contract
from waybill.contracts.classification import may_be_described
from waybill.contracts.values import UNCOMPARED
from waybill.intake import personal_columns
from waybill.intake.arrow_buffers import numbers_of, rows_where
from waybill.personal.recognise import Evidence

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SAMPLE_ROWS: Final = 100_000
"""Files with more rows are sampled for distinct values, quartiles and top values."""
_SAMPLE_VALUES: Final = 2_000_000
"""Bound on the values of a sample, so that files with many columns need little memory."""
_SAMPLE_BYTES: Final = 64 * 2**20
"""Bound on the size of a sample, so that files with long texts need little memory."""
_TOP: Final = 5
_LONGEST: Final = 100
"""Number of characters of a value that are kept."""


@dataclass
class ColumnProfile:
    """What is known about the values of a column. Fields are None where they do not apply to its type."""

    rows: int = 0
    nulls: int = 0
    distinct: int | None = None
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None
    quartiles: tuple[float, float, float] | None = None
    """The first quartile, the median and the third quartile, interpolated as `percentile_cont` does."""
    mean_length: float | None = None
    """The mean number of characters of a text."""
    top: list[tuple[str, float]] = field(default_factory=list)
    """The most frequent values that occur more than once, each with its share of the values that are not null."""
    top_share: float | None = None
    """The share of the most frequent value, also where values themselves are not kept."""
    personal: list[Evidence] = field(default_factory=list)
    """Why the column looks personal; nothing if it does not, or if the contract classifies it."""


class FileProfile:
    """Collects the profile of a file from its batches. Memory does not grow with the file."""

    def __init__(self, contract: Contract, records: int) -> None:
        """Prepare for a file with so many records, which decide how it is sampled."""
        self._columns = {column.name: _Collected(column) for column in contract.columns}
        rows = min(SAMPLE_ROWS, _SAMPLE_VALUES // max(len(self._columns), 1))
        self._share = min(1.0, rows / records) if records else 1.0
        self.rows = 0
        self._bytes = 0

    @property
    def is_sampled(self) -> bool:
        """Return whether distinct values, quartiles and top values are estimated from a part of the rows."""
        return self._share < 1 or self._bytes >= _SAMPLE_BYTES

    def add(self, batch: pa.RecordBatch) -> None:
        """Add valid rows, with their record numbers in the column `_record`."""
        import numpy as np

        if not batch.num_rows:
            return
        self.rows += batch.num_rows
        sample = batch
        if self._bytes >= _SAMPLE_BYTES:
            sample = batch.slice(0, 0)
        elif self.is_sampled:
            records = numbers_of(batch.column("_record"), np.uint32)
            sample = rows_where(_mixed(records) < self._share * 2**32, batch)
        self._bytes += sample.nbytes
        for name, collected in self._columns.items():
            collected.add(batch.column(name), sample.column(name))

    def columns(self) -> dict[str, ColumnProfile]:
        """Return the profile of each column."""
        return {name: collected.profile(self.rows) for name, collected in self._columns.items()}


def _mixed(records: np.ndarray) -> np.ndarray:
    """Return a hash of each record number, so that the sample is the same for the same file, and follows no pattern.

    Source: the 32-bit finaliser of MurmurHash3 by Austin Appleby, in the public domain.
    """
    import numpy as np

    mixed: np.ndarray = records.copy()
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed ^= mixed >> np.uint32(shift)
        mixed *= np.uint32(factor)
    mixed ^= mixed >> np.uint32(16)
    return mixed


class _Collected:
    """The values of a column so far: sums over all of them, and the sample."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._nulls = 0
        self._sum = 0.0
        self._characters = 0
        self._bounds: list[Any] = []
        self._sample: list[pa.Array] = []

    def add(self, values: pa.Array, sample: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        self._nulls += values.null_count
        if values.null_count == len(values):
            return
        if self._column.physical_type in UNCOMPARED:
            if personal_columns.is_searched(self._column):
                self._sample.append(sample)
            return
        self._sample.append(sample)
        if pa.types.is_boolean(values.type):
            return
        if pa.types.is_string(values.type):
            self._characters += pc.sum(pc.utf8_length(values)).as_py()
        elif _is_number(values.type):
            self._sum += pc.sum(values.cast(pa.float64(), safe=False)).as_py()
        extremes = pc.min_max(values)
        bounds = [*self._bounds, extremes["min"].as_py(), extremes["max"].as_py()]
        self._bounds = [min(bounds), max(bounds)]

    def profile(self, rows: int) -> ColumnProfile:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        known, found = rows - self._nulls, ColumnProfile(rows, self._nulls)
        if not self._sample:
            return found
        values = pa.chunked_array(self._sample).drop_null()
        if self._column.physical_type in UNCOMPARED:
            found.personal = personal_columns.evidence_in(self._column, values)
            return found
        kind, is_described = values.type, may_be_described(self._column)
        if len(values):  # a sample may have no values of a column that is almost empty
            counts = pc.value_counts(values)
            found.personal = personal_columns.evidence_in(self._column, counts.field("values"))
            is_described = is_described and not found.personal
            occurrences = numbers_of(counts.field("counts"), np.int64)
            found.distinct = _distinct(occurrences, known)
            found.top_share = int(occurrences.max()) / len(values)
            if is_described:
                found.top = _most_frequent(counts, occurrences)
        if self._bounds and is_described:
            found.minimum, found.maximum = map(_text, self._bounds)
        if pa.types.is_string(kind):
            found.mean_length = self._characters / known
        elif is_described and _is_number(kind):
            found.mean = self._sum / known
            found.quartiles = _quartiles(values)
        return found


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _distinct(occurrences: np.ndarray, known: int) -> int:
    """Return the number of distinct values, or for a sample the estimate of Haas and Stokes that PostgreSQL uses.

    `occurrences` are those of each value in the sample, `known` is the number of values in the file.
    Source: P. Haas and L. Stokes, Estimating the Number of Classes in a Finite Population, IBM RJ 10025, 1996 (Duj1).
    """
    found, sampled = len(occurrences), int(occurrences.sum())
    if sampled >= known:
        return found
    once = int((occurrences == 1).sum())
    return round(sampled * found / (sampled - once + once * sampled / known))


def _most_frequent(counts: pa.StructArray, occurrences: np.ndarray) -> list[tuple[str, float]]:
    """Return the most frequent values that occur more than once, with their shares; ties in the order of values."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    cut = np.partition(occurrences, -_TOP)[-_TOP] if len(occurrences) > _TOP else 1
    places = np.flatnonzero(occurrences >= max(cut, 2))
    chosen = counts.take(pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)]))
    found = pa.table({"value": chosen.field("values"), "number": chosen.field("counts")})
    order = pc.sort_indices(found, [("number", "descending"), ("value", "ascending")])[:_TOP]
    sampled = int(occurrences.sum())
    return [(_text(one["values"].as_py()), one["counts"].as_py() / sampled) for one in chosen.take(order)]


def _quartiles(values: pa.ChunkedArray) -> tuple[float, float, float] | None:
    """Return the quartiles of finite numbers; None if there are none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = values.cast(pa.float64(), safe=False)
    first, median, third = pc.quantile(numbers.filter(pc.is_finite(numbers)), [0.25, 0.5, 0.75]).to_pylist()
    return None if first is None else (first, median, third)


def _text(value: Any) -> str:
    return str(value)[:_LONGEST]


def forget_values(connection: Connection, contract: Contract) -> None:
    """Delete the values in the profiles of a dataset's columns that may not be described, or no longer."""
    names = [column.name for column in contract.columns if not may_be_described(column)]
    connection.execute(
        """
        update waybill.file_profile as p
        set minimum = null, maximum = null, mean = null, quartile_1 = null, median = null, quartile_3 = null,
          top_values = '[]'
        from waybill.load_file as f
        where f.file_id = p.file_id and f.dataset = %s and p.column_name = any(%s)
          and (p.minimum is not null or p.mean is not null or p.top_values <> '[]')
        """,
        (contract.table, names),
    )


def forget(connection: Connection, file_id: int) -> None:
    """Delete the profile of a file that is no longer loaded, and what looks personal in it."""
    personal_columns.forget(connection, file_id)
    connection.execute("delete from waybill.file_profile where file_id = %s", (file_id,))


def store(connection: Connection, file_id: int, profile: FileProfile) -> None:
    """Store the profile of a loaded file in the caller's transaction."""
    columns = profile.columns()
    personal_columns.store(connection, file_id, {name: one.personal for name, one in columns.items()})
    with connection.cursor().copy(
        "copy waybill.file_profile (file_id, column_name, rows, nulls, distinct_values, is_sampled, minimum, maximum, "
        "mean, quartile_1, median, quartile_3, mean_length, top_share, top_values) from stdin"
    ) as copy:
        for name, one in columns.items():
            top = Jsonb([[value, round(share, 6)] for value, share in one.top])
            shared = (one.rows, one.nulls, one.distinct, profile.is_sampled, one.minimum, one.maximum, one.mean)
            copy.write_row(
                (file_id, name, *shared, *(one.quartiles or (None, None, None)), one.mean_length, one.top_share, top)
            )
