"""Unapproved content is in no published report and not on the site, and pages mark it as unpublished."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import Connection

from support.messaging_months import (
    RUN,
    build_month,
    database,
    ingest_month,
    migrate,
    migrate_again,
    month,
    put,
    report_rows,
    sample,
)
from support.views import Page, client_of, fill_report
from waybill.checks.approval import approve, held_by, reject
from waybill.checks.unpublished import unpublished
from waybill.cli import tables
from waybill.derived.build import build_from_sql, known_files, report_contracts
from waybill.ops.provenance import trace
from waybill.outputs.publish import publish, publish_changed
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.views import catalog
from waybill.views.site import publish_dashboard, site
from waybill.warehouse.connection import connect, set_read_only
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from mypy_boto3_s3 import S3Client

OLD, NEW = "2026-02", "2026-03"
CONTRACTS = report_contracts("messaging")
SHARES = CONTRACTS["segment_share"]
BUCKETS = {name: f"unpublished-{name}" for name in ("raw", "reports", "dashboard")}
UNSEEN = "987654"
"""A number that stands only in content that nobody has approved."""


@pytest.fixture(scope="module")
def template(stack: Stack) -> Iterator[str]:
    """A warehouse with three months, of which the first two are built and published, and the third is built."""
    s3, patch = stack.s3(), pytest.MonkeyPatch()
    for name, value in stack.env().items():
        if name.startswith(("AWS_", "NO_PROXY", "no_proxy", "WAYBILL_MASK_KEY")):
            patch.setenv(name, value)
    for name, bucket in BUCKETS.items():
        s3.create_bucket(Bucket=bucket)
        patch.setenv(f"WAYBILL_{name.upper()}_BUCKET", bucket)
    settings.cache_clear()
    put(s3, BUCKETS["raw"], sample(NEW, 3, scale=0.2))
    try:
        with database(stack) as dsn:
            with connect(dsn) as connection:
                for key in ("2026-01", OLD, NEW):
                    ingest_month(connection, s3, key)
                    build_month(connection, key)
                    if key != NEW:
                        assert publish(connection, s3, "messaging", CONTRACTS.values(), month(key), RUN)
            write_site(dsn, s3)
            yield dsn
    finally:
        patch.undo()
        settings.cache_clear()


@pytest.fixture
def dsn(stack: Stack, template: str) -> Iterator[str]:
    """A copy of that warehouse; changes of a test to the buckets are undone."""
    s3 = stack.s3()
    before = everything(s3, "reports", "dashboard")
    with database(stack, template) as copy:
        yield copy
    after = everything(s3, "reports", "dashboard")
    for place in after.keys() - before.keys():
        name, _, key = place.partition("/")
        s3.delete_object(Bucket=BUCKETS[name], Key=key)
    for place, body in before.items():
        name, _, key = place.partition("/")
        if after.get(place) != body:
            s3.put_object(Bucket=BUCKETS[name], Key=key, Body=body)


@pytest.fixture
def warehouse(dsn: str) -> Iterator[Connection]:
    with connect(dsn) as connection:
        yield connection


@pytest.fixture
def view(stack: Stack, dsn: str) -> TestClient:
    return client_of(stack.database_url("waybill_reader", dsn.rpartition("/")[2]), dsn)


def hold(connection: Connection, key: str, run: Run = RUN) -> None:
    """Build the segments of the month with other numbers, which cause a warning of a check."""
    warning = replace(SHARES.checks[-1], query="select 99")
    assert warning.severity == "warning"
    text = (
        f"select %(period_start)s::date as month, 'Everybody' as segment, {UNSEEN} as customers_count, 100 as share_pct"
    )
    inputs = partial(known_files, connection, "messaging", month(key))
    build_from_sql(connection, replace(SHARES, checks=(warning,)), inputs, text, month(key), run)


def everything(s3: S3Client, *names: str) -> dict[str, bytes]:
    """Return every object of these buckets."""
    found = {}
    for name in names:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKETS[name])
        for item in [item for page in pages for item in page.get("Contents", [])]:
            found[f"{name}/{item['Key']}"] = s3.get_object(Bucket=BUCKETS[name], Key=item["Key"])["Body"].read()
    return found


def outside(s3: S3Client) -> dict[str, str]:
    """Return all published objects as text; of Parquet the rows."""
    import pyarrow.parquet as pq

    return {
        name: str(pq.read_table(io.BytesIO(body)).to_pylist()) if name.endswith(".parquet") else body.decode()
        for name, body in everything(s3, "reports", "dashboard").items()
    }


def write_site(dsn: str, s3: S3Client) -> None:
    with connect(dsn) as connection:
        publish_dashboard(connection, s3)


def leaks(s3: S3Client) -> list[str]:
    """Return the objects that contain the unapproved number."""
    return [name for name, text in outside(s3).items() if UNSEEN in text.replace(",", "")]


def words(body: str) -> str:
    return " ".join(Page(body).text.split())


def site_page(s3: S3Client, name: str) -> str:
    return words(s3.get_object(Bucket=BUCKETS["dashboard"], Key=name)["Body"].read().decode())


def test_a_month_that_waits_is_nowhere_until_it_is_approved(
    warehouse: Connection, dsn: str, view: TestClient, s3: S3Client
) -> None:
    hold(warehouse, NEW)
    assert publish(warehouse, s3, "messaging", CONTRACTS.values(), month(NEW), RUN) == []
    assert publish_changed(warehouse, s3, "messaging", RUN) == []
    write_site(dsn, s3)
    assert leaks(s3) == []
    found = outside(s3)
    assert "dashboard/messaging/2026-03/top_customers.csv" not in found, "it waits with the report of its day"
    first = site_page(s3, "index.html")
    assert f"Messaging {OLD}" in first
    built_at = warehouse.execute(
        "select to_char(built_at, 'YYYY-MM-DD HH24:MI') from waybill.publication "
        "where (report, period) = ('messaging_report.segment_share', '2026-03-01')"
    ).fetchone()
    assert built_at
    notice = f"Segment share 2026-03, built {built_at[0]}, is not published: waiting for approval."
    others = "7 other reports for the same day wait too."
    assert f"{notice} {others}" in first
    assert f"{notice} {others}" in site_page(s3, f"messaging/{NEW}.html")
    assert notice in site_page(s3, f"messaging/{NEW}/segment_share.html")
    assert "Required Actions" not in first, "readers of the site cannot approve"

    page = view.get(f"/business/messaging/{NEW}.html").text
    assert f"{notice} {others} Approve or reject it in Airflow under Browse → Required Actions." in words(page)
    assert "987,654" in words(page), "an approver sees the number"
    assert "Segment share not published: waiting for approval" in words(page)
    assert "Top customers not published: waiting with segment_share" in words(page)
    assert "CSV (not published) of Segment share" in words(page)
    csv = view.get(f"/business/messaging/{NEW}/segment_share.csv")
    assert csv.headers["content-disposition"] == 'attachment; filename="segment_share_2026-03_not_published.csv"'
    assert notice in words(view.get(f"/business/messaging/{NEW}/segment_share.html").text)

    approve(warehouse, held_by(warehouse, CONTRACTS.values(), RUN), "somebody")
    assert publish(warehouse, s3, "messaging", CONTRACTS.values(), month(NEW), RUN)
    write_site(dsn, s3)
    assert {"reports/analytics/2026/03/31/segment_share.csv", "dashboard/messaging/2026-03.html"} <= set(leaks(s3))
    assert f"Messaging {NEW}" in site_page(s3, "index.html")
    assert "approval" not in site_page(s3, "index.html")
    assert "not published" not in words(view.get(f"/business/messaging/{NEW}.html").text)
    csv = view.get(f"/business/messaging/{NEW}/segment_share.csv")
    assert csv.headers["content-disposition"] == 'attachment; filename="segment_share_2026-03.csv"'


@pytest.mark.parametrize("old_site", [False, True])
def test_the_site_keeps_the_numbers_that_were_published(
    old_site: bool, warehouse: Connection, dsn: str, view: TestClient, s3: S3Client
) -> None:
    """While newer content waits, and after its rejection, page, CSV, waybill and charts stay as they were."""
    name = f"messaging/{OLD}/segment_share"
    write_site(dsn, s3)
    before = {key: body for key, body in outside(s3).items() if f"/{name}." in key}
    rows, was = report_rows(warehouse, "segment_share", OLD), trace(warehouse, "segment_share", month(OLD))
    assert len(before) == 3
    hold(warehouse, OLD)
    if old_site:  # an earlier version published what nobody had approved
        for key in before:
            s3.put_object(Bucket=BUCKETS["dashboard"], Key=key.removeprefix("dashboard/"), Body=UNSEEN.encode())
    assert publish(warehouse, s3, "messaging", CONTRACTS.values(), month(OLD), RUN) == []
    write_site(dsn, s3)
    assert leaks(s3) == []
    after = {key: body for key, body in outside(s3).items() if f"/{name}." in key}
    csv_name = f"dashboard/{name}.csv"
    assert after[csv_name] == before[csv_name]
    assert [int(row["customers_count"]) for row in csv.DictReader(io.StringIO(after[csv_name]))] == [
        row["customers_count"] for row in rows
    ]
    (part,) = json.loads(after[f"dashboard/{name}.json"])["parts"]
    assert (part["content_sha256"], part["sql_sha256"], part["checks"]) == (was.content_sha256, was.sql_sha256, [])
    assert [file["sha256"] for file in part["files"]] == [file["sha256"] for file in was.files]
    page = site_page(s3, f"messaging/{OLD}.html")
    assert "is not published: waiting for approval. The numbers that were published before are shown." in page
    assert f"Customers {sum(row['customers_count'] for row in rows):,}" in page, "the headline is the published one"

    live = words(view.get(f"/business/messaging/{OLD}.html").text)
    assert "Customers 987,654 not published: waiting for approval not compared: 2026-02 is not approved" in live
    asked = held_by(warehouse, CONTRACTS.values(), RUN)
    reject(warehouse, asked, RUN, "lena")
    assert publish(warehouse, s3, "messaging", CONTRACTS.values(), month(OLD), RUN) == []
    write_site(dsn, s3)
    assert leaks(s3) == []
    assert "is not published: rejected by lena. The numbers that were published before" in site_page(
        s3, f"messaging/{OLD}.html"
    )
    assert "is not published: rejected by lena. Correct the data, then run the period again." in words(
        view.get(f"/business/messaging/{OLD}.html").text
    )


def test_a_deleted_or_replaced_published_object_is_left_out(warehouse: Connection, dsn: str, s3: S3Client) -> None:
    key = "analytics/2026/02/28/segment_share.parquet"
    other = s3.get_object(Bucket=BUCKETS["reports"], Key=key.replace("segment_share", "top_customers"))["Body"].read()
    hold(warehouse, OLD)
    for content in (other, None):
        s3.delete_object(Bucket=BUCKETS["reports"], Key=key)
        if content:
            s3.put_object(Bucket=BUCKETS["reports"], Key=key, Body=content)
        write_site(dsn, s3)
        assert leaks(s3) == []
        page = site_page(s3, f"messaging/{OLD}.html")
        assert "Segment share 2026-02, built" in page
        assert "is not published: waiting for approval." in page
        assert "published before are shown" not in page
        assert "Customers no data" in page
        assert "is not published: waiting for approval." in site_page(s3, f"messaging/{OLD}/segment_share.html")
        assert f"dashboard/messaging/{OLD}/segment_share.csv" not in outside(s3)


def test_charts_draw_approved_numbers_only(warehouse: Connection, dsn: str, view: TestClient, s3: S3Client) -> None:
    exposure = CONTRACTS["industry_exposure"]
    warning = replace(SHARES.checks[-1], query="select 99")
    text = "select r.* from messaging_report.industry_exposure as r where false"
    inputs = partial(known_files, warehouse, "messaging", month(NEW))
    for key in (OLD, NEW):  # reports beside one that waits are not published either
        hold(warehouse, key)
    build_from_sql(warehouse, replace(exposure, checks=(warning,)), inputs, text, month(NEW), RUN)
    page = view.get(f"/business/messaging/{NEW}.html").text
    assert "Not shown, because not approved: 2026-03." in words(page), "OLD's revenue is still the published one"
    days = [a["data-day"] for tag, a in Page(page).tags if "data-day" in a]
    assert len(days) == 2, "January and February"
    write_site(dsn, s3)
    site = site_page(s3, f"messaging/{OLD}.html")
    assert "because not approved" not in site


def test_content_that_is_held_while_it_is_being_published_is_not_read(
    warehouse: Connection, dsn: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that ends between the query for held content and the read must not be published."""
    from waybill.outputs import publish as module

    held = module._held

    def then_build(connection: Connection, contracts: Any) -> Any:
        answer = held(connection, contracts)
        with connect(dsn) as other:
            hold(other, NEW)
        return answer

    monkeypatch.setattr(module, "_held", then_build)
    publish(warehouse, s3, "messaging", CONTRACTS.values(), month(NEW), RUN)
    assert leaks(s3) == []
    monkeypatch.undo()
    assert publish(warehouse, s3, "messaging", CONTRACTS.values(), month(NEW), RUN) == []
    assert [one.period for one in unpublished(warehouse, CONTRACTS.values()).values() if one.asks] == [month(NEW)]


