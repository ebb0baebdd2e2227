"""Delete training sets: their files and their table go, and their record stays, with who deleted them and when."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg import Connection

from waybill.contracts.locations import TRAINING_PREFIX, bucket_and_key
from waybill.errors import CommandFailed, DataError
from waybill.features import set_tables
from waybill.features.stored_sets import (
    StoredSet,
    is_file_of,
    lock_of,
    manifest_beside,
    stored_sets,
    unfinished_copy,
)
from waybill.outputs.export import errors_of_s3, exists, remove
from waybill.settings import settings
from waybill.warehouse.connection import advisory_lock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from pyiceberg.catalog import Catalog

_NOT_DELETED: Final = "The set is not deleted"


@dataclass(frozen=True)
class Left:
    """A file that a deletion leaves to a person."""

    address: str
    why: str


@dataclass(frozen=True)
class Deletion:
    """What a deletion of a training set does."""

    stored: StoredSet
    objects: list[str]
    """The addresses of objects that are there: files of rows and manifests."""
    files: list[Path]
    """Files of rows in folders of this machine, whose manifests lie beside them, and copies of rows that died."""
    table: str | None
    left: list[Left]
    gone: list[str]
    """The addresses out of reach of which the caller says that they are gone."""


def plan(
    connection: Connection, s3: S3Client, catalog: Catalog | None, name: str, gone: Collection[str] = ()
) -> Deletion:
    """Return what a deletion would do now. For a set that was deleted, this is what is left of it.

    Args:
        connection: to the warehouse.
        s3: the client of the bucket.
        catalog: what `find_catalog` returns.
        name: the name of the set.
        gone: addresses of the set out of reach, of which the caller knows that nothing of the set is there.

    Raises:
        CommandFailed: the catalog does not answer, S3 refuses a request, or the set has a table and the catalog has no
            database for it.
        DataError: there is no such set, or an address of `gone` is none of the set, or the file is there.
    """
    found = stored_sets(connection, name=name, with_deleted=True)
    if not found:
        raise DataError(f"there is no training set {name}; `waybill features training-sets` lists them")
    [stored] = found
    if (
        stored.lake_table
        and not stored.deleted_at
        and not (catalog and set_tables.has_database_of(catalog, s3, stored.lake_table))
    ):
        raise CommandFailed(
            f"{name} has the table {stored.lake_table}, and the catalog of the lake "
            f"{'has no such database' if catalog else 'is not in use'}. Set "
            "WAYBILL_LAKE_CATALOG and WAYBILL_LAKE_DATABASE as they were when the set was made."
        )
    places = stored.left_locations if stored.deleted_at else [*stored.earlier_locations, stored.location]
    # A run that died may have written to the bucket without registering it.
    objects = {f"s3://{settings().lake_bucket}/{TRAINING_PREFIX}{name}.parquet"}
    objects |= {place for place in places if place.startswith("s3://")}
    files, left = list[Path](), list[Left]()
    for place in sorted(set(places) - objects):
        if why := _reason_to_leave(Path(place), stored):
            left.append(Left(place, why))
        else:
            files.append(Path(place))
        if os.path.lexists(copy := unfinished_copy(Path(place))):
            files.append(copy)
    table = stored.lake_table or set_tables.table_of(name)
    both = [one for address in sorted(objects) for one in (address, _manifest_of(address))]
    found_objects = [address for address in both if _exists(s3, address)]
    left += [Left(place, "not found") for place in sorted(objects & {*places} - {*found_objects})]
    for address in gone:
        if address not in places:
            raise DataError(f"--gone: {name} has no file {address} left. It has: {', '.join(places) or 'none'}")
        if address not in {one.address for one in left}:
            raise DataError(f"--gone: {address} is there. Run the command without it to delete the file.")
    return Deletion(
        stored,
        found_objects,
        files,
        table if catalog and set_tables.is_table_of(catalog, s3, table, name) else None,
        [one for one in left if one.address not in gone],
        sorted(gone),
    )


_UPDATE: Final = """
update waybill.training_set
set
  left_locations = %(left)s,
  gone_locations = gone_locations || (
    select coalesce(jsonb_agg(jsonb_build_object('address', address, 'by', %(by)s::text, 'at', now())), '[]')
    from unnest(%(gone)s::text[]) as g (address)
  ),
  deleted_at = coalesce(deleted_at, clock_timestamp()),
  deleted_by = coalesce(deleted_by, %(by)s)
where name = %(name)s
"""


def delete(
    connect: Callable[[], Connection],
    s3: S3Client,
    catalog: Catalog | None,
    name: str,
    by: str,
    gone: Collection[str] = (),
) -> Deletion:
    """Delete a training set; return what was done. Its record stays, and its name is not given to another set.

    If it dies, the set counts as not deleted, and a second run completes it. Of a set that was deleted, the files that
    are left on this machine are deleted. Earlier versions of the objects stay until the lifecycle of the bucket
    removes them. Those of `gone` are recorded with who says so. Raises as `plan` does.
    """
    with connect() as connection, advisory_lock(connection, lock_of(name)):
        found = plan(connection, s3, catalog, name, gone)
        if catalog and found.table:
            with errors_of_s3(f"files of the table {found.table}", _NOT_DELETED):
                set_tables.drop(catalog, s3, found.table)
        for address in found.objects:
            with errors_of_s3(address, _NOT_DELETED):
                remove(s3, *bucket_and_key(address))
        for path in found.files:
            has_manifest = manifest_beside(path, name) is not None and path != unfinished_copy(path)
            try:
                path.unlink()
                if has_manifest:
                    path.with_suffix(".json").unlink(missing_ok=True)
            except OSError as error:
                rows = str(path.with_suffix(".parquet"))
                found.left.append(Left(rows, f"{path.name} cannot be deleted: {error.strerror}"))
        left = sorted({one.address for one in found.left})
        connection.execute(_UPDATE, {"left": left, "gone": found.gone, "by": by, "name": name})
        return found


def _exists(s3: S3Client, address: str) -> bool:
    with errors_of_s3(address, _NOT_DELETED):
        return exists(s3, *bucket_and_key(address))


def _manifest_of(address: str) -> str:
    return f"{address.removesuffix('.parquet')}.json"


def _reason_to_leave(path: Path, stored: StoredSet) -> str | None:
    """Return why a file in a folder is left to a person; None if it is deleted."""
    try:
        if not path.is_file():
            return "not on this machine"
        is_own = is_file_of(path, stored.name, [stored.manifest])
        return None if is_own else f"another file than that of {stored.name} is there now"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
