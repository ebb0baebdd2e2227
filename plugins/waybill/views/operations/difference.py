"""How the last two published versions of a report differ. The reports bucket keeps every version."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from psycopg import Connection

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.formatting import count
from waybill.outputs.formulas import restored
from waybill.outputs.publish import csv_key, manifest_key
from waybill.period import Period
from waybill.settings import settings
from waybill.views import catalog

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectVersionTypeDef

ROWS = 200
"""How many differing rows are listed."""
LARGEST_BYTES = 16 * 2**20
_MANIFESTS = 20


@dataclass(frozen=True)
class Row:
    """A differing row: added, removed or changed."""

    kind: str
    cells: list[tuple[str, str]]
    """(before, after) of each column."""


@dataclass(frozen=True)
class Difference:
    """How two published versions of a report's period differ."""

    before: datetime
    after: datetime
    added: int
    removed: int
    changed: int
    headings: list[str]
    rows: list[Row]
    files_added: list[str]
    """Keys of files that only the later version was built from, or whose content changed."""
    files_removed: list[str]
    are_files_known: bool
    """Whether the manifests of both versions exist."""
    replays: list[str]
    """Replays in between: how many rows of which file, and by whom."""


def files_of(connection: Connection, contract: Contract, period: Period) -> set[str]:
    """Return the keys of the files that a report's period was built from."""
    rows = connection.execute(
        "select f.object_key from waybill.load_file as f where f.file_id = any(array(select unnest(p.file_ids) "
        "from waybill.publication as p where (p.report, p.cadence, p.period) = (%s, %s, %s)))",
        (contract.table, period.cadence, period.start),
    ).fetchall()
    return {key for (key,) in rows}


def published_difference(
    s3: S3Client, domain: str, contract: Contract, period: Period, source_files: set[str]
) -> Difference | None:
    """Return the difference of the last two published versions; None for fewer than two.

    A manifest lists the files of all reports of a day. Of the new files, only those in `source_files` count.
    Raises `DataError` for versions that are too large to compare.
    """
    bucket, key = settings().reports_bucket, csv_key(contract, period)
    versions = _versions(s3, bucket, key)[:2]
    if len(versions) < 2:
        return None
    if too_large := [version["Size"] for version in versions if version["Size"] > LARGEST_BYTES]:
        raise DataError(
            f"s3://{bucket}/{key} has {max(too_large):,} bytes. Versions of at most {LARGEST_BYTES:,} are compared."
        )
    after, before = (_body(s3, bucket, key, version) for version in versions)
    new, old = _rows(contract, after), _rows(contract, before)
    found = [
        *(Row("removed", [(text, "") for text in old[one]]) for one in old.keys() - new.keys()),
        *(Row("added", [("", text) for text in new[one]]) for one in new.keys() - old.keys()),
        *(
            Row("changed", list(zip(old[one], new[one], strict=True)))
            for one in old.keys() & new.keys()
            if old[one] != new[one]
        ),
    ]
    found.sort(key=lambda row: (row.kind, row.cells))
    known = _files(s3, bucket, manifest_key(domain, period), after, before)
    files_after, files_before = (files if None not in known and files else set() for files in known)
    counts = {kind: sum(row.kind == kind for row in found) for kind in ("added", "removed", "changed")}
    return Difference(
        before=versions[1]["LastModified"],
        after=versions[0]["LastModified"],
        **counts,
        headings=[catalog.column_heading(column) for column in contract.columns],
        rows=found[:ROWS],
        files_added=sorted(key for key, _ in files_after - files_before if key in source_files),
        files_removed=sorted({key for key, _ in files_before} - {key for key, _ in files_after}),
        are_files_known=None not in known,
        replays=[],
    )


def with_replays(connection: Connection, contract: Contract, period: Period, found: Difference) -> Difference:
    """Return the difference with the replays between the builds of its two versions."""
    replays = connection.execute(
        _REPLAYS,
        {
            "report": contract.table,
            "cadence": period.cadence,
            "start": period.start,
            "before": found.before,
            "after": found.after,
        },
    ).fetchall()
    sentences = [
        f"{count(rows, 'row')} of file {file_id} ({key}): admitted by {resolved_by}"
        for rows, file_id, key, resolved_by in replays
    ]
    return replace(found, replays=sentences)


# A version is built before it is published, so rows replayed after the build are in the next version. S3 records the
# time of an object in seconds.
_REPLAYS = """
with builds as (
  select changed_at
  from waybill.change
  where (table_name, cadence, day) = (%(report)s, %(cadence)s, %(start)s)
),
later as (
  select max(changed_at) as built_at
  from builds
  where changed_at < %(after)s::timestamptz + interval '1 second'
),
earlier as (
  select max(b.changed_at) as built_at
  from builds as b
  cross join later as l
  where b.changed_at < least(%(before)s::timestamptz + interval '1 second', l.built_at)
),
files as (
  select unnest(file_ids) as file_id
  from waybill.publication
  where (report, cadence, period) = (%(report)s, %(cadence)s, %(start)s)
)
select count(*), f.file_id, f.object_key, q.resolved_by
from waybill.quarantine as q
inner join files using (file_id)
inner join waybill.load_file as f using (file_id)
cross join later as l
cross join earlier as e
where q.resolved_at > coalesce(e.built_at, %(before)s) and q.resolved_at <= coalesce(l.built_at, %(after)s)
group by f.file_id, f.object_key, q.resolved_by
order by f.file_id, q.resolved_by
"""


def _versions(s3: S3Client, bucket: str, key: str) -> list[ObjectVersionTypeDef]:
    """Return the newest versions of an object, newest first."""
    answer = s3.list_object_versions(Bucket=bucket, Prefix=key, MaxKeys=100)
    return [one for one in answer.get("Versions", []) if one["Key"] == key]


def _body(s3: S3Client, bucket: str, key: str, version: ObjectVersionTypeDef) -> bytes:
    return s3.get_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])["Body"].read()


def _rows(contract: Contract, body: bytes) -> dict[tuple[str, ...], list[str]]:
    """Return the rows of a CSV by their key. Missing columns are empty."""
    lines = csv.DictReader(io.StringIO(body.decode("utf-8"), newline=""))
    return {
        tuple(restored(line.get(name) or "") for name in contract.key): [
            restored(line.get(name) or "") for name in contract.names
        ]
        for line in lines
    }


def _files(s3: S3Client, bucket: str, key: str, *bodies: bytes) -> list[set[tuple[str, str]] | None]:
    """Return for each version of a report the files (key, hash) of its manifest; None without a manifest."""
    wanted = [hashlib.sha256(body).hexdigest() for body in bodies]
    found: dict[str, set[tuple[str, str]]] = {}
    for version in _versions(s3, bucket, key)[:_MANIFESTS]:
        manifest = json.loads(_body(s3, bucket, key, version))
        files = {(file["key"], file["sha256"]) for file in manifest["files"]}
        for one in manifest["objects"]:
            found.setdefault(one["sha256"], files)
        if found.keys() >= set(wanted):
            break
    return [found.get(sha256) for sha256 in wanted]
