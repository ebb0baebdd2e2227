"""Find the columns that identify a row, tested on every row."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from waybill.contracts.quoting import identifier
from waybill.drafts.column import DraftColumn
from waybill.drafts.names import IDENTIFIER, singular_forms
from waybill.drafts.profile import Rows

SAMPLE_ROWS: Final = 10_000
_TRIED: Final = 8
"""Number of columns that are combined."""
_LARGEST_KEY: Final = 3
_ENOUGH_ROWS: Final = 1_000
_PARTS_OF_KEY: Final = 6
"""Number of columns beside the number of the occurrence, where no columns identify a row."""
_ORDINAL: Final = re.compile(
    r"(?:.*_)?(?:year|quarter|month|week|day|hour|minute|date|time|line|position|pos|item|seq|sequence|version|revision"
    r"|index|number|row|step|code|occurrence)"
)
"""Names of columns that identify a row together with others."""
_NO_KEY: Final = ("boolean", "double precision", "real", "jsonb", "text[]")


def _is_identifier(column: DraftColumn) -> bool:
    """Return whether the name or the type is that of an identifier."""
    return column.type.physical == "uuid" or IDENTIFIER.fullmatch(column.name) is not None


def _is_strong(column: DraftColumn) -> bool:
    """Return whether the column is typical of keys of several columns."""
    return _is_identifier(column) or column.type.is_moment or _ORDINAL.fullmatch(column.name) is not None


def _is_whole_number(column: DraftColumn) -> bool:
    return column.type.physical in ("integer", "bigint")


def _may_be_key(column: DraftColumn) -> bool:
    """Return whether the column may be part of a key: it is complete, no measure and no long text."""
    physical = column.type.physical
    is_number = _is_whole_number(column) and column.is_named and not _is_strong(column)
    is_measure = is_number or physical.startswith("numeric")
    return column.is_complete and not is_measure and physical not in _NO_KEY and column.longest <= 200


@dataclass(frozen=True)
class Key:
    """The proposed key."""

    columns: tuple[str, ...]
    is_unique: bool
    """Whether the columns identify a row; else the rows that agree in them are numbered."""
    repeated: int
    """Number of rows that repeat an earlier row of their file in every column."""
    others: tuple[tuple[str, ...], ...] = ()
    """Further keys that hold."""
    is_weak: bool = False
    """Whether no column of the key looks like an identifier."""
    is_guess: bool = False
    """Whether there are no rows that show it."""
    measures: tuple[str, ...] = ()
    """Whole numbers that differ in every row, but look like measures."""


def find_key(rows: Rows, columns: Sequence[DraftColumn], dataset: str) -> Key:
    """Return the best key: one column, two or three of them, or columns that need the number of the occurrence.

    A key holds if no two different rows of a file have it. Each is tested on every row; the first rows only exclude.
    """
    every_row = rows.count
    if not every_row:
        return Key((columns[0].name,), False, 0, is_guess=True)
    different = rows.distinct(rows.names)
    usable = sorted((one for one in columns if _may_be_key(one)), key=lambda one: _rank(one, dataset))
    head = f"(select * from {rows.relation} limit {SAMPLE_ROWS})"
    head_different = rows.distinct(rows.names, head)
    # Beside an identifier, equal rows are deliveries of one row. Beside other columns, they may be rows that are equal.
    holding: list[tuple[str, ...]] = []
    for combination in _combinations(usable, every_row):
        target = different if any(map(_is_identifier, combination)) else every_row
        if math.prod(one.distinct for one in combination) * rows.files < target:
            continue
        key = tuple(one.name for one in combination)
        if every_row > SAMPLE_ROWS and rows.distinct(key, head) < min(head_different, SAMPLE_ROWS):
            continue
        if rows.distinct(key) == target:
            holding.append(key)
            if len(combination) > 1 or len(holding) == 3:
                break
    repeated = every_row - different
    if holding:
        best = holding[0]
        is_weak = not any(_is_identifier(one) for one in usable if one.name in best)
        return Key(best, True, repeated, tuple(one for one in holding[1:] if len(one) == len(best)), is_weak)
    parts = [one for one in usable if _is_identifier(one)] or usable
    chosen = {one.name for one in parts[:_PARTS_OF_KEY]}
    measures = tuple(
        one.name
        for one in columns
        if _is_whole_number(one) and one.is_complete and not _may_be_key(one) and one.distinct == every_row
    )
    return Key(tuple(name for name in rows.names if name in chosen), False, repeated, measures=measures)


def confirmed_key(rows: Rows, columns: Sequence[DraftColumn]) -> Key | None:
    """Return a declared key if each row has values for it and no two different rows of a file have the same."""
    key, different = tuple(one.name for one in columns), rows.distinct(rows.names)
    if all(one.is_complete for one in columns) and rows.distinct(key) == different:
        return Key(key, True, rows.count - different)
    return None


def _combinations(usable: Sequence[DraftColumn], rows: int) -> Iterator[tuple[DraftColumn, ...]]:
    """Yield the sets of columns to test: identifiers, sets that are typical of keys, then others.

    A set with other columns may be unique by chance, so few rows prove nothing.
    """
    some = usable[:_TRIED]
    sets = [combination for size in range(2, _LARGEST_KEY + 1) for combination in itertools.combinations(some, size)]
    strong = [one for one in sets if all(map(_is_strong, one))]
    yield from ((one,) for one in usable if _is_identifier(one))
    yield from (one for one in strong if any(map(_is_identifier, one)))
    yield from ((one,) for one in usable if not _is_identifier(one))
    if rows >= _ENOUGH_ROWS:
        yield from (one for one in sets if any(map(_is_strong, one)) and not all(map(_is_strong, one)))
        yield from (one for one in strong if not any(map(_is_identifier, one)))


def _rank(one: DraftColumn, dataset: str) -> tuple[bool, bool, bool, int]:
    """Return the order in which columns are tried: identifiers, the dataset's own first, and many values first."""
    kinds = ("id", "no", "number")
    own = {"id", "uuid", "key", *(f"{name}_{kind}" for name in singular_forms(dataset) for kind in kinds)}
    return (not _is_identifier(one), one.name not in own, not _is_strong(one), -one.distinct)


def shared_between_files(rows: Rows, key: Key) -> tuple[int, int]:
    """Return how many keys occur in several files, and how many there are; (0, 0) for one file."""
    if rows.files == 1 or not key.is_unique:
        return 0, 0
    columns = ", ".join(identifier(name) for name in key.columns)
    shared, total = rows.one(
        f"select count(*) filter (files > 1), count(*) from "
        f"(select count(distinct filename) as files from {rows.relation} group by {columns})"
    )
    return shared, total
