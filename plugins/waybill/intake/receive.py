"""Receive one object from S3: download it and write its records to local disk.

The local file holds the records as they arrived, without the header. Memory use does not depend on the file's size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from waybill.contracts import Contract
from waybill.contracts.file_format import UNDECLARED, FormatName
from waybill.errors import DataError
from waybill.formatting import count
from waybill.intake.content import Download, download
from waybill.intake.converted import Converted
from waybill.intake.csv_files import UnfitError, receive_csv
from waybill.intake.format_advice import advice
from waybill.intake.formats import Signature, other_encoding, signature
from waybill.intake.joined_members import join
from waybill.intake.json_files import receive_json
from waybill.intake.json_records import is_json
from waybill.intake.landing import LandedFile
from waybill.intake.parquet_files import read_parquet
from waybill.intake.received_file import ReceivedFile
from waybill.intake.transcoding import transcode
from waybill.intake.unpacking import packing_of
from waybill.intake.workbooks import read_workbook, sheet_names

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONVERTERS: Final[Mapping[FormatName, Callable[[str, Path, Contract], Converted]]] = {
    "parquet": read_parquet,
    "xlsx": read_workbook,
}
"""Functions that convert the files of a format to CSV."""

_MAGIC: Final[Mapping[FormatName, tuple[bytes, ...]]] = {
    "parquet": (b"PAR1", b"PARE"),
    "xlsx": (b"PK\x03\x04",),
}
"""The first bytes of their files."""
_ENCRYPTED_WORKBOOK: Final = "EncryptedPackage".encode("utf-16-le")


def receive(s3: S3Client, landed: LandedFile, contract: Contract, folder: Path) -> ReceivedFile:
    """Download one object into `folder` and return it, read in the format of its contract.

    Without a declared format, its name says whether it is CSV or JSON. Raises `DataError` if the object is empty, in
    another format, corrupt or truncated, or if its header does not match the contract. Raises `ObjectChanged` if it is
    no longer the listed object.
    """
    parts = download(s3, landed, folder, contract.file_format.members)
    if len(parts) == 1:
        return _receive(parts[0], contract, folder)
    members = []
    for place, part in enumerate(parts):
        below = folder / f"member-{place}"
        below.mkdir()
        members.append((part.file_name, _receive(part, contract, below)))
    return join(members, folder)


def _receive(part: Download, contract: Contract, folder: Path) -> ReceivedFile:
    head, declared = next(part.chunks, b""), contract.file_format.name
    part.chunks = itertools.chain((head,), part.chunks)
    if declared and declared in _CONVERTERS:
        _check_format(part.name, head, declared)
        return _convert(part, declared, contract, folder)
    text = transcode(part.name, part.chunks, contract.file_format.encoding)
    first = next(text, b"")
    what = signature(first) or other_encoding(first)
    if part.packing and (inner := packing_of(head)) and not (what and what.format):
        raise DataError(f"{part.name}: it is a {inner} file within a {part.packing} file. Pack it once.")
    try:
        if what:
            part.chunks = itertools.chain((first,), text)
            raise UnfitError(f"{part.name}: it is {what}.{_sheets(part, what, folder)}")
        part.use_text(itertools.chain((first,), text))
        if declared == "json" or (not declared and is_json(part.file_name)):
            return receive_json(part, next(part.chunks), contract, folder)
        return receive_csv(part, next(part.chunks), contract, folder)
    except UnfitError as error:
        if advised := advice(head, part.file_name, contract):
            raise DataError(f"{part.name}: {advised}") from error
        raise


def _sheets(part: Download, what: Signature, folder: Path) -> str:
    """Return a sentence that lists the sheets of a workbook, from which one may have to be declared; else ""."""
    if not what.format or what.format.name != "xlsx":
        return ""
    try:
        sheets = sheet_names(part.name, _saved(part, folder / "object.xlsx"))
    except DataError:  # a corrupt workbook
        sheets = []
    return f" Its sheets with values are: {', '.join(map(repr, sheets))}." if sheets else ""


def _saved(part: Download, path: Path) -> Path:
    """Write the content of a part to a file, and return its path."""
    with path.open("wb") as target:
        target.writelines(part.chunks)
    return path


def _check_format(name: str, head: bytes, declared: FormatName) -> None:
    """Raise `DataError` if the first bytes of a file are not those of the declared format."""
    if not head:
        raise DataError(f"{name}: the file is empty (0 bytes). Send it again.")
    if _ENCRYPTED_WORKBOOK in head:
        raise DataError(f"{name}: the workbook is encrypted. Save it without a password.")
    if not head.startswith(_MAGIC[declared]):
        seen = signature(head)
        found = seen.what if seen else "in another format"
        raise DataError(f"{name}: the contract declares `format: {declared}`, but the file is {found}.")


def _convert(part: Download, declared: FormatName, contract: Contract, folder: Path) -> ReceivedFile:
    """Receive a file that is converted to CSV, and compare the records with an independent count."""
    path = _saved(part, folder / f"object.{declared}")
    converted = _CONVERTERS[declared](part.name, path, contract)
    part.use_text(part.limited(converted.chunks))
    received = receive_csv(part, next(part.chunks), replace(contract, file_format=UNDECLARED), folder)
    path.unlink()
    if received.rows_in != converted.records:
        raise DataError(
            f"{part.name}: {converted.counted_by} has {count(converted.records, 'record')}, but "
            f"{count(received.rows_in, 'record')} were read; nothing was loaded. Send the file again."
        )
    return replace(received, multiline_records=0, first_multiline_record=0)  # the quotes are Waybill's own
