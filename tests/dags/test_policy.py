"""The policy for every DAG, checked as Airflow parses the folder."""

from __future__ import annotations

import itertools
import os
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, BaseOperator, CronPartitionTimetable, CronTriggerTimetable
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from waybill.contracts import load_all, load_domain
from waybill.contracts.locations import report_files
from waybill.derived.build import report_contracts
from waybill.errors import DataError
from waybill.operators import IntakeArrivedOperator, LandedSensor, PythonReportOperator, SqlReportOperator
from waybill.operators.alerting import after_each_task, alert_deadline, alert_failure, alert_task_failure
from waybill.operators.datasets import landing_days
from waybill.operators.measuring import measure_failure, measure_success
from waybill.operators.parameters import unknown_parameters
from waybill.operators.policy import arrival_schedule, before_each_task, owner_links, run_callbacks
from waybill.period import Period
from waybill.pools import ARRIVAL_SLOTS, POOL_SLOTS, pool_size
from waybill.settings import PROJECT_ROOT, settings

DAG_IDS = {
    "clicks_daily",
    "messaging_monthly",
    "operations_digest",
    "operations_freshness",
    "operations_lake",
    "operations_watch",
    "orders_reports",
    "publish_dashboard",
    "purchases_medallion",
    "shop_daily",
}


@pytest.fixture(scope="session")
def bag() -> BundleDagBag:
    folder = PROJECT_ROOT / "dags"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYBILL_OWNER_LINK", "mailto:data@example.org")
        settings.cache_clear()
        found = BundleDagBag(str(folder), bundle_path=folder, bundle_name="dags-folder")
    settings.cache_clear()
    return found


@pytest.fixture(params=sorted(DAG_IDS))
def dag(request: pytest.FixtureRequest, bag: BundleDagBag) -> DAG:
    found = bag.dags[request.param]
    assert isinstance(found, DAG)
    return found


def tasks(dag: DAG) -> list[BaseOperator]:
    return [task for task in dag.tasks if isinstance(task, BaseOperator)]


