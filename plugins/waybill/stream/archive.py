"""Write the events of closed hours as files of the raw zone, where the daily batch finds them.

A file is planned in a transaction, which names its events, and then written. Its bytes depend only on these events. So
a consumer that is killed in between writes the same file again, and an event is in exactly one file.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
from datetime import datetime
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError
from psycopg import Connection

from waybill.contracts.locations import raw_prefix
from waybill.errors import DataError
from waybill.period import Period
from waybill.settings import settings
from waybill.stream.declared import Declared
from waybill.stream.progress import low_watermark
from waybill.warehouse.connection import one_row

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

MOST_EVENTS: Final = 200_000
"""The most events of a file."""

_WAITING: Final = """
select
  (at at time zone %(timezone)s)::date as day,
  date_trunc('hour', at, 'UTC') as hour,
  shard
from waybill.stream_event
where
  dataset = %(dataset)s
  and archive_id is null
  and at < date_trunc('hour', %(until)s::timestamptz, 'UTC')
  and (not is_late or %(all)s or date_trunc('hour', arrived_at, 'UTC') < date_trunc('hour', clock_timestamp(), 'UTC'))
group by day, hour, shard
order by day, hour, shard
"""

_ASSIGN: Final = """
with chosen as (
  select event_id
  from waybill.stream_event
  where
    dataset = %(dataset)s
    and archive_id is null
    and at >= %(hour)s
    and at < %(hour)s + interval '1 hour'
    and (at at time zone %(timezone)s)::date = %(day)s
    and shard = %(shard)s
  order by sequence
  limit %(most)s
),

assigned as (
  update waybill.stream_event as known
  set archive_id = %(archive_id)s
  from chosen
  where known.dataset = %(dataset)s and known.event_id = chosen.event_id and known.archive_id is null
  returning known.sequence
)

select min(sequence), max(sequence), count(*) from assigned
"""


def write_closed(connection: Connection, s3: S3Client, declared: Declared) -> int:
    """Write the events of the hours that every shard has passed; return the number of files.

    Late events wait until the hour in which they arrived is over. The connection is in autocommit mode.
    """
    low = low_watermark(connection, declared.dataset)
    return write(connection, s3, declared, low) if low else 0


def write(
    connection: Connection, s3: S3Client, declared: Declared, until: datetime, *, has_all_late: bool = False
) -> int:
    """Write the events of the hours that ended by an instant; return the number of files.

    With `has_all_late`, late events are written at once.
    """
    parameters = {
        "dataset": declared.dataset,
        "until": until,
        "timezone": settings().timezone,
        "all": has_all_late,
    }
    for day, hour, shard in connection.execute(_WAITING, parameters).fetchall():
        key = raw_prefix(declared.contract.domain, declared.contract.name, Period.of(declared.contract.cadence, day))
        while _plan(connection, parameters | {"day": day, "hour": hour, "shard": shard}, key):
            pass
    return _write_planned(connection, s3, declared)


def _plan(connection: Connection, parameters: dict[str, object], prefix: str) -> bool:
    """Name the next events of an hour and shard as those of a file; return whether there are any."""
    with connection.transaction():
        (archive_id,) = one_row(
            connection, "select nextval(pg_get_serial_sequence('waybill.stream_archive', 'archive_id'))"
        )
        first, last, rows = one_row(connection, _ASSIGN, parameters | {"archive_id": archive_id, "most": MOST_EVENTS})
        if not rows:
            return False
        key = f"{prefix}stream-{parameters['shard']}-{first}-{last}.json.gz"
        connection.execute(
            "insert into waybill.stream_archive (archive_id, dataset, object_key, day, hour, rows) "
            "overriding system value values (%(archive_id)s, %(dataset)s, %(key)s, %(day)s, %(hour)s, %(rows)s)",
            parameters | {"archive_id": archive_id, "key": key, "rows": rows},
        )
    return True


def _write_planned(connection: Connection, s3: S3Client, declared: Declared) -> int:
    """Write the files that are planned; return their number. Raises the last error after all others are written."""
    planned = connection.execute(
        "select archive_id, object_key, rows from waybill.stream_archive "
        "where dataset = %s and written_at is null order by archive_id",
        (declared.dataset,),
    ).fetchall()
    failure: Exception | None = None
    for archive_id, key, rows in planned:
        try:
            size, sha256 = _write_file(connection, s3, archive_id, key, rows)
        except (BotoCoreError, ClientError, DataError) as error:
            log.warning("%s is not written: %s", key, error)
            failure = error
            continue
        connection.execute(
            "update waybill.stream_archive set written_at = clock_timestamp(), size = %s, sha256 = %s "
            "where archive_id = %s",
            (size, sha256, archive_id),
        )
        log.info("%s: %s events are archived in %s", declared.dataset, rows, key)
    if failure:
        raise failure
    return len(planned)


def _write_file(connection: Connection, s3: S3Client, archive_id: int, key: str, rows: int) -> tuple[int, str]:
    """Write one file and return its size in bytes and its SHA-256. Memory does not grow with the file."""
    with TemporaryFile() as body:
        found = 0
        # Without name and time, equal lines are equal bytes.
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=body, compresslevel=6, mtime=0) as packed,
            connection.transaction(),
            connection.cursor(name="archive") as cursor,
        ):
            cursor.execute(
                "select raw from waybill.stream_event where archive_id = %s order by sequence, event_id", (archive_id,)
            )
            for (raw,) in cursor:
                packed.write(raw.encode() + b"\n")
                found += 1
        if found != rows:
            raise DataError(f"{key}: {rows} events were planned and {found} are there; nothing was written.")
        size = body.tell()
        body.seek(0)
        sha256 = hashlib.file_digest(body, "sha256").hexdigest()
        body.seek(0)
        s3.put_object(Bucket=settings().raw_bucket, Key=key, Body=body)
    return size, sha256
