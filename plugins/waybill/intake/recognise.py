"""Find the dataset of a local file by its header."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

from waybill.contracts import Contract
from waybill.intake.json_members import MemberNames
from waybill.intake.recognise_json import columns_at, looks_like_json
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
        required = {column.name for column in contract.delivered_columns if column.required}
        for known in _columns(head, contract):
            if known and required <= known:
                found.setdefault(len(known), []).append(contract)
    return found[max(found)] if found else []


def _columns(head: str, contract: Contract) -> Iterator[set[str]]:
    """Yield the columns of a contract as each format reads them at the beginning of a file."""
    spellings = spellings_of(contract)
    if looks_like_json(head):
        yield columns_at(contract.file_format.record_path, head, MemberNames(spellings).column)
        return
    line = next((line for line in head.splitlines() if line.strip()), "")
    for delimiter in _DELIMITERS:
        for header in csv.reader([line], delimiter=delimiter):
            yield {column for name in header if (column := find_column(spellings, name))}
