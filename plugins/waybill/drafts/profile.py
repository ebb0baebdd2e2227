"""Count what the texts of a column are, over every row, with the expressions that a load uses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from waybill.contracts import Column
from waybill.contracts.number_format import NumberFormat
from waybill.contracts.odcs import read_column
from waybill.contracts.quoting import identifier, literal
from waybill.contracts.values import cast, is_blank, typed
from waybill.drafts.draft_type import DraftType
from waybill.personal.recognise import SAMPLE_VALUES

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_TEXTS: Final = 1_000
_SHAPE_CHARACTERS: Final = 24
_LISTED: Final = 50
_COMPARED: Final = 8
"""More columns are compared by their hash of 64 bits."""


@dataclass(frozen=True)
class Misfits:
    """The texts that a type does not accept."""

    rows: int
    texts: Sequence[str]
    """The most frequent of them, at most 50."""
    is_complete: bool
    """Whether these are all."""
    first_record: int | None


class Rows:
    """All rows of the files as texts, in Parquet files with the columns `_record` and those of the contract."""

    def __init__(self, duck: Any, files: Sequence[Path], names: Sequence[str]) -> None:
        self._duck, self.names = duck, names
        paths = [literal(path) for path in files if path.exists()]
        nothing = ", ".join(f"null::varchar as {identifier(name)}" for name in names)
        self.relation = (
            f"read_parquet([{', '.join(paths)}], filename = true)"
            if paths
            else f"(select 1 as _record, '' as filename, {nothing} where false)"
        )
        self.files = len(paths)
        self.count: int = self.one(f"select count(*) from {self.relation}")[0]

    def nulls(self) -> dict[str, int]:
        """Return the number of rows without a value in each column."""
        present = ", ".join(f"count({identifier(name)})" for name in self.names)
        counts = self.one(f"select {present} from {self.relation}")
        return {name: self.count - number for name, number in zip(self.names, counts, strict=True)}

    def days(self, names: Collection[str]) -> dict[str, int]:
        """Return for columns of dates or instants the largest number of days, from first to last, within a file."""
        if not names:
            return {}
        spans = ", ".join(f"max({name})::date - min({name})::date + 1 as {name}" for name in map(identifier, names))
        most = ", ".join(f"coalesce(max({identifier(name)}), 0)" for name in names)
        found = self.one(f"select {most} from (select {spans} from {self.relation} group by filename)")
        return dict(zip(names, found, strict=True))

    def all(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        found: list[tuple[Any, ...]] = self._duck.execute(query).fetchall()
        return found

    def arrow(self, query: str) -> pa.Table:
        """Return the rows of a query as a table of Arrow."""
        return self._duck.execute(query).to_arrow_table()

    def one(self, query: str) -> tuple[Any, ...]:
        """Return the only row of a query."""
        return self.all(query)[0]

    def distinct(self, names: Collection[str], source: str | None = None) -> int:
        """Return the number of different values of columns within each file; `source` may be a part of the rows."""
        columns = ", ".join(map(identifier, names))
        values = columns if len(names) <= _COMPARED else f"hash({columns})"
        found: int = self.one(
            f"select count(*) from (select distinct filename, {values} from {source or self.relation})"
        )[0]
        return found

    def texts_of(self, name: str) -> Texts:
        """Return the different texts of a column. Those of the previous column are dropped."""
        self.all(
            f"create or replace temp table texts as select {identifier(name)} as {identifier(f'_raw_{name}')}, "
            f"count(*)::bigint as rows, min(_record) as record "
            f"from {self.relation} where {identifier(name)} is not null group by 1"
        )
        return Texts(self, name)


class Texts:
    """The different texts of one column, each with its number of rows."""

    def __init__(self, rows: Rows, name: str) -> None:
        self._rows, self.name = rows, name
        self.raw = identifier(f"_raw_{name}")
        self.distinct: int
        """Number of different texts."""
        self.present: int
        """Number of rows with a text."""
        self.longest: int
        """The length of the longest text."""
        self.distinct, self.present, self.longest = rows.one(
            f"select count(*), coalesce(sum(rows), 0)::bigint, coalesce(max(length({self.raw})), 0) from texts"
        )
        self.sample: list[str] = [text for (text,) in rows.all(f"select {self.raw} from texts limit {SAMPLE_TEXTS}")]

    def values(self) -> pa.ChunkedArray:
        """Return the texts that are searched for personal data."""
        return self._rows.arrow(f"select {self.raw} from texts limit {SAMPLE_VALUES}").column(0)

    def share(self, pattern: str) -> float:
        """Return the share of the sample that a pattern matches as a whole."""
        matches = re.compile(pattern).fullmatch
        return sum(matches(text) is not None for text in self.sample) / max(len(self.sample), 1)

    def rows_like(self, pattern: str) -> int:
        """Return the number of rows whose whole text a pattern of DuckDB matches."""
        found: int = self._rows.one(
            f"select coalesce(sum(rows), 0)::bigint from texts where regexp_full_match({self.raw}, {literal(pattern)})"
        )[0]
        return found

    def misfits(self, kind: DraftType | Column) -> Misfits:
        """Return the texts that a column, or any column of a type, does not accept as values of its type."""
        source = f"(select * from {self._typed(kind)} where value is null and not is_absent)"
        rows, texts, record = self._rows.one(
            f"select coalesce(sum(rows), 0)::bigint, count(*), arg_min(record, record) from {source}"
        )
        listed = [
            text for (text,) in self._rows.all(f"select {self.raw} from {source} order by rows desc, 1 limit {_LISTED}")
        ]
        return Misfits(rows, listed, texts <= len(listed), record)

    def extremes(self, kind: DraftType) -> tuple[Any, Any]:
        """Return the least and the greatest value of the texts as a type."""
        low, high = self._rows.one(f"select min(value)::varchar, max(value)::varchar from {self._typed(kind)}")
        return low, high

    def digits(self, signs: NumberFormat) -> tuple[int, int]:
        """Return the largest number of digits before and after the decimal sign in the texts of a number format."""
        plain = f"regexp_replace({signs.plain(self.raw)}, '[^0-9.]', '', 'g')"
        before, after = self._rows.one(
            f"select max(length(ltrim(split_part({plain}, '.', 1), '0'))), max(length(split_part({plain}, '.', 2))) "
            f"from texts where regexp_full_match({self.raw}, {literal(signs.form(None))})"
        )
        return before or 0, after or 0

    def among(self, words: Sequence[str]) -> list[tuple[str, int]]:
        """Return those of the given words, in any case, that are texts of the column, with their numbers of rows."""
        listed = ", ".join(literal(word.lower()) for word in words)
        return self._rows.all(
            f"select {self.raw}, rows from texts where lower({self.raw}) in ({listed}) order by rows desc, 1"
        )

    @property
    def shape(self) -> str:
        """Return the form of the most frequent text: 9 for digits, A and a for letters, other signs as they are."""
        found = self._rows.all(f"select {self.raw} from texts order by rows desc, 1 limit 1")
        return shape_of(found[0][0]) if found else ""

    def _typed(self, kind: DraftType | Column) -> str:
        if isinstance(kind, Column):
            column = replace(kind, name=self.name)
        else:
            column = read_column({**kind.declared, "name": self.name}, {})
        known = cast(column)
        casts = f", {known} as {identifier(f'_cast_{self.name}')}" if known else ""
        return (
            f"(select *, {typed(column)} as value, {is_blank(column)} as is_absent from (select *{casts} from texts))"
        )


def shape_of(text: str) -> str:
    """Return the form of a text without its content."""
    signs = (
        "9"
        if sign.isdigit()
        else ("A" if sign.isupper() else "a")
        if sign.isalpha() or unicodedata.category(sign).startswith("M")
        else " "
        if sign.isspace()
        else sign
        for sign in text[: _SHAPE_CHARACTERS + 1]
    )
    shape = "".join(signs)
    return shape if len(text) <= _SHAPE_CHARACTERS else f"{shape[:_SHAPE_CHARACTERS]}…"
