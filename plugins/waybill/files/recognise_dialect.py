"""Recognise delimiter, quote and escape character of a CSV file by reading its beginning in every likely way.

A reading scores well if most records have equally many fields, if the fields look like values, and if quotes stand at
the edges of fields. Fields that contain another likely delimiter, or begin with a blank, count against a reading.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import NamedTuple

from waybill.contracts.file_format import Dialect
from waybill.files.value_kinds import TYPED, Kind, kind

SAMPLE_CHARACTERS = 32_768
"""Only so much is read in every likely way."""
COMMENT = re.compile(r"\s*(#|//|--|%|!)")
_LINES = 200
_USUAL = {",": 1.0, ";": 1.0, "\t": 1.05, "|": 1.0, "\x1f": 1.05, "\x01": 1.05, " ": 0.75, ":": 0.6}
_UNUSUAL = 0.7
_NEVER_DELIMITERS = frozenset("\"'`-_./\\@+()[]{}<>%$\u20ac\u00a3?\ufeff\u00a0\r\n")
_GROUP = re.compile(r"[,;|:~^#*](?: |[,;|:~^#*]{1,2}(?![,;|:~^#*]))")
_SEVERAL_VALUES = re.compile(r"[;\t|\x1f\x01]|\S,\S.*\S,\S", re.DOTALL)
_QUOTES = {'"': 1.0, "'": 0.995, "": 0.97}
_ESCAPED = 0.95
_LINES_WITH_DELIMITER = 0.5
_ONE_COLUMN = 0.2
_KIND_SCORE = {Kind.EMPTY: 0.8, Kind.WORD: 0.9, Kind.TEXT: 0.7}
_MAX_LEADING = 20


class Cell(NamedTuple):
    """A field of a record."""

    text: str
    is_quoted: bool


@dataclass
class Reading:
    """A text as it is read in one dialect."""

    dialect: Dialect
    records: list[list[Cell]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """For each record the number of its first line, from 0."""
    quoted: int = 0
    stray_quotes: int = 0
    """Fields with quotes that neither enclose the field nor are escaped within it."""

    @cached_property
    def fields(self) -> int:
        """Return the number of fields of most records; the larger one of two that are as frequent."""
        counts = Counter(len(record) for record in self.records if not is_blank(record))
        return max(counts, key=lambda fields: (counts[fields], fields), default=1)

    @property
    def fitting(self) -> int:
        """Return how many records have so many fields."""
        return sum(len(record) == self.fields for record in self.records)


def is_blank(record: Sequence[Cell]) -> bool:
    """Return whether all fields of a record are empty."""
    return not any(cell.text.strip() for cell in record)


def read(text: str, dialect: Dialect) -> Reading:
    """Read a text whose lines end in line feeds. A field with a stray quote keeps its quotes."""
    reading, pattern = Reading(dialect), _field_pattern(dialect)
    record: list[Cell] = []
    line = first_line = 0
    for match in pattern.finditer(text):
        inside, plain = match["inside"], match["plain"]
        if inside is not None:
            reading.quoted += 1
            line += inside.count("\n")
            record.append(Cell(_without_escapes(inside, dialect), is_quoted=True))
        else:
            reading.stray_quotes += has_stray_quote(plain, dialect)
            is_escaped = dialect.escape != dialect.quote
            record.append(Cell(_without_escapes(plain, dialect) if is_escaped else plain, is_quoted=False))
        if match["end"] != dialect.delimiter:
            reading.records.append(record)
            reading.lines.append(first_line)
            record, line = [], line + 1
            first_line = line
            if match.end() == len(text):
                break
    return reading


def has_stray_quote(field: str, dialect: Dialect) -> bool:
    """Return whether a field that is not quoted has a quote."""
    if dialect.quote == "'":  # also an apostrophe
        return field.lstrip().startswith(dialect.quote)
    if dialect.escape != dialect.quote:
        field = field.replace(dialect.escape + dialect.quote, "")
    return dialect.quote != "" and dialect.quote in field


def _without_escapes(field: str, dialect: Dialect) -> str:
    return re.sub(re.escape(dialect.escape) + r"([\s\S])", r"\1", field) if dialect.escape else field


def _field_pattern(dialect: Dialect) -> re.Pattern[str]:
    """Return the pattern of a field and of the delimiter or line end after it."""
    delimiter, quote, escape = map(re.escape, dialect[:3])
    if escape and escape != quote:
        plain = rf"(?:{escape}[^\n]|(?!{delimiter})[^\n{escape}])*+"
        inside = rf"(?:[^{quote}{escape}]|{quote}{quote}|{escape}[\s\S])*+"
    else:
        plain = rf"(?:(?!{delimiter})[^\n])*+" if len(dialect.delimiter) > 1 else rf"[^\n{delimiter}]*+"
        inside = rf"(?:[^{quote}]|{quote}{quote})*+"
    quoted = rf"{quote}(?P<inside>{inside}){quote}(?={delimiter}|\n|\Z)" if quote else r"(?P<inside>(?!))"
    return re.compile(rf"(?:{quoted}|(?P<plain>{plain}))(?P<end>{delimiter}|\n|\Z)")


def likely_readings(text: str, *, is_whole: bool, delimiters: Collection[str] = ()) -> list[tuple[float, Reading]]:
    """Return readings of a text with lines that end in line feeds, each with its score; the best one first.

    `is_whole` is false if the text is the beginning of a longer one. `delimiters` are the only ones that are tried.
    """
    lines = [line for line in text.split("\n") if line.strip()][:_LINES]
    readings = []
    for delimiter, quote in product(delimiters or _delimiters(lines), _QUOTES):
        escapes = [quote]
        if re.search(r"\\(?:[\"'\\]|" + re.escape(delimiter) + ")", text):
            escapes.append("\\")
        for escape in escapes:
            if not quote and '\\"' in text:
                continue  # a backslash before a quote means that quotes enclose fields
            reading = read(text, Dialect(delimiter, quote, escape))
            if not is_whole and len(reading.records) > 1:
                del reading.records[-1]  # it may be cut off
            if quote != "'" or reading.quoted:
                readings.append((_score(reading), reading))
    return sorted(readings, key=lambda scored: -scored[0])


def _delimiters(lines: Sequence[str]) -> Iterator[str]:
    """Yield the characters, and groups of characters, that may separate fields; the usual ones first."""
    with_character = Counter(character for line in lines for character in set(line))
    within_value = Counter[str]()
    for line in lines:
        line_kind = kind(line)
        if line_kind in {Kind.DATE, Kind.TIME, Kind.MOMENT} or (line_kind is Kind.NUMBER and " " in line.strip()):
            within_value.update(set(line) - {","})
    needed = max(_LINES_WITH_DELIMITER * len(lines), 1)
    single = [
        character
        for character, count in with_character.items()
        if count >= needed
        and not character.isalnum()
        and character not in _NEVER_DELIMITERS
        and within_value[character] < 0.8 * count
    ]
    single.sort(key=lambda character: (-_USUAL.get(character, _UNUSUAL), character))
    yield from single or [","]
    yield from (group for group in _groups(lines) if group[0] in single)


def _groups(lines: Sequence[str]) -> Iterable[str]:
    """Return delimiters of several characters, such as a comma and a blank, or two pipes."""
    found = Counter(group for line in lines for group in set(_GROUP.findall(line)))
    return sorted(group for group, count in found.items() if count >= 0.8 * len(lines))


def _score(reading: Reading) -> float:
    fields, records = reading.fields, [record for record in reading.records if not is_blank(record)]
    records = [record for record in records if len(record) == fields or not COMMENT.match(record[0].text)]
    if not records:
        return 0.0
    fitting = [place for place, record in enumerate(records) if len(record) == fields]
    leading, trailing = fitting[0], len(records) - 1 - fitting[-1]
    within = len(records) - leading - trailing - len(fitting)
    odd = 0.25 * min(leading, _MAX_LEADING) + max(leading - _MAX_LEADING, 0) + 0.5 * trailing + within
    cells = [cell for place in fitting for cell in records[place]]
    like_values = sum(_cell_score(cell, reading.dialect) for cell in cells) / len(cells)
    with_quotes = reading.quoted + reading.stray_quotes
    several = sum(_looks_like_several(cell, reading) for cell in cells) / len(records)
    score = (0.9 if leading else 1.0) * (len(fitting) / (len(fitting) + odd)) ** 2
    score *= 0.3 + 0.7 * like_values
    score *= 1 - 0.8 * reading.stray_quotes / max(with_quotes, 1)
    score *= max(1 - 2 * several, 0.1)
    score *= _QUOTES[reading.dialect.quote] * (1.0 if reading.dialect.escape == reading.dialect.quote else _ESCAPED)
    if fields == 1:
        return score * _ONE_COLUMN
    return score * (1 - 0.3 / fields) * _USUAL.get(reading.dialect.delimiter[0], _UNUSUAL)


def _cell_score(cell: Cell, dialect: Dialect) -> float:
    """Return how much a cell looks like a value, from 0 to 1."""
    text, of_kind = cell.text, kind(cell.text)
    if cell.is_quoted:
        return 1.0 if of_kind in TYPED else 0.95
    if text[:1] in {'"', "'"} and text[-1:] == text[:1]:
        return 0.1
    score = 1.0 if of_kind in TYPED else _KIND_SCORE[of_kind]
    if of_kind is Kind.TEXT and (_SEVERAL_VALUES.search(text) or (not dialect.quote and '"' in text)):
        score = 0.2
    if text != text.strip(" ") and dialect.delimiter != " ":
        score -= 0.15
    return score


def _looks_like_several(cell: Cell, reading: Reading) -> bool:
    """Return whether two lines of a quoted cell have as many delimiters as a record: a quote is missing."""
    if "\n" not in cell.text or reading.fields == 1:
        return False
    delimiter = reading.dialect.delimiter
    return sum(line.count(delimiter) >= reading.fields - 1 for line in cell.text.split("\n")) > 1
