"""The views as Airflow mounts them: all of them require a log-in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi.testclient import TestClient

from waybill.operators import web
from waybill.operators.web import application

ROUTES = [
    (method, getattr(route, "path", ""))
    for route in application().routes
    for method in sorted(getattr(route, "methods", None) or ["GET"])
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_requires_a_log_in(method: str, path: str) -> None:
    client = TestClient(application(), headers={"accept": "application/json"})
    filled = path
    for name, value in {
        "domain": "messaging",
        "key": "2026-03",
        "name": "top_customers",
        "view": "business",
        "dag_id": "messaging_monthly",
    }.items():
        filled = filled.replace(f"{{{name}}}", value)
    assert client.request(method, filled).status_code == 401


@pytest.mark.parametrize(
    ("role", "may_replay", "may_reveal"),
    [("viewer", False, False), ("user", True, False), ("op", True, True), ("admin", True, True)],
)
def test_to_reveal_values_needs_more_than_to_replay_rows(
    role: str, may_replay: bool, may_reveal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "get_auth_manager", SimpleAuthManager)
    request: Any = SimpleNamespace(state=SimpleNamespace(waybill_user=SimpleAuthManagerUser(username="ada", role=role)))
    assert web._may_run(request, "messaging_monthly") == may_replay
    assert web._may_reveal(request) == may_reveal


def test_there_are_routes() -> None:
    assert len(ROUTES) > 10
    assert {method for method, _ in ROUTES} >= {"GET", "POST"}
