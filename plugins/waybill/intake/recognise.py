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

    Reads the first line of a CSV file or the first object of a file with JSON. Several datasets are returned only
    if they know equally many columns; none for a file in another format.
    """
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES).decode("utf-8-sig", "replace")
    found: dict[int, list[Contract]] = {}
    for contract in contracts:
        spellings = spellings_of(contract)
        required = {column.name for column in contract.delivered_columns if column.required}
        for names in _headers(head):
            known = {column for name in names if (column := find_column(spellings, name))}
            if known and required <= known:
                found.setdefault(len(known), []).append(contract)
    return found[max(found)] if found else []


def _headers(head: str) -> Iterator[list[str]]:
    """Yield the names of columns as each format reads them at the beginning of a file."""
    try:
        record, _ = json.JSONDecoder().raw_decode(head.lstrip().removeprefix("[").lstrip())
    except ValueError:
        record = None
    if isinstance(record, dict):
        yield [*record]
        return
    line = next((line for line in head.splitlines() if line.strip()), "")
    for delimiter in _DELIMITERS:
        yield from csv.reader([line], delimiter=delimiter)
