"""JSON files as records of text fields like those of a CSV file.

A file is an array of objects, one object a line, or objects one after another, each on several lines or several on one.
Python's decoder reads them, because it hands over the text of a number: 0.10 and 12345678901234567.89 stay what
they are, while faster parsers make binary floating point of them.
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
from waybill.intake.records import MAX_RECORD_BYTES, Record

_NAME = re.compile(r"[.](json|jsonl|ndjson)([.]gz)?$", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n]*")
_BLANK_BYTES = b" \t\r\n"
_UNKNOWN_NOTED = 100
_UNKNOWN_CHARACTERS = 100
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What JSON can escape and PostgreSQL's text cannot hold: NUL and half a surrogate pair."""


class _Number(str):
    """The text of a number, which is no JSON string."""


class _Members(list[tuple[str, Any]]):
    """An object's members in their order, repeated names too."""


@dataclass
class MemberNames:
    """The names of the members of a file's records, noted while they are read."""

    columns: set[str] = field(default_factory=set)
    """Columns of the contract that stand in some record."""
    unknown: set[str] = field(default_factory=set)
    """Names of other members, with JSON's escape for what no text can hold; of many the first ones."""

    def note(self, name: str, column: str | None) -> None:
        """Note a member and the column that it is, if it is one."""
        if column is not None:
            self.columns.add(column)
        elif len(self.unknown) < _UNKNOWN_NOTED:
            self.unknown.add(_NO_TEXT.sub(lambda found: json.dumps(found[0])[1:-1], name[:_UNKNOWN_CHARACTERS]))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Members, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
)


def is_json(key: str) -> bool:
    """Whether an object's name says that it is JSON."""
    return _NAME.search(key) is not None


def write_lines(
    name: str, chunks: Iterator[bytes], target: Path, is_column: Callable[[str], bool] = lambda _: True
) -> int:
    """Write the records of a file to `target`, one a line, and return how many there are.

    Of lines those that are not blank are records, whatever is in them. The elements of an array, and objects that are
    not one a line, must be JSON. `is_column` tells whether a field's name is that of a column.
    Raises `DataError` for an empty file, for one that is not JSON, for one whose records lie within an object, and for
    a record longer than 4 MiB.
    """
    first = b""
    while len(first) < len(codecs.BOM_UTF8) and (chunk := next(chunks, b"")):
        first = (first + chunk).removeprefix(codecs.BOM_UTF8).lstrip(_BLANK_BYTES)
    if not first:
        raise DataError(f"{name}: the file is empty, it has not even an empty array; send it again")
    with target.open("wb") as stream:
        if first.startswith(b"["):
            return _write_values(name, _Text(first, chunks), stream.write, in_array=True)
        first, value, rest = _first_value(first, chunks)
        if isinstance(value, _Members) and (key := _wrapper(value, is_column)):
            raise DataError(
                f"{name}: the records are under `{key}` of an object; send that array alone, or one object a line"
            )
        if rest or first.partition(b"\n")[0].strip(_BLANK_BYTES) == b"{":
            return _write_values(name, _Text(first, chunks), stream.write, in_array=False)
        return _write_lines(name, first, chunks, stream.write)


def _first_value(first: bytes, chunks: Iterator[bytes]) -> tuple[bytes, Any, bool]:
    """(what was read to find it, the first value or None, whether it is not alone on one line)."""
    while True:
        text = first.decode("utf-8", "replace")
        try:
            value, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            value, end = None, 0
        following = text[end:].lstrip(" \t\r")
        # A number may go on in the next chunk.
        if (end and following) or len(first) > MAX_RECORD_BYTES or not (chunk := next(chunks, b"")):
            is_spread = end > 0 and ("\n" in text[:end] or following.startswith("{"))
            return first, value, is_spread
        first += chunk


def _wrapper(members: _Members, is_column: Callable[[str], bool]) -> str | None:
    """The name of a member that holds objects, in an object that has no column."""
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
            raise DataError(f"{name}: record {rows + 1} is longer than {MAX_RECORD_BYTES} bytes; send it in parts")
        chunk = next(chunks, b"")
    return rows + bool(tail.strip(_BLANK_BYTES))


