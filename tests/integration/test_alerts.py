"""The alerts that the callbacks of DAGs send over SNS to a queue: one for each run, whichever tasks fail."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Connection as AirflowConnection
from airflow.sdk.exceptions import TaskAwaitingInput

from support.alerts import CAUSE, DAG, Queue, closed_port, of_run, of_task, queue, warehouse
from support.ledger import add_file
from support.waiting import PATIENCE
from waybill.intake import file_warnings
from waybill.intake.ledger import Books
from waybill.operators import PublishOperator, QualityOperator, sending
from waybill.operators.alerting import (
    alert_deadline,
    alert_failure,
    alert_task_failure,
    deadline_alert,
    notify_success,
    notify_warnings,
)
from waybill.warehouse.connection import connect

__all__ = ["queue", "warehouse"]


def recorded(dsn: str) -> list[tuple[Any, ...]]:
    with connect(dsn) as connection:
        query = "select dag_id, run_id, kind, channels from waybill.alert order by run_id, kind"
        return connection.execute(query).fetchall()


def test_a_failed_run_sends_one_message_with_task_and_cause(queue: Queue, warehouse: str) -> None:
    alert_task_failure(of_task("intake_traffic"))
    alert_task_failure(of_task("intake_customers"))
    alert_failure(of_run())
    [message] = queue.messages()
    assert message["Subject"] == "messaging_monthly: the run scheduled__2026-11 failed in the task intake_traffic."
    assert f"Cause: {CAUSE}" in message["Message"]
    assert "http://airflow/intake_traffic" in message["Message"]
    assert recorded(warehouse) == [("messaging_monthly", "scheduled__2026-11", "failure", ["waybill_alerts_sns"])]
    alert_task_failure(of_task("intake_customers", "another cause"))
    [message] = queue.messages()
    assert "Cause: another cause" in message["Message"]
    alert_failure(of_run("another"))
    assert len(queue.messages()) == 1


@pytest.mark.parametrize(
    ("partition_key", "conf", "period"),
    [
        ("2026-10", {}, " 2026-10"),
        (None, {"month": "2026-03"}, " 2026-03"),
        (None, {"day": "2026-03-31"}, " 2026-03-31"),
    ],
)
def test_the_first_line_names_the_period(
    partition_key: str | None, conf: dict[str, str], period: str, queue: Queue, warehouse: str
) -> None:
    alert_failure(of_run() | {"dag_run": SimpleNamespace(partition_key=partition_key, conf=conf)})
    [message] = queue.messages()
    assert message["Subject"] == f"messaging_monthly{period}: the run scheduled__2026-11 failed."


def test_a_pending_approval_sends_one_message_with_reports_reasons_and_link(
    queue: Queue, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, run_id = "messaging_report.segment_share", "scheduled__2026-03"
    with connect(warehouse) as connection:
        connection.execute(
            "insert into waybill.publication (report, cadence, period, row_count, content_sha256, code_version, "
            "file_ids, run_id) values (%s, 'month', '2026-03-01', 4, 'content', 'abc123', '{}', %s)",
            (report, run_id),
        )
        for check, severity, observed in (("segment_share_sum", "warning", 99), ("unapproved_warnings", "error", 1)):
            connection.execute(
                "insert into waybill.check_result (subject, check_name, cadence, period, severity, observed, operator, "
                "threshold, passed, run_id) values (%s, %s, 'month', '2026-03-01', %s, %s, '<=', 0, false, %s)",
                (report, check, severity, observed, run_id),
            )
    monkeypatch.setattr("airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **_: None)
    operator = PublishOperator(task_id="publish", domain="messaging", cadence="month")
    monkeypatch.setattr(operator, "publish", lambda *_: [])
    place = f"https://example.org/airflow/dags/messaging_monthly/runs/{run_id}/tasks/publish"
    task = SimpleNamespace(id="1", log_url=f"{place}?try_number=1", xcom_push=lambda **_: None)
    run = SimpleNamespace(partition_key="2026-03", conf={})
    context = {"dag": DAG, "run_id": run_id, "ti": task, "task_instance": task, "dag_run": run}
    for _ in range(2):
        with pytest.raises(TaskAwaitingInput):
            operator.execute(context)
    [message] = queue.messages()
    assert message["Subject"].startswith("messaging_monthly 2026-03: ")
    assert f"{report} 2026-03: segment_share_sum is 99, must be <= 0" in message["Message"]
    assert message["Message"].endswith(f"Answer: {place}/required_actions")
    assert recorded(warehouse) == [("messaging_monthly", run_id, "approval", ["waybill_alerts_sns"])]


def test_tasks_that_fail_at_once_raise_one_alert(queue: Queue, warehouse: str) -> None:
    start = threading.Barrier(4)

    def fail(number: int) -> None:
        start.wait(PATIENCE)
        alert_task_failure(of_task(f"task_{number}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fail, range(4)))
    assert len(queue.messages()) == 1


def test_a_failing_channel_does_not_stop_the_others(
    queue: Queue, warehouse: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAYBILL_ALERTS_SLACK",
        json.dumps(
            {
                "conn_type": "slackwebhook",
                "password": f"http://127.0.0.1:{closed_port()}/services/T/B/X",
                "extra": {"timeout": 1},
            }
        ),
    )
    mail = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": closed_port(),
        "extra": {"to_email": "a@example.com", "from_email": "b@example.com", "disable_ssl": True, "retry_limit": 1},
    }
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_ALERTS_EMAIL", json.dumps(mail))
    reverse = dict(reversed(list(sending.CHANNELS.items())))
    monkeypatch.setattr(sending, "CHANNELS", reverse)
    with caplog.at_level(logging.ERROR):
        alert_failure(of_run())
    assert len(queue.messages()) == 1
    assert [row[-1] for row in recorded(warehouse)] == [["waybill_alerts_sns"]]
    for channel in ("waybill_alerts_slack", "waybill_alerts_email"):
        assert f"the alert could not be sent over {channel}" in caplog.text


def test_an_unreadable_connection_does_not_stop_the_others(
    queue: Queue, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = AirflowConnection.get

    def fail(conn_id: str) -> Any:
        if conn_id == "waybill_alerts_slack":
            raise RuntimeError("the secrets backend is away")
        return get(conn_id)

    monkeypatch.setattr(AirflowConnection, "get", fail)
    reverse = dict(reversed(list(sending.CHANNELS.items())))
    for number, channels in enumerate((sending.CHANNELS, reverse)):
        monkeypatch.setattr(sending, "CHANNELS", channels)
        alert_task_failure(of_task("intake_traffic", f"cause {chr(97 + number)}", f"run {number}"))
        assert len(queue.messages()) == 1
    assert [row[-1] for row in recorded(warehouse)] == [["waybill_alerts_sns"]] * 2


def test_without_the_warehouse_the_run_still_raises_one_alert(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", f"postgresql://nobody@127.0.0.1:{closed_port()}/away")
    alert_task_failure(of_task("intake_traffic"))
    alert_task_failure(of_task("intake_customers"))
    assert queue.messages() == []  # a task does not know whether another one has sent it
    alert_failure(of_run())
    [message] = queue.messages()
    assert "messaging_monthly: the run scheduled__2026-11 failed" in message["Message"]


def test_an_unsent_alert_of_a_task_is_sent_by_the_run(
    queue: Queue, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
        away.setenv("AWS_MAX_ATTEMPTS", "1")
        alert_task_failure(of_task("intake_traffic"))
    assert queue.messages() == []
    alert_failure(of_run())
    assert len(queue.messages()) == 1
    alert_failure(of_run())
    assert queue.messages() == []
    assert [row[-1] for row in recorded(warehouse)] == [["waybill_alerts_sns"]]


def test_without_any_channel_the_alert_is_an_error_in_the_log(
    warehouse: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_ALERTS_SNS")
    alert_failure(of_run())
    assert "no channel is configured for the alert: messaging_monthly: the run scheduled__2026-11 failed" in caplog.text


def test_a_late_run_sends_one_alert_besides_that_of_its_failure(queue: Queue, warehouse: str) -> None:
    callback = deadline_alert(3).callback
    assert callback.path == f"{alert_deadline.__module__}.{alert_deadline.__qualname__}"
    for state in ("failed", "success", "running", "running"):
        run = {"dag_id": DAG.dag_id, "dag_run_id": "scheduled__2026-11", "state": state, "partition_key": "2026-10"}
        alert_deadline(**callback.kwargs, context={"dag_run": run})
    [message] = queue.messages()
    assert (
        message["Subject"]
        == ("messaging_monthly 2026-10: the run scheduled__2026-11 has not finished 3 hours after its start.")[:99]
    )
    alert_failure(of_run())
    assert len(queue.messages()) == 1
    assert [row[2] for row in recorded(warehouse)] == ["deadline", "failure"]


def test_only_a_run_that_changed_data_sends_a_success_message_and_only_once(queue: Queue, warehouse: str) -> None:
    with connect(warehouse) as connection:
        for dataset, key, run_id, rows in (
            ("orders.lines", "a.csv", "woken", {"rows_in": 16, "inserted": 14, "rejected": 1, "duplicate": 1}),
            ("orders.lines", "b.csv", "woken", {"rows_in": 2, "inserted": 2}),
            ("shop.reviews", "c.csv", "woken", {"rows_in": 9, "inserted": 9}),  # another DAG's run of the same name
        ):
            add_file(connection, dataset, key, "2026-03-31", run_id, **rows)
        connection.execute(
            "insert into waybill.published (report, cadence, period, row_count, content_sha256, "
            "code_version, file_ids, inputs, run_id, built_at, published_by) "
            "select 'orders_report.region_profit', 'day', day, 4, 'x', 'v', '{}', '{}', 'woken', now(), 'woken' "
            "from unnest('{2026-03-30,2026-03-31}'::date[]) as t (day)"
        )
        connection.execute(  # rebuilt by a run that found the same content
            "insert into waybill.publication (report, cadence, period, row_count, content_sha256, contract_sha256, "
            "code_version, file_ids, run_id, exported_sha256) "
            "values ('orders_report.region_profit', 'day', '2026-03-31', 4, 'x', 'c', 'v', '{}', 'idle', 'x')"
        )
    orders = SimpleNamespace(dag_id="orders_reports")
    for run_id in ("woken", "woken", "idle"):
        notify_success("orders")({"dag": orders, "run_id": run_id, "ti": SimpleNamespace(log_url="http://airflow/x")})
    [message] = queue.messages()
    assert message["Message"].splitlines() == [
        "orders_reports: the run woken loaded 2 files and updated 1 report.",
        f"orders.lines: 2 files, {Books(18, 16, rejected=1, duplicate=1)}",
        (
            "orders_report.region_profit: 2026-03-30 to 2026-03-31 (2 periods), "
            "in s3://waybill-reports/analytics/2026/03/31/; `waybill trace region_profit 2026-03-31`"
        ),
        "Rejected rows: `waybill quarantine lines --domain orders`",
        "Log: http://airflow/x",
    ]
    assert recorded(warehouse) == [("orders_reports", "woken", "success", ["waybill_alerts_sns"])]


def load_with_warnings(dsn: str, dataset: str, run_id: str, *messages: str) -> int:
    """Insert a file that a run loaded with warnings, and return its id."""
    with connect(dsn) as connection:
        file_id = add_file(connection, dataset, f"{run_id}.csv", "2026-03-31", run_id)
        for message in messages:
            file_warnings.add(connection, file_id, "columns", message)
        return file_id


def test_the_message_of_a_run_has_its_warnings(queue: Queue, warehouse: str) -> None:
    load_with_warnings(warehouse, "orders.lines", "woken", *(f"number {number:02}" for number in range(23)))
    load_with_warnings(warehouse, "orders.lines", "another", "not of this run")
    notify_success("orders")({"dag": SimpleNamespace(dag_id="orders_reports"), "run_id": "woken"})
    [message] = queue.messages()
    first, *others = message["Message"].splitlines()
    assert first == ("orders_reports: the run woken loaded 1 file and updated 0 reports, with 23 warnings.")
    assert others[:20] == [f"Warning: woken.csv: number {number:02}" for number in range(20)]
    assert others[20] == "20 of 23 warnings are shown."


def test_warnings_of_a_scheduled_run_are_sent_once(
    queue: Queue, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task after all intake tasks sends them before it does anything that may fail. The failed run adds nothing."""
    load_with_warnings(warehouse, "messaging.traffic", "scheduled", "revenue is missing", "currency is unknown")
    monkeypatch.setattr("waybill.contracts.load_domain", lambda _: 1 / 0)
    quality = QualityOperator(task_id="quality", domain="messaging", cadence="month")
    for run_id in ("scheduled", "scheduled", "without"):
        with pytest.raises(ZeroDivisionError):
            quality.execute({"dag": DAG, "run_id": run_id, "params": {}})
    notify_warnings("messaging")({"dag": DAG, "run_id": "scheduled"})
    [message] = queue.messages()
    assert message["Message"].splitlines() == [
        "messaging_monthly: the run scheduled loaded 1 file with 2 warnings.",
        "Warning: scheduled.csv: currency is unknown",
        "Warning: scheduled.csv: revenue is missing",
        "The rows are loaded. If a file is wrong, upload a corrected one under the same name.",
    ]
    assert recorded(warehouse) == [("messaging_monthly", "scheduled", "warning", ["waybill_alerts_sns"])]


