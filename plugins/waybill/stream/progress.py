"""How far all shards of a stream are read: no event before that instant is expected."""

from __future__ import annotations

from datetime import datetime

from psycopg import Connection

from waybill.settings import settings
from waybill.warehouse.connection import one_row


def low_watermark(connection: Connection, dataset: str) -> datetime | None:
    """Return the oldest watermark of the shards: the newest event of each, minus the allowed lateness.

    A shard does not count if it was just read to its end and had no event for a while (`WAYBILL_STREAM_IDLE_SECONDS`).
    If all are so, the watermark is that of a shard whose newest event happens now. Returns None while a shard was never
    read, or has older records than its first event.
    """
    row = one_row(
        connection,
        """
        with shards as (
          select
            s.newest,
            coalesce(
              s.behind_seconds = 0
              and s.read_at > clock_timestamp() - %(idle)s * interval '1 second'
              and coalesce(s.arrived_at, '-infinity') < clock_timestamp() - %(idle)s * interval '1 second',
              false
            ) as is_idle
          from waybill.stream_shard as s
          inner join waybill.stream as t on t.dataset = s.dataset and t.created_at = s.stream_created_at
          where s.dataset = %(dataset)s and s.finished_at is null
        )

        select case
          when count(*) = 0 or bool_or(newest is null and not is_idle) then null
          when bool_and(is_idle) then clock_timestamp() - %(lateness)s * interval '1 minute'
          else min(newest) filter (where not is_idle) - %(lateness)s * interval '1 minute'
        end
        from shards
        """,
        {
            "dataset": dataset,
            "idle": settings().stream_idle_seconds,
            "lateness": settings().stream_lateness_minutes,
        },
    )
    low: datetime | None = row[0]
    return low
