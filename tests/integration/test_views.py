"""The views show the content of the warehouse to users with permission, and text from files cannot act as HTML."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlencode

import psycopg
import pytest
from fastapi.routing import APIRoute
from rich.console import Console
from typer.testing import CliRunner

from support.landing import TRAFFIC, csv_body
from support.ledger import add_file, add_reject
from support.messaging_months import RUN, build_month, database, ingest_month, migrate, month, put, report_rows, sample
from support.views import Page, Someone, access_of, check_inert, client_of, fill_report
from waybill.cli import app, tables
from waybill.contracts import load_all, load_domain
from waybill.contracts.domains import load_manifest
from waybill.formatting import text
from waybill.intake import file_warnings
from waybill.intake.quarantine import open_by_file
from waybill.intake.replay import replay
from waybill.ops.books import known_gaps
from waybill.ops.provenance import trace
from waybill.outputs.publish import publish
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.views import catalog, pages
from waybill.views.app import make_app
from waybill.views.business import page as business
from waybill.views.business.charts import filter_columns
from waybill.views.business.filters import chosen_of
from waybill.views.business.rows_behind import rows_behind
from waybill.views.operations import overview as operations
from waybill.views.operations.balances import balances
from waybill.views.operations.changes import rebuilds
from waybill.views.operations.freshness import freshness
from waybill.views.operations.loads import loaded_files
from waybill.views.operations.missing import missing
from waybill.views.operations.rejected_rows import FilePlace, quarantined
from waybill.views.operations.rejections import rejections
from waybill.views.operations.scope import Scope, Total
from waybill.views.site import publish_dashboard, site
from waybill.warehouse import change_log
from waybill.warehouse.connection import connect, set_read_only
from waybill.warehouse.evolution import ensure
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from mypy_boto3_s3 import S3Client

MONTHS = ("2026-02", "2026-03")
EVIL_NAME = "traffic_\"><img src=x onerror=alert(1)>'.csv"
EVIL_VALUE = "<script>alert(document.cookie)</script>"


@pytest.fixture(scope="module")
def dsn(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A warehouse with two months of messaging, of which one file has a hostile name and hostile rows."""
    s3, bucket = stack.s3(), "views-raw"
    s3.create_bucket(Bucket=bucket)
    patch = pytest.MonkeyPatch()
    for name, value in stack.env().items():
        if name.startswith(("AWS_", "NO_PROXY", "no_proxy", "WAYBILL_MASK_KEY")):
            patch.setenv(name, value)
    patch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    put(s3, bucket, sample(MONTHS[-1], 2))
    key = f"raw/messaging/traffic/month={MONTHS[-1]}/{EVIL_NAME}"
    good = [f"{900000 + n},2026-03-{n % 28 + 1:02d},1,999999,1,10,1.00" for n in range(3)]
    rows = [f"{910000 + n},2026-03-05,1,1001,{n + 1},{EVIL_VALUE},1.00" for n in range(2)]
    filler = [f"{920000 + n},2026-03-{n % 28 + 1:02d},1,{n // 28 + 1001},2,1,1.00" for n in range(200)]
    s3.put_object(Bucket=bucket, Key=key, Body=csv_body(TRAFFIC, [*rows, *good, *filler]))
    try:
        with database(stack) as found:
            with connect(found) as connection:
                for one in MONTHS:
                    ingest_month(connection, s3, one)
                    build_month(connection, one)
                connection.execute(
                    "insert into waybill.alert values ('messaging_monthly', 'r', 'failure', %s)", (EVIL_VALUE,)
                )
                row = connection.execute(
                    "select file_id from waybill.load_file where object_key = %s", (key,)
                ).fetchone()
                assert row
                file_warnings.add(connection, row[0], "columns", f"the column {EVIL_VALUE} is unknown")
            yield found
    finally:
        patch.undo()
        settings.cache_clear()


@pytest.fixture(scope="module")
def reader_dsn(stack: Stack, dsn: str) -> str:
    return stack.database_url("waybill_reader", dsn.rpartition("/")[2])


@pytest.fixture
def client(reader_dsn: str, dsn: str) -> TestClient:
    return client_of(reader_dsn, dsn)


PAGES = [
    "/business/index.html",
    "/business/messaging/index.html",
    "/business/messaging/2026-02.html",
    *(f"/business/messaging/2026-03/{name}.html" for name in ("top_customers", "descriptive_statistics")),
    "/operations/index.html",
    "/operations/index.html?dag_id=messaging_monthly&run_id=test",
    "/operations/loads.html?dataset=messaging.traffic",
    "/operations/changes.html?domain=messaging",
    "/operations/anomalies.html?domain=messaging",
    "/operations/incidents.html?domain=messaging",
    "/operations/plan.html?domain=messaging",
    "/operations/features.html?domain=messaging",
    "/operations/lineage.html?domain=messaging",
    "/operations/lineage.html?table=messaging_feature.customer_revenue_v1",
    "/operations/lineage.html?table=messaging_report.top_customers",
    "/operations/lineage.html?table=messaging.traffic&column=revenue_eur",
    "/operations/quarantine.html?dataset=messaging.traffic",
    "/operations/quarantine.html?dataset=messaging.traffic&state=resolved",
]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_inert_and_its_links_lead_somewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = Page(answer.text)
    check_inert(page)
    here = path.partition("?")[0]
    for link in {link for link in page.links if not link.startswith("#")}:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link))
        assert not link.startswith(("/", "http"))
        unbuilt = tuple(f"/business/{domain}" for domain in ("clicks", "orders", "purchases", "shop"))
        if target.startswith("/dags/"):  # a page of Airflow
            assert target.split("/")[2] in {load_manifest(domain).dag for domain in catalog.domains()}
        elif not target.startswith(unbuilt):
            assert client.get(target).status_code == 200, link


