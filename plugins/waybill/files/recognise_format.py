"""Recognise how a file is written by its first bytes, and say why."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from waybill.contracts.file_format import FileFormat
from waybill.contracts.member_paths import join_path
from waybill.files.formats import names_delimiter, signature
from waybill.files.json_records import is_json
from waybill.files.recognise_dialect import SAMPLE_CHARACTERS, Cell, Reading, is_blank, likely_readings, read
from waybill.files.recognise_encoding import recognise_encoding
from waybill.files.recognise_fixed_width import fixed_width_columns
from waybill.files.recognise_json import find_json_records, in_place_of_records, looks_like_json
from waybill.files.recognise_table import find_table
from waybill.formatting import count

HEAD_BYTES: Final = 2**18
"""No more bytes are read. A shorter beginning of a file is taken for the whole file."""
FIXED_WIDTH: Final = "most likely fixed-width text, which cannot be declared"
_RIVAL = 0.85
_UNCLEAR = 0.3
_NAMES = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "pipes",
    ":": "colons",
    "^": "carets",
    "~": "tildes",
    " ": "blanks",
    ", ": "commas and blanks",
    '"': "double quotes",
    "'": "single quotes",
    "\\": "backslashes",
}


@dataclass(frozen=True)
class Recognised:
    """How a file is written, as far as its beginning shows it."""

    format: FileFormat | None
    """None if the file is empty or in a format that cannot be read."""
    what: str
    """The format in words, such as `CSV with semicolons` or `a PDF document`."""
    names: tuple[str, ...] = ()
    """The names of the columns, or of the members of the first JSON record; empty if the file names none."""
    fields: int = 0
    """Of CSV: the number of fields of most records."""
    is_even: bool = True
    """Of CSV: whether all records have so many fields."""
    evidence: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    """Without a format: what to do."""


def recognise(head: bytes, name: str) -> Recognised:
    """Return how a file with this name is written that begins with `head`, unpacked.

    Deterministic; takes at most some tenths of a second.
    """
    is_whole, head = len(head) < HEAD_BYTES, head[:HEAD_BYTES]
    if not head.strip(b"\0\t\n\r ,;" + codecs.BOM_UTF8):
        return Recognised(None, "an empty file", doubts=("Send it again.",))
    if found := signature(head):
        why = f"The first bytes are those of {found.what}."
        return Recognised(
            found.format, found.what, evidence=(why,), doubts=() if found.format else (f"{found.advice}.",)
        )
    encoding = recognise_encoding(head)
    if encoding.name is None:
        return Recognised(None, "not text", doubts=(encoding.doubt,))
    decoder = codecs.getincrementaldecoder(encoding.name)("replace")
    text = decoder.decode(head, final=is_whole).lstrip("\ufeff")
    evidence, doubts = [encoding.evidence], [encoding.doubt]
    file_format = FileFormat(encoding=encoding.name)
    records = find_json_records(text) if looks_like_json(text) else None
    without_names = records is None or not records.names
    if without_names and (instead := in_place_of_records(text, is_named_json=is_json(name))):
        recognised = Recognised(None, f"JSON without records: {instead}")
        doubts.append("A record is an object with members: send an array of objects, or one object per line.")
    elif records:
        if records.path:
            evidence.append(f"The records are under {join_path(records.path)}.")
        doubts += [f"Records are also under {path}." for path in records.others]
        recognised = Recognised(replace(file_format, name="json", record_path=records.path), "JSON", records.names)
    else:
        if is_json(name):
            doubts.append("The name ends like that of a JSON file, but the content is not JSON.")
        recognised = _recognise_csv(text, file_format, evidence, doubts, is_whole=is_whole)
    return replace(recognised, evidence=tuple(filter(None, evidence)), doubts=tuple(filter(None, doubts)))


def _recognise_csv(
    text: str, file_format: FileFormat, evidence: list[str], doubts: list[str], *, is_whole: bool
) -> Recognised:
    text, line_end = _with_line_feeds(text)
    if line_end:
        evidence.append(f"Records end in U+{ord(line_end):04X}.")
    first, _, rest = text.partition("\n")
    declared = names_delimiter(first)
    if declared:
        evidence.append(f"The first line declares the delimiter {declared!r}.")
        text = rest
    sample = text[:SAMPLE_CHARACTERS]
    if is_cut := len(sample) < len(text) or not is_whole:
        sample = sample[: sample.rfind("\n") + 1] or sample
    readings = likely_readings(sample, is_whole=not is_cut, delimiters=[declared] if declared else [])
    best_score, best = readings[0]
    dialect = best.dialect
    if is_cut:
        best = read(text, dialect)
        if not is_whole and len(best.records) > 1:
            del best.records[-1]
    table = find_table(best, is_whole=is_whole)
    if _is_fixed_width(sample, best):
        evidence.append("Values are padded with blanks to the same places in nearly all lines.")
        doubts.append("Export it as CSV.")
        return Recognised(None, FIXED_WIDTH)
    evidence += [*_said(best), *table.evidence]
    doubts += [*_rivals(readings), *_other_records(readings), *_literal(best), *table.doubts]
    if best_score < _UNCLEAR and best.fields > 1:
        doubts.append("No delimiter divides the records evenly.")
    recognised = replace(
        file_format,
        name="csv",
        delimiter=dialect.delimiter,
        quote=dialect.quote,
        escape=dialect.escape if dialect.escape != dialect.quote else None,
        skip_lines=table.skip_lines,
        header_lines=table.header_lines,
        ignored_lines=table.ignored_lines,
        line_end=line_end,
    )
    what = f"CSV with {in_words(dialect.delimiter)}"
    return Recognised(recognised, what, table.names, best.fields, is_even=not table.odd_records)


def _is_fixed_width(text: str, reading: Reading) -> bool:
    """Return whether the columns of a text are padded with blanks rather than separated by the reading's delimiter."""
    is_doubtful = (
        reading.dialect.delimiter in (" ", ":") or reading.fields == 1 or reading.fitting < 0.9 * len(reading.records)
    )
    least = 2 if reading.dialect.delimiter == " " else reading.fields
    return is_doubtful and fixed_width_columns(text) >= max(least, 2)