def test_the_folder_holds_exactly_the_expected_dags(bag: BundleDagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == DAG_IDS


def test_a_dag_has_names_tags_and_a_runbook(dag: DAG) -> None:
    assert dag.dag_display_name != dag.dag_id
    assert dag.description
    assert dag.tags
    assert dag.owner_links == {"data-platform": "mailto:data@example.org"}
    assert dag.doc_md
    for section in ("What it does", "Period", "When it fails", "Alerts"):
        assert f"**{section}.**" in dag.doc_md


def test_a_runbook_names_only_tasks_that_exist(dag: DAG) -> None:
    failing = re.findall(r"^\* `(\w+)`(?: or `(\w+)`)? (?:waits|fails)", str(dag.doc_md), flags=re.MULTILINE)
    named = {name for names in failing for name in names if name}
    entrances = {"landed", "intake_lines", "intake_rates", "curated", "quality", "reports"}
    entrances |= {"freshness", "publish_dashboard"}
    assert entrances & set(dag.task_ids) <= named <= set(dag.task_ids)


def test_failures_are_retried_with_growing_pauses_and_raise_one_alert(dag: DAG) -> None:
    assert len(tasks(dag)) == len(dag.tasks)
    for task in tasks(dag):
        assert task.owner not in ("", "airflow"), task.task_id
        assert task.retries, task.task_id
        assert task.retry_exponential_backoff, task.task_id
        assert task.retry_delay >= timedelta(seconds=10), task.task_id
        assert task.max_retry_delay is not None, task.task_id
        assert timedelta() < task.execution_timeout <= timedelta(hours=12), task.task_id  # type: ignore[operator]
        assert alert_task_failure in task.on_failure_callback, task.task_id
        assert task._post_execute_hook is after_each_task, task.task_id
        assert not task.on_success_callback, f"{task.task_id}: Airflow would start a process for an EmptyOperator"
    callbacks = dag.on_failure_callback
    assert alert_failure in (callbacks if isinstance(callbacks, list) else [callbacks])


def test_success_is_sent_where_files_start_runs_and_otherwise_if_enabled(
    bag: BundleDagBag, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = {dag_id for dag_id, dag in bag.dags.items() if dag.has_on_success_callback}
    assert sending == {dag_id for dag_id, dag in bag.dags.items() if "on arrival" in dag.tags} != set()
    for name, value in (("NOTIFY_SCHEDULED", "true"), ("METRICS", "true")):
        monkeypatch.setenv(f"WAYBILL_{name}", value)
    settings.cache_clear()
    try:
        found = run_callbacks("shop")
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    [failure, warn, measured] = found["on_failure_callback"]
    assert (failure, measured) == (alert_failure, measure_failure)
    assert warn.__qualname__.startswith("notify_warnings")
    [notify, measure] = found["on_success_callback"]
    assert notify.__qualname__.startswith("notify_success")
    assert measure is measure_success


def test_the_datasets_and_reports_of_dags_are_assets(bag: BundleDagBag) -> None:
    made = {
        asset.name: asset.group
        for dag in bag.dags.values()
        for task in dag.tasks
        for asset in task.outlets
        if isinstance(asset, Asset)
    }
    datasets = {contract.table for contract in load_all().values() if contract.is_dataset}
    reports = {contract.domain for contract in load_all().values() if contract.domain.endswith("_report")}
    assert made == dict.fromkeys(datasets, "datasets") | dict.fromkeys(reports, "reports")
    schedule: Any = bag.dags["publish_dashboard"].timetable
    assert {asset.name for asset in schedule.asset_condition.objects} == reports


def test_a_dag_file_that_names_an_unknown_dataset_is_not_imported() -> None:
    with pytest.raises(DataError, match=r"There is no dataset 'linez' in .*contracts/orders: did you mean `lines`"):
        IntakeArrivedOperator(domain="orders", dataset="linez")


def test_the_owner_is_linked_if_the_setting_has_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    assert owner_links() == {}
    monkeypatch.setenv("WAYBILL_OWNER_LINK", "mailto:data@example.org")
    settings.cache_clear()
    links = owner_links()
    monkeypatch.undo()
    settings.cache_clear()
    DAG("linked", schedule=None, owner_links=links)  # which checks the form
    assert links == {"data-platform": "mailto:data@example.org"}


def test_a_late_run_raises_an_alert(dag: DAG) -> None:
    assert dag.deadline
    for alert in dag.deadline if isinstance(dag.deadline, list) else [dag.deadline]:
        assert isinstance(alert.interval, int | float)  # seconds
        assert alert.interval >= 3600
        assert isinstance(alert.callback, SyncCallback)
        assert alert.callback.path == f"{alert_deadline.__module__}.{alert_deadline.__qualname__}"


def test_runs_are_bounded_and_not_caught_up(dag: DAG) -> None:
    assert 1 <= dag.max_active_runs <= 8
    assert dag.catchup is False
    assert dag.start_date


def test_a_backfill_never_takes_the_slots_of_arrivals(dag: DAG, bag: BundleDagBag) -> None:
    """With any number of backfills, the rest of the pool is too small for another of their tasks."""
    on_arrival = "on arrival" in dag.tags
    for task in tasks(dag):
        assert task.pool == "default_pool", "the pool that every Airflow has"
        assert task.pool_slots == (1 if on_arrival else POOL_SLOTS), task.task_id
    if on_arrival:
        assert {(task.priority_weight, str(task.weight_rule)) for task in tasks(dag)} == {(1000, "absolute")}
        others = [task for one in bag.dags.values() if "on arrival" not in one.tags for task in one.tasks]
        weights = [1 + len(list(task.get_flat_relatives(upstream=False))) for task in others]  # the default rule
        assert {task.priority_weight for task in others} == {1}
        assert max(weights) < 1000
    for running in range(1, 40):
        size = pool_size(running)
        scheduled = size // POOL_SLOTS
        assert (scheduled, size - scheduled * POOL_SLOTS) == (running, ARRIVAL_SLOTS)


def test_parameters_have_titles_and_are_optional(dag: DAG) -> None:
    assert dag.params or dag.dag_id.startswith("operations_") or dag.dag_id == "publish_dashboard"
    for name in dag.params:
        schema = dag.params.get_param(name).schema
        assert schema.get("title"), name
        assert schema.get("description_md"), name
        dag.params.get_param(name).resolve()


@pytest.mark.parametrize(
    ("dag_id", "name", "value", "is_valid"),
    [
        ("messaging_monthly", "month", "2026-03", True),
        ("messaging_monthly", "month", "2026-13", False),
        ("messaging_monthly", "month", "2026-3", False),
        ("messaging_monthly", "month", "x", False),
        ("shop_daily", "day", "2026-03-31", True),
        ("shop_daily", "day", "2026-02-31", False),
        ("shop_daily", "day", "2026-03", False),
        ("orders_reports", "day", "2026-03-31", True),
        ("orders_reports", "day", "2026-03", False),
        ("orders_reports", "last_day", "2026-02-30", False),
        ("messaging_monthly", "datasets", ["traffic"], True),
        ("messaging_monthly", "datasets", ["trafic"], False),
        ("messaging_monthly", "datasets", [], False),
        ("shop_daily", "dry_run", "yes", False),
        ("orders_reports", "file", "orders.csv", True),
        ("orders_reports", "file", "", False),
        ("orders_reports", "file", 5, False),
        ("orders_reports", "file", ["orders.csv"], False),
        ("orders_reports", "day", 20260331, False),
        ("orders_reports", "dry_run", "true", False),
        ("messaging_monthly", "datasets", "traffic", False),
        ("purchases_medallion", "last_day", "2026-03-31", True),
    ],
)
def test_a_period_is_checked_by_the_trigger_form(
    bag: BundleDagBag, dag_id: str, name: str, value: Any, is_valid: bool
) -> None:
    param = bag.dags[dag_id].params.get_param(name)
    if is_valid:
        assert param.resolve(value) == value
    else:
        with pytest.raises(ValueError, match=r"does not match|is not |should be non-empty"):
            param.resolve(value)


@pytest.mark.parametrize(
    ("dag_id", "run_at", "key"),
    [
        ("messaging_monthly", datetime(2026, 11, 1, 9, tzinfo=UTC), "2026-10"),
        ("messaging_monthly", datetime(2027, 1, 1, 9, tzinfo=UTC), "2026-12"),
        ("messaging_monthly", datetime(2024, 3, 1, 9, tzinfo=UTC), "2024-02"),
        ("shop_daily", datetime(2026, 11, 1, 3, tzinfo=UTC), "2026-10-31"),
        ("shop_daily", datetime(2024, 3, 1, 3, tzinfo=UTC), "2024-02-29"),
    ],
)
def test_a_scheduled_run_covers_the_period_before(bag: BundleDagBag, dag_id: str, run_at: datetime, key: str) -> None:
    dag = bag.dags[dag_id]
    assert isinstance(dag.timetable, CronPartitionTimetable)
    timetable: Any = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
    info = timetable.next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction(run_at - timedelta(hours=3)))
    assert (info.run_after, info.partition_key) == (run_at, key)


def restriction(earliest: datetime) -> Any:
    from airflow.timetables.base import TimeRestriction
    from pendulum import instance

    return TimeRestriction(earliest=instance(earliest), latest=None, catchup=True)


def test_every_report_of_messaging_has_a_contract_a_task_and_where_it_is_sql_a_file(bag: BundleDagBag) -> None:
    domain = "messaging"
    dag = bag.dags["messaging_monthly"]
    sql_tasks = {task.task_id: task for task in dag.tasks if isinstance(task, SqlReportOperator)}
    python_tasks = {task.task_id for task in dag.tasks if isinstance(task, PythonReportOperator)}
    assert set(sql_tasks) == {path.stem for path in report_files(domain)}
    assert set(sql_tasks) | python_tasks == set(report_contracts(domain))
    for path in report_files(domain):
        assert sql_tasks[path.stem].sql == path.read_text("utf-8")
    for name in python_tasks:
        assert callable(dag.get_task(name).function)  # type: ignore[union-attr]


def test_the_chain_of_the_months_run(bag: BundleDagBag) -> None:
    dag = bag.dags["messaging_monthly"]
    landed, traffic, publish = (dag.get_task(name) for name in ("landed", "intake_traffic", "publish"))
    assert isinstance(landed, LandedSensor)
    assert {"intake_customers", "intake_channels"} <= traffic.upstream_task_ids
    assert dag.get_task("quality").upstream_task_ids == {f"intake_{name}" for name in load_domain("messaging")}
    assert dag.get_task("quality").upstream_task_ids >= {"intake_customers", "intake_channels", "intake_traffic"}
    assert publish.upstream_task_ids >= {path.stem for path in report_files("messaging")}
    assert publish.downstream_task_ids == set()
    features = dag.get_task("features")
    assert features.upstream_task_ids == set(report_contracts("messaging"))
    assert features.downstream_task_ids == set(), "reports are published if a feature view fails"
    for name in ("descriptive_statistics", "industry_exposure_extended"):
        assert "industry_exposure" in dag.get_task(name).upstream_task_ids
        assert name in publish.upstream_task_ids
    assert all(
        dag.get_task("quality") in task.get_flat_relatives(upstream=True)
        for task in dag.tasks
        if "Report" in task.task_type
    )


def test_the_chain_of_the_days_run(bag: BundleDagBag) -> None:
    dag = bag.dags["shop_daily"]
    chain = ["landed", "intake_transactions", "processed", "quality", "curated", "marts", "publish"]
    for before, after in itertools.pairwise(chain):
        assert before in dag.get_task(after).upstream_task_ids
    features = dag.get_task("features")
    assert (features.upstream_task_ids, features.downstream_task_ids) == ({"marts"}, set())
    intakes = {f"intake_{name}" for name in load_domain("shop")}
    assert dag.get_task("processed").upstream_task_ids == intakes


def test_orders_are_ingested_when_a_message_says_so_and_every_15_minutes(
    bag: BundleDagBag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is read without a queue and, as the stack has it, with one."""
    alone: Any = bag.dags["orders_reports"].timetable
    assert isinstance(alone, CronTriggerTimetable)
    monkeypatch.setenv("WAYBILL_QUEUE_URLS", '{"orders": "http://127.0.0.1:1/123456789012/orders"}')
    settings.cache_clear()
    schedule = arrival_schedule("orders")
    monkeypatch.undo()
    settings.cache_clear()
    assert isinstance(schedule, AssetOrTimeSchedule)
    (watcher,) = schedule.asset_condition.watchers  # type: ignore[attr-defined]
    _, arguments = watcher.trigger.serialize()
    assert arguments["sqs_queue"].endswith("/orders")
    assert arguments["wait_time_seconds"] == 20, "the longest wait that SQS allows"
    assert arguments["waiter_delay"] <= 1, "a file becomes reports within 15 seconds"
    for timetable in (alone, schedule.timetable):
        found = DAG("some", schedule=timetable, start_date=datetime(2026, 3, 1, tzinfo=UTC))
        read: Any = DagSerialization.from_dict(DagSerialization.to_dict(found)).timetable
        last = None
        runs = []
        for _ in range(3):
            last = read.next_dagrun_info_v2(
                last_dagrun_info=last, restriction=restriction(datetime(2026, 3, 1, 0, 1, tzinfo=UTC))
            )
            runs.append(f"{last.run_after:%H:%M}")
        assert runs == ["00:15", "00:30", "00:45"]


def test_a_day_alone_is_a_range_of_one_and_a_last_day_alone_is_an_error() -> None:
    day, later = (Period.parse("day", key) for key in ("2026-05-02", "2026-05-04"))
    assert landing_days("2026-05-02", None) == (day, day)
    assert landing_days("2026-05-02", "2026-05-04") == (day, later)
    assert landing_days(None, None) is None
    for first, last in ((None, "2026-05-02"), ("2026-05-04", "2026-05-02")):
        with pytest.raises(DataError, match=r"name the (first day as day|earlier day first)"):
            landing_days(first, last)


def test_a_rejected_file_stops_no_reports_and_fails_the_run(bag: BundleDagBag) -> None:
    dag = bag.dags["orders_reports"]
    rules = {task.task_id: task.trigger_rule for task in tasks(dag)}  # type: ignore[arg-type]
    assert rules == {
        "intake_lines": "all_success",
        "quality": "all_done",
        "reports": "all_success",
        "publish": "all_success",
        "complete": "all_success",
    }
    assert [task.task_id for task in dag.leaves] == ["complete"], "the last task decides whether the run has failed"
    assert dag.get_task("complete").upstream_task_ids == {"intake_lines", "publish"}


def test_rejected_rates_stop_no_purchase(bag: BundleDagBag) -> None:
    dag = bag.dags["purchases_medallion"]
    late = {task.task_id for task in tasks(dag) if task.trigger_rule == "all_done"}  # type: ignore[arg-type]
    assert late == {"intake_purchases", "curated"}
    assert dag.get_task("curated").upstream_task_ids == {"intake_purchases"}
    assert [task.task_id for task in dag.leaves] == ["complete"]
    intakes = {"intake_rates", "intake_purchases"}
    assert dag.get_task("complete").upstream_task_ids == intakes | {"lake", "publish"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"fil": "q5.csv"}, "unknown parameter 'fil': {accepted} Did you mean 'file' instead of 'fil'?"),
        ({"File": "q5.csv"}, "unknown parameter 'File': {accepted} Did you mean 'file' instead of 'File'?"),
        ({"file": "q5.csv", "Month": "2026-10", "x": None}, "unknown parameters 'Month', 'x': {accepted}"),
        ({"": 1}, "unknown parameter '': {accepted}"),
        ([1], "the parameters of a run must be a JSON object, not [1]. {accepted}"),
        ({"file": "q5.csv"}, None),
        ({}, None),
    ],
)
def test_unknown_parameters_are_rejected_with_the_known_ones(given: Any, expected: str | None) -> None:
    known = ["last_day", "file", "day", "dry_run"]
    accepted = "orders_reports accepts day, dry_run, file, last_day. Nothing was loaded or changed."
    assert unknown_parameters("orders_reports", known, given) == (expected and expected.format(accepted=accepted))


def test_every_task_of_every_dag_rejects_unknown_parameters_first(dag: DAG) -> None:
    run = SimpleNamespace(conf={"fil": "q5.csv"}, run_type="manual")
    for task in tasks(dag):
        assert task._pre_execute_hook is before_each_task, task.task_id
        with pytest.raises(AirflowFailException, match=rf"unknown parameter 'fil': {dag.dag_id} accepts "):
            task._pre_execute_hook({"dag": dag, "dag_run": run})
    for conf in (None, {}, dict.fromkeys(dag.params)):
        before_each_task({"dag": dag, "dag_run": SimpleNamespace(conf=conf, run_type="manual")})


def test_a_task_of_a_backfill_has_a_low_cpu_priority(dag: DAG, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(os, "nice", raised.append)
    for run_type in ("manual", "scheduled", "asset_triggered"):
        before_each_task({"dag": dag, "dag_run": SimpleNamespace(conf=None, run_type=run_type)})
    assert raised == []
    before_each_task({"dag": dag, "dag_run": SimpleNamespace(conf={}, run_type="backfill")})
    [niceness] = raised
    assert 0 < niceness < 20


def test_the_quality_report_is_written_after_a_failed_search_which_fails_the_run(bag: BundleDagBag) -> None:
    dag = bag.dags["operations_watch"]
    assert {dag.get_task(name).trigger_rule for name in ("incidents", "report")} == {"all_done"}
    [last] = dag.leaves
    assert (last.task_id, last.trigger_rule) == ("complete", "all_success")
    assert last.upstream_task_ids == {"anomalies", "incidents", "report"}
