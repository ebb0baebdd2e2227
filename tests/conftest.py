"""Fixtures for all tests: an embedded stack without Airflow, a fresh warehouse, a fresh bucket."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import hypothesis
import psycopg
import pytest
from hypothesis import is_hypothesis_test

from rights.calls import RECORDER
from waybill.settings import PROJECT_ROOT, settings
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from xdist.scheduler import LoadScopeScheduling

# Examples that talk to servers take their time, and the machine may be busy. The same commit has the same examples
# everywhere, half of those that a property asks for; `make fuzz` looks for other ones, and takes all.
hypothesis.settings.register_profile("waybill", deadline=None, derandomize=True)
hypothesis.settings.register_profile("fuzz", deadline=None, print_blob=True)
hypothesis.settings.load_profile("waybill")

pytest_plugins = ["rights.plugin"]
pytest.register_assert_rewrite("oracles", "support")

# Imports of Airflow in tests must find the DAGs of this project and must not change the user's home.
# A test that talks to a server asks for a fixture; nothing may reach one by the user's own environment.
for name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_", "PG", "WAYBILL_"))]:
    del os.environ[name]
airflow_home = tempfile.mkdtemp(prefix="waybill-airflow-")
atexit.register(shutil.rmtree, airflow_home, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": airflow_home,
    "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AWS_EC2_METADATA_DISABLED": "true",
}


APART = "tests/acceptance/test_scale_out.py"
"""A file that starts stacks of its own."""
TOGETHER = ("tests/acceptance/", "tests/browser/", "tests/spark/")
"""Folders whose other files share a stack with Airflow or a Spark session, so one worker of xdist runs them all."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> LoadScopeScheduling | None:
    """With `--dist loadscope`, give a file, or a folder whose files share a stack, to one worker.

    The order is that of the collection, after `pytest_collection_modifyitems`.
    """
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", maxsplit=1)[0]
            return next((folder for folder in TOGETHER if file.startswith(folder) and file != APART), file)

    config.option.loadscopereorder = False
    return Scheduler(config)


SERVERS = {"airflow_stack", "short_home", "stack"}
"""Fixtures that start servers, or are for a test that does."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need servers or a browser, by their fixtures and folder; the longest folders come first."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("stack")
        if "browser" in item.path.relative_to(PROJECT_ROOT / "tests").parts:
            item.add_marker("browser")
    items.sort(key=lambda item: not item.nodeid.startswith(TOGETHER))
    if not config.getoption("--hypothesis-profile"):
        halve_examples(items)


FEW = 5
"""Properties with so many examples or fewer have them all."""


def halve_examples(items: Iterable[pytest.Item]) -> None:
    """Let each property have half of the examples that it asks for."""
    properties = {item.obj for item in items if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)}
    for test in properties:
        asked = test._hypothesis_internal_use_settings
        few = max(asked.max_examples // 2, min(asked.max_examples, FEW))
        test._hypothesis_internal_use_settings = hypothesis.settings(asked, max_examples=few)


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of the garbage collection, which would look at all of it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def include_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the project's contracts, manifests and SQL, which the settings name."""
    copy = tmp_path / "include"
    shutil.copytree(PROJECT_ROOT / "include", copy)
    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(copy))
    settings.cache_clear()
    yield copy
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """PostgreSQL, S3 and the AWS APIs, in a folder of their own; stopped at the end of the session."""
    running = Stack(tmp_path_factory.mktemp("stack"), paths=[RECORDER])
    try:
        running.up(with_airflow=False)
        yield running
    finally:
        running.down()


PROBE_DAG = """
from airflow.sdk import dag, task

@dag(schedule=None, is_paused_upon_creation=False)
def probe():
    @task
    def answer():
        import boto3
        return sorted(bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"])
    answer()

probe()
"""

DUE_DAG = """
import time

from airflow.sdk import DAG, task

from waybill.operators import DEFAULT_ARGS, alert_failure, deadline_alert

with DAG(
    "due", schedule=None, is_paused_upon_creation=False, params={"seconds": 0, "fails": False},
    default_args=DEFAULT_ARGS | {"retries": 0}, on_failure_callback=alert_failure, deadline=deadline_alert(hours=3),
):

    @task
    def work(params, ti):
        time.sleep(params["seconds"])
        if params["fails"] and ti.try_number == 1:
            raise ValueError("the first try fails")

    work()
"""


WAITS_DAG = """
from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator

from waybill.operators.measuring import measure_success
from waybill.operators.waits import begin_wait, end_wait

class Wait(BaseOperator):
    def execute(self, context):
        begin_wait(context)
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=5)), method_name="go_on")

    def go_on(self, context, event=None):
        end_wait(context)

with DAG("waits", schedule=None, is_paused_upon_creation=False, on_success_callback=measure_success):
    Wait(task_id="wait")
"""


@pytest.fixture(scope="session")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project's DAGs, and the DAGs `probe`, `due` and `waits`."""
    folder = tmp_path_factory.mktemp("dags")
    for entry in (PROJECT_ROOT / "dags").iterdir():
        (folder / entry.name).symlink_to(entry)
    (folder / "probe.py").write_text(PROBE_DAG)
    (folder / "due.py").write_text(DUE_DAG)
    (folder / "waits.py").write_text(WAITS_DAG)
    return folder


@pytest.fixture
def stack_environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The stack's environment, set for this test: boto3 clients and the warehouse's address just work."""
    environment = stack.env()
    for name, value in environment.items():
        if name.startswith(("AWS_", "AIRFLOW_CONN_", "NO_PROXY", "no_proxy", "WAYBILL_LAKE_", "WAYBILL_MASK_KEY")):
            monkeypatch.setenv(name, value)
    # The default session keeps the credentials that it has found first, which may be those of another test.
    found = boto3.DEFAULT_SESSION and boto3.DEFAULT_SESSION.get_credentials()
    if not found or found.access_key != environment["AWS_ACCESS_KEY_ID"]:
        boto3.DEFAULT_SESSION = None
    return environment


@pytest.fixture
def warehouse_dsn(stack: Stack, stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a warehouse without data for waybill_etl; AIRFLOW_CONN_WAYBILL_WAREHOUSE is it, too."""
    from support.messaging_months import database  # imports DAGs, which need the environment above

    with database(stack) as dsn:
        monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        settings.cache_clear()
        yield dsn
    settings.cache_clear()


@pytest.fixture
def warehouse(warehouse_dsn: str) -> Iterator[psycopg.Connection]:
    """A connection to the fresh warehouse as waybill_etl."""
    with psycopg.connect(warehouse_dsn) as connection:
        yield connection


@pytest.fixture
def s3(stack: Stack, stack_environment: dict[str, str]) -> S3Client:
    """A client of the stack's S3; boto3.client("s3") gives another one."""
    return stack.s3()


@pytest.fixture
def bucket(s3: S3Client) -> str:
    """The name of a fresh bucket with versioning on."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A folder for a stack of the test's own, below a folder that only its owner may enter."""
    with tempfile.TemporaryDirectory(prefix="waybill-") as folder:
        yield Path(folder) / "home"
