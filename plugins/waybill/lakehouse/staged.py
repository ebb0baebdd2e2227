"""Check the files of a request in the workers of Spark, and stage their rows, so that each file is read once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from waybill.contracts import Contract
from waybill.contracts.locations import bucket_and_key
from waybill.files.landed_file import LandedFile
from waybill.lakehouse.checking import CheckedFile, lake_type
from waybill.lakehouse.columns import contract_of, quoted, spark_type
from waybill.lakehouse.exchange import (
    MOST_REJECTED,
    IntakeRequest,
    Landed,
    LoadedFile,
    Part,
    address_of_rejects,
)
from waybill.period import Period
from waybill.scratch import scratch_folder
from waybill.settings import PREFIX, settings

if TYPE_CHECKING:
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
MOST_STAGED: Final = 8 * 2**30
"""Files of consecutive parts are checked together up to this size, so that small ones share the workers."""
SMALL_FILES: Final = 32
SMALL_BYTES: Final = 16 * 2**20
"""One task checks so many consecutive files, up to this size together."""


@contextmanager
def staging_folder(spark: SparkSession, request: IntakeRequest) -> Iterator[str]:
    """Yield the address of a folder that the workers can read and write: on one machine, a folder of this machine.

    It is removed at the end.
    """
    if not spark.sparkContext.master.startswith("local"):
        staged = f"{request.scratch}/staged"
        try:
            yield staged
        finally:
            _remove_objects(staged)
        return
    with scratch_folder() as folder:
        yield folder.as_uri()


def _remove_objects(folder: str) -> None:
    """Remove all objects of a folder. A failure is only logged: the lifecycle of the bucket removes them later."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = bucket_and_key(folder)
    s3 = boto3.client("s3")
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
            if found := page.get("Contents"):
                s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": one["Key"]} for one in found]})
    except (BotoCoreError, ClientError) as error:
        log.warning("%s is not removed: %s", folder, error)


