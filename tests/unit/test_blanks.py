"""Which characters count as blank."""

from __future__ import annotations

import sys
import unicodedata

from waybill.blanks import BLANKS, strip


def test_every_white_space_of_unicode_is_blank_and_no_visible_character_is() -> None:
    separators = {chr(c) for c in range(sys.maxunicode) if unicodedata.category(chr(c)) in ("Zs", "Zl", "Zp")}
    assert separators <= set(BLANKS)
    assert {unicodedata.category(character) for character in set(BLANKS) - separators} == {"Cc", "Cf"}
    # Python also counts the separators of files, groups, records and units, which are control characters.
    assert {chr(c) for c in range(sys.maxunicode) if chr(c).isspace()} - set(BLANKS) == set("\x1c\x1d\x1e\x1f")


def test_blanks_are_stripped_from_both_ends_only() -> None:
    assert strip(f"{BLANKS}a{BLANKS}b{BLANKS}") == f"a{BLANKS}b"
    assert strip(BLANKS) == ""
    assert strip("\x1ca\0") == "\x1ca\0"
