"""A newcomer adds a dataset by one contract, a mart by SQL and its contract, and a domain by the page about it."""

from __future__ import annotations

import re
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from typer.testing import CliRunner

from support.landing import LANDED_AT, MemoryBucket
from support.messaging_months import RUN, database
from waybill.cli import app
from waybill.contracts import load_domain
from waybill.derived.refresh import refresh
from waybill.intake.ingest import ingest_file
from waybill.ops.lint import lint
from waybill.ops.provenance import trace
from waybill.period import Period
from waybill.settings import PROJECT_ROOT
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

SUPPLIERS = """
apiVersion: v3.1.0
kind: DataContract
id: shop.suppliers
name: suppliers
version: 1.0.0
status: active
domain: shop
schema:
  - name: suppliers
    physicalType: table
    customProperties:
      - {property: loadMode, value: snapshot}
      - {property: rejectThresholdPct, value: 5}
    properties:
      - {name: supplier, logicalType: string, physicalType: text, primaryKey: true, required: true}
      - name: country
        logicalType: string
        physicalType: text
        required: true
        logicalTypeOptions: {pattern: "[A-Z]{2}"}
slaProperties:
  - {property: frequency, value: 1, unit: d}
"""
MART = """
apiVersion: v3.1.0
kind: DataContract
id: shop_report.suppliers_by_country
name: suppliers_by_country
version: 1.0.0
status: active
domain: shop_report
schema:
  - name: suppliers_by_country
    physicalType: table
    properties:
      - {name: day, logicalType: date, physicalType: date, primaryKey: true, primaryKeyPosition: 1}
      - {name: country, logicalType: string, physicalType: text, primaryKey: true, primaryKeyPosition: 2}
      - {name: suppliers, logicalType: integer, physicalType: bigint, required: true}
slaProperties:
  - {property: frequency, value: 1, unit: d}
"""
MART_SQL = """
select %(period_start)s::date as day, country, count(*) as suppliers
from shop.suppliers_as_of(%(period_end)s)
group by country
"""
DAY = Period.parse("day", "2026-03-02")


def test_a_dataset_and_a_mart_are_added_without_touching_a_dag(stack: Stack, include_dir: Path) -> None:
    (include_dir / "contracts/shop/suppliers.yaml").write_text(SUPPLIERS)
    (include_dir / "contracts/shop_report/suppliers_by_country.yaml").write_text(MART)
    (include_dir / "sql/shop/suppliers_by_country.sql").write_text(MART_SQL)

    folder = PROJECT_ROOT / "dags" / "shop"
    dag = BundleDagBag(str(folder), bundle_path=folder, bundle_name="dags-folder").dags["shop_daily"]
    assert "intake_suppliers" in dag.get_task("processed").upstream_task_ids

    contracts, bucket = load_domain("shop"), MemoryBucket()
    body = b"Supplier,Country\nAcme,DE\nBolt,FR\nCogs,DE\nDust,x\n" + b"".join(b"S%d,IT\n" % n for n in range(20))
    with database(stack) as dsn, connect(dsn) as connection:
        file = bucket.put("shop", "suppliers", DAY, body, "suppliers.csv")
        books = ingest_file(connection, bucket, file, contracts["suppliers"], contracts, RUN)
        assert books
        assert (books.rows_in, books.inserted, books.rejected) == (24, 23, 1)
        assert refresh(connection, "shop", "shop_report", RUN)["shop_report.suppliers_by_country"] == [DAY.key]
        rows = connection.execute("select * from shop_report.suppliers_by_country order by country").fetchall()
        assert rows == [(date(2026, 3, 2), country, number) for country, number in (("DE", 2), ("FR", 1), ("IT", 20))]
        waybill = trace(connection, "suppliers_by_country", DAY)
        assert waybill.inputs == ["shop.suppliers"]
        assert [one["object_key"] for one in waybill.files] == [file.key]


FILES = re.compile(r"`((?:include|dags)/[\w/.]+)`[^`]*```(?:yaml|sql|python)\n(.*?)```", re.DOTALL)


def test_the_page_about_domains_leads_to_a_report(
    stack: Stack, stack_environment: dict[str, str], include_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (PROJECT_ROOT / "docs/do/add-domain.md").read_text()
    project = include_dir.parent
    shutil.copytree(PROJECT_ROOT / "dags", project / "dags")
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(project / "dags"))
    files = FILES.findall(page)
    assert len(files) == 4
    assert CliRunner().invoke(app, re.findall(r"(?m)^\$ waybill (domain new .*)$", page)[0].split()).exit_code == 0
    for name, text in files:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    [tickets] = re.findall(r"```text\n(Ticket No.*?)```", page, re.DOTALL)

    folder = project / "dags" / "parking"
    bag = BundleDagBag(str(folder), bundle_path=folder, bundle_name="dags-folder")
    assert bag.import_errors == {}
    assert bag.dags["parking_reports"].task_ids == ["intake", "quality", "reports", "publish", "complete"]

    contracts, bucket, day = load_domain("parking"), MemoryBucket(), Period.of("day", LANDED_AT.date())
    with database(stack) as dsn, connect(dsn) as connection:
        assert lint(connection)[1] == []
        file = bucket.put("parking", "tickets", day, tickets.encode(), "tickets.csv")
        books = ingest_file(connection, bucket, file, contracts["tickets"], contracts, RUN)
        assert books
        assert (books.rows_in, books.inserted, books.rejected) == (5, 3, 2)
        reasons = connection.execute("select record, reasons from waybill.quarantine order by record").fetchall()
        assert reasons == [(4, ["rule:leaves_after_entering"]), (5, ["enum:garage"])]
        assert refresh(connection, "parking", "parking_report", RUN) == {"parking_report.garage_revenue": [day.key]}
        rows = connection.execute(
            "select garage, revenue_eur, tickets_count from parking_report.garage_revenue order by garage"
        ).fetchall()
        assert rows == [("North", Decimal("6.50"), 2), ("South", Decimal("12.00"), 1)]

    (project / "tickets.csv").write_text(tickets)
    drop = ["drop", str(project / "tickets.csv")]
    answer = CliRunner().invoke(app, drop).output
    assert "s3://waybill-raw/raw/parking/tickets/tickets.csv" in answer, "the header identifies the dataset"
    assert "The DAG parking_reports publishes to " in answer
    (folder / "parking_reports.py").unlink()
    answer = CliRunner().invoke(app, drop).output
    assert f"parking.yaml names parking_reports, and no file in {project}/dags defines it" in answer
    (include_dir / "domains/parking.yaml").unlink()
    answer = CliRunner().invoke(app, drop).output
    assert "To add the domain, run `waybill domain new parking`." in answer
