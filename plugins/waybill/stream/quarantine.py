"""The rejected events of streams: shard, sequence number, fields, all reasons and the version of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import Connection

from waybill.stream.declared import Declared
from waybill.stream.events import Record, Rejected
from waybill.stream.kinesis import BATCH_EVENTS
from waybill.warehouse.connection import one_row

_BATCH_BYTES: Final = 6 * 2**20
"""After how many bytes a batch of replayed events ends: with the longest event, it has 10 MiB, as one of a consumer."""


def keep(connection: Connection, declared: Declared, shard: str, rejected: Sequence[Rejected]) -> None:
    """Store rejected events of a shard, unless they are there."""
    if not rejected:
        return
    connection.execute(
        """
        insert into waybill.stream_rejected (
          dataset, shard, sequence, arrived_at, newest, reasons, raw, contract_version
        )
        select %s, %s, r.sequence, r.arrived_at, r.newest, string_to_array(r.reasons, E'\\n'), r.raw, %s
        from unnest(%s::numeric[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::text[])
          as r (sequence, arrived_at, newest, reasons, raw)
        on conflict do nothing
        """,
        (
            declared.dataset,
            shard,
            declared.contract.version,
            [one.record.sequence for one in rejected],
            [one.record.arrived_at for one in rejected],
            [one.newest for one in rejected],
            ["\n".join(one.reasons) for one in rejected],
            [one.raw for one in rejected],
        ),
    )


def open_shards(
    connection: Connection, dataset: str, shard: str | None = None, sequences: Sequence[str] | None = None
) -> list[str]:
    """Return the shards with open events that have fields, optionally only of some events."""
    return [
        name
        for (name,) in connection.execute(
            """
            select shard
            from waybill.stream_rejected
            where dataset = %(dataset)s and resolved_as is null and starts_with(raw, '{')
              and (%(shard)s::text is null or shard = %(shard)s)
              and (%(sequences)s::numeric[] is null or sequence = any(%(sequences)s::numeric[]))
            group by shard
            order by shard
            """,
            {"dataset": dataset, "shard": shard, "sequences": sequences},
        )
    ]


def next_open(
    connection: Connection, dataset: str, shard: str, after: str, sequences: Sequence[str] | None
) -> list[str]:
    """Return the sequence numbers of a shard's next open events with fields, after one: as many as a batch may have."""
    return [
        sequence
        for (sequence,) in connection.execute(
            """
            with found as (
              select r.sequence, octet_length(r.raw) as bytes
              from waybill.stream_rejected as r
              where r.dataset = %(dataset)s and r.shard = %(shard)s and r.sequence > %(after)s::numeric
                and r.resolved_as is null and starts_with(r.raw, '{')
                and (%(sequences)s::numeric[] is null or r.sequence = any(%(sequences)s::numeric[]))
              order by r.sequence
              limit %(events)s
            ),

            summed as (select sequence, sum(bytes) over (order by sequence) - bytes as bytes_before from found)

            select s.sequence::text from summed as s where s.bytes_before < %(bytes)s order by s.sequence
            """,
            {
                "dataset": dataset,
                "shard": shard,
                "after": after,
                "sequences": sequences,
                "events": BATCH_EVENTS,
                "bytes": _BATCH_BYTES,
            },
        )
    ]


def open_events(connection: Connection, dataset: str, shard: str, sequences: Sequence[str]) -> list[Rejected]:
    """Return, and lock, those of some events of a shard that are still open."""
    return [
        Rejected(Record(sequence, arrived_at, b""), reasons, raw, newest)
        for sequence, arrived_at, newest, reasons, raw in connection.execute(
            """
            select r.sequence::text, r.arrived_at, r.newest, r.reasons, r.raw
            from waybill.stream_rejected as r
            where r.dataset = %s and r.shard = %s and r.sequence = any(%s::numeric[]) and r.resolved_as is null
            order by r.sequence
            for update
            """,
            (dataset, shard, sequences),
        )
    ]


def removed_texts(connection: Connection, dataset: str, shard: str | None, sequences: Sequence[str] | None) -> int:
    """Return how many open events, optionally only of some events, have lost their text by the retention."""
    (events,) = one_row(
        connection,
        """
        select count(*)
        from waybill.stream_rejected as r
        where r.dataset = %(dataset)s and r.resolved_as is null and r.removed_at is not null
          and (%(shard)s::text is null or r.shard = %(shard)s)
          and (%(sequences)s::numeric[] is null or r.sequence = any(%(sequences)s::numeric[]))
        """,
        {"dataset": dataset, "shard": shard, "sequences": sequences},
    )
    return int(events)


def resolve(
    connection: Connection, dataset: str, shard: str, resolved_by: str, outcomes: Sequence[tuple[str, str]]
) -> None:
    """Mark events of a shard as resolved, each given as (sequence number, outcome), and move them in its books.

    A stream that was deleted and created again has shards of the same names. The time of arrival tells them apart.
    """
    connection.execute(
        """
        with resolved as (
          update waybill.stream_rejected as r
          set resolved_as = o.outcome, resolved_by = %(by)s, resolved_at = clock_timestamp()
          from unnest(%(sequences)s::numeric[], %(outcomes)s::text[]) as o (sequence, outcome)
          where r.dataset = %(dataset)s and r.shard = %(shard)s and r.sequence = o.sequence
          returning r.arrived_at, r.resolved_as
        ),

        moved as (
          select
            created.at,
            count(*) as events,
            count(*) filter (where resolved_as = 'counted') as counted,
            count(*) filter (where resolved_as = 'repeated') as repeated,
            count(*) filter (where resolved_as = 'late') as late
          from resolved
          cross join lateral (
            select s.stream_created_at as at
            from waybill.stream_shard as s
            where s.dataset = %(dataset)s and s.shard = %(shard)s
            order by s.stream_created_at <= resolved.arrived_at desc, s.stream_created_at desc
            limit 1
          ) as created
          group by created.at
        )

        update waybill.stream_shard as s
        set
          rejected = s.rejected - moved.events,
          counted = s.counted + moved.counted,
          repeated = s.repeated + moved.repeated,
          late = s.late + moved.late
        from moved
        where s.dataset = %(dataset)s and s.shard = %(shard)s and s.stream_created_at = moved.at
        """,
        {
            "dataset": dataset,
            "shard": shard,
            "by": resolved_by,
            "sequences": [sequence for sequence, _ in outcomes],
            "outcomes": [outcome for _, outcome in outcomes],
        },
    )


def still_rejected(connection: Connection, declared: Declared, shard: str, rejected: Iterable[Rejected]) -> None:
    """Store the new reasons of events that a replay rejected again, and the contract's version."""
    connection.cursor().executemany(
        "update waybill.stream_rejected set reasons = %s, contract_version = %s "
        "where dataset = %s and shard = %s and sequence = %s::numeric",
        [(one.reasons, declared.contract.version, declared.dataset, shard, one.record.sequence) for one in rejected],
    )


@dataclass(frozen=True)
class OpenEvents:
    """The open events of a dataset."""

    counts: list[tuple[str, int]]
    """Each reason with its events, most frequent first."""
    newest: list[tuple[str, str, datetime, list[str], str]]
    """(shard, sequence number, time of arrival, reasons, contract's version) of the newest ones."""
    total: int


def newest_open(connection: Connection, dataset: str, limit: int) -> OpenEvents:
    """Return the open events of a dataset, of which the newest `limit` are listed."""
    counts = connection.execute(
        "select reason, count(*) from waybill.stream_rejected, unnest(reasons) as reason "
        "where dataset = %s and resolved_as is null group by reason order by 2 desc, 1",
        (dataset,),
    ).fetchall()
    newest = connection.execute(
        """
        select r.shard, r.sequence::text, r.arrived_at, r.reasons, r.contract_version
        from waybill.stream_rejected as r
        where r.dataset = %s and r.resolved_as is null
        order by r.arrived_at desc, r.shard, r.sequence desc
        limit %s
        """,
        (dataset, limit),
    ).fetchall()
    (total,) = one_row(
        connection,
        "select count(*) from waybill.stream_rejected where dataset = %s and resolved_as is null",
        (dataset,),
    )
    return OpenEvents(counts, newest, int(total))
