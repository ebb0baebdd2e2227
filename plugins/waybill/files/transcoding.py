"""Transcode text of another encoding to UTF-8 while it arrives, so that every later step reads UTF-8.

A byte that the encoding does not define becomes a surrogate, which is not valid UTF-8: its record is then rejected for
the reason `encoding`, and the byte is still known.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from waybill.errors import DataError

_UTF_8: Final = ("utf-8", "utf-8-sig")  # byte order marks are dropped when the header is read
_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""The encodings by byte order mark. A mark of UTF-32 begins like one of UTF-16, so it comes first."""
_ON_INVALID: Final = "waybill.surrogates"
_SURROGATE: Final = 0xDC00
_SURROGATES: Final = re.compile("[\udc00-\udcff]")
_LAST_SURROGATE: Final = re.compile(rb"\xed[\xb0-\xb3][\x80-\xbf]\Z")
_PROBE_BYTES: Final = 4096


def _surrogates(error: UnicodeError) -> tuple[str, int]:
    """Return a surrogate for each byte that an encoding does not define, and the position after them."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_SURROGATE + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ON_INVALID, _surrogates)


def is_utf_8(encoding: str) -> bool:
    """Return whether text of an encoding is read as it is."""
    return encoding in _UTF_8


def transcode(name: str, chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Return chunks of text in UTF-8; UTF-8 is returned as it is.

    Raises `DataError` if the text begins with the byte order mark of another encoding; `name` is that of the file.
    """
    return chunks if is_utf_8(encoding) else _transcoded(name, chunks, encoding)


def _transcoded(name: str, chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    head = b""
    while len(head) < _PROBE_BYTES and (chunk := next(chunks, b"")):
        head += chunk
    decoder = codecs.getincrementaldecoder(_with_byte_order(name, head, encoding))(_ON_INVALID)
    for chunk in chain((head,), chunks, (b"",)):
        if text := decoder.decode(chunk, final=not chunk):
            yield text.encode("utf-8", "surrogatepass")


def _with_byte_order(name: str, head: bytes, encoding: str) -> str:
    """Return the encoding with the byte order of the text, which begins with `head`."""
    marked = next((found for mark, found in _MARKS.items() if head.startswith(mark)), None)
    if marked is not None:
        if encoding not in (marked, marked[:6]):
            raise DataError(
                f"{name}: the contract declares the encoding {encoding}, but the file begins with the byte order mark "
                f"of {marked}. Correct `encoding` in the contract, or export the file as declared."
            )
        return marked
    if encoding in ("utf-16", "utf-32"):
        zeros = [head[start:_PROBE_BYTES:2].count(0) for start in (0, 1)]  # Western letters have them
        return f"{encoding}-be" if zeros[0] > zeros[1] else f"{encoding}-le"
    return encoding


def ends_in_undefined_byte(record: bytes) -> bool:
    """Return whether the last byte of a transcoded record is one that its encoding does not define."""
    return _LAST_SURROGATE.search(record) is not None


def as_readable(record: bytes, encoding: str) -> str:
    """Return a record that arrived in an encoding. Bytes that it does not define are written as escape sequences."""
    if is_utf_8(encoding):
        return record.decode("utf-8", "backslashreplace")
    text = record.decode("utf-8", "surrogatepass")
    return _SURROGATES.sub(lambda found: f"\\x{ord(found[0]) - _SURROGATE:02x}", text)
