"""The lake in a test: a bucket and a database of its own, read by pyarrow and pyiceberg."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import Connection
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from waybill.contracts import Contract
from waybill.contracts.locations import processed_layout
from waybill.outputs import iceberg_tables
from waybill.outputs.lake import write_days
from waybill.run import Run
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "the key of this test, long enough"
RUN = Run("test-run", "test-code")


@dataclass(frozen=True)
class Lake:
    """A bucket and a database of the catalog."""

    bucket: str
    s3: S3Client
    catalog: Catalog

    def write(
        self, connection: Connection, contract: Contract, days: Iterable[date], s3: Any = None
    ) -> dict[date, int]:
        """Write days of a table; returns their numbers of rows."""
        found = write_days(connection, s3 or self.s3, self.catalog, contract, days, RUN)
        return {day: one.row_count for day, one in found.items()}

    def table(self, contract: Contract) -> Table:
        return self.catalog.load_table(iceberg_tables.identifier(contract))

    def files(self, contract: Contract) -> list[str]:
        """Return the keys of the files that the table has now."""
        try:
            tasks = self.table(contract).scan().plan_files()
        except NoSuchTableError:
            return []
        return sorted(task.file.file_path.removeprefix(f"s3://{self.bucket}/") for task in tasks)

    def folders(self, contract: Contract) -> list[str]:
        """Return the folders of the files that the table has now."""
        return [key.rpartition("/")[0] for key in self.files(contract)]

    def snapshots(self, contract: Contract) -> list[int]:
        """Return the snapshots of the table, in order."""
        try:
            return [one.snapshot_id for one in self.table(contract).metadata.snapshots]
        except NoSuchTableError:
            return []

    def objects(self) -> list[str]:
        """Return the keys of all objects in the bucket, also those of earlier snapshots."""
        return sorted(item["Key"] for item in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", []))

    def body(self, contract: Contract, day: date) -> bytes:
        """Return the only file of a day."""
        folder = processed_layout(contract.domain, contract.name).prefix(day)
        (key,) = (key for key in self.files(contract) if key.startswith(folder))
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def day(self, contract: Contract, day: date) -> pa.Table:
        """Return the rows of a day's only file, without the column of the day and the identifiers of columns."""
        found = pq.read_table(io.BytesIO(self.body(contract, day)))
        assert found["lake_day"].to_pylist() == [day] * found.num_rows
        found = found.drop_columns("lake_day")
        return found.cast(pa.schema([_plain(field) for field in found.schema]))


def _plain(field: pa.Field) -> pa.Field:
    kind = pa.list_(pa.string()) if pa.types.is_list(field.type) else field.type
    return pa.field(field.name, kind, field.nullable)


@contextmanager
def lake_in(bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """Yield a lake whose data lies in a bucket, with a database of the test in the catalog."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("WAYBILL_LAKE_BUCKET", bucket)
    monkeypatch.setenv("WAYBILL_LAKE_DATABASE", database)
    monkeypatch.setenv("WAYBILL_MASK_KEY", KEY)
    settings.cache_clear()
    catalog = iceberg_tables.open_catalog(boto3.Session(), s3)
    catalog.create_namespace(database)
    yield Lake(bucket, s3, catalog)
    settings.cache_clear()
