"""The characters that count as blank around a value: in fields, null words and headers alike."""

from __future__ import annotations

_WHITE_SPACE = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
    "\u202f\u205f\u3000"
)
"""The characters with Unicode's property White_Space."""
ZERO_WIDTH = "\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""Characters that take no room: separators, joiners, direction marks and the byte order mark."""
BLANKS = _WHITE_SPACE + ZERO_WIDTH


def strip(text: str) -> str:
    """`text` without the blanks around it; unlike `str.strip` it keeps control characters that are no white space."""
    return text.strip(BLANKS)
