"""Workers on ECS are protected while they run tasks. A web server takes the place of the ECS agent."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest
from celery import Celery
from celery.result import EagerResult
from celery.signals import task_postrun, task_prerun

from waybill.settings import PROJECT_ROOT

CONTAINERS = PROJECT_ROOT / "containers"
PROTECTED = {"ProtectionEnabled": True, "ExpiresInMinutes": 1440}
RELEASED = {"ProtectionEnabled": False}


class Agent:
    """A web server that records what it is asked, and answers with `status`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.status = 200
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                agent.asked.append((self.path, json.loads(body)))
                self.send_response(agent.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def states(self) -> list[dict[str, object]]:
        assert {path for path, _ in self.asked} <= {"/api/1/task-protection/v1/state"}
        return [state for _, state in self.asked]


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    agent = Agent()
    thread = threading.Thread(target=agent.server.serve_forever)
    thread.start()
    monkeypatch.setenv("ECS_AGENT_URI", f"http://127.0.0.1:{agent.server.server_port}/api/1")
    yield agent
    agent.server.shutdown()
    agent.server.server_close()
    thread.join()


@pytest.fixture
def protection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("task_protection", CONTAINERS / "task_protection.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "BUSY", tmp_path / "busy")
    yield module
    task_prerun.disconnect(module.protect)
    task_postrun.disconnect(module.release)


def run(body: Callable[[], object] = lambda: "done") -> EagerResult:
    """Run a task as a worker does, with all signals."""

    def task() -> object:
        return body()

    return Celery(set_as_current=False).task(task).apply()


def test_a_worker_is_protected_while_a_task_runs(agent: Agent, protection: ModuleType) -> None:
    during = run(lambda: list(agent.states))
    assert during.get() == [PROTECTED]
    assert agent.states == [PROTECTED, RELEASED]


def test_a_failed_task_releases_the_worker(agent: Agent, protection: ModuleType) -> None:
    assert run(lambda: 1 / 0).failed()
    assert agent.states == [PROTECTED, RELEASED]


def test_a_worker_stays_protected_until_its_last_task_ends(agent: Agent, protection: ModuleType) -> None:
    protection.BUSY.mkdir()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (protection.BUSY / str(other.pid)).touch()
    run()
    assert agent.states == [PROTECTED]
    other.communicate(b"\n")  # ends without removing its file, as a killed process does
    run()
    assert agent.states == [PROTECTED, PROTECTED, RELEASED]


def test_tasks_run_without_the_agent(agent: Agent, protection: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.status = 500
    assert run().get() == "done"
    monkeypatch.setenv("ECS_AGENT_URI", "http://127.0.0.1:1")
    assert run().get() == "done"
    monkeypatch.delenv("ECS_AGENT_URI")
    assert run().get() == "done"
    protection.BUSY = Path(os.devnull)
    assert run().get() == "done"


@pytest.mark.parametrize(
    ("arguments", "uri", "loaded"),
    [
        (["celery", "worker"], "http://127.0.0.1:1", True),
        (["celery", "worker"], None, False),
        (["scheduler"], "http://127.0.0.1:1", False),
    ],
)
def test_only_workers_on_ecs_load_it(
    arguments: list[str], uri: str | None, loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported: list[str] = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    monkeypatch.setattr(sys, "argv", ["airflow", *arguments])
    monkeypatch.delenv("ECS_AGENT_URI", raising=False)
    if uri:
        monkeypatch.setenv("ECS_AGENT_URI", uri)
    runpy.run_path(str(CONTAINERS / "airflow_local_settings.py"))
    assert ("task_protection" in imported) == loaded
    assert "containers/task_protection.py /opt/airflow/config/" in (PROJECT_ROOT / "Dockerfile").read_text()