def test_text_from_files_is_shown_as_text(client: TestClient) -> None:
    page = Page(client.get("/operations/quarantine.html?dataset=messaging.traffic&reason=type:interactions_count").text)
    assert EVIL_VALUE in page.text
    assert EVIL_NAME in page.text
    assert EVIL_NAME in Page(client.get("/business/messaging/2026-03/top_customers.html").text).text
    assert EVIL_VALUE in Page(client.get("/operations/index.html").text).text


def test_warnings_are_shown_beside_their_files(client: TestClient) -> None:
    warning = f"columns the column {EVIL_VALUE} is unknown"
    for path in ("index.html", "index.html?dag_id=messaging_monthly&run_id=test", "loads.html"):
        text = " ".join(Page(client.get(f"/operations/{path}").text).text.split())
        assert f"{EVIL_NAME} {warning}" in text, path
    other = Page(client.get("/operations/index.html?dag_id=messaging_monthly&run_id=another").text)
    assert "is unknown" not in other.text


def test_a_truncated_list_of_warnings_states_their_number(dsn: str) -> None:
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        _, before = operations.warnings(connection, Scope(("messaging",)))
        connection.execute(
            "insert into waybill.file_warning select file_id, 'columns', number::text "
            "from waybill.load_file, generate_series(1, 30) as number where dataset = 'messaging.traffic'"
        )
        files = connection.execute(
            "select count(*) from waybill.load_file where dataset = 'messaging.traffic'"
        ).fetchone()
        assert files
        listed, total = operations.warnings(connection, Scope(("messaging",)))
        assert (len(listed), total) == (operations.WARNINGS, before + 30 * files[0])
        assert operations.warnings(connection, Scope(("shop",))) == ([], 0)


def test_key_figures_equal_the_rows(client: TestClient, dsn: str) -> None:
    page = Page(client.get("/business/messaging/2026-03.html").text)
    with connect(dsn) as connection:
        now, before = (
            Decimal(
                connection.execute(
                    "select sum(revenue_eur) from messaging.traffic_as_of(%s) where send_date >= %s and send_date < %s",
                    (month(one).end, month(one).start, month(one).end),
                ).fetchone()[0]  # type: ignore[index]
            )
            for one in reversed(MONTHS)
        )
    assert f"{now:,.2f} €" in page.text
    moved = (now / before - 1) * 100
    words = " ".join(page.text.split())
    assert f"{'▲ up' if moved > 0 else '▼ down'} {abs(moved):.1f} % vs {MONTHS[0]}" in words


def test_charts_draw_the_numbers_of_their_rows(client: TestClient, dsn: str) -> None:
    with connect(dsn) as connection:
        rows = report_rows(connection, "segment_share", "2026-03")
    page = Page(client.get("/business/messaging/2026-03.html").text)
    drawn = [int(a["data-value"]) for tag, a in page.tags if tag == "td" and (a.get("data-value") or "").isdigit()]
    expected = sorted((row["customers_count"] for row in rows), reverse=True)
    assert any(drawn[start : start + len(expected)] == expected for start in range(len(drawn)))


def test_filters_limit_figures_rows_and_lines(client: TestClient, dsn: str) -> None:
    with connect(dsn) as connection:
        rows = report_rows(connection, "industry_exposure", "2026-03")
        industry, revenue = rows[0]["industry"], rows[0]["revenue_eur"]
        found = business.page(connection, "messaging", month("2026-03"), query={"industry": industry, "other": "x"})
        none = business.page(connection, "messaging", month("2026-03"), query={"industry": "x' or true --"})
    figures = {kpi.label: kpi for kpi in found.kpis}
    assert (found.chosen, figures["Revenue"].text) == ({"industry": industry}, f"{revenue:,.2f} €")
    assert (figures["Revenue"].is_unfiltered, figures["Customers"].is_unfiltered) == (False, True)
    cards = {card.name: card for card in found.cards}
    chart = cards["industry_exposure_extended"].chart
    assert chart
    assert ([row.label for row in chart.rows], cards["industry_exposure_extended"].row_count) == ([industry], 1)
    assert cards["segment_share"].not_filtered_by == ["Industry"]
    assert found.trends[0].lines[0][1].rows[0].values[1] == revenue
    (offered,) = (choice for choice in found.filters if choice.column == "industry")
    assert (offered.values, offered.chosen) == (sorted(row["industry"] for row in rows), industry)
    assert [card.row_count for card in none.cards if card.name == "industry_exposure"] == [0]
    page = Page(client.get("/business/messaging/2026-03.html", params={"industry": industry}).text)
    check_inert(page)
    assert "Remove filters" in page.text
    previous = next(str(a["href"]) for tag, a in page.tags if tag == "a" and a.get("rel") == "prev")
    assert parse_qs(previous.partition("?")[2]) == {"industry": [industry]}, "links keep the filters"


def test_a_row_of_a_report_leads_to_the_records_behind_it(client: TestClient, dsn: str) -> None:
    page = Page(client.get("/business/messaging/2026-03/top_customers.html").text)
    link = next(link for link in page.links if "rows.html" in link)
    customer = parse_qs(link.partition("?")[2])["customer_id"][0]
    answer = client.get(posixpath.normpath(f"/business/messaging/2026-03/{link}"))
    assert answer.status_code == 200
    check_inert(Page(answer.text))
    with connect(dsn) as connection:
        contract = catalog.reports("messaging")["top_customers"]
        found = {
            one.table: one for one in rows_behind(connection, contract, month("2026-03"), {"customer_id": customer})
        }
        stored = connection.execute(
            "select traffic_id::text, object_key, _record from messaging.traffic inner join waybill.load_file as f "
            "on f.file_id = _file_id where customer_id = %s order by _file_id desc, _record limit 50",
            (customer,),
        ).fetchall()
        by_industry = rows_behind(
            connection,
            catalog.reports("messaging")["industry_exposure"],
            month("2026-03"),
            {"industry": "x' or true --"},
        )
    traffic = found["messaging.traffic"]
    assert traffic.matched == ["customer_id"]
    assert [(row.cells[0], row.object_key, row.record) for row in traffic.rows] == stored
    assert stored
    assert {one.table: (one.matched, one.rows) for one in by_industry if "channels" not in one.table} == {
        name: (["industry"], []) for name in ("messaging.customers", "messaging.traffic")
    }, "traffic is searched through the customers that it refers to"


