"""Find the dataset of a local file by its header, and say why a file does not fit its dataset."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.files.content import Download, download
from waybill.files.csv_files import columns_in
from waybill.files.json_members import MemberNames
from waybill.files.local_files import local_file, local_store
from waybill.files.receive import receive
from waybill.files.recognise_format import HEAD_BYTES, recognise
from waybill.files.recognise_json import columns_at, looks_like_json
from waybill.files.spellings import find_column, spellings_of
from waybill.files.table_files import convert, is_table


def misfit(file: Path, contract: Contract) -> str | None:
    """Return why a file cannot be received under a contract; None if it can."""
    with TemporaryDirectory() as folder:
        try:
            receive(local_store(), local_file(file), contract, Path(folder))
        except DataError as error:
            return str(error)
    return None


class _Head(NamedTuple):
    """The beginning of a file with text."""

    content: bytes
    text: str
    names: Sequence[str]
    """The names in its header; none without a header."""


def datasets_like(file: Path, contracts: Collection[Contract]) -> list[Contract]:
    """Return the datasets that know most columns of a file, if it has all their required columns.

    Reads the header of a table, or the first object of a file with JSON, also in a packed file. Several datasets are
    returned only if they know equally many columns; none for a file in another format.
    """
    found: dict[int, list[Contract]] = {}
    heads: dict[str | None, _Head] = {}
    for contract in contracts:
        members = contract.file_format.members
        if is_table(contract):
            known = _known(_names_of_table(file, contract), contract)
        else:
            if members not in heads:
                heads[members] = _head(file, members)
            known = _columns(heads[members], contract)
        required = {column.name for column in contract.delivered_columns if column.required}
        if known and required <= known:
            found.setdefault(len(known), []).append(contract)
    return found[max(found)] if found else []


def _columns(head: _Head, contract: Contract) -> set[str]:
    """Return the columns of a contract that a file with text has."""
    if looks_like_json(head.text):
        return columns_at(contract.file_format.record_path, head.text, MemberNames(spellings_of(contract)).column)
    if contract.file_format.header_lines == 0 and head.names:
        return set()
    with suppress(DataError):  # not written as the contract declares
        return {column for column in columns_in("", head.content, contract) if column}
    return _known(head.names, contract)


def _known(names: Sequence[str], contract: Contract) -> set[str]:
    spellings = spellings_of(contract)
    return {column for name in names if (column := find_column(spellings, name))}


def _names_of_table(file: Path, contract: Contract) -> Sequence[str]:
    """Return the names of the columns of a Parquet file or a workbook; none if it is in another format."""
    with suppress(DataError), TemporaryDirectory() as folder:
        part = _first_part(file, Path(folder), contract.file_format.members)
        header = next(convert(part, contract, Path(folder) / "object").chunks)
        return next(csv.reader([header.decode()]))
    return []


def _head(file: Path, members: str | None) -> _Head:
    """Return the beginning of a file, unpacked; empty if it cannot be read or is not text."""
    with suppress(DataError), TemporaryDirectory() as folder:
        part = _first_part(file, Path(folder), members)
        head = part.peek(HEAD_BYTES)
        recognised = recognise(head, part.file_name)
        if recognised.format:
            text = head[:HEAD_BYTES].decode(recognised.format.encoding, "replace").lstrip("\ufeff")
            return _Head(head, text, recognised.names)
    return _Head(b"", "", [])


def _first_part(file: Path, folder: Path, members: str | None) -> Download:
    return download(local_store(), local_file(file), folder, members)[0]
