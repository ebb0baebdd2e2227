"""Send the measurements of a stream to Amazon CloudWatch, once a minute, however many consumers read it."""

from __future__ import annotations

from typing import Final

from psycopg import Connection

from waybill.contracts.domains import load_manifest
from waybill.ops import metrics
from waybill.ops.metrics import Measurement
from waybill.settings import settings
from waybill.stream.lag import stream_state, supervised
from waybill.warehouse.connection import one_row

_LEAST_SECONDS: Final = 50
"""Measurements that another consumer sent since then are not sent again."""

_SINCE: Final = """
with sums as (
  select
    coalesce(sum(events), 0) as events,
    coalesce(sum(repeated), 0) as repeated,
    coalesce(sum(late), 0) as late,
    coalesce(sum(rejected), 0) as rejected,
    coalesce(sum(batches), 0) as batches,
    coalesce(sum(busy_seconds), 0) as busy_seconds
  from waybill.stream_shard
  where dataset = %(dataset)s
),

stored as (
  insert into waybill.stream_measurement as known (
    dataset, measured_at, events, repeated, late, rejected, batches, busy_seconds
  )
  select %(dataset)s, clock_timestamp(), events, repeated, late, rejected, batches, busy_seconds from sums
  on conflict (dataset) do update set
    measured_at = excluded.measured_at,
    events = excluded.events,
    repeated = excluded.repeated,
    late = excluded.late,
    rejected = excluded.rejected,
    batches = excluded.batches,
    busy_seconds = excluded.busy_seconds
  where known.measured_at < clock_timestamp() - %(least)s * interval '1 second'
  returning 1
)

select
  exists (select from stored),
  sums.events - coalesce(known.events, sums.events),
  sums.repeated - coalesce(known.repeated, sums.repeated),
  sums.late - coalesce(known.late, sums.late),
  greatest(sums.rejected - coalesce(known.rejected, sums.rejected), 0),
  (sums.busy_seconds - known.busy_seconds) / nullif(sums.batches - known.batches, 0)
from sums
left join waybill.stream_measurement as known on known.dataset = %(dataset)s
"""


def measurements(connection: Connection, dataset: str) -> list[Measurement]:
    """Return what happened in the stream of a dataset since the last measurements, and note that they were taken.

    Replayed events are no longer rejected, so they are subtracted from those that were rejected meanwhile.
    The first ones have no events. [] if others were taken less than a minute ago, or if no stream is set. The caller
    commits.
    """
    name = supervised().get(dataset)
    if name is None:
        return []
    is_due, events, repeated, late, rejected, batch_seconds = one_row(
        connection, _SINCE, {"dataset": dataset, "least": _LEAST_SECONDS}
    )
    if not is_due:
        return []
    domain, _, table = dataset.partition(".")
    return metrics.of_stream(
        load_manifest(domain).dag,
        table,
        lag_seconds=stream_state(connection, dataset, name).lag_seconds,
        events=events,
        repeated=repeated,
        late=late,
        rejected=rejected,
        batch_seconds=batch_seconds,
    )


def send(connection: Connection, dataset: str) -> int:
    """Send the measurements of a stream if `WAYBILL_METRICS` is set; return their number.

    Raises the errors of the client; the next measurements then have the events of these, too.
    """
    if not settings().metrics:
        return 0
    import boto3

    with connection.transaction():
        found = measurements(connection, dataset)
        if found:
            metrics.send(boto3.client("cloudwatch", config=metrics.client_config()), found)
    return len(found)
