"""Each reason of a rejected row has an expectation in words."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from waybill.contracts import load_all, load_domain
from waybill.intake.expectations import RECORD, columns_of, expectation
from waybill.settings import PROJECT_ROOT

TRAFFIC = load_domain("messaging")["traffic"]


@pytest.mark.parametrize(
    ("table", "reason", "expected"),
    [
        ("messaging.traffic", "range:interactions_count", "at least 0"),
        ("messaging.traffic", "required:customer_id", "a value"),
        ("messaging.traffic", "reference:customer_id", "a value of customers.customer_id"),
        ("messaging.traffic", "type:interactions_count", "a value of type integer"),
        ("messaging.traffic", "type:send_date", "YYYY-MM-DD"),
        ("messaging.traffic", "too_late", "a day at most 12 months before the file's period"),
        ("messaging.traffic", "after_period", "a day of the file's period, or an earlier one"),
        ("messaging.traffic", "conflict", "one row for each key"),
        ("messaging.traffic", "ragged", RECORD),
        ("messaging.traffic", "range:gone", "as an earlier contract says"),
        ("messaging.traffic", "rule:gone", "as the row rule of an earlier contract says"),
    ],
)
def test_the_expectation_is_that_of_the_contract(table: str, reason: str, expected: str) -> None:
    assert expectation(load_all()[table], reason) == expected


def test_limits_lengths_patterns_and_values_are_named() -> None:
    (column, *others) = TRAFFIC.columns
    options = {"minimum": 1, "exclusiveMaximum": 9, "minLength": 2, "maxLength": 5, "pattern": "[A-Z]+"}
    named = replace(column, name="x", enum=tuple(f"v{n}" for n in range(9)), options=options)
    contract = replace(TRAFFIC, columns=(named, *others))
    assert expectation(contract, "range:x") == "at least 1 and less than 9"
    assert expectation(contract, "length:x") == "at least 2 characters and at most 5 characters"
    assert expectation(contract, "pattern:x") == "a text that matches [A-Z]+"
    assert expectation(contract, "enum:x") == "one of v0, v1, v2, v3, v4, v5, v6, v7 and others"


def test_every_documented_reason_has_an_expectation_of_its_own() -> None:
    text = (PROJECT_ROOT / "docs/reference/contracts/reasons.md").read_text()
    kinds = re.findall(r"^\| `([a-z_]+)(:<\w+>)?` \|", text, re.MULTILINE)
    assert len(kinds) > 20
    for kind, name in kinds:
        found = expectation(TRAFFIC, f"{kind}:{TRAFFIC.columns[0].name}" if name and kind != "rule" else kind)
        assert found != "as the contract says", kind
    records = text.partition("## Reasons about records")[2]
    for kind in re.findall(r"^\| `([a-z_]+)` \|", records, re.MULTILINE):
        assert expectation(TRAFFIC, kind) == RECORD, kind


def test_the_rules_of_every_contract_are_expectations() -> None:
    for contract in load_all().values():
        for rule in contract.row_rules:
            assert expectation(contract, f"rule:{rule.name}") == rule.expression
            assert columns_of(contract, f"rule:{rule.name}")
