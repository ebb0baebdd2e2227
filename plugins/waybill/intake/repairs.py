"""Find the possible readings of malformed records, if the contract declares that they are repaired.

A record is repaired if exactly one of its possible readings meets the contract. The values are those in the file: a
repair leaves out an empty field, or takes a quote for a part of its value. A record with one field too many may also
have a delimiter within a value that is not quoted. Such readings cast doubt on others, but are never taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import NamedTuple

from waybill.files.csv_syntax import Syntax, syntax_of
from waybill.files.received_file import ReceivedFile
from waybill.files.records import Record

Fields = list[str | None]


class PossibleReading(NamedTuple):
    """One way to read a malformed record."""

    number: int
    """The number of the record."""
    fields: Fields
    may_be_taken: bool = True


def possible_readings(records: Iterable[Record], received: ReceivedFile) -> list[PossibleReading]:
    """Return the possible readings of the malformed records of a file.

    A last record without a line end has none, because it may be truncated.
    """
    form = received.file_format
    fields, truncated = len(received.header), received.last_without_line_end
    readings: list[PossibleReading] = []
    for number, record, is_alone in _with_neighbours(records):
        if number in truncated:
            continue
        if record.reasons == ["ragged"] and "emptyFields" in form.repairs and len(record.fields) == fields + 1:
            readings += [PossibleReading(number, one) for one in _without_empty_field(record.fields)]
            joined = _with_joined_fields(record.fields, form.dialect.delimiter)
            readings += [PossibleReading(number, one, may_be_taken=False) for one in joined]
        elif record.reasons == ["quote"] and "strayQuotes" in form.repairs and is_alone:
            quoted = _with_literal_quote(record.text, fields, syntax_of(form.dialect))
            readings += [PossibleReading(number, one) for one in quoted]
    return readings


def _with_neighbours(records: Iterable[Record]) -> Iterator[tuple[int, Record, bool]]:
    """Yield the number of each record, the record, and whether the records beside it are well formed."""
    is_well_formed = True
    for number, (record, after) in enumerate(pairwise(chain(records, [Record([], [], "")])), start=1):
        yield number, record, is_well_formed and not after.reasons
        is_well_formed = not record.reasons


def _without_empty_field(fields: Fields) -> list[Fields]:
    """Return the different records that remain when one empty field is left out."""
    empty = [place for place, text in enumerate(fields) if not (text and text.strip())]
    shorter: list[Fields] = [[*fields[:place], *fields[place + 1 :]] for place in empty]
    return [one for place, one in enumerate(shorter) if one not in shorter[:place]]


def _with_joined_fields(fields: Fields, delimiter: str) -> list[Fields]:
    """Return the records in which two adjacent fields are one value that contains the delimiter."""
    return [
        [*fields[:place], f"{fields[place]}{delimiter}{fields[place + 1]}", *fields[place + 2 :]]
        for place in range(len(fields) - 1)
    ]


def _with_literal_quote(text: str, expected: int, syntax: Syntax) -> list[Fields]:
    """Return the readings in which the only quote of an unquoted field is a part of its value."""
    quote, delimiter = syntax.quote.decode(), syntax.delimiter.decode()
    parts = text.split(delimiter)
    found: list[Fields] = []
    for place, part in enumerate(parts):
        if quote and part.count(quote) == 1:
            literal = f"{quote}{part.replace(quote, quote * 2)}{quote}"
            record = delimiter.join((*parts[:place], literal, *parts[place + 1 :]))
            if syntax.record.fullmatch(record.encode() + syntax.line_end):
                fields = syntax.fields(record)
                if len(fields) == expected:
                    found.append([*fields])
    return found
