"""Personal data is recognised by forms, check digits and names, and what only looks like it is not."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.personal import check_digits
from waybill.personal.recognise import Evidence, recognise
from waybill_devtools.personal_data import OTHER, PLANTED, Planted, column, other_texts, planted_texts, within

ROWS = 300


def found_in(values: Sequence[str], name: str = "value") -> list[Evidence]:
    return recognise([name], pa.array(list(dict.fromkeys(values)), pa.string()))


def kinds_in(values: Sequence[str], name: str = "value") -> list[str]:
    return [one.kind for one in found_in(values, name)]


@pytest.mark.parametrize("one", PLANTED, ids=lambda one: one.what)
def test_each_planted_form_is_found_in_columns_and_in_texts(one: Planted) -> None:
    for seed in range(3):
        chance = random.Random(seed)
        assert kinds_in(column(one.make, chance, ROWS)) == [one.kind]
        if one.in_text is not None:
            assert kinds_in(planted_texts(one, chance, ROWS, one.in_text)) == [one.kind]


@pytest.mark.parametrize("what", OTHER)
def test_other_values_are_no_personal_data(what: str) -> None:
    chance = random.Random(7)
    assert found_in(column(OTHER[what], chance, ROWS)) == []
    for number, texts in other_texts(OTHER[what], chance, ROWS):
        assert found_in(texts) == [], f"{number} texts have one"


PUBLISHED = {
    # The examples of ISO 13616, of issuers of cards and of authorities
    check_digits.is_iban: (
        "GB29NWBK60161331926819",
        "DE89370400440532013000",
        "FR1420041010050500013M02606",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
    ),
    check_digits.is_card: ("4111111111111111", "5555555555554444", "378282246310005", "6011111111111117"),
    check_digits.is_spanish_id: ("12345678Z", "X1234567L"),
    check_digits.is_dutch_bsn: ("111222333", "123456782"),
    check_digits.is_pesel: ("44051401359",),
    check_digits.is_cpf: ("11144477735", "52998224725"),
    check_digits.is_personnummer: ("8112189876", "640823-3234"),
    check_digits.is_german_tax_id: ("86095742719", "47036892816", "65929970489"),
    check_digits.is_insee: ("255081416802538",),
}


@pytest.mark.parametrize("accepts", PUBLISHED, ids=lambda accepts: accepts.__name__)
def test_published_examples_pass_and_no_changed_digit_does(accepts: object) -> None:
    assert callable(accepts)
    for text in PUBLISHED[accepts]:  # type: ignore[index]
        assert accepts(text)
        place = max(place for place, sign in enumerate(text) if sign.isdigit())
        others = [f"{text[:place]}{digit}{text[place + 1 :]}" for digit in "0123456789" if digit != text[place]]
        assert not any(map(accepts, others)), text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to ann.other@example.org.", "an email address"),
        ("(ann@example.org)", "an email address"),
        ("<jörg.müller@example.de>", "an email address"),
        ('{"contact": "ann@example.org", "n": 1}', "an email address"),
        ("card:4111111111111111;", "a payment card"),
        ("4111-1111-1111-1111", "a payment card"),
        ('{"pan":4111111111111111}', "a payment card"),
        ("on 2026-03-02 4111 1111 1111 1111 was charged", "a payment card"),
        ("DE89370400440532013000.", "a bank account"),
        ("IBAN DE89 3704 0044 0532 0130 00 PLEASE PAY", "a bank account"),
        ("tel.: +49 (0)30 1234567", "a telephone number"),
        ("+1 (415) 555-2671", "a telephone number"),
        ("call +49.301234567", "a telephone number"),
        ("call +49301234567 or write", "a telephone number"),
        ("de89 3704 0044 0532 0130 00", "a bank account"),
        ("cpf 529.982.247-25", "a national id"),
    ],
)
def test_one_certain_value_among_texts_is_enough(text: str, kind: str) -> None:
    assert kinds_in([*(f"text {number}" for number in range(ROWS)), text]) == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "0004111111111111111",
        "x4111111111111111",
        "4111111111111111-7",
        "https://example.com/4111111111111111",
        "DE88370400440532013000",
        "DE893704004405320130001",
        "+10 000 000",
        "+20 000 000",
        "+1234567.89",
        "+33.3333333",
        "+4767442642",
        "+123456789.12",
        "@ann",
        "ann@host",
        "icon@2x.png",
        "git@git.example.com:team/project.git",
        "1.2.3.4",
        "2026-03-02T10:00:00+01:00",
        "00012345678",
    ],
)
def test_one_value_that_only_looks_like_it_is_nothing(text: str) -> None:
    assert found_in([*(f"text {number}" for number in range(ROWS)), text]) == []


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("customer_name", ["Ann Other", "José Núñez", "Jean-Luc d'Arc"], "a person's name"),
        ("customer_name", ["A-17", "B-18", "C-19"], None),
        ("street", ["Main Street 5", "Hauptstr. 7a", "5 Rue Verte"], "an address"),
        ("email_address", ["https://example.com", "https://example.org"], None),
        ("email_sent_at", ["2026-03-02", "2026-03-03"], None),
        ("birth_date", ["1980-11-12", "1990-01-02"], "a date of birth"),
        ("phone", ["030123456", "040123456"], "a telephone number"),
        ("phone_home_2", ["491711234567", "491711234568"], "a telephone number"),
        ("msisdn", ["491711234567", "491711234568"], "a telephone number"),
        ("iban", ["de89370400440532013000", "de88370400440532013000"], "a bank account"),
        ("phone", ["yes", "no"], None),
        ("ip", ["1.2.3.4", "1.2.3.5"], "an IP address"),
        ("product_name", ["Lamp", "Chair"], None),
        ("name", ["Lamp", "Chair"], None),
        ("release", ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], None),
        ("tax_id", ["12/345/67890", "12/345/67891"], "a national id"),
    ],
)
def test_a_name_counts_if_the_values_do_not_contradict_it(name: str, values: list[str], kind: str | None) -> None:
    assert kinds_in(values, name) == ([kind] if kind else [])


def test_a_column_may_have_several_kinds() -> None:
    texts = [*(f"text {number}" for number in range(ROWS)), "ann@example.org", "call +49 30 1234567"]
    assert {(one.kind, one.where, one.hits) for one in found_in(texts)} == {
        ("an email address", "text", 1),
        ("a telephone number", "text", 1),
    }


def test_numbers_of_which_most_fail_the_check_digit_hide_no_single_one() -> None:
    chance = random.Random(3)
    orders = column(OTHER["order number of 16 digits that begins with 4"], chance, ROWS)
    assert found_in([*orders, "4111111111111111"]) == [], "one of ten order numbers has the check digit by chance"
    assert kinds_in(within(chance, orders, ["ann@example.org"])) == ["an email address"]


def test_a_rare_value_of_a_large_column_is_found() -> None:
    texts = [f"comment {number} on order {number * 7_919 % 10**6}" for number in range(90_000)]
    texts[61_234] += ", reply to ann@example.org"
    [found] = found_in(texts)
    assert (found.kind, found.where, found.hits, found.values) == ("an email address", "text", 1, 90_000)


def test_a_large_column_of_addresses_is_estimated_from_a_part() -> None:
    [found] = found_in([f"user{number}@example.org" for number in range(50_000)])
    assert (found.where, found.hits, found.values) == ("values", 50_000, 50_000)


@pytest.mark.parametrize("part", [":", "1234 ", "a@a.", "DE12 A1B2 ", "+49 1234567", "0-", "1.1."])
def test_long_values_of_signs_cost_little(part: str) -> None:
    values = [f"{part * (4_000 // len(part))}{number}" for number in range(100)]
    began = time.process_time()
    found_in(values, "address")
    assert time.process_time() - began < 2


@given(st.lists(st.text(max_size=40) | st.from_regex(r"[A-Z]{2}\d{2}[0-9 ]{0,30}|[-+0-9 ().:/@]{1,30}"), max_size=20))
def test_any_text_can_be_searched_and_the_same_texts_have_the_same_evidence(texts: list[str]) -> None:
    found = found_in(texts)
    assert found == found_in(texts)
    for one in found:
        assert 0 < one.hits <= one.values == len({*texts})
