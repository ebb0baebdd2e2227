"""The sample files of the shop match their ground truth, by an independent reading of the files."""

from __future__ import annotations

import gzip
import json
import os
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import boto3
import pytest
from moto import mock_aws

from oracles.shop_files import DATASETS, Row, ShopOracle
from waybill.contracts import load_domain
from waybill_devtools.sampledata.shop import SampleData, generate, upload

LAST_DAY = "2026-05-31"
COUNTS = ("rows_in", "inserted", "updated", "unchanged", "duplicate", "stale", "filtered")
REASONS = {
    *(f"required:{name}" for name in ("name", "email", "price", "status", "session_id", "device", "rating")),
    *(f"type:{name}" for name in ("customer_id", "price", "stock", "quantity", "transaction_ts", "event_id", "rating")),
    *(f"range:{name}" for name in ("customer_id", "price", "stock", "quantity", "total_amount", "rating")),
    *("enum:status", "enum:event_type", "length:device"),
    *("pattern:email", "pattern:country", "length:name", "length:review_text", "rule:total_amount"),
    *("conflict", "too_late", "after_period", "json", "ragged", "encoding", "nul"),
}


@pytest.fixture(scope="module")
def sample() -> SampleData:
    return generate(LAST_DAY)


@pytest.fixture(scope="module")
def oracle(sample: SampleData) -> ShopOracle:
    return ShopOracle(pairs(sample))


def pairs(sample: SampleData) -> list[tuple[str, bytes]]:
    return [(file.key, file.body) for file in sample.files]


def unpacked(sample: SampleData) -> dict[str, bytes]:
    return {file.key: gzip.decompress(file.body) if file.key.endswith(".gz") else file.body for file in sample.files}


def assert_books_are_right(sample: SampleData, oracle: ShopOracle) -> None:
    books = {book.key: book for book in oracle.books}
    assert len(books) == len(sample.files)
    for entry in sample.ground_truth["files"]:
        book = books[entry["key"]]
        assert (entry["dataset"], entry["period"]) == (book.dataset, str(book.day))
        assert entry["rejected"] == book.rejected, entry["key"]
        assert {name: entry[name] for name in COUNTS} == {name: book.counts[name] for name in COUNTS}, entry["key"]


def test_ground_truth_equals_an_independent_reading(sample: SampleData, oracle: ShopOracle) -> None:
    assert_books_are_right(sample, oracle)


@pytest.mark.parametrize(
    ("last_day", "days", "seed", "scale"),
    [
        ("2024-03-01", 1, 1, 1.0),
        ("2026-01-05", 12, 2, 0.01),
        ("2025-12-31", 45, 3, 0.1),
        ("2026-03-08", 9, 4, 0.5),
        (LAST_DAY, 3, 5, 4.0),
    ],
)
def test_ground_truth_is_right_for_other_options(last_day: str, days: int, seed: int, scale: float) -> None:
    made = generate(last_day, days, seed, scale)
    assert_books_are_right(made, ShopOracle(pairs(made)))
    delivered = Counter(
        (entry["dataset"], entry["period"]) for entry in made.ground_truth["files"] if entry["inserted"]
    )
    days_made = [str(date.fromisoformat(last_day) - timedelta(days=back)) for back in range(days)]
    assert all(delivered[name, day] for name in DATASETS if name != "products" for day in days_made)


def test_the_oracle_reads_the_columns_of_the_contracts() -> None:
    contracts = load_domain("shop")
    assert {name: list(dataset.columns) for name, dataset in DATASETS.items()} == {
        name: contract.names for name, contract in contracts.items()
    }
    for name, dataset in DATASETS.items():
        assert [column.name for column in contracts[name].columns if not column.required] == list(dataset.optional)
        assert list(dataset.key) == contracts[name].row_key
        assert dataset.period == contracts[name].period_column


