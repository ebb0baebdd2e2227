"""Read JSON files as records of text fields, like those of a CSV file.

A file is an array of objects, one object per line, or a sequence of objects. The records are these objects, or are
nested in them at a path.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waybill.contracts.member_paths import declared, join_path, split_path
from waybill.errors import DataError
from waybill.files.csv_syntax import MAX_RECORD_BYTES
from waybill.files.json_members import MemberNames, ObjectFields
from waybill.files.json_nested import Around, NestedRecords, Surroundings
from waybill.files.json_text import BLANK_BYTES, DECODER, JsonText, Members, TooLong
from waybill.files.recognise_encoding import BYTE_ORDER_MARKS
from waybill.files.recognise_json import likely_record_path
from waybill.files.records import Record
from waybill.files.transcoding import as_readable

_HEAD_BYTES = 2**16
_LAYOUT_BYTES = 2**20
"""Bytes that show the layout of a file with nested records, whose first document may be as long as the file."""
_NAME = re.compile(r"[.](json|jsonl|ndjson)([.](gz|bz2|zst|zip))?$", re.IGNORECASE)


@dataclass(frozen=True)
class JsonBody:
    """The records of a JSON file on local disk, one per line."""

    path: Path
    rows: int
    lacks_line_end: bool
    """Whether the last of several documents, one per line, has no line end."""
    record_path: tuple[str, ...] = ()
    """The members that lead from a document to its records."""
    around: tuple[Path, ...] = ()
    """For each of these members, the file with the objects around the records, as `NestedRecords` wrote it."""


def is_json(key: str) -> bool:
    """Return whether the ending of an object's key is that of JSON."""
    return _NAME.search(key) is not None


def write_lines(
    name: str,
    chunks: Iterator[bytes],
    target: Path,
    names: MemberNames,
    record_path: Sequence[str] = (),
    layout: str | None = None,
) -> JsonBody:
    """Write the records of a file to `target`, one per line. `layout` is `array`, `new_line` or None for any.

    In a file with one document per line, every line that is not blank is valid or is one rejected record. Arrays and
    documents that span lines must be valid JSON.
    Raises `DataError` if the file is empty, not JSON, or not in the declared layout; if no document has the
    `record_path`; if there is none and the records are nested; or if a record is longer than 4 MiB.
    """
    first = b""
    while len(first) < len(codecs.BOM_UTF8) and (chunk := next(chunks, b"")):
        first = BYTE_ORDER_MARKS.sub(b"", first + chunk).lstrip(BLANK_BYTES)
    if not first:
        raise DataError(f"{name}: the file is empty, without even an empty array. Send it again.")
    is_array, are_lines = first.startswith(b"[") and layout != "new_line", layout == "new_line"
    if layout == "array" and not is_array:
        raise DataError(f"{name}: the contract declares `delimiter: array`, but the file does not begin with `[`.")
    if not is_array and not are_lines:
        first, value, is_spread = _first_value(first, chunks, _LAYOUT_BYTES if record_path else MAX_RECORD_BYTES)
        are_lines = not (is_spread or _begins_with_part(first, value, record_path))
        if not record_path:
            _check_not_nested(name, first, value, names)
    lines, text = _Lines(name, first, chunks), JsonText(first, chunks)
    if record_path:
        with NestedRecords(record_path, target, names) as nested:
            if are_lines:
                for line in itertools.chain.from_iterable(lines):
                    nested.take_line(line)
            else:
                _take_documents(name, text, nested.take_document, is_array=is_array)
        if 0 < nested.rows == nested.without_path:
            raise _no_records(name, record_path, nested.first_without, first, names)
        return JsonBody(target, nested.rows, lines.lacks_line_end, tuple(record_path), nested.around)
    with target.open("wb") as stream:
        if are_lines:
            rows = lines.copy(stream.write)
        else:
            rows = _take_documents(
                name, text, lambda text: stream.write(text.take_value().encode() + b"\n"), is_array=is_array
            )
    return JsonBody(target, rows, lines.lacks_line_end)


def _first_value(first: bytes, chunks: Iterator[bytes], limit: int) -> tuple[bytes, Any, bool]:
    """Return the bytes that were read, the first value or None, and whether the value is not alone on one line.

    The value is None if it is longer than `limit` bytes or not valid.
    """
    while True:
        text = first[: limit + 1].decode("utf-8", "replace")
        try:
            value, end = DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            value, end = None, 0
        following = text[end:].lstrip(" \t\r")
        # A number may continue in the next chunk.
        if (end and following) or len(first) > limit or not (chunk := next(chunks, b"")):
            is_spread = end > 0 and ("\n" in text[:end] or following.startswith("{"))
            return first, value, is_spread
        first += chunk


def _begins_with_part(first: bytes, value: Any, record_path: Sequence[str]) -> bool:
    """Return whether the first line is a part of the first document, which may be longer than `first`."""
    line, _, rest = first[:_LAYOUT_BYTES].partition(b"\n")
    is_whole = value is not None or not record_path or rest.lstrip(BLANK_BYTES).startswith(b"{")
    return not is_whole or line.strip(BLANK_BYTES) == b"{"


def _check_not_nested(name: str, first: bytes, value: Any, names: MemberNames) -> None:
    """Raise `DataError` if the first document has no column, but an array of objects."""
    is_part = value is None and len(first) > MAX_RECORD_BYTES
    if not (is_part or isinstance(value, Members)) or any(names.column((member,)) for member, _ in value or ()):
        return
    if path := likely_record_path(_head(first), names.column):
        raise DataError(
            f"{name}: the records are nested under `{path}` of an object. Declare `{declared(split_path(path))}` in "
            "the server of the contract, or send the records as one array or one object per line."
        )


