"""Receive a CSV file: match its header with the contract and count its records."""

from __future__ import annotations

import codecs
import json
import logging
import re
from collections.abc import Callable, Collection
from contextlib import closing
from itertools import chain
from pathlib import Path

from waybill.blanks import strip
from waybill.contracts import Contract
from waybill.contracts.classification import MASK, restricted_names
from waybill.contracts.file_format import PLAIN
from waybill.errors import DataError
from waybill.files.content import Download
from waybill.files.csv_syntax import Syntax, syntax_of
from waybill.files.formats import names_delimiter
from waybill.files.ignored_lines import IgnoredLines
from waybill.files.prefetch import prefetch, short_switch_interval
from waybill.files.received_file import ReceivedFile
from waybill.files.recognise_encoding import BYTE_ORDER_MARKS, recognise_encoding
from waybill.files.records import RecordCounter, split_first
from waybill.files.spellings import find_column, joined_header, normalise, spellings_of
from waybill.files.transcoding import as_readable, is_utf_8, transcode
from waybill.formatting import count

log = logging.getLogger(__name__)

_CONTEXT_BYTES = 10_000
_END_OF_LINE = re.compile("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_OTHER_QUOTES = "'`\u2018\u201c\u201e\u00ab"


class UnfitError(DataError):
    """A file is not written as the contract declares, or its header is not that of the contract."""

    columns: tuple[list[str], list[str]] | None = None
    """Of a header that lacks required columns: the contract's columns, and the other names that it has."""


def receive_csv(download: Download, head: bytes, contract: Contract, folder: Path) -> ReceivedFile:
    """Write the records of a CSV file to `folder`, without the header; `head` is the first chunk of the download."""
    chunks, form = download.chunks, contract.file_format
    syntax = syntax_of(form.dialect)
    if form.line_end is None and _ends_lines_in_carriage_returns(head, syntax):
        head, chunks = _with_line_feeds(head), map(_with_line_feeds, chunks)
    ignored = IgnoredLines(form.ignored_lines, syntax)
    header, columns, rest = _read_header(download.name, download.size_bytes, head, contract, ignored)
    body = folder / "body.csv"
    counter = RecordCounter(len(header), syntax, ignored)
    decoder, is_text = codecs.getincrementaldecoder("utf-8")(), True
    encoding = None
    with body.open("wb") as stream, short_switch_interval(), closing(prefetch(chunks)) as arriving:
        for chunk in chain((rest,), arriving, (b"",)):
            stream.write(counter.feed(chunk))
            try:
                is_text = is_text and decoder.decode(chunk, final=not chunk) is not None and b"\0" not in chunk
            except UnicodeDecodeError as error:
                is_text = False
                context = error.object[max(error.start - _CONTEXT_BYTES, 0) : error.start + _CONTEXT_BYTES]
                encoding = recognise_encoding(context).name if is_utf_8(form.encoding) else form.encoding
        stream.write(counter.finish())
    ignored.log(download.name)
    return ReceivedFile(
        download.landed,
        download.content(),
        body,
        counter.rows,
        columns,
        header,
        is_regular=is_text and counter.is_regular,
        lacks_line_end=counter.lacks_line_end,
        multiline_records=counter.multiline_records,
        first_multiline_record=counter.first_multiline_record,
        likely_encoding=encoding,
        file_format=form,
        ignored_lines=ignored.counts,
        suspect_patterns=tuple(ignored.suspect(len(header), counter.rows)),
        column_names=frozenset({*map(normalise, header), *spellings_of(contract)} - {""}),
    )


def columns_in(name: str, head: bytes, contract: Contract) -> list[str | None]:
    """Return the contract's column for each field at the beginning of a file, in its own encoding.

    Raises `DataError` if the file is not written as the contract declares. If the contract says that there is no
    header, the first record must have as many fields as the contract has columns.
    """
    form = contract.file_format
    syntax = syntax_of(form.dialect)
    text = b"".join(transcode(name, iter((head,)), form.encoding))
    if form.line_end is None and _ends_lines_in_carriage_returns(text, syntax):
        text = _with_line_feeds(text)
    header, columns, rest = _read_header(name, len(head), text, contract, IgnoredLines(form.ignored_lines, syntax))
    first = split_first(rest, syntax)
    if form.header_lines == 0 and first and not (first[1] and syntax.count_fields(first[0]) == len(header)):
        raise UnfitError(f"{name}: the first record does not have {count(len(header), 'field')}")
    return columns


def _ends_lines_in_carriage_returns(head: bytes, syntax: Syntax) -> bool:
    return b"\r" in head and b"\n" not in head and b"\r" in syntax.without_quotes(head)


def _with_line_feeds(text: bytes) -> bytes:
    return text.replace(b"\r", b"\n")


def _first_line(text: str, contract: Contract) -> str:
    """Return a part of a header for a message. With other line ends than declared, rows follow the names in it."""
    return _END_OF_LINE.split(text, maxsplit=1)[0] if restricted_names(contract) else text


def match_header(name: str, header: list[str], contract: Contract) -> list[str | None]:
    """Return the contract's column for each header field, by name and synonyms.

    Raises `UnfitError` if a column occurs twice or a required one is missing. If the contract has restricted columns
    and no field is a column's name, the message masks the record: it may be a row.
    """
    spellings = spellings_of(contract)
    columns = [find_column(spellings, field) for field in header]
    present = [column for column in columns if column]
    end = next((at for at, field in enumerate(header) if _first_line(field, contract) != field), len(header))
    shown = _first_line(", ".join(header), contract)[:500] if present or not restricted_names(contract) else MASK
    if repeated := sorted({column for column in present if present.count(column) > 1}):
        raise UnfitError(f"{name}: the header has {', '.join(repeated)} more than once. The header is: {shown}")
    if missing := [item.name for item in contract.delivered_columns if item.required and item.name not in present]:
        cause = "" if present else "no field of the header is the name of a column: the header may be missing. "
        error = UnfitError(f"{name}: {cause}Required columns are missing: {', '.join(missing)}. The header is: {shown}")
        if present:  # otherwise it may be a row
            named = zip(header[:end], columns[:end], strict=True)
            unknown = [field for field, column in named if not column and normalise(field)]
            error.columns = present, unknown
        raise error
    return columns


def _read_header(
    name: str, size: int, text: bytes, contract: Contract, ignored: IgnoredLines
) -> tuple[list[str], list[str | None], bytes]:
    """Return the header fields, the contract's column for each, and the rest of `text`, the beginning of a file.

    Without header lines, the fields are the contract's columns in order. Raises `DataError` if there is no header or it
    does not match the contract.
    """
    form = contract.file_format
    syntax = syntax_of(form.dialect)
    text = BYTE_ORDER_MARKS.sub(b"", text)
    text = _without_ignored(_without_lines(name, text, form.skip_lines, syntax), ignored, syntax)
    first = split_first(text, syntax)
    if first and names_delimiter(first[0].decode("utf-8", "replace")) == form.dialect.delimiter:
        text = _without_ignored(first[2], ignored, syntax)  # after a line for spreadsheets that names the delimiter
        first = split_first(text, syntax)
    names = [column.name for column in contract.delivered_columns]
    if first is None or not (strip(first[0].decode("utf-8", "replace")) or first[2].strip()):
        if form.accepts_empty or form.header_lines == 0 < form.skip_lines:  # then the lines above the records are there
            return names, [*names], b""
        what = "no records" if form.header_lines == 0 else "no header"
        raise DataError(f"{name}: the file is empty ({count(size, 'byte')}) and has {what}. Send it again.")
    if form.header_lines == 0:
        return names, [*names], text
    if form.line_end is None and syntax.line_end not in text:
        _check_line_end(name, first[0], syntax)
    fields, rest = _header_line(name, first, contract)
    lines = [fields]
    for _ in range(1, form.header_lines):
        rest = _without_ignored(rest, ignored, syntax)
        if (more := split_first(rest, syntax)) is None:
            raise DataError(f"{name}: the file ends within its {form.header_lines} header lines (headerLines).")
        fields, rest = _header_line(name, more, contract)
        lines.append(fields)
    header = joined_header(lines) if len(lines) > 1 else fields
    return header, match_header(name, header, contract), rest


def _check_line_end(name: str, text: bytes, syntax: Syntax) -> None:
    """Raise `UnfitError` if a text without line feeds has other line ends: its records would be part of the header."""
    first, *others = syntax.without_quotes(text).decode("utf-8", "replace").splitlines(keepends=True) or [""]
    if others:
        raise UnfitError(
            f"{name}: the file has no line feed, but U+{ord(first[-1]):04X}. If it ends the records, declare `lineEnd: "
            f"{json.dumps(first[-1])}` in the server of the contract."
        )


def _without_lines(name: str, text: bytes, lines: int, syntax: Syntax) -> bytes:
    """Return the text after its first lines. Raises `DataError` if it has no more lines than these."""
    start = 0
    for number in range(lines):
        end = text.find(syntax.line_end, start)
        if end < 0:
            lines_found = number + bool(text[start:])
            raise DataError(
                f"{name}: the contract skips {lines} lines (skipLines), but the file has only {lines_found}. Correct "
                "the contract, or send the file again."
            )
        start = end + len(syntax.line_end)
    return text[start:]


def _without_ignored(text: bytes, ignored: IgnoredLines, syntax: Syntax) -> bytes:
    """Return the text without blank and ignored lines at its beginning."""
    while ignored and (text := syntax.leading_blank_lines.sub(b"", text, count=1)):
        line, _, rest = text.partition(syntax.line_end)
        if not ignored.matches(line):
            break
        text = rest
    return text


def _header_line(name: str, first: tuple[bytes, bool, bytes], contract: Contract) -> tuple[list[str], bytes]:
    """Return the fields of a header line, which is the record `first`, and the text after it.

    Raises `UnfitError` if the record is not a header.
    """
    record, well_formed, rest = first
    form, spellings = contract.file_format, spellings_of(contract)

    def is_name(field: str) -> bool:
        return find_column(spellings, field) is not None

    try:
        line = record.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _undecoded(name, record, contract) from error
    if (delimiter := names_delimiter(line)) is not None:
        raise UnfitError(
            f"{name}: the first line declares the delimiter {delimiter!r}, but the contract declares "
            f"{form.dialect.delimiter!r}. Export the file as the contract declares."
        )
    if not well_formed or "\0" in line:
        is_header = any(is_name(field.strip('"')) for field in line.split(form.dialect.delimiter))
        shown = repr(_first_line(line, contract)[:200]) if is_header or not restricted_names(contract) else MASK
        cause = " Lines must end in a line feed, not only in a carriage return." if "\r" in line else ""
        raise UnfitError(f"{name}: the first record is not a CSV header: {shown}.{cause}")
    header = syntax_of(form.dialect).fields(line)
    if form.dialect == PLAIN and (quote := _other_quote(header, is_name)):
        raise UnfitError(
            f"{name}: the header encloses names in {quote}, which CSV reads as part of a value. "
            f'Export the file with " as the quote character. The header is: {_first_line(line, contract)[:500]}'
        )
    return header, rest


def _other_quote(header: Collection[str], is_name: Callable[[str], bool]) -> str | None:
    """Return the character, other than a double quote, that encloses column names in a header, or None."""
    for quote in _OTHER_QUOTES:
        if any(field.startswith(quote) and len(field) > 2 and is_name(field[1:-1]) for field in map(strip, header)):
            return quote
    return None


def _undecoded(name: str, record: bytes, contract: Contract) -> DataError:
    """Return the error about a header with bytes that the encoding does not define."""
    encoding = contract.file_format.encoding
    likely = recognise_encoding(record).name if is_utf_8(encoding) else encoding
    if likely is None:
        return UnfitError(f"{name}: the content is not text. Export the file as CSV or JSON.")
    is_other = is_utf_8(encoding) and not is_utf_8(likely)
    shown = record.decode(likely, "replace") if is_other else as_readable(record, encoding)
    shown = MASK if restricted_names(contract) else shown[:500]
    if is_other:
        return UnfitError(
            f"{name}: the text appears to be in {likely}. Declare `encoding: {likely}` in the server of the contract, "
            f"or export the file as UTF-8. The header is: {shown}"
        )
    return UnfitError(
        f"{name}: the header has bytes that {encoding} does not define: {shown}. Correct `encoding` in the contract, "
        "or export the file as declared."
    )
