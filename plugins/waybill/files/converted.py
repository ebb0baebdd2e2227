"""The model of a table that was converted to CSV, and what Parquet files and workbooks have in common."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from waybill.contracts import Contract
from waybill.files.spellings import find_column, spellings_of


@dataclass(frozen=True)
class Converted:
    """A table as plain CSV."""

    records: int
    """Number of records by a count that is independent of the conversion."""
    counted_by: str
    """What counted them, for a message."""
    chunks: Iterator[bytes]
    """CSV with commas and double quotes in UTF-8; the first chunk begins with the header."""


def header_line(names: list[str]) -> bytes:
    """Return the header of a CSV file."""
    target = io.StringIO(newline="")
    csv.writer(target, lineterminator="\r\n").writerow(names)
    return target.getvalue().encode()


def types_of(header: list[str], contract: Contract) -> list[str | None]:
    """Return the logical type of the contract's column for each name of a header, or None if it is not loaded."""
    spellings, types = spellings_of(contract), {column.name: column.logical_type for column in contract.columns}
    return [types.get(find_column(spellings, name) or "") for name in header]
