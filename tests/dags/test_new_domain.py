"""`waybill domain new` writes a domain that Airflow runs, and refuses names that cannot be one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from psycopg import Connection, OperationalError
from typer.testing import CliRunner

from support.landing import MemoryBucket
from support.messaging_months import RUN, database, migrate
from waybill.checks.quality import check_datasets
from waybill.cli import app
from waybill.contracts import load_domain
from waybill.contracts.domains import load_manifest
from waybill.files.receive import receive
from waybill.intake.ingest import ingest_file
from waybill.ops.books import known_gaps
from waybill.ops.lint import lint
from waybill.period import Period
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
        ("orders_report", "ends like a schema of derived tables (_star, _report, _feature)"),
        ("billing_feature", "ends like a schema of derived tables (_star, _report, _feature)"),
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


def run_intake(intake: Any, run_id: str, **params: Any) -> Any:
    every = {"dry_run": False, "file": None, "day": None, "last_day": None}
    dag_run = SimpleNamespace(run_type="manual", data_interval_start=None, data_interval_end=None)
    return intake.execute({"run_id": run_id, "dag_run": dag_run, "params": every | params})


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

    run = partial(run_intake, intake)
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


def test_an_unexpected_error_in_a_dataset_does_not_stop_the_others(
    project: Path, warehouse_dsn: str, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    new("billing")
    intake: Any = dag_of(project, "billing").get_task("intake")
    for name in ("accounts", "bills", "payers"):
        contract = project / f"include/contracts/billing/{name}.yaml"
        contract.write_text(CONTRACT.format(name=name, key="number", reference=""))
        s3.put_object(Bucket=bucket, Key=f"raw/billing/{name}/a.csv", Body=b"number,payer\nA1,One\n")
    s3.put_object(Bucket=bucket, Key="raw/billing/bills/a.csv", Body=b"neither,nor\n1,2\n")
    migrate(warehouse_dsn)

    def fails_for_accounts(s3: Any, file: Any, contract: Any, folder: Path) -> Any:
        if contract.name == "accounts":
            raise ZeroDivisionError("a bug")
        return receive(s3, file, contract, folder)

    with monkeypatch.context() as patch:
        patch.setattr("waybill.intake.ingest.receive", fails_for_accounts)
        with pytest.raises(RuntimeError) as caught:  # not AirflowFailException, so the task is retried
            run_intake(intake, "first")
    assert str(caught.value).startswith("billing.accounts: ZeroDivisionError: a bug\n1 of 1 files of billing.bills ")
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [caught.value.__cause__]
    with connect(warehouse_dsn) as connection:
        loaded = "select object_key from waybill.load_file where status = 'loaded' order by file_id"
        assert connection.execute(loaded).fetchall() == [("raw/billing/payers/a.csv",)]
        with pytest.raises(AirflowFailException, match=r"billing\.bills"):
            run_intake(intake, "first")
        assert connection.execute(loaded).fetchall() == [("raw/billing/payers/a.csv",), ("raw/billing/accounts/a.csv",)]


def test_a_lost_connection_stops_the_intake_at_once(
    project: Path, warehouse_dsn: str, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    new("billing")
    intake: Any = dag_of(project, "billing").get_task("intake")
    for name in ("accounts", "payers"):
        contract = project / f"include/contracts/billing/{name}.yaml"
        contract.write_text(CONTRACT.format(name=name, key="number", reference=""))
    migrate(warehouse_dsn)
    tried = []

    def loses_connection(connection: Connection, _: Any, contract: Any, *__: Any, **___: Any) -> None:
        tried.append(contract.name)
        connection.execute("select pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr("waybill.intake.ingest.ingest_arrived", loses_connection)
    with pytest.raises(OperationalError):
        run_intake(intake, "first")
    assert tried == ["accounts"]


BY_PAYER = """
apiVersion: v3.1.0
kind: DataContract
id: billing_report.{name}_by_payer
name: {name}_by_payer
version: 1.0.0
status: active
domain: billing_report
schema:
  - name: {name}_by_payer
    physicalType: table
    quality:
      - {{name: {name}_by_payer_present, metric: rowCount, mustBeGreaterThan: 0, severity: error}}
    properties:
      - {{name: day, logicalType: date, physicalType: date, primaryKey: true, primaryKeyPosition: 1}}
      - {{name: payer, logicalType: string, physicalType: text, primaryKey: true, primaryKeyPosition: 2}}
      - {{name: number_count, logicalType: integer, physicalType: bigint, required: true}}
slaProperties:
  - {{property: frequency, value: 1, unit: d}}
