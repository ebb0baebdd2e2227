"""Numbers in the declared signs have the value that Python's Decimal gives their digits; other texts are rejected."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.typed_values import column, read
from waybill.contracts.number_format import NumberFormat, problems

FAST = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
TYPES = {
    "integer": ("integer", 0),
    "bigint": ("integer", 0),
    "numeric(14,3)": ("number", 3),
    "numeric(38,8)": ("number", 8),
}
WORDS = ["€", "$", "EUR", "US$", "Rs.", "Fr.", "kr", "z\u0142", "a.b", "a.bc"]
BLANK = [" ", "\u00a0", "\u202f"]


@st.composite
def formats(draw: st.DrawFn) -> NumberFormat:
    decimal = draw(st.sampled_from([".", ","]))
    separators = [sign for sign in [".", ",", " ", "\u00a0", "\u202f", "'", "\u2019"] if sign != decimal]
    return NumberFormat(
        decimal,
        tuple(draw(st.lists(st.sampled_from(separators), max_size=3, unique=True))),
        tuple(draw(st.lists(st.sampled_from(WORDS), max_size=3, unique=True))),
        draw(st.sampled_from([None, "number", "fraction"])),
        draw(st.booleans()),
        draw(st.booleans()),
        tuple(draw(st.lists(st.sampled_from(["-", "\u2212", "\u2013"]), min_size=1, unique=True))),
    )


def grouped(digits: str, separator: str) -> str:
    """Return whole digits in groups of three, counted from the end."""
    start = len(digits) % 3 or 3
    return separator.join([digits[:start], *(digits[at : at + 3] for at in range(start, len(digits), 3))])


@st.composite
def written(draw: st.DrawFn, signs: NumberFormat, scale: int) -> tuple[str, Decimal]:
    """Draw a number in one of the allowed layouts, and its value."""
    places = draw(st.integers(0, max(0, scale - 2 if signs.percent == "fraction" else scale)))
    digits = str(draw(st.one_of(st.integers(0, 9), st.integers(0, 2_000_000), st.integers(0, 40_000_000))))
    fraction = draw(st.text("0123456789", min_size=places, max_size=places))
    value = Decimal(f"{digits}.{fraction}" if fraction else digits)
    number = grouped(digits, draw(st.sampled_from([*signs.thousands, ""])))
    if fraction:
        number += signs.decimal + fraction
    percent = draw(st.sampled_from(["%", " %", "\u00a0%"])) if signs.percent else ""
    if signs.percent == "number" and draw(st.booleans()):
        percent = ""
    if signs.percent == "fraction":
        value /= 100
    word, space = draw(st.sampled_from([*signs.currency, ""])), draw(st.sampled_from(["", *BLANK]))
    before, after = draw(st.sampled_from([(word + space, ""), ("", space + word)])) if word else ("", "")
    minus = draw(st.sampled_from(signs.minus))
    layouts = [f"{before}{number}{percent}{after}", f"+{before}{number}{percent}{after}"]
    negative = [f"{minus}{before}{number}{percent}{after}", f"{before}{minus}{number}{percent}{after}"]
    if signs.trailing_minus:
        negative += [f"{before}{number}{minus}{percent}{after}", f"{before}{number}{percent}{minus}{after}"]
    if signs.parentheses:
        negative += [f"({before}{number}{percent}{after})", f"{before}({number}){percent}{after}"]
    if draw(st.booleans()):
        return draw(st.sampled_from(layouts)), value
    return draw(st.sampled_from(negative)), -value


def declared_column(signs: NumberFormat, physical_type: str) -> Any:
    return column(physical_type, TYPES[physical_type][0], number_format=signs)


def is_declarable(signs: NumberFormat, physical_type: str) -> bool:
    return signs.percent != "fraction" or TYPES[physical_type][1] >= 2


@given(st.data())
@FAST
def test_a_number_in_the_declared_signs_has_its_exact_value(data: st.DataObject) -> None:
    physical_type = data.draw(st.sampled_from([*TYPES]))
    signs = data.draw(formats().filter(lambda one: is_declarable(one, physical_type)))
    pairs = data.draw(st.lists(written(signs, TYPES[physical_type][1]), min_size=20, max_size=40))
    found = read(declared_column(signs, physical_type), [f" {text}\u00a0" for text, _ in pairs])
    for (text, value), (loaded, reasons) in zip(pairs, found, strict=True):
        assert (text, loaded, reasons) == (text, value, [])


def whole_number(text: str, signs: NumberFormat) -> str | None:
    """Return the digits of a whole number whose groups, if it has any, are complete."""
    if text.isdigit():
        return text
    separator = next((sign for sign in signs.thousands if sign in text), "")
    bare = text.replace(separator, "") if separator else ""
    is_grouped = bare.isdigit() and not bare.startswith("0") and grouped(bare, separator) == text
    return bare if is_grouped else None


def has_possible_marks(around: str, signs: NumberFormat) -> bool:
    """Return whether what surrounds a number has at most one currency, one percent sign and one sign."""
    word = next((word for word in sorted(signs.currency, key=len, reverse=True) if word in around), "")
    marks = Counter(around.replace(word, "", 1).translate(dict.fromkeys(map(ord, BLANK))))
    one_sign = sum(marks[sign] for sign in (*signs.minus, "(", "+")) <= 1
    parentheses = marks["("] == marks[")"] <= signs.parentheses
    percent = (signs.percent == "fraction") <= marks["%"] <= (signs.percent is not None)
    return one_sign and parentheses and percent and not set(marks) - {*signs.minus, *"()+%"}


def meant(text: str, signs: NumberFormat, scale: int) -> Decimal | None:
    """Return the value of a text that consists of a number and possible marks, else None.

    Unlike the compiled form, it looks at the digits first and then at what surrounds them.
    """
    core = re.search(r"[0-9](?:.*[0-9])?", text, re.DOTALL)
    if core is None or not has_possible_marks(text[: core.start()] + text[core.end() :], signs):
        return None
    whole, point, fraction = core[0].partition(signs.decimal)
    digits, shift = whole_number(whole, signs), 2 if signs.percent == "fraction" else 0
    if digits is None or (point and not re.fullmatch("[0-9]+", fraction)) or len(fraction) > scale - shift:
        return None
    is_negative = any(sign in text[: core.start()] + text[core.end() :] for sign in (*signs.minus, "("))
    return Decimal(f"{'-' * is_negative}{digits}.{fraction or 0}").scaleb(-shift)


@given(st.data())
@FAST
def test_a_damaged_number_is_never_loaded_as_another_one(data: st.DataObject) -> None:
    physical_type = data.draw(st.sampled_from([*TYPES]))
    scale = TYPES[physical_type][1]
    signs = data.draw(formats().filter(lambda one: is_declarable(one, physical_type)))
    alphabet = [*".,'\u2019 \u00a0\u202f-\u2212\u2013+()%€$EeRs0159\u0661\uff11_", *signs.currency]

    def damage(text: str, at: int, length: int, new: str) -> str:
        at %= len(text) + 1
        return text[:at] + new + text[at + length :]

    damaged = st.builds(
        damage,
        written(signs, scale).map(lambda pair: pair[0]),
        st.integers(0, 30),
        st.integers(0, 2),
        st.lists(st.sampled_from(alphabet), max_size=2).map("".join),
    )
    texts = data.draw(st.lists(damaged.filter(lambda text: text.strip() != ""), min_size=20, max_size=40))
    for text, (loaded, reasons) in zip(texts, read(declared_column(signs, physical_type), texts), strict=True):
        if reasons:
            assert (text, loaded, reasons) == (text, None, ["type:value"])
        else:
            assert (text, loaded) == (text, meant(text.strip(), signs, scale))


EUROPEAN = {"decimal": ",", "thousands": [".", " "], "currency": ["€", "EUR"]}
CASES: list[tuple[dict[str, Any], str, str | None]] = [
    (EUROPEAN, "1.234,5", "1234.5"),
    (EUROPEAN, "1234,5", "1234.5"),
    (EUROPEAN, "€ 1 234 567,89", "1234567.89"),
    (EUROPEAN, "-0,00 EUR", "0"),
    (EUROPEAN, "12.34,5", None),
    (EUROPEAN, "1.2345", None),
    (EUROPEAN, "1.234 567", None),
    (EUROPEAN, "1,234.5", None),
    (EUROPEAN, "1234.5", None),
    (EUROPEAN, "0.500", None),
    (EUROPEAN, "012.345", None),
    (EUROPEAN, ",5", None),
    (EUROPEAN, "5,", None),
    (EUROPEAN, "1,2345", None),
    (EUROPEAN, "€5€", None),
    (EUROPEAN, "€5 EUR", None),
    (EUROPEAN, "$5", None),
    (EUROPEAN, "5%", None),
    (EUROPEAN, "(5)", None),
    (EUROPEAN, "5-", None),
    (EUROPEAN, "\u22125", None),
    (EUROPEAN, "1e3", None),
    (EUROPEAN, "\uff11", None),
    (EUROPEAN, "€", None),
    ({"thousands": "'"}, "1'234.50", "1234.5"),
    ({"thousands": "\u202f", "decimal": ","}, "1\u202f234,5", "1234.5"),
    ({"thousands": "\u202f", "decimal": ","}, "1 234,5", None),
    ({"minus": ["-", "\u2212"]}, "\u221212.00", "-12"),
    ({"minus": "\u2212"}, "-12.00", None),
    ({"trailingMinus": True}, "12.50-", "-12.5"),
    ({"trailingMinus": True}, "-12.50-", None),
    ({"trailingMinus": True}, "12-50", None),
    ({"parentheses": True, "currency": "$"}, "($12.50)", "-12.5"),
    ({"parentheses": True, "currency": "$"}, "$ (12.50)", "-12.5"),
    ({"parentheses": True}, "(-5)", None),
    ({"parentheses": True}, "(5", None),
    ({"parentheses": True}, "((5))", None),
    ({"percent": "number"}, "12.5 %", "12.5"),
    ({"percent": "number"}, "12.5", "12.5"),
    ({"percent": "number"}, "12%%", None),
    ({"percent": "fraction"}, "12%", "0.12"),
    ({"percent": "fraction"}, "0.1%", "0.001"),
    ({"percent": "fraction"}, "-250 %", "-2.5"),
    ({"percent": "fraction"}, "0.12", None),
    ({"percent": "fraction"}, "0.01%", None),
    ({"currency": ["Rs", "Rs."]}, "Rs.500.25", "500.25"),
    ({"currency": "Rs."}, "500.25 Rs.", "500.25"),
]


@pytest.mark.parametrize(("signs", "text", "value"), CASES)
def test_only_declared_signs_in_their_place_are_accepted(signs: dict[str, Any], text: str, value: str | None) -> None:
    assert [*problems(signs)] == []
    found = read(declared_column(NumberFormat.of(signs), "numeric(14,3)"), [text])
    assert found == [(Decimal(value), [])] if value else found == [(None, ["type:value"])]


def test_a_number_beyond_the_type_is_rejected() -> None:
    wide = replace(NumberFormat(), thousands=(",",))
    assert read(declared_column(wide, "integer"), ["2,147,483,647", "2,147,483,648", "-2,147,483,648"]) == [
        (2**31 - 1, []),
        (None, ["type:value"]),
        (-(2**31), []),
    ]
    assert read(declared_column(wide, "numeric(14,3)"), ["99,999,999,999.999", "100,000,000,000"]) == [
        (Decimal("99999999999.999"), []),
        (None, ["type:value"]),
    ]


def test_null_words_come_before_signs() -> None:
    dashed = replace(declared_column(NumberFormat(currency=("$",)), "numeric(14,3)"), null_words=("-", "$ -"))
    assert read(dashed, [" - ", "$ -", "$-5"]) == [(None, []), (None, []), (Decimal(-5), [])]


WRONG: list[tuple[Any, str]] = [
    (",", "must be an object of decimal, thousands"),
    ({"decimals": ","}, "unknown part 'decimals'"),
    ({"decimal": [","]}, "`decimal` that must be '.' or ','"),
    ({"decimal": ",", "thousands": ","}, "',' both as the decimal and as a thousands sign"),
    ({"thousands": "x"}, "`thousands` that must be one or a list of"),
    ({"thousands": []}, "`thousands` that must be one or a list of"),
    ({"currency": "US 1"}, "`currency` that must be a sign or word"),
    ({"currency": ["€", "€"]}, "`currency` that must be"),
    ({"currency": ".-"}, "`currency` that must be"),
    ({"percent": True}, "`percent` that must be number or fraction"),
    ({"parentheses": "yes"}, "`parentheses` that must be true or false"),
    ({"minus": "~"}, "`minus` that must be one or a list of"),
]


@pytest.mark.parametrize(("value", "text"), WRONG)
def test_an_impossible_format_is_an_error(value: Any, text: str) -> None:
    found = [*problems(value)]
    assert len(found) == 1
    assert text in found[0]


def test_every_declarable_format_reads_its_own_example() -> None:
    for percent, currency in itertools.product([None, "number"], [(), ("€",)]):
        signs = NumberFormat(",", (".",), currency, percent)
        assert read(declared_column(signs, "numeric(14,3)"), [signs.example]) == [(Decimal("1234.5"), [])]
