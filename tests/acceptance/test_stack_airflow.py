from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psutil
import pytest

from support.listeners import listeners
from support.waiting import PATIENCE, eventually
from waybill.ops import metrics
from waybill.settings import PROJECT_ROOT
from waybill_devtools.stack import Stack, airflow

if TYPE_CHECKING:
    from support.telemetry import Received


def call(stack: Stack, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
    request = urllib.request.Request(
        stack.airflow_address() + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return dict(json.load(answer))


def token(stack: Stack, user: str) -> str:
    answer = call(stack, "/auth/token", {"username": user, "password": stack.passwords()[user]})
    return str(answer["access_token"])


def run_once(stack: Stack, dag: str, admin: str) -> str:
    """Run a DAG to its end, and return the path of the run."""
    assert eventually(lambda: f"'{dag}'" in str(call(stack, "/api/v2/dags?limit=100", token=admin)))
    run = call(stack, f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None}, admin)
    path = f"/api/v2/dags/{dag}/dagRuns/{run['dag_run_id']}"
    assert eventually(lambda: call(stack, path, token=admin)["state"] in ("success", "failed"), every=0.5)
    return path


def test_a_task_runs_and_reaches_s3(airflow_stack: Stack) -> None:
    admin = token(airflow_stack, "admin")
    path = run_once(airflow_stack, "probe", admin)
    value = call(airflow_stack, f"{path}/taskInstances/answer/xcomEntries/return_value", token=admin)["value"]
    assert "waybill-raw" in str(value)


@pytest.mark.parametrize(("user", "body"), [("", None), ("viewer", {"logical_date": None})])
def test_users_without_permission_are_denied(airflow_stack: Stack, user: str, body: dict[str, Any] | None) -> None:
    bearer = token(airflow_stack, user) if user else ""
    with pytest.raises(urllib.error.HTTPError, match=r"40[13]"):
        call(airflow_stack, "/api/v2/dags/probe/dagRuns", body, bearer)


def test_airflow_loads_no_file_of_the_package_as_a_plugin(airflow_stack: Stack) -> None:
    admin = token(airflow_stack, "admin")
    sources = [one["source"] for one in call(airflow_stack, "/api/v2/plugins", token=admin)["plugins"]]
    assert not [source for source in sources if "waybill/" in source]
    assert call(airflow_stack, "/api/v2/plugins/importErrors", token=admin)["import_errors"] == []


def test_every_listener_of_airflow_is_on_the_loopback_address(airflow_stack: Stack) -> None:
    addresses = set()
    for service in airflow_stack.status():
        assert service.state == "running"
        assert service.pid is not None
        process = psutil.Process(service.pid)
        addresses |= {address.ip for address in listeners([process, *process.children(recursive=True)])}
    assert addresses == {"127.0.0.1"}


def test_every_setting_exists_in_airflow(airflow_stack: Stack) -> None:
    from airflow.configuration import conf

    known = {
        f"AIRFLOW__{section}__{option}".upper()
        for section, content in conf.configuration_description.items()
        for option in content["options"]
    }
    used = {name for name in airflow_stack.env() if name.startswith("AIRFLOW__")}
    assert used - known == set()


def test_secrets_are_readable_by_their_owner_only(airflow_stack: Stack) -> None:
    for name in ("state.json", "env", "supervisord.conf", "airflow/passwords.json"):
        assert Path(airflow_stack.home / name).stat().st_mode & 0o077 == 0


def test_a_second_up_changes_nothing(airflow_stack: Stack) -> None:
    before = airflow_stack.status()
    assert airflow_stack.up() is False
    assert airflow_stack.status() == before
    assert airflow.healthy(airflow_stack.state)


def test_the_work_of_a_run_is_measured_without_its_waits(airflow_stack: Stack) -> None:
    run_once(airflow_stack, "waits", token(airflow_stack, "admin"))
    environment = airflow_stack.env()
    cloudwatch = boto3.client(
        "cloudwatch",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )

    def measured(name: str) -> list[float]:
        now = datetime.now(UTC)
        answer = cloudwatch.get_metric_statistics(
            Namespace=metrics.NAMESPACE,
            MetricName=name,
            Dimensions=[{"Name": "Pipeline", "Value": "waits"}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Sum"],
        )
        return [point["Sum"] for point in answer["Datapoints"]]

    assert eventually(lambda: measured("RunFailed") == [0])
    [took], [worked] = measured("RunSeconds"), measured("WorkSeconds")
    assert 0 <= worked <= took - 5, "the wait of 5 s is no work"


def test_airflow_sends_each_metric_that_terraform_names(airflow_stack: Stack, telemetry: Received) -> None:
    modules = PROJECT_ROOT / "terraform" / "modules"
    named = set(re.findall(r'"(airflow\.[a-z_.]+)"', (modules / "monitoring" / "metrics.tf").read_text()))
    assert "airflow.scheduler_heartbeat" in named
    run_once(airflow_stack, "probe", token(airflow_stack, "admin"))
    assert eventually(lambda: named <= telemetry.kinds.keys()), named - telemetry.kinds.keys()
    assert named & telemetry.cumulative == set(), "the collector would lose the first value of each process"
    assert telemetry.services == {"waybill-test"}