def test_rows_behind_a_report_hold_pseudonyms_of_restricted_columns(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = catalog.contracts()["messaging.customers"]
    columns = tuple(
        replace(one, classification="restricted") if one.name == "customer_name" else one for one in contract.columns
    )
    changed = catalog.contracts() | {contract.table: replace(contract, columns=columns)}
    monkeypatch.setattr(catalog, "contracts", lambda: changed)
    with connect(dsn) as connection:
        report = catalog.reports("messaging")["top_customers"]
        names = {name for (name,) in connection.execute("select customer_name from messaging.customers_history")}
        found = {one.table: one for one in rows_behind(connection, report, month("2026-03"), {})}
    shown = {row.cells[contract.names.index("customer_name")] for row in found["messaging.customers"].rows}
    assert shown
    assert not shown & names


def test_restricted_columns_are_no_filters() -> None:
    contract = catalog.reports("messaging")["top_customers"]
    columns = [replace(one, classification="restricted") for one in contract.columns]
    assert "customer_name" in [one.name for one in filter_columns(contract)]
    assert filter_columns(replace(contract, columns=tuple(columns))) == []
    assert chosen_of([replace(contract, columns=tuple(columns))], {"customer_name": "x"}) == {}


def test_files_of_a_page_are_kept_while_their_version_is_current(client: TestClient) -> None:
    page = Page(client.get("/business/index.html").text)
    (script,) = (str(a["src"]) for tag, a in page.tags if tag == "script" and "echarts" in str(a.get("src")))
    name = script.partition("?")[0]
    kept = {asked: client.get(f"/business/{asked}").headers["cache-control"] for asked in (script, name, f"{name}?v=0")}
    assert kept == {
        script: "private, max-age=31536000, immutable",
        name: "private, max-age=3600",
        f"{name}?v=0": "private, no-store",
    }


def test_filters_limit_csv_and_waybill_like_the_table(client: TestClient, dsn: str) -> None:
    with connect(dsn) as connection:
        rows = report_rows(connection, "top_customers", "2026-03")
    name = rows[0]["customer_name"]
    wanted = [str(row["customer_id"]) for row in rows if row["customer_name"] == name]
    asked = {"customer_name": name, "industry": "of another report", "segment": "", "other": "x"}
    assert 0 < len(wanted) < len(rows)
    page = Page(client.get("/business/messaging/2026-03/top_customers.html", params=asked).text)
    check_inert(page)
    told = f"Only rows with Customer name {name} : {len(wanted)} of {len(rows)} rows."
    assert told in " ".join(page.text.split())
    kept = urlencode({"customer_name": name, "industry": "of another report"})
    downloads = [link for link in page.links if link.startswith("top_customers.") and "?" in link]
    assert downloads == [f"top_customers.csv?{kept}", f"top_customers.json?{kept}"]
    answers = [client.get(f"/business/messaging/2026-03/{link}") for link in downloads]
    found = list(csv.DictReader(io.StringIO(answers[0].text)))
    assert [row["customer_id"] for row in found] == wanted
    about = answers[1].json()
    assert (about["filters"], about["filtered_row_count"]) == ({"customer_name": name}, len(wanted))
    assert about["parts"][0]["row_count"] == len(rows)
    cards = Page(client.get("/business/messaging/2026-03.html", params=asked).text)
    assert f"../messaging/2026-03/top_customers.csv?{kept}" in cards.links


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("Gaming", "industry=Gaming"),
        ("x' or true --", "industry=x-or-true---"),
        ('Zoë ✓ /../"\r\nX: y', "industry=Zoë-..-X-y"),
        ("日" * 200, "industry=" + "日" * 91),
    ],
    ids=["word", "SQL", "path", "long"],
)
def test_the_name_of_a_filtered_file_has_its_filters(client: TestClient, value: str, named: str) -> None:
    answer = client.get("/business/messaging/2026-03/industry_exposure.csv", params={"industry": value})
    assert answer.status_code == 200
    assert "x" not in answer.headers
    plain, _, full = answer.headers["content-disposition"].partition("; filename*=UTF-8''")
    assert plain == 'attachment; filename="industry_exposure_2026-03_filtered_not_published.csv"'
    assert unquote(full) == f"industry_exposure_2026-03_{named}_not_published.csv"
    unfiltered = client.get("/business/messaging/2026-03/industry_exposure.csv").headers["content-disposition"]
    assert unfiltered == 'attachment; filename="industry_exposure_2026-03_not_published.csv"'