"""
BY_PAYER_SQL = """
select %(period_start)s::date as day, payer, count(*) as number_count
from billing.{name}
where landed_on >= %(period_start)s and landed_on < %(period_end)s
group by payer
"""
PRESENT = """
    quality:
      - {{name: {name}_present, metric: rowCount, mustBeGreaterThan: 0, severity: error}}
    properties:"""
LATENCY = "  - {{property: latency, value: 2, unit: d, element: {name}.landed_on}}\n"


def test_a_dataset_that_has_not_arrived_holds_nothing_back(
    project: Path, warehouse_dsn: str, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    monkeypatch.setenv("WAYBILL_REPORTS_BUCKET", bucket)
    settings.cache_clear()
    new("billing")
    for name in ("invoices", "payments"):
        contract = (CONTRACT + LATENCY).format(name=name, key="number", reference="")
        contract = contract.replace("\n    properties:", PRESENT.format(name=name))
        (project / f"include/contracts/billing/{name}.yaml").write_text(contract)
        report = f"{name}_by_payer"
        (project / f"include/contracts/billing_report/{report}.yaml").write_text(BY_PAYER.format(name=name))
        (project / f"include/sql/billing/{report}.sql").write_text(BY_PAYER_SQL.format(name=name))
    dag: Any = dag_of(project, "billing")
    params = {"dry_run": False, "file": None, "day": None, "last_day": None}

    def run(run_id: str) -> list[Any]:
        """Run the tasks of the DAG in their order, and return what they return."""
        dag_run = SimpleNamespace(run_type="manual", data_interval_start=None, data_interval_end=None)
        context = {"run_id": run_id, "dag_run": dag_run, "params": params, "dag": dag}
        return [dag.get_task(name).execute(context) for name in ("intake", "quality", "reports", "publish")]

    def gaps(connection: Connection) -> list[str]:
        return [str(gap) for gap in known_gaps(connection, "billing", [Period.parse("day", day)])]

    migrate(warehouse_dsn)
    s3.put_object(Bucket=bucket, Key="raw/billing/invoices/a.csv", Body=b"number,payer\nI1,P1\nI2,P1\n")
    intake, quality, reports, published = run("first")
    assert [*intake] == ["raw/billing/invoices/a.csv"]
    [day] = reports["billing_report.invoices_by_payer"]
    assert [*reports] == ["billing_report.invoices_by_payer"], "the other report waits for its dataset"
    assert quality == {f"billing.invoices.invoices_{name} {day}": True for name in ("present", "freshness")}
    assert any("invoices_by_payer" in key for key in published)
    assert not any("payments_by_payer" in key for key in published)
    with connect(warehouse_dsn) as connection:
        checks = connection.execute("select check_name from waybill.check_result order by 1").fetchall()
        assert checks == [("invoices_by_payer_present",), ("invoices_freshness",), ("invoices_present",)]
        assert gaps(connection) == []
    s3.put_object(Bucket=bucket, Key="raw/billing/payments/b.csv", Body=b"number,payer\nX1,P1\n")
    with connect(warehouse_dsn) as connection:
        ingested = dag.get_task("intake").execute(
            {"run_id": "second", "dag_run": SimpleNamespace(run_type="manual"), "params": params}
        )
        assert [*ingested] == ["raw/billing/payments/b.csv"]
        assert gaps(connection) == [f"{day} billing_report.payments_by_payer: nothing was loaded or built"], (
            "a report whose dataset has arrived is missing until it is built"
        )
    assert run("third")[2] == {"billing_report.payments_by_payer": [day]}


def test_a_dataset_that_stays_away_is_still_checked_for_freshness(
    project: Path, warehouse_dsn: str, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new("billing")
    contract = (CONTRACT + LATENCY).format(name="payers", key="number", reference="")
    (project / "include/contracts/billing/payers.yaml").write_text(
        contract.replace("\n    properties:", PRESENT.format(name="payers"))
    )
    contracts, memory = load_domain("billing"), MemoryBucket()
    landed, later = Period.parse("day", "2026-03-02"), Period.parse("day", "2026-03-09")
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        assert check_datasets(connection, contracts.values(), [landed], RUN) == [], "no file has ever arrived"
        at = datetime(2026, 3, 2, 12, tzinfo=UTC)
        file = memory.put("billing", "payers", landed, b"number,payer\nP1,One\n", "p.csv", at)
        assert ingest_file(connection, memory, file, contracts["payers"], contracts, RUN)
        results = check_datasets(connection, contracts.values(), [landed, later], RUN)
    assert [(result.check.name, str(result.period), result.passed) for result in results] == [
        ("payers_present", "2026-03-02", True),
        ("payers_freshness", "2026-03-02", True),
        ("payers_freshness", "2026-03-09", False),
    ]
