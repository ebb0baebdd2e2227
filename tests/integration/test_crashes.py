"""Loads that die at any step and servers that become unavailable lose, duplicate and leave nothing."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from psycopg import Connection

from support.messaging_months import RUN, content, database, ingest_month, migrate, month, partitions, put, sample
from support.stopping import at, loads
from support.waiting import eventually
from waybill.contracts import load_domain
from waybill.errors import DataError
from waybill.intake.ingest import ingest_file
from waybill.intake.landing import list_landed
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill_devtools.sampledata.files import SampleData
from waybill_devtools.stack import Stack, postgres

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIRST, LAST = "2026-01", "2026-02"
BUCKET = "crash-raw"
TRAFFIC = f"raw/messaging/traffic/month={LAST}/traffic_{LAST}.csv.gz"
Content = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def data() -> SampleData:
    return sample(LAST, 2, scale=0.3)


@pytest.fixture(scope="module")
def module_patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch
    settings.cache_clear()


@pytest.fixture(scope="module")
def client(stack: Stack, module_patch: pytest.MonkeyPatch, data: SampleData) -> S3Client:
    """A client; the settings' raw bucket holds two months."""
    client = stack.s3()
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    put(client, BUCKET, data)
    module_patch.setenv("WAYBILL_RAW_BUCKET", BUCKET)
    settings.cache_clear()
    return client


@pytest.fixture(scope="module")
def before(stack: Stack, client: S3Client) -> Iterator[str]:
    """The address of a warehouse that holds the first month."""
    with database(stack) as dsn:
        with connect(dsn) as connection:
            ingest_month(connection, client, FIRST)
        yield dsn


@pytest.fixture(scope="module")
def states(stack: Stack, client: S3Client, before: str) -> list[Content]:
    """The content of the warehouse in an undisturbed load of the last month, before the first and after each file."""
    contracts, period = load_domain("messaging"), month(LAST)
    with database(stack, before) as dsn, connect(dsn) as connection:
        found = [content(connection)]
        for name in ("customers", "channels", "traffic"):
            for file in list_landed(client, BUCKET, contracts[name], period, period):
                assert ingest_file(connection, client, file, contracts[name], contracts, RUN)
                found.append(content(connection))
    assert len(found) == 1 + 5
    return found


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where loads unpack files, in this process and in children."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("WAYBILL_SCRATCH_DIR", str(folder))
    settings.cache_clear()
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


def no_one_else(connection: Connection) -> bool:
    """Return whether this database has no other session."""
    query = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    return connection.execute(query).fetchone() == (0,)


@dataclass(frozen=True)
class Place:
    """A warehouse and a way to S3."""

    dsn: str
    client: S3Client

    def assert_right_after_rerun(self, state: Content) -> None:
        """Load again, and compare the warehouse with an undisturbed load."""
        with connect(self.dsn) as connection:
            assert eventually(partial(no_one_else, connection))
            ingest_month(connection, self.client, LAST)
            assert content(connection) == state
            assert partitions(connection) == {str(row[2])[:7].replace("-", "_") for row in state["traffic"]}
            assert ingest_month(connection, self.client, LAST) == {}


@pytest.fixture
def place(stack: Stack, client: S3Client, before: str, stack_environment: dict[str, str]) -> Iterator[Place]:
    """A warehouse of the test's own that holds the first month."""
    with database(stack, before) as dsn:
        yield Place(dsn, client)


# (function, its n-th call, how many files are in the warehouse when it ends). The files are customers, channels,
# traffic (into a fresh partition), its second part (into an existing one) and corrections of the month before.
STEPS = [
    ("waybill.intake.ledger:close_file", 1, 0),
    ("waybill.intake.ingest:load_file", 1, 1),
    ("waybill.intake.ledger:open_file", 3, 2),
    ("waybill.intake.duplicate_candidates:SeenKeys.candidates", 3, 2),
    ("waybill.intake.staging:Staging._attach", 1, 2),
    ("waybill.intake.load:apply_incoming", 3, 2),
    ("waybill.intake.quarantine:keep", 3, 2),
    ("waybill.intake.ledger:close_file", 3, 2),
    ("waybill.intake.ingest:load_file", 3, 3),
    ("waybill.intake.load:apply_incoming", 5, 4),
    ("waybill.intake.ledger:close_file", 5, 4),
]


@pytest.mark.parametrize(("point", "number", "files"), STEPS)
def test_a_killed_load_leaves_whole_files_and_a_rerun_is_right(
    point: str, number: int, files: int, place: Place, states: list[Content], scratch: Path
) -> None:
    [process] = loads(place.dsn, (LAST,), point, number)
    assert process.exitcode == -signal.SIGKILL
    with connect(place.dsn) as connection:
        assert eventually(partial(no_one_else, connection))
        assert content(connection) == states[files]
    for folder in scratch.iterdir():
        os.utime(folder, (0, 0))
    place.assert_right_after_rerun(states[-1])
    assert list(scratch.iterdir()) == []


