"""The order of several files of a period, ingested from a real bucket as by a run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import Connection

from support.landing import LANDED_AT
from support.messaging_months import RUN
from support.order_files import CONTRACTS, Line, Orders, body
from waybill.contracts import ContractError
from waybill.contracts.contract import Contract
from waybill.intake.ingest import ingest_arrived
from waybill.intake.landing import list_landed, with_first_landing
from waybill.settings import settings
from waybill.warehouse.evolution import ensure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIELD = Path(__file__).parents[1] / "field"
PREFIX = "raw/orders/lines/"
CONTRACT = CONTRACTS["lines"]


@pytest.fixture
def raw_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    yield bucket
    settings.cache_clear()


def put(s3: S3Client, bucket: str, path: Path) -> None:
    s3.put_object(Bucket=bucket, Key=PREFIX + path.name, Body=path.read_bytes())


def next_second(s3: S3Client, bucket: str) -> None:
    """Wait until the time of S3 is past the second of the newest object; S3 records whole seconds."""
    newest = max(item["LastModified"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"])
    while True:
        s3.put_object(Bucket=bucket, Key="clock", Body=b"")
        if s3.head_object(Bucket=bucket, Key="clock")["LastModified"] > newest:
            return
        time.sleep(0.05)


def ingest(connection: Connection, s3: S3Client, contract: Contract = CONTRACT) -> list[str]:
    return [key.removeprefix(PREFIX) for key in ingest_arrived(connection, s3, contract, CONTRACTS, RUN)]


def prices(connection: Connection) -> dict[str, Decimal]:
    return dict(connection.execute("select order_id, list_price from orders.lines").fetchall())


@pytest.mark.parametrize("one_run", [True, False])
def test_a_corrected_download_counts_although_its_name_sorts_first(
    empty_connection: Connection, s3: S3Client, raw_bucket: str, one_run: bool
) -> None:
    folder = FIELD / "01_browser_copy_loses"
    put(s3, raw_bucket, folder / "week48.csv")
    if not one_run:
        assert ingest(empty_connection, s3) == ["week48.csv"]
        assert prices(empty_connection) == {"C01": Decimal("100.00")}
    next_second(s3, raw_bucket)
    put(s3, raw_bucket, folder / "week48 (1).csv")
    ingest(empty_connection, s3)
    assert prices(empty_connection) == {"C01": Decimal("110.00")}


def test_of_files_of_one_second_the_one_that_is_later_in_natural_order_counts(
    empty_connection: Connection, s3: S3Client, raw_bucket: str
) -> None:
    for name, price in (("week48.csv", "100.00"), ("week48 (2).csv", "102.00"), ("week48 (10).csv", "110.00")):
        s3.put_object(Bucket=raw_bucket, Key=PREFIX + name, Body=body(Line(list_price=price)))
    landed = list_landed(s3, raw_bucket, CONTRACT, None, None)
    if len({file.landed_at for file in landed}) == 1:  # else what landed later counts, which is the same
        assert [file.key.removeprefix(PREFIX) for file in landed] == [
            "week48.csv",
            "week48 (2).csv",
            "week48 (10).csv",
        ]
    ingest(empty_connection, s3)
    assert prices(empty_connection) == {"1": Decimal("110.00")}


def test_each_correction_counts_from_its_landing_on(
    empty_connection: Connection, s3: S3Client, raw_bucket: str
) -> None:
    names = ["week50.csv", "week50-corrected.csv", "week50 v2.csv", "week50_final.csv", "week50.csv.gz"]
    for price, name in enumerate(names, start=100):
        put(s3, raw_bucket, FIELD / "32_correction_names" / name)
        assert ingest(empty_connection, s3) == [name]
        assert prices(empty_connection) == {"C32": Decimal(price)}
        next_second(s3, raw_bucket)


def test_a_contract_may_order_files_by_name(empty_connection: Connection, s3: S3Client, raw_bucket: str) -> None:
    by_name = replace(CONTRACT, file_order="name")
    for name, price in (("seq 10.csv", "110.00"), ("seq 9.csv", "109.00")):
        s3.put_object(Bucket=raw_bucket, Key=PREFIX + name, Body=body(Line(list_price=price)))
        ingest(empty_connection, s3, by_name)
        next_second(s3, raw_bucket)
    assert prices(empty_connection) == {"1": Decimal("110.00")}


@pytest.mark.parametrize("run_before", [True, False])
def test_the_same_content_again_keeps_its_landing_time(
    empty_connection: Connection, s3: S3Client, raw_bucket: str, run_before: bool
) -> None:
    original, correction = body(Line(list_price="100.00")), body(Line(list_price="110.00"))
    s3.put_object(Bucket=raw_bucket, Key=PREFIX + "week48.csv", Body=b"older content, never loaded")
    s3.put_object(Bucket=raw_bucket, Key=PREFIX + "week48.csv", Body=original)
    next_second(s3, raw_bucket)
    s3.put_object(Bucket=raw_bucket, Key=PREFIX + "a correction.csv", Body=correction)
    if run_before:
        ingest(empty_connection, s3)
    next_second(s3, raw_bucket)
    s3.put_object(Bucket=raw_bucket, Key=PREFIX + "week48.csv", Body=original)
    ingest(empty_connection, s3)
    assert prices(empty_connection) == {"1": Decimal("110.00")}


def test_without_versions_the_last_upload_is_the_landing(s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = "without-versions"
    s3.create_bucket(Bucket=bucket)
    for name in ("a.csv", "b.csv"):
        s3.put_object(Bucket=bucket, Key=PREFIX + name, Body=body(Line()))
    landed = list_landed(s3, bucket, CONTRACT, None, None)
    assert with_first_landing(s3, CONTRACT, landed, None) == landed

    def fail(*_: object) -> None:
        raise AssertionError("versions are listed where the landing does not decide")

    monkeypatch.setattr(s3, "get_paginator", fail)
    assert with_first_landing(s3, CONTRACT, landed[:1], Counter([landed[0].period])) == landed[:1]
    assert with_first_landing(s3, replace(CONTRACT, file_order="name"), landed, None) == landed


def test_another_file_order_is_rejected_only_if_loaded_files_would_change_places(empty_connection: Connection) -> None:
    orders = Orders(empty_connection)
    orders.arrive("2026-03-01", "a.csv", Line(list_price="1.00"))
    orders.arrive("2026-03-01", "b.csv", Line(list_price="2.00"), landed_at=LANDED_AT + timedelta(hours=1))
    orders.arrive("2026-03-02", "a.csv", Line(list_price="3.00"), landed_at=LANDED_AT - timedelta(hours=1))
    by_name = replace(CONTRACT, file_order="name", document=CONTRACT.document + "\n# by name\n")
    with empty_connection.transaction(force_rollback=True):
        ensure(empty_connection, by_name)
    orders.arrive("2026-03-02", "B.csv", Line(list_price="3.00"), landed_at=LANDED_AT)
    with pytest.raises(ContractError) as caught:
        ensure(empty_connection, by_name)
    assert "fileOrder is name and was landing" in str(caught.value)
    assert f"{PREFIX}dt=2026-03-02/a.csv, {PREFIX}dt=2026-03-02/B.csv" in str(caught.value)
