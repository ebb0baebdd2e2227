"""The views as Airflow mounts them: all of them require a log-in."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from waybill.operators.web import application

PATHS = [getattr(route, "path", "") for route in application().routes]


@pytest.mark.parametrize("path", PATHS)
def test_a_route_requires_a_log_in(path: str) -> None:
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
    method = client.post if "replay" in path else client.get
    assert method(filled).status_code == 401


def test_there_are_routes() -> None:
    assert len(PATHS) > 10
