"""The statistics of a Parquet file, by which readers of an Iceberg table skip files.

pyiceberg computes them, too. But it imports pandas for that, and it ignores a row group whose longest texts the writer
left out of the statistics, so that readers would skip rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.types import IcebergType

_CHARACTERS: Final = 16
"""The length of texts in bounds, the default of Iceberg."""
_FIRST_SURROGATE, _LAST_SURROGATE, _LAST_CHARACTER = 0xD7FF + 1, 0xDFFF, 0x10FFFF


def statistics_of(path: Path, schema: Schema) -> dict[str, Any]:
    """Return the statistics of a file as the fields of an entry, by the identifiers of the columns in the schema."""
    import pyarrow.parquet as pq
    from pyiceberg.conversions import to_bytes

    metadata = pq.read_metadata(path)
    sizes: dict[int, int] = {}
    values: dict[int, int] = {}
    nulls: dict[int, int] = {}
    lower: dict[int, bytes] = {}
    upper: dict[int, bytes] = {}
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    for position in range(metadata.num_columns):
        chunks = [group.column(position) for group in groups]
        # A list is `name.list.element` in Parquet, and its elements are `name.element` in Iceberg.
        field = schema.find_field(metadata.schema.column(position).path.replace(".list.element", ".element"))
        number = field.field_id
        sizes[number] = sum(chunk.total_compressed_size for chunk in chunks)
        values[number] = sum(chunk.num_values for chunk in chunks)
        nulls[number] = sum(chunk.statistics.null_count for chunk in chunks)
        found = [chunk.statistics for chunk in chunks if chunk.statistics.null_count < chunk.num_values]
        is_element = number not in {one.field_id for one in schema.fields}
        if found and not is_element and all(one.has_min_max for one in found):
            kind: Any = field.field_type
            least = min(_value(one.min_raw, kind) for one in found)
            most = max(_value(one.max_raw, kind) for one in found)
            lower[number] = to_bytes(kind, least[:_CHARACTERS] if isinstance(least, str) else least)
            most = _upper_bound(most) if isinstance(most, str) else most
            if most is not None:
                upper[number] = to_bytes(kind, most)
    return {
        "record_count": metadata.num_rows,
        "column_sizes": sizes,
        "value_counts": values,
        "null_value_counts": nulls,
        "nan_value_counts": {},
        "lower_bounds": lower,
        "upper_bounds": upper,
        "split_offsets": sorted(_offset(group.column(0)) for group in groups),
    }


def _value(raw: Any, kind: IcebergType) -> Any:
    """Return a value of the statistics for its type. pyarrow's conversion would import pandas."""
    from pyiceberg.types import DecimalType
    from pyiceberg.utils.decimal import unscaled_to_decimal

    if isinstance(kind, DecimalType):
        return unscaled_to_decimal(int.from_bytes(raw, "big", signed=True), kind.scale)
    return raw.decode() if isinstance(raw, bytes) else raw


def _upper_bound(text: str) -> str | None:
    """Return a short text that is not less than any text with the same beginning; None if there is none."""
    if len(text) <= _CHARACTERS:
        return text
    for length in range(_CHARACTERS, 0, -1):
        following = ord(text[length - 1]) + 1
        if following == _FIRST_SURROGATE:
            following = _LAST_SURROGATE + 1
        if following <= _LAST_CHARACTER:
            return text[: length - 1] + chr(following)
    return None


def _offset(chunk: Any) -> int:
    """Return where a column of a row group begins."""
    return int(chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset)
