"""Download one object from S3: unpack it, hash it, count its records and match its header with the contract.

The local file holds the records as they arrived, without the header. Memory use does not depend on the file's size.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import itertools
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waybill.blanks import strip
from waybill.contracts import Contract
from waybill.contracts.classification import MASK, restricted_names
from waybill.errors import DataError
from waybill.formatting import count
from waybill.intake.damaged_text import DamagedText
from waybill.intake.formats import (
    header_hint,
    likely_encoding,
    looks_like_json,
    names_delimiter,
    other_format,
    other_quotes,
)
from waybill.intake.json_records import MemberNames, is_json, write_lines
from waybill.intake.landing import LandedFile
from waybill.intake.prefetch import prefetch, short_switch_interval
from waybill.intake.records import MAX_RECORD_BYTES, RecordCounter, split_first
from waybill.intake.spellings import find_column, normalise, spellings_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 2**20
_CONTEXT_BYTES = 100
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARKS = re.compile(rb"\A(?:%s)+" % codecs.BOM_UTF8)  # some tools add a second one


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


@dataclass(frozen=True)
class ReceivedFile:
    """A landed file on local disk."""

    landed: LandedFile
    content: Content
    body: Path
    """The records, without the header."""
    rows_in: int
    """Number of records, counted on receipt and so independently of the loader."""
    columns: list[str | None]
    """For each field of the header the contract's column, or None if the field is not loaded."""
    header: list[str]
    is_regular: bool
    """Whether DuckDB can read the file as it arrived: UTF-8 without NUL, no malformed record, no blank line."""
    spellings: Mapping[str, str] | None = None
    """For a JSON file, the column of each normalised name. A JSON file has no header and may have every column."""
    members: MemberNames | None = None
    """For a JSON file, the names of its members; complete after its records were read."""
    lacks_line_end: bool = False
    """Whether the last record has no line end, although the header or an earlier record has one."""
    multiline_records: int = 0
    """Records with a quoted field that contains line ends and looks like several records."""
    first_multiline_record: int = 0
    likely_encoding: str | None = None
    """For a file that is not valid UTF-8, the likely encoding of the invalid bytes."""
    column_names: frozenset[str] = frozenset()
    """For a CSV file, the normalised column names of its header and of the contract."""

    @property
    def ignored(self) -> list[str]:
        """Return the header fields, or members of JSON records, that are not in the contract."""
        if self.members is not None:
            return sorted(self.members.unknown)
        fields = enumerate(zip(self.header, self.columns, strict=True), start=1)
        return [
            name if normalise(name) else f"(field {place} without a name)"
            for place, (name, column) in fields
            if column is None
        ]

    @property
    def hint(self) -> str:
        """Return a sentence about the encoding for messages that reject the file or its rows; "" for valid UTF-8."""
        if self.likely_encoding is None:
            return ""
        return f" Bytes that are not valid UTF-8 look like {self.likely_encoding}: export the file as UTF-8."

    @property
    def brought(self) -> list[str] | None:
        """Return the contract's columns that the file has; None for JSON without records, where it is unknown."""
        if self.members is None:
            return [column for column in self.columns if column]
        return [column for column in self.columns if column in self.members.columns] if self.rows_in else None

    def has(self, column: str) -> bool:
        """Return whether the file has this column of the contract."""
        return column in self.columns


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file in chunks."""
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


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


def read_fields(record: str) -> list[str]:
    """Return the fields of one well-formed record."""
    csv.field_size_limit(MAX_RECORD_BYTES)
    return next(csv.reader(io.StringIO(record, newline="")))


def match_header(name: str, header: list[str], contract: Contract, hint: str = "") -> list[str | None]:
    """Return the contract's column for each header field, by name and synonyms.

    Raises `DataError` if a column occurs twice or a required one is missing; `hint` is the likely cause. If the
    contract has restricted columns and no field is a column's name, the message masks the record: it may be a row.
    """
    spellings = spellings_of(contract)
    columns = [find_column(spellings, field) for field in header]
    present = [column for column in columns if column]
    shown = ", ".join(header)[:500] if present or not restricted_names(contract) else MASK
    if not present and not hint:
        hint = "no field of the header is the name of a column: the header may be missing"
    if repeated := sorted({column for column in present if present.count(column) > 1}):
        raise DataError(f"{name}: the header has {', '.join(repeated)} more than once. The header is: {shown}")
    if missing := [item.name for item in contract.delivered_columns if item.required and item.name not in present]:
        cause = f"{hint}. " if hint else ""
        raise DataError(f"{name}: {cause}Required columns are missing: {', '.join(missing)}. The header is: {shown}")
    return columns


def _read_header(name: str, size: int, text: bytes, contract: Contract) -> tuple[list[str], list[str | None], bytes]:
    """Return the header fields, the contract's column for each, and the rest of `text`, the beginning of a file.

    Raises `DataError` if there is no header or it does not match the contract.
    """
    first = split_first(text)
    if first and names_delimiter(first[0].decode("utf-8", "replace")) == ",":
        first = split_first(first[2])  # a line for spreadsheets that names the delimiter
    if first is None or not (strip(first[0].decode("utf-8", "replace")) or first[2].strip()):
        raise DataError(f"{name}: the file is empty ({count(size, 'byte')}) and has no header. Send it again.")
    record, well_formed, rest = first
    spellings = spellings_of(contract)

    def is_name(field: str) -> bool:
        return find_column(spellings, field) is not None

    try:
        line = record.decode("utf-8")
    except UnicodeDecodeError as error:
        encoding = likely_encoding(record)
        hint = f" It looks like {encoding}." if encoding else ""
        raise DataError(
            f"{name}: the header is not valid UTF-8 (byte {error.start}). Export the file as UTF-8.{hint}"
        ) from error
    if (delimiter := names_delimiter(line)) is not None:
        raise DataError(f"{name}: the first line declares the delimiter {delimiter!r}. Export the file with commas.")
    if looks_like_json(text):
        raise DataError(f"{name}: the content looks like JSON. Give the file a name that ends in .json or .jsonl.")
    hint = header_hint(line, rest[:CHUNK_BYTES].decode("utf-8", "replace"), is_name)
    if not well_formed or "\0" in line:
        if "\r" in line:
            hint = "lines must end in a line feed, not only in a carriage return"
        is_header = any(is_name(field.strip('"')) for field in line.split(","))
        shown = repr(line[:200]) if is_header or not restricted_names(contract) else MASK
        cause = f" {hint[0].upper()}{hint[1:]}." if hint else ""
        raise DataError(f"{name}: the first record is not a CSV header: {shown}.{cause}")
    header = read_fields(line)
    if quote := other_quotes(header, is_name):
        raise DataError(
            f"{name}: the header encloses names in {quote}, which CSV reads as part of a value. "
            f'Export the file with " as the quote character. The header is: {line[:500]}'
        )
    return header, match_header(name, header, contract, hint), rest


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


class _Download:
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


def receive(s3: S3Client, landed: LandedFile, contract: Contract, folder: Path) -> ReceivedFile:
    """Download one object into `folder` and return it; its name says whether it is CSV or JSON.

    Raises `DataError` if the object is empty, in an unsupported format, corrupt or truncated,
    or if its header does not match the contract. Raises `ObjectChanged` if it is no longer the listed object.
    """
    download = _Download(s3, landed)
    if (head := next(download.chunks, b"")) and (what := other_format(head)):
        raise DataError(f"{landed.uri}: it is {what}.")
    receive_format = _receive_json if is_json(landed.key) else _receive_csv
    return receive_format(download, head, contract, folder)


def _receive_json(download: _Download, head: bytes, contract: Contract, folder: Path) -> ReceivedFile:
    body, spellings = folder / "body.jsonl", spellings_of(contract)
    chunks = itertools.chain((head,), download.chunks)
    rows_in = write_lines(download.landed.uri, chunks, body, lambda name: find_column(spellings, name) is not None)
    names = [column.name for column in contract.delivered_columns]
    return ReceivedFile(
        download.landed,
        download.content(),
        body,
        rows_in,
        columns=[*names],
        header=names,
        is_regular=False,
        spellings=spellings,
        members=MemberNames(),
        lacks_line_end=not _ends_in_line_feed(body),
    )


def _receive_csv(download: _Download, head: bytes, contract: Contract, folder: Path) -> ReceivedFile:
    chunks: Iterator[bytes] = download.chunks
    if b"\r" in head and b"\n" not in head:  # lines end in a carriage return only
        head, chunks = _with_line_feeds(head), map(_with_line_feeds, chunks)
    text = _BYTE_ORDER_MARKS.sub(b"", head, count=1)
    header, columns, rest = _read_header(download.landed.uri, download.size_bytes, text, contract)
    body = folder / "body.csv"
    counter, decoder, is_text = RecordCounter(len(header)), codecs.getincrementaldecoder("utf-8")(), True
    encoding = None
    with body.open("wb") as stream, short_switch_interval(), closing(prefetch(chunks)) as arriving:
        for chunk in itertools.chain((rest,), arriving, (b"",)):
            stream.write(chunk)
            counter.feed(chunk)
            try:
                is_text = is_text and decoder.decode(chunk, final=not chunk) is not None and b"\0" not in chunk
            except UnicodeDecodeError as error:
                is_text = False
                encoding = likely_encoding(error.object[max(error.start - _CONTEXT_BYTES, 0) :][: 2 * _CONTEXT_BYTES])
    counter.finish()
    return ReceivedFile(
        download.landed,
        download.content(),
        body,
        counter.rows,
        columns,
        header,
        is_regular=is_text and counter.is_regular,
        lacks_line_end=counter.lacks_line_end,
        multiline_records=counter.multiline_records,
        first_multiline_record=counter.first_multiline_record,
        likely_encoding=encoding,
        column_names=frozenset({*map(normalise, header), *spellings_of(contract)} - {""}),
    )


def _with_line_feeds(text: bytes) -> bytes:
    return text.replace(b"\r", b"\n")


def _ends_in_line_feed(body: Path) -> bool:
    """Return whether a file is empty or ends in a line feed."""
    with body.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(size - 1, 0))
        return stream.read() in (b"", b"\n")
