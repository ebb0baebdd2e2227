"""Runs of a month, executed by Airflow with a real warehouse and S3."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.utils.db import initdb
from psycopg import sql

from oracles.messaging import expected
from support.messaging_months import migrate, put, sample
from support.openlineage import faults
from waybill.contracts.feature_views import feature_views
from waybill.contracts.locations import report_files
from waybill.operators import FreshnessOperator, PublishDashboardOperator
from waybill.ops.books import balances, incomplete
from waybill.period import Period
from waybill.settings import PROJECT_ROOT, settings
from waybill.warehouse.connection import connect
from waybill_devtools.sampledata.ground_truth import differences
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from psycopg import Connection

FIRST, LAST = "2026-01", "2026-02"
DATA = sample(LAST, 2, scale=0.3)
TRAFFIC = f"raw/messaging/traffic/month={FIRST}/traffic_{FIRST}.csv"


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """The database of Airflow in the home folder of the tests."""
    initdb()


@pytest.fixture
def dag() -> DAG:
    """The DAG, parsed for each test because its operators keep their clients."""
    folder = PROJECT_ROOT / "dags"
    found = BundleDagBag(str(folder), bundle_path=folder, bundle_name="dags-folder").dags["messaging_monthly"]
    assert isinstance(found, DAG)
    return found


@pytest.fixture
def warehouse(warehouse_dsn: str) -> str:
    """The address of the warehouse of Airflow's connection."""
    migrate(warehouse_dsn)
    return warehouse_dsn


