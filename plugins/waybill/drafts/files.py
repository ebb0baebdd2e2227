"""Open files on local disk or in S3 as the landed files that a load receives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from waybill.contracts.locations import bucket_and_key
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.files.local_files import local_file, local_store
from waybill.period import Period
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class GivenFile:
    """A file from which a contract is drafted."""

    store: S3Client
    landed: LandedFile

    @property
    def name(self) -> str:
        """Return the last part of the path or key."""
        return self.landed.key.rsplit("/", 1)[-1]


def given_files(addresses: Sequence[str]) -> list[GivenFile]:
    """Return the files with these paths or addresses (`s3://bucket/key`).

    Raises `DataError` if there is no such file or object.
    """
    today = Period.of("day", datetime.now(ZoneInfo(settings().timezone)).date())
    return [_object(address, today) if address.startswith("s3://") else _local(address) for address in addresses]


def _local(address: str) -> GivenFile:
    path = Path(address)
    if not path.is_file():
        raise DataError(f"{address}: there is no such file")
    return GivenFile(local_store(), local_file(path))


def _object(address: str, today: Period) -> GivenFile:
    import boto3
    from botocore.exceptions import ClientError

    bucket, key = bucket_and_key(address)
    s3 = boto3.client("s3")
    try:
        head = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        raise DataError(f"{address}: S3 has no such object, or denies access: {error}") from error
    landed_at = head["LastModified"].astimezone(UTC)
    return GivenFile(s3, LandedFile(bucket, key, head["ETag"].strip('"'), head["ContentLength"], today, landed_at))
