"""Land and ingest files, and compare the books with the counts of the test that built the file."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from psycopg import Connection, sql

from support.messaging_months import RUN, database, month
from waybill.contracts import Contract, load_domain, locations
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.intake.ingest import ingest, ingest_file
from waybill.intake.ledger import Books
from waybill.period import Period
from waybill.settings import PROJECT_ROOT, settings
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TRAFFIC = "traffic_id,send_date,account_id,customer_id,channel_id,interactions_count,revenue_eur"
CUSTOMERS = "customer_id,account_id,customer_name,segment,industry,country,created_date"
CHANNELS = "channel_id,channel_name,channel_type,unit_price_eur"
MONTH = "2026-03"
LANDED_AT = datetime(2026, 6, 1, tzinfo=UTC)
"""The landing time of files for which it does not matter."""

Amend = Callable[[str, str, str], None]
"""Dataset, text of its contract, text in its place."""


def csv_body(header: str, rows: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


def traffic_rows(count: int, *, first_day: str = "2026-03-01", revenue: str = "12.50") -> list[str]:
    """Return good rows with distinct keys, at most 28 * 9 * 3."""
    return [
        f"{n + 1},{first_day[:8]}{n % 28 + 1:02d},1,{n // 28 % 9 + 1},{n // 252 + 1},10,{revenue}" for n in range(count)
    ]


def customer_rows(count: int = 9, *, segment: str = "Startup") -> list[str]:
    return [f"{n},1,Customer {n},{segment},Retail,DE,2020-01-31" for n in range(1, count + 1)]


def channel_rows(count: int = 3) -> list[str]:
    return [f"{n},Channel {n},sms,0.0500" for n in range(1, count + 1)]


def total(books: Mapping[str, Any] | Books) -> int:
    """Return the right-hand side of the books."""
    counts = vars(books) if isinstance(books, Books) else books
    return sum(
        counts[name] for name in ("inserted", "updated", "unchanged", "rejected", "duplicate", "stale", "filtered")
    )


def reported_conflicts(connection: Connection) -> dict[str, int]:
    """Return the number of conflicting rows of the newest file, by the other file that its warnings name."""
    messages = connection.execute(
        "select message from waybill.file_warning where kind = 'conflict' "
        "and file_id = (select max(file_id) from waybill.load_file)"
    ).fetchall()
    found = [re.match(r"(\d+) rows? differs? from (.+?), a file of the same", message) for (message,) in messages]
    return {match[2].rsplit("/", 1)[1]: int(match[1]) for match in found if match}


class MemoryBucket:
    """As much of an S3 client as `receive` needs, for tests that load thousands of files."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}

    def land(
        self,
        dataset: str,
        key_month: str,
        body: bytes,
        name: str = "part-1.csv",
        landed_at: datetime = LANDED_AT,
    ) -> LandedFile:
        return self.put("messaging", dataset, month(key_month), body, name, landed_at)

    def put(
        self,
        domain: str,
        dataset: str,
        period: Period,
        body: bytes,
        name: str,
        landed_at: datetime = LANDED_AT,
    ) -> LandedFile:
        key = locations.raw_prefix(domain, dataset, period) + name
        self._bodies[key] = body
        return LandedFile("memory", key, hashlib.md5(body).hexdigest(), len(body), period, landed_at)

    def delete(self, key: str) -> None:
        del self._bodies[key]

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: ARG002, N803  # boto3's names
        if Key not in self._bodies:
            raise ClientError({"Error": {"Code": "404"}}, "HeadObject")
        return {}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: ARG002, N803  # boto3's names
        body = self._bodies[Key]
        return {"Body": io.BytesIO(body), "ETag": f'"{hashlib.md5(body).hexdigest()}"'}


