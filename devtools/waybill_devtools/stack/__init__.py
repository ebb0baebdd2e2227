"""The embedded stack: PostgreSQL, S3, AWS APIs and Airflow on this machine, without Docker or an account.

All its data is in one folder (`WAYBILL_HOME`, by default `.waybill` in the project). It listens on loopback ports only.
It never runs in production.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from waybill.settings import PROJECT_ROOT, read_settings
from waybill_devtools.stack import airflow, aws, broker, postgres
from waybill_devtools.stack.processes import Processes, StackError
from waybill_devtools.stack.state import State, write_private

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["Service", "Stack", "StackError"]

PLUGINS = PROJECT_ROOT / "plugins"
COMMAND_FOLDERS = (sysconfig.get_path("scripts"), str(postgres.BIN))
DATACONTRACT = PROJECT_ROOT / ".waybill" / "datacontract" / "bin"
"""Programs of `make datacontract`, after all others: the folder also has a Python."""
SERVICES = ("postgres", "s3", "aws")
# Variables of the user's shell about Airflow, AWS, PostgreSQL or Python must not reach the stack.
FOREIGN = ("AIRFLOW", "AWS_", "PG", "PYTHON")
MEANT = "AIRFLOW__OPENLINEAGE__"
"""The beginning of variables about Airflow that reach the stack, because nothing else configures them."""


@dataclass(frozen=True)
class Service:
    """One line of `status`: the state of supervisord, and the address for clients, if any."""

    name: str
    state: str
    pid: int | None
    address: str
    log: Path


class Stack:
    """The stack with its state in `home`.

    Args:
        home: folder of its state; by default WAYBILL_HOME, else `.waybill` in the project.
        dags: folder of the DAGs that its Airflow runs; by default the project's.
        paths: folders from which its Python processes import first.
        variables: more environment variables.
    """

    def __init__(
        self,
        home: Path | None = None,
        dags: Path | None = None,
        *,
        paths: Sequence[Path] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        default = PROJECT_ROOT / ".waybill"
        self.home = (home or Path(os.environ.get("WAYBILL_HOME") or default)).resolve()
        self._prefer_known_ports = self.home == default
        self._dags = dags or PROJECT_ROOT / "dags"
        self._paths = (*paths, PLUGINS)
        self._variables = variables or {}
        self._state_file = self.home / "state.json"

    @property
    def state(self) -> State:
        """Ports and secrets.

        Raises:
            StackError: the stack was never started.
        """
        state = State.load(self._state_file)
        if state is None or not state.has_ports() or not state.has_secrets():
            raise StackError(f"no stack was started in {self.home}. Run `make up`.")
        return state

    def up(
        self, *, with_airflow: bool = True, workers: int | None = None, report: Callable[[str], object] = str
    ) -> bool:
        """Start the parts that do not run, and wait until all are ready. Returns False if all were running.

        Args:
            with_airflow: also start Airflow, in addition to PostgreSQL, S3 and the AWS APIs.
            workers: number of Celery workers, which run the tasks; with 0, the scheduler runs them. By default, as at
                the last start, at first 0.
            report: called with the name of each step.

        Raises:
            StackError: a part did not start, or the stack runs with another number of workers. If nothing ran before
                this call, all parts are stopped again.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            state = State.load(self._state_file) or State()
            launched = not (state.ports and self._processes(state).alive())
            if not launched and not state.has_ports():
                raise StackError("the stack of an earlier version runs. Run `make down` first.")
            if workers not in (None, state.workers) and not launched:
                raise StackError(f"the stack runs with {state.workers} workers. Run `make down` first.")
            state.workers = state.workers if workers is None else workers
            state.generate_secrets()
            state.save(self._state_file)
            wanted = {*SERVICES, *(self._airflow(state) if with_airflow else ())}
            missing = wanted if launched else wanted - self._started(state)
            try:
                if launched:
                    self._launch(state)
                self._start(state, with_airflow, report)
            except BaseException:
                if launched:
                    report("stopping all parts")
                    self._processes(state).stop(first=airflow.components(state))
                raise
        return bool(missing)

    def down(self) -> None:
        """Stop every process of the stack, including those that a killed supervisor left behind."""
        state = State.load(self._state_file)
        if state is not None and state.ports:
            with self._locked():
                self._processes(state).stop(first=airflow.components(state))

    def status(self) -> list[Service]:
        """Return every long-running part; an empty list if the stack was never started."""
        state = State.load(self._state_file)
        if state is None or not state.ports:
            return []
        processes = self._processes(state)
        info = processes.info()
        ports = {**state.ports, "airflow-api": state.ports["airflow"]}
        return [
            Service(
                name=name,
                state=info.get(name, {}).get("statename", "STOPPED").lower(),
                pid=info.get(name, {}).get("pid") or None,
                address=f"127.0.0.1:{ports[name]}" if name in ports else "",
                log=processes.log(name),
            )
            for name in (*SERVICES, *self._airflow(state))
        ]

    def env(self) -> dict[str, str]:
        """Return the environment variables that tasks, tests and shells need to use the stack."""
        return self._environment(self.state)

    def shell_script(self) -> str:
        """Return the environment as shell commands, with the folders of programs and the connection for psql."""
        state = self.state
        psql = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(state.ports["postgres"]),
            "PGUSER": "waybill_etl",
            "PGPASSWORD": state.secrets["warehouse"],
            "PGDATABASE": "warehouse",
        }
        # The package is installed, so PYTHONPATH is not needed. It would affect programs of another clone.
        exported = {name: value for name, value in self.env().items() if name != "PYTHONPATH"} | psql
        exports = [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]
        path, others = shlex.quote(os.pathsep.join(COMMAND_FOLDERS)), shlex.quote(str(DATACONTRACT))
        return "\n".join(["unset AWS_PROFILE AWS_SESSION_TOKEN", *exports, f'export PATH={path}:"$PATH":{others}', ""])

    def airflow_address(self) -> str:
        """Return the address of Airflow's user interface and API."""
        return airflow.address(self.state)

    def passwords(self) -> dict[str, str]:
        """Return Airflow's users and their passwords."""
        return {user: self.state.secrets[user] for user in airflow.USERS}

    def database_url(self, role: str = "waybill_etl", database: str = "warehouse") -> str:
        """Return the address of a database for postgres (superuser), waybill_etl, waybill_reader or airflow."""
        return postgres.url(self.state, role, database)

    def s3(self) -> S3Client:
        """Return a client for the embedded S3."""
        return aws.s3_client(self.state)

    def _launch(self, state: State) -> None:
        """Choose ports, write every configuration and start the supervisor."""
        if state.ports:  # processes that a killed supervisor left behind
            self._processes(state).stop(first=airflow.components(state))
        reservations = state.claim_ports(prefer=self._prefer_known_ports)
        state.save(self._state_file)
        (self.home / "s3").mkdir(mode=0o700, exist_ok=True)
        airflow.prepare(self.home, state)
        broker.prepare(self.home, state)
        environment = self._environment(state)
        write_private(self.home / "env", self.shell_script())
        programs = (
            postgres.program(self.home / "postgres", state.ports["postgres"]),
            *aws.programs(self.home, state),
            broker.program(self.home),
            *airflow.programs(state),
        )
        inherited = {
            name: value for name, value in os.environ.items() if name.startswith(MEANT) or not name.startswith(FOREIGN)
        }
        path = os.pathsep.join((*COMMAND_FOLDERS, os.environ.get("PATH", os.defpath)))
        self._processes(state).launch(programs, inherited | environment | {"PATH": path}, reservations)
        for reservation in reservations:
            reservation.close()

    def _start(self, state: State, with_airflow: bool, report: Callable[[str], object]) -> None:
        """Start each program as soon as the programs that it needs are ready."""
        processes = self._processes(state)
        report("starting PostgreSQL, S3 and the AWS APIs")
        processes.start("s3", "aws")
        postgres.initialise(self.home / "postgres", state.secrets["postgres"])
        processes.start("postgres")
        processes.wait("PostgreSQL", ["postgres"], lambda: postgres.accepts_connections(state))
        postgres.create_databases(self.database_url("postgres", "postgres"), postgres.passwords(state))
        migrate = with_airflow and state.airflow_schema != airflow.VERSION
        if migrate:
            report("preparing Airflow's database")
            processes.start("airflow-migrate")
        settings = read_settings(profile="dev")
        buckets = (settings.raw_bucket, settings.lake_bucket, settings.reports_bucket, settings.dashboard_bucket)
        processes.wait("S3", ["s3"], lambda: aws.s3_ready(state, *buckets))
        databases = (settings.lake_database, settings.training_database)
        processes.wait("the catalog", ["s3"], lambda: aws.catalog_ready(state, *databases))
        processes.wait("the AWS APIs", ["aws"], lambda: aws.apis_ready(state))
        if migrate:
            processes.wait_end("airflow-migrate")
            state.airflow_schema = airflow.VERSION
            state.save(self._state_file)
        if with_airflow:
            report("starting Airflow")
            names = self._airflow(state)
            processes.start(*names)
            processes.wait("Airflow", names, lambda: airflow.healthy(state), seconds=600)

    def _airflow(self, state: State) -> tuple[str, ...]:
        """Return the names of Airflow's processes, and of the broker of its workers."""
        return *(("broker",) if state.workers else ()), *airflow.components(state)

    def _processes(self, state: State) -> Processes:
        return Processes(self.home, state.ports["supervisor"], state.secrets["supervisor"])

    def _started(self, state: State) -> set[str]:
        info = self._processes(state).info()
        return {name for name, one in info.items() if one["statename"] in ("STARTING", "RUNNING")}

    def _environment(self, state: State) -> dict[str, str]:
        loopback = "127.0.0.1,localhost"
        return {
            "WAYBILL_HOME": str(self.home),
            "WAYBILL_PROFILE": "dev",
            "WAYBILL_MASK_KEY": state.secrets["mask_key"],
            "PYTHONPATH": os.pathsep.join(map(str, self._paths)),
            "NO_PROXY": loopback,
            "no_proxy": loopback,
            **aws.environment(state),
            **airflow.environment(self.home, state, self._dags, PLUGINS),
            **self._variables,
        }

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Allow only one `up` or `down` at a time."""
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
