"""Connections to the warehouse that a process keeps open between uses, since connecting takes longer than a query.

The pool is that of SQLAlchemy. Here is how a session is reset, and when the server ends one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import Connection

from waybill.warehouse.connection import set_read_only

MOST: Final = 10
"""How many connections of a process may be in use or open at once."""
WAIT_SECONDS: Final = 5.0
"""How long one waits for a connection while all of them are in use."""
IDLE_SECONDS: Final = 60.0
"""How long the server keeps the session of a connection that nobody uses."""
LIFE_SECONDS: Final = 600
"""How old a connection may become. Then a new one brings what has changed: the address, a password, a setting."""
_ANSWER_SECONDS: Final = 5
"""How long the network may leave a statement unconfirmed before the connection counts as lost."""


class AllInUse(psycopg.OperationalError):
    """All connections were in use for too long."""


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
        life_seconds: int = LIFE_SECONDS,
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
        from sqlalchemy import QueuePool, event

        self._pool = QueuePool(
            self._open,
            pool_size=self._most,
            max_overflow=0,
            timeout=self._wait_seconds,
            recycle=self._life_seconds,
            use_lifo=True,  # others become idle
            reset_on_return=None,
        )
        event.listen(self._pool, "checkout", _begin)
        event.listen(self._pool, "reset", self._reset)

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """Lend a connection in a read-only transaction that sees one snapshot, with a statement timeout.

        Raises `AllInUse` if all are in use for too long, and what `connect` raises.
        """
        from sqlalchemy.exc import TimeoutError as WaitedTooLong

        try:
            lent = self._pool.connect()
        except WaitedTooLong:
            raise AllInUse(
                f"all {self._most} connections of this process were in use for {self._wait_seconds:g} s"
            ) from None
        connection: Any = lent.driver_connection
        try:
            yield connection
        finally:
            if connection.closed:
                lent.invalidate()
            lent.close()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._pool.dispose()

    def _open(self) -> Any:
        connection = self._connect()
        with (
            suppress(AttributeError, OSError),  # only Linux has the option, and only for TCP
            socket.socket(fileno=os.dup(connection.fileno())) as shared,
        ):
            # Statements fail soon if the server is gone without a word, such as after a failover.
            shared.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * _ANSWER_SECONDS)
        return connection

    def _reset(self, connection: Any, *_: Any) -> None:
        """End what a use left in the session. The pool closes the connection if this fails."""
        connection.rollback()
        connection.autocommit = True  # `discard` runs in no transaction
        connection.execute("discard all")
        connection.execute(
            "select set_config('idle_session_timeout', %s, false)", (f"{self._idle_seconds * 1000:.0f}",)
        )


def _begin(connection: Any, *_: Any) -> None:
    """Begin a use. A connection that the server or the network ended is replaced, with all that are as old."""
    from sqlalchemy.exc import InvalidatePoolError

    try:
        set_read_only(connection)
    except psycopg.OperationalError as error:
        raise InvalidatePoolError from error
