"""`deploy/smoke.py` finds services of Airflow that are missing, incomplete or at another version."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest

from waybill.settings import PROJECT_ROOT

WANTED = {
    "scheduler": {"task_definition": "arn:scheduler:2", "tasks": 2},
    "worker": {"task_definition": "arn:worker:2", "tasks": 1},
}


def smoke() -> ModuleType:
    spec = importlib.util.spec_from_file_location("smoke", PROJECT_ROOT / "deploy" / "smoke.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def problems(*services: dict[str, Any]) -> list[str]:
    ecs = Mock()
    ecs.describe_services.return_value = {"services": [{"status": "ACTIVE", **service} for service in services]}
    found = list(smoke()._services(ecs, "waybill-dev", WANTED))
    ecs.describe_services.assert_called_once_with(cluster="waybill-dev", services=["scheduler", "worker"])
    return found


SCHEDULER = {"serviceName": "scheduler", "taskDefinition": "arn:scheduler:2", "runningCount": 2}
WORKER = {"serviceName": "worker", "taskDefinition": "arn:worker:2", "runningCount": 3}


def test_services_as_planned_pass() -> None:
    assert problems(SCHEDULER, WORKER) == []


def test_a_missing_service_is_found() -> None:
    assert problems(SCHEDULER) == ["service worker: it does not exist"]
    assert problems(SCHEDULER, {**WORKER, "status": "INACTIVE"}) == ["service worker: it does not exist"]


def test_a_service_that_was_rolled_back_is_found() -> None:
    rolled_back = {**SCHEDULER, "taskDefinition": "arn:scheduler:1"}
    assert problems(rolled_back, WORKER) == ["service scheduler: it runs arn:scheduler:1, not arn:scheduler:2"]


def test_a_service_without_all_its_tasks_is_found() -> None:
    assert problems({**SCHEDULER, "runningCount": 1}, WORKER) == ["service scheduler: 1 of 2 tasks are running"]


def test_the_region_is_that_of_the_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(
        json.dumps({"alerts_topic_arn": {"value": "arn:aws:sns:eu-central-2:123456789012:waybill-dev-alerts"}})
    )
    monkeypatch.setattr(sys, "argv", ["smoke.py", str(file)])
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    module, regions = smoke(), []

    def look(outputs: dict[str, Any], client: Any) -> list[str]:
        regions.append(client("sqs").meta.region_name)
        return []

    monkeypatch.setattr(module, "problems", look)
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert (ended.value.code, regions) == (False, ["eu-central-2"])
