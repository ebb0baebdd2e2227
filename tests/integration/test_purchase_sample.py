"""Loaded sample files of purchases equal their ground truth and the totals of the oracle."""

from __future__ import annotations

import csv
import hashlib
import io
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from psycopg import Connection

from oracles import purchases as oracle
from support.landing import MemoryBucket
from support.messaging_months import RUN
from support.purchase_files import Purchase, Rate, day
from waybill.contracts import load_domain
from waybill.derived.refresh import refresh
from waybill.files.spellings import normalise
from waybill.intake.ingest import ingest_file
from waybill_devtools.sampledata.ground_truth import differences
from waybill_devtools.sampledata.purchases import SampleData, generate

LAST_DAY, DAYS = "2026-03-31", 62


@pytest.fixture(scope="module")
def sample() -> SampleData:
    return generate(LAST_DAY, DAYS)


def good_rows(body: bytes) -> list[Purchase]:
    """Return the valid rows of a file, each purchase once, by an independent reading."""
    names = {"customer_id": "customer", "purchase_id": "purchase", "purchase_date": "date"}
    found: dict[str, Purchase] = {}
    reader = csv.reader(io.StringIO(body.decode(errors="replace")))
    header = [names.get(name := normalise(text), name) for text in next(reader)]
    for values in reader:
        if len(values) != len(header):
            continue
        row = Purchase(**{name: value.strip().removeprefix("+") for name, value in zip(header, values, strict=True)})
        amount, on = Decimal(0), date.max
        with suppress(ArithmeticError, ValueError):
            amount, on = Decimal(row.amount), date.fromisoformat(row.date)
        is_good = amount > 0 and int(amount.as_tuple().exponent) >= -2 and on != date.max  # type: ignore[operator]
        is_good &= all((row.customer, row.purchase, row.currency.isupper(), "@" in row.email))
        is_good &= len(row.first_name) < 200 and "\ufffd" not in row.last_name
        if is_good:
            found.setdefault(row.purchase, row)
    return [*found.values()]


def test_the_tables_and_books_are_those_of_the_ground_truth_and_the_oracle(
    empty_connection: Connection, sample: SampleData
) -> None:
    contracts, bucket = load_domain("purchases"), MemoryBucket()
    files: dict[tuple[str, str, str], list[Any]] = {}
    for file in sample.files:
        name = file.key.rsplit("/", 1)[1]
        landed = bucket.put("purchases", file.dataset, day(file.period), file.body, name)
        assert landed.key == file.key
        assert ingest_file(empty_connection, bucket, landed, contracts[file.dataset], contracts, RUN)
        if file.dataset == "rates":
            rows = csv.reader(io.StringIO(file.body.decode()))
            files["rates", file.period, name] = [Rate(*row) for row in rows][1:]
        else:
            files["purchases", file.period, name] = [row for row in good_rows(file.body) if row.date <= file.period]
    assert differences(empty_connection, "purchases", sample.ground_truth) == []
    refresh(empty_connection, "purchases", "purchases_star", RUN)
    expected = oracle.spend(oracle.bought(files, ["USD"]))
    summary = empty_connection.execute(
        "select customer_id, full_name, email, total_spent_aud, purchases_count, first_purchase_date, "
        "last_purchase_date from purchases_star.customer_purchase_summary order by 1"
    ).fetchall()
    assert summary == [(customer, *row) for customer, row in sorted(expected.items())]
    assert len(summary) > 200


def test_about_one_percent_has_errors_of_many_kinds_and_no_file_is_rejected_for_them(sample: SampleData) -> None:
    totals = sample.ground_truth["totals_by_dataset"]["purchases"]
    assert 0.008 < (totals["rejected"] + totals["duplicate"] - totals["updated"]) / totals["rows_in"] < 0.02
    assert totals["filtered"] > 0.08 * totals["rows_in"]
    reasons = {
        reason for entry in sample.ground_truth["files"] for one in entry["rejected"] for reason in one["reasons"]
    }
    assert {"in_force:currency", "conflict", "ragged", "encoding", "rule:bought_by_ingestion"} < reasons
    assert all(len(entry["rejected"]) * 20 <= entry["rows_in"] for entry in sample.ground_truth["files"])


def test_the_same_options_give_the_same_bytes(sample: SampleData) -> None:
    def digest(data: SampleData) -> str:
        return hashlib.sha256(b"".join(file.body for file in data.files)).hexdigest()

    assert digest(generate(LAST_DAY, DAYS)) == digest(sample)
    assert digest(generate(LAST_DAY, DAYS, seed=2)) != digest(sample)
    for options in ({"last_day": "2026-02-30"}, {"days": 0}, {"scale": 0}):
        with pytest.raises(ValueError, match=r"last_day|days"):
            generate(**({"last_day": LAST_DAY} | options))  # type: ignore[arg-type]
