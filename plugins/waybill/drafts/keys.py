"""Find the columns that identify a row, tested on every row."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from waybill.contracts.quoting import identifier
from waybill.drafts.profile import Rows

SAMPLE_ROWS: Final = 10_000
_TRIED: Final = 8
"""Number of columns that are combined."""
_LARGEST_KEY: Final = 3
_ENOUGH_ROWS: Final = 1_000
_PARTS_OF_KEY: Final = 6
"""Number of columns beside the number of the occurrence, where no columns identify a row."""
IDENTIFIER: Final = re.compile(r"(?:.*_)?(?:id|uuid|guid|key|no|nr|sku|ean|isbn|iban|ref|reference|symbol)")
_ORDINAL: Final = re.compile(
    r"(?:.*_)?(?:year|quarter|month|week|day|hour|minute|date|time|line|position|pos|item|seq|sequence|version|revision"
    r"|index|number|row|step|code|occurrence)"
)
"""Names of columns that identify a row together with others."""
MOMENTS: Final = ("date", "timestamptz", "timestamp")
_NO_KEY: Final = ("boolean", "double precision", "real", "jsonb", "text[]")


@dataclass(frozen=True)
class Candidate:
    """A column that may be part of a key."""

    name: str
    kind: str
    """The physical type."""
    distinct: int
    is_complete: bool
    """Whether every row has a value that a key may have."""
    longest: int
    """The length of the longest value."""
    is_named: bool = True
    """Whether files name the column; else its name says nothing."""

    @property
    def is_identifier(self) -> bool:
        """Return whether the name or the type is that of an identifier."""
        return self.kind == "uuid" or IDENTIFIER.fullmatch(self.name) is not None

    @property
    def is_strong(self) -> bool:
        """Return whether the column is typical of keys of several columns."""
        return self.is_identifier or self.kind in MOMENTS or _ORDINAL.fullmatch(self.name) is not None

    @property
    def may_be_key(self) -> bool:
        """Return whether the type is one that keys have: no measure and no long text."""
        is_number = self.kind in ("integer", "bigint") and self.is_named and not self.is_strong
        is_measure = self.kind.startswith("numeric") or is_number
        return self.is_complete and not is_measure and self.kind not in _NO_KEY and self.longest <= 200


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
    measures: tuple[str, ...] = ()
    """Whole numbers that differ in every row, but look like measures."""


def find_key(rows: Rows, candidates: Sequence[Candidate], names: Collection[str], dataset: str) -> Key:
    """Return the best key: one column, two or three of them, or columns that need the number of the occurrence.

    A key holds if no two different rows of a file have it. Each is tested on every row; the first rows only exclude.
    """
    every_row = rows.count
    different = rows.distinct(names)
    usable = sorted((one for one in candidates if one.may_be_key), key=lambda one: _rank(one, dataset))
    head = f"(select * from {rows.relation} limit {SAMPLE_ROWS})"
    head_different = rows.distinct(names, head)
    # Beside an identifier, equal rows are deliveries of one row. Beside other columns, they may be rows that are equal.
    holding = []
    for combination in _combinations(usable, every_row):
        target = different if any(one.is_identifier for one in combination) else every_row
        if _most(combination) * rows.files < target:
            continue
        columns = [one.name for one in combination]
        if every_row > SAMPLE_ROWS and rows.distinct(columns, head) < min(head_different, SAMPLE_ROWS):
            continue
        if rows.distinct(columns) == target:
            holding.append(tuple(columns))
            if len(combination) > 1 or len(holding) == 3:
                break
    repeated = every_row - different
    if holding:
        best = holding[0]
        is_weak = not any(one.is_identifier for one in usable if one.name in best)
        return Key(best, True, repeated, tuple(one for one in holding[1:] if len(one) == len(best)), is_weak)
    parts = [one for one in usable if one.is_identifier] or usable
    chosen = {one.name for one in parts[:_PARTS_OF_KEY]}
    measures = tuple(
        one.name
        for one in candidates
        if one.kind in ("integer", "bigint") and one.is_complete and not one.may_be_key and one.distinct == every_row
    )
    return Key(tuple(name for name in names if name in chosen), False, repeated, measures=measures)


def confirmed_key(rows: Rows, columns: Sequence[Candidate], names: Collection[str]) -> Key | None:
    """Return a declared key if each row has values for it and no two different rows of a file have the same."""
    keys, different = rows.distinct([one.name for one in columns]), rows.distinct(names)
    if all(one.is_complete for one in columns) and keys == different:
        return Key(tuple(one.name for one in columns), True, rows.count - different)
    return None


def _combinations(usable: Sequence[Candidate], rows: int) -> Iterator[tuple[Candidate, ...]]:
    """Yield the sets of columns to test: identifiers, sets that are typical of keys, then others.

    A set with other columns may be unique by chance, so few rows prove nothing.
    """
    yield from ((one,) for one in usable if one.is_identifier)
    some = usable[:_TRIED]
    sets = [combination for size in range(2, _LARGEST_KEY + 1) for combination in itertools.combinations(some, size)]
    yield from (one for one in sets if all(part.is_strong for part in one) and any(part.is_identifier for part in one))
    yield from ((one,) for one in usable if not one.is_identifier)
    if rows >= _ENOUGH_ROWS:
        yield from (
            one for one in sets if any(part.is_strong for part in one) and not all(part.is_strong for part in one)
        )
        yield from (
            one for one in sets if all(part.is_strong for part in one) and not any(part.is_identifier for part in one)
        )


def _rank(one: Candidate, dataset: str) -> tuple[bool, bool, bool, int]:
    """Return the order in which columns are tried: identifiers, the dataset's own first, and many values first."""
    kinds = ("id", "no", "number")
    own = {"id", "uuid", "key", *(f"{name}_{kind}" for name in singular_forms(dataset) for kind in kinds)}
    return (not one.is_identifier, one.name not in own, not one.is_strong, -one.distinct)


def singular_forms(dataset: str) -> Iterator[str]:
    """Yield the words that may name one row of a dataset: `company` for `companies`."""
    yield dataset
    if dataset.endswith("ies"):
        yield f"{dataset[:-3]}y"
    if dataset.endswith("es"):
        yield dataset[:-2]
    yield dataset.removesuffix("s")


def _most(combination: Sequence[Candidate]) -> int:
    product = 1
    for one in combination:
        product *= one.distinct
    return product


def repeated_between_files(rows: Rows, key: Key) -> Mapping[str, int] | None:
    """Return how many keys occur in several files, and how many there are; None for one file."""
    if rows.files == 1 or not key.is_unique:
        return None
    columns = ", ".join(identifier(name) for name in key.columns)
    shared, total = rows.one(
        f"select count(*) filter (files > 1), count(*) from "
        f"(select count(distinct filename) as files from {rows.relation} group by {columns})"
    )
    return {"shared": shared, "keys": total}
