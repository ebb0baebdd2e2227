"""Match the members of JSON objects with the columns of a contract, by name or by path.

`{"address": {"city": "Leeds"}}` has the members `address` and `address.city`. A member is a column's value if its path
is the column's name or synonym.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from waybill.files.json_text import Members, Number
from waybill.files.spellings import find_column, normalise

_UNKNOWN_NOTED = 100
_UNKNOWN_CHARACTERS = 100
_NAMES_KEPT = 10_000
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""Characters that JSON can escape and PostgreSQL's text cannot store: NUL and unpaired surrogates."""


class MemberNames:
    """The paths of the members in a file's records, collected while the records are read."""

    def __init__(self, spellings: Mapping[str, str]) -> None:
        """`spellings` gives the column of each normalised name."""
        self.columns: set[str] = set()
        """Columns of the contract that occur in a record."""
        self.unknown: set[str] = set()
        """The first paths of other members; characters that PostgreSQL cannot store are escaped."""
        self._spellings = spellings

    def joined(self, others: Iterable[MemberNames | None]) -> MemberNames:
        """Return these names with those that were noted for other files of the same dataset."""
        for other in filter(None, others):
            self.columns |= other.columns
            self.unknown |= other.unknown
        return self

    def column(self, path: Sequence[str]) -> str | None:
        """Return the column of a member, or None."""
        return find_column(self._spellings, ".".join(path))

    def may_hold_column(self, path: Sequence[str]) -> bool:
        """Return whether the object at a path may have a member with a column."""
        start = normalise(".".join(path)) + "_"
        return any(spelling.startswith(start) for spelling in self._spellings)

    def note_unknown(self, path: Sequence[str]) -> None:
        """Add the path of a member that is not a column."""
        if len(self.unknown) < _UNKNOWN_NOTED:
            name = ".".join(path)[:_UNKNOWN_CHARACTERS]
            self.unknown.add(_NO_TEXT.sub(lambda found: json.dumps(found[0])[1:-1], name))


class _Place(dict[str, int | None]):
    """The objects at one path. Maps the name of each member to the position of its column, or to None."""

    def __init__(self, fields: ObjectFields, path: tuple[str, ...], *, is_loaded: bool = False) -> None:
        super().__init__()
        self.path = path
        self.prefix = "".join(f"{name}." for name in path)
        self._fields, self._is_loaded = fields, is_loaded
        self.noted: set[str] = set()
        """Members that were reported as unknown."""
        self._below: dict[str, _Place] = {}

    def __missing__(self, name: str) -> int | None:
        return self._fields.find(self, name)

    def below(self, name: str, *, is_loaded: bool = False) -> _Place:
        """Return the place of the object in a member; `is_loaded` if a column takes the whole object."""
        found = self._below.get(name)
        if found is None:
            is_loaded = is_loaded or self._is_loaded
            found = self._below[name] = _Place(self._fields, (*self.path, name), is_loaded=is_loaded)
        return found

    def note_unknown(self, name: str) -> None:
        """Report a member that no column takes."""
        self.noted.add(name)
        if not self._is_loaded:
            self._fields.names.note_unknown((*self.path, name))


class ObjectFields:
    """Returns the values of an object's members as text, by the position of their columns.

    If several members match a column, the one with the shortest path is its value and the others are unknown. Members
    with paths of equal length, or with equal names and dots on their paths, are an error.
    """

    def __init__(self, columns: Sequence[str], names: MemberNames, path: Sequence[str] = ()) -> None:
        """`path` leads from the root of a document to the object."""
        self.names = names
        self._positions = {column: position for position, column in enumerate(columns)}
        self._width = len(columns)
        self._root = _Place(self, tuple(path))
        self._names_kept = 0

    def find(self, place: _Place, name: str) -> int | None:
        """Return the position of a member's column and keep it in the place."""
        self._names_kept += 1
        if self._names_kept > _NAMES_KEPT:  # the names may be data
            self._names_kept, self._root = 0, _Place(self, self._root.path)
        column = self.names.column((*place.path, name))
        place[name] = position = self._positions.get(column or "")
        if position is not None:
            self.names.columns.add(column or "")
        return position

    def of(self, members: Members) -> tuple[list[str | None], dict[int, str]]:
        """Return the fields of an object, and the path of the member for each position that has one.

        Raises `ValueError` if two members match a column and neither has precedence.
        """
        fields: list[str | None] = [None] * self._width
        found: dict[int, str] = {}
        below = self._fill(members, self._root, fields, found, {})
        while below:
            outer, objects, below = found.copy(), below, []
            for inner, place in objects:
                below += self._fill(inner, place, fields, found, outer)
        return fields, found

    def _fill(
        self, members: Members, place: _Place, fields: list[str | None], found: dict[int, str], outer: dict[int, str]
    ) -> list[tuple[Members, _Place]]:
        """Fill the fields of an object's members and return the objects in them.

        `found` has the paths of the members that were found, and `outer` those of shorter paths.
        """
        below = []
        prefix = place.prefix
        for name, value in members:
            position = place[name]
            kind = type(value)
            if position is None:
                if kind is Members and value:
                    below.append((value, place.below(name)))
                elif name not in place.noted:
                    place.note_unknown(name)
            elif position in found:
                if outer.get(position) in (None, prefix + name):
                    raise ValueError("a column occurs twice")
                place.note_unknown(name)
            else:
                found[position] = prefix + name if prefix else name
                if kind is str or kind is Number:
                    fields[position] = value
                elif value is not None:
                    fields[position] = _json(value)
                    if kind is Members:
                        below.append((value, place.below(name, is_loaded=True)))
        return below


def _json(value: Any) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, Members):
        return "{" + ", ".join(f"{json.dumps(name)}: {_json(item)}" for name, item in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value)
