"""Labels: for whom and for when a training set has values, from CSV, Parquet or a DataFrame.

Labels are read in batches of a fixed number of rows, so that memory does not grow with them, and equal rows give equal
batches. Row numbers in messages count from 1, without the header.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from waybill.contracts import Column
from waybill.errors import DataError
from waybill.features.label_types import Guess, with_types
from waybill.formatting import in_series
from waybill.outputs.export import arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

BATCH: Final = 65_536
"""The number of labels in a batch. It is also the size of the row groups of a training set."""
_FORM: Final = "Write labels as CSV in UTF-8 with a header and commas, or as Parquet."
_INDEX_OF_PANDAS: Final = re.compile(r"|__index_level_\d+__")


@dataclass(frozen=True)
class Labels:
    """Labels that were read once, and are valid."""

    source: str
    """What messages and the manifest call them."""
    schema: pa.Schema
    """Their columns, in order. The instants are in UTC."""
    time_column: str
    rows: int
    newest: tuple[datetime, int] | None
    """The latest instant and the number of its first row; None without rows."""
    sha256: str
    """The hash of the file, or of the rows of a DataFrame."""
    read: Callable[[], Iterator[pa.Table]]
    """Yields the batches."""


def read_labels(source: Any, entities: Sequence[Column], time_column: str) -> Labels:
    """Check labels and return them.

    Args:
        source: the path of a CSV or Parquet file, or a DataFrame.
        entities: the columns of the feature views that labels must have.
        time_column: the column with the instant of each label.

    Raises:
        DataError: the file cannot be read, a column is missing, or a value is wrong; with the first such row.
    """
    import pyarrow as pa

    path = Path(source) if isinstance(source, str | Path) else None
    if path:
        opened, name = _opened(path), path.name
        sha256 = _hash_of(path)
        raw: Callable[[], Iterator[pa.RecordBatch]]
        schema, raw = opened
    else:
        whole, name, sha256 = _of_frame(source), "DataFrame", ""
        schema, raw = whole.schema, lambda: iter(whole.to_batches(BATCH))
    _check_columns(name, schema, entities, time_column)
    kinds = {column.name: arrow_type(column.physical_type) for column in entities}
    kinds[time_column] = pa.timestamp("us", "UTC")
    is_text = path is not None and not _is_parquet(path)
    plain = {field.name: _plain(name, field) for field in schema}
    others = [name for name in schema.names if name not in kinds]
    guess = Guess(others) if is_text else None
    rows, newest, digest = 0, None, hashlib.sha256()
    for batch in _of_fixed_size(raw()):
        table = with_types(name, batch, rows, kinds, entities)
        if guess:
            guess.look_at(batch)
        if not sha256:
            digest.update(rows_as_csv(table, header=not rows))
        found = _newest(table, time_column, rows)
        if newest is None or found[0] > newest[0]:
            newest = found
        rows += table.num_rows
    typed = kinds | (guess.types() if guess else {})
    final = pa.schema([pa.field(one.name, typed.get(one.name, plain[one.name])) for one in schema])

    def read() -> Iterator[pa.Table]:
        done = 0
        for batch in _of_fixed_size(raw()):
            yield with_types(name, batch, done, typed, entities).cast(final)
            done += batch.num_rows
        if path and _hash_of(path) != sha256:
            raise DataError(f"{name} was changed while it was read. Make the set again.")

    return Labels(name, final, time_column, rows, newest, sha256 or digest.hexdigest(), read)


def _of_frame(source: Any) -> pa.Table:
    import pandas as pd
    import pyarrow as pa

    if not isinstance(source, pd.DataFrame):
        raise DataError(
            f"labels are a DataFrame, or the path of a .csv or .parquet file, and not a {type(source).__name__}"
        )
    if named := [str(name) for name in source.index.names if name is not None]:
        raise DataError(
            f"DataFrame: its index is called {in_series(named)}, and an index is no part of the labels. "
            "`labels.reset_index()` makes it a column, and `labels.reset_index(drop=True)` drops it."
        )
    try:
        return pa.Table.from_pandas(source, preserve_index=False)
    except (pa.ArrowException, ValueError) as error:
        why = error.args[-1]
        raise DataError(f"DataFrame: cannot be read: {why}. Give each column one name and one type.") from None


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows_as_csv(table: pa.Table, *, header: bool) -> bytes:
    """Return rows as CSV, by which they are hashed: independent of the size of batches and of any file format."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    for place, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            texts = [None if value is None else json.dumps(value) for value in table[field.name].to_pylist()]
            table = table.set_column(place, field.name, pa.array(texts, pa.string()))
    target = pa.BufferOutputStream()
    pa_csv.write_csv(table, target, pa_csv.WriteOptions(include_header=header, quoting_style="needed"))
    return bytes(target.getvalue())


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _opened(path: Path) -> tuple[pa.Schema, Callable[[], Iterator[pa.RecordBatch]]]:
    """Return the columns of a file, those of CSV as texts, and what yields its batches."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(f"{path}: labels are a .csv or .parquet file")
    if not path.is_file():
        there = " on this machine: copy it from the bucket" if str(path).startswith("s3:") else ""
        raise DataError(f"{path}: there is no such file{there}")
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    try:
        if _is_parquet(path):
            return pq.ParquetFile(path).schema_arrow, lambda: pq.ParquetFile(path).iter_batches(BATCH)
        with pa_csv.open_csv(path, pa_csv.ReadOptions(use_threads=False), parse) as first:
            names = first.schema.names
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )

    def batches(*, use_threads: bool = True) -> Iterator[pa.RecordBatch]:
        try:
            yield from pa_csv.open_csv(path, pa_csv.ReadOptions(use_threads=use_threads), parse, convert)
        except pa.ArrowInvalid as error:
            if use_threads:  # only a single thread knows the row
                deque(batches(use_threads=False), 0)
            raise _unreadable(path, error) from None

    return pa.schema([pa.field(name, pa.string()) for name in names]), batches


def _unreadable(path: Path, error: Exception) -> DataError:
    """Return the error of the parser without the row that it quotes, and with the row's number without the header."""
    text = str(error).splitlines()[0]
    head, got, tail = text.partition(", got ")
    text = f"{head}{got}{tail.partition(':')[0]}".removeprefix("CSV parse error: ").rstrip(".")
    text = re.sub(r"^Row #(\d+): E", lambda found: f"row {int(found[1]) - 1}: e", text)
    return DataError(f"{path}: cannot be read: {text}. {_FORM}")


