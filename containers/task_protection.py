"""Protect a worker on ECS from scale-in and deployments while it runs tasks.

Airflow's settings import this module in workers on ECS. The processes of a worker share a folder, in which each busy
process has a file named by its number. A protection that nobody ends, because the worker was killed, expires.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import logging
import os
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery.signals import task_postrun, task_prerun

BUSY = Path(tempfile.gettempdir()) / "busy"
MINUTES = 24 * 60


@contextmanager
def _locked() -> Iterator[None]:
    """Keep the other processes of the worker from changing the protection."""
    BUSY.mkdir(exist_ok=True)
    with (BUSY / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _busy() -> bool:
    """Return whether a process of this worker runs a task. Files of processes that were killed do not count."""
    return any(path.name.isdigit() and Path("/proc", path.name).exists() for path in BUSY.iterdir())


def _ask(**state: object) -> None:
    """Ask the ECS agent to change the protection. An error is logged only: the task runs without protection."""
    request = urllib.request.Request(  # noqa: S310 - ECS sets the address
        f"{os.environ['ECS_AGENT_URI']}/task-protection/v1/state",
        data=json.dumps(state).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(request, timeout=5).close()
    except (OSError, http.client.HTTPException) as error:
        logging.getLogger(__name__).warning("The ECS agent did not change the protection to %s: %s", state, error)


@task_prerun.connect
def protect(**_: object) -> None:
    """Protect this worker, since a task begins."""
    with _locked():
        (BUSY / str(os.getpid())).touch()
        _ask(ProtectionEnabled=True, ExpiresInMinutes=MINUTES)


@task_postrun.connect
def release(**_: object) -> None:
    """End the protection if no other process of this worker runs a task."""
    with _locked():
        (BUSY / str(os.getpid())).unlink(missing_ok=True)
        if not _busy():
            _ask(ProtectionEnabled=False)
