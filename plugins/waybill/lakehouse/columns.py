"""The columns of a dataset's table on Spark: those of the contract, and those that say which file brought a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from waybill.contracts import Column, Contract, odcs
from waybill.contracts.contract import numeric_digits
from waybill.lakehouse.exchange import Dataset

OWN_COLUMNS: Final = {  # Iceberg has columns `_file`, `_pos`, `_partition` and `_deleted` of its own
    "_object": ("string", "The object key of the file that brought the row."),
    "_etag": ("string", "The ETag of that object."),
    "_record": ("int", "The number of the record within the file, from 1, without the header."),
    "_landed_at": ("timestamp", "When the content was uploaded."),
    "_name_key": ("string", "A sort key for the natural order of names."),
    "_delivered": ("date", "The first day of the period for which the file landed."),
}


def contract_of(dataset: Dataset) -> Contract:
    """Return the contract of a dataset in a request."""
    return replace(odcs.recorded(dataset.contract), kept=dataset.kept)


TYPES: Final = {
    "smallint": "int",
    "integer": "int",
    "bigint": "bigint",
    "real": "float",
    "double precision": "double",
    "numeric": "double",
    "date": "date",
    "timestamp": "timestamp_ntz",
    "timestamptz": "timestamp",
    "boolean": "boolean",
    "text[]": "array<string>",
}
"""The type in Spark of a column of a table, by its type in the contract. All others are texts."""


def spark_type(column: Column) -> str:
    """Return the type of a column in Spark, which is that of the Iceberg table."""
    return named_type(column.physical_type, TYPES)


def named_type(declared: str, types: Mapping[str, str]) -> str:
    """Return the type in Spark for a type of the contract: a decimal of the same digits, one of `types`, or text."""
    if digits := numeric_digits(declared):
        return f"decimal({digits[0]},{digits[1]})"
    return types.get(declared, "string")


def quoted(name: str) -> str:
    """Return a name for Spark SQL."""
    return "`" + name.replace("`", "``") + "`"


def place_columns(contract: Contract) -> list[str]:
    """Return the columns that order the deliveries of a key: the last one is current."""
    return ["_delivered", *([] if contract.file_order == "name" else ["_landed_at"]), "_name_key"]


def text(value: str) -> str:
    """Return a text as a literal of Spark SQL."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
