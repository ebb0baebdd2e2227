"""Recognise the formats of files that are not text by their first bytes, and say what to do with them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from waybill.blanks import strip
from waybill.contracts.file_format import FileFormat, FormatName
from waybill.files.recognise_encoding import recognise_encoding

_HEAD_BYTES = 4096
_CONTROLS = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_BINARY = rb"(?=(?s:.){0,60}?" + _CONTROLS + rb")"
"""A control character near the start; distinguishes a signature of letters from the header of a CSV file."""
_PACKED = "Unpack it, or pack it with gzip"
_EXPORT = "Export it as CSV or JSON"
_TABLE = "Export its table as CSV"


@dataclass(frozen=True)
class Signature:
    """A format that the first bytes of a file show."""

    what: str
    """The format in words, such as `an Excel workbook (.xlsx)`."""
    advice: str
    format: FileFormat | None = None
    """The format to declare; None if files of this format cannot be loaded."""

    def __str__(self) -> str:
        return f"{self.what}. {self.advice}"


def _declared(what: str, name: FormatName) -> Signature:
    return Signature(what, f"Declare `format: {name}`", FileFormat(name))


_SIGNATURES = [
    (re.compile(pattern), signature)
    for pattern, signature in (
        (rb"\x1f\x8b", Signature("a gzip file within a gzip file", "Pack it once")),
        (rb"PK\x03\x04(?s:.)*?(?:\[Content_Types\]\.xml|xl/)", _declared("an Excel workbook (.xlsx)", "xlsx")),
        (rb"PK(?:\x03\x04|\x05\x06)", Signature("a ZIP archive", "Unpack it")),
        (
            rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            Signature("an Excel workbook (.xls)", "Save it as .xlsx, or its sheet as CSV UTF-8"),
        ),
        (rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", Signature("packed with bzip2", _PACKED)),
        (rb"\x28\xb5\x2f\xfd", Signature("packed with zstd", _PACKED)),
        (rb"\xfd7zXZ\x00", Signature("packed with xz", _PACKED)),
        (rb"\x04\x22\x4d\x18", Signature("packed with LZ4", _PACKED)),
        (rb"7z\xbc\xaf\x27\x1c", Signature("a 7-Zip archive", "Unpack it")),
        (rb"Rar!\x1a\x07", Signature("a RAR archive", "Unpack it")),
        (rb"(?s:.){257}ustar", Signature("a tar archive", "Unpack it")),
        (rb"SQLite format 3\x00", Signature("a SQLite database", _EXPORT)),
        (rb"PAR1" + _BINARY, _declared("a Parquet file", "parquet")),
        (rb"ORC" + _BINARY, Signature("an ORC file", _EXPORT)),
        (rb"Obj\x01", Signature("an Avro file", _EXPORT)),
        (rb"ARROW1" + _BINARY, Signature("an Arrow file", _EXPORT)),
        (rb"%PDF-", Signature("a PDF document", _TABLE)),
        (rb"\s*<(?i:!doctype html|html\b)", Signature("an HTML page", _TABLE)),
        (rb"\s*<\?xml\b", Signature("XML", _EXPORT)),
    )
]
_SPREADSHEET_LINE = re.compile(r'"?sep=(.?)"?', re.IGNORECASE)


def signature(head: bytes) -> Signature | None:
    """Return the format that the first bytes of a file show; None if the file may be text."""
    head = head[:_HEAD_BYTES]
    return next((signature for pattern, signature in _SIGNATURES if pattern.match(head)), None)


def other_encoding(head: bytes) -> Signature | None:
    """Return UTF-16 or UTF-32 if a text is in it; None for other encodings and for what is not text."""
    name = recognise_encoding(head[:_HEAD_BYTES]).name
    if name is None or not name.startswith(("utf-16", "utf-32")):
        return None
    return Signature(f"text in {name[:6].upper()}", f"Declare `encoding: {name}`, or export it as UTF-8")


def names_delimiter(record: str) -> str | None:
    """Return the delimiter that a first line such as `sep=;` declares for spreadsheets; None for other lines."""
    found = _SPREADSHEET_LINE.fullmatch(strip(record))
    return found and found[1]
