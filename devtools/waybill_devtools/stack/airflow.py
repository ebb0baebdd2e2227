"""Airflow's four processes on one machine: their settings, and whether they are well."""

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
from waybill_devtools.stack.postgres import url
from waybill_devtools.stack.processes import Program
from waybill_devtools.stack.state import State, write_private

VERSION = version("apache-airflow")
USERS = {"admin": "admin", "operator": "op", "viewer": "viewer"}
"""Who may log in, with the role that Airflow knows them by."""
COMPONENTS = ("airflow-api", "airflow-scheduler", "airflow-dags", "airflow-triggerer")


def programs() -> tuple[Program, ...]:
    """The migration of Airflow's database, which runs once, and the four components."""
    airflow = str(Path(sysconfig.get_path("scripts")) / "airflow")
    return (
        Program("airflow-migrate", (airflow, "db", "migrate"), once=True),
        Program("airflow-api", (airflow, "api-server"), stop_seconds=5),
        Program("airflow-scheduler", (airflow, "scheduler", "--skip-serve-logs"), stop_seconds=5),
        Program("airflow-dags", (airflow, "dag-processor"), stop_seconds=5),
        Program("airflow-triggerer", (airflow, "triggerer", "--skip-serve-logs"), stop_seconds=5),
    )


def prepare(home: Path, state: State) -> None:
    """Write Airflow's home folder: log-ins, the scheduler's imports, and a configuration without content."""
    folder = home / "airflow"
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "airflow.cfg").write_text("# Settings come from the environment: see ../env\n")
    shutil.copyfile(
        PROJECT_ROOT / "containers" / "airflow_local_settings.py", folder / "config" / "airflow_local_settings.py"
    )
    passwords = {user: state.secrets[user] for user in USERS}
    write_private(folder / "passwords.json", json.dumps(passwords) + "\n")


def address(state: State) -> str:
    """Where the user interface and the API are."""
    return f"http://127.0.0.1:{state.ports['airflow']}"


def environment(home: Path, state: State, dags: Path, plugins: Path) -> dict[str, str]:
    """Airflow's settings, and its two connections to the warehouse."""
    slots = min(32, 4 * (os.cpu_count() or 2))
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__PLUGINS_FOLDER": str(plugins),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": str(slots),
        # The executor hands tasks to its processes first come, first served: a backfill must not fill that queue.
        "CORE__DEFAULT_POOL_TASK_SLOT_COUNT": str(pool_size(slots - ARRIVAL_SLOTS)),
        "CORE__FERNET_KEY": state.secrets["fernet"],
        "CORE__EXECUTION_API_SERVER_URL": f"{address(state)}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "airflow" / "passwords.json"),
        "DATABASE__SQL_ALCHEMY_CONN": url(state, "airflow", "airflow").replace(":", "+psycopg2:", 1),
        "API__HOST": "127.0.0.1",
        "API__PORT": str(state.ports["airflow"]),
        "API__BASE_URL": address(state),
        "API__WORKERS": "1",
        "API__SECRET_KEY": state.secrets["session"],
        "API_AUTH__JWT_SECRET": state.secrets["jwt"],
        # A task in between two others costs 0.3 s instead of 0.7 s when the scheduler looks often.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # Half of all tasks hold their slot for this long after their end, until Airflow sees that they are gone.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # Tasks that a killed scheduler had queued are found after seconds, not after five minutes.
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "2",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # What is told at a run's end is told by the process that reads its file, which on a busy machine takes long.
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "180",
    }
    return {
        "AIRFLOW_HOME": str(home / "airflow"),
        "PYTHONWARNINGS": "ignore::DeprecationWarning,ignore:Could not import graphviz",
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_CONN_WAYBILL_WAREHOUSE": url(state, "waybill_etl", "warehouse"),
        "AIRFLOW_CONN_WAYBILL_READER": url(state, "waybill_reader", "warehouse") + "?connect_timeout=5",
    }


def healthy(state: State) -> bool:
    """Whether tasks can be run and every component says it is well."""
    try:
        # The API that tasks use is built at its first request, for seconds: here, not in the first task.
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
