"""Convert Parquet files to CSV whose texts are exactly the values. Memory use does not depend on the file's size."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.files.converted import Converted, csv_line, duration_text, types_of
from waybill.files.unpacking import SENT_AGAIN
from waybill.formatting import count

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MAGIC: Final = b"PAR1"
_ENCRYPTED: Final = b"PARE"
_MOST_ROWS: Final = 8192
"""Rows of a batch; fewer if they are long."""
_BATCH_BYTES: Final = 2**24
_BUFFER_BYTES: Final = 2**20
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Units of a duration."""
_NANOSECONDS: Final = 1000
"""Of a microsecond."""


def read_parquet(name: str, path: Path, contract: Contract) -> Converted:
    """Return a Parquet file as CSV. Null and the empty text are both absent values.

    Timestamps at midnight without a time zone are written as dates if the contract loads them as dates. Raises
    `DataError` if the file is encrypted, truncated or corrupt.
    """
    _check_ends(name, path)
    with _named_errors(name):
        metadata = _open(path).metadata
        rows = sum(metadata.row_group(place).num_rows for place in range(metadata.num_row_groups))
    if rows != metadata.num_rows:
        raise DataError(
            f"{name}: the metadata of the Parquet file counts {count(metadata.num_rows, 'row')}, and its row groups "
            f"{count(rows, 'row')}. {SENT_AGAIN}"
        )
    if not metadata.num_columns:
        raise DataError(f"{name}: the Parquet file has no columns. {SENT_AGAIN}")
    return Converted(rows, "metadata of the Parquet file", _named(name, _lines(path, contract)))


def _check_ends(name: str, path: Path) -> None:
    """Raise `DataError` unless a file begins and ends like a Parquet file."""
    with path.open("rb") as stream:
        head = stream.read(len(_MAGIC))
        stream.seek(max(path.stat().st_size - len(_MAGIC), 0))
        tail = stream.read()
    if _ENCRYPTED in (head, tail):
        raise DataError(f"{name}: the Parquet file is encrypted. Send it without encryption.")
    if tail != _MAGIC:
        raise DataError(f"{name}: the Parquet file is truncated. {SENT_AGAIN}")


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Turn the errors of a corrupt file into `DataError`."""
    import pyarrow as pa

    try:
        yield
    except KeyError:
        raise DataError(f"{name}: a key of a map occurs twice in the same map.") from None
    except pa.ArrowNotImplementedError as error:
        raise DataError(f"{name}: the Parquet file cannot be read: {error}. Write it with common types.") from error
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk
            raise
        message = str(error).splitlines()[0]
        raise DataError(f"{name}: the Parquet file is corrupt ({message}). {SENT_AGAIN}") from error
    except (OverflowError, ValueError) as error:
        raise DataError(
            f"{name}: a list, map or struct cannot be read: {error}. Write dates outside of the years 1 to 9999 as "
            f"text, and each field of a struct once."
        ) from error


def _named(name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with _named_errors(name):
        yield from chunks


def _open(path: Path) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    # 96-bit timestamps reach beyond the years 1677 to 2262 of nanoseconds, which would overflow silently.
    return pq.ParquetFile(
        path, buffer_size=_BUFFER_BYTES, coerce_int96_timestamp_unit="us", page_checksum_verification=True
    )


def _lines(path: Path, contract: Contract) -> Iterator[bytes]:
    """Yield the header and the lines of all row groups."""
    file = _open(path)
    names = file.schema_arrow.names
    types = types_of(names, contract)
    yield csv_line(names)
    for place in range(file.num_row_groups):
        group = file.metadata.row_group(place)
        size = max(1, min(_MOST_ROWS, _BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1)))
        exact = _remainders(path, file, place, size)
        for batch in file.iter_batches(size, row_groups=[place]):
            remainders = next(exact)
            columns = [
                _texts(column, remainders.get(name), is_date=kind == "date")
                for name, kind, column in zip(names, types, batch.columns, strict=True)
            ]
            yield _csv(columns)


def _remainders(path: Path, file: pq.ParquetFile, place: int, size: int) -> Iterator[Mapping[str, pa.Array]]:
    """Yield, for each batch of a row group, the nanoseconds beyond microseconds of its 96-bit timestamps."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = file.metadata.schema
    columns = [schema.column(at) for at in range(len(schema))]
    names = [column.name for column in columns if column.physical_type == "INT96" and column.path == column.name]
    if not names:
        while True:
            yield {}
    nanoseconds = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES)
    pairs = zip(
        nanoseconds.iter_batches(size, row_groups=[place], columns=names),
        file.iter_batches(size, row_groups=[place], columns=names),
        strict=True,
    )
    for fine, coarse in pairs:
        # Both sides overflow alike, so that their difference is right in any year.
        yield {
            name: pc.subtract(
                fine.column(name).cast(pa.int64()), pc.multiply(coarse.column(name).cast(pa.int64()), _NANOSECONDS)
            )
            for name in names
        }


