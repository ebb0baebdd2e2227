"""Load files on Spark: check each one in a task, settle it against the table, and commit each part once.

A part is the files of a dataset that landed for one period. A job starts from the recorded snapshots: it
undoes what a run that died has left, so a retry computes and writes the same again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from waybill.contracts import Contract
from waybill.intake.ledger import imbalance
from waybill.lakehouse.columns import contract_of, place_columns, quoted
from waybill.lakehouse.commits import instant_of, microseconds, replace_partition, rows_at, start_at
from waybill.lakehouse.exchange import (
    IntakeRequest,
    IntakeResult,
    Landed,
    LoadedFile,
    Part,
)
from waybill.lakehouse.outcomes import Settled, all_inserted, settle, with_keys_of
from waybill.lakehouse.staged import Checked, Staged, check_files, checked_together, staging_folder
from waybill.period import Period
from waybill.warehouse.file_order import natural_key

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)


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
        for number, parts in enumerate(checked_together(request.parts)):
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


def expr(expression: str) -> Any:
    """Return an expression as a column."""
    from pyspark.sql import functions

    return functions.expr(expression)


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
