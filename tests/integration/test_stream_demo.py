"""The demo of a stream counts every event, and leaves no process and no stream behind."""

from __future__ import annotations

import os
import threading

import boto3
import psutil
import psycopg
import pytest

from support.waiting import eventually
from waybill.errors import CommandFailed
from waybill.warehouse.migrations import upgrade
from waybill_devtools.sampledata.shop_stream import Mix
from waybill_devtools.stack import Stack
from waybill_devtools.stream_demo import Options, Progress, run


@pytest.fixture
def fresh(stack: Stack, warehouse: psycopg.Connection, warehouse_dsn: str) -> Stack:
    """The stack with an empty warehouse."""
    upgrade(warehouse)
    return Stack(stack.home, variables={"AIRFLOW_CONN_WAYBILL_WAREHOUSE": warehouse_dsn})


def consumers() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "stream" in " ".join(child.cmdline()).split()]


def test_the_demo_counts_until_it_is_stopped(fresh: Stack, warehouse: psycopg.Connection) -> None:
    stop, seen = threading.Event(), list[Progress]()

    def report(progress: Progress) -> None:
        seen.append(progress)
        assert os.getpgid(consumers()[0].pid) != os.getpgid(0), "Ctrl-C would stop it before the last events"
        if progress.events > 1000:
            stop.set()

    options = Options(rate=500, mix=Mix(too_late=0.05, future=0.02))
    found = run(fresh, options, stop, ready=seen.clear, report=report)

    assert found.sent == found.events > 1000
    assert min(found.repeated, found.late, found.rejected) > 0
    (counted,) = warehouse.execute("select sum(events) from waybill.stream_count where dimension = ''").fetchone() or (
        0,
    )
    assert counted == found.events - found.repeated - found.late - found.rejected
    assert consumers() == []
    assert boto3.client("kinesis").list_streams()["StreamNames"] == []


def test_a_consumer_that_dies_ends_the_demo(fresh: Stack) -> None:
    def kill() -> None:
        assert eventually(lambda: len(consumers()) == 1)
        consumers()[0].kill()

    with pytest.raises(CommandFailed, match=r"the consumer has ended with code -9; see .*stream\.log"):
        run(fresh, Options(rate=50, seconds=60), threading.Event(), ready=kill)
    assert boto3.client("kinesis").list_streams()["StreamNames"] == []