def test_the_csv_has_every_row_of_the_report(client: TestClient, dsn: str) -> None:
    answer = client.get("/business/messaging/2026-03/revenue_by_period.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    found = list(csv.DictReader(io.StringIO(answer.text)))
    with connect(dsn) as connection:
        rows = report_rows(connection, "revenue_by_period", "2026-03")
    assert [(row["customer_id"], row["revenue_last_month_eur"]) for row in found] == [
        (str(row["customer_id"]), str(row["revenue_last_month_eur"])) for row in rows
    ]


def test_a_waybill_names_the_sql_and_every_file_of_the_tables_it_reads(client: TestClient, dsn: str) -> None:
    found = client.get("/business/messaging/2026-03/top_customers.json").json()
    page = Page(client.get("/business/messaging/2026-03/top_customers.html").text)
    with connect(dsn) as connection:
        keys = [
            key
            for (key,) in connection.execute(
                "select object_key from waybill.load_file where period <= '2026-03-01' "
                "and dataset in ('messaging.customers', 'messaging.traffic')"
            )
        ]
    assert sorted(file["object_key"] for file in found["parts"][0]["files"]) == sorted(keys)
    assert all(key in page.text for key in keys)
    assert (settings().include_dir / "sql" / "messaging" / "top_customers.sql").read_text().strip() in page.text
    assert found["parts"][0]["code_version"] == "abc123"


def test_the_sql_of_a_waybill_is_that_of_its_file_unless_it_has_changed(client: TestClient, dsn: str) -> None:
    """Earlier versions hashed the SQL without its last line end; that is not a change."""
    path = settings().include_dir / "sql" / "messaging" / "top_customers.sql"
    notice = "The SQL has changed since"
    address = "/business/messaging/2026-03/top_customers.html"
    query = "update waybill.publication set sql_sha256 = %s where report = 'messaging_report.top_customers'"
    recorded = hashlib.sha256(path.read_bytes()).hexdigest()
    with connect(dsn) as connection:
        assert trace(connection, "top_customers", month("2026-03")).sql_sha256 == recorded
        hashes = {
            recorded: False,
            hashlib.sha256(path.read_bytes().removesuffix(b"\n")).hexdigest(): False,
            hashlib.sha256(path.read_bytes() + b"\n").hexdigest(): True,
            hashlib.sha256(path.read_bytes().replace(b"desc", b"asc", 1)).hexdigest(): True,
        }
        try:
            for value, is_changed in hashes.items():
                connection.execute(query, (value,))
                text = Page(client.get(address).text).text
                assert (notice in text, path.read_text().strip() in text) == (is_changed, not is_changed)
        finally:
            connection.execute(query, (recorded,))


def test_books_are_shown_as_they_are(client: TestClient, dsn: str) -> None:
    page = Page(client.get("/operations/index.html?domain=messaging").text)
    with connect(dsn) as connection:
        files, rows_in, rejected = connection.execute(  # type: ignore[misc]
            "select count(*), sum(rows_in), sum(rejected) from waybill.load_file "
            "where dataset = 'messaging.traffic' and period = '2026-03-01'"
        ).fetchone()
    words = " ".join(page.text.split())
    assert f"2026-03 messaging.traffic {files} {text(int(rows_in))}" in words
    assert f" {text(int(rejected))} " in words
    assert "Books balanced" in words


def test_counts_cover_all_files_although_the_list_is_limited(client: TestClient, dsn: str) -> None:
    """Files, rejected rows, alerts and rejections: the same numbers for all domains together as one by one."""
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        for number in range(70):
            period = date(2026, 1, 1) + timedelta(days=number)
            file_id = add_file(connection, "shop.reviews", f"many-{number}", period, "many", rows_in=3, rejected=3)
            for record in range(3):
                add_reject(connection, file_id, record, "7", "ragged", "json")
            connection.execute(
                "insert into waybill.alert values ('shop_daily', %s, 'failure', 'it failed')", (f"run {number}",)
            )
            connection.execute(
                "insert into waybill.rejected_file (dataset, period, object_key, message) "
                "values ('shop.reviews', '2026-01-01', %s, 'no')",
                (f"rejected-{number}",),
            )
            connection.execute(
                "insert into waybill.check_result (subject, cadence, period, check_name, severity, observed, operator, "
                "threshold, passed) values ('shop.reviews', 'day', %s::date + %s, 'c', 'warning', 1, '=', 0, false)",
                ("2026-01-01", number),
            )
        shop, messaging = (operations.totals(connection, Scope((name,))) for name in ("shop", "messaging"))
        both = operations.totals(connection, Scope(("messaging", "shop")))
        assert (shop.books, shop.rejected, shop.failed, shop.rejections, shop.alerts) == (70, 210, 70, 70, 70)
        for name in ("books", "rejected", "failed", "rejections", "alerts"):
            assert getattr(both, name) == getattr(shop, name) + getattr(messaging, name), name
        rejected = connection.execute(
            "select count(*) from waybill.quarantine inner join waybill.load_file using (file_id) "
            "where status = 'loaded' and resolved_as is null and dataset like 'messaging.%'"
        ).fetchone()
        assert (messaging.rejected,) == rejected
        assert operations.totals(connection, Scope(("shop",), "many")).rejected == 210
        assert operations.totals(connection, Scope(("shop",), "other")).books == 0
        files, total = loaded_files(connection, Scope(("shop",)), None, 2)
        assert (len(files), total.place(2), total.has_more(1), total.has_more(2)) == (20, "51 to 70 of 70", True, False)
        contract = catalog.contracts()["shop.reviews"]
        rows, total = quarantined(connection, contract, page=5)
        assert (len(rows), total.place(5), total.has_more(5)) == (10, "201 to 210 of 210", False)
        assert quarantined(connection, contract, page=6) == ([], total)
        assert quarantined(connection, contract, reason="json", is_open=False)[1].rows == 0
        counts, listed, open_rows = open_by_file(connection, "shop.reviews", 20)
        assert (open_rows, len(listed)) == (210, 20)
        assert counts == [("json", 210, 70), ("ragged", 210, 70)]
        console = Console(width=120, record=True, file=io.StringIO())
        tables.print_tables(*tables.quarantine_tables("shop.reviews", counts, listed, open_rows), console=console)
        assert "20 of 210" in console.file.getvalue()  # type: ignore[attr-defined]
    words = " ".join(Page(client.get("/operations/loads.html?domain=messaging").text).text.split())
    with connect(dsn) as connection:
        (files_count,) = connection.execute("select count(*) from waybill.load_file").fetchone()  # type: ignore[misc]
    assert f"1 to {min(50, files_count)} of {files_count} files" in words


def test_a_truncated_total_is_marked() -> None:
    total = Total.of(10_001)
    assert (total.place(200), total.has_more(199), total.has_more(200)) == (
        "9,951 to 10,000 of more than 10,000",
        True,
        False,
    )


def test_unbalanced_books_come_first(dsn: str) -> None:
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        connection.execute("alter table waybill.load_file drop constraint books_balance")
        connection.execute(
            "update waybill.load_file set inserted = inserted - 1 where period = '2026-02-01' "
            "and dataset = 'messaging.channels'"
        )
        first = balances(connection, Scope(("messaging",)))[0]
    assert (first["dataset"], first["period"].key, first["difference"]) == ("messaging.channels", "2026-02", 1)


def test_freshness_compares_with_the_latency_of_the_contract(dsn: str) -> None:
    scope = Scope(("messaging",))
    with connect(dsn) as connection:
        for today, late in {"2026-04-01": 0, "2026-05-01": 0, "2026-05-02": 1, "2026-07-02": 3}.items():
            found = freshness(connection, scope, Period.parse("day", today).start)
            assert {one.late for one in found} == {late}, today


def test_a_dataset_without_a_file_is_late_only_if_its_domain_is_in_use(dsn: str) -> None:
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        connection.execute("delete from waybill.load_file where dataset = 'messaging.channels'")
        found = freshness(connection, Scope(("messaging", "shop")), Period.parse("day", "2026-04-01").start)
    states = {one.dataset: (one.newest, one.late) for one in found if one.newest is None}
    unused = {f"shop.{name}": (None, 0) for name in load_domain("shop")}
    assert states == unused | {"messaging.channels": (None, 1)}


def test_missing_periods_are_named(dsn: str) -> None:
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "delete from waybill.publication where report like '%top_customers' and period = '2026-03-01'"
        )
        found = missing(connection, Scope(("messaging",)))
    assert {(one.subject, *(period.key for period in one.periods)) for one in found} == {
        ("messaging_report.loyal_top_customers", "2026-03"),
        ("messaging_report.top_customers", "2026-03"),
    }


