"""The books of streams: what became of all events that were read."""

from __future__ import annotations

from psycopg import Connection

from waybill.stream.counting import Counts


def stream_books(connection: Connection, domain: str) -> dict[str, Counts]:
    """Return the books of each dataset of a domain whose stream was ever read, since the first event."""
    rows = connection.execute(
        """
        select
          dataset, sum(counted)::bigint, sum(repeated)::bigint, sum(late)::bigint, sum(rejected)::bigint
        from waybill.stream_shard
        where split_part(dataset, '.', 1) = %s
        group by dataset
        having sum(batches) > 0
        order by dataset
        """,
        (domain,),
    ).fetchall()
    return {dataset: Counts(*counts) for dataset, *counts in rows}
