"""Download the content of one object: unpack it, hash it and search it for damaged text on the way.

The hash and the size are those of the object as it arrived.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waybill.errors import DataError
from waybill.files.damaged_text import DamagedText
from waybill.files.landed_file import LandedFile
from waybill.files.unpacking import CHUNK_BYTES, check_packing, limited, read_file, unpack, unpacked_name
from waybill.files.zip_archives import Member, is_workbook, members_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


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


class _Arrival:
    """An object that is read once, and the identity of its content."""

    def __init__(self, s3: S3Client, landed: LandedFile) -> None:
        """Raises `ObjectChanged` if the content is no longer the listed one."""
        response = _open(s3, landed)
        self.landed = landed
        self.version_id: str | None = response.get("VersionId")
        self.body = _HashedBody(response["Body"])
        self.stream = io.BufferedReader(self.body, CHUNK_BYTES)
        self.damaged = DamagedText()


class Download:
    """The content of one object, or of one member of a zip archive, unpacked and hashed on the way.

    The content is read once.
    """

    def __init__(
        self, arrival: _Arrival, packing: str | None, chunks: Iterator[bytes], member: Member | None = None
    ) -> None:
        self.landed, self.packing = arrival.landed, packing
        self.name = f"{arrival.landed.uri}: {member.name}" if member else arrival.landed.uri
        """The name of the content for messages."""
        self.file_name = member.name if member else unpacked_name(arrival.landed.key)
        """The name whose ending may say how the content is written."""
        self._arrival, self._member = arrival, member
        self.chunks = self.limited(chunks)

    @property
    def size_bytes(self) -> int:
        """Return the size of the member, or how many bytes of the object were read."""
        return self._member.size_bytes if self._member else self._arrival.body.size_bytes

    def limited(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks. Raises `DataError` if they are far larger than the object."""
        return limited(self.name, self.landed.size_bytes, chunks)

    def peek(self, size_bytes: int = 1) -> bytes:
        """Return the first chunks of the content, with `size_bytes` or more if it has so many. They stay in it."""
        head = b""
        while len(head) < size_bytes and (chunk := next(self.chunks, b"")):
            head += chunk
        self.chunks = itertools.chain((head,), self.chunks)
        return head

    def save(self, path: Path) -> Path:
        """Write the content to a file, and return its path."""
        with path.open("wb") as target:
            target.writelines(self.chunks)
        return path

    def use_text(self, chunks: Iterator[bytes]) -> None:
        """Make the chunks, which are text, the content; they are searched for damaged text."""
        self.chunks = self._arrival.damaged.watch(chunks)

    def content(self) -> Content:
        """Return what identifies and describes the object, after its last chunk was read."""
        arrival = self._arrival
        return Content(
            arrival.version_id,
            self.landed.etag,
            arrival.body.digest.hexdigest(),
            arrival.body.size_bytes,
            arrival.damaged.found,
        )


def download(s3: S3Client, landed: LandedFile, folder: Path, members: str | None = None) -> list[Download]:
    """Return the content of an object; that of a zip archive has one part for each member that matches `members`.

    A zip archive is written to `folder`, because its directory is at its end. Raises `ObjectChanged` if the content is
    no longer the listed one, and `DataError` if it is not packed as its name says.
    """
    arrival = _Arrival(s3, landed)
    packing = check_packing(landed.uri, arrival.stream.peek(CHUNK_BYTES))
    if packing != "zip":
        return [Download(arrival, packing, unpack(landed.uri, packing, arrival.stream))]
    path = folder / "object.zip"
    with path.open("wb") as target:
        shutil.copyfileobj(arrival.stream, target, CHUNK_BYTES)
    if is_workbook(path):  # a workbook is a zip archive, too
        return [Download(arrival, None, read_file(path))]
    return [Download(arrival, packing, member.chunks(), member) for member in members_of(landed.uri, path, members)]
