"""A message about a rejected file counts the rows of each broken rule; a snapshot that shrinks is reported."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.landing import CUSTOMERS, MONTH, Amend, Landing, csv_body, customer_rows
from waybill.contracts import load_domain
from waybill.intake.rejected_files import EXAMPLES, BrokenRules, RejectedFileError
from waybill.settings import PROJECT_ROOT

FIELD = PROJECT_ROOT / "tests/field"


def warnings(landing: Landing, key: str) -> list[tuple[Any, ...]]:
    return landing.all(
        "select kind, message from waybill.file_warning where file_id = %s", [landing.ledger(key)["file_id"]]
    )


def test_restricted_values_are_masked_in_every_place(landing: Landing, amend: Amend) -> None:
    amend("customers", "classification: confidential", "classification: restricted")
    long_name = "Secret" * 40
    rows = [
        f"1,1,{long_name},Startup,Retail,DE,2020-01-31",
        "2,1,,Startup,Retail,DE,2020-01-31",
        "3,1,Secret,Startup,Retail,DE",
        "x,1,Secret,Startup,Retail,DE,2020-01-31",
    ]
    message = landing.reject("customers", csv_body(CUSTOMERS, rows))
    for line in (
        "length:customer_name in 1 row: record 1 (customer_name ***)",
        "required:customer_name in 1 row: record 2 (customer_name absent)",
        "ragged in 1 row: record 3 (text ***)",
        "type:customer_id in 1 row: record 4 (customer_id 'x')",
    ):
        assert f"\n  {line}" in message
    [kept] = landing.column("select reasons from waybill.rejected_file")
    assert "Secret" not in message + json.dumps(kept)


@pytest.mark.parametrize(
    ("first", "hint"),
    [
        ("1,1,Secret,Startup,Retail,DE,2020-01-31", "there is no header. Declare `headerLines: 0`"),
        ("1;1;Secret;Startup;Retail;DE;2020-01-31", "The header is: ***"),
        ("1,1,Secret,Startup,Retail,DE", "The header is: ***"),
        ('1,1,"Secret" x,Startup,Retail,DE,2020-01-31', "there is no header. Declare `quote: none`"),
        ('1,1,"Secret" x,Startup,Retail,DE', "the first record is not a CSV header: ***"),
    ],
)
def test_a_row_in_place_of_the_header_is_masked(first: str, hint: str, landing: Landing, amend: Amend) -> None:
    amend("customers", "classification: confidential", "classification: restricted")
    message = landing.reject("customers", csv_body(first, customer_rows(2)))
    assert hint in message
    assert "Secret" not in message


@pytest.mark.parametrize("end", ["\r", "\x1e"])
def test_rows_that_a_wrong_line_end_joins_to_the_header_are_not_shown(end: str, landing: Landing, amend: Amend) -> None:
    amend("customers", "classification: confidential", "classification: restricted")
    joined = end.join([CUSTOMERS.replace("customer_id", "id"), "1,1,Secret,Startup,Retail,DE,2020-01-31"])
    message = landing.reject("customers", csv_body(joined, customer_rows(2)))
    assert "customer_name" in message
    assert "Secret" not in message
    stored = landing.column("select r::text from waybill.rejected_file as r")
    assert "Secret" not in str(stored)


def test_values_that_no_message_can_hold_are_cut_and_escaped(landing: Landing) -> None:
    rows = [f"{'9' * 70},1,A,Startup,Retail,DE,2020-01-31", '"1\r\n2",1,B,Startup,Retail,DE,2020-01-31']
    message = landing.reject("customers", csv_body(CUSTOMERS, rows))
    assert f"record 1 (customer_id '{'9' * 60}…'), record 2 (customer_id '1\\r\\n2')" in message


@pytest.mark.parametrize(
    ("domain", "dataset", "reason", "values", "expected"),
    [
        (
            "orders",
            "lines",
            "type:order_date",
            {"order_date": "3/31/26"},
            "type:order_date (must be YYYY-MM-DD or M/D/YYYY) in 1 row: record 1 (order_date '3/31/26')",
        ),
        (  # the day of ingestion is not among the values of a file
            "purchases",
            "purchases",
            "rule:bought_by_ingestion",
            {"purchase_date": "2026-03-31"},
            (
                "rule:bought_by_ingestion (must be purchase_date <= ingested_on) in 1 row: "
                "record 1 (purchase_date '2026-03-31')"
            ),
        ),
    ],
)
def test_a_broken_rule_names_the_required_value(
    domain: str, dataset: str, reason: str, values: dict[str, str], expected: str
) -> None:
    rules = BrokenRules(load_domain(domain)[dataset])
    rules.add(1, [reason], json.dumps(values))
    assert [str(rule) for rule in rules.listed()] == [expected]


def test_a_snapshot_that_is_nearly_empty_is_rejected_before_it_ends_the_others(landing: Landing) -> None:
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(43)), key_month="2026-02")
    message = landing.reject("customers", (FIELD / "28_short_snapshot/customers_2026-11.csv").read_bytes())
    assert "the snapshot has 4 rows; the previous one has 43. It would end 39 rows, more than the 90 %" in message
    assert len(landing.column("select customer_id from messaging.customers")) == 43


AT_MOST_30_PCT = (
    "{property: rejectThresholdPct, value: 5}",
    "{property: rejectThresholdPct, value: 5}\n      - {property: maxShrinkPct, value: 30}",
)


def test_a_contract_limits_how_much_a_snapshot_may_shrink(landing: Landing, amend: Amend) -> None:
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(43)), key_month="2026-02")
    amend("customers", *AT_MOST_30_PCT)
    assert "43. It would end 33 rows, more than the 30 %" in landing.reject(
        "customers", csv_body(CUSTOMERS, customer_rows(10))
    )
    amend("customers", "{property: maxShrinkPct, value: 30}", "{property: maxShrinkPct, value: 100}")
    [key] = [f"raw/messaging/customers/month={MONTH}/{name}" for name in landing.ingest("customers", MONTH)]
    assert len(landing.column("select customer_id from messaging.customers")) == 10
    [(kind, text)] = warnings(landing, key)
    assert kind == "shrunk"
    assert text.startswith("the snapshot has 10 rows; the previous one has 43. Absent rows have ended.")


def test_the_limit_also_holds_where_more_than_half_of_the_rows_are_left(landing: Landing, amend: Amend) -> None:
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(43)), key_month="2026-02")
    amend("customers", *AT_MOST_30_PCT)
    assert "43. It would end 13 rows, more than the 30 %" in landing.reject(
        "customers", csv_body(CUSTOMERS, customer_rows(30))
    )


@pytest.mark.parametrize(("rows", "is_told"), [(5, False), (4, True), (1, True)])
def test_a_snapshot_with_half_the_rows_is_loaded_with_a_warning(rows: int, is_told: bool, landing: Landing) -> None:
    key = landing.load("customers", csv_body(CUSTOMERS, customer_rows(rows)))  # nine are there
    assert bool(warnings(landing, key)) == is_told


def test_a_snapshot_sent_again_is_compared_with_the_version_it_replaces(landing: Landing) -> None:
    key = landing.load("customers", csv_body(CUSTOMERS, customer_rows(40)))
    landing.put("customers", MONTH, csv_body(CUSTOMERS, customer_rows(39)))
    landing.ingest("customers", MONTH)
    assert warnings(landing, key) == []
    landing.put("customers", MONTH, csv_body(CUSTOMERS, customer_rows(3)))
    with pytest.raises(RejectedFileError, match="the snapshot has 3 rows; the previous one has 39"):
        landing.ingest("customers", MONTH)


def test_a_snapshot_sent_again_is_compared_with_the_period_before_too(landing: Landing) -> None:
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(43)), key_month="2026-02")
    key = landing.load("customers", csv_body(CUSTOMERS, customer_rows(30)))
    assert warnings(landing, key) == []
    for rows in (16, 15):
        landing.put("customers", MONTH, csv_body(CUSTOMERS, customer_rows(rows)))
        landing.ingest("customers", MONTH)
        [(kind, text)] = warnings(landing, key)
        assert (kind, f"the snapshot has {rows} rows; the previous one has 43" in text) == ("shrunk", True)
    landing.put("customers", MONTH, csv_body(CUSTOMERS, customer_rows(4)))
    with pytest.raises(RejectedFileError, match="the snapshot has 4 rows; the previous one has 43"):
        landing.ingest("customers", MONTH)


REASONS = ("type:customer_id", "length:customer_name", "conflict")
REJECTS = st.dictionaries(st.integers(1, 40), st.lists(st.sampled_from(REASONS), min_size=1, unique=True), max_size=30)


@given(REJECTS, st.randoms(use_true_random=False))
def test_the_first_records_of_each_rule_do_not_depend_on_the_order(
    rejects: dict[int, list[str]], shuffle: random.Random
) -> None:
    contract = load_domain("messaging")["customers"]
    order = list(rejects)
    shuffle.shuffle(order)
    found = BrokenRules(contract)
    for record in order:
        found.add(record, rejects[record], json.dumps({"customer_id": record, "customer_name": f"n{record}"}))
    rules = {rule.reason: rule for rule in found.listed()}
    assert {reason: rule.rows for reason, rule in rules.items()} == Counter(
        reason for reasons in rejects.values() for reason in reasons
    )
    for reason, rule in rules.items():
        wanted = sorted(record for record, reasons in rejects.items() if reason in reasons)[:EXAMPLES]
        assert [one.record for one in rule.first] == wanted
    assert [rule.rows for rule in found.listed()] == sorted((rule.rows for rule in found.listed()), reverse=True)
