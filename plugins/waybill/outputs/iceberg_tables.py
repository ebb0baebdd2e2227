"""The Iceberg tables of the lake in a REST catalog: their columns, partitions and properties.

The application owns the tables: it creates them from the contracts and changes them. The database exists before:
Terraform creates it on AWS.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from waybill.contracts import Column, Contract, locations
from waybill.contracts.classification import RESTRICTED
from waybill.contracts.contract import numeric_digits
from waybill.contracts.layout import Layout
from waybill.errors import DataError
from waybill.outputs.masking import masked_columns
from waybill.settings import SettingsError, settings

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_s3 import S3Client
    from pyiceberg.catalog import Catalog
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.update.schema import UpdateSchema
    from pyiceberg.types import IcebergType, NestedField

log = logging.getLogger(__name__)

DAY: Final = "lake_day"
"""The column with the day of a row, by which all tables are partitioned."""
QUARANTINE: Final = "_quarantine"
"""How the name of the table with the rejected rows of a dataset on Spark ends."""
DATA_PATH: Final = "write.data.path"
"""The property of a table with the address below which its files lie."""


class CatalogError(Exception):
    """The catalog lacks the database of the lake. A retry may help."""


def open_catalog(session: boto3.Session, s3: S3Client) -> Catalog:
    """Return the catalog that the settings name, with the credentials of a session.

    Raises `SettingsError` without an address or a region.
    """
    from pyiceberg.catalog.rest import RestCatalog

    from waybill.outputs.s3_file_io import CLIENT, S3FileIO

    region = session.region_name or s3.meta.region_name
    if not region or session.get_credentials() is None:
        raise SettingsError("The lake needs a region and credentials of AWS. Set AWS_DEFAULT_REGION and credentials.")
    address = catalog_address(region)
    properties = {
        "uri": address,
        "warehouse": settings().lake_warehouse,
        "rest.sigv4-enabled": "true",
        "rest.signing-name": "s3tables" if is_s3_tables(address) else "glue",
        "rest.signing-region": region,
        "botocore_session": session._session,
        "py-io-impl": f"{S3FileIO.__module__}.{S3FileIO.__qualname__}",
        CLIENT: s3,
    }
    given: dict[str, Any] = {name: value for name, value in properties.items() if value}
    return RestCatalog("lake", **given)


def catalog_address(region: str) -> str:
    """Return the address of the catalog that the settings name, by default that of Glue in a region."""
    return settings().lake_catalog or f"https://glue.{region}.amazonaws.com/iceberg"


def is_s3_tables(address: str) -> bool:
    """Return whether the catalog at an address is that of S3 Tables, which decides where files lie."""
    return (urlsplit(address).hostname or "").startswith("s3tables.")


def identifier(contract: Contract) -> tuple[str, str]:
    """Return the names of the database and the table of a contract."""
    return settings().lake_database, locations.catalog_table(contract.domain, contract.name)


def find_table(catalog: Catalog, contract: Contract, suffix: str = "") -> Table | None:
    """Return the table of a contract, or that with a suffix to its name; None if the catalog does not have it."""
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    database, name = identifier(contract)
    try:
        return catalog.load_table((database, name + suffix))
    except (NoSuchTableError, NoSuchNamespaceError):
        return None


def ensure_table(catalog: Catalog, contract: Contract) -> Table:
    """Return the table of a contract. Create it, or change its columns and properties to those of the contract.

    Columns keep their values if their new type is wider. Other columns with a new type are replaced by empty ones, so
    all days must be written again. Raises `CatalogError` without a database.
    """
    return ensure(catalog, identifier(contract), *_definition(contract), _properties(contract))


def ensure(
    catalog: Catalog, name: tuple[str, str], schema: Schema, spec: PartitionSpec, properties: Mapping[str, str]
) -> Table:
    """Return a table by its database and name. Create it, or change its columns and properties."""
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, TableAlreadyExistsError

    database, table_name = name
    try:
        table = catalog.load_table(name)
    except (NoSuchTableError, NoSuchNamespaceError):
        fixed = {"format-version": "2", "write.parquet.compression-codec": "zstd"}
        try:
            return catalog.create_table(name, schema, partition_spec=spec, properties=fixed | dict(properties))
        except TableAlreadyExistsError:  # another run created it meanwhile
            return ensure(catalog, name, schema, spec, properties)
        except NoSuchNamespaceError:
            raise CatalogError(
                f"The catalog of the lake has no database {database} for the table {table_name}. "
                f"Run `terraform apply`, or start the embedded stack again with `make up`."
            ) from None
    _evolve(table, schema, properties)
    return table


def needs_all_days(catalog: Catalog, contract: Contract) -> bool:
    """Return whether the table is missing, or has a column whose values do not fit the type in the contract."""
    table = find_table(catalog, contract)
    return table is None or bool(unfit_columns(table, _definition(contract)[0]))


def _properties(contract: Contract) -> dict[str, str]:
    found = {
        "comment": f"{contract.description} {contract.grain}".strip(),
        "waybill.contract": contract.table,
        "waybill.contract-version": contract.version,
    }
    if not is_s3_tables(settings().lake_catalog or ""):  # S3 Tables decides where files lie
        found[DATA_PATH] = f"s3://{settings().lake_bucket}/{layout_of(contract).root.rstrip('/')}"
    return found


def layout_of(contract: Contract) -> Layout:
    """Return where the files of a table lie."""
    return locations.processed_layout(contract.domain, contract.name)


def unfit_columns(table: Table, wanted: Schema) -> set[str]:
    """Return the columns with another type than the table has, unless the type is a wider one."""
    from pyiceberg.exceptions import ResolveError
    from pyiceberg.schema import promote

    there = {field.name: field.field_type for field in table.schema().fields}
    found = set()
    for field in wanted.fields:
        former = there.get(field.name, field.field_type)
        if _kind(former) != _kind(field.field_type):
            try:
                promote(former, field.field_type)
            except ResolveError:
                found.add(field.name)
    return found


def _evolve(table: Table, wanted: Schema, properties: Mapping[str, str]) -> None:
    """Change the columns and properties of a table that differ, in one commit."""
    unfit = unfit_columns(table, wanted)
    current = {field.name: field for field in table.schema().fields}
    dropped = (current.keys() - {field.name for field in wanted.fields}) | unfit
    with table.transaction() as change:
        if dropped:
            with change.update_schema(allow_incompatible_changes=True) as update:
                for name in sorted(dropped):
                    update.delete_column(name)
        with change.update_schema() as update:
            for field in wanted.fields:
                if field.name not in current or field.name in unfit:
                    update.add_column(field.name, field.field_type, field.doc)
                else:
                    _update_column(update, current[field.name], field)
        if new := {name: value for name, value in properties.items() if table.properties.get(name) != value}:
            change.set_properties(new)


def _kind(of: IcebergType) -> str:
    """Return a type without the identifiers of its elements."""
    return "list" if of.is_struct or str(of).startswith("list<") else str(of)


def _update_column(update: UpdateSchema, there: NestedField, wanted: NestedField) -> None:
    if _kind(there.field_type) != _kind(wanted.field_type):
        update.update_column(there.name, field_type=wanted.field_type)
    if there.doc != wanted.doc:
        update.update_column(there.name, doc=wanted.doc)
    if there.required and not wanted.required:
        update.make_column_optional(there.name)


def _definition(contract: Contract) -> tuple[Schema, PartitionSpec]:
    """Return the columns of a contract and that of the day, and the partitions by day.

    A partition has the name of the folder, if one folder has the whole day. The column has another name, so that
    readers of plain Parquet files find no column twice.
    """
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import DateType, NestedField

    columns = masked_columns(contract)
    if DAY in contract.names:
        raise DataError(f"{contract.table}: no column may have the name {DAY}, which the lake uses for its days")
    fields = [
        NestedField(number, column.name, iceberg_type(column), column.required, comment_of(column))
        for number, column in enumerate(columns, start=1)
    ]
    day = NestedField(len(columns) + 1, DAY, DateType(), required=False, doc="The calendar day of the row in the lake.")
    folders = layout_of(contract).folders
    name = folders[0][0] if len(folders) == 1 and folders[0][0] not in contract.names else DAY
    return Schema(*fields, day), PartitionSpec(PartitionField(day.field_id, 1000, IdentityTransform(), name))


def comment_of(column: Column) -> str:
    """Return the description of a column for readers of the lake."""
    described = f"{column.description} Pseudonym." if column.classification == RESTRICTED else column.description
    return " ".join(described.split())


def iceberg_type(column: Column) -> IcebergType:
    """Return the Iceberg type of a column. Types that Iceberg or its readers lack become text."""
    from pyiceberg import types

    kind = column.physical_type
    if digits := numeric_digits(kind):
        return types.DecimalType(*digits)
    return {
        "smallint": types.IntegerType(),
        "integer": types.IntegerType(),
        "bigint": types.LongType(),
        "real": types.FloatType(),
        "double precision": types.DoubleType(),
        "numeric": types.DoubleType(),
        "date": types.DateType(),
        "timestamp": types.TimestampType(),
        "timestamptz": types.TimestamptzType(),
        "boolean": types.BooleanType(),
        "text[]": types.ListType(0, types.StringType(), element_required=False),
    }.get(kind, types.StringType())
