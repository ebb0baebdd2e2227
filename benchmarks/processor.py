"""Measure the processor time of work: in this process, and in the PostgreSQL server on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What a piece of work cost, in seconds."""

    seconds: float
    """On the clock."""
    client: float
    """Of processor time, in this process."""
    server: float
    """Of processor time, in all processes of PostgreSQL."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.client + other.client, self.server + other.server)


def measured(connection: Connection, work: Callable[[], T]) -> tuple[T, Cost]:
    """Return the result of the work and its cost. The connection's server must run on this machine."""
    import psutil

    server = psutil.Process(connection.info.backend_pid).parent()
    began, client, others = time.perf_counter(), time.process_time(), _server(server)
    result = work()
    return result, Cost(time.perf_counter() - began, time.process_time() - client, _server(server) - others)


def _server(server: Any) -> float:
    """Return the processor seconds of a server: its own, and those of its processes that run or have ended."""
    import psutil

    seconds = sum(server.cpu_times()[:4])
    for child in server.children():
        try:
            seconds += sum(child.cpu_times()[:2])
        except psutil.NoSuchProcess:  # has ended meanwhile
            continue
    return float(seconds)
