"""What has landed for a dataset, and what of it the ledger does not hold yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import Connection

from waybill import zones
from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.period import Period
from waybill.settings import settings


@dataclass(frozen=True)
class LandedFile:
    """One object of the raw zone."""

    bucket: str
    key: str
    etag: str
    size_bytes: int
    period: Period

    @property
    def uri(self) -> str:
        """How messages name the file."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def order(self) -> tuple[str, str]:
        """Files apply in this order: by delivery period, then by name. The clock plays no part."""
        return (self.period.key, self.key)


def list_landed(
    s3: Any, bucket: str, contract: Contract, first: Period | None, last: Period | None
) -> list[LandedFile]:
    """The dataset's objects of the periods `first` to `last` (None: any), in the order in which they apply.

    `s3` is a boto3 client. Folder markers and names that start with a dot or underscore are passed over. The period
    of an object is named by its prefix; if it need not be, it is else the day on which S3 got the object.
    Raises `DataError` for an object whose prefix must name a period and does not.
    """
    found = []
    prefix = zones.raw_prefix(contract.domain, contract.name)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            key = item["Key"]
            if key.rsplit("/", 1)[1].startswith((".", "_")) or key.endswith("/"):
                continue
            period = _period(bucket, key, contract, item["LastModified"])
            if (first is None or first <= period) and (last is None or period <= last):
                found.append(LandedFile(bucket, key, item["ETag"].strip('"'), item["Size"], period))
    return sorted(found, key=lambda file: file.order)


def _period(bucket: str, key: str, contract: Contract, landed_at: datetime) -> Period:
    named, cadence = zones.period_of(key), contract.cadence
    try:
        return Period.parse(cadence, named or "")
    except DataError:
        if contract.lands_any_time:
            return Period.of(cadence, landed_at.astimezone(ZoneInfo(settings().timezone)).date())
        folder = "month=YYYY-MM" if cadence == "month" else "dt=YYYY-MM-DD"
        raise DataError(
            f"s3://{bucket}/{key}: the prefix names no {cadence}; files land under "
            f"{zones.raw_prefix(contract.domain, contract.name)}{folder}/. Move the object there or delete it: "
            f"until then no run takes in files of {contract.table}."
        ) from None


def pending(connection: Connection, contract: Contract, landed: list[LandedFile]) -> list[LandedFile]:
    """The landed files whose content (by ETag) the ledger does not hold, or holds by another filter than today's.

    A file that lands at any time keeps the landing day of its first version: what mends it counts on that day.
    """
    rows = connection.execute(
        "select bucket, object_key, etag from waybill.load_file where dataset = %s and status = 'loaded' "
        "and kept_values is not distinct from %s::text[]",
        (contract.table, contract.kept_values),
    ).fetchall()
    known = {(bucket, key): etag for bucket, key, etag in rows}
    todo = [file for file in landed if known.get((file.bucket, file.key)) != file.etag]
    if not contract.lands_any_time:
        return todo
    rows = connection.execute(
        "select bucket, object_key, min(period) from waybill.load_file where dataset = %s group by bucket, object_key",
        (contract.table,),
    ).fetchall()
    first = {(bucket, key): Period.of(contract.cadence, day) for bucket, key, day in rows}
    todo = [replace(file, period=first.get((file.bucket, file.key), file.period)) for file in todo]
    return sorted(todo, key=lambda file: file.order)
