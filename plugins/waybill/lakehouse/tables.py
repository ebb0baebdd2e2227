"""The Iceberg tables of a dataset on Spark: every accepted row of every file, and the rejected rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waybill.contracts import Contract, ContractError
from waybill.lakehouse.columns import OWN_COLUMNS
from waybill.outputs.iceberg_tables import (
    DATA_PATH,
    QUARANTINE,
    ensure,
    iceberg_type,
    identifier,
    layout_of,
    unfit_columns,
)
from waybill.settings import settings

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.types import IcebergType


def ensure_tables(catalog: Catalog, contract: Contract) -> tuple[str, str]:
    """Create the two tables of a dataset, or bring them up to date with its contract; return their names.

    Raises `ContractError` if a column of the table has values that do not fit its type in the contract.
    """
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    database, name = identifier(contract)
    quarantine = f"{name}{QUARANTINE}"
    schema, spec = _definition(contract)
    try:
        unfit = unfit_columns(catalog.load_table((database, name)), schema)
    except (NoSuchTableError, NoSuchNamespaceError):
        unfit = set()
    if unfit:
        raise ContractError(
            f"{contract.table}: the lake's table {database}.{name} has values that do not fit the new type of "
            f"{', '.join(sorted(unfit))}. Give the column another name in the contract and the old name as a synonym, "
            "and load the files again."
        )
    ensure(catalog, (database, name), schema, spec, _properties(contract, ""))
    ensure(catalog, (database, quarantine), *_quarantine(contract), _properties(contract, QUARANTINE))
    return f"{database}.{name}", f"{database}.{quarantine}"


def _properties(contract: Contract, suffix: str) -> dict[str, str]:
    found = {"waybill.contract": contract.table, "waybill.contract-version": contract.version}
    if not (settings().lake_catalog or "").startswith("https://s3tables."):  # S3 Tables decides where files lie
        found[DATA_PATH] = f"s3://{settings().lake_bucket}/{layout_of(contract).root.rstrip('/')}{suffix}"
    return found


def _definition(contract: Contract) -> tuple[Schema, PartitionSpec]:
    if taken := OWN_COLUMNS.keys() & {*contract.names}:
        raise ContractError(
            f"{contract.table}: no column may have the name {', '.join(sorted(taken))}: the tables on Spark have "
            "columns of these names."
        )
    columns = [(column.name, iceberg_type(column), " ".join(column.description.split())) for column in contract.columns]
    return _partitioned(contract, [*columns, *_own(OWN_COLUMNS)])


def _quarantine(contract: Contract) -> tuple[Schema, PartitionSpec]:
    from pyiceberg.types import ListType, StringType

    own = {name: OWN_COLUMNS[name] for name in ("_object", "_etag", "_record", "_delivered")}
    reasons = ListType(0, StringType(), element_required=False)
    columns: list[tuple[str, IcebergType, str]] = [
        ("reasons", reasons, "The rules that the row breaks."),
        ("raw", StringType(), "The fields of the row as a JSON object, or the record as a JSON string."),
    ]
    return _partitioned(contract, [*_own(own), *columns])


def _own(columns: dict[str, tuple[str, str]]) -> list[tuple[str, IcebergType, str]]:
    from pyiceberg import types

    kinds: dict[str, IcebergType] = {
        "string": types.StringType(),
        "int": types.IntegerType(),
        "timestamp": types.TimestamptzType(),
        "date": types.DateType(),
    }
    return [(name, kinds[kind], text) for name, (kind, text) in columns.items()]


def _partitioned(contract: Contract, columns: list[tuple[str, IcebergType, str]]) -> tuple[Schema, PartitionSpec]:
    """Return the columns and the partitions by `_delivered`, with the name of the layout's folder if it is one."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import NestedField

    fields = [
        NestedField(place, name, kind, required=False, doc=text) for place, (name, kind, text) in enumerate(columns, 1)
    ]
    folders = layout_of(contract).folders
    folder = folders[0][0] if len(folders) == 1 and folders[0][0] not in contract.names else "_delivered"
    day = next(field for field in fields if field.name == "_delivered")
    return Schema(*fields), PartitionSpec(PartitionField(day.field_id, 1000, IdentityTransform(), folder))
