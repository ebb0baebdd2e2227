"""Run loads in child processes, with an action at a chosen step."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from multiprocessing.process import BaseProcess
from typing import Any
from unittest.mock import patch

from support.waiting import PATIENCE

# Processes are forked from a server that has imported what takes long, and nothing else.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["__main__", "support.stopping", "boto3", "duckdb", "support.messaging_months", "pgpq", "pyarrow.compute"]
)


@contextmanager
def at(point: str, number: int, happen: Callable[[], object]) -> Iterator[None]:
    """Call `happen` at the end of the `number`-th call of the function that `point` names.

    A point is written `module:function` or `module:Class.method`.
    """
    module, _, path = point.partition(":")
    *owners, name = path.split(".")
    owner: Any = import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), 0

    @wraps(original)
    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        result = original(*args, **kwargs)
        calls += 1
        if calls == number:
            happen()
        return result

    with patch.object(owner, name, counted):
        yield


def loads(dsn: str, months: tuple[str, ...], point: str | None = None, number: int = 1) -> list[BaseProcess]:
    """Start one load process for each month at once, and return the processes when all have ended.

    If a point is given, a process kills itself at the end of the function's `number`-th call.
    """
    return _run(_load, dsn, months, point, number)


def refreshes(dsn: str, domain: str, processes: int, point: str | None = None, number: int = 1) -> list[BaseProcess]:
    """Start processes that refresh the feature views of a domain at once; otherwise like `loads`."""
    return _run(_refresh, dsn, (domain,) * processes, point, number)


def _run(
    work: Callable[[Any, str], object], dsn: str, names: tuple[str, ...], point: str | None, number: int
) -> list[BaseProcess]:
    begin = _SERVER.Barrier(len(names))
    processes = [
        _SERVER.Process(target=_work, args=(work, dict(os.environ), dsn, name, point, number, begin), daemon=True)
        for name in names
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    return list(processes)


def _work(
    work: Callable[[Any, str], object],
    environment: Mapping[str, str],
    dsn: str,
    name: str,
    point: str | None,
    number: int,
    begin: Any,
) -> None:
    from waybill.settings import settings
    from waybill.warehouse.connection import connect

    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()
    with connect(dsn) as connection:
        begin.wait(PATIENCE)
        if point is None:
            work(connection, name)
        else:
            with at(point, number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                work(connection, name)


def _load(connection: Any, month: str) -> None:
    import boto3

    from support.messaging_months import ingest_month

    ingest_month(connection, boto3.client("s3"), month)


def _refresh(connection: Any, domain: str) -> None:
    from support.messaging_months import RUN
    from waybill.derived.refresh_features import refresh_features

    refresh_features(connection, domain, RUN)