def test_a_trace_of_an_unpublished_report_is_marked(warehouse: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    assert trace(warehouse, "segment_share", month(OLD)).unpublished == ""
    assert trace(warehouse, "segment_share", month(NEW)).unpublished == "not published yet"
    hold(warehouse, OLD)
    found = trace(warehouse, "segment_share", month(OLD))
    assert found.unpublished == "not published: waiting for approval"
    tables.print_tables(*tables.waybill_tables(found), console=tables.Console())
    assert "not published: waiting for approval" in capsys.readouterr().out


def test_a_migrated_warehouse_knows_its_published_reports(warehouse: Connection, dsn: str, s3: S3Client) -> None:
    warehouse.execute("drop table waybill.published")
    migrate_again(warehouse, "0007_published", "0013_published_by")
    hold(warehouse, OLD)
    write_site(dsn, s3)
    assert leaks(s3) == []
    rows = s3.get_object(Bucket=BUCKETS["dashboard"], Key=f"messaging/{OLD}/segment_share.csv")["Body"].read()
    assert rows == s3.get_object(Bucket=BUCKETS["reports"], Key="analytics/2026/02/28/segment_share.csv")["Body"].read()
    assert Period.named(OLD) in {one.period for one in unpublished(warehouse, CONTRACTS.values()).values()}


def test_the_site_shows_pseudonyms_as_the_view_does(
    stack: Stack, template: str, warehouse_dsn: str, s3: S3Client
) -> None:
    """Rows of the published object are pseudonyms already and stay unchanged."""
    contract, key = catalog.reports("purchases")["top_purchasers"], Period.named("2026-02-27")
    restricted = next(column.name for column in contract.columns if column.classification == "restricted")
    migrate(warehouse_dsn)
    client = client_of(stack.database_url("waybill_reader", warehouse_dsn.rpartition("/")[2]), warehouse_dsn)

    def codes(body: str) -> list[str]:
        return [row[restricted] for row in csv.DictReader(io.StringIO(body))]

    with connect(warehouse_dsn) as connection:
        fill_report(connection, contract, key, rows=3)
        shown = codes(client.get(f"/business/purchases/{key}/top_purchasers.csv").text)
        assert len(set(shown)) == 3
        assert {len(code) for code in shown} == {32}
        publish(connection, s3, "purchases", [contract], key, RUN)
        for content in ("0" * 64, "newer"):
            connection.execute("update waybill.publication set content_sha256 = %s", (content,))
            with connect(warehouse_dsn) as own:
                set_read_only(own)
                files = dict(site(own, s3))
            body = files[f"purchases/{key}/top_purchasers.csv"]
            assert body
            assert codes(body.decode()) == shown
