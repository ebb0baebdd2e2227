"""Recognise the format of files that are not CSV or JSON, so that the message says how to export them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from waybill.blanks import strip

_HEAD_BYTES = 4096
_CONTROLS = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_CONTROL = re.compile(_CONTROLS)
_BINARY = rb"(?=(?s:.){0,60}?" + _CONTROLS + rb")"
"""A control character near the start; distinguishes a signature of letters from the header of a CSV file."""
_PACKED = ". Unpack it, or pack it with gzip"
_EXPORT = ". Export it as CSV or JSON"
_FORMATS = [
    (re.compile(pattern), what)
    for pattern, what in (
        (rb"\x1f\x8b", "a gzip file within a gzip file. Pack it once"),
        (
            rb"PK\x03\x04(?s:.)*?(?:\[Content_Types\]\.xml|xl/)",
            "an Excel workbook (.xlsx). Save its sheet as CSV UTF-8",
        ),
        (rb"PK(?:\x03\x04|\x05\x06)", "a ZIP archive. Unpack it"),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls). Save its sheet as CSV UTF-8"),
        (rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", "packed with bzip2" + _PACKED),
        (rb"\x28\xb5\x2f\xfd", "packed with zstd" + _PACKED),
        (rb"\xfd7zXZ\x00", "packed with xz" + _PACKED),
        (rb"\x04\x22\x4d\x18", "packed with LZ4" + _PACKED),
        (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive. Unpack it"),
        (rb"Rar!\x1a\x07", "a RAR archive. Unpack it"),
        (rb"(?s:.){257}ustar", "a tar archive. Unpack it"),
        (rb"SQLite format 3\x00", "a SQLite database" + _EXPORT),
        (rb"PAR1" + _BINARY, "a Parquet file" + _EXPORT),
        (rb"ORC" + _BINARY, "an ORC file" + _EXPORT),
        (rb"Obj\x01", "an Avro file" + _EXPORT),
        (rb"ARROW1" + _BINARY, "an Arrow file" + _EXPORT),
        (rb"%PDF-", "a PDF document. Export its table as CSV"),
        (rb"(?:\xff\xfe\x00\x00|\x00\x00\xfe\xff)", "text in UTF-32. Export it as UTF-8"),
        # Without a byte order mark, every second byte of Western text is NUL.
        (rb"(?:\xff\xfe|\xfe\xff|(?:[^\x00]\x00){8}|(?:\x00[^\x00]){8})", "text in UTF-16. Export it as UTF-8"),
        (rb"\s*<(?i:!doctype html|html\b)", "an HTML page. Export its table as CSV"),
        (rb"\s*<\?xml\b", "XML" + _EXPORT),
    )
]
_JSON = re.compile(rb'\s*(?:\[\s*[\[{]|\{\s*")')
_SPREADSHEET_LINE = re.compile(r'"?sep=(.?)"?', re.IGNORECASE)
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "pipes", ":": "colons", "^": "carets", " ": "spaces"}
_DECIMAL_COMMA = re.compile(r"(?<![0-9])-?[0-9]+,[0-9]+(?![0-9,])")
_TITLE_LINES = 20


def other_format(head: bytes) -> str | None:
    """Return the format of a file by its first bytes, and what to do; None if it may be CSV or JSON in UTF-8."""
    head = head[:_HEAD_BYTES]
    return next((what for pattern, what in _FORMATS if pattern.match(head)), None)


def looks_like_json(head: bytes) -> bool:
    """Return whether a file that should be CSV begins like JSON."""
    return _JSON.match(head) is not None


def likely_encoding(text: bytes) -> str | None:
    """Return the most likely encoding of bytes that are not valid UTF-8, or None if they do not look like text."""
    if _CONTROL.search(text):
        return None
    try:
        text.decode("cp1252")
    except UnicodeDecodeError:
        return "an encoding other than UTF-8"
    return "Windows-1252 or Latin-1"


def names_delimiter(record: str) -> str | None:
    """Return the delimiter that a first line such as `sep=;` declares for spreadsheets; None for other lines."""
    found = _SPREADSHEET_LINE.fullmatch(strip(record))
    return found and found[1]


def header_hint(record: str, rest: str, is_name: Callable[[str], bool]) -> str:
    """Return the likely reason why a header lacks columns; "" if there is none.

    `rest` is text after the header. `is_name` returns whether a field is the name of a column.
    """

    def known(line: str, delimiter: str) -> int:
        return sum(is_name(field.strip('"')) for field in line.split(delimiter))

    with_commas = known(record, ",")
    delimiter = max(_DELIMITERS, key=lambda sign: known(record, sign))
    if known(record, delimiter) > max(with_commas, 1):
        hint = f"the header appears to be separated by {_DELIMITERS[delimiter]}; export the file with commas"
        if _DECIMAL_COMMA.search(rest):
            hint += ", and numbers with a decimal point"
        return hint
    for number, line in enumerate(rest.splitlines()[:_TITLE_LINES], start=2):
        if known(line, ",") > max(with_commas, 1):
            return f"the header appears to be line {number}; delete the lines above it"
    return ""


def other_quotes(header: Collection[str], is_name: Callable[[str], bool]) -> str | None:
    """Return the character, other than a double quote, that encloses column names in a header, or None."""
    for quote in "'`\u2018\u201c\u201e\u00ab":
        if any(field.startswith(quote) and len(field) > 2 and is_name(field[1:-1]) for field in map(strip, header)):
            return quote
    return None
