"""The archive has each accepted event once, the daily batch agrees, and forgetting changes no result."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from botocore.exceptions import ClientError
from psycopg import Connection

from support.messaging_months import RUN
from support.stream import CLICKS, NOON, Counter, click, counter, some_clicks
from waybill.checks.quality import evaluate
from waybill.contracts import load_domain
from waybill.intake.ingest import ingest
from waybill.period import Period
from waybill.settings import settings
from waybill.stream import archive, shards
from waybill.stream.counting import Fenced
from waybill.stream.forgetting import forget

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DAY = Period.parse("day", "2026-03-10")
HOUR = timedelta(hours=1)


@pytest.fixture
def connection(warehouse_dsn: str) -> Iterator[Connection]:
    with psycopg.connect(warehouse_dsn, autocommit=True) as found:
        yield found


@pytest.fixture
def raw(s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A raw bucket of the test's own."""
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    settings.cache_clear()
    yield bucket
    settings.cache_clear()


def files(s3: S3Client, bucket: str) -> dict[str, list[dict[str, Any]]]:
    """Return the events of each archived file."""
    found = {}
    for one in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        body = s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        found[one["Key"]] = [json.loads(line) for line in gzip.decompress(body).splitlines()]
    return found


def difference(connection: Connection) -> int:
    """Return the result of the daily check."""
    contract = load_domain("shop")["clickstream"]
    check = next(one for one in contract.checks if one.name == "clickstream_stream_difference")
    (found,) = evaluate(connection, replace(contract, checks=(check,)), DAY)
    assert found.observed is not None
    return int(found.observed)


def load(connection: Connection, s3: S3Client) -> None:
    contracts = load_domain("shop")
    ingest(connection, s3, contracts["clickstream"], contracts, DAY, RUN)


def counted_day(connection: Connection) -> tuple[Counter, list[dict[str, Any]]]:
    """Count three hours of events of two shards, with repeated, late and broken ones. Return one shard, and all."""
    one, other = counter(connection, "shard-0", "shard-1")
    first = some_clicks(range(1, 301), NOON, timedelta(seconds=36), seed=1)
    second = some_clicks(range(1001, 1301), NOON, timedelta(seconds=36), seed=2)
    one.count([*first, first[7], b"not json", click(2001, NOON)])
    other.count([*second[:150], second[3], *second[150:], click(2002, NOON, kind="teleport")])
    return one, [*first, *second, click(2001, NOON)]


def test_each_accepted_event_is_in_one_file_and_the_batch_agrees(
    connection: Connection, s3: S3Client, raw: str
) -> None:
    one, accepted = counted_day(connection)
    assert archive.write(connection, s3, one.declared, NOON + 2 * HOUR) == 4
    begun = files(s3, raw)
    assert all(datetime.fromisoformat(event["ts"]) < NOON + 2 * HOUR for found in begun.values() for event in found)
    load(connection, s3)
    assert difference(connection) == 200, "the last hour is counted and not archived"
    assert archive.write(connection, s3, one.declared, NOON + 4 * HOUR, has_all_late=True) == 2
    archived = files(s3, raw)
    assert {key.rsplit("/", 1)[0] for key in archived} == {"raw/shop/clickstream/dt=2026-03-10"}
    events = [event for found in archived.values() for event in found]
    assert sorted(event["event_id"] for event in events) == sorted(event["event_id"] for event in accepted)
    load(connection, s3)
    assert difference(connection) == 0
    late = connection.execute("select sum(late) from waybill.stream_count").fetchone()
    assert late == (1,)


