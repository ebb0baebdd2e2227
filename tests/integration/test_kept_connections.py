"""Connections that the web server keeps: bounded, reset after each use, and replaced when the server ends them."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, LiteralString

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg import Connection

from support.feature_views import build_orders
from support.landing import Landing
from support.problems import landed, reader_of, writer_of
from support.views import Someone, access_of
from support.waiting import eventually
from waybill.views.app import make_app
from waybill.warehouse.connection import one_row
from waybill.warehouse.kept_connections import AllInUse, KeptConnections
from waybill_devtools.stack import Stack

__all__ = ["landed"]

PATH = "/features/customer_orders:1?customer_id="


class Opener:
    """Opens connections for the role that only reads, and counts them."""

    def __init__(self, dsn: str) -> None:
        self._dsn, self.opened = dsn, 0

    def __call__(self) -> Connection:
        self.opened += 1
        return psycopg.connect(self._dsn, connect_timeout=5)


@pytest.fixture
def opener(stack: Stack, landed: Landing) -> Opener:
    return Opener(reader_of(stack, landed))


Keep = Callable[..., KeptConnections]


@pytest.fixture
def keep(opener: Opener) -> Iterator[Keep]:
    made = []

    def make(**limits: Any) -> KeptConnections:
        made.append(KeptConnections(opener, **limits))
        return made[-1]

    yield make
    for one in made:
        one.close()


def sessions(landed: Landing) -> list[int]:
    """Return the processes of PostgreSQL that serve the role of the views."""
    rows = landed.connection.execute(
        "select pid from pg_stat_activity where usename = 'waybill_reader' and datname = current_database()"
    )
    return [pid for (pid,) in rows.fetchall()]


def end_sessions(stack: Stack, landed: Landing) -> None:
    with psycopg.connect(stack.database_url("postgres", landed.connection.info.dbname)) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity "
            "where usename = 'waybill_reader' and datname = current_database()"
        )


def backend(connection: Connection) -> int:
    return int(one_row(connection, "select pg_backend_pid()")[0])


def client(stack: Stack, landed: Landing, kept: KeptConnections) -> TestClient:
    access = replace(access_of(reader_of(stack, landed), writer_of(stack, landed), Someone()), reader=kept.reader)
    return TestClient(make_app(access), headers={"accept": "application/json"})


def test_more_requests_at_once_than_connections(stack: Stack, landed: Landing, keep: Keep, opener: Opener) -> None:
    build_orders(landed.connection)
    kept = keep(most=3, wait_seconds=60)
    start, most = threading.Barrier(20), 0

    @contextmanager
    def counted() -> Iterator[Connection]:
        nonlocal most
        with kept.reader() as connection:
            most = max(most, len(sessions_of(connection)))
            yield connection

    def sessions_of(connection: Connection) -> list[Any]:
        found = "select pid from pg_stat_activity where usename = 'waybill_reader' and datname = current_database()"
        return connection.execute(found).fetchall()

    asked = client(stack, landed, kept)
    asked.app.state.access = replace(asked.app.state.access, reader=counted)  # type: ignore[attr-defined]

    def ask(customer: int) -> list[tuple[int, int]]:
        start.wait()
        answers = [asked.get(f"{PATH}{customer}") for _ in range(3)]
        return [(one.status_code, one.json()["entity"]["customer_id"]) for one in answers]

    with ThreadPoolExecutor(20) as threads:
        found = [*threads.map(ask, range(1, 21))]
    assert found == [[(200, customer)] * 3 for customer in range(1, 21)]
    assert (opener.opened, most) == (3, 3)
    assert len(sessions(landed)) == 3


def test_a_request_after_the_server_ended_the_connections(
    stack: Stack, landed: Landing, keep: Keep, opener: Opener
) -> None:
    build_orders(landed.connection)
    kept = keep()
    asked = client(stack, landed, kept)
    with kept.reader(), kept.reader():
        pass
    assert asked.get(f"{PATH}7").status_code == 200
    assert (opener.opened, len(sessions(landed))) == (2, 2)
    end_sessions(stack, landed)
    assert sessions(landed) == []
    assert [asked.get(f"{PATH}{customer}").status_code for customer in (7, 8)] == [200, 200]
    assert (opener.opened, len(sessions(landed))) == (3, 1)


def test_a_connection_that_breaks_in_use_is_not_used_again(
    stack: Stack, landed: Landing, keep: Keep, opener: Opener
) -> None:
    kept = keep(most=1, wait_seconds=0.1)

    def use(statement: LiteralString, *, breaks: bool = False) -> Any:
        with kept.reader() as connection:
            if breaks:
                end_sessions(stack, landed)
            return connection.execute(statement).fetchone()

    with pytest.raises(psycopg.OperationalError):
        use("select 1", breaks=True)
    assert use("select 1") == (1,)
    with pytest.raises(psycopg.errors.UndefinedTable):
        use("select from nothing")
    assert use("select 1") == (1,)
    assert opener.opened == 2


SETTINGS = (
    "select current_user, session_user, current_setting('statement_timeout'), current_setting('timezone'), "
    "current_setting('search_path'), nullif(current_setting('waybill.mask_inner', true), ''), "
    "current_setting('transaction_isolation'), current_setting('transaction_read_only'), "
    "(select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()), "
    "(select count(*) from pg_prepared_statements), (select count(*) from pg_cursors), "
    "(select count(*) from pg_listening_channels())"
)


@pytest.mark.parametrize("ending", ["commit", "rollback", "error"])
def test_nothing_of_a_use_is_left_to_the_next_one(keep: Keep, ending: str) -> None:
    kept = keep(most=1)
    with kept.reader() as connection:
        first, fresh = backend(connection), one_row(connection, SETTINGS)
    with kept.reader() as connection:
        assert connection.autocommit is False
        for statement in (
            "select set_config('waybill.mask_inner', 'key', false), set_config('timezone', 'Asia/Tokyo', false)",
            "set statement_timeout = 0",
            "set search_path = pg_catalog",
            "set default_transaction_read_only = off",
            "select pg_advisory_lock(42)",
            "prepare mine as select 1",
            "declare held cursor with hold for select 1",
            "listen everything",
        ):
            connection.execute(statement)
        if ending == "error":
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("select from nothing")
        elif ending == "commit":
            connection.commit()
            connection.execute("select 1")
        else:
            connection.rollback()
    with kept.reader() as connection:
        assert one_row(connection, SETTINGS) == fresh
        assert backend(connection) == first
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("create table mine (n int)")
    assert fresh[2] == "5s"
    assert fresh[5] is None
    assert fresh[6:] == ("repeatable read", "on", 0, 0, 0, 0)


def test_each_use_sees_what_was_committed_before_it(landed: Landing, keep: Keep) -> None:
    kept = keep(most=1)
    landed.connection.execute("create table public.seen (n int)")
    landed.connection.execute("grant select on public.seen to waybill_reader")
    for expected in range(3):
        with kept.reader() as connection:
            assert one_row(connection, "select count(*) from public.seen") == (expected,)
            landed.connection.execute("insert into public.seen values (1)")
            assert one_row(connection, "select count(*) from public.seen") == (expected,)


def test_idle_connections_close_and_old_ones_are_replaced(landed: Landing, keep: Keep, opener: Opener) -> None:
    kept = keep(idle_seconds=0.2)
    with kept.reader(), kept.reader():
        assert len(sessions(landed)) == 2
    assert eventually(lambda: not sessions(landed), seconds=60)
    with kept.reader():
        pass
    assert eventually(lambda: not sessions(landed), seconds=60)
    assert opener.opened == 3
    short = keep(life_seconds=0)
    for _ in range(3):
        with short.reader():
            pass
    assert opener.opened >= 6  # each one asked for the password again


def test_who_waits_too_long_is_told(stack: Stack, landed: Landing, keep: Keep) -> None:
    kept = keep(most=1, wait_seconds=0.1)
    with kept.reader():
        with pytest.raises(AllInUse, match=r"all 1 connections of this process were in use for 0\.1 s"), kept.reader():
            pass
        answer = client(stack, landed, kept).get(f"{PATH}7")
        assert answer.status_code == 503
        assert "All connections of the web server to the warehouse are in use. Try again" in answer.text
    with kept.reader() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_an_error_of_connecting_is_raised_at_once(keep: Keep, opener: Opener) -> None:
    kept = keep(most=1, wait_seconds=0.1)
    opener._dsn = "host=127.0.0.1 port=1"
    for _ in range(2):  # the first one gives its place back
        with pytest.raises(psycopg.OperationalError, match="refused"), kept.reader():
            pass


def test_a_forked_process_has_connections_of_its_own(keep: Keep) -> None:
    kept = keep()
    with kept.reader() as connection:
        own = backend(connection)
    fork = multiprocessing.get_context("fork")
    told: Any = fork.Queue()

    def work() -> None:
        with kept.reader() as connection:
            told.put(backend(connection))

    child = fork.Process(target=work)
    child.start()
    of_child = told.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    with kept.reader() as connection:
        assert (backend(connection), of_child != own) == (own, True)
