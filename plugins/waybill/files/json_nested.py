"""Find the records of JSON documents at a path, and the members of the objects around them.

Each step of the path is a member that holds an object or an array of objects: `invoices.lines` leads to the lines of
all invoices. The documents are read value by value. Only a record, and the other members of the objects around it, are
held in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from waybill.contracts.member_paths import join_path
from waybill.files.csv_syntax import MAX_RECORD_BYTES
from waybill.files.json_members import MemberNames, ObjectFields
from waybill.files.json_text import DECODER, JsonText, TooLong

NO_PATH = "record_path"
"""The reason to reject an object that has no object or array at the next step of the path."""
_PENDING_LINES = 1000


class NestedRecords:
    """Writes the records at a path to a file, one per line, and the objects around them to a file for each step.

    The line of a record is `TAB, record`, and that of a rejected record `reason, TAB, text`. The line of an object is
    `number of its last record, TAB, members that are not on the path`; its first record follows the last one of the
    object before.
    """

    def __init__(self, steps: Sequence[str], target: Path, names: MemberNames) -> None:
        self.rows = self.without_path = 0
        """All records, and those that stand for an object without the path."""
        self.first_without = ""
        """The path of the first missing member."""
        self.around = tuple(target.with_name(f"{target.name}.{level}") for level in range(len(steps)))
        self._steps, self._names = steps, names
        self._files = ExitStack()
        self._streams = [self._files.enter_context(path.open("wb")) for path in (*self.around, target)]
        self._pending: list[list[bytes]] = [[] for _ in self._streams]
        self._kept = (0, 0)
        self._keeps_parts = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._keep()
        self._files.close()

    def take_line(self, line: bytes) -> None:
        """Write the records of a document on one line; reject a line that is not one as a whole."""
        self._keeps_parts = False
        try:
            text = JsonText(line)
            self._take(text, 0)
            if text.next_character():
                raise ValueError("another value follows")
        except (ValueError, RecursionError) as error:
            self._discard()
            is_text = not isinstance(error, UnicodeDecodeError)
            self._reject("nul" if b"\0" in line else "json" if is_text else "encoding", line)
        self._keep()

    def take_document(self, text: JsonText) -> None:
        """Write the records of the document at the position of a text. Raises `ValueError` if it is not valid."""
        self._keeps_parts = True
        self._take(text, 0)

    def _keep(self) -> None:
        """Write what was found since the last call."""
        for stream, lines in zip(self._streams, self._pending, strict=True):
            stream.writelines(lines)
            lines.clear()
        self._kept = (self.rows, self.without_path)

    def _discard(self) -> None:
        """Forget what was found since the last call of `_keep`."""
        for lines in self._pending:
            lines.clear()
        self.rows, self.without_path = self._kept

    def _reject(self, reason: str, text: bytes) -> None:
        self._pending[-1].append(b"%s\t%s\n" % (reason.encode(), text))
        self.rows += 1

    def _take(self, text: JsonText, level: int) -> None:
        """Take the value that a step of the path leads to, or an element of it."""
        if level == len(self._steps):
            self._pending[-1].append(f"\t{text.take_value()}\n".encode())
            self.rows += 1
            if self._keeps_parts and len(self._pending[-1]) > _PENDING_LINES:
                self._keep()
        elif text.next_character() == "{":
            self._take_object(text, level)
        else:
            self._reject("json", text.take_value().encode())

    def _take_object(self, text: JsonText, level: int) -> None:
        step, path = self._steps[level], self._steps[:level]
        rows_before, is_seen, has_records, members, size = self.rows, False, False, list[str](), 0
        for name in text.members():
            if name == step:
                if is_seen:
                    raise ValueError(f"an object has the member {step!r} twice")
                is_seen, has_records = True, self._take_step(text, level + 1)
                if has_records:
                    continue
            value = self._take_other(text, (*path, name))
            if value is not None:
                members.append(f"{json.dumps(name)}: {value}")
                size += len(members[-1])
                if size > MAX_RECORD_BYTES:
                    raise TooLong(f"the members beside {step!r} are longer than {MAX_RECORD_BYTES} bytes")
        around = ("{" + ", ".join(members) + "}").encode()
        if not has_records:
            self.first_without = self.first_without or join_path((*path, step))
            self.without_path += 1
            self._reject(NO_PATH, around)
        elif self.rows > rows_before:
            self._pending[level].append(b"%d\t%s\n" % (self.rows, around))

    def _take_step(self, text: JsonText, level: int) -> bool:
        """Take a member on the path. Return whether it is an object, an array or null; other values are not taken."""
        following = text.next_character()
        if following == "[":
            for _ in text.elements():
                self._take(text, level)
        elif following == "{":
            self._take(text, level)
        elif following == "n":
            text.take_value()
        else:
            return False
        return True

    def _take_other(self, text: JsonText, path: Sequence[str]) -> str | None:
        """Take a member beside the path and return it; None if it is too long for a record and no column needs it."""
        try:
            return text.take_value()
        except TooLong:
            self._skip(text, path)
            self._names.note_unknown(path)
            return None

    def _skip(self, text: JsonText, path: Sequence[str] | None) -> None:
        """Read over a long object or array; `path` is None within an array, where no member is a column."""
        following = text.next_character()
        if following not in ("{", "["):
            raise TooLong(f"a value is longer than {MAX_RECORD_BYTES} bytes")
        if path and (self._names.column(path) or (following == "{" and self._names.may_hold_column(path))):
            raise TooLong(f"`{join_path(path)}` is longer than {MAX_RECORD_BYTES} bytes and may be needed for a column")
        for _ in text.members() if following == "{" else text.elements():
            try:
                text.take_value()
            except TooLong:
                self._skip(text, None)


@dataclass(frozen=True)
class Around:
    """The values that a record takes from the objects around it, by the position of their columns."""

    values: Mapping[int, str | None]
    has_escapes: bool
    """Whether a value may contain characters that JSON can escape and text cannot contain."""
    is_valid: bool
    """Whether each column occurs once."""

    def fill(self, fields: list[str | None], found: Mapping[int, str]) -> None:
        """Add the values of columns that are not `found` in the record. Raises `ValueError` if they are not valid."""
        if not self.is_valid:
            raise ValueError("a column occurs twice")
        for position, value in self.values.items():
            if position not in found:
                fields[position] = value


class Surroundings:
    """Reads the files of objects around records that `NestedRecords` wrote."""

    def __init__(
        self, files: Sequence[Path], record_path: Sequence[str], columns: Sequence[str], names: MemberNames
    ) -> None:
        self._names = names
        self._opened = ExitStack()
        self._levels = [
            _Level(self._opened.enter_context(path.open("rb")), ObjectFields(columns, names, record_path[:level]))
            for level, path in enumerate(files)
        ]
        self._current = Around({}, has_escapes=False, is_valid=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def of(self, record: int) -> Around:
        """Return the values for a record, by its number; numbers must ascend."""
        moved = [level.advance(record) for level in self._levels]
        if any(moved):
            self._current = self._merged()
        return self._current

    def _merged(self) -> Around:
        values: dict[int, str | None] = {}
        paths: dict[int, str] = {}
        is_valid = all(level.is_valid for level in self._levels)
        for level in self._levels:
            for position, path in level.found.items():
                if position not in paths:
                    paths[position], values[position] = path, level.fields[position]
                elif paths[position] == path:
                    is_valid = False
                else:
                    self._names.note_unknown(path.split("."))
        return Around(values, has_escapes=any(level.has_escapes for level in self._levels), is_valid=is_valid)


class _Level:
    """The objects at one step of the path: the fields of the current one."""

    def __init__(self, lines: Iterable[bytes], object_fields: ObjectFields) -> None:
        self.fields: list[str | None] = []
        self.found: dict[int, str] = {}
        self.has_escapes, self.is_valid = False, True
        self._lines, self._object_fields, self._last_record = iter(lines), object_fields, 0

    def advance(self, record: int) -> bool:
        """Go to the object around a record. Return whether it is another one."""
        if record <= self._last_record:
            return False
        while record > self._last_record:
            last, _, text = next(self._lines).partition(b"\t")
            self._last_record = int(last)
        self.has_escapes, self.is_valid = b"\\u" in text, True
        try:
            self.fields, self.found = self._object_fields.of(DECODER.decode(text.decode()))
        except (ValueError, RecursionError):
            self.fields, self.found, self.is_valid = [], {}, False
        return True
