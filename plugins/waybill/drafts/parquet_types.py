"""Return the types that Parquet files declare for their columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from waybill.drafts.declarations import Declared, declare

if TYPE_CHECKING:
    import pyarrow as pa


def declared_types(path: Path) -> dict[str, Declared]:
    """Return by name the declarations of columns whose Parquet type has one; those of texts depend on the values."""
    import pyarrow.parquet as pq

    return {field.name: found for field in pq.read_schema(path) if (found := _declared(field.type))}


def _declared(kind: pa.DataType) -> Declared | None:  # noqa: PLR0911  # one line for each type
    from pyarrow import types

    if types.is_float64(kind):
        return declare("number", "double precision")
    if types.is_floating(kind):
        return declare("number", "real")
    if types.is_decimal(kind):
        fits = 0 <= kind.scale <= kind.precision <= 38
        return declare("number", f"numeric({kind.precision},{kind.scale})") if fits else None
    if types.is_uint64(kind):
        return declare("number", "numeric(20,0)")
    if types.is_int64(kind) or types.is_uint32(kind):
        return declare("integer", "bigint")
    if types.is_integer(kind):
        return declare("integer", "integer")
    if types.is_boolean(kind):
        return declare("boolean", "boolean")
    if types.is_date(kind):
        return declare("date", "date")
    if types.is_time(kind):
        return declare("time", "time")
    if types.is_timestamp(kind):
        return declare("timestamp", "timestamptz", {"timezone": True}) if kind.tz else declare("timestamp", "timestamp")
    if types.is_list(kind) and types.is_string(kind.value_type):
        return declare("array", "text[]")
    if types.is_nested(kind):
        return declare("object", "jsonb")
    return None