# --- CSV ------------------------------------------------------------------------------------------------------


def _csv(columns: Sequence[pa.Array]) -> bytes:
    """Return the lines of a batch of binary columns without nulls. A row without any value is a record, too."""
    import pyarrow.compute as pc

    lines = _joined(*map(_quoted, columns), between=b",")
    commas = len(columns) - 1
    is_blank = pc.equal(pc.binary_length(lines), commas)
    if pc.any(is_blank).as_py():
        lines = pc.if_else(is_blank, _binary(b'""' + b"," * commas), lines)
    ended = _joined(lines, _binary(b"\n"))
    size = pc.sum(pc.binary_length(ended)).as_py() or 0
    return ended.buffers()[2].slice(0, size).to_pybytes() if size else b""


def _quoted(values: pa.Array) -> pa.Array:
    """Return the values, in quotes where CSV needs them: blanks alone would not be a record."""
    import pyarrow.compute as pc

    special = pc.match_substring_regex(values, r'[",\r\n]|^[ \t]|[ \t]$')
    if not pc.any(special).as_py():
        return values
    escaped = pc.replace_substring(values, b'"', b'""')
    return pc.if_else(special, _joined(_binary(b'"'), escaped, _binary(b'"')), values)


def _joined(*parts: pa.Array | pa.Scalar, between: bytes = b"") -> pa.Array:
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*parts, _binary(between))


def _binary(text: bytes) -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(text, pa.large_binary())


# --- texts of values ------------------------------------------------------------------------------------------


