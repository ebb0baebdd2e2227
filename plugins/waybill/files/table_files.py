"""Receive Parquet files and Excel workbooks: convert them to CSV, and compare the records with an independent count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from waybill.contracts import Contract
from waybill.contracts.file_format import UNDECLARED, FormatName
from waybill.errors import DataError
from waybill.files.content import Download
from waybill.files.converted import Converted
from waybill.files.csv_files import receive_csv
from waybill.files.formats import Signature, signature
from waybill.files.parquet_files import read_parquet
from waybill.files.received_file import ReceivedFile
from waybill.files.workbooks import read_workbook, sheet_names
from waybill.formatting import count

_READERS: Final[Mapping[FormatName, tuple[Callable[[str, Path, Contract], Converted], tuple[bytes, ...]]]] = {
    "parquet": (read_parquet, (b"PAR1", b"PARE")),
    "xlsx": (read_workbook, (b"PK\x03\x04",)),
}
"""For each format the function that converts its files, and their first bytes."""
_ENCRYPTED_WORKBOOK: Final = "EncryptedPackage".encode("utf-16-le")


def is_table(contract: Contract) -> bool:
    """Return whether the files of a dataset are Parquet files or workbooks."""
    return contract.file_format.name in _READERS


def receive_table(part: Download, contract: Contract, folder: Path) -> ReceivedFile:
    """Write the records of a Parquet file or a workbook to `folder` as CSV.

    Raises `DataError` if it is in another format or corrupt, or if two counts of its records differ.
    """
    path = folder / f"object.{contract.file_format.name}"
    converted = convert(part, contract, path)
    part.use_text(part.limited(converted.chunks))
    received = receive_csv(part, next(part.chunks), replace(contract, file_format=UNDECLARED), folder)
    path.unlink()
    left_out = converted.left_out
    records = converted.records - left_out.records
    if received.rows_in != records:
        raise DataError(
            f"{part.name}: {converted.counted_by} has {count(records, 'record')}, but "
            f"{count(received.rows_in, 'record')} were read; nothing was loaded. Send the file again."
        )
    left_out.ignored.log(part.name)
    return replace(
        received,
        multiline_records=0,  # the quotes are Waybill's own
        first_multiline_record=0,
        ignored_lines=left_out.ignored.counts,
        suspect_patterns=tuple(left_out.ignored.suspect(len(received.header), received.rows_in)),
        rows_below=(left_out.below,) if left_out.below else (),
    )


def convert(part: Download, contract: Contract, path: Path) -> Converted:
    """Return a Parquet file or a workbook as CSV, read from a copy at `path`.

    Raises `DataError` if it is in another format or corrupt.
    """
    declared = contract.file_format.name
    assert declared
    read, magic = _READERS[declared]
    head = part.peek()
    if not head:
        raise DataError(f"{part.name}: the file is empty (0 bytes). Send it again.")
    if _ENCRYPTED_WORKBOOK in head:
        raise DataError(f"{part.name}: the workbook is encrypted. Save it without a password.")
    if not head.startswith(magic):
        seen = signature(head)
        found = seen.what if seen else "in another format"
        raise DataError(f"{part.name}: the contract declares `format: {declared}`, but the file is {found}.")
    return read(part.name, part.save(path), contract)


def sheets_of(part: Download, what: Signature, folder: Path) -> str:
    """Return a sentence that lists the sheets of a workbook, from which one may have to be declared; else ""."""
    if not what.format or what.format.name != "xlsx":
        return ""
    try:
        sheets = sheet_names(part.name, part.save(folder / "object.xlsx"))
    except DataError:  # a corrupt workbook
        return ""
    return f" Its sheets with values are: {', '.join(map(repr, sheets))}." if sheets else ""
