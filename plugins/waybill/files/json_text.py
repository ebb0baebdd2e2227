"""Read the text of a JSON file value by value, with bounded memory.

Python's decoder reads JSON because it can return the text of a number: 0.10 and 12345678901234567.89 stay exact,
whereas faster parsers convert them to binary floating point.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from waybill.files.csv_syntax import MAX_RECORD_BYTES

BLANK_BYTES = b" \t\r\n"
_BLANKS = re.compile(r"[ \t\r\n]*")
_SIMPLE_NAME = re.compile(r'"([^"\\\x00-\x1f]*+)"[ \t\r\n]*+:[ \t\r\n]*+(?=.)', re.DOTALL)
_LINE_ENDS = re.compile(r"[\r\n]")
_PART_OF_TOKEN = re.compile(r"-|[.]|[eE][+-]?|t(ru?)?|f(a(ls?)?)?|n(ul?)?|u[0-9a-fA-F]{0,4}")
"""The part of a number, literal or escape that the decoder calls invalid if the text ends within it."""


class Number(str):
    """The text of a number, as opposed to a JSON string."""


class Members(list[tuple[str, Any]]):
    """The members of an object in order, including repeated names."""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=_no_constant)
_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_no_constant)
"""Finds the end of a value faster than `DECODER`."""


class TooLong(ValueError):
    """A value is longer than a record may be."""


class JsonText:
    """Text that is read when it is needed, and a position in it.

    All methods raise `ValueError` if the text is not JSON.
    """

    def __init__(self, first: bytes, chunks: Iterable[bytes] = ()) -> None:
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
        """Advance the position by one character."""
        self._position += 1

    def take_value(self) -> str:
        """Return the text of the value at the position on one line; parse it again if more text may belong to it.

        In valid JSON, line ends occur only between tokens, so they are replaced by blanks.
        Raises `TooLong` if the value is longer than a record may be.
        """
        while True:
            try:
                end = _SCANNER.raw_decode(self._text, self._position)[1]
                if end < len(self._text) or self._at_end:
                    value, self._position = self._text[self._position : end], end
                    return _LINE_ENDS.sub(" ", value)
            except ValueError as error:
                if self._at_end or (self._is_long and not self._may_continue(error)):
                    raise
            if self._is_long:
                raise TooLong(f"a value is longer than {MAX_RECORD_BYTES} bytes")
            self._fetch()

    @property
    def _is_long(self) -> bool:
        return len(self._text) - self._position > MAX_RECORD_BYTES

    def _may_continue(self, error: ValueError) -> bool:
        """Return whether an invalid value may become valid with more text."""
        if not isinstance(error, json.JSONDecodeError):
            return False
        rest = self._text[error.pos :].rstrip()
        return not rest or error.msg.startswith("Unterminated string") or _PART_OF_TOKEN.fullmatch(rest) is not None

    def elements(self, close: str = "]") -> Iterator[str]:
        """Yield the first character of each element of the array at the position, where the caller takes the element.

        The position is behind the array afterwards.
        """
        self.next_character()
        self.skip_character()
        following = self.next_character()
        while following != close:
            yield following
            following = self.next_character()
            if following != close:
                if following != ",":
                    what = "array" if close == "]" else "object"
                    raise ValueError(f"expected a comma or the end of the {what}")
                self.skip_character()
                following = self.next_character()
                if following == close:
                    raise ValueError("Expecting value")
        self.skip_character()

    def members(self) -> Iterator[str]:
        """Yield the name of each member of the object at the position, where the caller takes the member's value.

        The position is behind the object afterwards.
        """
        for following in self.elements("}"):
            if simple := _SIMPLE_NAME.match(self._text, self._position):
                self._position = simple.end()
                yield simple[1]
                continue
            if following != '"':
                raise ValueError("Expecting property name enclosed in double quotes")
            name = json.loads(self.take_value())
            if self.next_character() != ":":
                raise ValueError("Expecting ':' delimiter")
            self.skip_character()
            self.next_character()
            yield name

    def objects(self) -> Iterator[str]:
        """Yield the first character of each object of a sequence, where the caller takes the object."""
        while following := self.next_character():
            if following != "{":
                raise ValueError("expected another object or the end of the file")
            yield following

    @property
    def is_truncated(self) -> bool:
        """Return whether the invalid value at the position appears to continue after the end of the file."""
        if not self._at_end:
            return False
        try:
            DECODER.raw_decode(self._text, self._position)
        except ValueError as error:
            return self._may_continue(error)
        except RecursionError:
            return False
        return True