def _texts(values: pa.Array, remainders: pa.Array | None, *, is_date: bool) -> pa.Array:
    """Return the texts of values as binary; the text of a null is empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.fill_null(_text_column(values, remainders, is_date=is_date).cast(pa.large_binary()), _binary(b""))


def _text_column(values: pa.Array, remainders: pa.Array | None, *, is_date: bool) -> pa.Array:
    import pyarrow as pa
    from pyarrow import types

    is_uuid = isinstance(values.type, pa.UuidType)
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if is_uuid:
        return _each(values, lambda value: str(uuid.UUID(bytes=value)))
    if types.is_nested(kind):
        return _each(_with_exact_leaves(values), json_text)
    if types.is_temporal(kind):
        return _moments(values, remainders, is_date=is_date)
    if types.is_decimal(kind) or types.is_floating(kind):
        return _numbers(values)
    return values if _is_binary(kind) else values.cast(pa.string())


def _is_binary(kind: pa.DataType) -> bool:
    """Return whether a type has bytes, which are read as UTF-8: some programs write texts so."""
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _each(values: pa.Array, text: Callable[[Any], str]) -> pa.Array:
    import pyarrow as pa

    options = {"maps_as_pydicts": "strict"} if pa.types.is_nested(values.type) else {}
    texts = [None if value is None else text(value) for value in values.to_pylist(**options)]
    # Bytes that are not UTF-8 stay as they are, so that they reject their record.
    return pa.array([text and text.encode(errors="surrogateescape") for text in texts], type=pa.large_binary())


def _with_exact_leaves(values: pa.Array) -> pa.Array:
    """Return nested values without the leaves that Python's objects would change.

    Numbers of 32 and 16 bits become the shortest ones, and times of nanoseconds texts.
    """
    import pyarrow as pa

    def is_inexact(leaf: pa.DataType) -> bool:
        return leaf in (pa.float32(), pa.float16(), pa.time64("ns"))

    as_texts = _with_leaves(values.type, lambda leaf: pa.string() if is_inexact(leaf) else leaf)
    if as_texts == values.type:
        return values
    numbers = _with_leaves(
        values.type,
        lambda leaf: pa.float64() if pa.types.is_floating(leaf) else pa.string() if is_inexact(leaf) else leaf,
    )
    return values.cast(as_texts).cast(numbers)


def _with_leaves(kind: pa.DataType, leaf: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Return a type with other types for the values within its lists, maps and structs."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_struct(kind):
        return pa.struct([field.with_type(_with_leaves(field.type, leaf)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_with_leaves(kind.key_type, leaf), _with_leaves(kind.item_type, leaf))
    if types.is_fixed_size_list(kind):
        return pa.list_(_with_leaves(kind.value_type, leaf), kind.list_size)
    if types.is_large_list(kind):
        return pa.large_list(_with_leaves(kind.value_type, leaf))
    if types.is_list(kind):
        return pa.list_(_with_leaves(kind.value_type, leaf))
    return leaf(kind)


def _numbers(values: pa.Array) -> pa.Array:
    """Return the shortest texts that read back as the same numbers, without exponents."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.type == pa.float16():
        return _each(values, _half_text)
    texts = values.cast(pa.string())
    if pc.any(pc.match_substring_regex(texts, "[eE]")).as_py():
        texts = _each(texts, lambda text: f"{Decimal(text):f}" if "e" in text.lower() else text)
    return pc.replace_substring_regex(texts, r"\.0+$|(\.[0-9]*[1-9])0+$", r"\1")


def _half_text(value: float) -> str:
    """Return a number of 16 bits: all digits of a whole number, else the shortest text that reads back as the same."""
    import numpy as np

    return f"{value:.0f}" if float(value).is_integer() else np.format_float_positional(np.float16(value), trim="-")


def _moments(values: pa.Array, remainders: pa.Array | None, *, is_date: bool) -> pa.Array:
    """Return the texts of dates, times, timestamps and durations."""
    import pyarrow as pa
    from pyarrow import types

    kind = values.type
    if types.is_duration(kind):
        return _each(values.cast(pa.int64()), lambda units: duration_text(units, _PER_SECOND[kind.unit]))
    return _timestamps(values, remainders, is_date=is_date) if types.is_timestamp(kind) else values.cast(pa.string())


def _timestamps(values: pa.Array, remainders: pa.Array | None, *, is_date: bool) -> pa.Array:
    """Return `2026-03-01 12:00:00`, with a fraction if there is one, and with `Z` if the values are instants."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.type.tz is not None:
        values = values.cast(pa.timestamp(values.type.unit, "UTC"))
    texts = values.cast(pa.string())
    if remainders is not None:
        digits = pc.utf8_lpad(remainders.cast(pa.string()), 3, "0")
        texts = pc.if_else(pc.equal(remainders, 0), texts, pc.binary_join_element_wise(texts, digits, ""))
    if is_date and values.type.tz is None:
        texts = pc.replace_substring_regex(texts, r" 00:00:00(\.0*)?$", "")
    return texts


def json_text(value: Any) -> str:
    """Return a nested value as JSON: numbers with all their digits, and texts for what JSON does not have."""
    if isinstance(value, Mapping):
        members = (f"{json.dumps(str(name), ensure_ascii=False)}: {json_text(one)}" for name, one in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(json_text, value))}]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, timedelta):
        value = duration_text(value // timedelta(microseconds=1), _PER_SECOND["us"])
    if isinstance(value, bytes):
        value = value.decode(errors="surrogateescape")
    is_json = not isinstance(value, float) or math.isfinite(value)
    return json.dumps(value if is_json else str(value), ensure_ascii=False, default=str)
