"""Maintenance of the lake: compaction, expiry of snapshots and removal of orphaned files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from psycopg import Connection

from waybill.contracts import Contract
from waybill.contracts.domains import is_on_spark
from waybill.contracts.locations import bucket_and_key
from waybill.formatting import count
from waybill.outputs import iceberg_files, iceberg_tables
from waybill.outputs.lake import COMMIT_DAYS, kept_from, lock_of
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.connection import advisory_lock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

log = logging.getLogger(__name__)

ORPHAN_DAYS: Final = 3
"""The age from which files that no snapshot has are removed. Younger ones may belong to a commit that is under way."""
_TAG: Final = "published-"
_DELETE_BATCH: Final = 1000
DROPPED_DAYS: Final = 366
"""How many days before its retention a run drops from a table at most."""
_FORGET: Final = "delete from waybill.processed_day where dataset = %(table)s and day = any(%(days)s)"
_MOVE_STATE: Final = """
update waybill.lake_state set snapshot_id = %(after)s, recorded_at = now()
where table_name = %(table)s and snapshot_id = %(before)s
"""
_NOTE_DROPPED: Final = """
insert into waybill.lake_commit (
  table_name, day, snapshot_id, row_count, content_sha256, file_ids, run_id, code_version
)
select %(table)s, d.day, %(snapshot)s, 0, '', '{}', %(run)s, %(code)s
from unnest(%(days)s) as d (day)
on conflict (table_name, day, snapshot_id) do nothing
"""
_DETAILS: Final = 1000


@dataclass
class Action:
    """What maintenance does to a table: compact, drop, expire, remove, tag, untag or rewrite."""

    table: str
    action: str
    objects: int = 0
    bytes: int = 0
    details: list[str] = field(default_factory=list)
    """Days, snapshots, tags or keys, at most a thousand."""

    def add(self, detail: str, size: int = 0) -> None:
        """Count one more object."""
        self.objects += 1
        self.bytes += size
        if len(self.details) < _DETAILS:
            self.details.append(detail)


def maintain(
    connection: Connection,
    s3: S3Client,
    catalog: Catalog,
    contracts: Iterable[Contract],
    run: Run,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
) -> list[Action]:
    """Maintain the tables of the lake; returns what was done, or with `dry_run` what would be done.

    For each table: days before its retention are dropped; days whose files are not those of the books become stale, so
    that the next run writes them again; days with several files get one; snapshots expire unless they are young or a
    published content refers to them; and old files that no snapshot has are removed. A lock keeps runs from writing a
    table meanwhile, except the Spark job, which does not know it: a day that both change is a conflict for the later
    commit. Both tables of a dataset on Spark are maintained without the books. `connection` is in autocommit mode.
    """
    found = []
    tables = [
        (one, suffix)
        for one in contracts
        for suffix in (("", iceberg_tables.QUARANTINE) if is_on_spark(one.domain) else ("",))
    ]
    for contract, suffix in tables:
        table = iceberg_tables.find_table(catalog, contract, suffix)
        if table is None:
            continue
        with nullcontext() if dry_run else advisory_lock(connection, lock_of(contract)):
            work = _Maintenance(
                connection, s3, contract, table.refresh(), run, now or datetime.now(UTC), dry_run, suffix
            )
            actions = [one for one in work.actions() if one.objects]
        for one in actions:
            if not dry_run:
                log.info("%s", described(one))
                connection.execute(
                    "insert into waybill.lake_maintenance (table_name, action, objects, bytes, details, run_id) "
                    "values (%s, %s, %s, %s, %s, %s)",
                    (one.table, one.action, one.objects, one.bytes, one.details, run.run_id),
                )
        found += actions
    return found


_SAID: Final = {
    "drop": "drop {} before the retention",
    "compact": "replace the files of {} by one each",
    "expire": "expire {}",
    "remove": "remove {} that no snapshot has",
    "rewrite": "write {} again with the next run",
    "tag": "keep {} for published reports",
    "untag": "no longer keep {} for published reports",
}
_COUNTED: Final = {"compact": "day", "drop": "day", "rewrite": "day", "remove": "file"}


def described(action: Action) -> str:
    """Return an action as a line: `billing.invoices: remove 3 files that no snapshot has (1,024 bytes)`."""
    what = _SAID[action.action].format(count(action.objects, _COUNTED.get(action.action, "snapshot")))
    size = f" ({action.bytes:,} bytes)" if action.bytes else ""
    return f"{action.table}: {what}{size}"


class _Maintenance:
    """The maintenance of one table."""

    def __init__(
        self,
        connection: Connection,
        s3: S3Client,
        contract: Contract,
        table: Table,
        run: Run,
        now: datetime,
        dry_run: bool,
        suffix: str,
    ) -> None:
        self._connection, self._s3, self._contract, self._table = connection, s3, contract, table
        self._run, self._now, self._dry_run, self._suffix = run, now, dry_run, suffix
        self._dropped: set[date] = set()

    def actions(self) -> Iterator[Action]:
        """Yield each action after it was done."""
        files = iceberg_files.files_by_day(self._table)
        yield self._drop(files)
        if not is_on_spark(self._contract.domain):
            yield self._rewrite(files)
            yield self._compact(files)
        yield from self._tag()
        yield self._expire()
        yield self._remove()

    def _action(self, name: str) -> Action:
        return Action(self._contract.table + self._suffix, name)

    def _drop(self, files: dict[date, list[DataFile]]) -> Action:
        """Drop the oldest days before the retention from the table, and from `files`."""
        action, kept = self._action("drop"), kept_from(self._contract, self._now)
        days = sorted(day for day in files if kept and day < kept)[:DROPPED_DAYS]
        for day in days:
            action.add(str(day), sum(file.file_size_in_bytes for file in files[day]))
        for start in range(0, 0 if self._dry_run else len(days), COMMIT_DAYS):
            some = days[start : start + COMMIT_DAYS]
            removed = [file for day in some for file in files[day]]
            summary = iceberg_files.summary_of(self._run, dict.fromkeys(some, ""), ())
            before = self._table.metadata.current_snapshot_id
            snapshot = iceberg_files.replace_files(self._table, some, removed, (), summary)
            values = {"table": action.table, "days": some, "snapshot": snapshot}
            state = {"table": ".".join(self._table.name()[-2:]), "before": before, "after": snapshot}
            with self._connection.transaction():
                self._connection.execute(_MOVE_STATE, state)
                self._connection.execute(_FORGET, values)
                self._connection.execute(
                    _NOTE_DROPPED, {**values, "run": self._run.run_id, "code": self._run.code_version}
                )
        for day in days:
            del files[day]
            self._dropped.add(day)
        return action

    def _rewrite(self, files: Mapping[date, list[DataFile]]) -> Action:
        """Forget the days of the books whose number of rows is not that of the lake: the next run writes them."""
        counted = {day: sum(file.record_count for file in some) for day, some in files.items()}
        action = self._action("rewrite")
        query = "select day, row_count from waybill.processed_day where dataset = %s order by day"
        for day, rows in self._connection.execute(query, (self._contract.table,)).fetchall():
            if counted.get(day, 0) != rows and day not in self._dropped:
                action.add(str(day))
                if not self._dry_run:
                    self._connection.execute(
                        "delete from waybill.processed_day where dataset = %s and day = %s", (self._contract.table, day)
                    )
        return action

    def _compact(self, files: Mapping[date, list[DataFile]]) -> Action:
        """Replace the files of each day that has several by one file with the same rows."""
        action = self._action("compact")
        for day, some in sorted(files.items()):
            if len(some) > 1:
                action.add(str(day), sum(file.file_size_in_bytes for file in some))
                if not self._dry_run:
                    iceberg_files.compact(self._table, self._s3, self._contract, day, some, self._run)
        return action

    def _tag(self) -> Iterator[Action]:
        """Tag the snapshots to which published contents refer, and remove the tags of others."""
        rows = self._connection.execute(
            "select distinct snapshot_id from waybill.published_snapshot where table_name = %s and noted_at > %s",
            (self._contract.table, self._now - timedelta(days=settings().lake_published_days)),
        )
        there = {snapshot.snapshot_id for snapshot in self._table.metadata.snapshots}
        wanted = {f"{_TAG}{number}": number for (number,) in rows if number in there}
        tags = {name for name in self._table.metadata.refs if name.startswith(_TAG)}
        tagged, untagged = self._action("tag"), self._action("untag")
        changes = self._table.manage_snapshots()
        for name in sorted(wanted.keys() - tags):
            changes.create_tag(wanted[name], name)
            tagged.add(name)
        for name in sorted(tags - wanted.keys()):
            changes.remove_tag(name)
            untagged.add(name)
        if not self._dry_run and (tagged.objects or untagged.objects):
            changes.commit()
        yield tagged
        yield untagged

    def _expire(self) -> Action:
        """Expire old snapshots without a tag, except the current one.

        On Spark, a snapshot is as old as its successor: a retry may need the one before the commits of a dead try.
        """
        action, metadata = self._action("expire"), self._table.metadata
        before = (self._now - timedelta(days=settings().lake_snapshot_days)).timestamp() * 1000
        kept = {ref.snapshot_id for ref in metadata.refs.values()}
        if self._dry_run:  # the tags that the run would add
            rows = self._connection.execute(
                "select snapshot_id from waybill.published_snapshot where table_name = %s", (self._contract.table,)
            )
            kept |= {number for (number,) in rows}
        if is_on_spark(self._contract.domain):
            kept |= {one.parent_snapshot_id or 0 for one in metadata.snapshots if one.timestamp_ms >= before}
        old = [one.snapshot_id for one in metadata.snapshots if one.timestamp_ms < before]
        expired = [number for number in old if number not in kept]
        for number in expired:
            action.add(str(number))
        if expired and not self._dry_run:
            self._table.maintenance.expire_snapshots().by_ids(expired).commit()
            self._table.refresh()
        return action

    def _remove(self) -> Action:
        """Remove old files that neither a snapshot nor the log of the metadata has."""
        action = self._action("remove")
        reachable = iceberg_files.reachable_files(self._table)
        before = self._now - timedelta(days=ORPHAN_DAYS)
        for prefix in iceberg_files.prefixes_of(self._table):
            bucket, root = bucket_and_key(prefix)
            orphans: list[ObjectIdentifierTypeDef] = []
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root):
                for item in page.get("Contents", []):
                    address = f"s3://{bucket}/{item['Key']}"
                    if (
                        address not in reachable
                        and item["LastModified"] < before
                        and iceberg_files.may_be_of(self._table, self._contract, address)
                    ):
                        action.add(address, item["Size"])
                        orphans.append({"Key": item["Key"]})
            for start in range(0, 0 if self._dry_run else len(orphans), _DELETE_BATCH):
                some = orphans[start : start + _DELETE_BATCH]
                answer = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})
                if errors := answer.get("Errors"):
                    raise RemovalError(
                        f"{len(errors)} files of {self._contract.table} were not removed, "
                        f"the first one: {errors[0].get('Key')}: {errors[0].get('Message')}"
                    )
        return action


class RemovalError(Exception):
    """S3 refused to remove files. A retry may help."""