class _Text:
    """Text that is read on as it is needed, and a place in it."""

    def __init__(self, first: bytes, chunks: Iterator[bytes]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._chunks = itertools.chain((first,), chunks)
        self._text, self._position, self._at_end = "", 0, False

    def _fetch(self) -> bool:
        """Whether there was more text to read."""
        chunk = next(self._chunks, b"")
        self._at_end = not chunk
        self._text = self._text[self._position :] + self._decoder.decode(chunk, final=self._at_end)
        self._position = 0
        return not self._at_end

    def next_character(self) -> str:
        """The next character that is not blank; none at the end of the file."""
        self._position = _BLANKS.match(self._text, self._position).end()  # type: ignore[union-attr]
        while self._position == len(self._text) and self._fetch():
            self._position = _BLANKS.match(self._text, self._position).end()  # type: ignore[union-attr]
        return self._text[self._position : self._position + 1]

    def skip_character(self) -> None:
        self._position += 1

    def take_value(self) -> str:
        """The text of the value that starts here; what may go on behind the text read so far is read again."""
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
    def was_cut(self) -> bool:
        """Whether a value that is not JSON ends with the file, as far as that can be told."""
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
    """The elements of an array, or objects one after another, each on one line.

    A line end can only stand between the tokens of a value.
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
                raise ValueError("an object must be followed by another one or the end of the file")
            write(re.sub(r"[\r\n]", " ", text.take_value()).encode() + b"\n")
            rows += 1
            following = text.next_character()
            if in_array and following != end:
                if following != ",":
                    raise ValueError("an element must be followed by a comma or the end of the array")
                text.skip_character()
                text.next_character()
        if in_array:
            text.skip_character()
            if text.next_character():
                raise ValueError("there is more after the end of the array")
    except (ValueError, RecursionError) as error:
        is_deep = isinstance(error, RecursionError)
        reason = "its values are nested too deeply" if is_deep else getattr(error, "msg", str(error))
        what = "the array is not JSON at its element" if in_array else "the file is not JSON at its object"
        cut = ". The file ends there: it may have been cut off" if text.was_cut else ""
        raise DataError(f"{name}: {what} {rows + 1}: {reason}{cut}; nothing was loaded. Send it again.") from None
    return rows


def read_records(body: Path, columns: Sequence[str], column_of: Callable[[str], str | None]) -> Iterator[Record]:
    """The records of a file that `write_lines` wrote; `column_of` gives the column of a field's name.

    A record that is no object, has a column twice, or holds what no text can is malformed: reason `json`,
    `encoding` or `nul`.
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
        content = "".join(filter(None, fields)).encode()  # fails for half a surrogate
        if b"\0" not in content:
            return Record(fields, [], text)
        reason = "nul"
    except UnicodeError:
        reason = "encoding"
    except (ValueError, RecursionError):
        reason = "nul" if b"\0" in raw else "json"
    return Record([], [reason], raw.decode("utf-8", "backslashreplace"), is_unfinished=reason != "nul")


def _fields(text: str, width: int, place_of: Callable[[str], int | None]) -> list[str | None]:
    """The values of an object by the place of their column; raises `ValueError` if it is none."""
    members = _DECODER.decode(text)
    if type(members) is not _Members:
        raise ValueError("not an object")
    fields: list[str | None] = [None] * width
    taken = set()
    for name, value in members:
        place = place_of(name)
        if place is None:
            continue
        if place in taken:
            raise ValueError("a column stands twice")
        taken.add(place)
        fields[place] = value if type(value) is str else _text(value)
    return fields


def _text(value: Any) -> str | None:
    """A field's text: of a number as it stands, of a nested value as JSON; null has none."""
    return None if value is None else str(value) if isinstance(value, _Number) else _json(value)


def _json(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, _Members):
        return "{" + ", ".join(f"{json.dumps(name)}: {_json(item)}" for name, item in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value)
