"""JSON texts, valid or not, and Python's reading of them by the rules of a jsonb column."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st


class Rejected(ValueError):
    """The text is valid for Python's reader, and not for the column."""


def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise Rejected("a name occurs twice")
    if any("\0" in name for name, _ in pairs):
        raise Rejected("NUL")
    return dict(pairs)


def no_constant(name: str) -> None:
    raise Rejected(name)


def number_of(text: str) -> Decimal:
    if len(re.split("[eE]", text)[0].lstrip("-")) >= 1000 or re.search("[eE][+-]?[0-9]{4}", text):
        raise Rejected("a long number")
    return Decimal(text)


def check_texts(value: Any, level: int = 1) -> None:
    if isinstance(value, str):
        value.encode()  # fails for a lone surrogate
        if "\0" in value:
            raise Rejected("NUL")
    elif isinstance(value, (list, dict)):
        if level > 100:
            raise Rejected("too many levels")
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            check_texts(item, level + 1)


def as_json(text: str) -> Any:
    """Return the object or array of a text, with exact numbers; None if the column does not accept it."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=members,
            parse_constant=no_constant,
            parse_float=number_of,
            parse_int=number_of,
        )
        check_texts(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (list, dict)) else None


JSON_TEXT = st.text(
    st.one_of(st.sampled_from('"\\/bu0041d800{}[]:,NaInf.5eE \u00a0'), st.characters(exclude_categories=["Cs"]))
)
JSON_NUMBER = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(
        ["-0", "1e999", "1E-999", "1e1000", "01", "1.", ".5", "+1", "NaN", "-Infinity", "9" * 999, "9" * 1000]
    ),
)
JSON = st.recursive(
    st.one_of(
        st.sampled_from(["true", "false", "null", "True", '"\\ud800"', '"\\u0000"', '"\\\\u0000"', '"\\\\\\u0000"']),
        JSON_NUMBER,
        JSON_TEXT.map(lambda text: json.dumps(text, ensure_ascii=False)),
        JSON_TEXT.map(json.dumps),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: "[" + ", ".join(items) + "]"),
        st.lists(st.tuples(st.sampled_from(["a", "b", "\\u0061", "\\n", "a\\u0000"]), inner), max_size=4).map(
            lambda pairs: "{" + ",".join(f'"{name}" : {value}' for name, value in pairs) + "}"
        ),
    ),
    max_leaves=12,
)
DEEP = st.builds(
    lambda depth, start, end: start * depth + end * depth, st.integers(95, 105), st.just('{"a":'), st.just("}")
).map(lambda text: text.replace(":}", ":[]}", 1))
JSON_DAMAGE = '"\\/{}[]:,NaIe-+0 \t\n\u00a0'
ODD_JSON = [
    "5",
    '"x"',
    "null",
    "[1,]",
    '{"a":1,}',
    "[NaN]",
    "['a']",
    "/**/[]",
    "[] []",
    "[" * 200_000,
    '{"a":1,"a":1}',
    "[01]",
]
ODD_JSON += [
    "[" * 100 + "]" * 100,
    "[" * 101 + "]" * 101,
    '["' + "x" * (2**20 - 4) + '"]',
    '["' + "x" * (2**20 - 3) + '"]',
]
