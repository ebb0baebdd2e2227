"""Split a CSV file into records without a CSV library, so that rows are counted independently of the loader.

A record has fields with delimiters between them, each quoted as a whole or not at all, and a line end outside of
quotes. Any other line is one malformed record: an unclosed quote, a quote within an unquoted field, blanks or text
around a quoted field, a carriage return without a line feed. Reading continues with the next line, so an unclosed quote
does not swallow the records after it. Lines of nothing but delimiters and blanks, which spreadsheets leave below a
table, are not records.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from waybill.files.csv_syntax import MAX_RECORD_BYTES, Syntax, syntax_of
from waybill.files.ignored_lines import IgnoredLines

_PLAIN: Final = syntax_of()
_LINE_FEED: Final = ord("\n")


class Record(NamedTuple):
    """A record of text fields, or the reasons why it is malformed."""

    fields: list[str | None]
    reasons: list[str]
    text: str
    """The record as it arrived, for the quarantine."""
    is_unfinished: bool = False
    """Whether the record is malformed but could become well formed with more text at its end."""


_SHORT_BYTES = 2048
"""Texts shorter than this are counted faster without numpy."""


def split_records(
    chunks: Iterable[bytes], fields: int | None = None, syntax: Syntax = _PLAIN
) -> Iterator[tuple[bytes, bool]]:
    """Yield the bytes of each record without its line end, and whether it is well formed.

    The lines after a malformed record, or after a record with quotes that does not have the given number of `fields`,
    may be the rest of a quoted field. If they can be read so, they count as malformed.
    """
    source, quote, end = iter(chunks), syntax.quote, syntax.line_end
    buffer, position, at_end, ambiguous_until = b"", 0, False, 0

    def fetch() -> None:
        nonlocal buffer, position, at_end, ambiguous_until
        chunk = next(source, None)
        at_end = chunk is None
        ambiguous_until -= position
        buffer, position = buffer[position:] + (chunk or b""), 0
        if at_end and buffer:
            buffer += end  # a second one is a blank line, unless the first is escaped

    while True:
        match = syntax.record.match(buffer, position)
        line_end = buffer.find(end, position) if match is None else match.end() - len(end)
        if match is None and not at_end and len(buffer) - position < MAX_RECORD_BYTES:
            fetch()
            continue
        if line_end < 0:
            if position < len(buffer):  # a line longer than the limit is a malformed record
                line_end = len(buffer)
            else:
                return
        record = syntax.without_carriage_return(buffer[position:line_end])
        well_formed = match is not None and position >= ambiguous_until
        position = line_end + len(end)
        if quote and quote in record and (match is None or (fields and syntax.count_fields(record) != fields)):
            while not at_end and len(buffer) - position < MAX_RECORD_BYTES:
                fetch()
            if rest := syntax.rest_of_record.match(buffer, position):
                ambiguous_until = max(ambiguous_until, rest.end())
        if not syntax.is_blank(record):
            yield record, well_formed


def split_first(text: bytes, syntax: Syntax = _PLAIN) -> tuple[bytes, bool, bytes] | None:
    """Return the first record, whether it is well formed, and the text after it; None if there is no record."""
    text, line_end = syntax.leading_blank_lines.sub(b"", text, count=1), syntax.line_end
    if not text:
        return None
    match = syntax.record.match(text) or syntax.record.match(text + line_end)
    end = match.end() - len(line_end) if match else text.find(line_end) % (len(text) + 1)
    return syntax.without_carriage_return(text[:end]), match is not None, text[end + len(line_end) :]


class RecordCounter:
    """Counts the records of a stream that arrives in chunks of any size.

    Lines without quotes and escape characters are counted by their line ends; only the others are parsed.
    """

    def __init__(self, fields: int, syntax: Syntax = _PLAIN, ignored: IgnoredLines | None = None) -> None:
        self.rows = 0
        self._syntax = syntax
        self._ignored = ignored or None
        self._kept: list[bytes] = []  # the text without ignored lines, if there are patterns
        self._fields = fields
        self._delimiters = 0
        self._line_ends = 0
        self._line_end_bytes = 0
        self._tail = b""  # the beginning of a record that is not complete
        self._has_irregular = not syntax.is_read_by_duckdb
        self._blank_starts = syntax.blank_starts + b"\n"
        self._odd = [*(b"\n%c" % start for start in self._blank_starts), b"\r"]
        self.lacks_line_end = False
        """Whether the last record has no line end; valid after `finish`."""
        self.multiline_records = 0
        """Records that look like several: a field has line ends, and two lines have as many delimiters as a record."""
        self.first_multiline_record = 0
        """The record number of the first of them."""

    @property
    def is_regular(self) -> bool:
        """Return whether DuckDB reads the records alike; valid after `finish`.

        No record is malformed or blank, the delimiters match the header, and escape characters are within quotes.
        DuckDB does not report other records. With a line end of its own, no field has characters of a line end.
        """
        line_end_bytes = self._line_ends * _line_end_bytes(self._syntax.line_end)
        return (
            not self._has_irregular
            and self._delimiters == self.rows * (self._fields - 1)
            and (not self._syntax.has_own_line_end or self._line_end_bytes == line_end_bytes)
        )

    def feed(self, chunk: bytes) -> bytes:
        """Count the records of the next chunk. Return its text, or the text that is complete, without ignored lines."""
        self._count(self._tail + chunk, at_end=False)
        return chunk if self._ignored is None else self._take_kept()

    def finish(self) -> bytes:
        """Count a last record without a line end. Return the text that `feed` has not returned."""
        syntax, end = self._syntax, self._syntax.line_end
        last_line = self._tail[_line_start(self._tail, 0, len(self._tail), end) :]
        rows, self.lacks_line_end = self.rows, not syntax.is_blank(syntax.without_line_end(last_line))
        if self._tail:
            self._count(self._tail + end, at_end=True)
        if self._ignored is None:
            return b""
        self.lacks_line_end &= self.rows > rows  # otherwise the last line was ignored
        return self._take_kept()

    def _take_kept(self) -> bytes:
        kept, self._kept = b"".join(self._kept), []
        return kept

    def _count(self, text: bytes, *, at_end: bool) -> None:
        syntax, end, position = self._syntax, self._syntax.line_end, 0
        while (special := syntax.find_special(text, position)) >= 0:
            start = _line_start(text, position, special, end)
            if self._ignored is not None and self._ignores(text, start, at_end=at_end):
                self._count_lines(text[position:start])
                position = _line_after(text, start, end)
                continue
            match = None if self._ignored else syntax.records_with_quotes.match(text, start)
            # A record may begin with a character of the declared line end.
            match = match or syntax.record.match(text, start)
            self._count_lines(text[position:start])
            if match is not None:
                position = match.end()
                self._count_records(text[start:position])
            elif not at_end and len(text) - start < MAX_RECORD_BYTES:
                self._tail = text[start:]
                return
            else:
                position = _line_after(text, start, end)
                self._count_record(text[start:position], is_well_formed=False)
        cut = _line_start(text, position, len(text), end)
        self._count_lines(text[position:cut])
        self._tail = text[cut:]

    def _ignores(self, text: bytes, start: int, *, at_end: bool) -> bool:
        """Return whether the line at `start`, which has a quote, is complete and ignored."""
        line = text[start : _line_after(text, start, self._syntax.line_end)]
        is_complete = at_end or line.endswith(self._syntax.line_end)
        return is_complete and self._ignored is not None and self._ignored.matches(line)

    def _count_records(self, text: bytes) -> None:
        """Count whole, well-formed records, each with quotes or escape characters."""
        syntax, end = self._syntax, self._syntax.line_end
        without_quotes, has_odd_escapes = syntax.simplified(text)
        if codecs.BOM_UTF8 not in text and text.count(end) == without_quotes.count(end):
            if self._ignored is not None:
                self._kept.append(text)
            self._has_irregular |= has_odd_escapes
            self._count_plain_lines(without_quotes)
            return
        position = 0
        while match := syntax.record.match(text, position):
            self._count_record(text[position : match.end()], is_well_formed=True)
            position = match.end()

    def _count_record(self, record: bytes, *, is_well_formed: bool) -> None:
        """Count a record with quotes or escape characters; `record` has its line end."""
        syntax, end = self._syntax, self._syntax.line_end
        if self._ignored is not None:
            self._kept.append(record)
        self.rows += 1
        self._line_ends += 1
        self._line_end_bytes += _line_end_bytes(end)
        self._delimiters += syntax.count_fields(record) - 1
        self._has_irregular |= not is_well_formed or record.startswith(codecs.BOM_UTF8)
        self._has_irregular |= syntax.simplified(record)[1]
        if is_well_formed and record.find(end, 0, -len(end)) >= 0:
            self._has_irregular |= syntax.has_own_line_end
            if self._looks_like_several(record):
                self.multiline_records += 1
                self.first_multiline_record = self.first_multiline_record or self.rows

    def _looks_like_several(self, record: bytes) -> bool:
        """Return whether two lines of a record have as many delimiters as a record: quotes may be missing."""
        lines = record.split(self._syntax.line_end)
        return sum(line.count(self._syntax.delimiter) == self._fields - 1 > 0 for line in lines) > 1

    def _count_lines(self, text: bytes) -> None:
        """Count whole lines without quotes and escape characters."""
        if self._ignored is not None:
            text = self._ignored.without(text)
            self._kept.append(text)
        self._count_plain_lines(text)

    def _count_plain_lines(self, text: bytes) -> None:
        if not text:
            return
        delimiter, end = self._syntax.delimiter, self._syntax.line_end
        if self._syntax.has_own_line_end:
            lines = text.count(end)
            self.rows += lines
            self._line_ends += lines
            self._line_end_bytes += _line_end_bytes(text)
            self._delimiters += text.count(delimiter)
            self._leave_out_blank_lines(text)
            return
        if len(text) < _SHORT_BYTES and text[0] not in self._blank_starts and not any(odd in text for odd in self._odd):
            self.rows += text.count(b"\n")
            self._delimiters += text.count(delimiter)
            return
        import numpy as np

        # Many times faster than bytes.count for bytes that occur often.
        characters = np.frombuffer(text, dtype=np.uint8)
        line_ends = np.flatnonzero(characters == _LINE_FEED)
        first = np.append(characters[:1], characters[line_ends[:-1] + 1])  # of each line
        self.rows += len(line_ends)
        is_byte = len(delimiter) == 1
        self._delimiters += int(np.count_nonzero(characters == delimiter[0])) if is_byte else text.count(delimiter)
        if b"\r" in text:
            self._has_irregular |= text.count(b"\r") != text.count(b"\r\n")
            self._leave_out_blank_lines(text)
        elif any(np.any(first == start) for start in self._blank_starts):
            self._leave_out_blank_lines(text)

    def _leave_out_blank_lines(self, text: bytes) -> None:
        """Take back the count of blank lines. DuckDB skips only empty ones."""
        blank = self._syntax.blank_lines(text)
        self.rows -= len(blank)
        self._delimiters -= sum(line.count(self._syntax.delimiter) for line in blank)
        self._has_irregular |= any(blank)


def _line_start(text: bytes, start: int, position: int, line_end: bytes) -> int:
    """Return where the line at `position` starts, at least `start`."""
    found = text.rfind(line_end, start, position)
    return start if found < 0 else found + len(line_end)


def _line_after(text: bytes, position: int, line_end: bytes) -> int:
    """Return where the line after `position` starts, at most the length of the text."""
    found = text.find(line_end, position)
    return len(text) if found < 0 else found + len(line_end)


def _line_end_bytes(text: bytes) -> int:
    return text.count(b"\n") + text.count(b"\r")