def test_the_operations_page_agrees_with_the_books(dsn: str) -> None:
    months = [Period.parse("month", key) for key in MONTHS]
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "update waybill.load_file set rejected = rejected - 1, inserted = inserted + 1 where file_id = "
            "(select file_id from waybill.load_file where dataset = 'messaging.traffic' and rejected > 0 "
            "order by period desc limit 1)"  # as a replay does
        )
        connection.execute(
            "delete from waybill.publication where report like '%.segment_share' and period = '2026-02-01'"
        )
        found = missing(connection, Scope(("messaging",)))
        books = known_gaps(connection, "messaging", months)
    assert {(one.subject, one.what, period) for one in found for period in one.periods} == {
        (gap.subject, gap.what, gap.period) for gap in books
    }
    problems = {(one.subject, one.what.partition(":")[0]) for one in found}
    assert ("messaging_report.segment_share", "nothing was loaded or built") in problems
    assert ("messaging_report.top_customers", "out of date") in problems


def test_a_rejected_report_is_listed_until_it_is_resolved(dsn: str) -> None:
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "insert into waybill.rejected_file (dataset, period, object_key, message) "
            "values ('messaging_report.segment_share', '2026-03-01', 'segment_share 2026-03', 'somebody refused')"
        )
        states = []
        for passed in (False, True):
            connection.execute(
                "update waybill.check_result set passed = %s where subject = 'messaging_report.segment_share' "
                "and period = '2026-03-01' and check_name = 'unapproved_warnings'",
                (passed,),
            )
            (rejection,) = rejections(connection, Scope(("messaging",)))
            states.append(rejection["is_resolved"])
    assert states == [False, True]


def test_cohorts_are_a_heatmap_by_month(dsn: str) -> None:
    contract = load_all()["shop_report.cohort_retention"]
    rows = [
        ("2026-01-01", "2026-01-01", 10, 10, 0, 100),
        ("2026-02-01", "2026-01-01", 10, 4, 1, 40),
        ("2026-02-01", "2026-02-01", 5, 5, 0, 100),
        ("2026-03-01", "2026-01-01", 10, 0, 2, 0),
        ("2024-01-01", "2024-01-01", 1, 1, 0, 100),
    ]
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        ensure(connection, contract)
        connection.cursor().executemany(
            "insert into shop_report.cohort_retention values (%s, %s, %s, %s, %s, %s)", rows
        )
        connection.execute(
            "insert into waybill.publication (report, cadence, period, row_count, content_sha256, code_version, "
            "file_ids) values ('shop_report.cohort_retention', 'month', '2026-02-01', 2, 'x', 'x', '{}')"
        )
        page = business.page(connection, "shop", Period.parse("month", "2026-02"))
    (card,) = page.cards
    assert card.chart
    assert [heading.text for heading in card.chart.headings] == ["First purchase", "0", "1"]
    assert [(row.cells, row.values) for row in card.chart.rows] == [
        (["2026-01", "100", "40"], {1: 100, 2: 40}),
        (["2026-02", "100", ""], {1: 100}),
    ]


def test_a_trend_of_revenue_draws_revenue_and_is_labelled(dsn: str) -> None:
    contract = load_all()["shop_report.revenue_trend"]
    days = [Period.parse("day", f"2026-02-{number:02d}") for number in (1, 2)]
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        for period in (*days, *(Period.parse("month", f"2026-{number:02d}") for number in (1, 2))):
            fill_report(connection, contract, period)
        found = business.page(connection, "shop", days[-1])
        stored = connection.execute(
            "select net_revenue from shop_report.revenue_trend where cadence = 'day' order by period"
        ).fetchall()
    (card,), (trend,) = found.cards, found.trends
    line = dict(trend.lines)["day"]
    assert [row.cells[1] for row in reversed(line.rows)] == [text(value) for (value,) in stored]
    assert card.chart
    assert "Net revenue (EUR)" not in [heading.text for heading in card.chart.headings], "no curve is drawn twice"
    page = Page(pages.business(found, root=""))
    assert "Net revenue" in page.text
    choices = [attributes for tag, attributes in page.tags if tag == "input"]
    assert [(one["id"], "checked" in one) for one in choices] == [("trend-day", True), ("trend-month", False)]
    assert len({one["name"] for one in choices}) == 1, "one line is shown at a time"


def test_restricted_values_of_rejected_rows_stay_hidden(dsn: str) -> None:
    contract = load_all()["shop.customers"]
    restricted = [column.name for column in contract.columns if column.classification == "restricted"]
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        file_id = add_file(connection, "shop.customers", rows_in=2, rejected=2)
        raw = json.dumps({restricted[0]: "secret@example.com", "country": "DE"})
        for record, line in enumerate((raw, "7,secret@example.com"), 1):
            add_reject(connection, file_id, record, line, "ragged")
        rows, total = quarantined(connection, contract)
    assert "secret" not in str(rows)
    assert ("country", "DE", False) in rows[0].values
    assert (len(rows), total.rows, rows[1].can_be_replayed) == (2, 2, False)


