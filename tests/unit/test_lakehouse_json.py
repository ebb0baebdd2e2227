"""The text of JSON in the lake is equal if, and only if, the values are."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.lakehouse.checking import _json

NUMBERS = ["0", "-0", "0.0", "-0.00", "-0e5", "1", "1.0", "-1", "10", "1e1", "0.1", "1E-1", "1" * 40, "1" * 40 + ".0"]
VALUES = st.recursive(
    st.sampled_from([*NUMBERS, "true", "false", "null", '""', '"a"']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda some: f"[{','.join(some)}]"),
        inner.map(lambda one: f'{{"a": {one}}}'),
    ),
    max_leaves=4,
)


def tagged(text: str) -> Any:
    """Return the value that the library for JSON reads, in which no boolean equals a number."""
    names = {True: "true", False: "false"}

    def tag(value: Any) -> Any:
        if isinstance(value, list):
            return [tag(one) for one in value]
        if isinstance(value, dict):
            return {name: tag(one) for name, one in value.items()}
        return ("boolean", names[value]) if isinstance(value, bool) else value

    return tag(json.loads(text, parse_float=Decimal, parse_int=Decimal))


@given(VALUES, VALUES)
def test_texts_are_equal_if_values_are(left: str, right: str) -> None:
    texts = [_json(b"\x01" + text.encode()) for text in (left, right)]
    assert (texts[0] == texts[1]) == (tagged(left) == tagged(right))
    assert tagged(texts[0]) == tagged(left)


@pytest.mark.parametrize("zero", ["-0", "0.0", "-0.00", "-0e5"])
def test_zero_has_one_text(zero: str) -> None:
    assert _json(b"\x01" + zero.encode()) == "0"
