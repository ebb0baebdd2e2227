"""Find preamble, header, comments and footers in the records of a CSV file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from waybill.files.recognise_dialect import COMMENT, Cell, Reading, has_stray_quote, is_blank
from waybill.files.value_kinds import TYPED, Kind, kind
from waybill.formatting import count, part_of

_BODY_RECORDS = 300
_MAX_HEADER_LINES = 5
_MAX_NAME = 60
_SHOWN = 5
"""How many of the lines above a table a doubt shows."""
_LONG_NUMBER = 5
"""With so many digits, a text may have the number of an account or of a person."""
_TOTALS = re.compile(
    r"(?:grand |sub)?totals?|sum|summe|gesamt|total[ie]?|totaal|records?|rows?|count|end of (?:file|report)|generated"
    r"|source",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass
class Table:
    """Where the records of a table are in a CSV file."""

    skip_lines: int = 0
    header_lines: int = 0
    names: tuple[str, ...] = ()
    """The names of the columns; empty if there is no header."""
    ignored_lines: tuple[str, ...] = ()
    odd_records: int = 0
    """Records that do not have the usual number of fields."""
    evidence: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def find_table(reading: Reading, *, is_whole: bool) -> Table:
    """Return where header and records are; `is_whole` is false if only the beginning of the file was read."""
    table, fields = Table(), reading.fields
    places = [place for place, record in enumerate(reading.records) if not is_blank(record)]
    comments = [place for place in places if _is_comment(reading.records[place], fields)]
    places = [place for place in places if place not in set(comments)]
    if not places:
        return table
    _note_comments(table, reading, comments)
    start = _first(reading, places)
    table.header_lines = _header_lines(table, _rows(reading, places, start))
    if not table.header_lines and all(len(reading.records[place]) == fields for place in places if place < start):
        if start != places[0]:
            table.doubts.append(f"Line {reading.lines[places[0]] + 1} has few values. It is read as a record.")
        start = places[0]  # nothing says that the records above are not records
    if is_whole:
        places = _without_footer(table, reading, places, start)
    above, rest = [place for place in places if place < start], [place for place in places if place >= start]
    if table.header_lines:
        header = _rows(reading, places, start)[: table.header_lines]
        table.names = tuple(
            " ".join(filter(None, (cell.text.strip() for cell in column))) for column in zip(*header, strict=True)
        )
    titles = above
    if not table.header_lines and above and (names := _damaged_header(reading.records[above[-1]], fields)) is not None:
        table.names, titles = names, above[:-1]
        found = count(len(reading.records[above[-1]]), "field")
        table.doubts.append(
            f"Line {reading.lines[above[-1]] + 1} looks like a header with {found}, but records have {fields}. "
            f"It is skipped; the columns are read in order{', with its names' * bool(names)}."
        )
    if above:
        table.skip_lines = reading.lines[start]
        table.evidence.append(f"The table begins in line {table.skip_lines + 1}.")
    if titles:
        _note_skipped(table, [reading.records[place] for place in titles])
    if table.header_lines and any(_is_malformed(cell, reading) for record in header for cell in record):
        _skip_header(table, reading, rest)
    _note_odd(table, reading, rest)
    return table


def _note_skipped(table: Table, records: Sequence[Sequence[Cell]]) -> None:
    """Note what is skipped above the table, so that nobody misses an account number or a date without a word."""
    shown = [_shown(record) for record in records[:_SHOWN]]
    if more := len(records) - len(shown):
        shown.append(f"and {more} more")
    are = "is skipped, and its values are" if len(records) == 1 else "are skipped, and their values are"
    table.doubts.append(f"{count(len(records), 'line')} above the table {are} not loaded: {', '.join(shown)}.")


def _shown(record: Sequence[Cell]) -> str:
    """Return a line without what may be personal: its label, or else its text with long numbers masked."""
    first, *others = (_printable(cell.text) for cell in record if cell.text.strip())
    label, colon, value = first.partition(":")
    if colon and value:
        return f"{label[:_MAX_NAME]}: …"
    if "@" in first:
        return "…@…"
    digits = sum(character.isdigit() for character in first)
    text = re.sub(r"\d", "#", first) if digits >= _LONG_NUMBER else first
    return text[:_MAX_NAME] + (" …" if others else "")


def _printable(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _is_malformed(cell: Cell, reading: Reading) -> bool:
    return not cell.is_quoted and has_stray_quote(cell.text, reading.dialect)


def _skip_header(table: Table, reading: Reading, rest: Sequence[int]) -> None:
    """Note that a header with a stray quote, which is no record, is skipped. Its names have no quotes."""
    first, last = reading.lines[rest[0]], rest[: table.header_lines][-1]
    below = [line for line in reading.lines if line > reading.lines[last]]
    table.skip_lines, table.header_lines = below[0] if below else reading.lines[last] + 1, 0
    table.names = tuple(name.replace(reading.dialect.quote, "") for name in table.names)
    table.doubts.append(
        f"The header in line {first + 1} has a quote that does not enclose a name. It is skipped; the columns are read "
        "in order, with its names."
    )


def _rows(reading: Reading, places: Sequence[int], start: int) -> list[list[Cell]]:
    """Return the records from `start` that have the usual number of fields."""
    return [
        reading.records[place] for place in places if place >= start and len(reading.records[place]) == reading.fields
    ]


def _is_comment(record: Sequence[Cell], fields: int) -> bool:
    """Return whether a record begins like a comment and does not look like a record."""
    if not COMMENT.match(record[0].text) or record[0].is_quoted:
        return False
    if len(record) == fields == 1:
        return record[0].text.lstrip().startswith("#")
    return len(record) != fields or not any(cell.text.strip() for cell in record[1:])


def _note_comments(table: Table, reading: Reading, comments: Sequence[int]) -> None:
    signs = Counter(found[1] for place in comments if (found := COMMENT.match(reading.records[place][0].text)))
    if signs:
        table.ignored_lines = tuple(f"^{re.escape(sign)}" for sign in sorted(signs))
        table.evidence.append(f"{count(len(comments), 'line')} begin like comments, with {' or '.join(sorted(signs))}.")


def _first(reading: Reading, places: Sequence[int]) -> int:
    """Return the first record with as many fields as most records, of which at least half are not empty."""

    def begins(place: int) -> bool:
        record = reading.records[place]
        filled = sum(bool(cell.text.strip()) for cell in record)
        return len(record) == reading.fields and 2 * filled >= min(reading.fields, len(record))

    return next((place for place in places if begins(place)), places[0])


def _without_footer(table: Table, reading: Reading, places: list[int], start: int) -> list[int]:
    """Return the places without those at the end that look like totals or remarks, and note a pattern for them."""
    end = len(places)
    while end > 1 and places[end - 1] > start and _is_footer(reading.records[places[end - 1]], reading.fields):
        end -= 1
    footer = places[end:]
    if not footer:
        return places
    words, patterns = [], []
    for place in footer:
        first = next(cell.text.strip() for cell in reading.records[place] if cell.text.strip())
        pattern = _footer_pattern(first)
        if not pattern or any(re.search(pattern, reading.records[other][0].text) for other in places[:end]):
            table.doubts.append(f"Line {reading.lines[place] + 1} does not look like a record: {first[:60]}.")
            return places
        words.append(first[:60])
        patterns.append(pattern)
    patterns = list(dict.fromkeys(patterns))
    table.ignored_lines += tuple(patterns)
    table.evidence.append(f"The file ends with {count(len(footer), 'footer line')}: {', '.join(words)}.")
    return places[:end]


def _footer_pattern(text: str) -> str | None:
    """Return a pattern for lines that begin like a text, with any number in place of a number at its beginning."""
    found = re.match(r"(\d[\d.,]* )?([^\W\d_]+(?: [^\W\d_]+)*)", text)
    if not found:
        return None
    number = r"[\d.,]+ " if found[1] else ""
    return rf"^\W*{number}{found[2]}\b"


def _is_footer(record: Sequence[Cell], fields: int) -> bool:
    filled = [cell.text.strip() for cell in record if cell.text.strip()]
    if not filled or fields == 1:
        return False
    is_total = _TOTALS.match(filled[0]) is not None
    return (is_total and len(filled) < fields) or (len(filled) == 1 and (len(record) < fields or is_total))


def _header_lines(table: Table, rows: Sequence[Sequence[Cell]]) -> int:
    """Return how many of the first records are the header."""
    if not rows:
        return 0
    first, body = rows[0], rows[1 : _BODY_RECORDS + 1]
    typed = _typed_columns(body[min(_MAX_HEADER_LINES, len(body) // 2) :])
    if not typed:
        return _header_of_texts(table, rows)
    if not _names_columns(first, typed):
        if _has_years(first, body, typed):
            table.doubts.append("The header has years as names of columns.")
            return 1
        table.evidence.append("The first record has values as the records below it: there is no header.")
        return 0
    lines = 1
    while lines < min(len(rows) - 1, _MAX_HEADER_LINES) and (
        _same(rows[lines], first) or _names_columns(rows[lines], typed, share=0.5)
    ):
        lines += 1
    if lines > 1:
        table.evidence.append(f"The first {lines} records have names where the records below them have values.")
    return lines


def _typed_columns(body: Sequence[Sequence[Cell]]) -> list[int]:
    """Return the columns whose values are nearly all numbers, dates or times."""
    typed = []
    for place, column in enumerate(zip(*body, strict=True)):
        kinds = [kind(cell.text) for cell in column]
        filled = [one for one in kinds if one is not Kind.EMPTY]
        if filled and sum(one in TYPED for one in filled) >= 0.8 * len(filled):
            typed.append(place)
    return typed


def _names_columns(record: Sequence[Cell], typed: Sequence[int], share: float = 0.0) -> bool:
    """Return whether a record has texts, and no value, in the columns that have numbers, dates or times."""
    kinds = [kind(record[place].text) for place in typed]
    texts = sum(one not in TYPED and one is not Kind.EMPTY for one in kinds)
    return not any(one in TYPED for one in kinds) and texts > 0 and texts >= share * len(kinds)


def _has_years(first: Sequence[Cell], body: Sequence[Sequence[Cell]], typed: Sequence[int]) -> bool:
    """Return whether the typed columns of the first record are different years, and the records below have others."""
    years = [first[place].text.strip() for place in typed]
    others = [first[place] for place in range(len(first)) if place not in typed]
    are_years = len(set(years)) == len(years) > 1 and all(_YEAR.fullmatch(year) for year in years)
    below = [record[place].text.strip() for record in body for place in typed]
    return are_years and bool(others) and sum(bool(_YEAR.fullmatch(value)) for value in below) < 0.2 * len(below)


def _header_of_texts(table: Table, rows: Sequence[Sequence[Cell]]) -> int:
    """Return how many of the first records look like a header, if all columns are texts."""
    first, body = rows[0], rows[1 : _BODY_RECORDS + 1]
    names = [cell.text.strip() for cell in first]
    filled = [name for name in names if name]
    looks_named = (
        len(set(filled)) == len(filled)
        and 2 * len(filled) > len(names)
        and all(len(name) <= _MAX_NAME and kind(name) not in TYPED for name in filled)
    )
    lines = 1
    while lines < min(len(rows) - 1, _MAX_HEADER_LINES) and _same(rows[lines], first):
        lines += 1
    recurs = any(
        name and name in {record[place].text.strip() for record in body[lines - 1 :]}
        for place, name in enumerate(names)
    )
    if not looks_named or recurs:
        table.doubts.append("No column has numbers or dates. The first record does not look like a header.")
        return 0
    if body:
        table.doubts.append("No column has numbers or dates. The first record is taken for the header.")
    return lines


def _same(record: Sequence[Cell], first: Sequence[Cell]) -> bool:
    return [cell.text.strip().casefold() for cell in record] == [cell.text.strip().casefold() for cell in first]


def _damaged_header(record: Sequence[Cell], fields: int) -> tuple[str, ...] | None:
    """Return the names in a record above the table that is no title; () if there are not as many as fields."""
    names = [cell.text.strip() for cell in record if cell.text.strip()]
    looks_named = all(len(name) <= _MAX_NAME and kind(name) not in TYPED for name in names)
    if len(record) == fields or 2 * len(names) < fields or not looks_named:
        return None
    return tuple(names) if len(names) == fields else ()


def _note_odd(table: Table, reading: Reading, rest: Sequence[int]) -> None:
    odd = [place for place in rest if len(reading.records[place]) != reading.fields]
    table.odd_records = len(odd)
    if odd:
        table.doubts.append(
            f"{part_of(len(odd), len(rest), 'record', 'does')} not have {count(reading.fields, 'field')}, "
            f"first line {reading.lines[odd[0]] + 1}."
        )
    if reading.stray_quotes:
        table.doubts.append(f"{count(reading.stray_quotes, 'field')} with a quote that does not enclose the field.")
