"""Recognise the encoding of a text by its bytes."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BYTE_ORDER_MARKS = re.compile(rb"\A(?:%s)+" % codecs.BOM_UTF8)
"""Those of UTF-8 at the beginning of a file; some tools add a second one."""
_UTF_8_SEQUENCE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1b\x7f]")
_SINGLE_BYTE = (
    "cp1252",
    "iso-8859-15",
    "cp1250",
    "iso-8859-2",
    "cp1251",
    "koi8-r",
    "cp1253",
    "cp1254",
    "cp850",
    "mac-roman",
)
"""In order of preference between encodings that read the bytes equally well."""
_COMMON = frozenset("äöüßéèêëàâáãåæçíîïñóôõøúùûœšžčćźżłąęśńřěůőűğışýţăđ")
"""Letters of Latin alphabets that are frequent; others are likely another letter in the wrong encoding."""
_SIGNS = frozenset("€£§°«»®©™…\u00a0\u2013\u2014\u2018\u2019\u201c\u201d\u201e")
_SAMPLE_BYTES = 65_536
_SHOWN = 3


@dataclass(frozen=True)
class Encoding:
    """The likely encoding of a text."""

    name: str | None
    """As Python writes it; None if the bytes do not look like text."""
    evidence: str = ""
    doubt: str = ""


def recognise_encoding(head: bytes) -> Encoding:
    """Return the likely encoding of a text that begins with `head`."""
    found = _marked(head) or _wide(head[:_SAMPLE_BYTES])
    if found:
        return found
    damaged = _invalid_utf_8(head)
    if not damaged:
        return Encoding("utf-8", "" if head.isascii() else "The text is valid UTF-8.")
    if _CONTROL.search(head):
        return Encoding(None, "", "The bytes do not look like text.")
    if len(_UTF_8_SEQUENCE.findall(head)) > 10 * damaged:
        what = f"{damaged} bytes are" if damaged > 1 else "1 byte is"
        return Encoding("utf-8", "Most characters beyond ASCII are valid UTF-8.", f"{what} not valid UTF-8.")
    return _single_byte(head)


def _marked(head: bytes) -> Encoding | None:
    """Return the encoding of a text with a byte order mark."""
    for name, marks in (("utf-32", _UTF_32), ("utf-16", _UTF_16)):
        if head.startswith(marks):
            return Encoding(name, f"A byte order mark of {name.upper()} is at the beginning.")
    if marked := BYTE_ORDER_MARKS.match(head):
        number = len(marked[0]) // len(codecs.BOM_UTF8)
        doubt = f"{number} byte order marks are at the beginning; one is usual." if number > 1 else ""
        return Encoding("utf-8", "A byte order mark of UTF-8 is at the beginning.", doubt)
    return None


def _invalid_utf_8(head: bytes) -> int:
    """Return the number of bytes that are not valid UTF-8; a character may be cut off at the end."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return head.decode("utf-8", "backslashreplace").count("\\x") - head.count(b"\\x")
    return 0


def _wide(head: bytes) -> Encoding | None:
    """Return UTF-16 without a byte order mark if NUL is frequent in one byte of two and rare in the other one."""
    half = len(head) // 2
    even, odd = head[: 2 * half : 2].count(0), head[1 : 2 * half : 2].count(0)
    if half < 2 or max(even, odd) < max(half * 0.02, 1) or min(even, odd) * 10 > max(even, odd):
        return None
    name = "utf-16-le" if odd > even else "utf-16-be"
    try:
        text = codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return None
    if sum(unicodedata.category(character) in {"Cn", "Co", "Cc"} for character in set(text) - set("\r\n\t")):
        return None
    return Encoding(name, f"{max(even, odd):,} of {half:,} pairs of bytes have NUL at the same place, as in UTF-16.")


def _single_byte(head: bytes) -> Encoding:
    """Return the encoding that turns the bytes beyond ASCII into the most plausible characters."""
    words = Counter(re.findall(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*", head[:_SAMPLE_BYTES]))
    scores = {}
    for name in _SINGLE_BYTE:
        try:
            scores[name] = sum(count * _plausible(word.decode(name)) for word, count in words.items()) / words.total()
        except UnicodeDecodeError:
            continue
    if not scores:
        return Encoding("iso-8859-1", "", "The encoding is unclear; ISO 8859-1 can read every byte.")
    name = max(scores, key=lambda one: scores[one])
    shown = [
        f"0x{byte:02X} is {bytes([byte]).decode(name)}"
        for byte, _ in Counter(byte for byte in head if byte >= 0x80).most_common(_SHOWN)
    ]
    evidence = f"The bytes are not valid UTF-8; in {name} {', '.join(shown)}."
    rivals = [
        rival
        for rival in scores
        if scores[rival] >= scores[name] - 0.05 and any(word.decode(rival) != word.decode(name) for word in words)
    ]
    doubt = f"The encoding may also be {' or '.join(rivals[:2])}." if rivals else ""
    return Encoding(name, evidence, doubt)


def _plausible(word: str) -> float:
    """Return how plausible the characters beyond ASCII in a word are, from 0 to 1."""
    score, counted = 0.0, 0
    for place, character in enumerate(word):
        if character.isascii():
            continue
        counted += 1
        category = unicodedata.category(character)
        neighbours = word[max(place - 1, 0) : place] + word[place + 1 : place + 2]
        if category in {"Cc", "Cn", "Co"}:
            continue
        if category[0] == "L":
            same_script = all(_script(character) == _script(other) for other in neighbours if other.isalpha())
            lower_after_upper = category != "Lu" or not (place and word[place - 1].islower())
            score += 1.0 if same_script and lower_after_upper else 0.2
            score -= 0.0 if character.lower() in _COMMON or _script(character) != "LATIN" else 0.3
        elif character in _SIGNS:
            within = place and place + 1 < len(word) and character != "\u2019"
            score += 0.3 if within else 0.9
        else:
            score += 0.2
    return score / max(counted, 1)


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]
