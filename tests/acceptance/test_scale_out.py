"""Two Celery workers do what one machine does, also when a worker and the broker are killed while they work.

The backfills are short. With WHOLE_RANGE=1 in the environment, they cover 12 months and 30 days.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest
import redis

from support.airflow_settings import RARE_PARSING
from support.table_hashes import table_hashes
from support.waiting import PATIENCE, eventually
from waybill.period import Period
from waybill.settings import PROJECT_ROOT
from waybill.warehouse.connection import connect
from waybill.warehouse.migrations import upgrade
from waybill_devtools import demo
from waybill_devtools.sampledata.files import upload
from waybill_devtools.stack import Stack, broker

pytestmark = [pytest.mark.scaleout, pytest.mark.stack]

MONTHS, DAYS = (12, 30) if os.environ.get("WHOLE_RANGE") else (2, 2)
PIPELINES = (
    replace(demo.MESSAGING, seeded=MONTHS + 2, backfilled=MONTHS),
    replace(demo.SHOP, seeded=DAYS, backfilled=DAYS),
)
SCHEDULER = "airflow-scheduler"
WORKERS = ("airflow-worker-1", "airflow-worker-2")
FREQUENT_CHECKS = {
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "2",
}
"""How often the scheduler looks for lost tasks. The time after which it takes a task for lost is that of production."""

HELD_DAG = """
from datetime import timedelta

from airflow.sdk import dag, task

@dag(schedule=None, is_paused_upon_creation=False, default_args={"retries": 1, "retry_delay": timedelta(seconds=1)})
def held():
    @task
    def work(ti):
        from waybill.warehouse.connection import connect

        with connect() as connection, connection.transaction():
            connection.execute("insert into held values (%s, %s)", (ti.run_id, ti.try_number))
            connection.execute("select pg_advisory_xact_lock_shared(7)")
    work()

held()
"""
"""A task that writes in a transaction, and ends when nobody holds lock 7."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project's DAGs and `held`."""
    made = tmp_path_factory.mktemp("dags")
    for entry in (PROJECT_ROOT / "dags").iterdir():
        (made / entry.name).symlink_to(entry)
    (made / "held.py").write_text(HELD_DAG)
    return made


def start(stack: Stack, workers: int) -> None:
    stack.up(workers=workers)
    with closing(connect(stack.database_url())) as connection:
        upgrade(connection)
        connection.execute("create table held (run_id text, try_number int)")
    api(stack).unpause("held", PATIENCE)


@pytest.fixture(scope="module")
def one_machine(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("one"), folder, variables=RARE_PARSING | FREQUENT_CHECKS)
    try:
        start(stack, 0)
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("two"), folder, variables=RARE_PARSING | FREQUENT_CHECKS)
    try:
        start(stack, len(WORKERS))
        yield stack
    finally:
        stack.down()


def api(stack: Stack) -> demo.Airflow:
    return demo.Airflow(stack.airflow_address(), "admin", stack.passwords()["admin"])


def processes(stack: Stack, name: str) -> list[psutil.Process]:
    """Return the process of a part and all its descendants; none while it restarts."""
    [pid] = [service.pid for service in stack.status() if service.name == name]
    try:
        main = psutil.Process(pid) if pid else None
        return [main, *main.children(recursive=True)] if main else []
    except psutil.NoSuchProcess:
        return []