def _no_records(name: str, record_path: Sequence[str], missing: str, first: bytes, names: MemberNames) -> DataError:
    likely = likely_record_path(_head(first), names.column)
    hint = f" Records may be at `{likely}`." if likely else ""
    return DataError(
        f"{name}: the file has no records at the recordPath `{join_path(record_path)}`: there is no object or array at "
        f"`{missing}`.{hint} Correct the recordPath in the contract, or send the file again."
    )


def _head(first: bytes) -> str:
    return first[:_HEAD_BYTES].decode("utf-8", "replace")


class _Lines:
    """The lines of a file that are not blank, in batches."""

    def __init__(self, name: str, first: bytes, chunks: Iterator[bytes]) -> None:
        self.lacks_line_end = False
        """Whether the last line has no line end; known after it was read."""
        self._name = name
        self._chunks: Iterator[bytes] = itertools.chain((first,), chunks)

    def copy(self, write: Callable[[bytes], Any]) -> int:
        """Write the file and return the number of its lines."""
        self._chunks = (chunk for chunk in self._chunks if write(chunk))
        return sum(map(len, self))

    def __iter__(self) -> Iterator[list[bytes]]:
        number, tail = 0, b""
        for chunk in self._chunks:
            *lines, tail = (tail + chunk).split(b"\n")
            found = [line for line in lines if line.strip(BLANK_BYTES)]
            yield found
            number += len(found)
            if len(tail) > MAX_RECORD_BYTES:
                raise DataError(
                    f"{self._name}: record {number + 1} is longer than {MAX_RECORD_BYTES} bytes. Send it in parts."
                )
        self.lacks_line_end = bool(tail)
        yield [tail] if tail.strip(BLANK_BYTES) else []


def _take_documents(name: str, text: JsonText, take: Callable[[JsonText], object], *, is_array: bool) -> int:
    """Call `take` at each element of an array, or at each object of a sequence. Return their number.

    Raises `DataError` if one is not valid JSON, or has a value that is longer than a record may be.
    """
    documents = 0
    try:
        for _ in text.elements() if is_array else text.objects():
            take(text)
            documents += 1
        if text.next_character():
            raise ValueError("text follows the end of the array")
    except (ValueError, RecursionError) as error:
        is_deep = isinstance(error, RecursionError)
        reason = (
            "values are nested too deeply"
            if is_deep
            else getattr(error, "msg", str(error)).removesuffix(" at").removesuffix(" starting")
        )
        place = f"element {documents + 1} of the array" if is_array else f"object {documents + 1}"
        if isinstance(error, TooLong):
            raise DataError(
                f"{name}: {place} is too long: {reason}. Nothing was loaded. Send shorter values; if the value has the "
                "records, declare their `recordPath` in the server of the contract."
            ) from None
        cause = " The file ends there and may be truncated." if text.is_truncated else ""
        raise DataError(
            f"{name}: {place} is not valid JSON: {reason}.{cause} Nothing was loaded. Send the file again."
        ) from (error if isinstance(error, UnicodeDecodeError) else None)
    return documents


def read_records(
    body: JsonBody, columns: Sequence[str], names: MemberNames, encoding: str = "utf-8"
) -> Iterator[Record]:
    """Yield the records of a file that `write_lines` wrote, with the fields of these columns.

    `encoding` is that of the file before it was transcoded.

    A record is malformed (reason `json`, `record_path`, `encoding` or `nul`) if it is not an object, has a column
    twice, stands for an object without the path, or contains characters that PostgreSQL cannot store.
    """
    fields = ObjectFields(columns, names)
    with body.path.open("rb") as stream:
        if not body.record_path:
            for line in stream:
                raw = line.strip(BLANK_BYTES)
                if raw:
                    yield _record(raw, fields, None, encoding)
            return
        with Surroundings(body.around, body.record_path, columns, names) as surroundings:
            for number, line in enumerate(stream, start=1):
                reason, _, raw = line.partition(b"\t")
                raw = raw.strip(BLANK_BYTES)
                if reason:
                    yield _malformed(raw, reason.decode(), encoding)
                else:
                    yield _record(raw, fields, surroundings.of(number), encoding)


def _record(raw: bytes, object_fields: ObjectFields, around: Around | None, encoding: str) -> Record:
    is_whole = False
    try:
        text = raw.decode("utf-8")
        members, end = DECODER.raw_decode(text)
        is_whole = True
        if end < len(text) or type(members) is not Members:
            raise ValueError("not an object")
        fields, found = object_fields.of(members)
        has_escapes = "\\u" in text
        if around is not None:
            around.fill(fields, found)
            has_escapes |= around.has_escapes
        if not has_escapes:
            return Record(fields, [], text)
        content = "".join(filter(None, fields)).encode()  # fails for an unpaired surrogate
        if b"\0" not in content:
            return Record(fields, [], text)
        reason = "nul"
    except UnicodeError:
        reason = "encoding"
    except (ValueError, RecursionError):
        reason = "nul" if b"\0" in raw else "json"
    return _malformed(raw, reason, encoding, is_whole=is_whole)


def _malformed(raw: bytes, reason: str, encoding: str, *, is_whole: bool = False) -> Record:
    is_unfinished = not is_whole and reason in ("json", "encoding")
    return Record([], [reason], as_readable(raw, encoding), is_unfinished=is_unfinished)
