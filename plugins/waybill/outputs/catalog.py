"""The processed zone in the Glue Data Catalog, from which Athena, Spark and Redshift Spectrum know its tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from waybill.contracts import Contract, locations
from waybill.contracts.classification import RESTRICTED
from waybill.contracts.layout import Layout
from waybill.errors import DataError
from waybill.outputs.masking import masked_columns

log = logging.getLogger(__name__)

_HIVE_TYPES = {"integer": "int", "timestamptz": "timestamp", "text": "string", "uuid": "string"}
_FORMAT = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}
_COMMENT_CHARACTERS = 255
# What one call takes.
_WRITTEN_AT_ONCE, _DELETED_AT_ONCE = 100, 25


class CatalogRefused(Exception):
    """The catalog did not take some partitions; trying again may help."""


def register(glue: Any, contract: Contract, bucket: str, days: Mapping[date, int]) -> None:
    """Make the catalog list the dataset's table as the contract has it, and these days' partitions.

    A day with rows gets its partition, or its partition is brought up to date; a day with 0 rows loses it. `glue`
    is a boto3 client. Running it again changes nothing, and so does another run that does the same meanwhile.
    Raises `CatalogRefused` for partitions that the catalog does not take, and the client's errors.
    """
    names = {
        "DatabaseName": locations.CATALOG_DATABASE,
        "TableName": locations.catalog_table(contract.domain, contract.name),
    }
    _ensure_table(glue, contract, bucket)
    layout = _layout(contract)
    for some in _batches([day for day in sorted(days) if days[day]], _WRITTEN_AT_ONCE):
        partitions = {tuple(layout.values(day)): _partition(contract, bucket, day) for day in some}
        answer = glue.batch_create_partition(**names, PartitionInputList=list(partitions.values()))
        there = _refused(answer, "AlreadyExistsException")
        if there:
            entries = [{"PartitionValueList": [*values], "PartitionInput": partitions[values]} for values in there]
            _refused(glue.batch_update_partition(**names, Entries=entries), "EntityNotFoundException")
    for some in _batches([day for day in sorted(days) if not days[day]], _DELETED_AT_ONCE):
        values = [{"Values": layout.values(day)} for day in some]
        _refused(glue.batch_delete_partition(**names, PartitionsToDelete=values), "EntityNotFoundException")


def reconcile(glue: Any, s3: Any, contract: Contract, bucket: str) -> dict[date, int]:
    """Make the catalog list exactly the days that have a file; returns the days that it listed wrongly (0: has none).

    For a catalog that is new or was lost, and for runs that ended between writing and registering.
    """
    # The catalog first: a day that another run adds meanwhile then has its file when the files are listed.
    listed = _listed(glue, contract)
    there = set(_days_with_files(s3, contract, bucket))
    wrong = {day: 1 for day in there if listed.get(day) != _location(contract, bucket, day)}
    wrong |= dict.fromkeys(listed.keys() - there, 0)
    register(glue, contract, bucket, wrong)
    if wrong:
        log.info("%s: %d days were listed wrongly in the catalog", contract.table, len(wrong))
    return wrong


def _ensure_table(glue: Any, contract: Contract, bucket: str) -> None:
    database, wanted = locations.CATALOG_DATABASE, _table(contract, bucket)
    try:
        table = glue.get_table(DatabaseName=database, Name=wanted["Name"])["Table"]
    except glue.exceptions.EntityNotFoundException:
        _unless_there(glue, glue.create_database, DatabaseInput={"Name": database})
        _unless_there(glue, glue.create_table, DatabaseName=database, TableInput=wanted)
        return
    if not _holds(table, wanted):
        _unless_there(glue, glue.update_table, DatabaseName=database, TableInput=wanted)


def _unless_there(glue: Any, change: Any, **arguments: Any) -> None:
    """Make a change that another run may be making at the same time."""
    errors = glue.exceptions
    try:
        change(**arguments)
    except (errors.AlreadyExistsException, errors.ConcurrentModificationException):
        log.info("another run does the same in the catalog")


def _table(contract: Contract, bucket: str) -> dict[str, Any]:
    return {
        "Name": locations.catalog_table(contract.domain, contract.name),
        "Description": f"{contract.description} {contract.grain}".strip(),
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
        "PartitionKeys": [
            {"Name": name, "Type": "string", "Comment": f"Calendar day, like {date(2026, 3, 31).strftime(form)}."}
            for name, form in _layout(contract).folders
        ],
        "StorageDescriptor": _storage(contract, _location(contract, bucket)),
    }


def _partition(contract: Contract, bucket: str, day: date) -> dict[str, Any]:
    return {
        "Values": _layout(contract).values(day),
        "Parameters": {"classification": "parquet"},
        "StorageDescriptor": _storage(contract, _location(contract, bucket, day)),
    }


def _storage(contract: Contract, location: str) -> dict[str, Any]:
    columns = []
    for column in masked_columns(contract):
        name = _HIVE_TYPES.get(column.physical_type, column.physical_type.replace("numeric", "decimal"))
        comment = f"{column.description} Pseudonym." if column.classification == RESTRICTED else column.description
        comment = " ".join(comment.split())[:_COMMENT_CHARACTERS]
        columns.append({"Name": column.name, "Type": name, "Comment": comment})
    return {"Columns": columns, "Location": location, **_FORMAT}


def _layout(contract: Contract) -> Layout:
    return locations.processed_layout(contract.domain, contract.name)


def _location(contract: Contract, bucket: str, day: date | None = None) -> str:
    return f"s3://{bucket}/{_layout(contract).prefix(day)}"


def _holds(there: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; the catalog adds values of its own."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(_holds(there.get(name), value) for name, value in wanted.items())
    return bool(there == wanted)


def _batches(days: list[date], size: int) -> Iterator[list[date]]:
    return (days[start : start + size] for start in range(0, len(days), size))


def _refused(answer: dict[str, Any], expected: str) -> list[tuple[str, ...]]:
    """The values of each partition of a batch that was not taken for the expected reason; raises for any other."""
    refused = []
    for error in answer.get("Errors", []):
        values = tuple(error.get("PartitionValues") or error["PartitionValueList"])
        detail = error["ErrorDetail"]
        if detail["ErrorCode"] != expected:
            raise CatalogRefused(
                f"partition {'/'.join(values)}: {detail['ErrorCode']}: {detail.get('ErrorMessage', '')}"
            )
        refused.append(values)
    return refused


def _listed(glue: Any, contract: Contract) -> dict[date, str]:
    """The location of each day that the catalog lists."""
    pages = glue.get_paginator("get_partitions").paginate(
        DatabaseName=locations.CATALOG_DATABASE,
        TableName=locations.catalog_table(contract.domain, contract.name),
        ExcludeColumnSchema=True,
    )
    try:
        return {
            date.fromisoformat("-".join(partition["Values"])): partition["StorageDescriptor"]["Location"]
            for page in pages
            for partition in page["Partitions"]
        }
    except glue.exceptions.EntityNotFoundException:
        return {}


def _days_with_files(s3: Any, contract: Contract, bucket: str) -> Iterator[date]:
    layout = _layout(contract)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=layout.root):
        for item in page.get("Contents", []):
            day = layout.day_of(item["Key"].removeprefix(layout.root).split("/")[:-1])
            if day is None:
                raise DataError(f"s3://{bucket}/{item['Key']}: the prefix names no day; expected is {layout.pattern}")
            yield day
