"""Silver and gold of purchases in S3 and the catalog have the expected layouts and no names of customers."""

from __future__ import annotations

import hashlib
import hmac
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest
from psycopg import Connection, sql
from typer.testing import CliRunner

from support.lake import KEY, Lake
from support.messaging_months import RUN, migrate
from support.purchase_files import Purchase, Purchases, Rate, day
from waybill.cli import app
from waybill.contracts import load_domain
from waybill.derived.refresh import refresh
from waybill.ops.books import balances, incomplete
from waybill.ops.provenance import trace
from waybill.outputs import lake as lake_module
from waybill.outputs.iceberg_tables import identifier
from waybill.outputs.lake import write_changed_days
from waybill.outputs.lake_references import PublishedRows, note_references, published_rows
from waybill.outputs.publish import publish_changed
from waybill.settings import settings
from waybill.views import pages
from waybill.views.business import page as business
from waybill.views.operations.missing import missing
from waybill.views.operations.scope import Scope
from waybill.warehouse.connection import connect, one_row

SILVER, GOLD = (load_domain("purchases_star")[name] for name in ("fact_purchases", "customer_spend"))


@pytest.fixture
def raw(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Files land in the bucket of the lake."""
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", lake.bucket)
    settings.cache_clear()
    return lake


def pseudonym(value: str) -> str:
    return hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()[:32]


def test_the_views_and_the_books_cover_purchases(warehouse_dsn: str, raw: Lake) -> None:
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        purchases = Purchases(connection)
        purchases.arrive("rates", "2026-03-01", "r.csv", [Rate()])
        purchases.arrive("purchases", "2026-03-03", "a.csv", [Purchase("1"), Purchase("2", "c2", currency="EUR")])
        purchases.arrive("rates", "2026-03-05", "r.csv", [Rate("USD", "2026-03-05")])
        days = day("2026-03-01").until(day("2026-03-06"))
        gaps = {(gap.period.key, gap.subject) for gap in incomplete(connection, raw.s3, "purchases", days)}
        built = {"all", *(f"2026-03-0{n}" for n in (1, 3, 5))}
        assert {key for key, _ in gaps} == built, "no day waits for a file of either dataset"
        assert {subject for _, subject in gaps} == {"purchases_report.top_purchasers"} | {
            f"purchases_star.{name}" for name in ("fact_purchases", "customer_spend", "customer_purchase_summary")
        }
        for schema in ("purchases_star", "purchases_report"):
            refresh(connection, "purchases", schema, RUN)
        assert incomplete(connection, raw.s3, "purchases", days) == []
        assert balances(connection, "purchases", [day("2026-03-03")])[0]["filtered"] == 1
        html = pages.business(business.page(connection, "purchases", day("2026-03-03")), root="")
        assert "Top purchasers" in html
        assert pseudonym("Ada Low")[:12] in html
        assert "Ada" not in html
        assert missing(connection, Scope(("purchases",))) == []


def test_silver_and_gold_lie_where_they_should_and_are_in_the_catalog(warehouse_dsn: str, raw: Lake) -> None:
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        purchases = Purchases(connection)

        def write() -> dict[str, dict[date, int]]:
            refresh(connection, "purchases", "purchases_star", RUN)
            return write_changed_days(connection, raw.s3, raw.catalog, [SILVER, GOLD], RUN)

        first, second = date(2026, 3, 1), date(2026, 3, 2)
        purchases.arrive("rates", "2026-03-01", "r.csv", [Rate(rate="1.54321098")])
        purchases.arrive("purchases", "2026-03-01", "a.csv", [Purchase("1"), Purchase("2", "c2", date="2026-02-14")])
        purchases.arrive("purchases", "2026-03-02", "b.csv", [Purchase("3", amount="0.10")])
        tables = ("purchases_star.fact_purchases", "purchases_star.customer_spend")
        assert write() == {tables[0]: {first: 2, second: 1}, tables[1]: {first: 2, second: 1}}

        silver = [f"datalake/silver/ingestion_date={day}" for day in (first, second)]
        gold = [f"datalake/gold/year=2026/month=03/day=0{n}" for n in (1, 2)]
        assert (raw.folders(SILVER), raw.folders(GOLD)) == (silver, gold)
        there = raw.files(SILVER) + raw.files(GOLD)
        assert sorted(there) == raw.objects()
        (bought,) = raw.day(SILVER, second).to_pylist()
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
        (spent,) = raw.day(GOLD, second).to_pylist()
        assert (spent["full_name"], spent["email"]) == (pseudonym("Ada Low"), pseudonym("ada@example.org"))
        assert (spent["total_spent_aud"], spent["purchases_count"]) == (Decimal("15.58"), 2)
        assert (spent["first_purchase_date"], spent["last_purchase_date"]) == (date(2026, 3, 1), date(2026, 3, 1))

        for contract, row in ((GOLD, spent), (SILVER, bought)):
            found = raw.table(contract).scan(row_filter=f"lake_day == '{second}'").to_arrow().to_pylist()
            assert found == [row | {"lake_day": second}]
        assert [raw.table(one).spec().fields[0].name for one in (SILVER, GOLD)] == ["ingestion_date", "lake_day"]
        columns = {field.name: str(field.field_type) for field in raw.table(GOLD).schema().fields}
        assert (columns["full_name"], columns["total_spent_aud"]) == ("string", "decimal(38, 2)")

        assert write() == {tables[0]: {}, tables[1]: {}}
        purchases.arrive("purchases", "2026-03-02", "b.csv", [])
        assert write() == {tables[0]: {second: 0}, tables[1]: {second: 0}}
        assert raw.files(SILVER) + raw.files(GOLD) == [key for key in there if key.startswith((silver[0], gold[0]))]
    settings.cache_clear()


@dataclass
class Pipeline:
    """The steps of the DAG of purchases, in its order."""

    connection: Connection
    lake: Lake
    purchases: Purchases

    def write(self) -> dict[str, dict[date, int]]:
        refresh(self.connection, "purchases", "purchases_star", RUN)
        return write_changed_days(self.connection, self.lake.s3, self.lake.catalog, [SILVER, GOLD], RUN)

    def publish(self) -> None:
        refresh(self.connection, "purchases", "purchases_report", RUN)
        publish_changed(self.connection, self.lake.s3, "purchases", RUN)

    def snapshots(self, report: str, key: str, heads: str = "publication") -> dict[str, int]:
        """Return the snapshots that the waybill of a report names."""
        found = trace(self.connection, report, day(key), sql.SQL("waybill.{}").format(sql.Identifier(heads)))
        return {one["table_name"]: one["snapshot_id"] for one in found.snapshots}

    def spent(self, snapshot: int) -> Decimal:
        """Return what silver says that was spent, in a snapshot."""
        found = self.lake.table(SILVER).scan(snapshot_id=snapshot).to_arrow()["amount_aud"].to_pylist()
        return sum(found, Decimal(0))

    def published(self, key: str) -> Decimal:
        """Return the sum of the report that was built for a day."""
        query = "select sum(total_spent_aud) from purchases_report.top_purchasers where day = %s"
        return Decimal(one_row(self.connection, query, (key,))[0])


@pytest.fixture
def pipeline(warehouse_dsn: str, raw: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    monkeypatch.setenv("WAYBILL_REPORTS_BUCKET", raw.bucket)
    settings.cache_clear()
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        found = Pipeline(connection, raw, Purchases(connection))
        found.purchases.arrive("rates", "2026-03-01", "r.csv", [Rate(rate="2")])
        found.purchases.arrive("purchases", "2026-03-01", "a.csv", [Purchase("1", amount="10.00")])
        yield found


def test_a_published_number_can_be_computed_again_from_its_snapshot(pipeline: Pipeline) -> None:
    pipeline.write()
    pipeline.publish()
    key = "2026-03-01"
    then = pipeline.snapshots("top_purchasers", key)
    assert then.keys() == {"purchases_star.fact_purchases"}
    assert pipeline.spent(then["purchases_star.fact_purchases"]) == Decimal(20) == pipeline.published(key)

    pipeline.purchases.arrive("purchases", key, "a.csv", [Purchase("1", amount="30.00")])
    pipeline.write()
    assert pipeline.snapshots("top_purchasers", key) == then, "it is still the report as built"
    refresh(pipeline.connection, "purchases", "purchases_report", RUN)
    assert pipeline.snapshots("top_purchasers", key) == {}, "the new content is not published yet"
    assert pipeline.snapshots("top_purchasers", key, "published") == then
    pipeline.publish()
    now = pipeline.snapshots("top_purchasers", key)
    assert pipeline.spent(now["purchases_star.fact_purchases"]) == Decimal(60) == pipeline.published(key)
    assert pipeline.spent(then["purchases_star.fact_purchases"]) == Decimal(20)


def test_the_rows_of_each_published_content_are_listed(pipeline: Pipeline) -> None:
    """Also those of a content that was replaced, and until its snapshot expires."""
    key = "2026-03-01"
    pipeline.purchases.arrive("purchases", "2026-03-02", "b.csv", [Purchase("2", amount="7.00")])
    pipeline.write()
    pipeline.publish()
    pipeline.purchases.arrive("purchases", key, "a.csv", [Purchase("1", amount="30.00")])
    pipeline.write()
    pipeline.publish()
    report = load_domain("purchases_report")["top_purchasers"]

    def listed() -> list[PublishedRows]:
        return [*published_rows(pipeline.connection, pipeline.lake.catalog, report, day(key))]

    def spent(files: list[str] | None) -> Decimal:
        found = Decimal(0)
        for address in files or ():
            bucket, _, name = address.removeprefix("s3://").partition("/")
            body = pipeline.lake.s3.get_object(Bucket=bucket, Key=name)["Body"].read()
            found += sum(pq.read_table(io.BytesIO(body), partitioning=None)["amount_aud"].to_pylist())
        return found

    newest, former = listed()
    assert spent(newest.files) == pipeline.published(key) == Decimal(60)
    assert spent(former.files) == Decimal(20)
    assert [one.table for one in (newest, former)] == ["purchases_star.fact_purchases"] * 2
    settings.cache_clear()
    arguments = ["trace", "top_purchasers", key, "--as-of-snapshot"]
    printed = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"}).output.splitlines()
    assert [line.strip() for line in printed if line.startswith(" ")] == [*(newest.files or ()), *(former.files or ())]
    assert printed[0].endswith(f": {newest.table} at snapshot {newest.snapshot_id}")
    pipeline.lake.table(SILVER).maintenance.expire_snapshots().by_id(former.snapshot_id).commit()
    assert [one.files is None for one in listed()] == [False, True]


def test_a_report_that_was_published_before_the_lake_was_written_gets_its_snapshot_then(pipeline: Pipeline) -> None:
    refresh(pipeline.connection, "purchases", "purchases_star", RUN)
    pipeline.publish()
    assert pipeline.snapshots("top_purchasers", "2026-03-01") == {}
    pipeline.write()
    assert note_references(pipeline.connection, "purchases") == 1
    assert note_references(pipeline.connection, "purchases") == 0
    (number,) = pipeline.snapshots("top_purchasers", "2026-03-01").values()
    assert pipeline.spent(number) == Decimal(20)


def test_a_report_gets_no_snapshot_of_other_rows(pipeline: Pipeline) -> None:
    """The lake holds a later file than the report that is published."""
    refresh(pipeline.connection, "purchases", "purchases_star", RUN)
    refresh(pipeline.connection, "purchases", "purchases_report", RUN)
    pipeline.purchases.arrive("purchases", "2026-03-01", "b.csv", [Purchase("2", amount="1.00")])
    pipeline.write()
    publish_changed(pipeline.connection, pipeline.lake.s3, "purchases", RUN)
    assert pipeline.snapshots("top_purchasers", "2026-03-01", "published") == {}


def test_a_derived_day_names_the_snapshot_with_its_rows(pipeline: Pipeline) -> None:
    pipeline.write()
    found = pipeline.snapshots("purchases_star.customer_spend", "2026-03-01")
    assert found == {"purchases_star.customer_spend": pipeline.lake.snapshots(GOLD)[-1]}
    files = one_row(pipeline.connection, "select array_agg(distinct file_ids) from waybill.lake_commit")
    assert files == ([[1, 2]],), "of rates and of purchases"


def test_a_catalog_that_was_lost_gets_every_day_again(pipeline: Pipeline) -> None:
    pipeline.purchases.arrive("purchases", "2026-03-02", "b.csv", [Purchase("3")])
    pipeline.write()
    before = [pipeline.lake.table(one).scan().to_arrow().sort_by("customer_id") for one in (SILVER, GOLD)]
    assert set(map(str, pipeline.write().values())) == {"{}"}
    for contract in (SILVER, GOLD):
        pipeline.lake.catalog.drop_table(identifier(contract))
    assert [len(days) for days in pipeline.write().values()] == [2, 2]
    after = [pipeline.lake.table(one).scan().to_arrow().sort_by("customer_id") for one in (SILVER, GOLD)]
    assert [one.to_pylist() for one in after] == [one.to_pylist() for one in before]


def test_a_run_that_died_between_commit_and_books_notes_the_commit(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> None:
        raise ConnectionError("the process ends here")

    with monkeypatch.context() as patched:
        patched.setattr(lake_module, "_note", dies)
        with pytest.raises(ConnectionError):
            pipeline.write()
    committed = pipeline.lake.snapshots(SILVER)
    assert one_row(pipeline.connection, "select count(*) from waybill.processed_day") == (0,)
    pipeline.write()
    assert pipeline.lake.snapshots(SILVER) == committed
    query = "select snapshot_id from waybill.lake_commit where table_name = 'purchases_star.fact_purchases'"
    assert one_row(pipeline.connection, query) == (committed[0],)
