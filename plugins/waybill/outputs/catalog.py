"""The tables of the processed zone in the Glue Data Catalog, for Athena, Spark and Redshift Spectrum.

This module owns the tables: nothing else creates or changes them. The database exists before: Terraform creates it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from waybill.contracts import Contract, locations
from waybill.contracts.classification import RESTRICTED
from waybill.contracts.layout import Layout
from waybill.errors import DataError
from waybill.outputs.masking import masked_columns

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import (
        BatchUpdatePartitionRequestEntryTypeDef,
        ColumnTypeDef,
        PartitionInputTypeDef,
        PartitionValueListTypeDef,
        StorageDescriptorTypeDef,
        TableInputTypeDef,
    )
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_HIVE_TYPES = {
    "integer": "int",
    "jsonb": "string",
    "real": "float",
    "double precision": "double",
    "time": "string",
    "timestamptz": "timestamp",
    "text": "string",
    "text[]": "array<string>",
    "uuid": "string",
}
_FORMAT: StorageDescriptorTypeDef = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}
_COMMENT_CHARACTERS = 255
# Limits of one API call.
_CREATE_BATCH, _DELETE_BATCH = 100, 25


class CatalogError(Exception):
    """The catalog rejected a partition or lacks the database. A retry may help."""


def register(glue: GlueClient, contract: Contract, bucket: str, days: Mapping[date, int]) -> None:
    """Register a table in the catalog as its contract describes it, with the partitions of some days.

    `days` maps each day to its number of rows: the partition of a day with rows is created or updated, that of a day
    without rows is deleted. Re-running is idempotent, and concurrent runs may do the same. Raises `CatalogError` for a
    partition that the catalog rejects and for a missing database, and the errors of the client.
    """
    names = {
        "DatabaseName": locations.CATALOG_DATABASE,
        "TableName": locations.catalog_table(contract.domain, contract.name),
    }
    _ensure_table(glue, contract, bucket)
    layout = _layout(contract)
    for some in _batches([day for day in sorted(days) if days[day]], _CREATE_BATCH):
        partitions = {tuple(layout.values(day)): _partition(contract, bucket, day) for day in some}
        answer = glue.batch_create_partition(**names, PartitionInputList=list(partitions.values()))
        existing = _failed_partitions(answer, "AlreadyExistsException")
        if existing:
            entries: list[BatchUpdatePartitionRequestEntryTypeDef] = [
                {"PartitionValueList": [*values], "PartitionInput": partitions[values]} for values in existing
            ]
            _failed_partitions(glue.batch_update_partition(**names, Entries=entries), "EntityNotFoundException")
    for some in _batches([day for day in sorted(days) if not days[day]], _DELETE_BATCH):
        values: list[PartitionValueListTypeDef] = [{"Values": layout.values(day)} for day in some]
        _failed_partitions(glue.batch_delete_partition(**names, PartitionsToDelete=values), "EntityNotFoundException")


def reconcile(glue: GlueClient, s3: S3Client, contract: Contract, bucket: str) -> dict[date, int]:
    """Make the partitions of a table match its files; returns the corrected days, with 1 for a day that has a file.

    Needed for a catalog that is new or was lost, and after a run that ended between writing and registering.
    """
    # List the catalog first: the file of a partition that another run adds meanwhile is then found, too.
    listed = _listed(glue, contract)
    there = set(_days_with_files(s3, contract, bucket))
    wrong = {day: 1 for day in there if listed.get(day) != _location(contract, bucket, day)}
    wrong |= dict.fromkeys(listed.keys() - there, 0)
    register(glue, contract, bucket, wrong)
    if wrong:
        log.info("%s: corrected %d partitions in the catalog", contract.table, len(wrong))
    return wrong


def _ensure_table(glue: GlueClient, contract: Contract, bucket: str) -> None:
    database, wanted = locations.CATALOG_DATABASE, _table(contract, bucket)
    try:
        table = glue.get_table(DatabaseName=database, Name=wanted["Name"])["Table"]
    except glue.exceptions.EntityNotFoundException:
        _create_table(glue, wanted)
        return
    if not _holds(table, wanted):
        _ignoring_conflicts(glue, glue.update_table, DatabaseName=database, TableInput=wanted)


def _create_table(glue: GlueClient, wanted: TableInputTypeDef) -> None:
    database = locations.CATALOG_DATABASE
    try:
        _ignoring_conflicts(glue, glue.create_table, DatabaseName=database, TableInput=wanted)
    except glue.exceptions.EntityNotFoundException:
        raise CatalogError(
            f"The Glue Data Catalog has no database {database} for the table {wanted['Name']}. "
            f"Run `terraform apply`, or `aws glue create-database --database-input Name={database}`."
        ) from None


def _ignoring_conflicts(glue: GlueClient, change: Callable[..., object], **arguments: Any) -> None:
    """Make a change, and ignore that another run makes the same change at the same time."""
    errors = glue.exceptions
    try:
        change(**arguments)
    except (errors.AlreadyExistsException, errors.ConcurrentModificationException):
        log.info("another run makes the same change in the catalog")


def _table(contract: Contract, bucket: str) -> TableInputTypeDef:
    return {
        "Name": locations.catalog_table(contract.domain, contract.name),
        "Description": f"{contract.description} {contract.grain}".strip(),
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {
            "EXTERNAL": "TRUE",
            "classification": "parquet",
            "waybill.contract": contract.table,
            "waybill.contract_version": contract.version,
        },
        "PartitionKeys": [
            {"Name": name, "Type": "string", "Comment": f"Calendar day, like {date(2026, 3, 31).strftime(form)}."}
            for name, form in _layout(contract).folders
        ],
        "StorageDescriptor": _storage(contract, _location(contract, bucket)),
    }


def _partition(contract: Contract, bucket: str, day: date) -> PartitionInputTypeDef:
    return {
        "Values": _layout(contract).values(day),
        "Parameters": {"classification": "parquet"},
        "StorageDescriptor": _storage(contract, _location(contract, bucket, day)),
    }


def _storage(contract: Contract, location: str) -> StorageDescriptorTypeDef:
    columns: list[ColumnTypeDef] = []
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
    """Return whether a definition contains all wanted values; the catalog adds values of its own."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(_holds(there.get(name), value) for name, value in wanted.items())
    return bool(there == wanted)


def _batches(days: list[date], size: int) -> Iterator[list[date]]:
    return (days[start : start + size] for start in range(0, len(days), size))


def _failed_partitions(answer: Mapping[str, Any], expected: str) -> list[tuple[str, ...]]:
    """Return the values of the partitions that failed with the expected error; raise for any other error."""
    failed = []
    for error in answer.get("Errors", []):
        values = tuple(error.get("PartitionValues") or error["PartitionValueList"])
        detail = error["ErrorDetail"]
        if detail["ErrorCode"] != expected:
            raise CatalogError(f"partition {'/'.join(values)}: {detail['ErrorCode']}: {detail.get('ErrorMessage', '')}")
        failed.append(values)
    return failed


def _listed(glue: GlueClient, contract: Contract) -> dict[date, str]:
    """Return the location of each partition in the catalog by day."""
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


def _days_with_files(s3: S3Client, contract: Contract, bucket: str) -> Iterator[date]:
    layout = _layout(contract)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=layout.root):
        for item in page.get("Contents", []):
            day = layout.day_of(item["Key"].removeprefix(layout.root).split("/")[:-1])
            if day is None:
                raise DataError(f"s3://{bucket}/{item['Key']}: the prefix names no day; expected {layout.pattern}")
            yield day
