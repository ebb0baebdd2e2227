"""Read JSON files as records of text fields, like those of a CSV file.

A file is an array of objects, one object per line, or a sequence of objects. Python's decoder reads them because it can
return the text of a number: 0.10 and 12345678901234567.89 stay exact, whereas faster parsers convert them to binary
floating point.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from waybill.errors import DataError
from waybill.intake.csv_syntax import MAX_RECORD_BYTES
from waybill.intake.records import Record

_NAME = re.compile(r"[.](json|jsonl|ndjson)([.](gz|bz2|zst|zip))?$", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n]*")
_BLANK_BYTES = b" \t\r\n"
_UNKNOWN_NOTED = 100
_UNKNOWN_CHARACTERS = 100
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""Characters that JSON can escape and PostgreSQL's text cannot store: NUL and unpaired surrogates."""


class _Number(str):
    """The text of a number, as opposed to a JSON string."""


class _Members(list[tuple[str, Any]]):
    """The members of an object in order, including repeated names."""


@dataclass
class MemberNames:
    """The names of the members in a file's records, collected while the records are read."""

    columns: set[str] = field(default_factory=set)
    """Columns of the contract that occur in a record."""
    unknown: set[str] = field(default_factory=set)
    """The first names of other members; characters that PostgreSQL cannot store are escaped."""

    def note(self, name: str, column: str | None) -> None:
        """Add a member by name; `column` is its column, or None for an unknown name."""
        if column is not None:
            self.columns.add(column)
        elif len(self.unknown) < _UNKNOWN_NOTED:
            self.unknown.add(_NO_TEXT.sub(lambda found: json.dumps(found[0])[1:-1], name[:_UNKNOWN_CHARACTERS]))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Members, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
)


def is_json(key: str) -> bool:
    """Return whether the ending of an object's key is that of JSON."""
    return _NAME.search(key) is not None


def write_lines(
    name: str, chunks: Iterator[bytes], target: Path, is_column: Callable[[str], bool] = lambda _: True
) -> int:
    """Write the records of a file to `target`, one per line, and return their number.

    In a file with one object per line, every line that is not blank is a record, valid or not. Arrays and objects that
    span lines must be valid JSON. `is_column` returns whether a name is that of a column.
    Raises `DataError` if the file is empty or not JSON, if its records are nested in an object, or if a record is
    longer than 4 MiB.
    """
    first = b""
    while len(first) < len(codecs.BOM_UTF8) and (chunk := next(chunks, b"")):
        first = (first + chunk).removeprefix(codecs.BOM_UTF8).lstrip(_BLANK_BYTES)
    if not first:
        raise DataError(f"{name}: the file is empty, without even an empty array. Send it again.")
    with target.open("wb") as stream:
        if first.startswith(b"["):
            return _write_values(name, _Text(first, chunks), stream.write, in_array=True)
        first, value, rest = _first_value(first, chunks)
        if isinstance(value, _Members) and (key := _wrapper(value, is_column)):
            raise DataError(
                f"{name}: the records are nested under `{key}` of an object. Send that array alone, or one object per "
                "line."
            )
        if rest or first.partition(b"\n")[0].strip(_BLANK_BYTES) == b"{":
            return _write_values(name, _Text(first, chunks), stream.write, in_array=False)
        return _write_lines(name, first, chunks, stream.write)


def _first_value(first: bytes, chunks: Iterator[bytes]) -> tuple[bytes, Any, bool]:
    """Return the bytes that were read, the first value or None, and whether the value is not alone on one line."""
    while True:
        text = first.decode("utf-8", "replace")
        try:
            value, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            value, end = None, 0
        following = text[end:].lstrip(" \t\r")
        # A number may continue in the next chunk.
        if (end and following) or len(first) > MAX_RECORD_BYTES or not (chunk := next(chunks, b"")):
            is_spread = end > 0 and ("\n" in text[:end] or following.startswith("{"))
            return first, value, is_spread
        first += chunk


def _wrapper(members: _Members, is_column: Callable[[str], bool]) -> str | None:
    """Return the name of a member that holds an array of objects, unless the object has a column."""
    if any(is_column(name) for name, _ in members):
        return None
    holds_objects = (
        name
        for name, value in members
        if type(value) is list and value and all(type(element) is _Members for element in value)
    )
    return next(holds_objects, None)


def _write_lines(name: str, first: bytes, chunks: Iterator[bytes], write: Callable[[bytes], Any]) -> int:
    rows, tail, chunk = 0, b"", first
    while chunk:
        write(chunk)
        *lines, tail = (tail + chunk).split(b"\n")
        rows += sum(1 for line in lines if line.strip(_BLANK_BYTES))
        if len(tail) > MAX_RECORD_BYTES:
            raise DataError(f"{name}: record {rows + 1} is longer than {MAX_RECORD_BYTES} bytes. Send it in parts.")
        chunk = next(chunks, b"")
    return rows + bool(tail.strip(_BLANK_BYTES))


