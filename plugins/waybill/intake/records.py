"""Split a CSV file into records without any CSV library, so that rows are counted independently of the loader.

A record is what RFC 4180 says: fields separated by commas, a field quoted as a whole or not at all,
ended by a line feed outside of quotes. A physical line that is no such record (an unclosed quote, text after
a closing quote) is a malformed record of its own, and reading goes on with the next line: an unclosed
quote does not swallow the records after it. Blank lines are no records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MAX_RECORD_BYTES = 4 * 2**20
"""How far a closing quote is looked for."""

_QUOTED = rb'"(?:[^"]++|"")*+"'
_PLAIN = rb'(?:[^",\r\n][^,\n]*+)?'
_RECORD = re.compile(rb"(?:%(q)s|%(p)s)(?:,(?:%(q)s|%(p)s))*+\r?\n" % {b"q": _QUOTED, b"p": _PLAIN})


def split_records(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """(bytes of a record without its line end, whether it is well formed), in the file's order."""
    source = iter(chunks)
    buffer, position, at_end = b"", 0, False
    while True:
        match = _RECORD.match(buffer, position)
        line_end = buffer.find(b"\n", position) if match is None else match.end() - 1
        if match is None and not at_end and len(buffer) - position < MAX_RECORD_BYTES:
            chunk = next(source, None)
            at_end = chunk is None
            buffer, position = buffer[position:] + (chunk or b""), 0
            if at_end and buffer and not buffer.endswith(b"\n"):
                buffer += b"\n"
            continue
        if line_end < 0:
            if position < len(buffer):  # a line longer than the limit: pass it on, it is malformed
                line_end = len(buffer)
            else:
                return
        record = buffer[position:line_end].removesuffix(b"\r")
        position = line_end + 1
        if record:
            yield record, match is not None


def split_first(text: bytes) -> tuple[bytes, bool, bytes] | None:
    """(first record, whether it is well formed, what follows), or None if there is no record."""
    text = text.lstrip(b"\r\n")
    if not text:
        return None
    match = _RECORD.match(text) or _RECORD.match(text + b"\n")
    end = match.end() - 1 if match else text.find(b"\n") % (len(text) + 1)
    return text[:end].removesuffix(b"\r"), match is not None, text[end + 1 :]


class RecordCounter:
    """Counts the records of a stream that is fed to it in chunks of any size.

    Text without quotes is counted by its line feeds; from the first quote on, records are split.
    """

    def __init__(self) -> None:
        self._plain = 0
        self._tail = b""  # the last, unfinished line of text without quotes
        self.has_quotes = False

    def feed(self, chunk: bytes) -> None:
        """Take in the next chunk."""
        if self.has_quotes or b'"' in chunk:
            self.has_quotes = True
            return
        text = self._tail + chunk
        cut = text.rfind(b"\n") + 1
        self._plain += _count_lines(text[:cut])
        self._tail = text[cut:]

    def finish(self, reread: Iterable[bytes]) -> int:
        """The number of records; `reread` gives the whole stream again, needed only if it has quotes."""
        if self.has_quotes:
            return sum(1 for _ in split_records(reread))
        return self._plain + _count_lines(self._tail + b"\n")


def _count_lines(text: bytes) -> int:
    """Lines that are not blank in text that ends with a line feed (or is empty)."""
    if text.startswith((b"\n", b"\r\n")) or b"\n\n" in text or b"\n\r\n" in text:
        return sum(1 for line in text.split(b"\n") if line.removesuffix(b"\r"))
    return text.count(b"\n")