def test_a_killed_load_of_a_new_version_leaves_the_old_one(place: Place, data: SampleData) -> None:
    with connect(place.dsn) as connection:
        ingest_month(connection, place.client, LAST)
        old = content(connection)
        [original] = [file.body for file in data.files if file.key == TRAFFIC]
        version: str | None = None
        lines = gzip.decompress(original).splitlines(keepends=True)
        try:
            half = gzip.compress(b"".join(lines[: len(lines) // 2]))
            version = place.client.put_object(Bucket=BUCKET, Key=TRAFFIC, Body=half)["VersionId"]
            [process] = loads(place.dsn, (LAST,), "waybill.intake.ledger:close_file", 1)
            assert process.exitcode == -signal.SIGKILL
            assert eventually(partial(no_one_else, connection))
            assert content(connection) == old
            [books] = ingest_month(connection, place.client, LAST).values()
            assert books.rows_in < len(lines) / 2
            versions = "select status, count(*) from waybill.load_file where object_key = %s group by 1"
            assert dict(connection.execute(versions, (TRAFFIC,)).fetchall()) == {"loaded": 1, "superseded": 1}
        finally:
            if version:  # the original is then what landed first, as before
                place.client.delete_object(Bucket=BUCKET, Key=TRAFFIC, VersionId=version)


@pytest.mark.parametrize("months", [(LAST, LAST), (FIRST, LAST, LAST)])
def test_concurrent_runs_load_the_same_rows_as_one_run(
    months: tuple[str, ...], stack: Stack, client: S3Client, states: list[Content], stack_environment: dict[str, str]
) -> None:
    """From an empty warehouse, so that they also meet while tables are made."""
    with database(stack) as dsn:
        assert [process.exitcode for process in loads(dsn, months)] == [0] * len(months)
        Place(dsn, client).assert_right_after_rerun(states[-1])


@pytest.mark.parametrize(
    ("point", "number", "files"),
    [
        ("waybill.intake.duplicate_candidates:SeenKeys.candidates", 3, 2),
        ("waybill.intake.load:apply_incoming", 4, 3),
        ("waybill.intake.ledger:close_file", 5, 4),
    ],
)
def test_a_lost_connection_is_no_data_error_and_a_rerun_is_right(
    point: str, number: int, files: int, place: Place, states: list[Content], scratch: Path, stack: Stack
) -> None:
    with connect(place.dsn) as connection:
        backend = connection.info.backend_pid

        def terminate() -> None:
            with psycopg.connect(stack.database_url("postgres", "postgres")) as admin:
                admin.execute("select pg_terminate_backend(%s, 5000)", (backend,))

        with at(point, number, terminate), pytest.raises(psycopg.OperationalError):
            ingest_month(connection, place.client, LAST)
    assert list(scratch.iterdir()) == []
    assert [thread.name for thread in threading.enumerate() if thread.name == "encode"] == []
    with connect(place.dsn) as connection:
        assert content(connection) == states[files]
    place.assert_right_after_rerun(states[-1])


class Proxy:
    """A way to S3 that can be closed, or break off after so many bytes of an answer."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.cut_after: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._target))
                for source, sink, limit in ((near, far, None), (far, near, self.cut_after)):
                    threading.Thread(target=self._pump, args=(source, sink, limit), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while chunk := source.recv(4096):
                if limit is not None and passed + len(chunk) > limit:
                    sink.sendall(chunk[: limit - passed])
                    break
                passed += len(chunk)
                sink.sendall(chunk)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("cut_after", [None, 10_000], ids=["unreachable", "cut"])
def test_unavailable_s3_is_no_data_error_and_a_rerun_is_right(
    cut_after: int | None, place: Place, states: list[Content], scratch: Path, stack: Stack
) -> None:
    """Both the plain and the packed file are cut: neither may be taken for a file that ends early."""
    proxy = Proxy(stack.state.ports["s3"])
    config = Config(retries={"total_max_attempts": 1})
    through = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{proxy.port}", config=config)
    with connect(place.dsn) as connection:
        ingest_month(connection, through, FIRST)  # nothing is new: the way is open
        if cut_after is None:
            proxy.close()
        proxy.cut_after = cut_after
        through.close()
        contracts, period = load_domain("messaging"), month(LAST)
        landed = list_landed(place.client, BUCKET, contracts["traffic"], period, period)
        for file in landed[:2] if cut_after else landed[:1]:
            with pytest.raises((BotoCoreError, OSError)) as caught:
                ingest_file(connection, through, file, contracts["traffic"], contracts, RUN)
            assert not isinstance(caught.value, DataError)
        assert content(connection) == states[0]
        assert list(scratch.iterdir()) == []
        if cut_after is None:
            with pytest.raises(BotoCoreError):
                ingest_month(connection, through, LAST)
    place.assert_right_after_rerun(states[-1])


def test_killed_servers_restart_and_a_rerun_is_right(
    short_home: Path, data: SampleData, states: list[Content], module_patch: pytest.MonkeyPatch
) -> None:
    """Killed without warning: in the middle of a load, and right after one has been committed."""
    own = Stack(short_home)
    try:
        own.up(with_airflow=False)
        dsn, client = own.database_url(), own.s3()
        migrate(dsn)
        put(client, BUCKET, data)

        def kill(name: str) -> None:
            [pid] = [service.pid for service in own.status() if service.name == name]
            assert pid
            os.kill(pid, signal.SIGKILL)

        with connect(dsn) as connection:
            ingest_month(connection, client, FIRST)
            kill("postgres")
        assert eventually(lambda: postgres.accepts_connections(own.state))
        with connect(dsn) as connection:
            assert content(connection) == states[0]
            with (
                at("waybill.intake.staging:Staging._attach", 1, partial(kill, "postgres")),
                pytest.raises(psycopg.OperationalError),
            ):
                ingest_month(connection, client, LAST)
        assert eventually(lambda: postgres.accepts_connections(own.state))
        with connect(dsn) as connection:
            assert content(connection) == states[2]

            def succeeds() -> bool:
                try:
                    ingest_month(connection, client, LAST)
                except (BotoCoreError, ClientError):  # what Airflow would try again
                    return False
                return True

            kill("s3")
            if not succeeds():  # the client tries again by itself, perhaps until the server is back
                assert content(connection) == states[2]
                assert eventually(succeeds)
        Place(dsn, client).assert_right_after_rerun(states[-1])
    finally:
        own.down()
