"""Bring one object from S3 to local disk: unpacked, hashed, its records counted, its header understood.

The temporary file holds the body only (no header), as it arrived. Memory stays flat whatever the size.
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
from typing import Any

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.intake.ahead import ahead, short_turns
from waybill.intake.json_records import MemberNames, is_json, write_lines
from waybill.intake.landing import LandedFile
from waybill.intake.records import MAX_RECORD_BYTES, RecordCounter, split_first
from waybill.intake.spellings import normalise, spellings_of

CHUNK_BYTES = 2**20
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARKS = re.compile(rb"\A(?:%s)+" % codecs.BOM_UTF8)  # some tools add one to one that is there


@dataclass(frozen=True)
class ReceivedFile:
    """A landed file on local disk."""

    landed: LandedFile
    version_id: str | None
    etag: str
    sha256: str
    size_bytes: int
    body: Path
    """The records, without the header."""
    rows_in: int
    """Records counted when the file was received, independently of the loader."""
    columns: list[str | None]
    """For each field of the header the contract's column, or None for a column that is not loaded."""
    header: list[str]
    is_regular: bool
    """Valid UTF-8 without NUL, malformed and blank records: the fast reader may take it as it is."""
    spellings: Mapping[str, str] | None = None
    """Of a JSON file the column for each normalised name; it has no header, and may bring every column."""
    members: MemberNames | None = None
    """Of a JSON file the names of its members, once its records were read."""
    column_names: frozenset[str] = frozenset()
    """Of a CSV file the normalised names of columns: those of its header and those that the contract knows."""

    @property
    def ignored(self) -> list[str]:
        """Header fields, or members of JSON records, that the contract does not know."""
        if self.members is not None:
            return sorted(self.members.unknown)
        return [name for name, column in zip(self.header, self.columns, strict=True) if column is None]

    @property
    def brought(self) -> list[str] | None:
        """The contract's columns that the file brings; None if it does not say, being JSON without records."""
        if self.members is None:
            return [column for column in self.columns if column]
        return [column for column in self.columns if column in self.members.columns] if self.rows_in else None

    def has(self, column: str) -> bool:
        """Whether the file brings this column."""
        return column in self.columns


def read_chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes, a chunk at a time."""
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


class _HashedBody(io.RawIOBase):
    """An S3 object's body as a readable stream that hashes and counts what passes."""

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
    """The stream's bytes, gunzipped when they are gzip by their first bytes."""
    is_gzip = stream.peek(2).startswith(_GZIP_MAGIC)
    if name.endswith(".gz") and not is_gzip and stream.peek(1):
        raise DataError(f"{name}: the name says gzip, the content is not; export it again")
    plain = gzip.GzipFile(fileobj=stream) if is_gzip else stream
    try:
        while chunk := plain.read(CHUNK_BYTES):
            yield chunk
    except EOFError:
        raise DataError(f"{name}: the gzip stream ends early; the upload was cut off, send the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name}: the gzip stream is damaged ({error}); send the file again") from error


def read_fields(record: str) -> list[str]:
    """The fields of one well-formed record."""
    csv.field_size_limit(MAX_RECORD_BYTES)
    return next(csv.reader(io.StringIO(record, newline="")))


def match_header(name: str, header: list[str], contract: Contract) -> list[str | None]:
    """The contract's column for each header field, by name and by the contract's synonyms.

    Raises `DataError` for a column that stands twice or a required one that is missing.
    """
    spellings = spellings_of(contract)
    columns = [spellings.get(normalise(field)) for field in header]
    present = [column for column in columns if column]
    if doubled := sorted({column for column in present if present.count(column) > 1}):
        raise DataError(f"{name}: the header has {', '.join(doubled)} more than once: {', '.join(header)}")
    if missing := [item.name for item in contract.delivered_columns if item.required and item.name not in present]:
        raise DataError(
            f"{name}: required columns are missing: {', '.join(missing)}; the header is: {', '.join(header)[:500]}"
        )
    return columns


def _header(name: str, record: bytes, well_formed: bool) -> list[str]:
    try:
        text = record.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: the header is not UTF-8 (byte {error.start}); export the file as UTF-8") from error
    if not well_formed or "\0" in text:
        hint = "; lines must end in a line feed, not in a carriage return alone" if "\r" in text else ""
        raise DataError(f"{name}: the first record is no CSV header: {text[:200]!r}{hint}")
    return read_fields(text)


def receive(s3: Any, landed: LandedFile, contract: Contract, folder: Path) -> ReceivedFile:
    """Fetch and unpack one object into `folder`, and understand its header; JSON, by its name, has none.

    Raises `DataError` when it is empty, no gzip although it says so, cut off, its header does not fit, or an array
    is not JSON.
    """
    name = landed.uri
    answer = s3.get_object(Bucket=landed.bucket, Key=landed.key)
    raw = _HashedBody(answer["Body"])
    chunks = _unpacked(name, io.BufferedReader(raw, CHUNK_BYTES))

    def file(body: Path, rows_in: int, columns: list[str | None], header: list[str], **form: Any) -> ReceivedFile:
        version_id, etag = answer.get("VersionId"), answer["ETag"].strip('"')
        digest, size_bytes = raw.digest.hexdigest(), raw.size_bytes
        return ReceivedFile(landed, version_id, etag, digest, size_bytes, body, rows_in, columns, header, **form)

    if is_json(landed.key):
        body = folder / "body.jsonl"
        rows_in = write_lines(name, chunks, body)
        names = [column.name for column in contract.delivered_columns]
        return file(
            body, rows_in, [*names], names, is_regular=False, spellings=spellings_of(contract), members=MemberNames()
        )
    first = split_first(_BYTE_ORDER_MARKS.sub(b"", next(chunks, b""), count=1))
    if first is None:
        raise DataError(f"{name}: the file is empty ({raw.size_bytes} bytes), it has not even a header; send it again")
    record, well_formed, rest = first
    header = _header(name, record, well_formed)
    columns = match_header(name, header, contract)
    body = folder / "body.csv"
    counter, decoder, is_text = RecordCounter(len(header)), codecs.getincrementaldecoder("utf-8")(), True
    with body.open("wb") as stream, short_turns(), closing(ahead(chunks)) as arriving:
        for chunk in itertools.chain((rest,), arriving, (b"",)):
            stream.write(chunk)
            counter.feed(chunk)
            try:
                is_text = is_text and decoder.decode(chunk, final=not chunk) is not None and b"\0" not in chunk
            except UnicodeDecodeError:
                is_text = False
    counter.finish()
    column_names = frozenset({*map(normalise, header), *spellings_of(contract)} - {""})
    is_regular = is_text and counter.is_regular
    return file(body, counter.rows, columns, header, is_regular=is_regular, column_names=column_names)
