"""Split a CSV file into records without a CSV library, so that rows are counted independently of the loader.

A record follows RFC 4180: fields separated by commas, each quoted as a whole or not at all, and a line feed outside of
quotes at the end. Any other line is one malformed record: an unclosed quote, a quote within an unquoted field, blanks
or text around a quoted field, a carriage return without a line feed. Reading continues with the next line, so an
unclosed quote does not swallow the records after it. Blank lines and lines of commas, which spreadsheets leave below a
table, are not records.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Record(NamedTuple):
    """A record of text fields, or the reasons why it is malformed."""

    fields: list[str | None]
    reasons: list[str]
    text: str
    """The record as it arrived, for the quarantine."""
    is_unfinished: bool = False
    """Whether the record is malformed but could become well formed with more text at its end."""


MAX_RECORD_BYTES = 4 * 2**20
"""Limit of the search for a closing quote."""

_PARTS = {
    b"bom": codecs.BOM_UTF8,  # within a file, where files were concatenated
    b"in_quotes": rb'(?:[^"]++|"")*+"',
    b"plain": rb'[ \t]*+(?:[^",\r\n \t][^",\r\n]*+)?',
}
_FIELD = rb'(?:"%(in_quotes)s|%(plain)s)' % _PARTS
_PARTS |= {b"field": _FIELD, b"more_fields": rb"(?:,%s)*+\r?\n" % _FIELD}
_RECORD = re.compile(rb"(?:%(bom)s)*+%(field)s%(more_fields)s" % _PARTS)
_REST_OF_RECORD = re.compile(rb"%(in_quotes)s%(more_fields)s" % _PARTS)
_QUOTED_FIELD = re.compile(rb'"%(in_quotes)s' % _PARTS)
_BLANK_LINE = re.compile(rb"^\r?\n", re.MULTILINE)
_COMMAS_ONLY = re.compile(rb"\n(,+)\r?(?=\n)")
_LINE_FEED, _COMMA = b"\n,"
_SHORT_BYTES = 2048
"""Texts shorter than this are counted faster without numpy."""
_ODD_LINES = (b"\n\n", b"\n,", b"\r")
_BLANK_LINES = re.compile(rb"\A(?:,*+\r?\n)*+(?:,*+\r?\Z)?")


def split_records(chunks: Iterable[bytes], fields: int | None = None) -> Iterator[tuple[bytes, bool]]:
    """Yield the bytes of each record without its line end, and whether it is well formed.

    The lines after a malformed record, or after a record with quotes that does not have the given number of `fields`,
    may be the rest of a quoted field. If they can be read so, they count as malformed.
    """
    source = iter(chunks)
    buffer, position, at_end, ambiguous_until = b"", 0, False, 0

    def fetch() -> None:
        nonlocal buffer, position, at_end, ambiguous_until
        chunk = next(source, None)
        at_end = chunk is None
        ambiguous_until -= position
        buffer, position = buffer[position:] + (chunk or b""), 0
        if at_end and buffer and not buffer.endswith(b"\n"):
            buffer += b"\n"

    while True:
        match = _RECORD.match(buffer, position)
        line_end = buffer.find(b"\n", position) if match is None else match.end() - 1
        if match is None and not at_end and len(buffer) - position < MAX_RECORD_BYTES:
            fetch()
            continue
        if line_end < 0:
            if position < len(buffer):  # a line longer than the limit is a malformed record
                line_end = len(buffer)
            else:
                return
        record = buffer[position:line_end].removesuffix(b"\r")
        well_formed = match is not None and position >= ambiguous_until
        position = line_end + 1
        if b'"' in record and (match is None or (fields and _count_fields(record) != fields)):
            while not at_end and len(buffer) - position < MAX_RECORD_BYTES:
                fetch()
            if rest := _REST_OF_RECORD.match(buffer, position):
                ambiguous_until = max(ambiguous_until, rest.end())
        if not _is_blank(record):
            yield record, well_formed


def _is_blank(record: bytes) -> bool:
    return not record or (record[0] == _COMMA and not record.strip(b","))


def split_first(text: bytes) -> tuple[bytes, bool, bytes] | None:
    """Return the first record, whether it is well formed, and the text after it; None if there is no record."""
    text = _BLANK_LINES.sub(b"", text, count=1)
    if not text:
        return None
    match = _RECORD.match(text) or _RECORD.match(text + b"\n")
    end = match.end() - 1 if match else text.find(b"\n") % (len(text) + 1)
    return text[:end].removesuffix(b"\r"), match is not None, text[end + 1 :]


class RecordCounter:
    """Counts the records of a stream that arrives in chunks of any size.

    Lines without quotes are counted by their line feeds; only lines with a quote are parsed.
    """

    def __init__(self, fields: int) -> None:
        self.rows = 0
        self._fields = fields
        self._commas = 0
        self._tail = b""  # the beginning of a record that is not complete
        self._has_irregular = False
        self.lacks_line_end = False
        """Whether the last record has no line end; valid after `finish`."""
        self.multiline_records = 0
        """Records that look like several: a field contains line ends, and two lines have as many commas as a record."""
        self.first_multiline_record = 0
        """The record number of the first of them."""

    @property
    def is_regular(self) -> bool:
        """Return whether no record is malformed or blank and the commas match the header; valid after `finish`.

        DuckDB does not report such records.
        """
        return not self._has_irregular and self._commas == self.rows * (self._fields - 1)

    def feed(self, chunk: bytes) -> None:
        """Count the records of the next chunk."""
        self._count(self._tail + chunk, at_end=False)

    def finish(self) -> None:
        """Count a last record without a line end."""
        last_line = self._tail[self._tail.rfind(b"\n") + 1 :]
        self.lacks_line_end = not _is_blank(last_line.removesuffix(b"\r"))
        self._count(self._tail + b"\n", at_end=True)

    def _count(self, text: bytes, *, at_end: bool) -> None:
        position = 0
        while (quote := text.find(b'"', position)) >= 0:
            start = max(text.rfind(b"\n", position, quote) + 1, position)
            match = _RECORD.match(text, start)
            if match is None and not at_end and len(text) - start < MAX_RECORD_BYTES:
                self._count_lines(text[position:start])
                self._tail = text[start:]
                return
            end = match.end() if match else (text.find(b"\n", start) + 1 or len(text))
            self._count_lines(text[position:start])
            self.rows += 1
            self._commas += _count_fields(text[start:end]) - 1
            self._has_irregular |= match is None or text.startswith(codecs.BOM_UTF8, start)
            if match and text.find(b"\n", start, end - 1) >= 0 and self._looks_like_several(text[start:end]):
                self.multiline_records += 1
                self.first_multiline_record = self.first_multiline_record or self.rows
            position = end
        cut = max(text.rfind(b"\n", position) + 1, position)
        self._count_lines(text[position:cut])
        self._tail = text[cut:]

    def _looks_like_several(self, record: bytes) -> bool:
        """Return whether two lines of a record have as many commas as a record: quotes may be missing."""
        return sum(line.count(b",") == self._fields - 1 > 0 for line in record.split(b"\n")) > 1

    def _count_lines(self, text: bytes) -> None:
        """Count whole lines without quotes."""
        if not text:
            return
        if len(text) < _SHORT_BYTES and text[0] not in b",\n" and not any(odd in text for odd in _ODD_LINES):
            self.rows += text.count(b"\n")
            self._commas += text.count(b",")
            return
        import numpy as np

        # Many times faster than bytes.count for bytes that occur often.
        characters = np.frombuffer(text, dtype=np.uint8)
        line_ends = np.flatnonzero(characters == _LINE_FEED)
        first = np.append(characters[:1], characters[line_ends[:-1] + 1])  # of each line
        self.rows += len(line_ends)
        self._commas += int(np.count_nonzero(characters == _COMMA))
        if np.any(first == _COMMA):
            blank = [len(commas) for commas in _COMMAS_ONLY.findall(b"\n" + text)]
            self.rows -= len(blank)
            self._commas -= sum(blank)
            self._has_irregular |= bool(blank)
        if b"\r" in text:
            self._has_irregular |= text.count(b"\r") != text.count(b"\r\n")
            self.rows -= _BLANK_LINE.subn(b"", text)[1]
        else:
            self.rows -= int(np.count_nonzero(first == _LINE_FEED))


def _count_fields(record: bytes) -> int:
    """Return the number of fields of a well-formed record."""
    return _QUOTED_FIELD.sub(b"", record).count(b",") + 1
