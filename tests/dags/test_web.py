"""The views as Airflow mounts them: all of them require a log-in."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

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


def test_there_are_routes() -> None:
    assert len(ROUTES) > 10
    assert {method for method, _ in ROUTES} >= {"GET", "POST"}