def test_an_hour_with_a_midnight_in_it_is_two_files(
    connection: Connection, s3: S3Client, raw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_TIMEZONE", "Asia/Kolkata")
    settings.cache_clear()
    (one,) = counter(connection, "shard-0")
    one.count(some_clicks(range(1, 61), NOON + 6 * HOUR, timedelta(minutes=1)))
    assert archive.write(connection, s3, one.declared, NOON + 7 * HOUR) == 2
    assert sorted(len(found) for found in files(s3, raw).values()) == [30, 30]
    load(connection, s3)
    assert difference(connection) == 0
    rejected = connection.execute("select count(*) from waybill.quarantine").fetchone()
    assert rejected == (0,)


def test_a_planted_loss_in_the_archive_is_found(connection: Connection, s3: S3Client, raw: str) -> None:
    one, _ = counted_day(connection)
    archive.write(connection, s3, one.declared, NOON + 4 * HOUR, has_all_late=True)
    key, events = next(iter(files(s3, raw).items()))
    body = "".join(json.dumps(event) + "\n" for event in events[:-3]).encode()
    s3.put_object(Bucket=raw, Key=key, Body=gzip.compress(body))
    load(connection, s3)
    assert difference(connection) == 3


def test_without_a_stream_the_check_passes(connection: Connection, s3: S3Client, raw: str) -> None:
    counter(connection, "shard-0")
    body = "".join(json.dumps(click(n, NOON)) + "\n" for n in range(1, 5)).encode()
    s3.put_object(Bucket=raw, Key="raw/shop/clickstream/dt=2026-03-10/part-1.json", Body=body)
    load(connection, s3)
    assert difference(connection) == 0


class Killed(BaseException):
    """Stands for the death of a consumer."""


def test_a_consumer_that_dies_before_or_after_the_upload_archives_each_event_once(
    connection: Connection, s3: S3Client, raw: str
) -> None:
    one, accepted = counted_day(connection)

    class Dying:
        """S3 that dies before, then after an upload."""

        uploads = 0

        def put_object(self, **request: Any) -> None:
            self.uploads += 1
            if self.uploads == 2:
                raise Killed
            s3.put_object(**request)
            if self.uploads == 4:
                raise Killed

    dying: Any = Dying()
    for _ in range(2):
        with pytest.raises(Killed):
            archive.write(connection, dying, one.declared, NOON + 4 * HOUR, has_all_late=True)
    archive.write(connection, s3, one.declared, NOON + 4 * HOUR, has_all_late=True)
    events = [event["event_id"] for found in files(s3, raw).values() for event in found]
    assert sorted(events) == sorted(event["event_id"] for event in accepted)
    versions = s3.list_object_versions(Bucket=raw)["Versions"]
    etags = {(one["Key"], one["ETag"]) for one in versions}
    assert len(versions) == len(etags) + 1, "the file that was uploaded before the death was written again, equally"


def test_an_idle_shard_does_not_hold_the_archive(connection: Connection, s3: S3Client, raw: str) -> None:
    busy, idle = counter(connection, "shard-0", "shard-1")
    now = datetime.now(UTC).replace(microsecond=0)
    old = now.replace(minute=0, second=0) - 5 * HOUR
    idle.count([click(1, old)])
    busy.count([click(2, old)])
    busy.count([click(3, now)])
    assert archive.write_closed(connection, s3, busy.declared) == 2, "both hours have passed"
    lagging = counter(connection, "shard-2", created_at=NOON + HOUR)
    assert archive.write_closed(connection, s3, busy.declared) == 0
    assert len(lagging) == 1, "a shard that was just made may have old events"


def test_forgetting_changes_no_result_of_later_events(
    connection: Connection, s3: S3Client, raw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_STREAM_KEEP_HOURS", "1")
    settings.cache_clear()
    (one,) = counter(connection, "shard-0")
    long_session = [click(n, NOON + timedelta(minutes=20 * n), session=77) for n in range(13)]
    others = some_clicks(range(100, 200), NOON, timedelta(seconds=36))
    one.count(sorted([*others, *long_session], key=lambda event: event["ts"]))
    archive.write(connection, s3, one.declared, NOON + 5 * HOUR, has_all_late=True)
    connection.execute("update waybill.stream_shard set arrived_at = clock_timestamp()")  # it is not idle
    assert forget(connection, one.declared) == 100
    kept = connection.execute("select count(*) from waybill.stream_event").fetchone()
    assert kept == (13,), "the session that goes on keeps its events"
    one.count([click(500, NOON + timedelta(minutes=250), kind="product_view", session=77)])
    found = connection.execute(
        "select events, steps, last_at - first_at from waybill.stream_session where events > 10"
    ).fetchall()
    assert found == [(14, 1, timedelta(minutes=250))]
    (other,) = counter(connection, "shard-9", created_at=NOON + HOUR)
    counts = other.count([click(600, NOON)])
    assert (counts.late, counts.counted) == (1, 0), "an event before what is forgotten is late in any shard"


def test_a_shard_waits_for_its_parents_and_a_lost_lease_counts_nothing(connection: Connection) -> None:
    (one,) = counter(connection, "parent")
    listed = [shards.Listed("parent", []), shards.Listed("child", ["parent"])]
    assert shards.register(connection, CLICKS, "clicks", NOON, listed) == []
    assert shards.take(connection, CLICKS, "test", 5) == []
    one.count([click(1, NOON)])
    shards.finish(connection, one.shard)
    (child,) = shards.take(connection, CLICKS, "test", 5)
    assert (child.shard, child.newest) == ("child", NOON)
    connection.execute("update waybill.stream_shard set held_until = now() - interval '1 second'")
    (taken,) = shards.take(connection, CLICKS, "other", 5)
    assert taken.epoch == child.epoch + 1
    with pytest.raises(Fenced):
        Counter(connection, one.declared, child).count([click(2, NOON)])
    assert connection.execute("select sum(events) from waybill.stream_count where dimension = ''").fetchone() == (1,)


def test_a_parent_that_the_stream_has_removed_is_noted_and_holds_nothing(connection: Connection) -> None:
    (one,) = counter(connection, "parent")
    one.count([click(1, NOON)])
    listed = [shards.Listed("parent", []), shards.Listed("child", ["parent"])]
    shards.register(connection, CLICKS, "clicks", NOON, listed)
    assert shards.register(connection, CLICKS, "clicks", NOON, listed[1:]) == ["parent"]
    (child,) = shards.take(connection, CLICKS, "test", 5)
    assert (child.shard, child.newest) == ("child", NOON)
    lost = connection.execute("select shard from waybill.stream_shard where lost_at is not null").fetchall()
    assert lost == [("parent",)]


def test_a_shard_that_cannot_be_read_holds_the_archive(connection: Connection, s3: S3Client, raw: str) -> None:
    busy, stuck = counter(connection, "shard-0", "shard-1")
    now = datetime.now(UTC).replace(microsecond=0)
    stuck.count([click(1, now - 39 * HOUR)])
    connection.execute(
        "update waybill.stream_shard set read_at = %(at)s, arrived_at = %(at)s where shard = %(shard)s",
        {"at": now - 39 * HOUR, "shard": stuck.shard.shard},
    )
    busy.count([click(2, now - 38 * HOUR)], arrived_at=now)
    busy.count([click(3, now)])
    assert archive.write_closed(connection, s3, busy.declared) == 0
    assert forget(connection, busy.declared) == 0
    assert stuck.count([click(4, now - 38 * HOUR)]).counted == 1


def test_a_file_that_cannot_be_written_holds_no_other(connection: Connection, s3: S3Client, raw: str) -> None:
    one, accepted = counted_day(connection)

    class Refusing:
        """S3 that refuses the first file."""

        refused = ""

        def put_object(self, **request: Any) -> None:
            self.refused = self.refused or request["Key"]
            if request["Key"] == self.refused:
                raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")
            s3.put_object(**request)

    refusing: Any = Refusing()
    with pytest.raises(ClientError):
        archive.write(connection, refusing, one.declared, NOON + 4 * HOUR, has_all_late=True)
    assert len(files(s3, raw)) == 5
    archive.write(connection, s3, one.declared, NOON + 4 * HOUR)
    assert sum(map(len, files(s3, raw).values())) == len(accepted)


def test_late_events_count_once_their_file_is_loaded(connection: Connection, s3: S3Client, raw: str) -> None:
    (one,) = counter(connection, "shard-0")
    one.count([*some_clicks(range(1, 61), NOON, timedelta(minutes=1)), click(100, NOON)])
    archive.write(connection, s3, one.declared, NOON + HOUR)
    load(connection, s3)
    assert difference(connection) == 0
    one.count([click(101, NOON), click(102, NOON)])
    archive.write(connection, s3, one.declared, NOON + HOUR, has_all_late=True)
    assert difference(connection) == 0, "the file has landed and is not loaded"
    load(connection, s3)
    assert difference(connection) == 0
    assert connection.execute("select sum(late) from waybill.stream_count").fetchone() == (3,)


def test_a_record_that_is_read_again_is_rejected_once(connection: Connection) -> None:
    (one,) = counter(connection, "shard-0")
    one.count([b"broken"])
    connection.execute("update waybill.stream_shard set position = null")
    again = Counter(connection, one.declared, replace(one.shard, position=None))
    assert again.count([b"broken"]).rejected == 1
    assert connection.execute("select count(*) from waybill.stream_rejected").fetchone() == (1,)
