"""Find the dataset of a local file by its header."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from pathlib import Path

from waybill.contracts import Contract
from waybill.intake.spellings import find_column, spellings_of

_HEAD_BYTES = 65_536
_DELIMITERS = ",;\t|"


def datasets_like(file: Path, contracts: Collection[Contract]) -> list[Contract]:
    """Return the datasets that know most columns of a file, if it has all their required columns.

    Reads the first line of a CSV file or the first object of a file with JSON lines. Several datasets are returned only
    if they know equally many columns; none for a file in another format.
    """
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES).decode("utf-8-sig", "replace")
    line = next((line for line in head.splitlines() if line.strip()), "")
    found: dict[int, list[Contract]] = {}
    for contract in contracts:
        spellings = spellings_of(contract)
        required = {column.name for column in contract.delivered_columns if column.required}
        for names in _headers(line):
            known = {column for name in names if (column := find_column(spellings, name))}
            if known and required <= known:
                found.setdefault(len(known), []).append(contract)
    return found[max(found)] if found else []


def _headers(line: str) -> Iterator[list[str]]:
    """Yield the names of columns as each format reads them in a file's first line."""
    try:
        record = json.loads(line)
    except ValueError:
        for delimiter in _DELIMITERS:
            yield from csv.reader([line], delimiter=delimiter)
    else:
        if isinstance(record, dict):
            yield [*record]
