"""Records of a stream of clicks, and a warehouse that counts them without Kinesis."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import Connection

from rights.calls import RECORDER
from waybill.intake.validate import open_duckdb
from waybill.stream import shards
from waybill.stream.counting import Counts, Shard, count_batch
from waybill.stream.declared import Declared, declared_stream
from waybill.stream.events import Record, check
from waybill.stream.kinesis import Listed
from waybill.warehouse.connection import one_row
from waybill.warehouse.forgotten import forgotten_people
from waybill.warehouse.migrations import upgrade

CLICKS = "shop.clickstream"
KINDS = ("page_view", "product_view", "add_to_cart", "checkout", "purchase")
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def click(number: int, at: datetime, kind: str = "page_view", session: int = 1, **changed: Any) -> dict[str, Any]:
    """Return an event that meets the contract, but for changed fields."""
    fields = {
        "event_id": str(uuid.UUID(int=number)),
        "session_id": str(uuid.UUID(int=session)),
        "customer_id": None,
        "event_type": kind,
        "page": f"/{kind}",
        "product_id": None if kind == "page_view" else 1,
        "ts": at.isoformat(),
        "device": "mobile",
    }
    return fields | changed


def some_clicks(numbers: Iterable[int], begin: datetime, every: timedelta, seed: int = 1) -> list[dict[str, Any]]:
    """Return events at equal distances, of random kinds and sessions."""
    rng = random.Random(seed)
    return [
        click(number, begin + every * place, rng.choice(KINDS), rng.randrange(20), product_id=rng.randrange(1, 50))
        for place, number in enumerate(numbers)
    ]


def start_consumer(stream: str, *options: str, output: Any = None) -> subprocess.Popen[bytes]:
    """Start a consumer of clicks in a process of its own, whose calls of AWS are recorded."""
    environment = os.environ | {"WAYBILL_STREAMS": json.dumps({CLICKS: stream}), "PYTHONPATH": str(RECORDER)}
    command = [sys.executable, "-m", "waybill", "stream", "run", "--dataset", CLICKS, *options]
    return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


@dataclass
class Counter:
    """A shard whose records are counted in the process of the test."""

    connection: Connection
    declared: Declared
    shard: Shard
    sequence: int = 0

    def count(self, events: Sequence[dict[str, Any] | bytes], arrived_at: datetime | None = None) -> Counts:
        """Count events as one batch. They arrive when they happened, or at an instant."""
        records = []
        for event in events:
            self.sequence += 1
            at = arrived_at or (datetime.fromisoformat(event["ts"]) if isinstance(event, dict) else NOON)
            data = event if isinstance(event, bytes) else json.dumps(event).encode()
            records.append(Record(str(self.sequence), at, data))
        with tempfile.TemporaryDirectory() as folder, closing(open_duckdb(Path(folder))) as duck:
            forgotten = forgotten_people(self.connection, self.declared.contract)
            batch = check(duck, Path(folder), self.declared, records, self.shard.newest, forgotten)
        counts = count_batch(self.connection, self.declared, self.shard, batch)
        shards.note_read(self.connection, self.shard, 0, 0)
        self.shard = replace(self.shard, position=records[-1].sequence, newest=batch.newest)
        return counts


def counter(connection: Connection, *names: str, created_at: datetime = NOON) -> list[Counter]:
    """Return counters of the shards of a new stream of clicks. The connection is in autocommit mode."""
    upgrade(connection)
    declared = declared_stream(CLICKS)
    listed = [Listed(name, []) for name in names]
    shards.register(connection, CLICKS, "clicks", created_at, listed)
    shards.renew(connection, CLICKS, "test")
    return [Counter(connection, declared, one) for one in shards.take(connection, CLICKS, "test", len(names))]


def books(connection: Connection) -> Counts:
    """Return the sums of the books of all shards of the clicks."""
    return Counts(
        *one_row(
            connection,
            "select sum(counted)::integer, sum(repeated)::integer, sum(late)::integer, sum(rejected)::integer "
            "from waybill.stream_shard where dataset = %s",
            (CLICKS,),
        )
    )


def counted(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return the windows, sessions and events of the clicks, without what tells when and as what they arrived."""
    return {
        "windows": connection.execute(
            "select minute, kind, dimension, value, events, late from waybill.stream_count where dataset = %s "
            "order by minute, kind, dimension, value",
            (CLICKS,),
        ).fetchall(),
        "sessions": connection.execute(
            "select session, first_at, last_at, events, steps from waybill.stream_session where dataset = %s "
            "order by session, first_at",
            (CLICKS,),
        ).fetchall(),
        "events": connection.execute(
            "select event_id, at, session, kind, is_late, digest from waybill.stream_event where dataset = %s "
            "order by event_id",
            (CLICKS,),
        ).fetchall(),
    }


def clear(connection: Connection) -> None:
    """Forget all streams."""
    connection.execute(
        "truncate waybill.stream, waybill.stream_consumer, waybill.stream_shard, waybill.stream_event, "
        "waybill.stream_count, waybill.stream_session, waybill.stream_rejected, waybill.stream_archive, "
        "waybill.stream_measurement"
    )
