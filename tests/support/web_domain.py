"""A small domain on Spark, `web`, with the dataset `hits`, in a copy of the project's files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import Connection

from support.lake import Lake
from waybill.contracts import Contract, load_domain
from waybill.contracts.locations import raw_prefix
from waybill.intake.ledger import COUNTS, Books
from waybill.lakehouse.exchange import (
    IntakeRequest,
    IntakeResult,
    LoadedFile,
    address_of_rejects,
    receive_request,
    send,
)
from waybill.lakehouse.prepare import prepare_intake
from waybill.lakehouse.record import record_intake
from waybill.period import Period
from waybill.run import Run

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MANIFEST = """
title: Web
dag: web_daily
semantics: current
engine: spark
"""
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: web.hits
name: hits
version: 1.0.0
status: active
domain: web
description: {purpose: Requests of pages.}
schema:
  - name: hits
    physicalType: table
    dataGranularityDescription: One row per request.
    customProperties:
      - {property: loadMode, value: merge}
      - {property: periodColumn, value: at}
      - {property: rejectThresholdPct, value: 50}
      - {property: lookbackPeriods, value: 7}
    properties:
      - {name: hit_id, description: Identifies a request., logicalType: integer, physicalType: bigint,
         primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: at, description: When., logicalType: timestamp, physicalType: timestamptz, required: true,
         primaryKey: true, primaryKeyPosition: 2}
      - {name: page, description: The page., logicalType: string, physicalType: text}
slaProperties:
  - {property: frequency, value: 1, unit: d}
"""
HEADER = "hit_id,at,page"
RUN = Run("run-1", "code-1")
DAY = date(2026, 3, 1)


def add_domain(include_dir: Path, manifest: str = MANIFEST, contract: str = CONTRACT) -> None:
    """Write the domain into a copy of the project's files."""
    (include_dir / "domains" / "web.yaml").write_text(manifest)
    folder = include_dir / "contracts" / "web"
    folder.mkdir(exist_ok=True)
    (folder / "hits.yaml").write_text(contract)


def rows(count: int, day: date = DAY, page: str = "/") -> bytes:
    """Return a file with rows of a day."""
    lines = [f"{number},{day}T10:00:{number % 60:02d}Z,{page}" for number in range(1, count + 1)]
    return "\n".join([HEADER, *lines, ""]).encode()


@dataclass
class Web:
    """The domain with a bucket for its files and a lake."""

    connection: Connection
    lake: Lake
    bucket: str
    requests: list[IntakeRequest] = field(default_factory=list)

    @property
    def s3(self) -> S3Client:
        return self.lake.s3

    @property
    def contract(self) -> Contract:
        return load_domain("web")["hits"]

    def land(self, name: str, body: bytes, day: date = DAY) -> str:
        """Upload a file; returns its key."""
        key = f"{raw_prefix('web', 'hits', Period.of('day', day))}{name}"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return key

    def prepare(self, day: date = DAY, run: Run = RUN) -> str | None:
        """Write a request; returns its address."""
        number = len(self.requests)
        scratch = f"s3://{self.lake.bucket}/_spark/{number}"
        address = prepare_intake(
            self.connection, self.s3, self.lake.catalog, "web", Period.of("day", day), run, scratch
        )
        if address is not None:
            request = receive_request(self.s3, address)
            assert isinstance(request, IntakeRequest)
            self.requests.append(request)
        return address

    def answer(self, address: str, result: IntakeResult) -> str:
        """Write a result beside its request; returns its address."""
        found = f"{address.rpartition('/')[0]}/result.json"
        send(self.s3, found, result)
        return found

    def record(self, address: str, run: Run = RUN) -> dict[str, Books]:
        """Record a result."""
        return record_intake(self.connection, self.s3, self.lake.catalog, address, "web", run)

    def loaded(self, key: str, body: bytes, rejected: int = 0, day: date = DAY, **given: Any) -> LoadedFile:
        """Return what the job would say about a loaded file of valid rows, of which some are rejected."""
        count = body.count(b"\n") - 1
        facts = {
            "version_id": None,
            "etag": hashlib.md5(body).hexdigest(),
            "sha256": hashlib.sha256(body).hexdigest(),
            "size_bytes": len(body),
            "rows_in": count,
            "brought": HEADER.split(","),
            "ignored": [],
            "archive_members": [],
            "ignored_lines": {},
        }
        books = dict.fromkeys(COUNTS, 0) | {"rows_in": count, "inserted": count - rejected, "rejected": rejected}
        values: dict[str, Any] = {"books": books, "changed_days": (day,)} | given
        return LoadedFile(dataset="hits", period=day, key=key, status="loaded", facts=facts, **values)

    def put_rejects(self, folder: str, key: str, records: Iterable[int]) -> str:
        """Write rejected rows of a file as the job does; returns the address of the folder."""
        records = [*records]
        table = pa.table(
            {
                "dataset": ["hits"] * len(records),
                "period": [DAY] * len(records),
                "key": [key] * len(records),
                "record": pa.array(records, pa.int32()),
                "reasons": pa.array([["type:hit_id"]] * len(records), pa.list_(pa.string())),
                "raw": ['{"hit_id": "x"}'] * len(records),
            }
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        found = f"s3://{self.lake.bucket}/_spark/{folder}"
        name = address_of_rejects(found, "hits", DAY, key).removeprefix(f"s3://{self.lake.bucket}/")
        self.s3.put_object(Bucket=self.lake.bucket, Key=name, Body=sink.getvalue().to_pybytes())
        return found

    def ledger(self) -> list[tuple[Any, ...]]:
        """Return the files of the ledger without what differs from try to try."""
        return self.connection.execute(
            f"select object_key, etag, status, run_id, {', '.join(COUNTS)} from waybill.load_file "
            "order by object_key, status, etag"
        ).fetchall()

    def everything(self) -> list[list[tuple[Any, ...]]]:
        """Return what a record writes, by object key instead of file id."""
        by_key = "inner join waybill.load_file as f using (file_id)"
        queries = (
            f"select f.object_key, q.record, q.reasons, q.raw from waybill.quarantine as q {by_key} order by 1, 2",
            f"select f.object_key, c.table_name, c.day from waybill.change as c {by_key} order by 1, 2, 3",
            f"select f.object_key, w.kind, w.message from waybill.file_warning as w {by_key} order by 1, 2, 3",
            f"select c.dataset, c.newest, f.object_key from waybill.checkpoint as c {by_key} order by 1",
            "select object_key, etag, message, reasons from waybill.rejected_file order by 1, 3",
        )
        return [self.ledger(), *(self.connection.execute(query).fetchall() for query in queries)]
