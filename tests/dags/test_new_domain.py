"""`waybill domain new` writes a domain that Airflow runs, and refuses names that cannot be one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from typer.testing import CliRunner

from support.messaging_months import database, migrate
from waybill.cli import app
from waybill.contracts.domains import load_manifest
from waybill.ops.lint import lint
from waybill.settings import PROJECT_ROOT, settings
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def project(include_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the project's contracts, SQL and DAGs."""
    shutil.copytree(PROJECT_ROOT / "dags", include_dir.parent / "dags")
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(include_dir.parent / "dags"))
    return include_dir.parent


def new(*words: str) -> tuple[int, str]:
    """Return the exit code and output of `waybill domain new`."""
    done = CliRunner().invoke(app, ["domain", "new", *words])
    return done.exit_code, done.output


def dag_of(project: Path, domain: str) -> DAG:
    folder = project / "dags" / domain
    bag = BundleDagBag(str(folder), bundle_path=folder, bundle_name="dags-folder")
    assert bag.import_errors == {}
    return bag.dags[f"{domain}_reports"]


def files(project: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_a_domain_is_a_manifest_a_dag_and_folders(project: Path) -> None:
    before = files(project)
    code, output = new("billing")
    assert code == 0, output
    written = ["include/domains/billing.yaml", "dags/billing/billing_reports.py"]
    folders = [f"include/{name}/" for name in ("contracts/billing", "contracts/billing_report", "sql/billing")]
    assert output.splitlines()[:5] == [*written, *folders]
    after = files(project)
    assert {name: text for name, text in after.items() if name in before} == before
    assert sorted(after.keys() - before.keys()) == sorted(str(project / name) for name in written)
    manifest = load_manifest("billing")
    assert (manifest.title, manifest.dag, manifest.semantics, manifest.queue) == (
        "Billing",
        "billing_reports",
        "current",
        True,
    )


def test_the_dag_is_complete_before_there_is_a_dataset(project: Path) -> None:
    new("billing", "--title", "Rechnungen & Gebühren")
    dag = dag_of(project, "billing")
    assert dag.dag_display_name == "Rechnungen & Gebühren: reports on arrival"
    assert dag.task_ids == ["intake", "quality", "reports", "publish", "complete"]
    assert dag.get_task("complete").upstream_task_ids == {"intake", "publish"}
    assert dag.get_task("intake").outlets == []
    shutil.copyfile(project / "include/contracts/orders/lines.yaml", project / "include/contracts/billing/lines.yaml")
    dag = dag_of(project, "billing")
    assert dag.task_ids == ["intake", "quality", "reports", "publish", "complete"], "the tasks stay the same"
    assert [asset.name for asset in dag.get_task("intake").outlets] == ["billing.lines"]  # type: ignore[attr-defined]


def test_the_only_problem_of_a_new_domain_is_that_it_has_no_dataset(project: Path, stack: Stack) -> None:
    new("billing")
    with database(stack) as dsn, connect(dsn) as connection:
        _, problems = lint(connection)
    assert len(problems) == 1
    assert "the domain has no dataset" in problems[0]


def test_an_existing_domain_stays_as_it_is(project: Path) -> None:
    assert new("billing")[0] == 0
    before = files(project)
    for name in ("billing", "orders", "messaging"):
        code, output = new(name, "--title", "Other")
        assert code == 1
        assert f"the domain '{name}' exists: {project}/include/domains/{name}.yaml" in output
    (project / "dags/other.py").write_text('from airflow.sdk import DAG\n\nDAG(dag_id="claims_reports")\n')
    assert "defines the DAG claims_reports" in new("claims")[1]
    (project / "dags/other.py").unlink()
    (project / "include/domains/billing.yaml").unlink()
    code, output = new("billing")
    assert code == 1
    assert "dags/billing/billing_reports.py. Nothing was written." in output
    assert files(project) == {name: text for name, text in before.items() if not name.endswith("domains/billing.yaml")}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Billing", "lower-case letters"),
        ("bil-ling", "lower-case letters"),
        ("1billing", "lower-case letters"),
        ("billing_", "lower-case letters"),
        ("../billing", "lower-case letters"),
        ("a/b", "lower-case letters"),
        ("gebühren", "lower-case letters"),
        ("billing\n", "lower-case letters"),
        ("b" * 41, "lower-case letters"),
        ("user", "reserved word of SQL"),
        ("order", "reserved word of SQL"),
        ("waybill", "schema of PostgreSQL or Waybill"),
        ("public", "schema of PostgreSQL or Waybill"),
        ("pg_billing", "schema of PostgreSQL or Waybill"),
        ("orders_report", "ends like a schema of derived tables (_report, _star)"),
        ("billing_star", "ends like a schema of derived tables (_report, _star)"),
    ],
)
def test_a_bad_name_is_refused_with_the_reason(project: Path, name: str, problem: str) -> None:
    before = files(project)
    code, output = new("--", name)
    assert code == 1
    assert problem in output
    assert files(project) == before


