"""Download the content of one object: unpack it, hash it and search it for damaged text on the way."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from waybill.errors import DataError
from waybill.intake.damaged_text import DamagedText
from waybill.intake.formats import other_format
from waybill.intake.landing import LandedFile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 2**20
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Content:
    """What identifies and describes the content of an object."""

    version_id: str | None
    """None in a bucket without versions."""
    etag: str
    sha256: str
    size_bytes: int
    damaged_text: str | None
    """Evidence that characters were lost before the file was written, if there is some."""


class _HashedBody(io.RawIOBase):
    """The body of an S3 object as a readable stream that hashes and counts its bytes."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._body.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self.digest.update(chunk)
        self.size_bytes += len(chunk)
        return len(chunk)


def _unpacked(name: str, stream: io.BufferedReader) -> Iterator[bytes]:
    """Yield the bytes of a stream, decompressed if the first bytes are those of gzip."""
    head = stream.peek(CHUNK_BYTES)
    is_gzip = head.startswith(_GZIP_MAGIC)
    if name.lower().endswith(".gz") and not is_gzip and head:
        what = other_format(head)
        advice = f"It is {what}." if what else "Export it again."
        raise DataError(f"{name}: the name ends in .gz, but the content is not gzip. {advice}")
    plain = gzip.GzipFile(fileobj=stream) if is_gzip else stream
    try:
        while chunk := plain.read(CHUNK_BYTES):
            yield chunk
    except EOFError:
        raise DataError(f"{name}: the gzip stream is truncated. Send the file again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        if str(error).startswith("Not a gzipped file"):  # bytes after the first member
            raise DataError(f"{name}: other bytes follow the end of the gzip stream. Send the file again.") from None
        raise DataError(f"{name}: the gzip stream is corrupt ({error}). Send the file again.") from error


class ObjectChanged(DataError):
    """The object was replaced, extended or deleted after it was listed."""


def _open(s3: S3Client, landed: LandedFile) -> Any:
    """Return S3's response with the listed content of an object. Raises `ObjectChanged` if its content is different."""
    from botocore.exceptions import ClientError

    consequence = "It was not loaded; the next run tries again."
    try:
        response = s3.get_object(Bucket=landed.bucket, Key=landed.key)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            raise ObjectChanged(f"{landed.uri}: the object was deleted after it was listed. {consequence}") from error
        raise
    etag, size_bytes = response["ETag"].strip('"'), response.get("ContentLength", landed.size_bytes)
    if (etag, size_bytes) != (landed.etag, landed.size_bytes):
        raise ObjectChanged(
            f"{landed.uri}: the object changed after it was listed, from {landed.size_bytes} to {size_bytes} bytes "
            f"(ETag {landed.etag} to {etag}). {consequence}"
        )
    return response


class Download:
    """The content of one object, which is read once: unpacked, hashed and searched for damaged text on the way."""

    def __init__(self, s3: S3Client, landed: LandedFile) -> None:
        """Raises `ObjectChanged` if the content is no longer the listed one."""
        response = _open(s3, landed)
        self.landed = landed
        self._version_id: str | None = response.get("VersionId")
        self._raw = _HashedBody(response["Body"])
        self._damaged = DamagedText()
        self.chunks = self._damaged.watch(_unpacked(landed.uri, io.BufferedReader(self._raw, CHUNK_BYTES)))

    @property
    def size_bytes(self) -> int:
        """Return how many bytes were read."""
        return self._raw.size_bytes

    def content(self) -> Content:
        """Return what identifies and describes the content, after its last chunk was read."""
        return Content(
            self._version_id, self.landed.etag, self._raw.digest.hexdigest(), self.size_bytes, self._damaged.found
        )
