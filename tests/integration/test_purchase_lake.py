"""Silver and gold of purchases in S3 and the catalog have the expected layouts and no names of customers."""

from __future__ import annotations

import hashlib
import hmac
import io
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from support.messaging_months import RUN, migrate
from support.purchase_files import Purchase, Purchases, Rate, day
from waybill.contracts import load_domain
from waybill.derived.refresh import refresh
from waybill.ops.books import balances, incomplete
from waybill.outputs.lake import write_changed_days
from waybill.settings import settings
from waybill.views import pages
from waybill.views.business import page as business
from waybill.views.operations.missing import missing
from waybill.views.operations.scope import Scope
from waybill.warehouse.connection import connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "the key of this test, long enough"
SILVER, GOLD = (load_domain("purchases_star")[name] for name in ("fact_purchases", "customer_spend"))


@pytest.fixture
def lake(bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WAYBILL_LAKE_BUCKET", bucket)
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    monkeypatch.setenv("WAYBILL_MASK_KEY", KEY)
    settings.cache_clear()
    return bucket


def pseudonym(value: str) -> str:
    return hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()[:32]


def rows(s3: S3Client, bucket: str, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(
        io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    ).to_pylist()
    return found


def test_the_views_and_the_books_cover_purchases(warehouse_dsn: str, s3: S3Client, lake: str) -> None:
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        purchases = Purchases(connection)
        purchases.arrive("rates", "2026-03-01", "r.csv", [Rate()])
        purchases.arrive("purchases", "2026-03-03", "a.csv", [Purchase("1"), Purchase("2", "c2", currency="EUR")])
        purchases.arrive("rates", "2026-03-05", "r.csv", [Rate("USD", "2026-03-05")])
        days = day("2026-03-01").until(day("2026-03-06"))
        gaps = {(gap.period.key, gap.subject) for gap in incomplete(connection, s3, "purchases", days)}
        built = {"all", *(f"2026-03-0{n}" for n in (1, 3, 5))}
        assert {key for key, _ in gaps} == built, "no day waits for a file of either dataset"
        assert {subject for _, subject in gaps} == {"purchases_report.top_purchasers"} | {
            f"purchases_star.{name}" for name in ("fact_purchases", "customer_spend", "customer_purchase_summary")
        }
        for schema in ("purchases_star", "purchases_report"):
            refresh(connection, "purchases", schema, RUN)
        assert incomplete(connection, s3, "purchases", days) == []
        assert balances(connection, "purchases", [day("2026-03-03")])[0]["filtered"] == 1
        html = pages.business(business.page(connection, "purchases", day("2026-03-03")), root="")
        assert "Top purchasers" in html
        assert pseudonym("Ada Low")[:12] in html
        assert "Ada" not in html
        assert missing(connection, Scope(("purchases",))) == []


def partitions(glue: Any, name: str) -> dict[str, list[str]]:
    answer = glue.get_partitions(DatabaseName="waybill_processed", TableName=name)
    return {one["StorageDescriptor"]["Location"]: one["Values"] for one in answer["Partitions"]}


def test_silver_and_gold_lie_where_they_should_and_are_in_the_catalog(
    warehouse_dsn: str, s3: S3Client, lake: str, glue: Any
) -> None:
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        purchases = Purchases(connection)

        def write() -> dict[str, dict[date, int]]:
            refresh(connection, "purchases", "purchases_star", RUN)
            return write_changed_days(connection, s3, glue, [SILVER, GOLD])

        first, second = date(2026, 3, 1), date(2026, 3, 2)
        purchases.arrive("rates", "2026-03-01", "r.csv", [Rate(rate="1.54321098")])
        purchases.arrive("purchases", "2026-03-01", "a.csv", [Purchase("1"), Purchase("2", "c2", date="2026-02-14")])
        purchases.arrive("purchases", "2026-03-02", "b.csv", [Purchase("3", amount="0.10")])
        tables = ("purchases_star.fact_purchases", "purchases_star.customer_spend")
        assert write() == {tables[0]: {first: 2, second: 1}, tables[1]: {first: 2, second: 1}}

        silver = [f"datalake/silver/ingestion_date={day}/" for day in (first, second)]
        gold = [f"datalake/gold/year=2026/month=03/day=0{n}/" for n in (1, 2)]
        names = dict.fromkeys(silver, "fact_purchases.parquet") | dict.fromkeys(gold, "customer_spend.parquet")
        there = {item["Key"]: item["ETag"] for item in s3.list_objects_v2(Bucket=lake)["Contents"]}
        assert there.keys() == {prefix + name for prefix, name in names.items()}
        (bought,) = rows(s3, lake, f"{silver[1]}fact_purchases.parquet")
        assert bought == {
            "ingested_on": second,
            "purchase_id": "3",
            "customer_id": "c1",
            "first_name": pseudonym("Ada"),
            "last_name": pseudonym("Low"),
            "email": pseudonym("ada@example.org"),
            "purchase_date": date(2026, 3, 1),
            "amount": Decimal("0.10"),
            "currency": "USD",
            "aud_rate": Decimal("1.54321098"),
            "amount_aud": Decimal("0.15"),
        }
        (spent,) = rows(s3, lake, f"{gold[1]}customer_spend.parquet")
        assert (spent["full_name"], spent["email"]) == (pseudonym("Ada Low"), pseudonym("ada@example.org"))
        assert (spent["total_spent_aud"], spent["purchases_count"]) == (Decimal("15.58"), 2)
        assert (spent["first_purchase_date"], spent["last_purchase_date"]) == (date(2026, 3, 1), date(2026, 3, 1))

        assert partitions(glue, "purchases_star_fact_purchases") == {
            f"s3://{lake}/{silver[0]}": ["2026-03-01"],
            f"s3://{lake}/{silver[1]}": ["2026-03-02"],
        }
        assert partitions(glue, "purchases_star_customer_spend") == {
            f"s3://{lake}/{gold[0]}": ["2026", "03", "01"],
            f"s3://{lake}/{gold[1]}": ["2026", "03", "02"],
        }
        table = glue.get_table(DatabaseName="waybill_processed", Name="purchases_star_customer_spend")["Table"]
        assert [key["Name"] for key in table["PartitionKeys"]] == ["year", "month", "day"]
        columns = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
        assert (columns["full_name"], columns["total_spent_aud"]) == ("string", "decimal(38,2)")
        assert not columns.keys() & {"year", "month", "day"}, "Hive wants no column twice"

        assert write() == {tables[0]: {}, tables[1]: {}}
        purchases.arrive("purchases", "2026-03-02", "b.csv", [])
        assert write() == {tables[0]: {second: 0}, tables[1]: {second: 0}}
        left = {item["Key"]: item["ETag"] for item in s3.list_objects_v2(Bucket=lake)["Contents"]}
        assert left == {key: tag for key, tag in there.items() if key.startswith((silver[0], gold[0]))}
        assert len(partitions(glue, "purchases_star_customer_spend")) == 1
    settings.cache_clear()