def _with_line_feeds(text: str) -> tuple[str, str | None]:
    """Return a text whose lines end in line feeds, and the character that ended them if it is not a usual one."""
    if "\n" in text:
        return text.replace("\r\n", "\n"), None
    if "\r" in text:
        return text.replace("\r", "\n"), None
    for line_end in "\x1e\x85\u2028":
        if line_end in text:
            return text.replace(line_end, "\n"), line_end
    return text, None


def in_words(character: str) -> str:
    """Return a delimiter, quote or escape character in words, in the plural."""
    return _NAMES.get(character) or repr(character)


def _said(reading: Reading) -> list[str]:
    """Return sentences about delimiter, quotes and escape character."""
    fields, (delimiter, quote, escape, _) = reading.fields, reading.dialect
    if fields == 1:
        said = ["No delimiter occurs in most records: there is one column."]
    else:
        records = f"{reading.fitting} of {count(len(reading.records), 'record')}"
        said = [f"{in_words(delimiter).capitalize()} separate {fields} fields in {records}."]
    if quote == "'" or (quote and escape != quote):
        said.append(f"{in_words(quote).capitalize()} enclose {count(reading.quoted, 'field')}.")
    if escape != quote:
        said.append(f"{in_words(escape).capitalize()} precede special characters.")
    if not quote:
        said.append("Quotes belong to the values.")
    return said


def _literal(reading: Reading) -> list[str]:
    """Return doubts about characters that are read as part of values, but often are not."""
    _, quote, escape, _ = reading.dialect
    doubts = []

    def note(what: str, is_odd: Callable[[Cell], bool]) -> None:
        records = zip(reading.lines, reading.records, strict=False)  # the last record may be cut off
        if lines := [line for line, record in records for cell in record if is_odd(cell)]:
            doubts.append(f"{what} {count(len(lines), 'value')}, first in line {lines[0] + 1}.")

    if quote != "'":
        note("Single quotes enclose", lambda cell: not cell.is_quoted and re.fullmatch("'.*'", cell.text) is not None)
    if quote != '"':
        note("Two double quotes in a row are in", lambda cell: '""' in cell.text)
    if escape == quote:
        escaped = "A backslash precedes a quote or a delimiter in"
        note(escaped, lambda cell: not cell.is_quoted and re.search(r"""\\['"]|\\\Z""", cell.text) is not None)
    return doubts


def _rivals(readings: list[tuple[float, Reading]]) -> list[str]:
    """Return a doubt for the best reading with another delimiter, if it is nearly as good."""
    best_score, best = readings[0]
    for score, reading in readings[1:]:
        delimiter = reading.dialect.delimiter
        if delimiter.strip() != best.dialect.delimiter.strip():
            if score >= _RIVAL * best_score and reading.fields > 1:
                return [f"{in_words(delimiter).capitalize()} would also separate {reading.fields} fields."]
            return []
    return []


def _other_records(readings: list[tuple[float, Reading]]) -> list[str]:
    """Return a doubt if other quotes, or none, make as even a table of another number of records."""
    best = readings[0][1]
    records = _records(best)
    for _, reading in readings[1:]:
        delimiter, quote, *_ = reading.dialect
        is_other = delimiter == best.dialect.delimiter and quote != best.dialect.quote
        if is_other and reading.fields == best.fields > 1 and reading.fitting == _records(reading) != records:
            quotes = f"With {in_words(quote)}" if quote else "Without quotes"
            return [f"{quotes}, there would be {count(reading.fitting, 'record')} instead of {records}."]
    return []


def _records(reading: Reading) -> int:
    return sum(not is_blank(record) for record in reading.records)
