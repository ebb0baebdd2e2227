"""Put records into a stream of Kinesis, in their order by session."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Final

from waybill_devtools.sampledata.shop_stream import Click, Clicks

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import PutRecordsRequestEntryTypeDef

GROUP: Final = 500
"""The most records that Kinesis takes at once."""
PAUSE_SECONDS: Final = 0.2
"""How long the producer waits after a request with throttled records, and between two requests."""


@dataclass(frozen=True, slots=True)
class Put:
    """A record that is in the stream."""

    shard: str
    sequence: str
    click: Click
    arrived_at: datetime
    """When it was sent, just before the stream took it."""

    @property
    def data(self) -> bytes:
        """The record."""
        return self.click.data


def put(client: KinesisClient, name: str, clicks: Iterable[Click]) -> list[Put]:
    """Put records into a stream, and return them in the order of their confirmation.

    Kinesis may refuse some records of a request, so a request has at most one record of a session. The next one waits
    until the stream has the one before.
    """
    waiting, done = deque(clicks), list[Put]()
    while waiting:
        group, held = _group(waiting)
        entries: list[PutRecordsRequestEntryTypeDef] = [
            {"Data": one.data, "PartitionKey": one.session} for one in group
        ]
        now, refused = datetime.now(UTC), list[Click]()
        answer = client.put_records(StreamName=name, Records=entries)
        for one, result in zip(group, answer["Records"], strict=True):
            if "SequenceNumber" in result:
                done.append(Put(result["ShardId"], result["SequenceNumber"], one, now))
            else:
                refused.append(one)
        waiting.extendleft(reversed([*refused, *held]))
        if refused:
            time.sleep(PAUSE_SECONDS)
    return done


def produce(
    client: KinesisClient, name: str, clicks: Clicks, stop: Event, report: Callable[[list[Put]], object]
) -> None:
    """Put each record when its time has come, until `stop` is set. `report` gets what was put."""
    following = next(clicks)
    while not stop.is_set():
        due = list[Click]()
        now = datetime.now(UTC)
        while clicks.at <= now:
            due.append(following)
            following = next(clicks)
        report(put(client, name, due))
        stop.wait(PAUSE_SECONDS)


def _group(waiting: deque[Click]) -> tuple[list[Click], list[Click]]:
    """Take the next records of different sessions; return them, and those before the last of them that must wait."""
    group, held, sessions = list[Click](), list[Click](), set[str]()
    while waiting and len(group) < GROUP:
        one = waiting.popleft()
        if one.session in sessions:
            held.append(one)
        else:
            sessions.add(one.session)
            group.append(one)
    return group, held