class _Text:
    """Text that is read when it is needed, and a position in it."""

    def __init__(self, first: bytes, chunks: Iterator[bytes]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._chunks = itertools.chain((first,), chunks)
        self._text, self._position, self._at_end = "", 0, False

    def _fetch(self) -> bool:
        """Read the next chunk. Return whether there was one."""
        chunk = next(self._chunks, b"")
        self._at_end = not chunk
        self._text = self._text[self._position :] + self._decoder.decode(chunk, final=self._at_end)
        self._position = 0
        return not self._at_end

    def next_character(self) -> str:
        """Return the next character that is not blank; "" at the end of the file."""
        self._position = _BLANKS.match(self._text, self._position).end()  # type: ignore[union-attr]
        while self._position == len(self._text) and self._fetch():
            self._position = _BLANKS.match(self._text, self._position).end()  # type: ignore[union-attr]
        return self._text[self._position : self._position + 1]

    def skip_character(self) -> None:
        self._position += 1

    def take_value(self) -> str:
        """Return the text of the value at the position; parse it again with more text if it may be incomplete."""
        while True:
            try:
                end = _DECODER.raw_decode(self._text, self._position)[1]
                if end < len(self._text) or self._at_end:
                    value, self._position = self._text[self._position : end], end
                    return value
            except ValueError:
                if self._at_end or len(self._text) - self._position > MAX_RECORD_BYTES:
                    raise
            self._fetch()

    @property
    def is_truncated(self) -> bool:
        """Return whether the invalid value at the position appears to continue after the end of the file."""
        if not self._at_end:
            return False
        try:
            _DECODER.raw_decode(self._text, self._position)
        except json.JSONDecodeError as error:
            return error.pos >= len(self._text.rstrip()) or error.msg.startswith("Unterminated string")
        except (ValueError, RecursionError):
            return False
        return True


def _write_values(name: str, text: _Text, write: Callable[[bytes], Any], *, in_array: bool) -> int:
    """Write the elements of an array, or a sequence of objects, one per line. Return their number.

    In valid JSON, line ends occur only between tokens, so they can be replaced by blanks.
    """
    rows = 0
    try:
        following = text.next_character()
        if in_array:
            text.skip_character()
            following = text.next_character()
        end = "]" if in_array else ""
        while following != end:
            if not in_array and following != "{":
                raise ValueError("expected another object or the end of the file")
            write(re.sub(r"[\r\n]", " ", text.take_value()).encode() + b"\n")
            rows += 1
            following = text.next_character()
            if in_array and following != end:
                if following != ",":
                    raise ValueError("expected a comma or the end of the array")
                text.skip_character()
                text.next_character()
        if in_array:
            text.skip_character()
            if text.next_character():
                raise ValueError("text follows the end of the array")
    except (ValueError, RecursionError) as error:
        is_deep = isinstance(error, RecursionError)
        reason = (
            "values are nested too deeply"
            if is_deep
            else getattr(error, "msg", str(error)).removesuffix(" at").removesuffix(" starting")
        )
        place = f"element {rows + 1} of the array" if in_array else f"object {rows + 1}"
        cause = " The file ends there and may be truncated." if text.is_truncated else ""
        raise DataError(
            f"{name}: {place} is not valid JSON: {reason}.{cause} Nothing was loaded. Send the file again."
        ) from None
    return rows


def read_records(body: Path, columns: Sequence[str], column_of: Callable[[str], str | None]) -> Iterator[Record]:
    """Yield the records of a file that `write_lines` wrote; `column_of` returns the column of a member's name.

    A record is malformed (reason `json`, `encoding` or `nul`) if it is not an object, has a column twice, or contains
    characters that PostgreSQL cannot store.
    """
    places = {column: place for place, column in enumerate(columns)}

    @lru_cache(maxsize=10_000)
    def place_of(name: str) -> int | None:
        return places.get(column_of(name) or "")

    with body.open("rb") as stream:
        for line in stream:
            raw = line.strip(_BLANK_BYTES)
            if raw:
                yield _record(raw, len(columns), place_of)


def _record(raw: bytes, width: int, place_of: Callable[[str], int | None]) -> Record:
    try:
        text = raw.decode("utf-8")
        fields = _fields(text, width, place_of)
        if "\\u" not in text:
            return Record(fields, [], text)
        content = "".join(filter(None, fields)).encode()  # fails for an unpaired surrogate
        if b"\0" not in content:
            return Record(fields, [], text)
        reason = "nul"
    except UnicodeError:
        reason = "encoding"
    except (ValueError, RecursionError):
        reason = "nul" if b"\0" in raw else "json"
    return Record([], [reason], raw.decode("utf-8", "backslashreplace"), is_unfinished=reason != "nul")


def _fields(text: str, width: int, place_of: Callable[[str], int | None]) -> list[str | None]:
    """Return the values of an object by the position of their columns. Raises `ValueError` for anything else."""
    members = _DECODER.decode(text)
    if type(members) is not _Members:
        raise ValueError("not an object")
    fields: list[str | None] = [None] * width
    seen = set()
    for name, value in members:
        place = place_of(name)
        if place is None:
            continue
        if place in seen:
            raise ValueError("a column occurs twice")
        seen.add(place)
        fields[place] = value if type(value) is str else _text(value)
    return fields


def _text(value: Any) -> str | None:
    """Return the text of a value: of a number as written, of a nested value as JSON, of null None."""
    return None if value is None else str(value) if isinstance(value, _Number) else _json(value)


def _json(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, _Members):
        return "{" + ", ".join(f"{json.dumps(name)}: {_json(item)}" for name, item in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value)
