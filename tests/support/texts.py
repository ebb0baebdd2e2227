"""Texts as in files: with blanks around them, or damaged."""

from __future__ import annotations

from hypothesis import strategies as st

BLANK = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u200b\u200c\u200d\u2060\ufeff"
)
BLANKS = st.text(st.sampled_from(BLANK), max_size=3)


def mutated(texts: st.SearchStrategy[str], alphabet: str) -> st.SearchStrategy[str]:
    """Texts in which a few characters replace a piece, as in damaged values."""

    def change(text: str, place: int, length: int, new: str) -> str:
        place %= len(text) + 1
        return text[:place] + new + text[place + length :]

    return st.builds(
        change, texts, st.integers(0, 40), st.integers(0, 3), st.text(st.sampled_from(alphabet), max_size=2)
    )


def padded(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda before, text, after: before + text + after, BLANKS, texts, BLANKS)
