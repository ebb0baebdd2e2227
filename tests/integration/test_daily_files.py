"""Datasets with daily files are listed, ingested and replayed by the cadence of their contract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from psycopg import Connection

from support.landing import csv_body, total
from support.messaging_months import RUN
from support.shop_landing import LAYOUTS, SHOP, Shop, day
from waybill.contracts import locations
from waybill.errors import DataError
from waybill.intake.ingest import ingest
from waybill.intake.landing import list_landed
from waybill.intake.replay import replay
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REVIEWS = LAYOUTS["reviews"]


def reviews(*lines: str) -> bytes:
    return csv_body(REVIEWS.header, lines)


@pytest.fixture
def raw_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    yield bucket
    settings.cache_clear()


def test_days_are_listed_in_order_and_within_bounds(
    empty_connection: Connection, s3: S3Client, raw_bucket: str
) -> None:
    for key_day in ("2026-03-02", "2026-02-28", "2026-03-01", "2026-03-03"):
        at = datetime.combine(day(key_day).start, datetime.min.time(), UTC)
        body = reviews(REVIEWS.line(at.day, at, 5))
        s3.put_object(Bucket=raw_bucket, Key=locations.raw_prefix("shop", "reviews", day(key_day)) + "a.csv", Body=body)
    contract = SHOP["reviews"]
    found = list_landed(s3, raw_bucket, contract, day("2026-03-01"), day("2026-03-02"))
    assert [file.period.key for file in found] == ["2026-03-01", "2026-03-02"]
    books = ingest(empty_connection, s3, contract, SHOP, day("2026-03-01"), RUN, lookback_periods=1)
    assert [key.split("/")[3] for key in books] == ["dt=2026-02-28", "dt=2026-03-01"]
    books = ingest(empty_connection, s3, contract, SHOP, day("2026-03-03"), RUN)
    assert [key.split("/")[3] for key in books] == ["dt=2026-03-02", "dt=2026-03-03"]
    assert empty_connection.execute("select count(*) from shop.reviews").fetchone() == (4,)
    s3.put_object(Bucket=raw_bucket, Key="raw/shop/reviews/month=2026-03/a.csv", Body=b"x")
    message = r"'month=2026-03' is not read as a day; files of shop.reviews land under raw/shop/reviews/dt=YYYY-MM-DD/"
    with pytest.raises(DataError, match=message):
        ingest(empty_connection, s3, contract, SHOP, day("2026-03-03"), RUN)


def test_a_replay_validates_a_daily_file_by_its_day(empty_connection: Connection) -> None:
    shop = Shop(empty_connection)
    rows = ["1,1,1,6,good,2026-03-02", "2,1,1,6,of tomorrow,2026-03-03", "3,1,1,5,fine,2026-03-02"]
    shop.load("reviews", "2026-03-02", reviews(*rows))
    ratings = [replace(c, options={"minimum": 1}) if c.name == "rating" else c for c in SHOP["reviews"].columns]
    contract = replace(SHOP["reviews"], columns=tuple(ratings))
    [replayed] = replay(empty_connection, contract, SHOP, RUN)
    assert replayed.period == day("2026-03-02")
    assert (replayed.books.inserted, replayed.books.rejected) == (1, 1)
    assert replayed.books.rows_in == total(replayed.books)
    assert shop.all("select reasons from waybill.quarantine where resolved_as is null") == [(["after_period"],)]
    assert shop.new_changes()[-1] == ("shop.reviews", date(2026, 3, 2))


def test_rows_that_are_too_late_are_admitted_if_a_replay_allows_them(empty_connection: Connection) -> None:
    shop = Shop(empty_connection)
    old, newer = datetime(2026, 1, 5, 12, tzinfo=UTC), datetime(2026, 3, 2, 12, tzinfo=UTC)
    shop.load_rows("transactions", "2026-01-05", [(2, old, 3)])
    rows = [(1, old, 1), (2, old, 2), (3, newer, 1), (4, datetime(2026, 3, 3, tzinfo=UTC), 1), (3, old, 1)]
    books = shop.load_rows("transactions", "2026-03-02", rows)
    assert books
    assert (books.inserted, books.rejected) == (1, 4)
    shop.new_changes()

    [kept] = replay(empty_connection, shop.contracts["transactions"], shop.contracts, RUN)
    assert (kept.books.rows_in, kept.books.rejected) == (4, 4)
    assert shop.new_changes() == []

    [admitted] = replay(empty_connection, shop.contracts["transactions"], shop.contracts, RUN, admit_late=True)
    outcomes = (admitted.books.inserted, admitted.books.updated, admitted.books.rejected, total(admitted.books))
    assert outcomes == (1, 1, 2, 4)
    reasons = shop.all("select record, reasons from waybill.quarantine where resolved_as is null order by record")
    assert reasons == [(4, ["after_period"]), (5, ["conflict"])]
    assert shop.all("select transaction_id, quantity from shop.transactions order by 1") == [(1, 1), (2, 2), (3, 1)]
    assert shop.all("select transaction_id, quantity from shop.transactions_superseded") == [(2, 3)]
    assert shop.new_changes() == [("shop.transactions", date(2026, 1, 5))]
    [(rows_in, *others)] = shop.all(
        "select rows_in, inserted, updated, unchanged, rejected, duplicate, stale from waybill.load_file "
        "where period = '2026-03-02'"
    )
    assert (rows_in, others) == (5, [2, 1, 0, 2, 0, 0])
    assert replay(empty_connection, SHOP["transactions"], SHOP, RUN, file_id=-1) == []