@pytest.fixture
def raw(bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty raw bucket, which is also the bucket of reports."""
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    monkeypatch.setenv("WAYBILL_REPORTS_BUCKET", bucket)
    settings.cache_clear()
    yield bucket
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def landed(raw: str, s3: S3Client) -> str:
    """The raw bucket with the files of two months."""
    put(s3, raw, DATA)
    return raw


def context(**names: Any) -> dict[str, Any]:
    """Return the context of a task, with the month as partition key or as parameter."""
    run = SimpleNamespace(
        run_type=names.get("run_type", "manual"),
        partition_key=names.get("partition_key"),
        data_interval_start=None,
        data_interval_end=None,
        start_date=names.get("start_date", datetime(2026, 4, 1, tzinfo=UTC)),
    )
    return {
        "dag": SimpleNamespace(dag_id="alone"),
        "dag_run": run,
        "params": {"month": names.get("month")},
        "run_id": "run",
        "ti": SimpleNamespace(xcom_push=lambda **_: None),
    }


def execute(dag: DAG, task_id: str, month: str = LAST) -> Any:
    task = dag.get_task(task_id)
    assert isinstance(task, BaseOperator)
    return task.execute(context(partition_key=month))  # type: ignore[arg-type]  # the part of it that is used


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def alerts() -> list[dict[str, str]]:
    """Return the messages in the stack's queue of alerts since the last call."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="waybill-alerts")["QueueUrl"]
    found = []
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in batch:
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def events(run: Any) -> set[str]:
    """Return the assets for which a run has emitted events."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(AssetModel.name).join(AssetEvent, AssetEvent.asset_id == AssetModel.id)
    with create_session() as session:
        return set(session.scalars(query.where(AssetEvent.source_run_id == run.run_id)))


def states(run: Any) -> dict[str, str | None]:
    return {task.task_id: task.state for task in run.get_task_instances()}


def run_month(dag: DAG, month: str) -> Any:
    dag.deadline = None  # with one, `dag.test` itself fails at the end of a run
    return dag.test(run_after=datetime.now(UTC), logical_date=None, run_conf={"month": month})


@pytest.fixture
def everything_is_sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Enable measurements and success messages of scheduled runs; must come before the DAG is parsed."""
    for name in ("WAYBILL_METRICS", "WAYBILL_NOTIFY_SCHEDULED"):
        monkeypatch.setenv(name, "true")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def measured(dag_id: str) -> dict[tuple[str, ...], tuple[str, float]]:
    """Return the metrics of a DAG in CloudWatch: unit and sum (the maximum of ages) by name, DAG and dataset."""
    cloudwatch, found = boto3.client("cloudwatch"), {}
    of_dag = [{"Name": "Pipeline", "Value": dag_id}]
    for metric in cloudwatch.list_metrics(Namespace="Waybill", Dimensions=of_dag)["Metrics"]:  # type: ignore[arg-type]
        now = datetime.now(UTC)
        [point] = cloudwatch.get_metric_statistics(
            Namespace="Waybill",
            MetricName=metric["MetricName"],
            Dimensions=metric["Dimensions"],  # type: ignore[arg-type]
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Sum", "Maximum"],
        )["Datapoints"]
        where = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        value = point["Maximum" if metric["MetricName"] == "FreshnessHours" else "Sum"]
        found[metric["MetricName"], *where.values()] = point["Unit"], value
    return found


def hours_since(month: str) -> float:
    """Return the hours since the end of the period."""
    _, ends = Period.parse("month", month).instants("UTC")
    return (datetime.now(UTC) - ends).total_seconds() / 3600


@contextmanager
def lineage_events(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write the events of OpenLineage to a file. Airflow adds the listener at its start if there is a transport."""
    from airflow.listeners.listener import get_listener_manager
    from airflow.providers.openlineage.plugins.listener import OpenLineageListener
    from airflow.sdk.listener import get_listener_manager as get_listener_manager_of_tasks

    to = {"type": "file", "log_file_path": str(path), "append": True}
    transport = {"type": "waybill.outputs.lineage_transport.NamesOnlyTransport", "to": to}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__NAMESPACE", "waybill")
    get_listener_manager().add_listener(OpenLineageListener())
    try:
        yield
    finally:
        for manager in (get_listener_manager(), get_listener_manager_of_tasks()):
            for listener in manager.pm.get_plugins():  # also the one that Airflow has added, since there is a transport
                if isinstance(listener, OpenLineageListener):
                    manager.pm.unregister(listener)
                    listener.before_stopping(None)  # ends the process that sends the events of runs


def check_events(path: Path, run: Any, connection: Connection) -> None:
    """Compare the events of a run with the specification, the ledger and the reports."""
    lines = path.read_text().splitlines()
    sent = [json.loads(line) for line in lines]
    assert [fault for one in sent for fault in faults(one)] == []
    ended = {
        task: one for one in sent if one["eventType"] == "COMPLETE" and (task := one["job"]["name"].partition(".")[2])
    }
    assert ended.keys() == states(run).keys()
    assert {one["job"]["namespace"] for one in sent} == {"waybill"}
    for dataset, totals in DATA.ground_truth["totals_by_dataset"].items():
        one = ended[f"intake_{dataset}"]
        assert [place["name"] for place in one["inputs"]] == [f"raw/messaging/{dataset}"]
        assert one["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == totals["rows_in"]
        rows = [place["outputFacets"]["outputStatistics"]["rowCount"] for place in one["outputs"]]
        assert rows == [totals["inserted"] + totals["updated"], totals["rejected"]]
    built = connection.execute(
        "select split_part(report, '.', 2), row_count, content_sha256 from waybill.publication "
        "where report ~ '^messaging_report'"
    ).fetchall()
    assert built
    for name, number, content in built:
        [report] = ended[name]["outputs"]
        assert report["outputFacets"]["outputStatistics"]["rowCount"] == number
        assert report["facets"]["version"]["datasetVersion"] == content
        assert report["facets"]["columnLineage"]["dataset"]
    published = {place["name"].rpartition("/")[2] for place in ended["publish"]["outputs"]}
    assert published == {name for name, *_ in built}
    views = {place["name"].rpartition(".")[2] for place in ended["features"]["outputs"]}
    assert views == {view.contract.name for view in feature_views("messaging")}
    text = "\n".join(lines)
    names = connection.execute("select distinct customer_name from messaging.customers").fetchall()
    assert len(names) > 10
    assert [name for (name,) in names if f'"{name}"' in text or (" " in name and name in text)] == []
    assert connection.info.password not in text


def test_the_whole_run_of_a_month(
    everything_is_sent: None,
    dag: DAG,
    airflow_database: None,
    warehouse: str,
    landed: str,
    s3: S3Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alerts()
    with lineage_events(tmp_path / "events.jsonl", monkeypatch):
        run = run_month(dag, LAST)
    assert run.state == "success"
    assert set(states(run).values()) == {"success"}
    with connect(warehouse) as connection:
        check_events(tmp_path / "events.jsonl", run, connection)
    months = [Period.parse("month", key) for key in (FIRST, LAST)]
    with connect(warehouse) as connection:
        assert differences(connection, "messaging", DATA.ground_truth) == []
        counted = balances(connection, "messaging", months)
        assert sum(row["files"] for row in counted) == len(DATA.files)
        assert sum(row["rows_in"] for row in counted) == DATA.ground_truth["totals"]["rows_in"]
        oracle = expected([(file.key, file.body) for file in DATA.files], LAST)
        built = connection.execute("select report, row_count, run_id from waybill.publication").fetchall()
        assert {by for report, _, by in built if report.startswith("messaging_feature.")} == {run.run_id}
        assert {name: (rows, by) for name, rows, by in built if name.startswith("messaging_report.")} == {
            f"messaging_report.{name}": (len(rows), run.run_id) for name, rows in oracle.items()
        }
        builds = "select * from waybill.publication order by report, cadence, period"
        first = connection.execute(builds).fetchall()
        again = run_month(dag, LAST)  # changes nothing
        assert again.state == "success"
        assert events(run) == {f"messaging.{name}" for name in ("customers", "channels", "traffic")} | {
            "messaging_report"
        }
        assert events(again) == set(), "nothing was loaded and nothing published"
        hashes = dict(connection.execute("select report, sql_sha256 from waybill.publication"))
        assert {name: found for name, found in hashes.items() if found and "_report." in name} == {
            f"messaging_report.{path.stem}": hashlib.sha256(path.read_bytes()).hexdigest()
            for path in report_files("messaging")
        }
        assert connection.execute(builds).fetchall() == first
    manifest = json.load(s3.get_object(Bucket=landed, Key="analytics/2026/02/28/manifest_messaging.json")["Body"])
    assert (manifest["last_day"], manifest["run_id"]) == ("2026-02-28", again.run_id)
    assert len(manifest["objects"]) == 2 * len(oracle)
    site: Any = PublishDashboardOperator(task_id="site")  # as its DAG does when reports were published
    assert site.execute({}) > len(oracle)
    first_page = s3.head_object(Bucket=settings().dashboard_bucket, Key="index.html")
    assert (first_page["ContentType"], first_page["CacheControl"]) == ("text/html; charset=utf-8", "no-cache")
    assert site.execute({}) == 0
    [alert] = alerts()  # of the run that changed something
    assert alert["Subject"].startswith(f"messaging_monthly {LAST}: the run {run.run_id}"[:99])
    files = len(DATA.files)
    assert f"loaded {files} files and updated {len(oracle)} reports" in alert["Message"]
    assert f"top_customers: {LAST}, in s3://{landed}/analytics/2026/02/28/; " in alert["Message"]
    found = measured("messaging_monthly")
    for dataset, totals in DATA.ground_truth["totals_by_dataset"].items():
        for name, number in (
            ("RowsIn", totals["rows_in"]),
            ("RowsLoaded", totals["inserted"] + totals["updated"] + totals["unchanged"]),
            ("RowsRejected", totals["rejected"]),
            ("RowsDuplicate", totals["duplicate"]),
            ("QualityErrors", 0),
            ("QualityWarnings", 0),
        ):
            assert found[name, "messaging_monthly", dataset] == ("Count", number), (name, dataset)
        assert found["LoadSeconds", "messaging_monthly", dataset][0] == "Seconds"
        assert found["FreshnessHours", "messaging_monthly", dataset] == (
            "None",
            pytest.approx(hours_since(LAST), abs=1),
        )
    assert found["RunFailed", "messaging_monthly"] == ("Count", 0)
    assert found["RunSeconds", "messaging_monthly"][0] == "Seconds"


def test_a_dry_run_validates_files_and_loads_nothing(
    dag: DAG, airflow_database: None, warehouse: str, landed: str, s3: S3Client
) -> None:
    dag.deadline = None
    body = s3.get_object(Bucket=landed, Key=TRAFFIC)["Body"].read()
    s3.put_object(Bucket=landed, Key=TRAFFIC, Body=body.replace(b"revenue_eur", b"turnover", 1))
    conf = {"month": FIRST, "dry_run": True, "datasets": ["channels", "traffic"]}
    run = dag.test(run_after=datetime.now(UTC), logical_date=None, run_conf=conf)
    assert run.state == "success"
    found = states(run)
    assert {found[name] for name in ("landed", "intake_customers", "intake_channels", "intake_traffic")} == {"success"}
    assert {found[name] for name in ("quality", "top_customers", "publish")} == {"skipped"}
    assert events(run) == set()
    with connect(warehouse) as connection:
        for table in ("load_file", "quarantine", "rejected_file"):
            assert connection.execute(sql.SQL("select from waybill.{}").format(sql.Identifier(table))).fetchall() == []
    params = {"month": FIRST, "dry_run": True, "datasets": ["customers"]}
    validated, skipped, rejected = (
        dag.get_task(f"intake_{name}").execute({**context(), "params": params | chosen})  # type: ignore[union-attr,arg-type]
        for name, chosen in (("customers", {}), ("channels", {}), ("traffic", {"datasets": ["traffic"]}))
    )
    injected = {file["key"]: file for file in DATA.ground_truth["files"]}
    assert len(validated) == 1
    for key, one in validated.items():
        assert one["rows_in"] == injected[key]["rows_in"]
        assert 0 < one["rejected"] <= len(injected[key]["rejected"])
    assert skipped == {}
    assert "missing: revenue_eur" in rejected[TRAFFIC]["file_rejected"]


@pytest.mark.parametrize("conf", [{"Month": LAST}, {"month": LAST, "dry": True}], ids=str)
def test_a_run_with_an_unknown_parameter_fails_before_anything_is_loaded_with_one_alert(
    conf: dict[str, Any], dag: DAG, airflow_database: None, warehouse: str, landed: str
) -> None:
    dag.deadline = None
    alerts()
    run = dag.test(run_after=datetime.now(UTC), logical_date=None, run_conf=conf)
    assert run.state == "failed"
    assert set(states(run).values()) == {"failed", "upstream_failed"}
    [task] = [task for task in run.get_task_instances() if task.state == "failed"]
    assert (task.task_id, task.try_number) == ("landed", 1)
    [alert] = alerts()
    unknown = "dry" if "dry" in conf else "Month"
    accepted = "messaging_monthly accepts datasets, dry_run, month. Nothing was loaded or changed."
    assert f"Cause: unknown parameter {unknown!r}: {accepted} Did you mean " in alert["Message"]
    with connect(warehouse) as connection:
        for table in ("load_file", "quarantine", "rejected_file"):
            assert connection.execute(sql.SQL("select from waybill.{}").format(sql.Identifier(table))).fetchall() == []


def test_a_bad_file_fails_the_run_at_once_with_one_alert(
    dag: DAG, airflow_database: None, warehouse: str, landed: str, s3: S3Client
) -> None:
    body = s3.get_object(Bucket=landed, Key=TRAFFIC)["Body"].read()
    s3.put_object(Bucket=landed, Key=TRAFFIC, Body=body.replace(b"revenue_eur", b"turnover", 1))
    alerts()
    run = run_month(dag, LAST)
    assert run.state == "failed"
    found = states(run)
    assert {name: found[name] for name in ("landed", "intake_channels", "intake_traffic", "quality", "publish")} == {
        "landed": "success",
        "intake_channels": "success",
        "intake_traffic": "failed",
        "quality": "upstream_failed",
        "publish": "upstream_failed",
    }
    [task] = [task for task in run.get_task_instances() if task.task_id == "intake_traffic"]
    assert task.try_number == 1
    [alert] = alerts()
    assert alert["Subject"].startswith(f"messaging_monthly {LAST}: the run manual__")
    assert "failed in the task intake_traffic" in alert["Message"]
    assert f"Cause: s3://{landed}/{TRAFFIC}: " in alert["Message"]
    assert "missing: revenue_eur" in alert["Message"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda body: body.replace(b"revenue_eur", b"turnover", 1), "Required columns? .*missing: revenue_eur"),
        (
            lambda body: body.replace(b"\n2", b"\n2x").replace(b"\n1", b"\n1x"),
            r"[\d,]+ of [\d,]+ rows do not meet the contract of messaging\.traffic .* allows 5 % .*type:traffic_id in",
        ),
        (lambda _: b"", r"the file is empty \(0 bytes\)"),
    ],
    ids=["column", "rejects", "empty"],
)
def test_a_bad_file_is_not_retried_and_the_message_names_the_error(
    damage: Any, message: str, dag: DAG, warehouse: str, landed: str, s3: S3Client
) -> None:
    for name in ("customers", "channels"):
        assert execute(dag, f"intake_{name}", FIRST)
    body = s3.get_object(Bucket=landed, Key=TRAFFIC)["Body"].read()
    s3.put_object(Bucket=landed, Key=TRAFFIC, Body=damage(body))
    with pytest.raises(AirflowFailException, match=f"(?s)s3://{landed}/{TRAFFIC}: {message}"):
        execute(dag, "intake_traffic", FIRST)
    with connect(warehouse) as connection:
        [(key, recorded)] = connection.execute("select object_key, message from waybill.rejected_file").fetchall()
    assert key == TRAFFIC
    assert f"s3://{landed}/{TRAFFIC}" in recorded
    s3.put_object(Bucket=landed, Key=TRAFFIC, Body=body)  # corrected, uploaded again under the same name, task cleared
    assert list(execute(dag, "intake_traffic", FIRST)) == [TRAFFIC]


def test_checks_that_fail_are_not_retried(dag: DAG, warehouse: str, raw: str, s3: S3Client) -> None:
    put(s3, raw, DATA, [FIRST])
    for name in ("customers", "channels", "traffic"):
        execute(dag, f"intake_{name}", FIRST)
    with pytest.raises(AirflowFailException, match=r"messaging\.traffic 2026-02: traffic_present is 0, must be > 0"):
        execute(dag, "quality", LAST)
    with pytest.raises(AirflowFailException, match=r"not built: .* for 2026-02"):
        execute(dag, "publish", LAST)


def test_an_unsent_measurement_fails_nothing_and_a_failed_check_is_measured(
    everything_is_sent: None,
    dag: DAG,
    warehouse: str,
    raw: str,
    s3: S3Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put(s3, raw, DATA, [FIRST])
    with monkeypatch.context() as away, caplog.at_level("WARNING"):
        away.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", f"http://127.0.0.1:{closed_port()}")
        for name in ("customers", "channels", "traffic"):
            assert execute(dag, f"intake_{name}", FIRST)
    assert caplog.text.count("the measurements did not reach CloudWatch") == 3
    with pytest.raises(AirflowFailException, match="quality checks failed"):
        execute(dag, "quality", LAST)
    with connect(warehouse) as connection:
        failed = connection.execute(
            "select initcap(severity), split_part(subject, '.', 2), count(*) from waybill.check_result "
            "where not passed group by 1, 2"
        ).fetchall()
    found = {(metric, name): value for (metric, _, name), (_, value) in measured("alone").items()}
    assert failed
    assert {key: value for key, value in found.items() if value} == {
        (f"Quality{severity}s", name): count for severity, name, count in failed
    }
    datasets = {"customers", "channels", "traffic"}
    assert found.keys() == {(f"Quality{kind}", name) for kind in ("Errors", "Warnings") for name in datasets}
    hours = FreshnessOperator(task_id="freshness").execute(context())
    age = pytest.approx(hours_since(FIRST), abs=1)
    assert hours == {f"messaging.{name}": age for name in datasets}, "nothing of other domains is loaded"
    assert measured("messaging_monthly")["FreshnessHours", "messaging_monthly", "traffic"] == ("None", age)


@pytest.mark.parametrize(
    "names",
    [{}, {"month": "2026-13"}, {"partition_key": "2026-1-1"}, {"month": "2026-01", "partition_key": "2026-02"}],
    ids=str,
)
def test_a_run_without_exactly_one_month_fails_at_once(
    names: dict[str, str], dag: DAG, warehouse: str, raw: str
) -> None:
    for task in dag.tasks:
        assert isinstance(task, BaseOperator)
        with pytest.raises(AirflowFailException, match=r"has no month|not a month|is 2026-01, but .* key .* 2026-02"):
            task.execute(context(**names))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["AIRFLOW_CONN_WAYBILL_WAREHOUSE", "AWS_ENDPOINT_URL_S3"])
def test_errors_of_the_infrastructure_are_retried(
    name: str, dag: DAG, warehouse: str, landed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = f"127.0.0.1:{closed_port()}"
    monkeypatch.setenv(name, f"http://{away}" if name.startswith("AWS") else f"postgresql://etl:x@{away}/warehouse")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    task_ids = ["intake_customers"]
    task_ids += ["quality", "top_customers", "segment_share", "publish"] if "WAREHOUSE" in name else ["landed"]
    for task_id in task_ids:
        with pytest.raises(Exception, match=r"(?i)connect") as caught:
            execute(dag, task_id)
        assert not isinstance(caught.value, AirflowFailException), task_id


def test_a_manual_run_does_not_wait_for_a_month_that_is_not_over(
    dag: DAG, raw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task: Any = dag.get_task("landed")
    monkeypatch.setenv("WAYBILL_TIMEZONE", "America/New_York")
    settings.cache_clear()
    for began, run_type, outcome in (
        ("2026-04-01T03:59:59+00:00", "manual", AirflowFailException),
        ("2026-04-01T03:59:59+00:00", "backfill", AirflowFailException),
        ("2026-04-01T03:59:59+00:00", "scheduled", TaskDeferred),
        ("2026-04-01T04:00:00+00:00", "manual", TaskDeferred),
    ):
        with pytest.raises(outcome) as caught:
            task.execute(context(month="2026-03", run_type=run_type, start_date=datetime.fromisoformat(began)))
        if outcome is AirflowFailException:
            assert "2026-03 is not over: it ends at 2026-04-01 04:00 UTC" in str(caught.value)


def test_the_sensor_waits_for_every_dataset_without_a_worker(
    dag: DAG, raw: str, s3: S3Client, stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    bodies = {file.dataset: file for file in DATA.files if file.period == FIRST}
    for name in ("customers", "channels"):
        s3.put_object(Bucket=raw, Key=bodies[name].key, Body=bodies[name].body)
    prefix = f"raw/messaging/traffic/month={FIRST}/"
    for marker in ("", "_SUCCESS", ".part-1.csv", "folder/", "a.csv.md5", "b.csv.filepart", "_temporary/c.csv"):
        s3.put_object(Bucket=raw, Key=prefix + marker, Body=b"")
    with pytest.raises(TaskDeferred) as deferred, caplog.at_level("INFO"):
        execute(dag, "landed", FIRST)
    assert f"waiting for traffic under s3://{raw}/raw/messaging/<dataset>/month={FIRST}/" in caplog.text
    trigger = deferred.value.trigger
    _, arguments = trigger.serialize()
    assert set(arguments["datasets"]) == {"customers", "channels", "traffic"}
    arguments["poke_interval"] = 0.2
    waiting = type(trigger)(**arguments)

    async def first_event() -> Any:
        async def land() -> None:
            await asyncio.sleep(1)
            s3.put_object(Bucket=raw, Key=bodies["traffic"].key, Body=bodies["traffic"].body)

        landing = asyncio.create_task(land())
        event = await anext(aiter(waiting.run()))
        await landing
        return event

    event = asyncio.run(asyncio.wait_for(first_event(), 30))
    assert event.payload == {"status": "success"}
    task: Any = dag.get_task("landed")
    assert getattr(task, deferred.value.method_name)(context(partition_key=FIRST), event.payload) is None
    execute(dag, "landed", FIRST)  # all are there: it does not wait
    with pytest.raises(TaskDeferred):
        execute(dag, "landed", LAST)


def test_the_sensor_fails_at_once_for_a_folder_that_names_no_month_until_it_is_moved(
    dag: DAG, warehouse: str, landed: str, s3: S3Client
) -> None:
    """Spark and Glue write integers without padding."""
    sent = s3.get_object(Bucket=landed, Key=TRAFFIC)["Body"].read()
    s3.delete_object(Bucket=landed, Key=TRAFFIC)
    unpadded = "raw/messaging/traffic/month=2026-1/traffic.csv"
    s3.put_object(Bucket=landed, Key=unpadded, Body=sent)
    message = (
        f"s3://{landed}/{unpadded}: 'month=2026-1' is not read as a month; files of messaging.traffic land under "
        "raw/messaging/traffic/month=YYYY-MM/. Move the object there or delete it."
    )
    for _ in range(2):  # cleared, it says so again
        with pytest.raises(AirflowFailException) as caught:
            execute(dag, "landed", FIRST)
        assert str(caught.value) == message
    with connect(warehouse) as connection:
        found = connection.execute("select dataset, object_key, message from waybill.rejected_file").fetchall()
        assert found == [("messaging.traffic", unpadded, message)]
        gaps = incomplete(connection, s3, "messaging", [Period.parse("month", FIRST)])
    assert f"rejected: {message}" in {gap.what for gap in gaps}
    sensor: Any = dag.get_task("landed")
    with pytest.raises(AirflowFailException):  # another run of the month that it may be of
        sensor.execute({**context(partition_key=FIRST), "run_id": "another"})
    with connect(warehouse) as connection:
        assert connection.execute("select count(*) from waybill.rejected_file").fetchone() == (1,)
    for item in s3.list_objects_v2(Bucket=landed, Prefix=f"raw/messaging/traffic/month={LAST}/")["Contents"]:
        s3.delete_object(Bucket=landed, Key=item["Key"])
    with pytest.raises(TaskDeferred):  # a run of another month waits for its own files
        sensor.execute({**context(partition_key=LAST), "run_id": "another"})
    s3.put_object(Bucket=landed, Key=TRAFFIC, Body=sent)
    s3.delete_object(Bucket=landed, Key=unpadded)
    assert execute(dag, "landed", FIRST) is None


def test_the_trigger_reports_that_it_could_not_list_the_bucket(dag: DAG, raw: str) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        execute(dag, "landed", FIRST)
    trigger = deferred.value.trigger
    _, arguments = trigger.serialize()

    async def first_event() -> Any:
        return await anext(aiter(type(trigger)(**arguments | {"bucket": "there-is-none"}).run()))

    event = asyncio.run(asyncio.wait_for(first_event(), 60))
    task: Any = dag.get_task("landed")
    with pytest.raises(RuntimeError, match=r"could not be listed: .*NoSuchBucket"):
        getattr(task, deferred.value.method_name)(context(partition_key=FIRST), event.payload)