def test_a_malformed_record_is_shown_as_in_the_file(dsn: str) -> None:
    line = '7,"Hen"derson,\\"'
    with connect(dsn) as connection, connection.transaction(force_rollback=True):
        file_id = add_file(connection, "shop.reviews", rows_in=1, rejected=1)
        add_reject(connection, file_id, 1, json.dumps(line), "quote")
        rows, _ = quarantined(connection, load_all()["shop.reviews"])
    assert [row.raw for row in rows if isinstance(row.place, FilePlace) and row.place.object_key == "k"] == [line]


def test_the_reader_cannot_write_and_has_a_statement_timeout(reader_dsn: str) -> None:
    with psycopg.connect(reader_dsn) as connection:
        set_read_only(connection)
        assert connection.execute("show statement_timeout").fetchone() == ("5s",)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("create temporary table own (id integer)")
    with psycopg.connect(reader_dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("delete from waybill.load_file")


def test_no_route_is_open(reader_dsn: str, dsn: str) -> None:
    access = access_of(reader_dsn, dsn, Someone())
    routes = make_app(access).routes
    assert len(routes) > 10
    for route in routes:
        assert isinstance(route, APIRoute)
        asked = {dependency.call for dependency in route.dependant.dependencies}
        assert {access.identify, access.view} <= asked, route.path
        assert route.methods == {"GET"} or access.run in asked, route.path


def test_users_who_are_not_logged_in_are_sent_to_the_log_in_page(reader_dsn: str, dsn: str) -> None:
    client = client_of(reader_dsn, dsn, Someone(may_look=False))
    for path in (*PAGES, "/business/assets/view.js", "/business/messaging/2026-03/top_customers.csv"):
        answer = client.get(path)
        assert answer.status_code == 303
        assert "/api/v2/auth/login?next=" in answer.headers["location"]
        assert client.get(path, headers={"accept": "application/json"}).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/business/nowhere/2026-03.html",
        "/business/messaging/2026-3x.html",
        "/business/messaging/2019-01.html",
        "/business/messaging/2026-03/nothing.html",
        "/business/messaging/2026-03/nothing.csv",
        "/operations/index.html?domain=nowhere",
        "/operations/index.html?dag_id=<script>",
        "/operations/quarantine.html?dataset=waybill.alert",
        "/business/assets/..%2fapp.py",
        "/nothing",
    ],
)
def test_an_unknown_address_gives_a_page_with_an_explanation(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    check_inert(Page(answer.text))


def test_pages_are_bounded(client: TestClient) -> None:
    assert client.get("/operations/loads.html?page=0").status_code == 422
    assert client.get("/operations/loads.html?page=100000").status_code == 422
    assert "This page is empty: all" in client.get("/operations/loads.html?page=9").text


@pytest.mark.usefixtures("stack_environment")
def test_an_empty_project_names_the_command_to_run(stack: Stack) -> None:
    with database(stack, "warehouse") as empty:
        client = client_of(stack.database_url("waybill_reader", empty.rpartition("/")[2]), empty)
        for path in ("/business/index.html", "/operations/index.html"):  # not even migrated
            assert client.get(path).status_code == 404
            assert "make demo" in client.get(path).text
        migrate(empty)
        assert "make demo" in client.get("/business/index.html").text
        overview = client.get("/operations/index.html")
        assert overview.status_code == 200
        assert "make demo" in overview.text
        assert client.get("/operations/quarantine.html").status_code == 200


def test_an_unreachable_warehouse_is_reported_without_its_password(dsn: str) -> None:
    client = client_of("postgresql://waybill_reader:hunter2@127.0.0.1:1/warehouse", dsn)
    for path in ("/business/index.html", "/operations/index.html"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "does not respond" in answer.text
        assert "hunter2" not in answer.text


@pytest.fixture
def rejected(dsn: str) -> tuple[int, int]:
    """(file id, record) of a row whose customer is unknown."""
    with connect(dsn) as connection:
        return connection.execute(  # type: ignore[return-value]
            "select file_id, record from waybill.quarantine inner join waybill.load_file using (file_id) "
            "where object_key like %s and reasons = '{reference:customer_id}' and resolved_as is null order by record",
            (f"%{EVIL_NAME}",),
        ).fetchone()


def selection(*rows: tuple[int, int], dataset: str = "messaging.traffic") -> dict[str, Any]:
    return {"dataset": dataset, "rows": [list(row) for row in rows]}


REPLAY = "/operations/replay/messaging_monthly"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "text/plain"}, 415),
    ],
)
def test_another_site_cannot_replay(
    client: TestClient, rejected: tuple[int, int], headers: dict[str, str], status: int
) -> None:
    headers = {"content-type": "application/json", "accept": "*/*"} | headers
    assert client.post(REPLAY, json=selection(rejected), headers=headers).status_code == status


def test_only_users_who_may_run_the_dag_replay(reader_dsn: str, dsn: str, rejected: tuple[int, int]) -> None:
    viewer = client_of(reader_dsn, dsn, Someone(may_run=False))
    assert viewer.post(REPLAY, json=selection(rejected)).status_code == 403
    page = Page(viewer.get("/operations/quarantine.html?dataset=messaging.traffic").text)
    assert "permission to run the DAG" in page.text
    assert not [a for tag, a in page.tags if tag == "input" and a.get("type") == "checkbox"]


def test_a_replay_needs_rows_of_the_dags_own_datasets(client: TestClient, rejected: tuple[int, int]) -> None:
    assert client.post(REPLAY, json=selection(rejected, dataset="shop.customers")).status_code == 404
    assert client.post("/operations/replay/elsewhere", json=selection(rejected)).status_code == 404
    assert client.post(REPLAY, json=selection()).status_code == 422
    assert client.post(REPLAY, json=selection(*[rejected] * 201)).status_code == 422


