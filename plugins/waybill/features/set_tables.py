"""Training sets as Iceberg tables: each table has the Parquet file of one set, as it lies in the lake's bucket.

The tables are in a database of their own, so that neither the pipelines nor the maintenance of the lake change them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from waybill.contracts.locations import bucket_and_key
from waybill.errors import CommandFailed, DataError
from waybill.features.training_set import TrainingSet
from waybill.outputs.iceberg_files import CODE_VERSION, data_file
from waybill.outputs.iceberg_tables import catalog_address, comment_of, is_s3_tables, open_catalog
from waybill.settings import settings

if TYPE_CHECKING:
    from pathlib import Path

    import boto3
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client
    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.types import IcebergType

SET: Final = "waybill.training-set"
"""The property of a table with the name of its set."""
FILE_SHA256: Final = "waybill.file-sha256"
"""The property of a snapshot with the hash of the file."""
CONTENT_SHA256: Final = "waybill.content-sha256"
_UTC: Final = ("UTC", "Etc/UTC", "+00:00", "Z")
_METADATA: Final = ".metadata.json"
_WITHOUT: Final = " `waybill features training-set --output FOLDER` makes no table and needs no catalog."


def find_catalog(session: boto3.Session, s3: S3Client, *, to_delete: bool = False) -> Catalog | None:
    """Return the catalog for the tables of training sets; None if the lake is not in use.

    It is not in use if the catalog has no database of the lake. S3 Tables take no file that lies elsewhere, so with
    them training sets are Parquet only. Deletions need no database for training sets: there may be folders only.

    Raises:
        CommandFailed: the catalog does not answer, or has the database of the lake and none for training sets.
    """
    if is_s3_tables(settings().lake_catalog or ""):
        return None
    with _errors_of_catalog(session.region_name or s3.meta.region_name, "" if to_delete else _WITHOUT):
        catalog = open_catalog(session, s3)
        if not _has_database(catalog, settings().lake_database):
            return None
        database = settings().training_database
        if not to_delete and not _has_database(catalog, database):
            raise CommandFailed(
                f"The catalog of the lake has no database {database} for training sets. Run `terraform apply`, or "
                f"start the embedded stack again with `make up`, and run the command again.{_WITHOUT}"
            )
        return catalog


def has_database_of(catalog: Catalog, s3: S3Client, table_name: str) -> bool:
    """Return whether the catalog has the database of a table."""
    with _errors_of_catalog(s3.meta.region_name):
        return _has_database(catalog, table_name.partition(".")[0])


def _has_database(catalog: Catalog, database: str) -> bool:
    from pyiceberg.exceptions import NoSuchNamespaceError

    try:
        catalog.load_namespace_properties((database,))
    except NoSuchNamespaceError:
        return False
    return True


@contextmanager
def _errors_of_catalog(region: str, otherwise: str = "") -> Iterator[None]:
    """Name the catalog and the next step if it fails, and what is possible otherwise."""
    from pyiceberg.exceptions import RESTError
    from requests.exceptions import RequestException

    try:
        yield
    except (RESTError, RequestException) as error:
        what = "refused the request" if isinstance(error, RESTError) else "does not answer"
        raise CommandFailed(
            f"The catalog of the lake, {catalog_address(region)}, {what}: {type(error).__name__}. On the embedded "
            f"stack, run `make up`. Then run the command again: it completes what is there.{otherwise}"
        ) from error


def table_of(name: str) -> str:
    """Return the name of the table of a set, with its database: `waybill_training.churn_march` for `churn-march`."""
    return f"{settings().training_database}.{name.replace('-', '_')}"


def schema_of(wanted: TrainingSet) -> Schema:
    """Return the columns of the table of a training set.

    Raises `DataError` for a type that Iceberg or its readers lack, and for names that only differ by case.
    """
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    source, columns = wanted.labels.source, wanted.schema
    comments = {name: comment_of(column) for _, column, name in wanted.join.features()}
    seen: dict[str, str] = {}
    fields = []
    for number, column in enumerate(columns, start=1):
        former = seen.setdefault(column.name.lower(), column.name)
        if former != column.name:
            raise DataError(
                f"{source}: rename {former} or {column.name}: the names differ by case only, and readers of the lake "
                f"ignore the case.{_WITHOUT}"
            )
        kind = _type_of(column.type, len(columns) + number)
        if kind is None:
            raise DataError(
                f"{source}: {column.name} has the type {column.type}, which tables of the lake lack. Cast it, "
                f"instants to timestamp[us, UTC], or leave it out.{_WITHOUT}"
            )
        fields.append(NestedField(number, column.name, kind, required=False, doc=comments.get(column.name)))
    return Schema(*fields)


def _type_of(kind: pa.DataType, element: int) -> IcebergType | None:
    """Return the Iceberg type of values that Parquet has as Iceberg expects them; None for others."""
    import pyarrow as pa
    from pyiceberg import types

    if pa.types.is_decimal128(kind) and kind.scale >= 0:
        return types.DecimalType(kind.precision, kind.scale)
    if pa.types.is_timestamp(kind) and kind.unit == "us" and kind.tz in (None, *_UTC):
        return types.TimestamptzType() if kind.tz else types.TimestampType()
    if kind == pa.list_(pa.string()):
        return types.ListType(element, types.StringType(), element_required=False)
    plain: dict[Any, IcebergType] = {
        pa.bool_(): types.BooleanType(),
        pa.int8(): types.IntegerType(),
        pa.int16(): types.IntegerType(),
        pa.int32(): types.IntegerType(),
        pa.int64(): types.LongType(),
        pa.float32(): types.FloatType(),
        pa.float64(): types.DoubleType(),
        pa.date32(): types.DateType(),
        pa.string(): types.StringType(),
        pa.large_string(): types.StringType(),
    }
    return plain.get(kind)


def drop_unless(catalog: Catalog, s3: S3Client, name: str, file_sha256: str) -> None:
    """Drop the table of a set if it has anything but the file with this hash, such as that of a run that died.

    Raises `DataError` if the table is none of this set.
    """
    with _errors_of_catalog(s3.meta.region_name, _WITHOUT):
        table = _find(catalog, name)
        if table and _snapshot_with(table, file_sha256) is None:
            _drop(catalog, s3, table)


def refuse_other(catalog: Catalog, s3: S3Client, name: str) -> None:
    """Raise `DataError` if the table of a set is one of another set, or of somebody else."""
    with _errors_of_catalog(s3.meta.region_name, _WITHOUT):
        _find(catalog, name)


def write(catalog: Catalog, s3: S3Client, wanted: TrainingSet, found: dict[str, Any], address: str, path: Path) -> int:
    """Create the table of a set with its file; return the snapshot. Nothing is changed if the table has the file.

    Args:
        catalog: what `find_catalog` returns.
        s3: the client of the bucket.
        wanted: the training set.
        found: its manifest, with `name` and `file_sha256`.
        address: the address of its Parquet file.
        path: a file with the same content.
    """
    from pyiceberg.table import TableProperties
    from pyiceberg.typedef import Record

    name, sha256 = found["name"], found["file_sha256"]
    with _errors_of_catalog(s3.meta.region_name, _WITHOUT):
        table = _find(catalog, name)
        if table and (there := _snapshot_with(table, sha256)) is not None:
            return there
        if table is None:
            views = ", ".join(view["name"] for view in found["views"])
            properties = {
                "format-version": "2",
                "comment": f"The training set {name}, {found['mode']}, with values of {views}.",
                SET: name,
                # The file belongs to the set: no engine deletes it with a snapshot.
                "gc.enabled": "false",
            }
            table = catalog.create_table(table_of(name), schema_of(wanted), properties=properties)
        summary = {
            CODE_VERSION: found["code_version"],
            FILE_SHA256: sha256,
            CONTENT_SHA256: found["content_sha256"],
        }
        with table.transaction() as change:
            # The file has no identifiers of columns.
            names = table.schema().name_mapping.model_dump_json()
            change.set_properties({TableProperties.DEFAULT_NAME_MAPPING: names})
            with change.update_snapshot(summary).fast_append() as snapshot:
                snapshot.append_data_file(data_file(table, Record(), address, path))
        return snapshot.snapshot_id


def drop(catalog: Catalog, s3: S3Client, table_name: str) -> None:
    """Drop a table with its metadata, if it is there. The file of the set stays."""
    with _errors_of_catalog(s3.meta.region_name):
        if table := _load(catalog, table_name):
            _drop(catalog, s3, table)


def is_table_of(catalog: Catalog, s3: S3Client, table_name: str, name: str) -> bool:
    """Return whether there is a table of this name, which is that of a set."""
    with _errors_of_catalog(s3.meta.region_name):
        table = _load(catalog, table_name)
        return table is not None and table.properties.get(SET) == name


def _find(catalog: Catalog, name: str) -> Table | None:
    """Return the table of a set. Raises `DataError` if a table with its name is none of this set."""
    table = _load(catalog, table_of(name))
    owner = table.properties.get(SET) if table else name
    if owner != name:
        whose = f"that of the training set {owner}" if owner else "none of a training set"
        raise DataError(
            f"{name} needs the table {table_of(name)} in the lake, which is {whose}. Choose another --name."
        )
    return table


def _load(catalog: Catalog, table_name: str) -> Table | None:
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    try:
        return catalog.load_table(table_name)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None


def _snapshot_with(table: Table, file_sha256: str) -> int | None:
    """Return the current snapshot if it has the file with this hash."""
    current = table.current_snapshot()
    if current is None or current.summary is None:
        return None
    return current.snapshot_id if current.summary.additional_properties.get(FILE_SHA256) == file_sha256 else None


def _drop(catalog: Catalog, s3: S3Client, table: Table) -> None:
    """Drop a table, and the objects below its location: the metadata has bounds of values.

    Until the table is dropped, the description of the table stays, so that a second try finds the rest.
    """
    root = table.location().rstrip("/")
    _remove(s3, root, keep=_METADATA)
    catalog.drop_table(table.name())
    _remove(s3, root)


def _remove(s3: S3Client, root: str, keep: str | None = None) -> None:
    for folder in ("data", "metadata"):
        bucket, prefix = bucket_and_key(f"{root}/{folder}/")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                if keep is None or not item["Key"].endswith(keep):
                    s3.delete_object(Bucket=bucket, Key=item["Key"])
