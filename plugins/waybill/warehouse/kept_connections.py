"""Connections to the warehouse that a process keeps open between uses, since connecting takes longer than a query."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import Connection

from waybill.warehouse.connection import set_read_only

MOST: Final = 10
"""How many connections of a process may be in use or open at once."""
WAIT_SECONDS: Final = 5.0
"""How long one waits for a connection while all of them are in use."""
IDLE_SECONDS: Final = 60.0
"""How long a connection that nobody uses stays open."""
LIFE_SECONDS: Final = 600.0
"""How old a connection may become. Then a new one brings what has changed: the address, a password, a setting."""
_ANSWER_SECONDS: Final = 5
"""How long the network may leave a statement unconfirmed before the connection counts as lost."""


class AllInUse(psycopg.OperationalError):
    """All connections were in use for too long."""


@dataclass(frozen=True)
class _Kept:
    connection: Connection
    opened_at: float
    idle_since: float = 0.0


class KeptConnections:
    """At most `most` connections that only read. Each use has one for itself.

    A use begins a transaction. What it changed in the session ends with it: settings, the role, locks, prepared
    statements and temporary objects. Attributes of the connection in Python, such as its row factory, must not be
    changed. Nothing is opened before the first use, and a forked process opens connections of its own.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        most: int = MOST,
        wait_seconds: float = WAIT_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        life_seconds: float = LIFE_SECONDS,
    ) -> None:
        """Keep what `connect` opens. It is called for each new connection, and so may sign a new password."""
        self._connect = connect
        self._most = most
        self._wait_seconds = wait_seconds
        self._idle_seconds = idle_seconds
        self._life_seconds = life_seconds
        self._start_empty()
        os.register_at_fork(after_in_child=self._start_empty)

    def _start_empty(self) -> None:
        # After a fork, psycopg does not close the parent's connections when they are collected.
        self._lock = threading.Lock()
        self._free = threading.Semaphore(self._most)
        self._idle: list[_Kept] = []
        self._closes_idle = False

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """Lend a connection in a read-only transaction that sees one snapshot, with a statement timeout.

        Raises `AllInUse` if all are in use for too long, and what `connect` raises.
        """
        if not self._free.acquire(timeout=self._wait_seconds):
            raise AllInUse(f"all {self._most} connections of this process were in use for {self._wait_seconds:g} s")
        try:
            kept = self._newest_idle() or self._opened()
            try:
                yield kept.connection
            finally:
                self._keep(kept)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for kept in idle:
            kept.connection.close()

    def _newest_idle(self) -> _Kept | None:
        """Return the connection that was used last, so that others become old; None if there is none that works."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                kept = self._idle.pop()
            try:
                set_read_only(kept.connection)
            except psycopg.Error:  # the server or the network ended it meanwhile
                kept.connection.close()
            else:
                return kept

    def _opened(self) -> _Kept:
        connection = self._connect()
        try:
            _notice_a_lost_server(connection)
            set_read_only(connection)
        except BaseException:
            connection.close()
            raise
        return _Kept(connection, time.monotonic())

    def _keep(self, kept: _Kept) -> None:
        """Reset the session and keep the connection, or close it if it is old or broken."""
        connection, now = kept.connection, time.monotonic()
        try:
            if now - kept.opened_at > self._life_seconds:
                connection.close()
                return
            connection.rollback()
            connection.autocommit = True  # `discard` runs in no transaction
            connection.execute("discard all")
        except psycopg.Error:
            connection.close()
            return
        with self._lock:
            self._idle.append(_Kept(connection, kept.opened_at, now))
            starts = not self._closes_idle
            self._closes_idle = True
        if starts:
            self._close_later()

    def _close_later(self) -> None:
        timer = threading.Timer(self._idle_seconds, self._close_idle)
        timer.daemon = True
        timer.start()

    def _close_idle(self) -> None:
        latest = time.monotonic() - self._idle_seconds
        with self._lock:
            old = [one for one in self._idle if one.idle_since <= latest]
            self._idle = [one for one in self._idle if one.idle_since > latest]
            goes_on = self._closes_idle = bool(self._idle)
        for kept in old:
            kept.connection.close()
        if goes_on:
            self._close_later()


def _notice_a_lost_server(connection: Connection) -> None:
    """Let statements fail soon if the server is gone without a word, such as after a failover."""
    with (
        suppress(AttributeError, OSError),  # only Linux has the option, and only for TCP
        socket.socket(fileno=os.dup(connection.fileno())) as shared,
    ):
        shared.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * _ANSWER_SECONDS)
