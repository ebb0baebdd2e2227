"""What the callbacks of runs do to incidents, and which messages they send over SNS to a queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import OperationalError

from support.alerts import CAUSE, DAG, Queue, closed_port, of_run, of_task, queue, warehouse
from support.ledger import add_file
from waybill.errors import DataError
from waybill.operators import DigestOperator, IncidentsOperator, alerting
from waybill.operators.alerting import (
    after_each_task,
    alert_deadline,
    alert_failure,
    alert_task_failure,
    look_after_run,
)
from waybill.ops import incidents
from waybill.ops.dead_letters import DeadLetterCounts, DeadLetters
from waybill.settings import settings
from waybill.warehouse.connection import connect

__all__ = ["queue", "warehouse"]

DOMAIN = "messaging"


def context(
    run_id: str,
    period: str | None = "2026-03",
    task_id: str = "intake_traffic",
    error: BaseException | None = None,
    run_type: str = "scheduled",
    **params: Any,
) -> dict[str, Any]:
    """Return the context of a task; with an error, of a failed one."""
    run = SimpleNamespace(partition_key=period, conf={}, run_type=run_type)
    task = SimpleNamespace(task_id=task_id, map_index=-1, log_url=f"http://airflow/{task_id}")
    found = {"dag": DAG, "run_id": run_id, "ti": task, "dag_run": run, "params": params}
    return found | ({"exception": error} if error else {})


def subjects(queue: Queue) -> list[str]:
    return [message["Subject"] for message in queue.messages()]


def listed(dsn: str) -> list[tuple[int, str, str, int]]:
    """Return (number, kind, state, number of runs) of every incident."""
    with connect(dsn) as connection:
        rows = connection.execute("select incident_id from waybill.incident order by incident_id").fetchall()
        found = [incidents.numbered(connection, number) for (number,) in rows]
    return [(one.incident_id, one.kind, one.state, one.number) for one in found]


def test_an_outage_of_many_runs_sends_two_messages(queue: Queue, warehouse: str) -> None:
    for month in range(1, 7):
        error = ConnectionError(f"port {closed_port()} refused the connection")
        alert_task_failure(context(f"run {month}", f"2026-{month:02}", error=error))
        alert_failure(of_run(f"run {month}"))
    assert subjects(queue) == ["messaging_monthly 2026-01: the run run 1 failed in the task intake_traffic."]
    assert listed(warehouse) == [(1, "failure", "open", 6)]
    for month in range(1, 7):
        assert subjects(queue) == []
        after_each_task(context(f"run {month}", f"2026-{month:02}"))
    assert subjects(queue) == ["Messaging: incident 1 closed: messaging_monthly 2026-06 failed in intake_traffic."]
    assert listed(warehouse) == [(1, "failure", "closed", 6)]
    after_each_task(context("run 7"))
    assert subjects(queue) == []


def test_another_period_or_task_settles_nothing(queue: Queue, warehouse: str) -> None:
    alert_task_failure(context("run 1", error=DataError(CAUSE)))
    after_each_task(context("run 2", "2026-04"))
    after_each_task(context("run 1", task_id="quality"))
    after_each_task(context("run 1", dry_run=True))
    assert listed(warehouse) == [(1, "failure", "open", 1)]


def test_a_run_that_fails_again_after_its_success_is_a_new_incident(queue: Queue, warehouse: str) -> None:
    for number in (1, 2):
        alert_task_failure(context("run", error=DataError(CAUSE)))
        after_each_task(context("run"))
        opened, closed = subjects(queue)
        assert opened == "messaging_monthly 2026-03: the run run failed in the task intake_traffic."
        assert closed.startswith(f"Messaging: incident {number} closed: ")


def test_a_failure_that_airflow_reports_after_the_success_opens_nothing(queue: Queue, warehouse: str) -> None:
    began = datetime.now(UTC)
    alert_task_failure(context("run", error=DataError(CAUSE)))
    after_each_task(context("run"))
    assert len(subjects(queue)) == 2
    alert_failure(of_run("run") | {"dag_run": SimpleNamespace(start_date=began, partition_key="2026-03", conf={})})
    assert subjects(queue) == []
    assert listed(warehouse) == [(1, "failure", "closed", 1)]


def test_a_cleared_run_that_fails_as_a_whole_is_a_new_incident(queue: Queue, warehouse: str) -> None:
    alert_task_failure(context("run", error=DataError(CAUSE)))
    after_each_task(context("run"))
    assert len(subjects(queue)) == 2
    began = datetime.now(UTC) + timedelta(seconds=1)
    alert_failure(of_run("run") | {"dag_run": SimpleNamespace(start_date=began, partition_key="2026-03", conf={})})
    assert len(subjects(queue)) == 1
    assert [state for _, _, state, _ in listed(warehouse)] == ["closed", "open"]


def test_a_backfill_sends_nothing_and_the_digest_lists_its_incident(queue: Queue, warehouse: str) -> None:
    alert_task_failure(context("backfill__1", error=DataError(CAUSE), run_type="backfill"))
    late = {"dag_id": "messaging_monthly", "dag_run_id": "backfill__2", "state": "running", "run_type": "backfill"}
    alert_deadline("3 hours after its start", {"dag_run": late})
    assert subjects(queue) == []
    with connect(warehouse) as connection:
        file_id = add_file(connection, "messaging.traffic", "part.csv", rows_in=3, inserted=3)
        assert file_id
    moment = datetime.now(UTC) + timedelta(minutes=1)
    digest = DigestOperator(task_id="digest")
    given = context("digest") | {"dag_run": SimpleNamespace(run_after=moment)}
    assert digest.execute(given) == 1
    [message] = queue.messages()
    text = message["Message"]
    assert "2 open incidents" in text.splitlines()[0]
    assert "Opened by backfills, without an alert:" in text
    assert text.count("messaging_monthly 2026-03 failed in intake_traffic") == 2
    assert text.endswith("Files of the last day: 1 file loaded, 0 files rejected.")
    digest.execute(given)
    assert subjects(queue) == [], "a run sends each digest once"
    alert_task_failure(context("scheduled__1", error=DataError(CAUSE)))
    assert subjects(queue) == ["messaging_monthly 2026-03: the run scheduled__1 failed in the task intake_traffic."]


def test_the_last_task_closes_what_no_other_task_can(queue: Queue, warehouse: str) -> None:
    run = {"dag_id": "messaging_monthly", "dag_run_id": "run", "state": "running", "partition_key": "2026-03"}
    alert_deadline("3 hours after its start", {"dag_run": run})
    alert_failure(of_run("another") | {"dag_run": SimpleNamespace(partition_key="2026-03", conf={})})
    assert [kind for _, kind, *_ in listed(warehouse)] == ["deadline", "failure"]
    queue.messages()
    after_each_task(context("run", "2026-04", "publish"))
    first = context("run", task_id="publish")
    first["ti"].task = SimpleNamespace(downstream_list=[SimpleNamespace()])
    after_each_task(first)
    assert [state for *_, state, _ in listed(warehouse)] == ["open", "open"]
    after_each_task(context("run", task_id="publish"))
    assert [state for *_, state, _ in listed(warehouse)] == ["closed", "closed"]
    [closed] = queue.messages()
    assert closed["Subject"] == "Messaging: 2 incidents closed."


def test_a_late_run_that_fails_is_late_no_longer(queue: Queue, warehouse: str) -> None:
    run = {"dag_id": "messaging_monthly", "dag_run_id": "run", "state": "running", "partition_key": "2026-03"}
    alert_deadline("3 hours after its start", {"dag_run": run})
    alert_task_failure(context("run", error=DataError(CAUSE)))
    alert_failure(of_run("run"))
    assert [(kind, state) for _, kind, state, _ in listed(warehouse)] == [("deadline", "closed"), ("failure", "open")]
    alert_deadline("3 hours after its start", {"dag_run": run | {"dag_run_id": "another"}})
    assert listed(warehouse)[-1][1:3] == ("deadline", "open")


def test_a_dataset_that_was_not_chosen_settles_nothing(queue: Queue, warehouse: str) -> None:
    alert_task_failure(context("run 1", error=DataError(CAUSE)))
    other = context("run 2", datasets=["customers"])
    other["ti"].task = SimpleNamespace(dataset="traffic", downstream_list=[SimpleNamespace()])
    after_each_task(other)
    assert listed(warehouse) == [(1, "failure", "open", 1)]
    other["params"] = {"datasets": ["customers", "traffic"]}
    after_each_task(other)
    assert listed(warehouse) == [(1, "failure", "closed", 1)]


def test_a_backfill_pages_nobody_without_the_warehouse(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", f"postgresql://nobody@127.0.0.1:{closed_port()}/away")
    alert_failure(context("backfill__1", run_type="backfill"))
    assert queue.messages() == []
    alert_failure(context("scheduled__1"))
    assert len(queue.messages()) == 1


def test_the_digest_has_the_dates_of_the_business_time_zone(
    queue: Queue, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_TIMEZONE", "Asia/Tokyo")
    settings.cache_clear()
    with connect(warehouse) as connection:
        add_file(connection, "messaging.traffic", "part.csv", rows_in=3, inserted=3)
        connection.execute("update waybill.load_file set loaded_at = '2026-10-24 22:30+00'")
    given = context("digest") | {"dag_run": SimpleNamespace(run_after=datetime(2026, 10, 25, 22, tzinfo=UTC))}
    DigestOperator(task_id="digest").execute(given)
    [message] = queue.messages()
    assert "on 2026-10-26." in message["Message"]
    assert "1 file loaded" in message["Message"]


def test_the_digest_fails_without_the_warehouse(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", f"postgresql://nobody@127.0.0.1:{closed_port()}/away")
    given = context("digest") | {"dag_run": SimpleNamespace(run_after=datetime.now(UTC))}
    with pytest.raises(OperationalError):
        DigestOperator(task_id="digest").execute(given)


def test_a_queue_that_cannot_be_read_closes_no_incident(
    queue: Queue, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = DeadLetters("messaging", "dead", "arn:dead", 3)
    answers = [[letters], []]

    def count(self: DeadLetterCounts, _domains: Any) -> list[DeadLetters]:
        found = answers.pop(0)
        self.is_complete = bool(found)
        return found

    monkeypatch.setattr(DeadLetterCounts, "__call__", count)
    watch = IncidentsOperator(task_id="incidents")
    while answers:
        watch.execute(context("watch"))
        assert ("dead letters", "open") in {(kind, state) for _, kind, state, _ in listed(warehouse)}


def test_the_watch_settles_runs_that_somebody_marked_as_successful(queue: Queue, warehouse: str) -> None:
    for run_id in ("gone", "marked", "failed"):
        alert_task_failure(context(run_id, error=DataError(f"{CAUSE} {run_id}")))
    queue.messages()

    def state(_dag_id: str, run_id: str) -> str:
        if run_id == "gone":
            raise RuntimeError("Airflow has no such run")
        return "success" if run_id == "marked" else "failed"

    given = context("watch")
    given["ti"].get_dagrun_state = state
    found = IncidentsOperator(task_id="incidents").execute(given)
    assert {number: kept for number, _, kept, _ in listed(warehouse)} == {1: "open", 2: "closed", 3: "open"}
    assert [line.partition(" ")[0] for line in found] == ["1", "3"]
    assert [one for one in subjects(queue) if "incident 2 closed" in one]


@pytest.fixture
def route(stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[[str], None]:
    """Adds keys to the manifest of messaging."""
    import shutil

    def change(keys: str) -> None:
        folder = tmp_path / "include"
        if not folder.exists():
            shutil.copytree(settings().include_dir, folder)
        manifest = folder / "domains" / "messaging.yaml"
        manifest.write_text(manifest.read_text() + keys)
        monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(folder))
        settings.cache_clear()

    return change


def test_a_manifest_routes_messages_to_the_connections_of_its_owner(
    queue: Queue, warehouse: str, monkeypatch: pytest.MonkeyPatch, route: Callable[[str], None]
) -> None:
    finance = Queue()
    extra = {"conn_type": "aws", "extra": {"topic_arn": finance.topic_arn}}
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_ALERTS_SNS_FINANCE", json.dumps(extra))
    # The owner of the topic lets Waybill publish to it. Without this, the test's rights say that nobody does.
    allowed = {"topic_arn": queue.topic_arn, "others": finance.topic_arn}
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_ALERTS_SNS", json.dumps({"conn_type": "aws", "extra": allowed}))
    route("owner: finance\nalerts: {error: [sns], warning: [slack]}\n")
    alert_task_failure(context("run 1", error=DataError(CAUSE)))
    assert (len(finance.messages()), len(queue.messages())) == (1, 0)
    route("")
    monkeypatch.delenv("AIRFLOW_CONN_WAYBILL_ALERTS_SNS_FINANCE")
    alert_task_failure(context("run 2", error=DataError("another cause")))
    assert (len(finance.messages()), len(queue.messages())) == (0, 1), "without it, the general connection"


def test_an_invalid_manifest_stops_no_alert(queue: Queue, warehouse: str, route: Callable[[str], None]) -> None:
    route("alerts: {error: [pigeon]}\n")
    alert_task_failure(context("run 1", error=DataError(CAUSE)))
    assert len(queue.messages()) == 1


def test_what_goes_wrong_with_incidents_fails_no_task(
    queue: Queue, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerting, "look_at", lambda *_, **__: 1 / 0)
    look_after_run(context("run"), DOMAIN)
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", f"postgresql://nobody@127.0.0.1:{closed_port()}/away")
    after_each_task(context("run"))
    look_after_run(context("run"), DOMAIN)
    assert queue.messages() == []


def test_two_causes_of_one_run_are_two_messages(queue: Queue, warehouse: str) -> None:
    alert_task_failure(of_task("intake_traffic"))
    alert_task_failure(of_task("intake_customers", "another cause"))
    causes = {message["Message"].splitlines()[1] for message in queue.messages()}
    assert causes == {f"Cause: {CAUSE}", "Cause: another cause"}
