"""The types of labels: those of the entity columns, of the instants, and of the further columns of CSV.

Row numbers in messages count from 1, without the header.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from waybill.contracts import Column
from waybill.contracts.classification import RESTRICTED
from waybill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER: Final = r"^-?(0|[1-9]\d{0,17})$"
_FRACTION: Final = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$"
_BOOLEANS: Final = ("^(true|false)$", "^(True|False)$", "^(TRUE|FALSE)$", "^[tf]$")
"""How programs write booleans: pandas `True`, and `copy` of PostgreSQL `t`. A column has one spelling."""
_LONGEST: Final = 80
"""How many characters of a wrong value a message shows."""


def wrong_value(source: str, row: int, column: Column, value: Any) -> DataError:
    """Return the error of a value that is none of its column's type. A restricted value is not shown."""
    text = repr(value)
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    shown = "" if column.classification == RESTRICTED else f"{text}, which is "
    return DataError(f"{source}: row {row}: {column.name} is {shown}no value of the type {column.physical_type}")


def with_types(
    source: str, table: pa.Table, before: int, kinds: dict[str, pa.DataType], entities: Sequence[Column]
) -> pa.Table:
    """Return the table with columns of these types. Raises `DataError` that names the first wrong row."""
    import pyarrow as pa

    columns = {column.name: column for column in entities}
    for place, field in enumerate(table.schema):
        if (kind := kinds.get(field.name)) is None:
            continue
        column = table.column(place)
        if pa.types.is_timestamp(kind) and column.null_count:
            row = before + 1 + column.is_null().index(True).as_py()
            raise DataError(f"{source}: row {row} has no {field.name}. Each label needs an instant.")
        if pa.types.is_timestamp(kind) and not _has_instants(field.type):
            raise DataError(
                f"{source}: {field.name} has the type {field.type}, which is no instant. Give it timestamps with a "
                "time zone, or texts like 2026-03-31T12:00:00+00:00."
            )
        if pa.types.is_timestamp(kind) and pa.types.is_timestamp(field.type) and field.type.tz is None:
            raise DataError(
                f"{source}: row {before + 1}: {field.name} has no offset from UTC. Give the column a time zone, for "
                f"example labels[{field.name!r}].dt.tz_localize('UTC')."
            )
        described = columns.get(field.name)
        typed = _cast(source, field.name, column, kind, before, described)
        if pa.types.is_temporal(kind):
            _check_years(source, field.name, typed, before, described)
        elif described and pa.types.is_string(kind):
            _check_texts(source, described, typed, before)
        table = table.set_column(place, field.name, typed)
    return table


def _check_years(source: str, name: str, column: Any, before: int, described: Column | None) -> None:
    """Raise `DataError` for the first instant or day that Python cannot have. Arrow also has years before 1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    first, last = (pa.scalar(end).cast(column.type, safe=False) for end in ends)
    outside = pc.index(pc.or_(pc.less(column, first), pc.greater(column, last)), value=True).as_py()
    if outside >= 0:
        text = column.slice(outside, 1).cast(pa.string())[0].as_py()
        if described:
            raise wrong_value(source, before + 1 + outside, described, text)
        raise DataError(f"{source}: row {before + 1 + outside}: {name} is {text!r}, and the years are 1 to 9999")


def _check_texts(source: str, described: Column, column: Any, before: int) -> None:
    """Raise `DataError` for the first text with a NUL character, which PostgreSQL cannot have."""
    import pyarrow.compute as pc

    wrong = pc.index(pc.match_substring(column, "\0"), value=True).as_py()
    if wrong >= 0:
        raise wrong_value(source, before + 1 + wrong, described, column[wrong].as_py())


def _has_instants(kind: pa.DataType) -> bool:
    """Return whether values of a type can be instants: timestamps and texts."""
    import pyarrow as pa

    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(test(plain) for test in (pa.types.is_timestamp, pa.types.is_string, pa.types.is_large_string))


def _cast(source: str, name: str, column: Any, kind: pa.DataType, before: int, described: Column | None) -> Any:
    """Return a column with another type. `described` is the column of a view, if it is one of the entity."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if pa.types.is_boolean(kind) and pa.types.is_string(column.type):
            for letter, word in (("t", "true"), ("f", "false")):
                column = pc.replace_substring_regex(column, f"^{letter}$", word)
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if len(column) > 1:  # the first half that fails has the row
            middle = len(column) // 2
            _cast(source, name, column.slice(0, middle), kind, before, described)
            _cast(source, name, column.slice(middle), kind, before + middle, described)
        if described:
            raise wrong_value(source, before + 1, described, column[0].as_py()) from None
        why = "has no offset from UTC" if _is_local_time(column) else "is no instant to the microsecond"
        raise DataError(
            f"{source}: row {before + 1}: {name} is {str(column[0])!r}, which {why}; write it like "
            "2026-03-31T12:00:00+00:00"
        ) from None


def _is_local_time(column: Any) -> bool:
    import pyarrow as pa

    try:
        column.cast(pa.timestamp("us"))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


class Guess:
    """The types of the further columns of a CSV file: whole numbers, other numbers, true and false, or texts.

    A column without values has texts.
    """

    def __init__(self, names: Sequence[str]) -> None:
        import pyarrow as pa

        self._left = {
            name: [
                (_NUMBER, pa.int64()),
                (_FRACTION, pa.float64()),
                *((spelling, pa.bool_()) for spelling in _BOOLEANS),
            ]
            for name in names
        }
        self._with_values: set[str] = set()

    def look_at(self, table: pa.Table) -> None:
        """Leave out the types that a value does not have."""
        import pyarrow.compute as pc

        for name, candidates in self._left.items():
            if table[name].null_count < table.num_rows:
                self._with_values.add(name)
            self._left[name] = [
                (pattern, kind)
                for pattern, kind in candidates
                if pc.all(pc.match_substring_regex(table[name], pattern), skip_nulls=True).as_py() is not False
            ]

    def types(self) -> dict[str, Any]:
        """Return the first type that is left for each column."""
        import pyarrow as pa

        return {
            name: candidates[0][1] if candidates and name in self._with_values else pa.string()
            for name, candidates in self._left.items()
        }
