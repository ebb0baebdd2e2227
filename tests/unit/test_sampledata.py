"""The sample files match their ground truth, by an independent reading of the files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import Any

import boto3
import pytest
from moto import mock_aws

from oracles.messaging import expected, expected_books
from waybill_devtools.sampledata import orders
from waybill_devtools.sampledata.messaging import SampleData, generate, upload

COUNTS = ("rows_in", "inserted", "updated", "unchanged", "duplicate", "stale", "filtered")
REASONS = {
    *(f"required:{column}" for column in ("customer_name", "segment", "send_date", "revenue_eur", "traffic_id")),
    *(f"type:{column}" for column in ("created_date", "send_date", "revenue_eur", "interactions_count")),
    *(f"range:{column}" for column in ("account_id", "interactions_count", "revenue_eur")),
    *("reference:customer_id", "reference:channel_id", "length:segment", "length:country"),
    *("length:customer_name", "length:industry", "conflict", "after_period", "too_late"),
    *("ragged", "encoding", "nul", "quote"),
}


@pytest.fixture(scope="module")
def sample() -> SampleData:
    return generate("2026-05")


@pytest.fixture(scope="module")
def entries(sample: SampleData) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = sample.ground_truth["files"]
    return files


def pairs(sample: SampleData) -> list[tuple[str, bytes]]:
    return [(file.key, file.body) for file in sample.files]


def assert_books_are_right(sample: SampleData) -> None:
    books = {book["key"]: book for book in expected_books(pairs(sample))}
    assert len(books) == len(sample.files)
    for entry in sample.ground_truth["files"]:
        book = books[entry["key"]]
        assert entry["rejected"] == book["rejects"], entry["key"]
        assert {name: entry[name] for name in COUNTS} == {name: book[name] for name in COUNTS}, entry["key"]


def test_ground_truth_equals_an_independent_reading(sample: SampleData) -> None:
    assert_books_are_right(sample)


@pytest.mark.parametrize(
    ("last_month", "months", "seed", "scale"),
    [("2024-02", 1, 1, 1.0), ("2025-12", 5, 2, 0.1), ("2026-03", 26, 3, 0.3), ("2026-05", 3, 4, 4.0)],
)
def test_ground_truth_is_right_for_other_options(last_month: str, months: int, seed: int, scale: float) -> None:
    assert_books_are_right(generate(last_month, months, seed, scale))


def test_books_balance(sample: SampleData, entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        accounted = sum(entry[name] for name in COUNTS[1:]) + len(entry["rejected"])
        assert entry["rows_in"] == accounted, entry["key"]
    totals = sample.ground_truth["totals"]
    assert totals["rejected"] == sum(len(entry["rejected"]) for entry in entries)
    assert totals["rows_in"] == sum(entry["rows_in"] for entry in entries)


def test_same_options_give_the_same_bytes(sample: SampleData) -> None:
    again = generate("2026-05")
    assert pairs(again) == pairs(sample)
    assert json.dumps(again.ground_truth) == json.dumps(sample.ground_truth)
    assert pairs(generate("2026-05", seed=7)) != pairs(sample)


def test_files_with_orders_are_the_same_for_the_same_options() -> None:
    sample = orders.generate("2026-05-31", days=5)
    assert pairs(orders.generate("2026-05-31", days=5)) == pairs(sample)
    assert pairs(orders.generate("2026-05-31", days=5, seed=7)) != pairs(sample)
    headers = {file.body.partition(b"\n")[0] for file in sample.files}
    assert len(headers) == 3, "three spellings"
    totals = sample.ground_truth["totals"]
    assert totals["rows_in"] == totals["inserted"] + totals["rejected"] + totals["duplicate"]
    assert 0.005 < totals["rejected"] / totals["rows_in"] < 0.02
    assert totals["duplicate"] > 0


def test_about_one_percent_has_errors_of_every_kind(sample: SampleData) -> None:
    totals = sample.ground_truth["totals"]
    assert 0.008 < (totals["rejected"] + totals["duplicate"]) / totals["rows_in"] < 0.013
    reasons = {
        reason for entry in sample.ground_truth["files"] for record in entry["rejected"] for reason in record["reasons"]
    }
    assert reasons >= REASONS


def test_no_file_is_near_its_reject_threshold(entries: list[dict[str, Any]]) -> None:
    threshold = {"customers": 0.05, "traffic": 0.05, "channels": 0.10}
    for entry in entries:
        assert len(entry["rejected"]) / entry["rows_in"] < threshold[entry["dataset"]] / 2, entry["key"]


def test_size_of_the_default(entries: list[dict[str, Any]]) -> None:
    customers = [entry for entry in entries if entry["dataset"] == "customers"]
    traffic = Counter({entry["period"]: 0 for entry in customers})
    for entry in entries:
        if entry["dataset"] == "traffic":
            traffic[entry["period"]] += entry["rows_in"]
    assert len(customers) == 14
    assert all(280 <= entry["rows_in"] <= 360 for entry in customers)
    assert all(4000 <= rows <= 6000 for rows in traffic.values())


def test_scale_multiplies_rows() -> None:
    small, large = (generate("2026-05", months=2, scale=scale) for scale in (1.0, 8.0))
    ratio = large.ground_truth["totals"]["rows_in"] / small.ground_truth["totals"]["rows_in"]
    assert ratio == pytest.approx(8, rel=0.05)


def test_compressed_files_are_valid_and_without_a_time_stamp(sample: SampleData) -> None:
    compressed = [file for file in sample.files if file.key.endswith(".gz")]
    assert len(compressed) >= 7
    for file in compressed:
        assert file.body[4:8] == bytes(4)
        assert gzip.decompress(file.body).count(b"\n") > 1


def test_files_are_as_varied_as_real_ones(sample: SampleData) -> None:
    customers = [
        gzip.decompress(file.body) if file.key.endswith(".gz") else file.body
        for file in sample.files
        if file.dataset == "customers"
    ]
    headers = [body.splitlines()[0] for body in customers]
    assert len(set(headers)) >= 6
    assert any(body.startswith(b"\xef\xbb\xbf") for body in customers)
    assert any(header.startswith(b"Customer-Id") for header in headers)
    assert any(b"Account Id" in header for header in headers)
    assert 0 < sum(b"\r\n" in body for body in customers) < len(customers)
    assert all(b"\nHolding" in body and b'""' in body for body in customers)


def test_stories_are_in_the_numbers(sample: SampleData) -> None:
    stories = "\n".join(sample.ground_truth["stories"])
    assert "tie at rank 20" in stories
    reports = expected(pairs(sample), "2026-05")
    assert [row["customer_rank"] for row in reports["top_customers"]][-2:] == [20, 20]
    exposure = {row["industry"]: row for row in reports["industry_exposure"]}
    assert exposure["Agriculture"]["customers_count"] > 0
    assert exposure["Agriculture"]["revenue_eur"] == 0
    assert exposure["Unknown"]["revenue_eur"] > 0
    changes = {(row["changed_net"], row["changed_ever"]) for row in reports["segment_changes"]}
    assert changes == {(True, True), (False, True)}
    loyal = {row["customer_rank"] for row in reports["loyal_top_customers"]}
    assert 5 <= len(loyal) < max(loyal)


@pytest.mark.parametrize(
    ("last_month", "months", "scale"),
    [("2026-5", 1, 1.0), ("2026-13", 1, 1.0), ("2026-05", 0, 1.0), ("2026-05", 1, 0.0)],
)
def test_invalid_options_are_errors(last_month: str, months: int, scale: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        generate(last_month, months, scale=scale)


@mock_aws
def test_upload_writes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="raw")
    sample = generate("2026-05", months=2, scale=0.1)
    objects = len(sample.files) + 1

    first, second = (upload(client, "raw", sample) for _ in range(2))
    assert (first.uploaded, first.unchanged) == (objects, 0)
    assert (second.uploaded, second.unchanged) == (0, objects)

    client.put_object(Bucket="raw", Key=sample.files[0].key, Body=b"something else")
    third = upload(client, "raw", sample)
    assert (third.uploaded, third.unchanged) == (1, objects - 1)
    assert client.get_object(Bucket="raw", Key=sample.files[0].key)["Body"].read() == sample.files[0].body
    stored = json.loads(client.get_object(Bucket="raw", Key="answer_key/messaging.json")["Body"].read())
    assert stored == sample.ground_truth
