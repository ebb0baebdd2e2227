"""Receive one object from S3: download it and write its records to local disk.

The local file holds the records as they arrived, without the header. Memory use does not depend on the file's size.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.intake.content import Download
from waybill.intake.csv_files import receive_csv
from waybill.intake.formats import other_format
from waybill.intake.json_files import receive_json
from waybill.intake.json_records import is_json
from waybill.intake.landing import LandedFile
from waybill.intake.received_file import ReceivedFile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def receive(s3: S3Client, landed: LandedFile, contract: Contract, folder: Path) -> ReceivedFile:
    """Download one object into `folder` and return it; its name says whether it is CSV or JSON.

    Raises `DataError` if the object is empty, in an unsupported format, corrupt or truncated,
    or if its header does not match the contract. Raises `ObjectChanged` if it is no longer the listed object.
    """
    download = Download(s3, landed)
    if (head := next(download.chunks, b"")) and (what := other_format(head)):
        raise DataError(f"{landed.uri}: it is {what}.")
    receive_format = receive_json if is_json(landed.key) else receive_csv
    return receive_format(download, head, contract, folder)
