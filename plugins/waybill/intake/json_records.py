"""JSON files, an array of objects or one object a line, as records of text fields like those of a CSV file.

Python's decoder reads them, because it hands over the text of a number: 0.10 and 12345678901234567.89 stay what
they are, while faster parsers make binary floating point of them. Lines are told from arrays by the first character.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from waybill.errors import DataError
from waybill.intake.records import MAX_RECORD_BYTES, Record

_NAME = re.compile(r"[.](json|jsonl|ndjson)([.]gz)?$")
_BLANKS = re.compile(r"[ \t\r\n]*")
_BLANK_BYTES = b" \t\r\n"
_UNKNOWN_NOTED = 100
_UNKNOWN_CHARACTERS = 100


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
    """Names of other members; of many the first ones."""

    def note(self, name: str, column: str | None) -> None:
        """Note a member and the column that it is, if it is one."""
        if column is not None:
            self.columns.add(column)
        elif len(self.unknown) < _UNKNOWN_NOTED:
            self.unknown.add(name[:_UNKNOWN_CHARACTERS])


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Members, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
)


def is_json(key: str) -> bool:
    """Whether an object's name says that it is JSON."""
    return _NAME.search(key) is not None


def write_lines(name: str, chunks: Iterator[bytes], target: Path) -> int:
    """Write the records of a file to `target`, one a line, and return how many there are.

    Of lines those that are not blank are records, whatever is in them. The elements of an array must be JSON.
    Raises `DataError` for an empty file, for an array that is not JSON, and for a record longer than 4 MiB.
    """
    first = b""
    while len(first) < len(codecs.BOM_UTF8) and (chunk := next(chunks, b"")):
        first = (first + chunk).removeprefix(codecs.BOM_UTF8).lstrip(_BLANK_BYTES)
    if not first:
        raise DataError(f"{name}: the file is empty, it has not even an empty array; send it again")
    write = _write_elements if first.startswith(b"[") else _write_lines
    with target.open("wb") as stream:
        return write(name, first, chunks, stream.write)


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


def _write_elements(name: str, first: bytes, chunks: Iterator[bytes], write: Callable[[bytes], Any]) -> int:
    """The elements of an array, each on one line: a line end can only stand between its tokens."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, position, rows, at_end = "", 1, 0, False

    def fetch() -> bool:
        """Whether there was more text to read."""
        nonlocal text, position, at_end
        chunk = next(chunks, b"")
        at_end = not chunk
        text, position = text[position:] + decoder.decode(chunk, final=at_end), 0
        return not at_end

    def skip_blanks() -> str:
        """The next character that is not blank; none at the end of the file."""
        nonlocal position
        position = _BLANKS.match(text, position).end()  # type: ignore[union-attr]
        while position == len(text) and fetch():
            position = _BLANKS.match(text, position).end()  # type: ignore[union-attr]
        return text[position : position + 1]

    def element_end() -> int:
        """Where the element ends that starts here; what may go on behind the text read so far is read again."""
        while True:
            try:
                end = _DECODER.raw_decode(text, position)[1]
                if end < len(text) or at_end:
                    return end
            except ValueError:
                if at_end or len(text) - position > MAX_RECORD_BYTES:
                    raise
            fetch()

    try:
        text = decoder.decode(first)
        following = skip_blanks()
        if following == "]":
            position += 1
        while following != "]":
            end = element_end()
            write(re.sub(r"[\r\n]", " ", text[position:end]).encode() + b"\n")
            rows, position = rows + 1, end
            following = skip_blanks()
            if following not in ("]", ","):
                raise ValueError("an element must be followed by a comma or the end of the array")
            position += 1
            if following == ",":
                skip_blanks()
        if skip_blanks():
            raise ValueError("there is more after the end of the array")
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(
            f"{name}: the array is not JSON at its element {rows + 1}: {reason}; nothing was loaded. Send it again."
        ) from None
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
    return Record([], [reason], raw.decode("utf-8", "backslashreplace"))


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
