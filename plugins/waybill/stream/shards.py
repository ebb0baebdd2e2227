"""Which consumer reads which shard: leases in PostgreSQL, by its clock.

A consumer renews its leases every few seconds. A dead one's leases expire, and others take its shards. The epoch of a
shard grows with each owner, so a consumer that was only slow cannot move the position of a shard that it has lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from psycopg import Connection

from waybill.settings import settings
from waybill.stream.counting import Shard
from waybill.stream.kinesis import Listed

LEASE_SECONDS: Final = 9
"""After so many seconds without renewal, others take a shard."""
RENEWAL_SECONDS: Final = 3
"""How often a consumer renews its leases and looks for shards."""


def register(
    connection: Connection, dataset: str, name: str, created_at: datetime, listed: Sequence[Listed]
) -> list[str]:
    """Note the stream of a dataset and its shards; return the shards that it no longer has before they were read.

    A stream that was deleted and created again has other records, so its shards are others, too. A shard that the
    stream no longer lists was removed with its records: nothing waits for it, and its loss is noted. A stream has at
    least one shard.
    """
    assert listed
    with connection.transaction():
        known = connection.execute(
            "select name, created_at from waybill.stream where dataset = %s", (dataset,)
        ).fetchone()
        if known != (name, created_at):  # an update would wait for a batch that is counted
            connection.execute(
                """
                insert into waybill.stream as known (dataset, name, created_at) values (%s, %s, %s)
                on conflict (dataset) do update set name = excluded.name, created_at = excluded.created_at
                """,
                (dataset, name, created_at),
            )
        connection.cursor().executemany(
            """
            insert into waybill.stream_shard (dataset, stream_created_at, shard, parents) values (%s, %s, %s, %s)
            on conflict do nothing
            """,
            [(dataset, created_at, one.shard, one.parents) for one in listed],
        )
        lost = connection.execute(
            """
            update waybill.stream_shard
            set finished_at = clock_timestamp(), lost_at = clock_timestamp(), owner = null, held_until = null
            where dataset = %s and stream_created_at = %s and finished_at is null and shard <> all(%s)
            returning shard
            """,
            (dataset, created_at, [one.shard for one in listed]),
        )
        return [shard for (shard,) in lost]


def note_loss(connection: Connection, shard: Shard) -> None:
    """Note that the stream removed records of a shard before they were read."""
    connection.execute(
        "update waybill.stream_shard set lost_at = clock_timestamp() "
        "where dataset = %s and stream_created_at = %s and shard = %s",
        (shard.dataset, shard.stream_created_at, shard.shard),
    )


def renew(connection: Connection, dataset: str, consumer: str) -> dict[str, int]:
    """Renew a consumer's leases, and return the epoch of each shard that it still has."""
    with connection.transaction():
        connection.execute(
            """
            insert into waybill.stream_consumer (consumer, dataset, seen_at) values (%s, %s, clock_timestamp())
            on conflict (consumer) do update set seen_at = excluded.seen_at
            """,
            (consumer, dataset),
        )
        leased = connection.execute(
            """
            update waybill.stream_shard as s
            set held_until = clock_timestamp() + %s * interval '1 second'
            from waybill.stream as t
            where t.dataset = %s and s.dataset = t.dataset and s.stream_created_at = t.created_at
              and s.owner = %s and s.finished_at is null
            returning s.shard, s.epoch
            """,
            (LEASE_SECONDS, dataset, consumer),
        )
        return dict(leased.fetchall())


def share(connection: Connection, dataset: str) -> int:
    """Return how many shards each living consumer should have at most."""
    row = connection.execute(
        """
        with consumers as (
          select greatest(count(*), 1) as number from waybill.stream_consumer
          where dataset = %(dataset)s and seen_at > clock_timestamp() - %(seconds)s * interval '1 second'
        )

        select ceil(count(*)::numeric / consumers.number)::integer
        from waybill.stream_shard as s
        inner join waybill.stream as t using (dataset)
        cross join consumers
        where s.dataset = %(dataset)s and s.stream_created_at = t.created_at and s.finished_at is null
        group by consumers.number
        """,
        {"dataset": dataset, "seconds": LEASE_SECONDS},
    ).fetchone()
    return int(row[0]) if row else 0


