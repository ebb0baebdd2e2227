"""Forget events that no later event can concern, and old sessions and counts by dimension.

An event is forgotten a while after its watermark has passed, if it is archived and its session has ended. Later events
that are older than what is forgotten count as late.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from psycopg import Connection

from waybill.settings import settings
from waybill.stream.declared import Declared
from waybill.stream.progress import low_watermark

_EVENTS: Final = """
delete from waybill.stream_event as e
where
  e.archive_id = %(archive_id)s
  and not exists (
    select from waybill.stream_session as s
    where
      s.dataset = e.dataset
      and s.session = e.session
      and s.first_at <= e.at
      and s.last_at >= %(until)s::timestamptz - %(pause)s
  )
"""


def forget(connection: Connection, declared: Declared) -> int:
    """Delete what is old enough; return the number of deleted events. The connection is in autocommit mode."""
    low = low_watermark(connection, declared.dataset)
    if low is None:
        return 0
    until = low - timedelta(hours=settings().stream_keep_hours)
    # Commits before the first deletion: from here on, no event before that instant changes a session.
    connection.execute(
        "update waybill.stream set forgotten_until = greatest(forgotten_until, %s) where dataset = %s",
        (until, declared.dataset),
    )
    files = connection.execute(
        "select archive_id from waybill.stream_archive where dataset = %s and written_at is not null "
        "and forgotten_at is null and hour + interval '1 hour' <= %s order by archive_id",
        (declared.dataset, until),
    ).fetchall()
    forgotten = 0
    for (archive_id,) in files:
        parameters = {"archive_id": archive_id, "until": until, "pause": declared.pause}
        forgotten += connection.execute(_EVENTS, parameters).rowcount
        connection.execute(
            "update waybill.stream_archive set forgotten_at = clock_timestamp() where archive_id = %(archive_id)s "
            "and not exists (select from waybill.stream_event where archive_id = %(archive_id)s)",
            {"archive_id": archive_id},
        )
    days = timedelta(days=settings().stream_window_days)
    connection.execute(
        "delete from waybill.stream_count where dataset = %s and dimension = any(%s) and minute < %s",
        (declared.dataset, list(declared.stream.dimensions), low - days),
    )
    connection.execute(
        "delete from waybill.stream_session where dataset = %s and last_at < %s", (declared.dataset, until - days)
    )
    connection.execute(
        "delete from waybill.stream_rejected where dataset = %s and resolved_at < clock_timestamp() - %s",
        (declared.dataset, days),
    )
    connection.execute("delete from waybill.stream_consumer where seen_at < clock_timestamp() - interval '1 day'")
    return forgotten
