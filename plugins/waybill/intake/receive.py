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

from waybill.blanks import strip
from waybill.contracts import Contract
from waybill.contracts.classification import MASK, restricted_names
from waybill.errors import DataError
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
from waybill.intake.prefetch import ahead, short_switch_interval
from waybill.intake.records import MAX_RECORD_BYTES, RecordCounter, split_first
from waybill.intake.spellings import find_column, normalise, spellings_of

CHUNK_BYTES = 2**20
_CONTEXT_BYTES = 100
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
    lacks_line_end: bool = False
    """The last record has no line end, although the header or a record before it has one."""
    of_several: int = 0
    """Records with a field over line ends that look like several records."""
    first_of_several: int = 0
    likely_encoding: str | None = None
    """Of a file that is not UTF-8 throughout: what its other text is likely written in."""
    damaged_text: str | None = None
    """What shows that characters were lost before the file was written."""
    column_names: frozenset[str] = frozenset()
    """Of a CSV file the normalised names of columns: those of its header and those that the contract knows."""

    @property
    def ignored(self) -> list[str]:
        """Header fields, or members of JSON records, that the contract does not know."""
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
        """A sentence for the message that refuses the file; "" if there is nothing to say."""
        if self.likely_encoding is None:
            return ""
        return f" What is not UTF-8 looks like {self.likely_encoding}: export the file as UTF-8."

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
    head = stream.peek(CHUNK_BYTES)
    is_gzip = head.startswith(_GZIP_MAGIC)
    if name.lower().endswith(".gz") and not is_gzip and head:
        what = other_format(head)
        found = f"it is {what}" if what else "export it again"
        raise DataError(f"{name}: the name says gzip, the content is not; {found}")
    plain = gzip.GzipFile(fileobj=stream) if is_gzip else stream
    try:
        while chunk := plain.read(CHUNK_BYTES):
            yield chunk
    except EOFError:
        raise DataError(f"{name}: the gzip stream ends early; the upload was cut off, send the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        if str(error).startswith("Not a gzipped file"):  # the first bytes are, so it says this of others
            raise DataError(f"{name}: there are other bytes behind the end of the gzip stream; send it again") from None
        raise DataError(f"{name}: the gzip stream is damaged ({error}); send the file again") from error


def read_fields(record: str) -> list[str]:
    """The fields of one well-formed record."""
    csv.field_size_limit(MAX_RECORD_BYTES)
    return next(csv.reader(io.StringIO(record, newline="")))


def match_header(name: str, header: list[str], contract: Contract, hint: str = "") -> list[str | None]:
    """The contract's column for each header field, by name and by the contract's synonyms.

    Raises `DataError` for a column that stands twice or a required one that is missing; then `hint` says why it may be.
    The first record of a file without a header is a row: its values are masked if the contract has restricted columns.
    """
    spellings = spellings_of(contract)
    columns = [find_column(spellings, field) for field in header]
    present = [column for column in columns if column]
    shown = ", ".join(header)[:500] if present or not restricted_names(contract) else MASK
    if not present and not hint:
        hint = "no field of the header is the name of a column, so the file may lack its header"
    if doubled := sorted({column for column in present if present.count(column) > 1}):
        raise DataError(f"{name}: the header has {', '.join(doubled)} more than once: {', '.join(header)}")
    if missing := [item.name for item in contract.delivered_columns if item.required and item.name not in present]:
        cause = f"{hint}; " if hint else ""
        raise DataError(f"{name}: {cause}required columns are missing: {', '.join(missing)}; the header is: {shown}")
    return columns


def _read_header(name: str, size: int, text: bytes, contract: Contract) -> tuple[list[str], list[str | None], bytes]:
    """(fields of the header, the contract's column for each, what follows), from the beginning of a file.

    Raises `DataError` if there is no header, or not one of a file for the contract.
    """
    first = split_first(text)
    if first and names_delimiter(first[0].decode("utf-8", "replace")) == ",":
        first = split_first(first[2])  # a line that tells spreadsheets what the delimiter is
    if first is None or not (strip(first[0].decode("utf-8", "replace")) or first[2].strip()):
        raise DataError(f"{name}: the file is empty ({size} bytes) and lacks a header; send it again")
    record, well_formed, rest = first
    spellings = spellings_of(contract)

    def is_name(field: str) -> bool:
        return find_column(spellings, field) is not None

    try:
        line = record.decode("utf-8")
    except UnicodeDecodeError as error:
        encoding = likely_encoding(record)
        hint = f". It looks like {encoding}" if encoding else ""
        raise DataError(
            f"{name}: the header is not UTF-8 (byte {error.start}); export the file as UTF-8{hint}"
        ) from error
    if (delimiter := names_delimiter(line)) is not None:
        raise DataError(f"{name}: its first line names {delimiter!r} as delimiter; export it with commas")
    if looks_like_json(text):
        raise DataError(f"{name}: the content looks like JSON; give it a name that ends in .json or .jsonl")
    hint = header_hint(line, rest[:CHUNK_BYTES].decode("utf-8", "replace"), is_name)
    if not well_formed or "\0" in line:
        if "\r" in line:
            hint = "lines must end in a line feed, not in a carriage return alone"
        is_header = any(is_name(field.strip('"')) for field in line.split(","))
        shown = repr(line[:200]) if is_header or not restricted_names(contract) else MASK
        raise DataError(f"{name}: the first record is no CSV header: {shown}{f'; {hint}' if hint else ''}")
    header = read_fields(line)
    if quote := other_quotes(header, is_name):
        raise DataError(
            f"{name}: names in the header are enclosed in {quote}, which is part of a value here; "
            f'export it with " as quote: {line[:500]}'
        )
    return header, match_header(name, header, contract, hint), rest


class ObjectChanged(DataError):
    """The object is no longer what was listed: it is still being written, or was replaced or deleted meanwhile."""


def _open(s3: Any, landed: LandedFile) -> Any:
    """S3's answer with the listed content of an object. Raises `ObjectChanged` if it has another content by now."""
    from botocore.exceptions import ClientError

    waits = "it is not loaded now and waits for the next run"
    try:
        answer = s3.get_object(Bucket=landed.bucket, Key=landed.key)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            raise ObjectChanged(f"{landed.uri}: the object was deleted after it was listed; {waits}") from error
        raise
    etag, size_bytes = answer["ETag"].strip('"'), answer.get("ContentLength", landed.size_bytes)
    if (etag, size_bytes) != (landed.etag, landed.size_bytes):
        raise ObjectChanged(
            f"{landed.uri}: the object changed after it was listed, from {landed.size_bytes} to {size_bytes} bytes "
            f"(ETag {landed.etag} to {etag}); {waits}"
        )
    return answer


def receive(s3: Any, landed: LandedFile, contract: Contract, folder: Path) -> ReceivedFile:
    """Fetch and unpack one object into `folder`, and understand its header; JSON, by its name, has none.

    Raises `DataError` when it is empty, in a format that is not read, no gzip although it says so, cut off, its header
    does not fit, or an array is not JSON.
    """
    name = landed.uri
    answer = _open(s3, landed)
    raw = _HashedBody(answer["Body"])
    damaged = DamagedText()
    chunks = damaged.watch(_unpacked(name, io.BufferedReader(raw, CHUNK_BYTES)))

    def file(body: Path, rows_in: int, columns: list[str | None], header: list[str], **form: Any) -> ReceivedFile:
        version_id, etag = answer.get("VersionId"), answer["ETag"].strip('"')
        digest, size_bytes = raw.digest.hexdigest(), raw.size_bytes
        form["damaged_text"] = damaged.found
        return ReceivedFile(landed, version_id, etag, digest, size_bytes, body, rows_in, columns, header, **form)

    if (head := next(chunks, b"")) and (what := other_format(head)):
        raise DataError(f"{name}: it is {what}")
    if is_json(landed.key):
        body = folder / "body.jsonl"
        spellings = spellings_of(contract)
        chunks = itertools.chain((head,), chunks)
        rows_in = write_lines(name, chunks, body, lambda field: find_column(spellings, field) is not None)
        names = [column.name for column in contract.delivered_columns]
        form = {
            "is_regular": False,
            "lacks_line_end": not _ends_in_line_feed(body),
            "spellings": spellings,
            "members": MemberNames(),
        }
        return file(body, rows_in, [*names], names, **form)
    if b"\r" in head and b"\n" not in head:  # lines that end in a carriage return alone
        head, chunks = _with_line_feeds(head), map(_with_line_feeds, chunks)
    text = _BYTE_ORDER_MARKS.sub(b"", head, count=1)
    header, columns, rest = _read_header(name, raw.size_bytes, text, contract)
    body = folder / "body.csv"
    counter, decoder, is_text = RecordCounter(len(header)), codecs.getincrementaldecoder("utf-8")(), True
    encoding = None
    with body.open("wb") as stream, short_switch_interval(), closing(ahead(chunks)) as arriving:
        for chunk in itertools.chain((rest,), arriving, (b"",)):
            stream.write(chunk)
            counter.feed(chunk)
            try:
                is_text = is_text and decoder.decode(chunk, final=not chunk) is not None and b"\0" not in chunk
            except UnicodeDecodeError as error:
                is_text = False
                encoding = likely_encoding(error.object[max(error.start - _CONTEXT_BYTES, 0) :][: 2 * _CONTEXT_BYTES])
    counter.finish()
    column_names = frozenset({*map(normalise, header), *spellings_of(contract)} - {""})
    return file(
        body,
        counter.rows,
        columns,
        header,
        is_regular=is_text and counter.is_regular,
        lacks_line_end=counter.lacks_line_end,
        of_several=counter.of_several,
        first_of_several=counter.first_of_several,
        likely_encoding=encoding,
        column_names=column_names,
    )


def _with_line_feeds(text: bytes) -> bytes:
    return text.replace(b"\r", b"\n")


def _ends_in_line_feed(body: Path) -> bool:
    """Whether a file ends in a line feed; an empty one does, too."""
    with body.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(size - 1, 0))
        return stream.read() in (b"", b"\n")