def take(connection: Connection, dataset: str, consumer: str, most: int, resting: Sequence[str] = ()) -> list[Shard]:
    """Take up to `most` shards that nobody reads and whose parents are finished, and return them.

    `resting` are shards that the consumer does not want now.
    """
    if most <= 0:
        return []
    return [
        Shard(*row)
        for row in connection.execute(
            """
            with free as (
              select s.ctid
              from waybill.stream_shard as s
              inner join waybill.stream as t on t.dataset = s.dataset and t.created_at = s.stream_created_at
              where s.dataset = %(dataset)s and s.finished_at is null and s.shard <> all(%(resting)s)
                and (s.owner is null or s.held_until < clock_timestamp())
                and not exists (
                  select from waybill.stream_shard as parent
                  where parent.dataset = s.dataset and parent.stream_created_at = s.stream_created_at
                    and parent.shard = any(s.parents) and parent.finished_at is null
                )
              order by s.shard
              limit %(most)s
              for update of s skip locked
            )

            update waybill.stream_shard as s
            set
              owner = %(consumer)s,
              epoch = s.epoch + 1,
              held_until = clock_timestamp() + %(seconds)s * interval '1 second',
              newest = coalesce(s.newest, (
                select min(parent.newest) from waybill.stream_shard as parent
                where parent.dataset = s.dataset and parent.stream_created_at = s.stream_created_at
                  and parent.shard = any(s.parents)
              ))
            where s.ctid in (select ctid from free)
            returning
              s.dataset, s.stream_created_at, s.shard, s.owner, s.epoch, s.position, s.newest,
              case when s.behind_seconds = 0 then s.read_at else s.arrived_at end
            """,
            {
                "dataset": dataset,
                "consumer": consumer,
                "most": most,
                "seconds": LEASE_SECONDS,
                "resting": list(resting),
            },
        )
    ]


def give_back(connection: Connection, dataset: str, consumer: str, shard: str) -> None:
    """Give up a shard, so that others can take it at once."""
    connection.execute(
        "update waybill.stream_shard set owner = null, held_until = null "
        "where dataset = %s and owner = %s and shard = %s",
        (dataset, consumer, shard),
    )


def leave(connection: Connection, dataset: str, consumer: str) -> None:
    """Give up all shards of a consumer that stops."""
    with connection.transaction():
        connection.execute(
            "update waybill.stream_shard set owner = null, held_until = null where dataset = %s and owner = %s",
            (dataset, consumer),
        )
        connection.execute("delete from waybill.stream_consumer where consumer = %s", (consumer,))


def note_read(connection: Connection, shard: Shard, behind_seconds: float, busy_seconds: float) -> None:
    """Note that a shard was read, how far its consumer lags behind, and how long it worked."""
    connection.execute(
        """
        update waybill.stream_shard
        set
          read_at = clock_timestamp(),
          behind_seconds = %(behind)s,
          behind_since = case when %(behind)s > %(limit)s then coalesce(behind_since, clock_timestamp()) end,
          busy_seconds = busy_seconds + %(busy)s
        where dataset = %(dataset)s and stream_created_at = %(created_at)s and shard = %(shard)s
          and owner = %(owner)s and epoch = %(epoch)s
        """,
        {
            "behind": behind_seconds,
            "limit": settings().stream_lag_seconds,
            "busy": busy_seconds,
            "dataset": shard.dataset,
            "created_at": shard.stream_created_at,
            "shard": shard.shard,
            "owner": shard.owner,
            "epoch": shard.epoch,
        },
    )


def finish(connection: Connection, shard: Shard) -> None:
    """Note that a closed shard is read to its end: shards that follow it can be read from now on."""
    connection.execute(
        """
        update waybill.stream_shard
        set finished_at = clock_timestamp(), owner = null, held_until = null, behind_seconds = 0, behind_since = null
        where dataset = %s and stream_created_at = %s and shard = %s and owner = %s and epoch = %s
        """,
        (shard.dataset, shard.stream_created_at, shard.shard, shard.owner, shard.epoch),
    )
