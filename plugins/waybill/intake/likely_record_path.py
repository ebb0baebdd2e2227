"""Guess the path to the records of a JSON document from the beginning of a file."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from contextlib import suppress

from waybill.contracts.member_paths import join_path
from waybill.intake.json_text import BLANK_BYTES, JsonText

Steps = tuple[str, ...]
_HEAD_BYTES = 2**16


def likely_record_path(head: bytes, column_of: Callable[[Steps], str | None] | None = None) -> str | None:
    """Return the path to the records that a document most likely contains; None if it is a record itself.

    `head` is the beginning of a file in UTF-8. `column_of` returns the contract's column of a member by its path, from
    the record or from the document. The records with the most columns are the most likely. Without a contract, they
    are the elements of the longest array of objects, of those that are in no other array.
    """
    outline = _Outline()
    with suppress(ValueError, RecursionError):  # the text is cut off
        outline.read(JsonText(head[:_HEAD_BYTES].removeprefix(codecs.BOM_UTF8).lstrip(BLANK_BYTES)))
    arrays = outline.objects
    if column_of is not None:
        best = max(((), *arrays), key=lambda steps: len(outline.columns(steps, column_of)))
    else:
        outer = [steps for steps in arrays if not any(steps[:end] in arrays for end in range(1, len(steps)))]
        best = max(outer, key=arrays.__getitem__, default=())
    return join_path(best) if best else None


class _Outline:
    """The members of documents and the arrays of objects that contain them."""

    def __init__(self) -> None:
        self.objects: dict[Steps, int] = {}
        """The number of objects in each array of objects."""
        self._members: dict[tuple[Steps, Steps], None] = {}
        """The array that contains a member, () for a document, and the path of the member."""

    def columns(self, records: Steps, column_of: Callable[[Steps], str | None]) -> set[str]:
        """Return the columns in the records of an array and in the objects around them."""
        found = {
            column_of(steps[len(records) :] if array == records else steps)
            for array, steps in self._members
            if array == records[: len(array)]
        }
        return {column for column in found if column}

    def read(self, text: JsonText) -> None:
        """Read the first document of a text, or its array of documents."""
        if text.next_character() == "[":
            for _ in text.elements():
                self._read_value(text, (), ())
        else:
            self._read_value(text, (), ())

    def _read_value(self, text: JsonText, array: Steps, steps: Steps) -> None:
        following = text.next_character()
        if following == "{":
            for name in text.members():
                self._members[array, (*steps, name)] = None
                self._read_value(text, array, (*steps, name))
        elif following == "[" and steps:
            for first in text.elements():
                if first == "{":
                    self.objects[steps] = self.objects.get(steps, 0) + 1
                    self._read_value(text, steps, steps)
                else:
                    text.take_value()
        else:
            text.take_value()
