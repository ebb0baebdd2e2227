"""Keep training sets: write the rows and the manifest to a folder or the lake's bucket, and register them."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from waybill.contracts.locations import TRAINING_PREFIX
from waybill.errors import DataError
from waybill.features import set_tables
from waybill.features.training_set import TrainingSet, manifest, read_set, write_tables
from waybill.outputs.export import PARQUET, errors_of_s3, put
from waybill.scratch import scratch_folder
from waybill.settings import settings
from waybill.warehouse.connection import advisory_lock
from waybill.warehouse.feature_tables import lock_sets

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from pyiceberg.catalog import Catalog

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")


@dataclass(frozen=True)
class StoredSet:
    """A training set that is registered."""

    name: str
    views: list[str]
    """The tables of the versions of views: `billing_feature.payer_spend_v1`."""
    is_as_of_now: bool
    location: str
    """The address of the Parquet file that was written last. The manifest lies beside it."""
    earlier_locations: list[str]
    """The addresses of the same set that was stored before."""
    lake_table: str | None
    """The Iceberg table with the rows: `waybill_training.churn_march`; None without one."""
    snapshot_id: int | None
    """The snapshot of the table that has the rows."""
    row_count: int
    content_sha256: str
    manifest: dict[str, Any]
    created_by: str
    created_at: datetime
    deleted_at: datetime | None
    deleted_by: str | None
    left_locations: list[str]
    """The addresses that the deletion did not reach: files on other machines, and objects that were not found."""
    gone_locations: list[dict[str, str]]
    """Addresses that it did not reach either, and of which somebody said that they are gone: address, by, at."""


_SELECT: Final = """
select
  name, views, is_as_of_now, location, earlier_locations, lake_table, snapshot_id, row_count, content_sha256, manifest,
  created_by, created_at, deleted_at, deleted_by, left_locations, gone_locations
from waybill.training_set
where (%(name)s::text is null or name = %(name)s)
  and (%(table)s::text is null or views @> array[%(table)s::text])
  and (%(with_deleted)s or deleted_at is null)
order by created_at desc, name
"""


def stored_sets(
    connection: Connection, *, name: str | None = None, table: str | None = None, with_deleted: bool = False
) -> list[StoredSet]:
    """Return the registered training sets, newest first: all, the one of a name, or those that use a view's table."""
    cursor = connection.cursor(row_factory=class_row(StoredSet))
    return cursor.execute(_SELECT, {"name": name, "table": table, "with_deleted": with_deleted}).fetchall()


def lock_of(name: str) -> str:
    """Return the name of the lock of those who store or delete a set. Names with one table in the lake share it."""
    return f"training set {name.replace('-', '_')}"


