"""Compile the JSON texts that a column accepts into DuckDB expressions.

PostgreSQL aborts a COPY at the first JSON text that it rejects, and silently keeps the last of several members of the
same name. DuckDB also accepts `NaN`, `Infinity` and commas before a closing bracket.
"""

from __future__ import annotations

from typing import Final

from waybill.contracts.quoting import literal

_MOST_BYTES: Final = 2**20
_MOST_LEVELS: Final = 100
_EMPTY: Final = '""'
_STRING: Final = r'"(?:[^"\\]|\\(?s:.))*"'
_OUTSIDE: Final = "(?i)nan|inf"
_COMMA_AT_END: Final = r",[ \t\r\n]*[\]}]"
_LONG_NUMBER: Final = "[0-9.]{1000}|[eE][+-]?[0-9]{4}"
_NUL: Final = r"(^|[^\\])(\\\\)*\\u0000"


def json_value(text: str) -> str:
    """Return the expression of a JSON object or array; null for other texts and for what PostgreSQL cannot keep.

    That is: members of the same name, the escape of NUL, more than 100 levels, numbers of 1000 digits or with exponents
    of four digits, and texts of more than 1 MiB.
    """
    outside = _outside_strings(text)
    brackets = f"translate(regexp_replace({outside}, '[^\\[\\]{{}}]', '', 'g'), '{{}}', '[]')"
    names = f"list_append(json_extract({text}, '$..*'), {text}::json)"
    repeats = f"list_transform({names}, lambda item: len(json_keys(item)) > len(list_distinct(json_keys(item))))"
    # A case expression, because each condition needs the previous ones.
    return f"""case
        when strlen({text}) > {_MOST_BYTES} then null
        when not regexp_full_match({brackets}, {literal(_nested(_MOST_LEVELS))}) then null
        when not json_valid({text}) then null
        when regexp_matches({outside}, {literal(f"{_OUTSIDE}|{_COMMA_AT_END}|{_LONG_NUMBER}")}) then null
        when regexp_matches({text}, {literal(_NUL)}) then null
        when list_bool_or({repeats}) then null
        else {text} end"""


def json_array(text: str) -> str:
    """Return the expression of the list of texts in a JSON array of texts; null for other texts."""
    outside = _outside_strings(text)
    return f"""case
        when regexp_matches(substr({outside}, 2, length({outside}) - 2), '[^", \t\r\n]') then null
        when not json_valid({text}) then null
        when regexp_matches({outside}, {literal(_COMMA_AT_END)}) then null
        when regexp_matches({text}, {literal(_NUL)}) then null
        else json_transform({text}, '["VARCHAR"]') end"""


def _outside_strings(text: str) -> str:
    """Return the expression of a JSON text whose strings are empty."""
    return f"regexp_replace({text}, {literal(_STRING)}, {literal(_EMPTY)}, 'g')"


def _nested(levels: int) -> str:
    """Return the regular expression of brackets that are nested at most so deeply."""
    found = ""
    for _ in range(levels):
        found = rf"(?:\[{found}\])*"
    return found
