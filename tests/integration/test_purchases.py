"""Purchases are ingested by the day of their prefix, in the wanted currencies, with an effective rate."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import Connection

from support.landing import csv_body
from support.messaging_months import RUN
from support.purchase_files import CONTRACTS, HEADER, Purchase, Purchases, Rate
from waybill.contracts import ContractError, load, load_domain
from waybill.errors import DataError
from waybill.intake.ingest import ingest_arrived, ingest_file
from waybill.intake.landing import list_pages
from waybill.intake.ledger import Books
from waybill.intake.replay import replay_waiting
from waybill.settings import PROJECT_ROOT, settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DAY = "2026-03-02"
SUMMARY = "purchases_star/customer_purchase_summary"


@pytest.fixture
def purchases(empty_connection: Connection) -> Purchases:
    return Purchases(empty_connection)


@pytest.fixture
def raw_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    yield bucket
    settings.cache_clear()


def body(*rows: Purchase) -> bytes:
    return csv_body(HEADER, map(str, rows))


def ids(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("select purchase_id from purchases.purchases order by 1")]


def quarantined(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select object_key, record, reasons from waybill.quarantine inner join waybill.load_file using (file_id) "
        "where resolved_as is null order by 1, 2"
    ).fetchall()


def test_the_prefix_names_the_day_of_ingestion_else_s3_does(s3: S3Client, raw_bucket: str) -> None:
    for key in (
        "datalake/bronze/year=2026/month=03/day=01/a.csv",
        "datalake/bronze/year=2026/month=3/day=5/b.csv",
        "datalake/bronze/year=2026/month=02/day=30/no_day.csv",
        "datalake/bronze/loose.csv",
        "datalake/bronze/year=2026/month=03/day=01/_SUCCESS",
        "raw/purchases/rates/rates.csv",
    ):
        s3.put_object(Bucket=raw_bucket, Key=key, Body=b"x")
    [listing] = list_pages(s3, raw_bucket, CONTRACTS["purchases"], None, None)
    found = {file.key.rsplit("/", 1)[1]: file.period.key for file in listing.landed}
    today = datetime.now(UTC).date().isoformat()
    assert found.keys() == {"a.csv", "loose.csv"}
    assert found["a.csv"] == "2026-03-01"
    assert "2026-03-05" < found["loose.csv"] <= today, "the day of the upload to S3"
    assert {one.file.key.rsplit("/", 1)[1] for one in listing.misplaced} == {"b.csv", "no_day.csv"}


def test_each_row_is_loaded_filtered_or_rejected_with_its_reasons(purchases: Purchases) -> None:
    purchases.arrive("rates", DAY, "r.csv", [Rate("USD", "2026-01-15"), Rate("EUR")])
    rows = [
        Purchase("1"),
        Purchase("2", currency="EUR"),
        Purchase("3", currency="XXX", amount="nothing"),
        Purchase("4", currency="usd"),
        Purchase("5", date="2026-01-15"),
        Purchase("6", date="2026-01-14"),
        Purchase("7", date="2026-03-03"),
        Purchase("8", amount="0"),
        Purchase("9", email="nobody"),
        Purchase("10", first_name="", last_name="", email=""),
        Purchase("11", date="2026-01-14", amount="1.005"),
        Purchase("12", date="soon"),
        Purchase("13", customer=""),
        Purchase("2", amount="7.00"),  # what was filtered does not contradict it
    ]
    books = purchases.arrive("purchases", DAY, "p.csv", rows)
    assert books
    assert (books.rows_in, books.inserted, books.filtered, books.rejected) == (14, 4, 2, 8)
    assert ids(purchases.connection) == ["1", "10", "2", "5"]
    reasons = {record: sorted(why) for _, record, why in quarantined(purchases.connection)}
    assert reasons == {
        4: ["in_force:currency", "pattern:currency"],
        6: ["in_force:currency"],
        7: ["rule:bought_by_ingestion"],
        8: ["range:amount"],
        9: ["pattern:email"],
        11: ["in_force:currency", "type:amount"],
        12: ["type:purchase_date"],
        13: ["required:customer_id"],
    }


def test_a_purchase_waits_in_quarantine_until_its_rate_has_come(purchases: Purchases) -> None:
    connection = purchases.connection
    purchases.arrive(
        "purchases", DAY, "p.csv", [Purchase("1"), Purchase("2", date="2026-02-01"), Purchase("3", amount="x")]
    )
    assert ids(connection) == []
    purchases.arrive("rates", "2026-03-09", "r.csv", [Rate("EUR"), Rate("USD", "2026-02-02")])
    assert ids(connection) == ["1"], "the rate is delivered later, and effective on the day"
    where = "select ctid::text from waybill.quarantine where resolved_as is null order by record"
    before = connection.execute(where).fetchall()
    purchases.arrive("rates", "2026-03-09", "other.csv", [Rate("USD", "2026-02-03")])
    assert connection.execute(where).fetchall() == before, "no row is replayed without a rate"
    assert [(record, sorted(why)) for _, record, why in quarantined(connection)] == [
        (2, ["in_force:currency"]),
        (3, ["in_force:currency", "type:amount"]),
    ]
    purchases.arrive("rates", "2026-03-10", "r.csv", [Rate("USD", "2026-02-01")])
    assert ids(connection) == ["1", "2"]
    assert replay_waiting(connection, CONTRACTS["purchases"], CONTRACTS, RUN) == []
    ledger = "select rows_in, inserted, rejected from waybill.load_file where dataset = 'purchases.purchases'"
    assert connection.execute(ledger).fetchall() == [(3, 2, 1)]


def test_purchases_without_rates_wait_in_quarantine_and_their_file_is_not_rejected(purchases: Purchases) -> None:
    contracts = load_domain("purchases")
    assert contracts["purchases"].reject_threshold_pct < 50

    def ingest(name: str, *rows: Purchase) -> Books | None:
        file = purchases.land("purchases", DAY, name, rows)
        return ingest_file(purchases.connection, purchases.bucket, file, contracts["purchases"], contracts, RUN)

    early = [Purchase(str(number), date="2026-02-01") for number in (1, 2)]
    assert ingest("early.csv", *early) == Books(rows_in=2, rejected=2)
    with pytest.raises(DataError, match=r"(?s)wrong\.csv: 1 of 2 rows do not meet .* type:amount in 1 row:"):
        ingest("wrong.csv", Purchase("3", date="2026-02-01"), Purchase("4", amount="x", date="2026-02-01"))
    purchases.arrive("rates", "2026-03-10", "r.csv", [Rate("USD", "2026-02-01")])
    assert ids(purchases.connection) == ["1", "2"]


def test_a_run_ingests_rates_and_purchases_and_a_rejected_file_stops_no_other(
    empty_connection: Connection, s3: S3Client, raw_bucket: str
) -> None:
    prefix = "datalake/bronze/year=2026/month=03/day=02/"
    files = {f"{prefix}a.csv": body(Purchase("a")), f"{prefix}poison.csv": b"nonsense\n1\n"}
    files["raw/purchases/rates/r.csv"] = b"rate,valid_from,currency\n1.5,2026-01-01,USD\n"
    for key, text in files.items():
        s3.put_object(Bucket=raw_bucket, Key=key, Body=text)

    def ingest(dataset: str, **limits: Any) -> list[str]:
        done = ingest_arrived(empty_connection, s3, CONTRACTS[dataset], CONTRACTS, RUN, **limits)
        return [key.rsplit("/", 1)[1] for key in done]

    with pytest.raises(DataError, match=r"(?s)^1 of 2 files of purchases.purchases.*poison\.csv: .*Required columns"):
        ingest("purchases")
    assert ids(empty_connection) == []
    assert ingest("rates", name="a.csv") == [], "the file belongs to the other dataset"
    assert ingest("rates") == ["r.csv"]
    with pytest.raises(DataError, match="1 of 1 files"):
        ingest("purchases")
    assert ids(empty_connection) == ["a"], "although a file was rejected, waiting rows are replayed"
    with pytest.raises(DataError, match=r"'z\.csv' has not landed: .* under datalake/bronze/, raw/purchases/rates/"):
        ingest("rates", name="z.csv")


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        ("purchases/purchases", "inForceOn, value: purchase_date", "inForceOn, value: amount", "must be a date"),
        (
            "purchases/purchases",
            "property: onlyValuesOf",
            "property: index",
            r"\(currency\): `index` must be ascending or",
        ),
        (
            "purchases/rates",
            "Column, value: landed_on",
            "Column, value: valid_from",
            "landingDayColumn must be a required date and not part of the key",
        ),
        (
            SUMMARY,
            "updatedAtColumn, value: updated_at",
            "updatedAtColumn, value: email",
            "a summary needs a key of one",
        ),
        (SUMMARY, "value: descending", "value: sideways", "must be ascending or descending, not 'sideways'"),
    ],
)
def test_an_impossible_contract_is_rejected(tmp_path: Path, path: str, old: str, new: str, message: str) -> None:
    source = PROJECT_ROOT / "include/contracts" / f"{path}.yaml"
    text = source.read_text()
    assert old in text
    (tmp_path / source.name).write_text(text.replace(old, new))
    with pytest.raises(ContractError, match=message):
        load(tmp_path / source.name)
