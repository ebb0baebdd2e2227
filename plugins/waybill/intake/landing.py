"""What has landed for a dataset, and what of it the ledger does not hold yet."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import Connection

from waybill import zones
from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.intake import object_keys
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


@dataclass(frozen=True)
class Misplaced:
    """An object whose folders name no period of its dataset; it is not loaded."""

    file: LandedFile
    """Its period is the one in which it landed."""
    error: DataError
    """What is wrong, what was expected and what to do."""

    @property
    def message(self) -> str:
        """The error's text."""
        return str(self.error)


@dataclass(frozen=True)
class Listing:
    """The objects below a dataset's prefix."""

    landed: list[LandedFile]
    """Files of the periods asked for, in the order in which they apply."""
    misplaced: list[Misplaced]
    """In order of their keys, whatever periods were asked for."""
    passed_over: dict[str, str]
    """Keys of objects that are no data, each with the rule that says so."""


def list_objects(s3: Any, bucket: str, contract: Contract, first: Period | None, last: Period | None) -> Listing:
    """The objects of a dataset, with its files of the periods `first` to `last` (None: any).

    `s3` is a boto3 client. `object_keys` says what is data and which period an object belongs to.
    """
    landed, misplaced, others = [], [], {}
    prefix = zones.raw_prefix(contract.domain, contract.name)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            key, landed_at = item["Key"], item["LastModified"]
            if rule := object_keys.passed_over(contract, key):
                others[key] = rule
                continue
            etag, size = item["ETag"].strip('"'), item["Size"]
            try:
                period = object_keys.period_of(contract, bucket, key, landed_at)
            except DataError as error:
                landing_day = landed_at.astimezone(ZoneInfo(settings().timezone)).date()
                file = LandedFile(bucket, key, etag, size, Period.of(contract.cadence, landing_day))
                misplaced.append(Misplaced(file, error))
                continue
            if (first is None or first <= period) and (last is None or period <= last):
                landed.append(LandedFile(bucket, key, etag, size, period))
    return Listing(sorted(landed, key=lambda file: file.order), misplaced, others)


def list_landed(
    s3: Any, bucket: str, contract: Contract, first: Period | None, last: Period | None
) -> list[LandedFile]:
    """The dataset's files of the periods `first` to `last` (None: any), in the order in which they apply."""
    return list_objects(s3, bucket, contract, first, last).landed


def has_landed(s3: Any, bucket: str, contract: Contract, period: Period) -> bool:
    """Whether the dataset has a file of the period. `s3` is a boto3 client."""
    prefix = zones.raw_prefix(contract.domain, contract.name, period)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return any(is_file_of(item, bucket, contract, period) for page in pages for item in page.get("Contents", []))


def is_file_of(item: Mapping[str, Any], bucket: str, contract: Contract, period: Period) -> bool:
    """Whether an entry of S3's list of objects is a file of a dataset's period."""
    key = item["Key"]
    if object_keys.passed_over(contract, key):
        return False
    with contextlib.suppress(DataError):
        return object_keys.period_of(contract, bucket, key, item["LastModified"]) == period
    return False


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
