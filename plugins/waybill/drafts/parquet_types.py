"""Return the types that Parquet files declare for their columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from waybill.drafts.draft_type import DraftType

if TYPE_CHECKING:
    import pyarrow as pa


def declared_types(path: Path) -> dict[str, DraftType]:
    """Return the types of columns by name, without those of texts, because these depend on the values."""
    import pyarrow.parquet as pq

    return {
        field.name: DraftType(found, {"timezone": True} if found == "timestamptz" else {})
        for field in pq.read_schema(path)
        if (found := _physical(field.type))
    }


def _physical(kind: pa.DataType) -> str | None:
    from pyarrow import types

    if types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})" if 0 <= kind.scale <= kind.precision <= 38 else None
    if types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    if types.is_list(kind) and types.is_string(kind.value_type):
        return "text[]"
    named = (
        (types.is_float64, "double precision"),
        (types.is_floating, "real"),
        (types.is_uint64, "numeric(20,0)"),
        (types.is_int64, "bigint"),
        (types.is_uint32, "bigint"),
        (types.is_integer, "integer"),
        (types.is_boolean, "boolean"),
        (types.is_date, "date"),
        (types.is_time, "time"),
        (types.is_nested, "jsonb"),
    )
    return next((name for is_kind, name in named if is_kind(kind)), None)
