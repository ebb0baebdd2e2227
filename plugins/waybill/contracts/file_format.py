"""The model of how the files of a dataset are written, as the contract's server declares it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

FormatName = Literal["csv", "json", "parquet", "xlsx"]
Repair = Literal["emptyFields", "strayQuotes"]
NO_QUOTE: Final = "none"
"""The declared quote of files that never enclose a field in quotes."""


class Dialect(NamedTuple):
    """The characters that structure the records of a CSV file."""

    delimiter: str = ","
    """One or more characters between two fields."""
    quote: str = '"'
    """The character that encloses a field; empty: none does."""
    escape: str = '"'
    """The character before a quote, delimiter or line end within a field; equal to the quote if quotes are doubled."""
    line_end: str | None = None
    """The characters that end a record; None: a line feed, alone or after a carriage return."""


PLAIN: Final = Dialect()


@dataclass(frozen=True)
class FileFormat:
    """How the files of a dataset are written."""

    name: FormatName | None = None
    """None: JSON if an object's name says so, else CSV."""
    encoding: str = "utf-8"
    """The name of the encoding as Python writes it."""
    delimiter: str | None = None
    """Of CSV: the characters between two fields; None: a comma. Of JSON: `new_line`, `array` or None for any."""
    quote: str = '"'
    """One character; empty if no field is quoted."""
    escape: str | None = None
    """One character; None: a quote within a quoted field is doubled."""
    skip_lines: int = 0
    """Number of lines, or rows of a sheet, above the header."""
    header_lines: int = 1
    """0: the fields are the contract's columns in order. With several, the names in a column are joined by blanks."""
    ignored_lines: tuple[str, ...] = ()
    """Regular expressions: a line outside of quoted fields, or a row of a sheet, in which one is found is no record."""
    line_end: str | None = None
    """None: a line feed, a carriage return or both."""
    repairs: tuple[Repair, ...] = ()
    """Which malformed CSV records are read in the only way that meets the contract."""
    accepts_empty: bool = False
    """Whether a CSV file without a header and records has no rows, instead of being rejected."""
    record_path: tuple[str, ...] = ()
    """The members that lead from a JSON document to its records; empty: the document is one."""
    sheet: str | None = None
    """The name of the sheet of a workbook; None: the only one with data."""
    cells: str | None = None
    """The range of a sheet, such as `B3:F` or `A1:D200`; None: all cells."""
    members: str | None = None
    """A glob for the members of a zip archive that are data; None: the only one."""

    @property
    def dialect(self) -> Dialect:
        """Return the dialect of CSV files."""
        return Dialect(self.delimiter or PLAIN.delimiter, self.quote, self.escape or self.quote, self.line_end)


UNDECLARED: Final = FileFormat()
"""CSV with commas, or JSON, in UTF-8."""


def encoding_named(name: str) -> str | None:
    """Return the encoding as Python writes its name, or None if it is unknown or not an encoding of text."""
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    is_text = getattr(found, "_is_text_encoding", True)
    return found.name if is_text and found.name not in _NO_CHARACTER_SETS else None


_NO_CHARACTER_SETS: Final = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7")