def checked_together(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield consecutive parts of one dataset that are checked together."""
    group: list[Part] = []
    size = 0
    for part in parts:
        size_of_part = sum(file.size_bytes for file in part.files)
        if group and (part.dataset != group[0].dataset or size + size_of_part > MOST_STAGED):
            yield group
            group, size = [], 0
        group.append(part)
        size += size_of_part
    if group:
        yield group


@dataclass
class Staged:
    """The checked files of some parts of a dataset."""

    rows: DataFrame
    """The valid and rejected rows: `_place`, `_record`, the columns of the contract, `_reasons` and `_raw`."""
    files: dict[tuple[date, str], Checked]
    """The files by period and key."""


@dataclass(frozen=True)
class Checked:
    """A checked file."""

    place: int
    """Its `_place` in the staged rows."""
    file: LoadedFile


def check_files(
    spark: SparkSession, request: IntakeRequest, parts: Sequence[Part], folder: str, rejected: str
) -> Staged:
    """Check the files of parts of one dataset, each in a task, or some small ones together.

    The rows are written to `folder`, so that the files are read once.
    """
    dataset = parts[0].dataset
    contract, variables = contract_of(request.datasets[dataset]), variables_of(request)
    files = [landed_file(contract, part, file) for part in parts for file in part.files]
    tasks = list(_tasks(files))
    columns = ", ".join(f"{quoted(column.name)} {spark_type(column)}" for column in contract.columns)
    schema = f"_place int, _record int, {columns}, _reasons array<string>, _raw string, _facts string"

    def check(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        use_variables(variables)
        for batch in batches:
            for task in batch["id"].to_pylist():
                for place in tasks[task]:
                    yield from checked_batches(place, files[place], contract, rejected)

    spark.range(0, len(tasks), 1, max(len(tasks), 1)).mapInArrow(check, schema).write.mode("overwrite").parquet(folder)
    rows = spark.read.schema(schema).parquet(folder)
    found = {}
    for place, facts in rows.where("_facts is not null").select("_place", "_facts").collect():
        file = LoadedFile.model_validate_json(facts)
        found[file.period, file.key] = Checked(place, file)
    return Staged(rows.where("_facts is null").drop("_facts"), found)


def _tasks(files: Sequence[LandedFile]) -> Iterator[list[int]]:
    """Yield the places of the files that one task checks."""
    places: list[int] = []
    size = 0
    for place, file in enumerate(files):
        if places and (len(places) == SMALL_FILES or size + file.size_bytes > SMALL_BYTES):
            yield places
            places, size = [], 0
        places.append(place)
        size += file.size_bytes
    if places:
        yield places


def landed_file(contract: Contract, part: Part, file: Landed) -> LandedFile:
    """Return a file of a part as the code of one machine knows it."""
    period = Period.of(contract.cadence, part.period)
    return LandedFile(file.bucket, file.key, file.etag, file.size_bytes, period, file.landed_at)


def checked_batches(place: int, landed: LandedFile, contract: Contract, rejected: str) -> Iterator[pa.RecordBatch]:
    """Check a file in a worker. Yield its valid rows, its rejected rows, and what is known about it."""
    import boto3

    s3 = boto3.client("s3")
    with scratch_folder() as folder:
        checked = CheckedFile(contract, landed, folder)
        checked.check(s3)
        for batch in checked.valid_rows():
            yield _batch(contract, place, batch)
        for batch in checked.rejected_rows():
            yield _batch(contract, place, batch)
        summary = checked.summary()
        if summary.books.get("rejected"):
            address = address_of_rejects(rejected, contract.name, landed.period.start, landed.key)
            upload_rejected(s3, checked, summary, folder / "for_postgres.parquet", address)
        yield _batch(contract, place, facts=summary.model_dump_json())


def variables_of(request: IntakeRequest) -> dict[str, str]:
    """Return the variables of the settings by which workers decide about files."""
    names = ("timezone", "max_unpack_ratio", "duckdb_memory_limit")
    return {f"{PREFIX}{name.upper()}": str(getattr(request, name)) for name in names}


def use_variables(variables: Mapping[str, str]) -> None:
    """Make the settings of the request those of this process: workers have none of their own."""
    if not variables.items() <= os.environ.items():
        os.environ.update(variables)
        settings.cache_clear()


def upload_rejected(s3: S3Client, checked: CheckedFile, file: LoadedFile, path: Path, address: str) -> None:
    """Write the first rejected rows of a file to an object, for the quarantine in PostgreSQL."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = {"_record": "record", "_reasons": "reasons", "_raw": "raw"}
    fields = [("dataset", pa.string()), ("period", pa.date32()), ("key", pa.string())]
    schema = pa.schema([*fields, ("record", pa.int32()), ("reasons", pa.list_(pa.string())), ("raw", pa.string())])
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in checked.rejected_rows():
            some = batch.slice(0, MOST_REJECTED - rows)
            same = [
                pa.array([value] * some.num_rows, kind)
                for value, (_, kind) in zip((file.dataset, file.period, file.key), fields, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_arrays([*same, *(some[name] for name in names)], schema=schema))
            rows += some.num_rows
            if rows >= MOST_REJECTED:
                break
    bucket, key = bucket_and_key(address)
    s3.upload_file(str(path), bucket, key)


def _batch(
    contract: Contract, place: int, rows: pa.RecordBatch | None = None, facts: str | None = None
) -> pa.RecordBatch:
    """Return rows of a file, or what is known about it, in the schema of the staged rows."""
    import pyarrow as pa

    count = rows.num_rows if rows else 1
    kinds = [
        ("_record", pa.int32()),
        *((column.name, lake_type(column.physical_type)) for column in contract.columns),
        ("_reasons", pa.list_(pa.string())),
        ("_raw", pa.string()),
    ]
    there = rows.schema.names if rows else []
    arrays = [rows[name] if rows and name in there else pa.nulls(count, kind) for name, kind in kinds]
    names = ["_place", *(name for name, _ in kinds), "_facts"]
    return pa.RecordBatch.from_arrays(
        [pa.array([place] * count, pa.int32()), *arrays, pa.array([facts] * count, pa.string())], names
    )
