"""Name what a file is that cannot be read as CSV or JSON, so that a refusal says how to export it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from waybill.blanks import strip

_HEAD_BYTES = 4096
_CONTROLS = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_CONTROL = re.compile(_CONTROLS)
_BINARY = rb"(?=(?s:.){0,60}?" + _CONTROLS + rb")"
"""Tells a signature that is text from the header of a CSV file."""
_PACKED = "; unpack it, or pack it with gzip"
_EXPORT = "; export it as CSV or JSON"
_FORMATS = [
    (re.compile(pattern), what)
    for pattern, what in (
        (rb"\x1f\x8b", "a gzip file within a gzip file; pack it once"),
        (
            rb"PK\x03\x04(?s:.)*?(?:\[Content_Types\]\.xml|xl/)",
            "an Excel workbook (.xlsx); save its sheet as CSV UTF-8",
        ),
        (rb"PK(?:\x03\x04|\x05\x06)", "a ZIP archive; unpack it"),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls); save its sheet as CSV UTF-8"),
        (rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", "packed with bzip2" + _PACKED),
        (rb"\x28\xb5\x2f\xfd", "packed with zstd" + _PACKED),
        (rb"\xfd7zXZ\x00", "packed with xz" + _PACKED),
        (rb"\x04\x22\x4d\x18", "packed with LZ4" + _PACKED),
        (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it"),
        (rb"Rar!\x1a\x07", "a RAR archive; unpack it"),
        (rb"(?s:.){257}ustar", "a tar archive; unpack it"),
        (rb"SQLite format 3\x00", "a SQLite database" + _EXPORT),
        (rb"PAR1" + _BINARY, "a Parquet file" + _EXPORT),
        (rb"ORC" + _BINARY, "an ORC file" + _EXPORT),
        (rb"Obj\x01", "an Avro file" + _EXPORT),
        (rb"ARROW1" + _BINARY, "an Arrow file" + _EXPORT),
        (rb"%PDF-", "a PDF document; export its table as CSV"),
        (rb"(?:\xff\xfe\x00\x00|\x00\x00\xfe\xff)", "text in UTF-32; export it as UTF-8"),
        # Without a byte order mark every other byte of mostly Western text is NUL.
        (rb"(?:\xff\xfe|\xfe\xff|(?:[^\x00]\x00){8}|(?:\x00[^\x00]){8})", "text in UTF-16; export it as UTF-8"),
        (rb"\s*<(?i:!doctype html|html\b)", "an HTML page; export its table as CSV"),
        (rb"\s*<\?xml\b", "XML" + _EXPORT),
    )
]
_JSON = re.compile(rb'\s*(?:\[\s*[\[{]|\{\s*")')
_SPREADSHEET_LINE = re.compile(r'"?sep=(.?)"?', re.IGNORECASE)
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "pipes", ":": "colons", "^": "carets", " ": "spaces"}
_DECIMAL_COMMA = re.compile(r"(?<![0-9])-?[0-9]+,[0-9]+(?![0-9,])")
_TITLE_LINES = 20


def other_format(head: bytes) -> str | None:
    """What a file is by its first bytes, with what to do about it; None if it may be CSV or JSON in UTF-8."""
    head = head[:_HEAD_BYTES]
    return next((what for pattern, what in _FORMATS if pattern.match(head)), None)


def looks_like_json(head: bytes) -> bool:
    """Whether a file that should be CSV begins like JSON."""
    return _JSON.match(head) is not None


def likely_encoding(text: bytes) -> str | None:
    """The encoding that bytes which are no UTF-8 are most likely in, or None if they look like no text."""
    if _CONTROL.search(text):
        return None
    try:
        text.decode("cp1252")
    except UnicodeDecodeError:
        return "another encoding than UTF-8"
    return "Windows-1252 or Latin-1"


def names_delimiter(record: str) -> str | None:
    """The delimiter that a first line `sep=;` names for spreadsheets; None if the line is none of these."""
    found = _SPREADSHEET_LINE.fullmatch(strip(record))
    return found and found[1]


def header_hint(record: str, rest: str, is_name: Callable[[str], bool]) -> str:
    """What may be wrong with a header of which columns are missing; "" if nothing is found.

    `rest` is some text behind it; `is_name` tells whether a field is the name of a column.
    """

    def known(line: str, delimiter: str) -> int:
        return sum(is_name(field.strip('"')) for field in line.split(delimiter))

    with_commas = known(record, ",")
    delimiter = max(_DELIMITERS, key=lambda sign: known(record, sign))
    if known(record, delimiter) > max(with_commas, 1):
        hint = f"{_DELIMITERS[delimiter]} seem to delimit its fields: export it with commas"
        if _DECIMAL_COMMA.search(rest):
            hint += ", and numbers with a decimal point"
        return hint
    for number, line in enumerate(rest.splitlines()[:_TITLE_LINES], start=2):
        if known(line, ",") > max(with_commas, 1):
            return f"the header seems to be line {number}: delete what is above it"
    return ""


def other_quotes(header: Collection[str], is_name: Callable[[str], bool]) -> str | None:
    """The sign, other than a double quote, that encloses names of columns in a header."""
    for quote in "'`\u2018\u201c\u201e\u00ab":
        if any(field.startswith(quote) and len(field) > 2 and is_name(field[1:-1]) for field in map(strip, header)):
            return quote
    return None
