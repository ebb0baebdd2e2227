"""Receive one object from S3: download it and write its records to local disk.

The local file holds the records as they arrived, without the header. Memory use does not depend on the file's size.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.files.content import Download, download
from waybill.files.csv_files import UnfitError, receive_csv
from waybill.files.format_advice import advice
from waybill.files.formats import other_encoding, signature
from waybill.files.joined_members import join
from waybill.files.json_files import receive_json
from waybill.files.json_records import is_json
from waybill.files.landed_file import LandedFile
from waybill.files.received_file import ReceivedFile
from waybill.files.table_files import is_table, receive_table, sheets_of
from waybill.files.transcoding import transcode
from waybill.files.unpacking import packing_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def receive(s3: S3Client, landed: LandedFile, contract: Contract, folder: Path) -> ReceivedFile:
    """Download one object into `folder` and return it, read in the format of its contract.

    Without a declared format, its name says whether it is CSV or JSON. Raises `DataError` if the object is empty, in
    another format, corrupt or truncated, or if its header does not match the contract. Raises `ObjectChanged` if it is
    no longer the listed object.
    """
    members = receive_members(s3, landed, contract, folder)
    return members[0][1] if len(members) == 1 else join(members, folder)


def receive_members(
    s3: S3Client, landed: LandedFile, contract: Contract, folder: Path
) -> list[tuple[str, ReceivedFile]]:
    """Download one object and return its members, each with its name; an object that is no archive is one member.

    Raises like `receive`.
    """
    parts = download(s3, landed, folder, contract.file_format.members)
    if len(parts) == 1:
        return [(parts[0].file_name, _receive(parts[0], contract, folder))]
    members = []
    for place, part in enumerate(parts):
        below = folder / f"member-{place}"
        below.mkdir()
        members.append((part.file_name, _receive(part, contract, below)))
    return members


def _receive(part: Download, contract: Contract, folder: Path) -> ReceivedFile:
    if is_table(contract):
        return receive_table(part, contract, folder)
    head, declared = part.peek(), contract.file_format.name
    text = transcode(part.name, part.chunks, contract.file_format.encoding)
    first = next(text, b"")
    what = signature(first) or other_encoding(first)
    if part.packing and (inner := packing_of(head)) and not (what and what.format):
        raise DataError(f"{part.name}: it is a {inner} file within a {part.packing} file. Pack it once.")
    try:
        if what:
            part.chunks = itertools.chain((first,), text)
            raise UnfitError(f"{part.name}: it is {what}.{sheets_of(part, what, folder)}")
        part.use_text(itertools.chain((first,), text))
        if declared == "json" or (not declared and is_json(part.file_name)):
            return receive_json(part, next(part.chunks), contract, folder)
        return receive_csv(part, next(part.chunks), contract, folder)
    except DataError as error:
        is_other = isinstance(error, UnfitError) or isinstance(error.__cause__, UnicodeDecodeError)
        if is_other and (advised := advice(head, part.file_name, contract)):
            raise DataError(f"{part.name}: {advised}") from error
        raise
