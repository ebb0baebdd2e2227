"""Find headers among the records of a CSV file: where files were concatenated, or another table follows the first.

A record that equals the header is a header. So is one whose fields are names of columns in another order or selection:
then the records after it belong to another table, until the file's own header comes again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from waybill.blanks import strip
from waybill.intake.spellings import normalise

_SEPARATORS = ("_", " ", "-", ".", "")


def _as_written(names: Collection[str]) -> set[str]:
    """Lower-case forms in which normalised names are usually written."""
    return {name.replace("_", separator) for name in names for separator in _SEPARATORS}


class RepeatedHeaders:
    """Tells headers and rows of other tables from the rows of a file, whose records it sees in their order."""

    def __init__(self, header: Sequence[str], names: Collection[str]) -> None:
        """`names` are the normalised names by which columns are known."""
        self._header = _names(header)
        known = {*names, *map(normalise, header)} - {""}
        self._known = set(map(_compared, known))
        self._written = _as_written(known)
        self._in_other_table = False

    def reason(self, fields: Sequence[str]) -> Literal["header", "second_table"] | None:
        """Why a record is no row of the file's table, if it is none."""
        # Cheap, because it is asked of every record: a header has at least one name that is written in a usual form.
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
        """Whether all fields are different names of columns, or all but a few that are no numbers."""
        named = [name for name in names if name]
        known = [name for name in named if name in self._known]
        if len(known) < 2 or len({*known}) < len(known):
            return False
        others = [name for name in named if name not in self._known]
        if not others:
            return True
        return len(known) >= 4 and 3 * len(others) <= len(known) and not any(_is_value(name) for name in others)


def _compared(name: str) -> str:
    """A normalised name as headers are compared here: `orderId` and `ORDERID` are `order_id`, too."""
    return name.replace("_", "") or name


def _names(fields: Sequence[str]) -> list[str]:
    """The fields as they are compared, without empty ones at the end."""
    names = [_compared(normalise(field)) for field in fields]
    while names and not names[-1]:
        names.pop()
    return names


def _is_value(text: str) -> bool:
    return any(character.isdigit() for character in text[:2])