def each(some: list[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in some:
        try:
            send(process)
        except psutil.NoSuchProcess:
            continue


def query(stack: Stack, statement: str, *parameters: Any) -> list[Any]:
    """Return the rows of a statement in Airflow's database."""
    with psycopg.connect(stack.database_url("airflow", "airflow")) as connection:
        cursor = connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def running_in(stack: Stack, some: list[psutil.Process], tasks: str = "%") -> set[UUID]:
    """Return the attempts of tasks, by a pattern of their names, that run in one of the processes."""
    running = "select id from task_instance where state = 'running' and pid = any(%s) and task_id like %s"
    return {attempt for (attempt,) in query(stack, running, [process.pid for process in some], tasks)}


def let_the_time_pass(stack: Stack, attempts: set[UUID]) -> None:
    """Let the last heartbeat, or the queueing, of tasks be long ago."""
    query(
        stack,
        "update task_instance set last_heartbeat_at = last_heartbeat_at - interval '1 hour', "
        "queued_dttm = queued_dttm - interval '1 hour' where id = any(%s)",
        list(attempts),
    )


def end_the_delays(stack: Stack) -> None:
    """End the delay before the next attempt of each failed task."""
    query(stack, "update task_instance set end_date = end_date - interval '1 hour' where state = 'up_for_retry'")


def are_tried_again(stack: Stack, attempts: set[UUID]) -> bool:
    """Return whether all attempts have failed."""
    counted = "select count(*) from task_instance_history where task_instance_id = any(%s)"
    [(failed,)] = query(stack, counted, list(attempts))
    return bool(failed == len(attempts))


def all_runs_ended(stack: Stack) -> bool:
    """Return whether no run is at work, and end the delay before the next attempts."""
    end_the_delays(stack)
    [(unfinished,)] = query(stack, "select count(*) from dag_run where state in ('queued', 'running')")
    return bool(unfinished == 0)


def forget_the_scheduler(stack: Stack, attempts: set[UUID]) -> None:
    """Let the last heartbeat of the scheduler that queued tasks be long ago."""
    query(
        stack,
        "update job set latest_heartbeat = latest_heartbeat - interval '1 hour' "
        "where id in (select queued_by_job_id from task_instance where id = any(%s))",
        list(attempts),
    )


def lose(stack: Stack, name: str, tasks: str = "%") -> set[UUID]:
    """Kill a part and all its processes, as if its machine were lost, while tasks run in it; return them.

    The processes are suspended before the tasks are queried, so that none ends in between.
    """
    lost: set[UUID] = set()

    def killed() -> bool:
        found = processes(stack, name)
        if not running_in(stack, found, tasks):
            return False
        each(found, psutil.Process.suspend)
        found = processes(stack, name)
        each(found, psutil.Process.suspend)
        lost.update(running_in(stack, found) if running_in(stack, found, tasks) else ())
        each(found, psutil.Process.kill if lost else psutil.Process.resume)
        return bool(lost)

    assert eventually(killed), f"no task ran in {name}"
    let_the_time_pass(stack, lost)
    if name == SCHEDULER:
        forget_the_scheduler(stack, lost)
    return lost


def kill_the_broker(stack: Stack) -> None:
    [old] = [service.pid for service in stack.status() if service.name == "broker"]
    assert old
    os.kill(old, signal.SIGKILL)
    assert eventually(lambda: broker.ready(stack.state))


@dataclass(frozen=True)
class Work:
    """What a backfill left behind: tables, exports, and the states of all tasks and runs."""

    last: dict[str, Period]
    tables: dict[str, tuple[int, str]]
    exports: dict[str, str]
    tasks: set[tuple[str, ...]]
    runs: set[tuple[str, ...]]


def backfill(stack: Stack) -> Work:
    """Backfill both pipelines as `make demo` does, and return the work."""
    deadline = time.monotonic() + 5 * PATIENCE

    def progress(pipeline: demo.Pipeline, *_: int) -> None:
        assert time.monotonic() < deadline, f"the backfill of {pipeline.domain} does not end"
        end_the_delays(stack)

    outcomes = demo.run(stack, step=str, progress=progress, pipelines=PIPELINES)
    for outcome in outcomes:
        assert outcome.run_seconds is not None
        assert (outcome.differences, outcome.gaps) == ([], []), outcome.pipeline.domain
        print(f"{outcome.pipeline.domain}: {outcome.run_seconds:.0f} s")
    # A schedule starts a run of the last period beside that of the backfill, if the backfill was created first.
    assert eventually(lambda: all_runs_ended(stack))
    periods = [str(period) for outcome in outcomes for period in outcome.periods]
    with closing(connect(stack.database_url())) as connection:
        tables = table_hashes(connection)
    listed = stack.s3().list_objects_v2(Bucket="waybill-reports")
    assert not listed["IsTruncated"]
    tasks = (
        "select r.dag_id, r.partition_key, t.task_id, t.state from task_instance as t "
        "inner join dag_run as r using (dag_id, run_id) where r.partition_key = any(%s)"
    )
    runs = "select dag_id, partition_key, state from dag_run where partition_key = any(%s)"
    return Work(
        last={outcome.pipeline.domain: outcome.periods[-1] for outcome in outcomes},
        tables=tables,
        exports={item["Key"]: item["ETag"] for item in listed["Contents"] if "manifest" not in item["Key"]},
        tasks=set(query(stack, tasks, periods)),
        runs=set(query(stack, runs, periods)),
    )


class Held:
    """A run of the DAG `held`, whose task is in the middle of its transaction."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.api = api(stack)
        run = self.api.call("POST", "/dags/held/dagRuns", json={"logical_date": None})
        self.run_id = str(run["dag_run_id"])

    def is_at_work(self) -> bool:
        """Return whether the task waits for the lock."""
        with psycopg.connect(self.stack.database_url()) as connection:
            found = connection.execute(
                "select count(*) from pg_locks where locktype = 'advisory' and objid = 7 and not granted"
            ).fetchone()
        return found == (1,)

    def part(self) -> str:
        """Return the part of the stack that runs the task."""
        names = [service.name for service in self.stack.status()]
        return next(name for name in names if running_in(self.stack, processes(self.stack, name)))

    def ends(self) -> bool:
        return eventually(
            lambda: self.api.call("GET", f"/dags/held/dagRuns/{self.run_id}")["state"] in ("success", "failed"),
            every=0.5,
        )

    def tries(self) -> list[int]:
        """Return the tries whose work is in the warehouse, after a run that went well."""
        assert self.api.call("GET", f"/dags/held/dagRuns/{self.run_id}")["state"] == "success"
        with psycopg.connect(self.stack.database_url()) as connection:
            rows = connection.execute("select try_number from held where run_id = %s", (self.run_id,)).fetchall()
        return [number for (number,) in rows]


@pytest.fixture
def lock() -> Iterator[list[psycopg.Connection]]:
    """Connections that hold lock 7; closing one releases it."""
    held: list[psycopg.Connection] = []
    yield held
    for connection in held:
        connection.close()


def hold(stack: Stack, lock: list[psycopg.Connection]) -> psycopg.Connection:
    connection = psycopg.connect(stack.database_url(), autocommit=True)
    connection.execute("select pg_advisory_lock(7)")
    lock.append(connection)
    return connection


def a_stopped_part_finishes_its_task(stack: Stack, lock: list[psycopg.Connection]) -> None:
    holder = hold(stack, lock)
    run = Held(stack)
    assert eventually(run.is_at_work)
    [main, *_] = processes(stack, run.part())
    main.terminate()
    holder.close()
    assert run.ends()
    assert run.tries() == [1]
    main.wait(PATIENCE)


def a_task_that_is_cut_off_is_tried_again(stack: Stack, lock: list[psycopg.Connection]) -> None:
    """SIGTERM, and SIGKILL to all processes when the time to finish is over."""
    holder = hold(stack, lock)
    run = Held(stack)
    assert eventually(run.is_at_work)
    part = run.part()
    processes(stack, part)[0].terminate()
    assert lose(stack, part)
    holder.close()
    assert run.ends()
    assert run.tries() == [2]


def test_a_stopped_scheduler_finishes_its_task(one_machine: Stack, lock: list[psycopg.Connection]) -> None:
    a_stopped_part_finishes_its_task(one_machine, lock)


def test_a_task_that_is_cut_off_with_the_scheduler_is_tried_again(
    one_machine: Stack, lock: list[psycopg.Connection]
) -> None:
    a_task_that_is_cut_off_is_tried_again(one_machine, lock)


@pytest.fixture(scope="module")
def expected(one_machine: Stack) -> Iterator[Work]:
    """What one machine does. It is stopped then, to leave its processor time to the workers."""
    work = backfill(one_machine)
    one_machine.down()
    return work


def test_two_workers_do_what_one_machine_does_while_a_worker_and_the_broker_are_killed(
    expected: Work, two_workers: Stack
) -> None:
    for pipeline in PIPELINES:
        upload(two_workers.s3(), "waybill-raw", pipeline.generate(expected.last[pipeline.domain].key, pipeline.seeded))
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(backfill, two_workers)
        lost = lose(two_workers, WORKERS[0], "intake_%")
        assert eventually(lambda: running_in(two_workers, processes(two_workers, WORKERS[1])) != set())
        kill_the_broker(two_workers)
        assert eventually(lambda: are_tried_again(two_workers, lost))
        work = working.result()
    assert {state for *_, state in work.runs} == {"success"}
    assert work.tasks == expected.tasks
    assert work.runs == expected.runs
    assert work.tables == expected.tables
    assert work.exports == expected.exports


def test_a_stopped_worker_finishes_its_task(two_workers: Stack, lock: list[psycopg.Connection]) -> None:
    a_stopped_part_finishes_its_task(two_workers, lock)


def test_a_task_that_is_cut_off_with_its_worker_is_tried_again(
    two_workers: Stack, lock: list[psycopg.Connection]
) -> None:
    a_task_that_is_cut_off_is_tried_again(two_workers, lock)


def test_the_tasks_of_workers_outlive_the_scheduler(two_workers: Stack, lock: list[psycopg.Connection]) -> None:
    holder = hold(two_workers, lock)
    run = Held(two_workers)
    assert eventually(run.is_at_work)
    part = run.part()
    [attempt] = running_in(two_workers, processes(two_workers, part))
    each(processes(two_workers, SCHEDULER), psutil.Process.kill)
    forget_the_scheduler(two_workers, {attempt})
    holder.close()
    assert run.ends()
    assert run.tries() == [1]


def test_tasks_wait_while_the_broker_is_away(two_workers: Stack) -> None:
    """Longer than Celery tries to send a task by itself. The broker cannot restart without its settings."""
    settings = two_workers.home / "broker" / "valkey.conf"
    [log] = [service.log for service in two_workers.status() if service.name == SCHEDULER]
    attempts = log.read_text().count("Celery Task Timeout Error")
    away = settings.rename(settings.with_suffix(".away"))
    try:
        each(processes(two_workers, "broker"), psutil.Process.kill)
        runs = [Held(two_workers) for _ in range(2)]
        assert eventually(lambda: log.read_text().count("Celery Task Timeout Error") >= attempts + 4)
    finally:
        away.rename(settings)
    assert all(run.ends() for run in runs)
    assert [run.tries() for run in runs] == [[1], [1]]


def is_suspended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def suspended_workers(stack: Stack) -> Iterator[None]:
    """Suspend the main processes of all workers, which receive the messages."""
    suspended: list[psutil.Process] = []

    def all_are_suspended() -> bool:
        suspended[:] = [main for name in WORKERS for main in processes(stack, name)[:1]]
        each(suspended, psutil.Process.suspend)
        return len(suspended) == len(WORKERS) and all(map(is_suspended, suspended))

    assert eventually(all_are_suspended)
    try:
        yield
    finally:
        each(suspended, psutil.Process.resume)


def test_tasks_that_the_broker_loses_are_sent_again(two_workers: Stack) -> None:
    """A broker that is killed keeps its queue. A failover may lose some of it."""
    held = "select id, external_executor_id from task_instance where dag_id = 'held' and state = 'queued'"
    state = two_workers.state

    def queued() -> dict[str, UUID]:
        """Return the attempts by the number of their messages."""
        return {message: attempt for attempt, message in query(two_workers, held)}

    with (
        redis.Redis(port=state.ports["broker"], password=state.secrets["broker"], socket_timeout=PATIENCE) as client,
        suspended_workers(two_workers),
    ):

        def messages() -> dict[str, bytes]:
            return {json.loads(message)["headers"]["id"]: message for message in client.lrange("default", 0, -1)}

        def all_are_sent() -> bool:
            return len(queued()) == len(runs) and queued().keys() <= messages().keys()

        # For a second, the server hands messages to a suspended worker, which asked for them before.
        assert eventually(lambda: client.info("clients")["blocked_clients"] == 0)
        runs = [Held(two_workers) for _ in range(4)]
        assert eventually(all_are_sent)
        sent, waiting = messages(), queued()
        kill_the_broker(two_workers)
        assert sent.items() <= messages().items()
        kept, *lost = waiting
        for number in lost:
            client.lrem("default", 1, sent[number].decode())
        assert messages().keys() & waiting.keys() == {kept}
        let_the_time_pass(two_workers, {waiting[number] for number in lost})
        assert eventually(lambda: all_are_sent() and queued().keys() & waiting.keys() == {kept})
    assert all(run.ends() for run in runs)
    assert [run.tries() for run in runs] == [[1]] * len(runs)
