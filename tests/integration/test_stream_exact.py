"""Windows, sessions and books of a stream are exact, whatever is killed, changed or away in the meantime."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import boto3
import psycopg

from support.stream_rig import Rig
from waybill.warehouse.migrations import upgrade
from waybill_devtools.sampledata.shop_stream import Clicks, Mix
from waybill_devtools.stack import Stack

EVENTS = 30_000
SPAN = timedelta(hours=2)


def test_a_disturbed_stream_is_counted_to_the_event(
    stack: Stack, warehouse: psycopg.Connection, warehouse_dsn: str, tmp_path: Path
) -> None:
    upgrade(warehouse)
    warehouse.close()
    rng = Random(20260101)
    clicks = Clicks(
        rng.randrange(1000),
        EVENTS / SPAN.total_seconds(),
        datetime.now(UTC) - SPAN - timedelta(minutes=10),
        Mix(too_late=0.01, future=0.002, conflict=0.002),
    )

    def disconnect() -> None:
        """End all connections to the warehouse, in the middle of transactions."""
        with psycopg.connect(stack.database_url("postgres", "postgres"), autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
                (warehouse_dsn.rpartition("/")[2],),
            )

    with (tmp_path / "consumers.log").open("wb") as output:
        rig = Rig(boto3.client("kinesis"), warehouse_dsn, rng, output)
        with rig.running(shards=3, consumers=3):
            rig.run(clicks, EVENTS, [rig.kill, rig.split, disconnect, rig.kill, rig.merge, rig.kill])
            assert rig.differences() == []
    assert rig.kills == 3
    assert {one.click.kind for one in rig.log} == {
        *("new", "repeated", "late", "too_late", "future", "conflict", "malformed")
    }