@dataclass
class Landing:
    """A bucket and a warehouse that holds customers 1 to 9 and channels 1 to 3 since January 2025."""

    connection: Connection
    s3: S3Client
    bucket: str
    contracts: dict[str, Contract]
    _keys: list[str] = field(default_factory=list)

    def put(self, dataset: str, key_month: str, body: bytes, name: str = "part-1.csv") -> str:
        key = locations.raw_prefix("messaging", dataset, month(key_month)) + name
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        self._keys.append(key)
        return key

    def ingest(self, dataset: str, key_month: str, lookback: int = 0) -> dict[str, Books]:
        """Return the books of the loaded files, by name."""
        done = ingest(
            self.connection,
            self.s3,
            self.contracts[dataset],
            self.contracts,
            month(key_month),
            RUN,
            lookback_periods=lookback,
        )
        return {key.rsplit("/", 1)[1]: books for key, books in done.items()}

    def load(self, dataset: str, body: bytes, name: str = "part-1.csv", key_month: str = MONTH) -> str:
        """Land and ingest one file; return its key."""
        key = self.put(dataset, key_month, body, name)
        assert set(self.ingest(dataset, key_month)) == {name}
        return key

    def reject(self, dataset: str, body: bytes, name: str = "part-1.csv") -> str:
        """Land a file, expect two ingests to reject it and to record only the rejection, and return the message."""
        before = self.row_counts()
        key = self.put(dataset, MONTH, body, name)
        messages = set()
        for _ in range(2):
            with pytest.raises(DataError) as caught:
                self.ingest(dataset, MONTH)
            messages.add(str(caught.value))
        recorded = self.all("select object_key, message from waybill.rejected_file")
        assert recorded == [(key, message) for message in messages], "the same rejection is recorded once"
        assert self.row_counts() == before, "nothing is loaded"
        message = messages.pop()
        assert f"s3://{self.bucket}/{key}" in message
        return message

    def ledger(self, key: str, status: str = "loaded") -> dict[str, Any]:
        """Return the only ledger entry of this key and status."""
        cursor = self.connection.execute(
            "select * from waybill.load_file where object_key = %s and status = %s", (key, status)
        )
        assert cursor.description
        names = [column.name for column in cursor.description]
        (row,) = cursor.fetchall()
        return dict(zip(names, row, strict=True))

    def rejects(self, key: str) -> dict[int, list[str]]:
        """Return the reasons of the open rejects of the current version, by record."""
        return {
            record: sorted(reasons)
            for record, reasons in self.all(
                "select record, reasons from waybill.quarantine inner join waybill.load_file using (file_id) "
                "where object_key = %s and status = 'loaded' and resolved_as is null",
                (key,),
            )
        }

    def stored_records(self, key: str) -> list[int]:
        """Return the records of the file that are in the traffic table or among its superseded rows."""
        file_id = self.ledger(key)["file_id"]
        found = self.all(
            "select _record from messaging.traffic where _file_id = %(file)s "
            "union all select _record from messaging.traffic_superseded where _file_id = %(file)s order by 1",
            {"file": file_id},
        )
        return [record for (record,) in found]

    def check(
        self,
        key: str,
        rows: int,
        rejected: Mapping[int, list[str]] | None = None,
        duplicates: Iterable[int] = (),
        **counts: int,
    ) -> dict[str, Any]:
        """Assert that each of the `rows` records of a file is accounted for, and return the ledger entry."""
        books, rejected = self.ledger(key), {record: sorted(reasons) for record, reasons in (rejected or {}).items()}
        assert books["rows_in"] == rows == total(books)
        assert self.rejects(key) == rejected
        duplicates = set(duplicates)
        assert (books["rejected"], books["duplicate"]) == (len(rejected), len(duplicates))
        if "/traffic/" in key:
            assert self.stored_records(key) == sorted(set(range(1, rows + 1)) - rejected.keys() - duplicates)
        assert {name: books[name] for name in counts} == counts
        return books

    def all(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters).fetchall()

    def column(self, query: str, parameters: Any = None) -> list[Any]:
        return [row[0] for row in self.all(query, parameters)]

    def row_counts(self) -> dict[str, int]:
        tables = ["waybill.load_file", "waybill.quarantine", "messaging.traffic", "messaging.traffic_superseded"]
        tables += ["messaging.customers_history", "messaging.channels_history"]
        return {
            name: self.connection.execute(
                sql.SQL("select count(*) from {}").format(sql.Identifier(*name.split(".")))
            ).fetchall()[0][0]
            for name in tables
        }

    def clear(self) -> None:
        for key in set(self._keys):
            self.s3.delete_object(Bucket=self.bucket, Key=key)


@pytest.fixture(scope="session")
def landing_dsn(stack: Stack) -> Iterator[str]:
    """A warehouse with the messaging tables, customers 1 to 9 and channels 1 to 3."""
    with database(stack) as dsn:
        shelf, contracts = MemoryBucket(), load_domain("messaging")
        with connect(dsn) as connection:
            for dataset, body in {
                "customers": csv_body(CUSTOMERS, customer_rows()),
                "channels": csv_body(CHANNELS, channel_rows()),
                "traffic": csv_body(TRAFFIC, []),
            }.items():
                file = shelf.land(dataset, "2025-01", body)
                ingest_file(connection, shelf, file, contracts[dataset], contracts, RUN)
        yield dsn


@pytest.fixture(scope="session")
def landing_bucket(stack: Stack) -> str:
    bucket = f"landing-{uuid.uuid4().hex[:8]}"
    stack.s3().create_bucket(Bucket=bucket)
    return bucket


@pytest.fixture
def landing_connection(landing_dsn: str) -> Iterator[Connection]:
    """A connection whose work is undone at the end of the test: loads are savepoints within one transaction."""
    with connect(landing_dsn) as connection, connection.transaction(force_rollback=True):
        yield connection


@pytest.fixture(scope="session")
def operations_dsn(stack: Stack) -> Iterator[str]:
    """A warehouse with the operations schema and nothing else."""
    with database(stack) as dsn:
        yield dsn


@pytest.fixture
def empty_connection(operations_dsn: str) -> Iterator[Connection]:
    """A connection to an empty warehouse whose work is undone at the end of the test."""
    with connect(operations_dsn) as connection, connection.transaction(force_rollback=True):
        yield connection


@pytest.fixture
def landing(
    landing_connection: Connection, landing_bucket: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Landing]:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", landing_bucket)
    settings.cache_clear()
    found = Landing(landing_connection, stack.s3(), landing_bucket, load_domain("messaging"))
    yield found
    found.clear()
    settings.cache_clear()


@pytest.fixture
def amend(landing: Landing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Amend:
    """Replace a text in a dataset's contract, in a copy of the include folder that the settings then name."""
    include = tmp_path / "include"
    shutil.copytree(PROJECT_ROOT / "include", include)
    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(include))
    settings.cache_clear()

    def change(dataset: str, old: str, new: str) -> None:
        path = include / "contracts/messaging" / f"{dataset}.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        landing.contracts = load_domain("messaging")

    return change
