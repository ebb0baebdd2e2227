"""The signs of numbers are found by their evidence."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.contracts.number_format import NumberFormat
from waybill.drafts.numbers import number_format


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["1", "-2", "+3"], {}),
        (["1.5", "1000.25"], {}),
        (["1,5", "1000,25"], {"decimal": ","}),
        (["1.234,50", "7,10"], {"decimal": ",", "thousands": "."}),
        (["1,234.50", "7.10"], {"thousands": ","}),
        (["1,234,567", "1"], {"thousands": ","}),
        (["1.234.567", "1"], {"decimal": ",", "thousands": "."}),
        (["1 234,5", "12 345 678,0"], {"decimal": ",", "thousands": " "}),
        (["1'234.50", "1"], {"thousands": "'"}),
        (["1,234", "999"], {"thousands": ","}),
        (["0,125", "12,500"], {"decimal": ","}),
        (["$1,000.50", "$2.00"], {"thousands": ",", "currency": "$"}),
        (["12,50 €", "3 EUR"], {"decimal": ",", "currency": ["€", "EUR"]}),
        (["12%", "12.5 %"], {"percent": "number"}),
        (["(1.50)", "2.50"], {"parentheses": True}),
        (["(7,25) €", "2,50 €"], {"decimal": ",", "currency": "€", "parentheses": True}),
        (["€ (7,25)", "€ 2,50"], {"decimal": ",", "currency": "€", "parentheses": True}),
        (["$(1,007.25)", "$2.50"], {"thousands": ",", "currency": "$", "parentheses": True}),
        (["(7,25) EUR", "2,50 EUR"], {"decimal": ",", "currency": "EUR", "parentheses": True}),
        (["(7.25)%", "2.50%"], {"percent": "number", "parentheses": True}),
        (["(7.25) % €", "2.50 % €"], {"percent": "number", "currency": "€", "parentheses": True}),
        (["1.50-", "2.50"], {"trailingMinus": True}),
        (["\u22121.5", "2.5"], {"minus": "\u2212"}),
    ],
)
def test_signs_of_numbers(texts: list[str], found: dict[str, Any]) -> None:
    answer = number_format(texts)
    assert answer is not None
    assert answer[0] == found
    form = re.compile(NumberFormat.of(found).form(None))
    assert all(form.fullmatch(text) for text in texts), "the declaration reads the texts"


@pytest.mark.parametrize("text", ["7,25) €", "(7,25 €", "€ (7,25) €", "() €", "€", "(7,25) € (", "% (7,25)"])
def test_text_that_only_resembles_a_number_is_none(text: str) -> None:
    answer = number_format([text, "1,5"])
    assert answer == ({"decimal": ","}, [])


@pytest.mark.parametrize("texts", [["1,234", "1234"], ["1,5", "2.5"], ["1.234,5", "1,234.5"], ["1,234", "1.234"]])
def test_texts_that_do_not_agree_have_no_format(texts: list[str]) -> None:
    assert number_format(texts) is None


@given(
    st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=8), st.sampled_from([(",", "."), (".", ","), (" ", ",")])
)
def test_grouped_numbers_are_read_as_they_were_written(numbers: list[Decimal], signs: tuple[str, str]) -> None:
    group, point = signs
    texts = [f"{number:,.2f}".replace(",", "g").replace(".", point).replace("g", group) for number in numbers]
    answer = number_format(texts)
    assert answer is not None
    thousands = {"thousands": group} if any(group in text for text in texts) else {}
    assert answer[0] == ({"decimal": point} if point == "," else {}) | thousands
