"""Find repeated headers in a CSV file whose parts were concatenated or that holds several tables.

A record that equals the header is a repeated header. A record of column names in another order or selection is the
header of another table: the records after it belong to that table until the file's own header is repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from waybill.blanks import strip
from waybill.files.spellings import normalise

_SEPARATORS = ("_", " ", "-", ".", "")


def _as_written(names: Collection[str]) -> set[str]:
    """Return the usual lower-case spellings of normalised names."""
    return {name.replace("_", separator) for name in names for separator in _SEPARATORS}


class RepeatedHeaders:
    """Recognises headers, and rows of other tables, among the records of a file in their order."""

    def __init__(self, header: Sequence[str], names: Collection[str]) -> None:
        """`names` are the normalised column names."""
        self._header = _names(header)
        known = {*names, *map(normalise, header)} - {""}
        self._known = set(map(_compared, known))
        self._written = _as_written(known)
        self._in_other_table = False

    def reason(self, fields: Sequence[str]) -> Literal["header", "second_table"] | None:
        """Return why a record is not a row of the file's table; None if it is a row."""
        # A cheap test, because it runs for every record: a header has at least one name in a usual spelling.
        if not self._written.isdisjoint(strip(field).lower() for field in fields):
            names = _names(fields)
            if names == self._header:
                self._in_other_table = False
                return "header"
            if self._is_other_header(names):
                self._in_other_table = True
                return "header"
        return "second_table" if self._in_other_table else None

    def _is_other_header(self, names: Sequence[str]) -> bool:
        """Return whether all fields, or all but a few that are not numbers, are distinct column names."""
        named = [name for name in names if name]
        known = [name for name in named if name in self._known]
        if len(known) < 2 or len({*known}) < len(known):
            return False
        others = [name for name in named if name not in self._known]
        if not others:
            return True
        return len(known) >= 4 and 3 * len(others) <= len(known) and not any(_is_value(name) for name in others)


def _compared(name: str) -> str:
    """Return a normalised name without separators, so that `orderId` and `ORDERID` equal `order_id`."""
    return name.replace("_", "") or name


def _names(fields: Sequence[str]) -> list[str]:
    """Return the fields as compared names, without empty ones at the end."""
    names = [_compared(normalise(field)) for field in fields]
    while names and not names[-1]:
        names.pop()
    return names


def _is_value(text: str) -> bool:
    return any(character.isdigit() for character in text[:2])