def store(
    wanted: TrainingSet,
    connect: Callable[[], Connection],
    by: str,
    *,
    name: str | None = None,
    target: Path | S3Client,
    catalog: Catalog | None = None,
) -> StoredSet:
    """Write a training set with its manifest and register it; return it as it is registered.

    Until the end, nobody is forgotten whom the set may have, and its views are not retired.

    Args:
        wanted: what the set has.
        connect: opens connections to the warehouse as a role that may register sets.
        by: who makes it.
        name: its name; by default the first view and a hash of what was asked for and found.
        target: a folder, or a client of S3 for the lake's bucket.
        catalog: for the bucket, the catalog in which the set becomes a table; None if the lake is not in use.

    Raises:
        CommandFailed: the catalog does not answer, or S3 refuses a request.
        DataError: the name is wrong or belongs to another set, the folder has another file of the name, the labels are
            refused, or the table cannot have them.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise DataError(f"{name!r} is no name: use lower-case letters, digits, - and _, at most 100")
    if catalog:
        set_tables.schema_of(wanted)
    if name:
        with connect() as connection:
            _refuse_taken(connection, name, has_table=catalog is not None)
            if isinstance(target, Path):
                _refuse_others_files(target, name, stored_sets(connection, name=name))
        if catalog and not isinstance(target, Path):
            set_tables.refuse_other(catalog, target, name)
    with (
        scratch_folder() as folder,
        _no_erasure(connect, wanted),
        read_set(wanted, connect, is_registered=True) as (tables, result, seen),
    ):
        file = folder / "rows.parquet"
        write_tables(wanted, tables, file)
        found = manifest(wanted, result, seen)
        name = name or _default_name(found)
        with connect() as connection, advisory_lock(connection, lock_of(name)):
            _refuse_taken(connection, name, has_table=catalog is not None)
            earlier = stored_sets(connection, name=name)
            for former in earlier:
                _refuse_another(former, found)
            with file.open("rb") as rows:
                sha256 = hashlib.file_digest(rows, "sha256").hexdigest()
            found = {"name": name, **found, "file": f"{name}.parquet", "file_sha256": sha256}
            if isinstance(target, Path):
                _refuse_others_files(target, name, earlier)
                location = _write_to_folder(target, found, file)
            else:
                location = _write_to_bucket(target, catalog, wanted, found, file)
            _register(connection, wanted, found, location, by)
            [stored] = stored_sets(connection, name=name)
            return replace(stored, manifest=found)  # jsonb has another order


@contextmanager
def _no_erasure(connect: Callable[[], Connection], wanted: TrainingSet) -> Iterator[None]:
    with connect() as connection, connection.transaction():
        lock_sets(connection, wanted.join.views, is_shared=True)
        yield


def _refuse_taken(connection: Connection, name: str, *, has_table: bool) -> None:
    """Refuse the name of a set that was deleted, and one whose table in the lake would be that of another set."""
    for former in stored_sets(connection, name=name, with_deleted=True):
        if former.deleted_at:
            raise DataError(
                f"{name} was deleted by {former.deleted_by} on {former.deleted_at:%Y-%m-%d}, and its name stays taken. "
                "Choose another --name."
            )
    row = connection.execute(
        "select name from waybill.training_set where lake_table = %s and name <> %s", (set_tables.table_of(name), name)
    ).fetchone()
    if row and has_table:
        raise DataError(
            f"{name} would have the table {set_tables.table_of(name)} in the lake, which is that of {row[0]}: - and _ "
            "are the same there. Choose another --name."
        )


def _identity(found: dict[str, Any]) -> str:
    """Return a hash of what was asked for and found. Sets of the same one have equal bytes."""
    views = [(view["table"], view["sql_sha256"]) for view in found["views"]]
    identity = [views, found["mode"], found["labels"]["sha256"], found["content_sha256"]]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _default_name(found: dict[str, Any]) -> str:
    return f"{found['views'][0]['table'].partition('.')[2]}-{_identity(found)[:12]}"


def _refuse_another(former: StoredSet, found: dict[str, Any]) -> None:
    if _identity(former.manifest) != _identity(found):
        raise DataError(
            f"{former.name} is another training set, made by {former.created_by} on {former.created_at:%Y-%m-%d}: "
            f"{former.row_count} rows with the hash {former.content_sha256[:12]}, and this one has {found['rows']} "
            f"rows with the hash {found['content_sha256'][:12]}. Choose another --name."
        )


def manifest_beside(path: Path, name: str) -> dict[str, Any] | None:
    """Return the manifest of a set that lies beside its file in a folder; None if no file is one."""
    try:
        beside = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return beside if isinstance(beside, dict) and beside.get("name") == name and "file_sha256" in beside else None


def is_file_of(path: Path, name: str, manifests: Iterable[dict[str, Any]]) -> bool:
    """Return whether a file is that of a set, by these manifests in the warehouse or the one beside the file.

    Raises `OSError` if it cannot be read.
    """
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return sha256 in {one.get("file_sha256") for one in (*manifests, manifest_beside(path, name) or {})}


def _refuse_others_files(target: Path, name: str, earlier: Sequence[StoredSet]) -> None:
    """Raise `DataError` if a folder has files where a set will be, and they are not of this set."""
    rows, about = target / f"{name}.parquet", target / f"{name}.json"
    refused = about if about.exists() and manifest_beside(rows, name) is None else None
    if rows.exists():
        try:
            is_own = is_file_of(rows, name, [one.manifest for one in earlier])
        except OSError:
            is_own = False
        refused = refused if is_own else rows
    if refused:
        raise DataError(
            f"{refused} exists already, and is not of the training set {name}. Choose another --name or --output."
        )


def unfinished_copy(path: Path) -> Path:
    """Return where the copy of the rows lies until it is whole. A copy that died stays there."""
    return path.with_suffix(".unfinished")


def _write_to_folder(target: Path, found: dict[str, Any], file: Path) -> str:
    """Write both files to a folder; return the address of the rows.

    The manifest comes first: it tells a second run that the rows of one that died are of the same set.
    """
    target.mkdir(parents=True, exist_ok=True)
    path = target / found["file"]
    unfinished = unfinished_copy(path)
    try:
        shutil.copyfile(file, unfinished)
        path.with_suffix(".json").write_text(_as_json(found), encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return str(path.resolve())


def _write_to_bucket(
    s3: S3Client, catalog: Catalog | None, wanted: TrainingSet, found: dict[str, Any], file: Path
) -> str:
    """Write both files to the lake's bucket and the table to its catalog, the manifest last.

    The manifest `found` gets the table and its snapshot. Returns the address of the rows.
    """
    bucket, key = settings().lake_bucket, f"{TRAINING_PREFIX}{found['name']}"
    address = f"s3://{bucket}/{key}.parquet"
    with errors_of_s3(address, "The set is not registered"):
        if catalog:  # a table of other bytes could not read the new file
            set_tables.drop_unless(catalog, s3, found["name"], found["file_sha256"])
        with file.open("rb") as rows:
            put(s3, bucket, f"{key}.parquet", rows, PARQUET)
        if catalog:
            snapshot = set_tables.write(catalog, s3, wanted, found, address, file)
            found |= {"table": set_tables.table_of(found["name"]), "snapshot_id": snapshot}
        put(s3, bucket, f"{key}.json", io.BytesIO(_as_json(found).encode()), "application/json")
    return address


def _as_json(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


_INSERT: Final = """
insert into waybill.training_set as s (
  name, views, is_as_of_now, location, lake_table, snapshot_id, row_count, labels_sha256, content_sha256, manifest,
  code_version, created_by
)
values (
  %(name)s, %(views)s, %(is_as_of_now)s, %(location)s, %(lake_table)s, %(snapshot)s, %(rows)s, %(labels)s, %(content)s,
  %(manifest)s, %(code)s, %(by)s
)
on conflict (name) do update set
  location = excluded.location,
  earlier_locations = array(
    select distinct former.address
    from unnest(s.earlier_locations || s.location) as former (address)
    where former.address <> excluded.location
    order by former.address
  ),
  lake_table = coalesce(excluded.lake_table, s.lake_table),
  snapshot_id = coalesce(excluded.snapshot_id, s.snapshot_id),
  manifest = excluded.manifest,
  code_version = excluded.code_version
"""


def _register(connection: Connection, wanted: TrainingSet, found: dict[str, Any], location: str, by: str) -> None:
    connection.execute(
        _INSERT,
        {
            "name": found["name"],
            "views": [view.table for view in wanted.join.views],
            "is_as_of_now": wanted.join.as_of_now,
            "location": location,
            "lake_table": found.get("table"),
            "snapshot": found.get("snapshot_id"),
            "rows": found["rows"],
            "labels": found["labels"]["sha256"],
            "content": found["content_sha256"],
            "manifest": Jsonb(found),
            "code": found["code_version"],
            "by": by,
        },
    )