def test_selected_rows_are_replayed_and_the_result_is_returned(
    client: TestClient, dsn: str, rejected: tuple[int, int]
) -> None:
    still = client.post(REPLAY, json=selection(rejected)).json()
    assert (still["counts"]["rows_in"], still["counts"]["rejected"], still["admitted_from"]) == (1, 1, None)
    with connect(dsn) as connection:
        connection.execute(
            "insert into messaging.customers_history select 999999, account_id, customer_name, segment, industry, "
            "country, created_date, valid_from, valid_to, _file_id, 999999 from messaging.customers_history "
            "order by valid_from limit 1"
        )
        done = client.post(REPLAY, json=selection(rejected)).json()
        assert (done["counts"]["inserted"], done["counts"]["rejected"]) == (1, 0)
        assert done["admitted_from"] == "2026-03"
        resolved = connection.execute(
            "select resolved_by from waybill.quarantine where (file_id, record) = (%s, %s)", rejected
        ).fetchone()
    assert resolved == ("replay by somebody in the web UI",)
    page = Page(client.get("/operations/quarantine.html?dataset=messaging.traffic&state=resolved").text)
    assert "inserted by replay by somebody" in page.text


@pytest.mark.parametrize("domain", catalog.domains())
def test_every_report_of_every_contract_can_be_shown(
    stack: Stack, warehouse_dsn: str, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each report of each domain, rows of its types give a page, a table and any declared chart."""
    migrate(warehouse_dsn)
    contracts = catalog.reports(domain)
    if not contracts:
        pytest.skip(f"{domain} has no report yet")
    newest = Period.parse("day", "2026-03-31")
    with connect(warehouse_dsn) as connection:
        for contract in contracts.values():
            for cadence in contract.cadences:
                period = Period.of(cadence, newest.start)
                for one in (period.shift(-1), period):
                    fill_report(connection, contract, one)
    reader = stack.database_url("waybill_reader", warehouse_dsn.rpartition("/")[2])
    client = client_of(reader, warehouse_dsn)
    for key in {Period.of(cadence, newest.start).key for one in contracts.values() for cadence in one.cadences}:
        page = Page(client.get(f"/business/{domain}/{key}.html").text)
        check_inert(page)
        assert {a["id"] for tag, a in page.tags if tag == "section" and a.get("id")} <= set(contracts)
        assert all(Decimal(str(a["data-value"])).is_finite() for _, a in page.tags if "data-value" in a)
        for link in page.links:
            if link.endswith((".csv", ".html")):
                assert client.get(posixpath.normpath(f"/business/{domain}/{link}")).status_code in (200, 404)
    shown = {
        str(a["id"])
        for one in contracts.values()
        for tag, a in Page(client.get(f"/business/{domain}/{Period.of(one.cadence, newest.start)}.html").text).tags
        if tag == "section" and a.get("id")
    }
    assert shown == set(contracts)


def test_a_report_that_cannot_be_read_does_not_hide_the_others(stack: Stack, warehouse_dsn: str) -> None:
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        for name in ("top_customers", "segment_share"):
            fill_report(connection, catalog.reports("messaging")[name], month("2026-03"))
        connection.execute("alter table messaging_report.top_customers drop column customer_name")
    reader = stack.database_url("waybill_reader", warehouse_dsn.rpartition("/")[2])
    page = Page(client_of(reader, warehouse_dsn).get("/business/messaging/2026-03.html").text)
    assert "Build the report again." in page.text
    assert len([a for tag, a in page.tags if tag == "tr" and "data-label" in a]) == 12


def test_the_difference_of_two_publications_lists_rows_and_files(
    stack: Stack, dsn: str, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_REPORTS_BUCKET", bucket)
    settings.cache_clear()
    reports = list(catalog.reports("messaging").values())
    path = "/operations/difference.html?report=messaging_report.{}&period=2026-03"
    with database(stack, dsn) as copy, connect(copy) as connection:
        client = client_of(stack.database_url("waybill_reader", copy.rpartition("/")[2]), copy)
        assert "Nothing to compare" in client.get(path.format("segment_share")).text
        publish(connection, s3, "messaging", reports, month("2026-03"), RUN)
        before = {row["segment"]: row["customers_count"] for row in report_rows(connection, "segment_share", "2026-03")}
        assert "Nothing to compare" in client.get(path.format("segment_share")).text

        key = connection.execute(
            "select object_key from waybill.load_file where dataset = 'messaging.customers' and period = '2026-03-01'"
        ).fetchone()[0]  # type: ignore[index]
        body = s3.get_object(Bucket="views-raw", Key=key)["Body"].read()
        lines = (gzip.decompress(body) if key.endswith(".gz") else body).decode().splitlines(keepends=True)
        fewer = "".join(lines[:-20]).encode()
        s3.put_object(Bucket="views-raw", Key=key, Body=gzip.compress(fewer) if key.endswith(".gz") else fewer)
        monkeypatch.setenv("WAYBILL_RAW_BUCKET", "views-raw")
        settings.cache_clear()
        ingest_month(connection, s3, "2026-03")
        build_month(connection, "2026-03", Run("later", "abc123"))
        publish(connection, s3, "messaging", reports, month("2026-03"), RUN)
        after = {row["segment"]: row["customers_count"] for row in report_rows(connection, "segment_share", "2026-03")}
        s3.put_object(Bucket="views-raw", Key=key, Body=body)
        changed = [segment for segment in before if before[segment] != after[segment]]
        page = Page(client.get(path.format("segment_share")).text)
        assert "0 rows added, 0 removed" in page.text
        struck = [a for tag, a in page.tags if tag == "del"]
        assert len(changed) <= len(struck)
        assert all(f"{before[one]} " in page.text and f"{after[one]} " in page.text for one in changed)
        assert sum(before.values()) - sum(after.values()) > 0
        words = " ".join(page.text.split())
        assert f"new {key}" in words
        assert "customers" not in words.partition("no longer")[2].partition("Rows")[0]
        listed = Page(client.get("/operations/changes.html?domain=messaging").text)
        assert key in listed.text
        assert any(
            "difference.html?report=messaging_report.segment_share&period=2026-03" in one for one in listed.links
        )
    settings.cache_clear()


def test_changed_reports_differ_by_cadence_and_name_their_files(dsn: str) -> None:
    """A day, a week and a month may begin on the same day; other datasets' files change nothing."""
    report = "shop_report.revenue_trend"
    with connect(dsn) as connection, connection.transaction(force_rollback=True):

        def load(name: str, dataset: str) -> int:
            file_id = add_file(connection, dataset, name, "2026-06-01")
            change_log.record(connection, dataset, [Period.parse("day", "2026-06-01").start], file_id)
            return file_id

        june = [Period.parse(cadence, key) for cadence, key in (("day", "2026-06-01"), ("week", "2026-W23"))]
        june.append(Period.parse("month", "2026-06"))
        files = [load("sales-1", "shop.transactions"), load("other", "shop.reviews")]
        for period in june:
            change_log.record(connection, report, [period.start], None, period.cadence)
        scope = Scope(("shop",))
        assert rebuilds(connection, scope) == ([], False), "three periods were built, each once"
        files += [load(f"sales-{n}", "shop.transactions") for n in range(2, 32)]
        fill_report(connection, catalog.contracts()[report], june[2])
        connection.execute(
            "update waybill.publication set file_ids = %s where report = %s", ([files[0], *files[2:]], report)
        )
        change_log.record(connection, report, [june[2].start], None, "month")
        ((found,), _) = rebuilds(connection, scope)
        assert found["period"].key == "2026-06"
        assert found["files_count"] == 30
        assert found["files"] == [f"sales-{n}" for n in range(12, 32)]
        place = pages.changes(scope, None, [found])
        assert "20 of 30 files" in Page(place).text


def test_a_replay_in_between_is_named_as_a_cause(
    stack: Stack, dsn: str, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_REPORTS_BUCKET", bucket)
    settings.cache_clear()
    reports = list(catalog.reports("messaging").values())
    path = "/operations/difference.html?report=messaging_report.{}&period=2026-03"
    with database(stack, dsn) as copy, connect(copy) as connection:
        client = client_of(stack.database_url("waybill_reader", copy.rpartition("/")[2]), copy)
        publish(connection, s3, "messaging", reports, month("2026-03"), RUN)
        contents = (
            "select split_part(report, '.', 2), content_sha256 from waybill.publication where period = '2026-03-01'"
        )
        before = dict(connection.execute(contents).fetchall())
        connection.execute(
            "insert into messaging.customers_history select 999999, account_id, customer_name, segment, industry, "
            "country, created_date, valid_from, valid_to, _file_id, 999999 from messaging.customers_history "
            "order by valid_from limit 1 on conflict do nothing"
        )
        contracts = load_all()
        datasets = {one.name: one for one in contracts.values() if one.domain == "messaging"}
        replayed = replay(connection, datasets["traffic"], datasets, Run("replay by lena", "abc123"))
        admitted = [(one, one.books.rows_in - one.books.rejected) for one in replayed]
        assert any(rows for _, rows in admitted)
        build_month(connection, "2026-03", Run("later", "abc123"))
        publish(connection, s3, "messaging", reports, month("2026-03"), RUN)
        after = dict(connection.execute(contents).fetchall())
        name = next(name for name in sorted(after) if after[name] != before[name])
        words = " ".join(Page(client.get(path.format(name)).text).text.split())
        for one, rows in admitted:
            listed = f"replay {rows} row{'' if rows == 1 else 's'} of file {one.file_id} ({one.object_key}): "
            assert (f"{listed}admitted by replay by lena" in words) == (rows > 0)
        build_month(connection, "2026-03", Run("again", "abc123"))
        connection.execute("update waybill.quarantine set resolved_at = '2026-01-01' where resolved_at is not null")
        words = " ".join(Page(client.get(path.format(name)).text).text.split())
        assert "replay" not in words.partition("Rows")[0].replace("no rows were replayed", "")
    settings.cache_clear()


def test_the_site_is_complete_relative_and_written_once(
    dsn: str, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_DASHBOARD_BUCKET", bucket)
    monkeypatch.setenv("WAYBILL_DASHBOARD_PREFIX", "a/b/")
    settings.cache_clear()
    monkeypatch.setenv("WAYBILL_REPORTS_BUCKET", bucket)
    with connect(dsn) as connection:
        for one in MONTHS:
            publish(connection, s3, "messaging", catalog.reports("messaging").values(), month(one), RUN)
        written = publish_dashboard(connection, s3)
    objects = {key.removeprefix("a/b/"): s3.get_object(Bucket=bucket, Key=key) for key in written}
    assert written[-1] == "a/b/index.html"
    assert not [name for name in objects if "operations.html" in name or "quarantine" in name or "loads" in name]
    place = {name: number for number, name in enumerate(objects)}
    for name, found in objects.items():
        assert found["ContentType"].startswith(
            {"html": "text/html", "css": "text/css", "js": "text/javascript", "json": "application/json"}.get(
                name.rpartition(".")[2], ""
            )
        )
        assert found["CacheControl"] == ("public, max-age=86400" if name.startswith("assets/") else "no-cache")
        if not name.endswith(".html"):
            continue
        page = Page(found["Body"].read().decode())
        check_inert(page)
        for link in [link for link in page.links if link != "#content"]:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link.partition("?")[0]))
            assert target in objects, (name, link)
            assert target.endswith(".html") or place[target] < place[name]
    with connect(dsn) as connection:
        assert publish_dashboard(connection, s3) == []
    settings.cache_clear()


def test_the_site_needs_something_to_show(warehouse_dsn: str) -> None:
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection, pytest.raises(Exception, match="No report has been published yet"):
        list(site(connection, None))
    done = CliRunner().invoke(app, ["publish-dashboard"])
    assert (done.exit_code, done.output) == (0, "Nothing to write: No report has been published yet.\n")
