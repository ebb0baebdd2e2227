"""The rejected events of streams: shard, sequence number, fields, all reasons and the version of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from waybill.stream.declared import Declared
from waybill.stream.events import Record, Rejected
from waybill.warehouse.connection import one_row


def keep(connection: Connection, declared: Declared, shard: str, rejected: Sequence[Rejected]) -> None:
    """Store rejected events of a shard."""
    if not rejected:
        return
    statement = (
        "copy waybill.stream_rejected (dataset, shard, sequence, arrived_at, newest, reasons, raw, contract_version) "
        "from stdin"
    )
    with connection.cursor().copy(statement) as copy:
        for one in rejected:
            record = one.record
            copy.write_row(
                (
                    declared.dataset,
                    shard,
                    record.sequence,
                    record.arrived_at,
                    one.newest,
                    one.reasons,
                    one.raw,
                    declared.contract.version,
                )
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


def open_events(
    connection: Connection, dataset: str, shard: str, after: str, sequences: Sequence[str] | None, limit: int
) -> list[Rejected]:
    """Return, and lock, the next open events of a shard that have fields, after a sequence number."""
    return [
        Rejected(Record(sequence, arrived_at, b""), reasons, raw, newest)
        for sequence, arrived_at, newest, reasons, raw in connection.execute(
            """
            select r.sequence::text, r.arrived_at, r.newest, r.reasons, r.raw
            from waybill.stream_rejected as r
            where dataset = %(dataset)s and shard = %(shard)s and sequence > %(after)s::numeric
              and resolved_as is null and starts_with(raw, '{')
              and (%(sequences)s::numeric[] is null or sequence = any(%(sequences)s::numeric[]))
            order by r.sequence
            limit %(limit)s
            for update
            """,
            {"dataset": dataset, "shard": shard, "after": after, "sequences": sequences, "limit": limit},
        )
    ]


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
