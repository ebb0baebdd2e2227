"""Define the characters that are blank around fields, null words and names in headers."""

from __future__ import annotations

_WHITE_SPACE = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
    "\u202f\u205f\u3000"
)
"""The characters with Unicode's property White_Space."""
ZERO_WIDTH = "\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""Characters without width: separators, joiners, direction marks and the byte order mark."""
BLANKS = _WHITE_SPACE + ZERO_WIDTH


def strip(text: str) -> str:
    """Return `text` without blanks around it. Unlike `str.strip`, keep control characters that are not white space."""
    return text.strip(BLANKS)
