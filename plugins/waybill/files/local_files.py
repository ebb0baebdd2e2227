"""Read files on local disk as the objects that a load receives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from waybill.files.landed_file import LandedFile
from waybill.period import Period
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class LocalFile(LandedFile):
    """A file on local disk in the place of an object."""

    @property
    def uri(self) -> str:
        """Return the path of the file for messages."""
        return self.key


class _LocalStore:
    """As much of an S3 client as `receive` needs, for files on local disk."""

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: ARG002, N803  # boto3's names
        """Return a file as S3 returns an object."""
        return {"Body": Path(Key).open("rb"), "ETag": ""}


def local_store() -> S3Client:
    """Return what `receive` takes as an S3 client and which has the files on local disk."""
    return cast("S3Client", _LocalStore())


def local_file(path: Path) -> LocalFile:
    """Return a file that lands now."""
    now = datetime.now(UTC)
    today = Period.of("day", now.astimezone(ZoneInfo(settings().timezone)).date())
    return LocalFile("", str(path), "", path.stat().st_size, today, now)
