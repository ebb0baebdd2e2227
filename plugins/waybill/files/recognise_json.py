"""Find the records in the beginning of a JSON document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from waybill.contracts.member_paths import join_path

Steps = tuple[str, ...]
_BEGINNING = re.compile(r"\s*(?:\[\s*[\[{]|\{\s*\")")
_TOKEN = re.compile(r'[ \t\r\n]*(?:("(?:[^"\\]|\\.)*+")|([\[\]{},:])|([^\s\[\]{},:"]+))', re.DOTALL)


@dataclass
class JsonRecords:
    """Where the records of a JSON document are."""

    path: tuple[str, ...]
    """The members that lead to an array of objects; empty if the document is that array or a sequence of objects."""
    names: tuple[str, ...] = ()
    """The members of the first record."""
    others: tuple[str, ...] = ()
    """Paths of other arrays of objects."""


_ARRAYS = {"]": "an empty array", "[": "an array of arrays", "{": "an array of empty objects"}
_DOCUMENTS = 2
"""Only so many documents are read: several are a sequence of records."""


@dataclass
class _Open:
    """An object or array that is not yet closed."""

    path: Steps
    is_array: bool
    array: Steps
    """The path of the innermost array of objects that contains it; () for a document."""
    name: str | None = None
    """Of an object: the name of the member that is read."""
    names: list[str] = field(default_factory=list)


class _Outline:
    """The arrays of objects in a JSON text, found token by token."""

    def __init__(self) -> None:
        self.arrays: dict[Steps, list[str]] = {}
        """For each path to an array of objects, the members of the first one."""
        self.members: dict[tuple[Steps, Steps], None] = {}
        """The path of each member, with that of the innermost array of objects around it."""
        self.documents: list[_Open] = []
        self.is_json = True
        """Whether the text can be JSON so far."""
        self._open: list[_Open] = []

    def add(self, string: str | None, sign: str | None) -> None:
        """Add a token."""
        inner = self._open[-1] if self._open else None
        if sign in ("{", "["):
            self._begin(inner, is_array=sign == "[")
        elif inner is None:
            self.is_json = False
        elif sign in ("}", "]"):
            self._open.pop()
            self.is_json = inner.is_array == (sign == "]")
        elif sign == ",":
            inner.name = None
        elif string is not None and not inner.is_array and inner.name is None:
            inner.name = string[1:-1]
            self.members[inner.array, (*inner.path, inner.name)] = None
            if inner.name not in inner.names:
                inner.names.append(inner.name)

    def _begin(self, inner: _Open | None, *, is_array: bool) -> None:
        path = inner.path if inner else ()
        if inner and inner.name is not None:
            path = (*path, inner.name)
        opened = _Open(path, is_array, inner.array if inner else ())
        if inner is None:
            self.documents.append(opened)
        elif inner.is_array and not is_array:
            opened.array = path
            self.arrays.setdefault(path, opened.names)
        self._open.append(opened)

    def columns(self, path: Steps, column_of: Callable[[Steps], str | None]) -> set[str]:
        """Return the columns of the records at a path, and of the objects around them."""
        found = set()
        for array, member in self.members:
            if array == path[: len(array)]:
                is_own = len(member) > len(path) and member[: len(path)] == path
                found.add(column_of(member[len(path) :] if is_own else member))
        return {column for column in found if column}


def _outline(text: str) -> _Outline:
    outline, position = _Outline(), 0
    while outline.is_json and len(outline.documents) < _DOCUMENTS and (match := _TOKEN.match(text, position)):
        position = match.end()
        outline.add(match[1], match[2])
    return outline


def looks_like_json(text: str) -> bool:
    """Return whether a text begins like an object or an array of objects or arrays."""
    return _BEGINNING.match(text) is not None


def find_json_records(text: str) -> JsonRecords | None:
    """Return where the records are in a text that may be cut off; None if it does not begin like JSON with objects."""
    outline = _outline(text)
    if not outline.documents:
        return None
    if () in outline.arrays:
        return JsonRecords((), tuple(outline.arrays[()]))
    first = outline.documents[0]
    if first.is_array:
        return None
    if len(outline.documents) > 1 or not outline.arrays:
        return JsonRecords((), tuple(first.names))
    path, *others = sorted(outline.arrays, key=len)  # the shallowest one, then the first one
    beside = [join_path(other) for other in others if other[: len(path)] != path]
    return JsonRecords(path, tuple(outline.arrays[path]), tuple(beside))


def in_place_of_records(text: str, *, is_named_json: bool) -> str | None:
    """Return what a JSON text has in which no object has members, in words; None if one has some, or it is not JSON.

    An array may be cut off if the file `is_named_json`.
    """
    outline, start = _outline(text), text.lstrip()
    try:
        json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):
        is_valid = False
    else:
        is_valid = True
    if outline.members or not (is_valid or is_named_json):
        return None
    if start.startswith("["):
        return _ARRAYS.get(start[1:].lstrip()[:1], "an array of values") if outline.is_json else None
    if start.startswith("{"):
        return "an empty object" if is_valid and len(outline.documents) == 1 and outline.is_json else None
    return "a single value" if is_valid and is_named_json else None


def arrays_of_objects(text: str) -> dict[Steps, tuple[str, ...]]:
    """Return the paths of the arrays of objects in a text that may be cut off, with the members of the first object."""
    return {path: tuple(names) for path, names in _outline(text).arrays.items()}


def columns_at(path: Steps, text: str, column_of: Callable[[Steps], str | None]) -> set[str]:
    """Return the columns of the records at a path in a text that may be cut off; none without a record.

    `column_of` returns the contract's column of a member by its path, from the record or from the document.
    """
    outline = _outline(text)
    has_record = any(len(member) > len(path) and member[: len(path)] == path for _, member in outline.members)
    return outline.columns(path, column_of) if has_record else set()


def likely_record_path(text: str, column_of: Callable[[Steps], str | None]) -> str | None:
    """Return the path to the records in a text that may be cut off; None if the documents are most likely records.

    The most likely records are those with the most columns. Without any column, they are those of the shallowest array.
    """
    outline = _outline(text)
    columns = {path: outline.columns(path, column_of) for path in ((), *outline.arrays)}
    best = max(columns, key=lambda path: len(columns[path]))
    if not columns[best]:
        best = min(outline.arrays, key=len, default=())
    return join_path(best) if best else None
