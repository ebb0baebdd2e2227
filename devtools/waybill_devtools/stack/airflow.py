"""The processes of Airflow on one machine: their settings and their health."""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

from waybill.pools import ARRIVAL_SLOTS, pool_size
from waybill.settings import PROJECT_ROOT
from waybill_devtools.stack import broker
from waybill_devtools.stack.postgres import url
from waybill_devtools.stack.processes import Program
from waybill_devtools.stack.state import State, write_private

CONTAINERS = PROJECT_ROOT / "containers"
VERSION = version("apache-airflow")
USERS = {"admin": "admin", "operator": "op", "viewer": "viewer"}
"""The users, with their roles in Airflow."""
WORKER_TASKS = 4
"""The number of tasks that a worker runs at a time."""
COMPONENTS = ("airflow-api", "airflow-scheduler", "airflow-dags", "airflow-triggerer")


def components(state: State) -> tuple[str, ...]:
    """Return the names of all long-running processes."""
    return *COMPONENTS, *(f"airflow-worker-{number}" for number in range(1, state.workers + 1))


def programs(state: State) -> tuple[Program, ...]:
    """Return the migration of Airflow's database, which runs once, the four components, and Celery's workers."""
    airflow = str(Path(sysconfig.get_path("scripts")) / "airflow")
    return (
        Program("airflow-migrate", (airflow, "db", "migrate"), once=True),
        Program("airflow-api", (airflow, "api-server"), stop_seconds=5),
        Program("airflow-scheduler", (airflow, "scheduler", "--skip-serve-logs"), stop_seconds=5),
        Program("airflow-dags", (airflow, "dag-processor"), stop_seconds=5),
        Program("airflow-triggerer", (airflow, "triggerer", "--skip-serve-logs"), stop_seconds=5),
        *(
            Program(name, (airflow, "celery", "worker", "--celery-hostname", name, "--skip-serve-logs"), stop_seconds=5)
            for name in components(state)[len(COMPONENTS) :]
        ),
    )


def prepare(home: Path, state: State) -> None:
    """Write Airflow's home folder: log-ins, and the settings and early imports that containers have, too."""
    folder = home / "airflow"
    (folder / "config").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(CONTAINERS / "airflow.cfg", folder / "airflow.cfg")
    shutil.copyfile(CONTAINERS / "airflow_local_settings.py", folder / "config" / "airflow_local_settings.py")
    passwords = {user: state.secrets[user] for user in USERS}
    write_private(folder / "passwords.json", json.dumps(passwords) + "\n")


def address(state: State) -> str:
    """Return the address of the user interface and the API."""
    return f"http://127.0.0.1:{state.ports['airflow']}"


def environment(home: Path, state: State, dags: Path, plugins: Path) -> dict[str, str]:
    """Return Airflow's settings, and its two connections to the warehouse."""
    slots = min(32, 4 * (os.cpu_count() or 2))
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__PLUGINS_FOLDER": str(plugins),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "CeleryExecutor" if state.workers else "LocalExecutor",
        "CORE__PARALLELISM": str(slots),
        # The executor serves tasks in order of arrival, so a backfill must not fill its queue.
        "CORE__DEFAULT_POOL_TASK_SLOT_COUNT": str(pool_size(slots - ARRIVAL_SLOTS)),
        "CORE__FERNET_KEY": state.secrets["fernet"],
        "CORE__EXECUTION_API_SERVER_URL": f"{address(state)}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "airflow" / "passwords.json"),
        "DATABASE__SQL_ALCHEMY_CONN": url(state, "airflow", "airflow").replace(":", "+psycopg2:", 1),
        "API__HOST": "127.0.0.1",
        "API__PORT": str(state.ports["airflow"]),
        "API__BASE_URL": address(state),
        "API__SECRET_KEY": state.secrets["session"],
        "API_AUTH__JWT_SECRET": state.secrets["jwt"],
    }
    if state.workers:
        settings["CELERY__BROKER_URL"] = broker.url(state)
        settings["CELERY__RESULT_BACKEND"] = f"db+{settings['DATABASE__SQL_ALCHEMY_CONN']}"
        settings["CELERY__WORKER_CONCURRENCY"] = str(WORKER_TASKS)
    return {
        "AIRFLOW_HOME": str(home / "airflow"),
        "PYTHONWARNINGS": "ignore::DeprecationWarning,ignore:Could not import graphviz",
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_CONN_WAYBILL_WAREHOUSE": url(state, "waybill_etl", "warehouse"),
        "AIRFLOW_CONN_WAYBILL_READER": url(state, "waybill_reader", "warehouse") + "?connect_timeout=5",
    }


def healthy(state: State) -> bool:
    """Return whether tasks can run and every component reports that it is healthy."""
    try:
        # The API for tasks takes seconds to build at its first request: better here than in the first task.
        _get(state, "/execution/health")
        health = _get(state, "/api/v2/monitor/health")
    except (OSError, ValueError):
        return False
    parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    return all((health.get(part) or {}).get("status") == "healthy" for part in parts)


def _get(state: State, path: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address(state) + path, timeout=30) as answer:
        content: dict[str, Any] = json.load(answer)
    return content
