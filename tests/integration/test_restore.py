"""A restored warehouse has the same books and the same content, and runs go on from there. See docs/do/runbook.md."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql

from support.messaging_months import build_month, content, database, ingest_month, migrate, month, put, sample
from support.waiting import PATIENCE, eventually
from waybill.ops.books import balances, incomplete
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack, postgres

FIRST, LAST = "2026-01", "2026-02"
ROLES = dict.fromkeys(("airflow", "waybill_etl", "waybill_reader"), "secret")


@pytest.fixture(autouse=True)
def landed(stack: Stack, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The files of two months, in the raw bucket."""
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    put(stack.s3(), bucket, sample(LAST, 2, scale=0.3))
    yield
    monkeypatch.undo()
    settings.cache_clear()


def load(stack: Stack, dsn: str, key: str) -> None:
    with connect(dsn) as connection:
        ingest_month(connection, stack.s3(), key)
        build_month(connection, key)


def state(dsn: str) -> dict[str, Any]:
    """Return what two warehouses must agree on: content, books, and the hash of every report."""
    with connect(dsn) as connection:
        return {
            **content(connection),
            "books": balances(connection, "messaging", [month(FIRST), month(LAST)]),
            "reports": connection.execute(
                "select report, period, row_count, content_sha256 from waybill.publication order by 1, 2"
            ).fetchall(),
        }


def gaps(stack: Stack, dsn: str) -> list[str]:
    with connect(dsn) as connection:
        return [str(gap) for gap in incomplete(connection, stack.s3(), "messaging", [month(FIRST), month(LAST)])]


def run(program: str, *arguments: str | Path) -> None:
    subprocess.run([postgres.BIN / program, *arguments], check=True, capture_output=True)


@contextmanager
def empty_database(stack: Stack) -> Iterator[str]:
    """Yield the address of a database as `waybill bootstrap` leaves it: with the extension, without tables."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    identifier = sql.Identifier(name)
    with psycopg.connect(stack.database_url("postgres", "postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template template0 owner waybill_etl").format(identifier))
        try:
            with psycopg.connect(stack.database_url("postgres", name)) as connection:
                connection.execute("create extension btree_gist")
            yield stack.database_url("waybill_etl", name)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(identifier))


def test_a_dump_restores_content_books_and_hashes(stack: Stack, tmp_path: Path) -> None:
    dump = tmp_path / "warehouse.dump"
    with database(stack) as origin, empty_database(stack) as restored:
        for key in (FIRST, LAST):
            load(stack, origin, key)
        run("pg_dump", "--format=custom", "--no-owner", "--exclude-extension=*", f"--file={dump}", origin)
        run("pg_restore", "--no-owner", "--exit-on-error", "--jobs=2", f"--dbname={restored}", dump)
        before = state(origin)
        assert before["reports"]
        assert state(restored) == before
        assert gaps(stack, restored) == []
        load(stack, restored, LAST)  # changes nothing
        migrate(restored)
        assert state(restored) == before


def give_to_server(folder: Path) -> None:
    """Make the account that runs PostgreSQL the owner of a folder and of all in it."""
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


@contextmanager
def server(data: Path, settings: dict[str, str]) -> Iterator[str]:
    """Run PostgreSQL with more settings on a free port, and yield its address without the name of a database."""
    with (data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(postgres.program(data, port).command, stderr=subprocess.DEVNULL)
    address = f"postgresql://{{}}:secret@127.0.0.1:{port}/"

    def ready() -> bool:
        try:
            with admin(address) as connection:
                return connection.execute("select not pg_is_in_recovery()").fetchone() == (True,)
        except psycopg.OperationalError:
            return False

    try:
        assert eventually(ready)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def admin(address: str) -> Connection:
    return psycopg.connect(address.format("postgres") + "postgres", autocommit=True)


def test_a_restore_to_a_point_in_time_undoes_a_fault_and_runs_complete_it(stack: Stack, tmp_path: Path) -> None:
    data, archive, restored = tmp_path / "original" / "data", tmp_path / "archive", tmp_path / "restored"
    data.parent.mkdir()
    archive.mkdir()
    give_to_server(archive)
    postgres.initialise(data, "secret")
    archiving = {
        "wal_level": "replica",
        "max_wal_senders": "2",
        "archive_mode": "on",
        "archive_command": f"cp %p {archive}/%f",
        "shared_buffers": "64MB",
    }
    with server(data, archiving) as address, admin(address) as superuser:
        warehouse = address.format("waybill_etl") + "warehouse"
        postgres.create_databases(address.format("postgres") + "postgres", ROLES)
        migrate(warehouse)
        run("pg_basebackup", f"--dbname={address.format('postgres')}", f"--pgdata={restored}", "--checkpoint=fast")
        load(stack, warehouse, FIRST)
        first = state(warehouse)
        (instant,) = superuser.execute("select clock_timestamp()::text").fetchone() or ("",)
        load(stack, warehouse, LAST)
        both = state(warehouse)
        with connect(warehouse) as connection:
            connection.execute("delete from messaging.traffic")  # the fault
        (last,) = superuser.execute("select pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        assert eventually((archive / last).exists)
    (restored / "recovery.signal").touch()
    recovery = {
        "restore_command": f"cp {archive}/%f %p",
        "recovery_target_time": instant,
        "recovery_target_action": "promote",
        "archive_mode": "off",
    }
    give_to_server(restored)
    with server(restored, recovery) as address:
        warehouse = address.format("waybill_etl") + "warehouse"
        assert state(warehouse) == first
        assert any(LAST in gap for gap in gaps(stack, warehouse))
        load(stack, warehouse, LAST)
        assert state(warehouse) == both != first
        assert gaps(stack, warehouse) == []