def _check_columns(source: str, schema: pa.Schema, entities: Sequence[Column], time_column: str) -> None:
    wanted = [*(column.name for column in entities), time_column]
    if missing := [name for name in wanted if name not in schema.names]:
        step = " Name the column with the instants: --time-column, in Python time_column."
        if len(schema.names) == 1 and re.search(r"[;\t|]", schema.names[0]):
            step = f" It is one column: separate columns by commas. {_FORM}"
        elif time_column not in missing:
            step = ""
        raise DataError(
            f"{source}: labels need the columns {in_series(wanted, 'and')}, and {in_series(missing, 'and')} "
            f"{'is' if len(missing) == 1 else 'are'} missing. It has {', '.join(schema.names)}.{step}"
        )
    if any("\0" in name for name in schema.names):
        raise DataError(f"{source}: the name of a column has a NUL character")
    if unnamed := [place for place, name in enumerate(schema.names, 1) if _INDEX_OF_PANDAS.fullmatch(name)]:
        raise DataError(
            f"{source}: column {unnamed[0]} has no name. If it is the index of a DataFrame, write the file with "
            "index=False."
        )
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise DataError(f"{source}: several columns are called {', '.join(twice)}")


def _plain(source: str, field: pa.Field) -> pa.DataType:
    """Return the type of a column that is passed through. Raises `DataError` for one whose values are not hashed."""
    import pyarrow as pa

    refused = (
        pa.types.is_nested,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
        pa.types.is_binary_view,
        pa.types.is_string_view,
    )
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if isinstance(kind, pa.BaseExtensionType) or any(test(kind) for test in refused):
        raise DataError(
            f"{source}: the column {field.name} has the type {kind}. Labels have single values: write them as texts."
        )
    return kind


def _of_fixed_size(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows in tables of `BATCH` rows; the last one may have fewer."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        left = batch
        while rows + left.num_rows >= BATCH:
            part = BATCH - rows
            yield pa.Table.from_batches([*waiting, left.slice(0, part)]).combine_chunks()
            left, waiting, rows = left.slice(part), [], 0
        if left.num_rows:
            waiting.append(left)
            rows += left.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _newest(table: pa.Table, time_column: str, before: int) -> tuple[datetime, int]:
    import pyarrow.compute as pc

    column = table[time_column]
    newest = pc.max(column)
    return newest.as_py(), before + 1 + pc.index(column, newest).as_py()