def test_books_balance(sample: SampleData) -> None:
    entries = sample.ground_truth["files"]
    for entry in entries:
        accounted = sum(entry[name] for name in COUNTS[1:]) + len(entry["rejected"])
        assert entry["rows_in"] == accounted, entry["key"]
    totals = sample.ground_truth["totals"]
    assert totals["rejected"] == sum(len(entry["rejected"]) for entry in entries)
    assert totals["rows_in"] == sum(entry["rows_in"] for entry in entries)
    assert sum(counts["rows_in"] for counts in sample.ground_truth["totals_by_dataset"].values()) == totals["rows_in"]


def test_files_are_in_loading_order(sample: SampleData) -> None:
    for name in DATASETS:
        files = [(file.period, file.key) for file in sample.files if file.dataset == name]
        assert files == sorted(files)


FINGERPRINT = """
import hashlib, json
from waybill_devtools.sampledata.shop import generate
made = generate("2026-05-31", 8, scale=0.5)
text = json.dumps(made.ground_truth).encode()
print(hashlib.sha256(text + b"".join(file.key.encode() + file.body for file in made.files)).hexdigest())
"""


def test_same_options_give_the_same_bytes_in_any_process(sample: SampleData) -> None:
    again = generate(LAST_DAY)
    assert pairs(again) == pairs(sample)
    assert json.dumps(again.ground_truth) == json.dumps(sample.ground_truth)
    assert pairs(generate(LAST_DAY, 2, seed=7)) != pairs(generate(LAST_DAY, 2))
    hashes = {
        subprocess.run(
            [sys.executable, "-c", FINGERPRINT],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": zone},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(hashes) == 1


def test_a_dataset_is_the_same_whichever_others_are_made() -> None:
    together = generate(LAST_DAY, 16, scale=0.3)
    for name in DATASETS:
        alone = generate(LAST_DAY, 16, scale=0.3, datasets=[name])
        assert pairs(alone) == [(file.key, file.body) for file in together.files if file.dataset == name]


def test_about_one_percent_has_errors_of_every_kind(sample: SampleData) -> None:
    for name, totals in sample.ground_truth["totals_by_dataset"].items():
        assert 0.008 < (totals["rejected"] + totals["duplicate"]) / totals["rows_in"] < 0.013, name
        assert totals["rejected"] > 0, name
        assert totals["duplicate"] > 0, name
        assert totals["unchanged"] > 0, name
    reasons = {
        reason for entry in sample.ground_truth["files"] for record in entry["rejected"] for reason in record["reasons"]
    }
    assert reasons >= REASONS
    several = {len(record["reasons"]) for entry in sample.ground_truth["files"] for record in entry["rejected"]}
    assert max(several) >= 5


def test_every_dataset_has_rows_that_are_too_late_early_or_contradicting(oracle: ShopOracle) -> None:
    reasons = defaultdict(set)
    for book in oracle.books:
        for reject in book.rejected:
            reasons[book.dataset] |= set(reject["reasons"])
    assert "conflict" in reasons.pop("products")
    assert all(found >= {"conflict", "too_late", "after_period"} for found in reasons.values())


@pytest.mark.parametrize("scale", [0.02, 1.0])
def test_no_file_is_near_its_reject_threshold(scale: float) -> None:
    contracts = load_domain("shop")
    for entry in generate(LAST_DAY, scale=scale).ground_truth["files"]:
        threshold = contracts[entry["dataset"]].reject_threshold_pct / 100
        assert len(entry["rejected"]) <= entry["rows_in"] * threshold / 2, entry["key"]


def test_thirty_days_have_at_least_the_expected_volume() -> None:
    ground_truth = generate(LAST_DAY, 30).ground_truth
    by_dataset = defaultdict(list)
    for entry in ground_truth["files"]:
        by_dataset[entry["dataset"]].append(entry)
    assert by_dataset["customers"][0]["inserted"] >= 1000, "the first file has one row a customer"
    assert all(sum(entry[name] for name in COUNTS[1:4]) >= 500 for entry in by_dataset["products"])
    inserted = {name: counts["inserted"] for name, counts in ground_truth["totals_by_dataset"].items()}
    assert inserted["transactions"] >= 5000
    assert inserted["clickstream"] >= 50_000
    assert inserted["reviews"] >= 2000


def test_scale_multiplies_rows() -> None:
    small, large = (generate(LAST_DAY, 4, scale=scale).ground_truth["totals_by_dataset"] for scale in (1.0, 9.0))
    for name in DATASETS:
        wanted = 3 if name == "products" else 9
        assert large[name]["rows_in"] / small[name]["rows_in"] == pytest.approx(wanted, rel=0.1), name


def test_compressed_files_are_valid_and_without_a_time_stamp(sample: SampleData) -> None:
    compressed = [file for file in sample.files if file.key.endswith(".gz")]
    assert {file.dataset for file in compressed} == set(DATASETS)
    for file in compressed:
        assert file.body[4:8] == bytes(4)
        assert gzip.decompress(file.body).count(b"\n") > 1


def test_files_are_as_varied_as_real_ones(sample: SampleData) -> None:
    bodies = unpacked(sample)
    suffixes = defaultdict(set)
    for key in bodies:
        suffixes[key.split("/")[2]].add(key.partition(".")[2])
    csv, json_lines = {"csv", "csv.gz"}, {"jsonl", "jsonl.gz"}
    assert suffixes == {
        "customers": csv,
        "products": {"json"} | json_lines,
        "transactions": csv,
        "clickstream": json_lines,
        "reviews": csv,
    }
    arrays = [body for key, body in bodies.items() if key.endswith(".json")]
    assert all(isinstance(json.loads(body), list) for body in arrays)
    for name in ("customers", "transactions", "reviews"):
        headers = {body.split(b"\n")[0] for key, body in bodies.items() if f"/{name}/" in key}
        assert len(headers) >= 2
        assert any(header.endswith(b"\r") for header in headers)
    clicks = [body for key, body in bodies.items() if "/clickstream/" in key]
    assert 0 < sum(body.startswith(b"\n") for body in clicks) < len(clicks)
    assert 0 < sum(b'"timestamp": ' in body for body in clicks) < len(clicks)
    assert any(b", Jr." in body for key, body in bodies.items() if "/customers/" in key)
    assert any(b",\nthe contents" in body for key, body in bodies.items() if "/reviews/" in key)
    files_a_day = Counter(
        entry["period"] for entry in sample.ground_truth["files"] if entry["dataset"] == "transactions"
    )
    assert set(files_a_day.values()) == {1, 2}


def came_back(values: Sequence[Any]) -> bool:
    """Return whether something changed and changed back."""
    return any(a == c != b for a, b, c in zip(values, values[1:], values[2:], strict=False))


def test_prices_change_and_products_disappear_and_return(oracle: ShopOracle) -> None:
    snapshots = [book.accepted for book in oracle.books if book.dataset == "products"]
    prices: dict[Any, list[int]] = defaultdict(list)
    for snapshot in snapshots:
        for key, row in snapshot.items():
            if not prices[key] or prices[key][-1] != row["price"]:
                prices[key].append(row["price"])
    assert sum(len(found) > 1 for found in prices.values()) > 100
    assert any(came_back(found) for found in prices.values())
    days = {key: [number for number, snapshot in enumerate(snapshots) if key in snapshot] for key in prices}
    assert sum(found[-1] - found[0] >= len(found) for found in days.values()) > 10, "few disappear and return"
    assert sum(found[0] > 0 for found in days.values()) > 20, "few are new"
    assert sum(found[-1] < len(snapshots) - 1 for found in days.values()) > 10, "few stay away"


def test_customers_move_back_and_changes_come_out_of_order(oracle: ShopOracle) -> None:
    arrived = defaultdict(list)
    for book in oracle.books:
        if book.dataset == "customers":
            for customer_id, updated_at in book.accepted:
                if (customer_id, updated_at) not in arrived[customer_id]:
                    arrived[customer_id].append((customer_id, updated_at))
    versions = {who: sorted(keys) for who, keys in arrived.items()}
    countries = {who: [oracle.rows["customers"][key]["country"] for key in keys] for who, keys in versions.items()}
    assert sum(came_back(found) for found in countries.values()) >= 3
    overtaken = [who for who in arrived if arrived[who] != versions[who]]
    assert len(overtaken) >= 3
    assert any(arrived[who][0] != versions[who][0] for who in overtaken), "no first version comes after a later one"
    twice_a_day = [a for keys in versions.values() for a, b in pairwise(keys) if a[1].date() == b[1].date()]
    assert twice_a_day


def late_by(oracle: ShopOracle, name: str) -> Counter[int]:
    """Count the first deliveries of rows by days of delay."""
    dataset, seen, late = DATASETS[name], set(), Counter[int]()
    for book in oracle.books:
        if book.dataset == name:
            for key, row in book.accepted.items():
                if key not in seen:
                    seen.add(key)
                    own = row[dataset.period or ""]
                    late[(book.day - (own if type(own) is date else own.date())).days] += 1
    return late


@pytest.mark.parametrize("name", ["customers", "transactions", "clickstream", "reviews"])
def test_rows_come_up_to_seven_days_late(oracle: ShopOracle, name: str) -> None:
    late = late_by(oracle, name)
    assert max(late) <= 7
    assert len(late) >= 5
    if name in ("transactions", "clickstream"):
        assert set(late) == set(range(8))


def test_sales_are_returned_and_refunded_later(oracle: ShopOracle) -> None:
    history: dict[Any, list[Row]] = defaultdict(list)
    for book in oracle.books:
        if book.dataset == "transactions":
            for key, row in book.accepted.items():
                if not history[key] or history[key][-1] != row:
                    history[key].append(row)
    courses = Counter(tuple(row["status"] for row in rows) for rows in history.values())
    assert courses["completed", "returned"] > 100
    assert courses["completed", "refunded"] > 10
    assert courses["completed", "returned", "refunded"] > 1
    assert set(courses) == {
        ("completed",),
        ("completed", "returned"),
        ("completed", "refunded"),
        ("completed", "returned", "refunded"),
    }
    for rows in history.values():
        assert len({(row["transaction_ts"], row["customer_id"], row["total_amount"]) for row in rows}) == 1


def sessions(oracle: ShopOracle) -> dict[str, list[Row]]:
    found = defaultdict(list)
    for row in oracle.rows["clickstream"].values():
        found[row["session_id"]].append(row)
    return {name: sorted(rows, key=lambda row: row["ts"]) for name, rows in found.items()}


def test_sessions_are_as_real_ones(oracle: ShopOracle) -> None:
    found = sessions(oracle)
    assert all(rows[-1]["ts"] - rows[0]["ts"] <= timedelta(hours=3) for rows in found.values())
    assert sum(rows[0]["ts"].date() < rows[-1]["ts"].date() for rows in found.values()) > 50
    customers = {name: [row["customer_id"] for row in rows] for name, rows in found.items()}
    assert sum(ids[0] is None and ids[-1] is not None for ids in customers.values()) > 500
    assert sum(set(ids) == {None} for ids in customers.values()) > 2000
    assert all(len(set(ids) - {None}) <= 1 for ids in customers.values())
    reached = Counter(step for rows in found.values() for step in {row["event_type"] for row in rows})
    funnel = [reached[step] for step in ("page_view", "product_view", "add_to_cart", "checkout", "purchase")]
    assert funnel == sorted(funnel, reverse=True)
    assert 0.05 < funnel[-1] / funnel[0] < 0.25


def test_purchases_in_the_clickstream_are_the_sales(oracle: ShopOracle) -> None:
    clicked = Counter(
        (row["customer_id"], row["product_id"], row["ts"])
        for row in oracle.rows["clickstream"].values()
        if row["event_type"] == "purchase"
    )
    sold = Counter(
        (row["customer_id"], row["product_id"], row["transaction_ts"]) for row in oracle.rows["transactions"].values()
    )
    # Late rows of the last days are in one of the two only.
    assert sum((clicked & sold).values()) > 0.98 * max(clicked.total(), sold.total())


def test_some_customers_and_products_are_unknown_and_some_of_them_become_known(oracle: ShopOracle) -> None:
    for dataset, column in (("customers", "customer_id"), ("products", "product_id")):
        known: dict[int, date] = {}
        for book in oracle.books:
            if book.dataset == dataset:
                for key in book.accepted:
                    known.setdefault(key[0], book.day)
        for name in ("transactions", "clickstream", "reviews"):
            first_seen: dict[int, date] = {}
            for book in oracle.books:
                if book.dataset == name:
                    for row in book.accepted.values():
                        if row[column] is not None:
                            first_seen.setdefault(row[column], book.day)
            assert first_seen.keys() - known.keys(), f"{name}: every {column} is known"
            later = [member for member, day in first_seen.items() if member in known and known[member] > day]
            assert later, f"{name}: no {column} becomes known later"


def test_few_customers_and_products_make_most_of_the_sales(oracle: ShopOracle) -> None:
    for column, among in (("customer_id", 1100), ("product_id", 520)):
        sales = sorted(Counter(row[column] for row in oracle.rows["transactions"].values()).values(), reverse=True)
        assert sum(sales[: among // 10]) > 0.35 * sum(sales), column


def test_weekends_sell_more_than_midweek(oracle: ShopOracle) -> None:
    sales = Counter(row["transaction_ts"].date() for row in oracle.rows["transactions"].values())
    by_weekday = defaultdict(list)
    for day, number in sales.items():
        by_weekday[day.weekday()].append(number)
    assert statistics.mean(by_weekday[5]) > 1.15 * statistics.mean(by_weekday[1])


def test_some_products_are_bought_together_more_often_than_by_chance(oracle: ShopOracle) -> None:
    baskets = defaultdict(set)
    for row in oracle.rows["transactions"].values():
        if row["status"] == "completed":
            baskets[row["customer_id"], row["transaction_ts"].date()].add(row["product_id"])
    single = Counter(product for basket in baskets.values() for product in basket)
    pair = Counter((a, b) for basket in baskets.values() for a in basket for b in basket if a < b)
    lift = {ab: n * len(baskets) / (single[ab[0]] * single[ab[1]]) for ab, n in pair.items() if n >= 5}
    assert sum(value > 3 for value in lift.values()) >= 5


def test_stories_are_recorded(sample: SampleData) -> None:
    stories = "\n".join(sample.ground_truth["stories"])
    for words in ("moves back to the first country", "before the registration is", "disappears", "for sale again"):
        assert words in stories


@pytest.mark.parametrize(
    ("last_day", "days", "scale", "datasets"),
    [
        ("2026-5-1", 1, 1.0, DATASETS),
        ("2026-02-30", 1, 1.0, DATASETS),
        ("2026-05", 1, 1.0, DATASETS),
        (LAST_DAY, 0, 1.0, DATASETS),
        (LAST_DAY, 1, 0.0, DATASETS),
        (LAST_DAY, 1, 1.0, ["orders"]),
    ],
)
def test_invalid_options_are_errors(last_day: str, days: int, scale: float, datasets: list[str]) -> None:
    with pytest.raises(ValueError, match="expected"):
        generate(last_day, days, scale=scale, datasets=datasets)


@mock_aws
def test_upload_stores_the_ground_truth_beside_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="raw")
    made = generate(LAST_DAY, 2, scale=0.1)
    objects = len(made.files) + 1
    first, second = (upload(client, "raw", made) for _ in range(2))
    assert (first.uploaded, first.unchanged) == (objects, 0)
    assert (second.uploaded, second.unchanged) == (0, objects)
    stored = json.loads(client.get_object(Bucket="raw", Key="answer_key/shop.json")["Body"].read())
    assert stored == made.ground_truth
    assert stored["options"]["last_day"] == LAST_DAY
