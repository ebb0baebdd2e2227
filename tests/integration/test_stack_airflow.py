from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.listeners import listeners
from support.waiting import eventually
from waybill_devtools.stack import Stack, airflow


def call(stack: Stack, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
    request = urllib.request.Request(
        stack.airflow_address() + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


def token(stack: Stack, user: str) -> str:
    answer = call(stack, "/auth/token", {"username": user, "password": stack.passwords()[user]})
    return str(answer["access_token"])


def test_a_task_runs_and_reaches_s3(airflow_stack: Stack) -> None:
    admin = token(airflow_stack, "admin")
    assert eventually(lambda: "probe" in str(call(airflow_stack, "/api/v2/dags?limit=100", token=admin)))
    run = call(airflow_stack, "/api/v2/dags/probe/dagRuns", {"logical_date": None}, admin)
    path = f"/api/v2/dags/probe/dagRuns/{run['dag_run_id']}"
    assert eventually(lambda: call(airflow_stack, path, token=admin)["state"] in ("success", "failed"), 60)
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