@pytest.mark.parametrize("title", ['"', "a\\b", '"""', "a\nb", "x" * 61, "a\x00b", "a\u2028b"])
def test_a_title_that_would_break_a_file_is_refused(project: Path, title: str) -> None:
    before = files(project)
    code, output = new("billing", "--title", title)
    assert code == 1
    assert "without quotation marks" in output
    assert files(project) == before


@pytest.mark.parametrize("title", ["{name}", "It's", "# 1", "Über: uns", "yes", "1"])
def test_any_other_title_is_the_title_everywhere(project: Path, title: str) -> None:
    code, output = new("billing", "--title", title)
    assert code == 0, output
    assert load_manifest("billing").title == title
    assert dag_of(project, "billing").dag_display_name == f"{title}: reports on arrival"


def test_without_a_title_the_name_is_one(project: Path) -> None:
    new("spare_parts", "--title", " ")
    assert load_manifest("spare_parts").title == "Spare parts"


CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: billing.{name}
name: {name}
version: 1.0.0
status: active
domain: billing
schema:
  - name: {name}
    physicalType: table
    customProperties:
      - {{property: loadMode, value: merge}}
      - {{property: landingDayColumn, value: landed_on}}
      - {{property: rejectThresholdPct, value: 50}}
    properties:
      - {{name: {key}, logicalType: string, physicalType: text, primaryKey: true, required: true}}
      - {{name: payer, logicalType: string, physicalType: text, required: true{reference}}}
      - {{name: landed_on, logicalType: date, physicalType: date, required: true}}
slaProperties:
  - {{property: frequency, value: 1, unit: d}}
"""
REFERENCE = ", relationships: [{to: payers.number}]"


def test_the_intake_of_a_domain_loads_every_dataset_after_those_it_refers_to(
    project: Path, warehouse_dsn: str, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    new("billing")
    intake: Any = dag_of(project, "billing").get_task("intake")
    contracts = project / "include/contracts/billing"
    (contracts / "invoices.yaml").write_text(CONTRACT.format(name="invoices", key="invoice", reference=REFERENCE))
    (contracts / "payers.yaml").write_text(CONTRACT.format(name="payers", key="number", reference=""))
    for name, body in {
        "invoices/a.csv": "invoice,payer\nI1,P1\nI2,P2\nI3,P9\n",
        "invoices/b.csv": "neither,nor\n1,2\n",
        "payers/p.csv": "number,payer\nP1,One\nP2,Two\n",
    }.items():
        s3.put_object(Bucket=bucket, Key=f"raw/billing/{name}", Body=body.encode())

    def run(run_id: str, **params: Any) -> Any:
        every = {"dry_run": False, "file": None, "day": None, "last_day": None}
        dag_run = SimpleNamespace(run_type="manual", data_interval_start=None, data_interval_end=None)
        return intake.execute({"run_id": run_id, "dag_run": dag_run, "params": every | params})

    migrate(warehouse_dsn)
    tried = run("dry", dry_run=True)
    assert len(tried) == 3
    with pytest.raises(AirflowFailException, match=r"(?s)1 of 2 files of billing.invoices were rejected.*b.csv"):
        run("first")
    with connect(warehouse_dsn) as connection:
        assert connection.execute(
            "select object_key, rows_in, inserted, rejected from waybill.load_file "
            "where status = 'loaded' order by file_id"
        ).fetchall() == [("raw/billing/payers/p.csv", 2, 2, 0), ("raw/billing/invoices/a.csv", 3, 2, 1)]
    assert run("second") == {}, "the rejected file is skipped until it changes"
    assert intake.outlets == []
    s3.put_object(Bucket=bucket, Key="raw/billing/payers/q.csv", Body=b"number,payer\nP9,Nine\n")
    assert {key: books["inserted"] for key, books in run("third").items()} == {"raw/billing/payers/q.csv": 1}
    assert [asset.name for asset in intake.outlets] == ["billing.payers"]
    with pytest.raises(AirflowFailException) as caught:
        run("fourth", file="nowhere.csv")
    assert str(caught.value).count("'nowhere.csv' has not landed") == 1
