"""The model of a table that was converted to CSV, and what Parquet files and workbooks have in common."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from waybill.contracts import Contract
from waybill.files.csv_syntax import syntax_of
from waybill.files.ignored_lines import IgnoredLines
from waybill.files.spellings import find_column, spellings_of


class RowsBelow(NamedTuple):
    """Rows of a sheet that are below the declared range."""

    rows: int
    first_row: int
    cells: str
    """The declared range."""

    def __str__(self) -> str:
        have = "row has" if self.rows == 1 else "rows have"
        open_range = self.cells.rstrip("0123456789")
        return (
            f"{self.rows:,} {have} values below the declared `cells: {self.cells}` and "
            f"{'was' if self.rows == 1 else 'were'} not loaded (first: row {self.first_row}). If they are records, "
            f"declare `cells: {open_range}`. If they are totals or remarks, declare them as `ignoredLines`."
        )


@dataclass
class LeftOut:
    """The rows that were not converted; complete after the chunks were read."""

    ignored: IgnoredLines = field(default_factory=lambda: IgnoredLines((), syntax_of()))
    records: int = 0
    """Number of counted records that the patterns ignored."""
    below: RowsBelow | None = None


@dataclass(frozen=True)
class Converted:
    """A table as plain CSV."""

    records: int
    """Number of records by a count that is independent of the conversion."""
    counted_by: str
    """What counted them, for a message."""
    chunks: Iterator[bytes]
    """CSV with commas and double quotes in UTF-8; the first chunk begins with the header."""
    left_out: LeftOut = field(default_factory=LeftOut)


def csv_line(fields: list[str]) -> bytes:
    """Return fields as a line of CSV."""
    target = io.StringIO(newline="")
    csv.writer(target, lineterminator="\r\n").writerow(fields)
    return target.getvalue().encode()


def duration_text(units: int, per_second: int) -> str:
    """Return hours, which may be more than 24, minutes and seconds of a duration, given how many units a second has."""
    seconds, rest = divmod(abs(units), per_second)
    fraction = f".{rest:0{len(str(per_second)) - 1}d}" if rest else ""
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"
    return f"-{text}" if units < 0 else text


def types_of(header: list[str], contract: Contract) -> list[str | None]:
    """Return the logical type of the contract's column for each name of a header, or None if it is not loaded."""
    spellings, types = spellings_of(contract), {column.name: column.logical_type for column in contract.columns}
    return [types.get(find_column(spellings, name) or "") for name in header]
