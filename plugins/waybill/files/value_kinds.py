"""Say of a text in a file what kind of value it looks like."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache


class Kind(Enum):
    """What a text looks like."""

    EMPTY = "empty"
    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    MOMENT = "moment"
    ADDRESS = "address"
    """An address, an e-mail address or a UUID."""
    WORD = "word"
    """One word or one identifier."""
    TEXT = "text"


_NUMBER = r"\d+|\d{1,3}(?:[,.' \u00a0\u202f]\d{3})+(?:[.,]\d+)?|\d*[.,]\d+|\d+[.,]|\d+(?:[.,]\d+)?[eE][+-]?\d+"
_SIGN = r"[+\-\u2212]?"
_UNIT = r"(?:[$\u20ac\u00a3\u00a5%]|[A-Z]{3})"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = (
    r"\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d{2})\.?"
    rf"|\d{{1,2}}[ -]{_MONTH}[ -]\d{{2,4}}|{_MONTH} \d{{1,2}}, ?\d{{4}}"
)
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[ap]\.?m\.?)?(?: ?(?:z|utc|[+-]\d{2}:?(?:\d{2})?))?"
_KINDS = [
    (
        Kind.NUMBER,
        re.compile(
            rf"{_SIGN}(?:{_UNIT} ?)?{_SIGN}(?:{_NUMBER})-?(?: ?{_UNIT})?"
            rf"|(?:{_UNIT} ?)?\((?:{_UNIT} ?)?(?:{_NUMBER})(?: ?{_UNIT})?\)(?: ?{_UNIT})?"
        ),
    ),
    (Kind.DATE, re.compile(_DATE, re.IGNORECASE)),
    (Kind.TIME, re.compile(_TIME, re.IGNORECASE)),
    (Kind.MOMENT, re.compile(rf"(?:{_DATE})(?:[t ]|, ){_TIME}", re.IGNORECASE)),
    (
        Kind.ADDRESS,
        re.compile(r"[a-z]+://\S+|[\w.+-]+@[\w-]+\.[\w.-]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE),
    ),
    (Kind.WORD, re.compile(r"[\w#][\w.\-]*")),
]
_NULL_WORDS = re.compile(r"n/?a|nan|null|none|nil|\\n|-+|\?|#n/a", re.IGNORECASE)


@lru_cache(maxsize=65_536)
def kind(text: str) -> Kind:
    """Return the kind of a text; a common word for a missing value is empty."""
    text = text.strip()
    if not text or _NULL_WORDS.fullmatch(text):
        return Kind.EMPTY
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(text)), Kind.TEXT)


TYPED = frozenset({Kind.NUMBER, Kind.DATE, Kind.TIME, Kind.MOMENT, Kind.ADDRESS})
"""Kinds that are hardly the name of a column."""
