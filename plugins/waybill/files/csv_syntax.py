"""The syntax of a CSV dialect: the regular expressions that find its records and fields, over UTF-8.

A field is quoted as a whole or not at all. Within a quoted field, a doubled quote is a quote. An escape character
makes a delimiter, a quote, an escape character or a line end after it part of the value. Before any other character it
is part of the value itself: a path of Windows and the null word of MySQL stay as they are.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from functools import lru_cache

from waybill.contracts.file_format import PLAIN, Dialect

MAX_RECORD_BYTES = 4 * 2**20
"""Limit of the search for a closing quote."""

_DUCKDB_DELIMITER_BYTES = 4


@lru_cache
def syntax_of(dialect: Dialect = PLAIN) -> Syntax:
    """Return the syntax of a dialect, compiled once."""
    return Syntax(dialect)


class Syntax:
    """The regular expressions of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.delimiter = dialect.delimiter.encode()
        self.quote = dialect.quote.encode()
        self.escape = b"" if dialect.escape == dialect.quote else dialect.escape.encode()
        self.line_end = (dialect.line_end or "\n").encode()
        self.has_own_line_end = dialect.line_end is not None
        """Whether only the declared line end ends a record. By default a carriage return may precede the line feed."""
        parts = self._parts()
        self.record = re.compile(rb"(?:%(bom)s)*+%(field)s%(more_fields)s" % parts)
        self.records_with_quotes = re.compile(
            rb"(?:(?=[^%(ends)s]*+(?:%(quote)s|%(escape)s))(?:%(bom)s)*+%(field)s%(more_fields)s)++" % parts
        )
        self.rest_of_record = re.compile(rb"%(in_quotes)s%(more_fields)s" % parts)
        self.leading_blank_lines = re.compile(rb"\A(?:%(blank)s*+%(end)s)*+(?:%(blank)s*+\r?\Z)?" % parts)
        self._blank_lines = re.compile(rb"%(last)s(%(blank)s*+)(?=%(end)s)" % parts)
        self._blank = re.compile(rb"%(blank)s*+" % parts)
        self.blank_starts = self.delimiter[:1] + b" \t"
        """The first bytes of blank records that are not empty."""
        self._opaque = re.compile(rb"%(quoted)s|%(escaped)s" % parts)
        self._doubled = re.compile(rb"%(quote)s%(doubled)s%(quote)s" % parts)
        self._placeholder = (self.quote or self.escape).replace(b"\\", rb"\\")
        self._plainly_quoted = re.compile(
            rb"%(quote)s[^%(quote)s%(escape)s]*+(?:%(escape)s[%(quote)s%(escape)s][^%(quote)s%(escape)s]*+)*+%(quote)s"
            % parts
            if len(self.quote) == len(self.escape) == 1
            else b"(?!)"
        )
        self._special = re.compile(rb"%(quote)s|%(escape)s" % parts)
        self._field = re.compile(rb"%(quote)s(?P<quoted>%(within)s)%(quote)s|(?P<plain>%(plain)s)" % parts)
        escapes = rb"%(escape)s(%(delimiter)s|%(quote)s|%(escape)s|%(end)s|[\r\n])" % parts
        self._escapes = re.compile(escapes)
        self._escapes_in_quotes = re.compile(rb"%b|(%b)%b" % (escapes, parts[b"quote"], parts[b"quote"]))
        self._is_read_by_python = (
            len(dialect.delimiter) == 1 and not self.escape and not self.has_own_line_end and self.delimiter.isascii()
        )

    def _parts(self) -> dict[bytes, bytes]:
        """Return the parts of the regular expressions; those of a missing quote or escape never match."""
        nothing = b"(?!)"
        delimiter, line_end = re.escape(self.delimiter), re.escape(self.line_end)
        quote, escape = re.escape(self.quote) or nothing, re.escape(self.escape) or nothing
        line_ends = [self.line_end] if self.has_own_line_end else [b"\r", b"\n"]
        after_escape = b"" if self.has_own_line_end else rb"(?!\r\n)"  # does the escape belong to one or to both?
        escaped = escape + after_escape + rb"(?:%b|%b|%b|%b|(?s:.))" % (delimiter, quote, escape, line_end)
        escaped_in_quotes = escape + rb"(?:%b|%b|(?s:.))" % (quote, escape)
        if self.quote:
            within = _run([self.quote, self.escape], quote + quote, escaped_in_quotes if self.escape else b"")
        else:
            within = nothing
        plain = _run([self.delimiter, self.quote, self.escape, *line_ends], escaped if self.escape else b"")
        quoted = rb"%b%b%b" % (quote, within, quote)
        end = line_end if self.has_own_line_end else rb"\r?\n"
        field = rb"(?:%b|%b)" % (quoted, plain)
        return {
            b"bom": codecs.BOM_UTF8,  # within a file, where files were concatenated
            b"delimiter": delimiter,
            b"quote": quote,
            b"escape": escape,
            b"end": end,
            b"last": line_end,
            b"ends": b"".join(re.escape(one[:1]) for one in (b"\n", self.line_end, self.quote, self.escape)),
            b"blank": rb"(?:%b|[ \t])" % delimiter,
            b"within": within,
            b"doubled": _run([self.quote], quote + quote) if self.quote else nothing,
            b"in_quotes": within + quote,
            b"quoted": quoted,
            b"escaped": escaped,
            b"plain": plain,
            b"field": field,
            b"more_fields": rb"(?:%b%b)*+%b" % (delimiter, field, end),
        }

    @property
    def is_read_by_duckdb(self) -> bool:
        """Return whether DuckDB can read regular files of the dialect."""
        return len(self.delimiter) <= _DUCKDB_DELIMITER_BYTES and len(self.quote) <= 1 and len(self.escape) <= 1

    def find_special(self, text: bytes, start: int) -> int:
        """Return the position of the first quote or escape character from `start`; -1 if there is none."""
        if not self.escape:
            return text.find(self.quote, start) if self.quote else -1
        found = self._special.search(text, start)
        return found.start() if found else -1

    def is_blank(self, record: bytes) -> bool:
        """Return whether a record has nothing but delimiters and blanks."""
        return not record or (record[0] in self.blank_starts and self._blank.fullmatch(record) is not None)

    def blank_lines(self, text: bytes) -> list[bytes]:
        """Return the blank lines, without their ends, of a text of whole lines."""
        return self._blank_lines.findall(self.line_end + text)

    def simplified(self, records: bytes) -> tuple[bytes, bool]:
        """Return well-formed records without the content of quoted fields, and whether an escape character is odd.

        A sign that no delimiter has stands for each quoted field and escape. DuckDB reads odd escapes differently, or
        may do so: those outside of quotes, and those that do not precede a quote or an escape character.
        """
        if not self.escape or self.escape not in records:
            return self._doubled.sub(self._placeholder, records), False
        plain = self._plainly_quoted.sub(self._placeholder, records)
        return (self._opaque.sub(self._placeholder, records), True) if self.escape in plain else (plain, False)

    def without_quotes(self, records: bytes) -> bytes:
        """Return well-formed records without the content of quoted fields."""
        return self.simplified(records)[0]

    def count_fields(self, record: bytes) -> int:
        """Return the number of fields of a well-formed record."""
        return self.without_quotes(record).count(self.delimiter) + 1

    def has_open_quote(self, record: bytes) -> bool:
        """Return whether a record has an odd number of quotes that are not escaped."""
        if self.escape:
            record = re.sub(re.escape(self.escape) + rb"(?s:.)", b"", record)
        return bool(self.quote) and record.count(self.quote) % 2 == 1

    def malformed_reason(self, record: bytes) -> str:
        """Return the reason to reject a malformed record."""
        return "line_end" if b"\r" in record and not (self.quote and self.quote in record) else "quote"

    def without_line_end(self, line: bytes) -> bytes:
        """Return a line without the line end that may be there."""
        return self.without_carriage_return(line.removesuffix(self.line_end))

    def without_carriage_return(self, record: bytes) -> bytes:
        """Return a record without the carriage return that precedes its line feed, if there is one."""
        return record if self.has_own_line_end else record.removesuffix(b"\r")

    def fields(self, record: str) -> list[str]:
        """Return the fields of one well-formed record."""
        if self._is_read_by_python:
            csv.field_size_limit(MAX_RECORD_BYTES)
            reader = csv.reader(
                io.StringIO(record, newline=""),
                delimiter=self._dialect.delimiter,
                quotechar=self._dialect.quote or None,
                quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            )
            return next(reader)
        text, position, values = record.encode(), 0, list[bytes]()
        while field := self._field.match(text, position):
            quoted, plain = field.groups()
            values.append(
                self._escapes.sub(rb"\1", plain) if quoted is None else self._escapes_in_quotes.sub(rb"\1\2", quoted)
            )
            if field.end() == len(text):
                break
            position = field.end() + len(self.delimiter)
        return [value.decode() for value in values]


def _run(stops: Sequence[bytes], *others: bytes) -> bytes:
    """Return the pattern of the longest text without the given sequences, except where one of `others` matches."""
    stops = [stop for stop in stops if stop]
    starts = b"".join(re.escape(stop[:1]) for stop in stops)
    options = [*filter(None, others)]
    if any(len(stop) > 1 for stop in stops):
        options.append(rb"(?!%b)[%b]" % (b"|".join(map(re.escape, stops)), starts))
    other = rb"[^%b]*+" % starts
    return rb"%b(?:(?:%b)%b)*+" % (other, b"|".join(options), other) if options else other  # faster than (?:a++|b)*+
