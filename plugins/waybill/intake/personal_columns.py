"""Columns of a loaded file that look personal although their contract does not classify them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import Connection

from waybill.contracts import Column
from waybill.contracts.contract import numeric_digits
from waybill.contracts.values import UNCOMPARED
from waybill.files.spellings import normalise
from waybill.personal.names import BIRTH
from waybill.personal.recognise import Evidence, named_kind, recognise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

_SEARCHED: Final = (*UNCOMPARED, "text", "integer", "bigint")
_DATES: Final = ("date", "timestamp", "timestamptz")


def is_searched(column: Column) -> bool:
    """Return whether the values of a column are searched: it is not classified, and its type can hold personal data."""
    if column.classification is not None:
        return False
    if column.physical_type in _DATES:
        return named_kind(_names(column)) == BIRTH
    digits = numeric_digits(column.physical_type)
    return column.physical_type in _SEARCHED or (digits is not None and digits[1] == 0)


def evidence_in(column: Column, values: pa.Array | pa.ChunkedArray) -> list[Evidence]:
    """Return the kinds of personal data in the values of a column; none for a column that is not searched.

    The values are different ones, except those of types that are not compared.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not is_searched(column):
        return []
    if pa.types.is_list(values.type):
        values = pc.list_flatten(values)
    if column.physical_type in UNCOMPARED:
        values = pc.unique(values)
    return recognise(_names(column), values.cast(pa.string()))


def _names(column: Column) -> list[str]:
    return [normalise(name) for name in (column.name, *column.spellings)]


def store(connection: Connection, file_id: int, found: Mapping[str, Sequence[Evidence]]) -> None:
    """Store why columns of a file look personal, in the caller's transaction. What is known of the file stays."""
    connection.cursor().executemany(
        "insert into waybill.personal_column (file_id, column_name, kind, found_in, hits, values_searched) "
        "values (%s, %s, %s, %s, %s, %s) on conflict do nothing",
        [(file_id, name, one.kind, one.where, one.hits, one.values) for name, some in found.items() for one in some],
    )


def forget(connection: Connection, file_id: int) -> None:
    """Delete the evidence of a file that is no longer loaded."""
    connection.execute("delete from waybill.personal_column where file_id = %s", (file_id,))