def test_a_superseded_file_sends_no_warnings(queue: Queue, warehouse: str) -> None:
    file_id = load_with_warnings(warehouse, "messaging.traffic", "scheduled", "revenue is missing")
    with connect(warehouse) as connection:
        connection.execute("update waybill.load_file set status = 'superseded' where file_id = %s", (file_id,))
    notify_warnings("messaging")({"dag": DAG, "run_id": "scheduled"})
    assert queue.messages() == []


def test_a_callback_never_raises(monkeypatch: pytest.MonkeyPatch, queue: Queue) -> None:
    """An exception in a callback would hide the cause of the failure."""
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", raising=False)
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_ALERTS_SNS")
    alert_task_failure({"dag": DAG, "run_id": "x"})
    alert_failure({"dag": DAG, "run_id": "x"})
    notify_success("messaging")({"dag": DAG, "run_id": "x"})
    notify_warnings("messaging")({"dag": DAG, "run_id": "x"})


def test_the_subject_fits_sns(queue: Queue, warehouse: str) -> None:
    """SNS accepts fewer than a hundred characters, without line ends."""
    alert_task_failure(of_task("t" * 300, "cause", run_id="manual__ä" + "x" * 200))
    [message] = queue.messages()
    assert len(message["Subject"]) < 100
    assert message["Subject"].startswith("messaging_monthly: the run manual__ä")
    assert "t" * 300 in message["Message"]
