"""Load files on Spark: check each one in a task, settle it against the table, and commit each part once.

A part is the files of a dataset that landed for one period. A job starts from the recorded snapshots: it
undoes what a run that died has left, so a retry computes and writes the same again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from waybill.contracts import Contract
from waybill.files.landed_file import LandedFile
from waybill.intake.ledger import imbalance
from waybill.lakehouse.checking import CheckedFile, lake_type
from waybill.lakehouse.columns import contract_of, place_columns, quoted, spark_type
from waybill.lakehouse.commits import instant_of, microseconds, replace_partition, rows_at, start_at
from waybill.lakehouse.exchange import (
    MOST_REJECTED,
    IntakeRequest,
    IntakeResult,
    Landed,
    LoadedFile,
    Part,
    address_of_rejects,
)
from waybill.lakehouse.outcomes import Settled, all_inserted, settle, with_keys_of
from waybill.period import Period
from waybill.scratch import scratch_folder
from waybill.settings import PREFIX, settings
from waybill.warehouse.file_order import natural_key

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


def load(spark: SparkSession, request: IntakeRequest) -> IntakeResult:
    """Load the files of a request; returns what became of each, in the order of the request.

    Raises `Conflict` if another writer changes a table meanwhile.
    """
    files: list[LoadedFile] = []
    rejected = f"{request.scratch}/rejected"
    snapshots: dict[str, int | None] = {}
    for name in {part.dataset for part in request.parts}:
        dataset = request.datasets[name]
        recorded = dataset.snapshot, dataset.quarantine_snapshot
        for table, start, found in zip((dataset.table, dataset.quarantine), recorded, dataset.found, strict=True):
            snapshots[table] = start_at(spark, table, start, found, request)
    with staging_folder(spark, request) as folder:
        for number, parts in enumerate(_together(request.parts)):
            staged = check_files(spark, request, parts, f"{folder}/{number}", rejected)
            log.info("%s: %d files are checked", parts[0].dataset, len(staged.files))
            for part in parts:
                files += load_part(spark, request, part, staged, snapshots)
                log.info("%s %s: %d files are loaded", part.dataset, part.period, len(part.files))
    any_rejected = any(file.books.get("rejected") for file in files)
    return IntakeResult(
        files=tuple(files),
        snapshots={table: snapshot for table, snapshot in snapshots.items() if snapshot is not None},
        rejected_rows=rejected if any_rejected else None,
    )


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

    bucket, _, key = folder.removeprefix("s3://").partition("/")
    s3 = boto3.client("s3")
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
            if found := page.get("Contents"):
                s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": one["Key"]} for one in found]})
    except (BotoCoreError, ClientError) as error:
        log.warning("%s is not removed: %s", folder, error)


def _together(parts: Iterable[Part]) -> Iterator[list[Part]]:
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


def expr(expression: str) -> Any:
    """Return an expression as a column."""
    from pyspark.sql import functions

    return functions.expr(expression)


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
    bucket, _, key = address.removeprefix("s3://").partition("/")
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


def load_part(
    spark: SparkSession, request: IntakeRequest, part: Part, staged: Staged, snapshots: dict[str, int | None]
) -> list[LoadedFile]:
    """Commit the rows of a part; returns what became of its files. `snapshots` has those of the tables, and is updated.

    Rows of objects that were not loaded stay.
    """
    dataset = request.datasets[part.dataset]
    contract, day = contract_of(dataset), part.period
    found = {file.key: staged.files[day, file.key] for file in part.files}
    loaded = [file for file in part.files if found[file.key].file.status == "loaded"]
    books = [found[file.key].file.books for file in loaded]
    own = _rows_of(spark, part, loaded, found, staged)

    base = snapshots[dataset.table]
    there = rows_at(spark, dataset.table, base)
    replaced = _replaced(there, day, loaded)
    known = _known(spark, there, part, loaded, contract)
    incoming = own.where("_reasons is null")
    settled: dict[str, Settled] = {}
    if len(loaded) == 1 and known.isEmpty():
        settled = {loaded[0].key: all_inserted(incoming, contract, request.timezone, books[0]["inserted"])}
    elif loaded:
        known = with_keys_of(known, incoming, contract, sum(one["inserted"] for one in books))
        settled = _settle(known, incoming, loaded, replaced, contract, request.timezone)
    if replaced or any(one["inserted"] for one in books):
        rows = _kept(spark, there, day, loaded).unionByName(incoming.select(*there.columns))
        snapshots[dataset.table] = replace_partition(rows, dataset.table, day, base, request)

    base = snapshots[dataset.quarantine]
    there = rows_at(spark, dataset.quarantine, base)
    if any(one["rejected"] for one in books) or _replaced(there, day, loaded):
        rejected = own.where("_reasons is not null").withColumnsRenamed({"_reasons": "reasons", "_raw": "raw"})
        rows = _kept(spark, there, day, loaded).unionByName(rejected.select(*there.columns))
        snapshots[dataset.quarantine] = replace_partition(rows, dataset.quarantine, day, base, request)
    return [_closed(found[file.key].file, settled.get(file.key)) for file in part.files]


def _rows_of(
    spark: SparkSession, part: Part, loaded: Sequence[Landed], found: Mapping[str, Checked], staged: Staged
) -> DataFrame:
    """Return the staged rows of loaded files, with the columns that say which file brought a row.

    `_of` is the place of the file among `loaded`.
    """
    from pyspark.sql import functions

    schema = (
        "_place int, _of int, _object string, _etag string, _landed_at timestamp, _name_key string, _delivered date"
    )
    rows = [
        (found[file.key].place, place, file.key, file.etag, file.landed_at, natural_key(file.key), part.period)
        for place, file in enumerate(loaded)
    ]
    files = functions.broadcast(spark.createDataFrame(rows, schema))
    places = [one.place for one in found.values()]  # without gaps, so that others are skipped by their statistics
    return staged.rows.where(f"_place between {min(places)} and {max(places)}").join(files, "_place")


def _replaced(there: DataFrame, day: date, loaded: Sequence[Landed]) -> dict[str, datetime]:
    """Return when the versions landed that files of a period replace, by key; versions without rows are left out.

    The table of rejected rows does not know when.
    """
    if not any(file.replaces_etag for file in loaded):
        return {}
    keys = _keys(there.sparkSession, (file.key for file in loaded if file.replaces_etag))
    rows = there.where(f"_delivered = date '{day}'").join(keys, "_object")
    landed = "max(_landed_at)" if "_landed_at" in there.columns else "timestamp_seconds(0)"
    return {key: instant_of(at) for key, at in rows.groupBy("_object").agg(microseconds(landed)).collect()}


def _keys(spark: SparkSession, keys: Iterable[str]) -> DataFrame:
    """Return the keys of objects as `_object`, and their places as `_of`."""
    from pyspark.sql import functions

    places = [(key, place) for place, key in enumerate(keys)]
    return functions.broadcast(spark.createDataFrame(places, "_object string, _of int"))


def _kept(spark: SparkSession, there: DataFrame, day: date, loaded: Sequence[Landed]) -> DataFrame:
    """Return the rows of a period that stay: those of other objects."""
    keys = _keys(spark, (file.key for file in loaded))
    return there.where(f"_delivered = date '{day}'").join(keys, "_object", "left_anti")


def _known(
    spark: SparkSession, there: DataFrame, part: Part, loaded: Sequence[Landed], contract: Contract
) -> DataFrame:
    """Return the rows of the table that may have keys of a part, with `_of`.

    That is the place among `loaded` of the file that replaces the version with the row.
    """
    keys = _keys(spark, (file.key for file in loaded)).withColumn("_delivered", expr(f"date '{part.period}'"))
    names = [*map(quoted, contract.names), *place_columns(contract)]
    pruned = there.where(_may_have_the_keys(contract, part))
    return pruned.join(keys, ["_object", "_delivered"], "left").selectExpr(*names, "_of")


def _may_have_the_keys(contract: Contract, part: Part) -> str:
    """Return the condition of the partitions that may have keys of a part."""
    if contract.lookback_periods is None or contract.period_column not in contract.row_key:
        return "true"
    period = Period.of(contract.cadence, part.period)
    first, last = (period.shift(number).start for number in (-contract.lookback_periods, contract.lookback_periods))
    return f"_delivered between date '{first}' and date '{last}'"


def _settle(
    known: DataFrame,
    incoming: DataFrame,
    loaded: Sequence[Landed],
    replaced: Mapping[str, datetime],
    contract: Contract,
    timezone: str,
) -> dict[str, Settled]:
    """Return what becomes of the rows of each loaded file, by its key."""
    returned = {}
    for place, file in enumerate(loaded):
        former = replaced.get(file.key)
        returned[place] = contract.file_order == "landing" and bool(former and former > file.landed_at)
    columns = [*map(quoted, contract.names), *place_columns(contract)]
    new = incoming.selectExpr(*columns, "_of", "true as _is_new")
    found = settle(
        known.selectExpr(*columns, "_of", "false as _is_new").unionAll(new), contract, timezone, returned=returned
    )
    return {file.key: found[place] for place, file in enumerate(loaded)}


def _closed(file: LoadedFile, settled: Settled | None) -> LoadedFile:
    """Return a file with balanced books and the days that it changed."""
    if settled is None:
        return file
    books = file.books | {"inserted": 0} | settled.outcomes
    assert not imbalance(books), f"{file.key}: {books}"
    return file.model_copy(update={"books": books, "changed_days": tuple(sorted(settled.changed_days))})
