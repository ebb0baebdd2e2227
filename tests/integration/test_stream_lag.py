"""The lag of streams: its definition, the problem and incident that it becomes, and its measurements."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from psycopg import Connection

from support.landing import empty_connection, landing_bucket, landing_dsn
from waybill.cli.tables import shards_table
from waybill.contracts.domains import load_manifest
from waybill.ops import metrics
from waybill.ops.incidents import Event
from waybill.ops.metrics import Measurement
from waybill.settings import settings
from waybill.stream import measuring
from waybill.stream.lag import StreamState, stream_state, supervised
from waybill.views.operations.incidents import look, look_at_streams
from waybill.views.operations.scope import Scope
from waybill.views.operations.stream_problems import stream_problems
from waybill.warehouse.connection import one_row

__all__ = ["empty_connection", "landing_bucket", "landing_dsn"]

DATASET, STREAM = "shop.clickstream", "clicks"
SCOPE = Scope(("shop",))


@pytest.fixture
def warehouse(empty_connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """An empty warehouse of an installation that names the stream, with a limit of 60 s."""
    name(monkeypatch, f'{{"{DATASET}": "{STREAM}"}}')
    return empty_connection


def name(monkeypatch: pytest.MonkeyPatch, streams: str) -> None:
    monkeypatch.setenv("WAYBILL_STREAMS", streams)
    settings.cache_clear()


@pytest.fixture(autouse=True)
def fresh_settings() -> Any:
    yield
    settings.cache_clear()


def add_stream(warehouse: Connection, stream: str = STREAM) -> None:
    warehouse.execute(
        "insert into waybill.stream (dataset, name, created_at) values (%s, %s, now())", (DATASET, stream)
    )


def add_shard(
    warehouse: Connection,
    shard: str = "1",
    *,
    read: float | None = 0.0,
    behind: float | None = 0.0,
    behind_for: float | None = None,
    listed: float = 7200.0,
    finished: float | None = None,
    parents: list[str] | None = None,
    owner: str | None = "c1",
) -> None:
    """Add a shard. Times are seconds ago."""
    warehouse.execute(
        """
        insert into waybill.stream_shard (
          dataset, stream_created_at, shard, parents, listed_at, read_at, behind_seconds, behind_since, finished_at,
          owner, held_until
        )
        select dataset, created_at, %(shard)s, %(parents)s,
          clock_timestamp() - %(listed)s * interval '1 second',
          clock_timestamp() - %(read)s * interval '1 second',
          %(behind)s,
          clock_timestamp() - %(behind_for)s * interval '1 second',
          clock_timestamp() - %(finished)s * interval '1 second',
          %(owner)s, clock_timestamp() + interval '9 seconds'
        from waybill.stream
        """,
        {
            "shard": shard,
            "parents": parents or [],
            "listed": listed,
            "read": read,
            "behind": behind if read is not None else None,
            "behind_for": behind_for,
            "finished": finished,
            "owner": owner,
        },
    )


def state(warehouse: Connection) -> StreamState:
    return stream_state(warehouse, DATASET, STREAM)


def lags(warehouse: Connection) -> list[int | None]:
    """Return the lag of each shard in whole seconds."""
    return [None if one.lag_seconds is None else round(one.lag_seconds) for one in state(warehouse).shards]


def behind_for(warehouse: Connection) -> int | None:
    found = state(warehouse)
    return None if found.behind_since is None else round((found.shards[0].now - found.behind_since).total_seconds())


def told(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(one.event, one.incident.key, one.incident.severity) for one in events if one.is_alerted]


def looked(warehouse: Connection) -> list[tuple[str, str, str]]:
    return told(look_at_streams(warehouse, "shop", "run"))


def test_the_lag_is_the_age_of_the_last_record_plus_the_time_since_the_shard_was_read(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, "1", read=2, behind=0)
    add_shard(warehouse, "2", read=10, behind=45)
    assert lags(warehouse) == [2, 55]
    assert round(state(warehouse).lag_seconds or 0) == 55
    assert behind_for(warehouse) is None
    add_shard(warehouse, "3", read=30, behind=45)
    assert lags(warehouse) == [2, 55, 75]
    assert behind_for(warehouse) == 15, "the limit of 60 s was exceeded 15 s ago"


def test_a_consumer_that_reads_but_lags_says_since_when(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, read=1, behind=900, behind_for=240)
    assert lags(warehouse) == [901]
    assert behind_for(warehouse) == 240


def test_a_shard_that_nobody_has_read_lags_since_it_was_found(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, read=None, listed=100, owner=None)
    assert lags(warehouse) == [100]
    assert behind_for(warehouse) == 40


def test_a_shard_is_not_waited_for_while_those_before_it_are_read(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, "1", read=1)
    add_shard(warehouse, "2", read=None, parents=["1"], owner=None)
    assert lags(warehouse) == [1, None]
    warehouse.execute(
        "update waybill.stream_shard set finished_at = clock_timestamp() - interval '70 s' where shard = '1'"
    )
    assert lags(warehouse) == [None, 70]
    assert behind_for(warehouse) == 10
    warehouse.execute("update waybill.stream_shard set finished_at = clock_timestamp() where shard = '2'")
    assert state(warehouse).lag_seconds is None


def test_shards_of_a_stream_that_was_created_again_or_renamed_do_not_count(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, read=4000)
    warehouse.execute("update waybill.stream set created_at = created_at + interval '1 hour'")
    add_shard(warehouse, "9", read=3)
    assert lags(warehouse) == [3]
    warehouse.execute("update waybill.stream set name = 'another'")
    assert not state(warehouse).is_known


def test_consumers_are_those_with_a_lease(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, "1", owner="c1")
    add_shard(warehouse, "2", owner="c2")
    warehouse.execute("update waybill.stream_shard set held_until = clock_timestamp() where shard = '2'")
    assert {one.owner for one in state(warehouse).shards if one.owner} == {"c1"}


def test_a_shard_says_that_the_stream_removed_records_before_they_were_read(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, "1")
    add_shard(warehouse, "2", finished=9)
    warehouse.execute("update waybill.stream_shard set lost_at = clock_timestamp() where shard = '2'")
    assert [one.lost_at is not None for one in state(warehouse).shards] == [False, True]
    assert [*shards_table(state(warehouse)).columns[0].cells] == ["1", "2 (records were lost)"]


@pytest.mark.parametrize(("seconds", "is_open"), [(359, False), (361, True)])
def test_a_lag_is_a_problem_and_an_incident_after_five_minutes_and_not_before(
    warehouse: Connection, seconds: float, is_open: bool
) -> None:
    add_stream(warehouse)
    add_shard(warehouse, read=seconds, owner=None)
    found = stream_problems(warehouse, SCOPE)
    assert looked(warehouse) == ([("opened", f"stream {DATASET}", "error")] if is_open else [])
    assert len(found) == is_open
    if found:
        assert found[0].what == f"The stream {STREAM} of {DATASET} is not read in time"
        assert found[0].cause == "1 shard has no consumer."
        assert found[0].since == state(warehouse).behind_since
        assert [one.target for one in found[0].actions if one.kind == "command"] == ["waybill stream status"]


def test_an_incident_sends_one_alert_when_it_opens_and_one_when_it_closes(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, read=1, behind=900, behind_for=301)
    assert looked(warehouse) == [("opened", f"stream {DATASET}", "error")]
    assert looked(warehouse) == []
    warehouse.execute("update waybill.stream_shard set behind_seconds = 30, behind_since = null")
    assert looked(warehouse) == [("closed", f"stream {DATASET}", "error")]
    assert looked(warehouse) == []


def test_the_watch_keeps_the_incident_that_the_look_at_streams_opened(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, read=1, behind=900, behind_for=301)
    assert len(looked(warehouse)) == 1
    (now,) = one_row(warehouse, "select now()")
    seen = [key for _, key, _ in told(look(warehouse, "shop", "watch", now, is_watch=True))]
    assert f"stream {DATASET}" not in seen
    others = "select count(*) from waybill.incident where closed_at is null and kind <> 'stream'"
    before = one_row(warehouse, others)
    assert looked(warehouse) == []
    assert one_row(warehouse, others) == before, "a look at streams closes nothing else"


def test_a_stream_that_nobody_has_ever_found_is_a_problem(warehouse: Connection) -> None:
    [found] = stream_problems(warehouse, SCOPE)
    assert (found.severity, found.what) == ("error", f"Nobody has read the stream {STREAM} of {DATASET}")
    assert looked(warehouse) == [("opened", f"stream {DATASET}", "error")]
    add_stream(warehouse)
    add_shard(warehouse)
    assert looked(warehouse) == [("closed", f"stream {DATASET}", "error")]
    assert stream_problems(warehouse, Scope(("orders",))) == []


def test_a_stream_that_is_not_set_is_silent(warehouse: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    add_stream(warehouse)
    add_shard(warehouse, read=86400, owner=None)
    assert len(looked(warehouse)) == 1
    name(monkeypatch, "{}")
    assert stream_problems(warehouse, SCOPE) == []
    assert looked(warehouse) == [("closed", f"stream {DATASET}", "error")]


def test_a_stream_that_its_manifest_no_longer_declares_is_silent(
    warehouse: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(looked(warehouse)) == 1
    retired = load_manifest("shop").model_copy(update={"streams": {}})
    monkeypatch.setattr("waybill.stream.lag.load_manifest", lambda _: retired)
    assert supervised() == {}
    assert looked(warehouse) == [("closed", f"stream {DATASET}", "error")]


def add_events(warehouse: Connection, shard: str = "1", **counts: int) -> None:
    counted = counts.get("counted", 0)
    total = sum(counts.values())
    warehouse.execute(
        "update waybill.stream_shard set events = events + %s, counted = counted + %s, repeated = repeated + %s, "
        "late = late + %s, rejected = rejected + %s, batches = batches + 2, busy_seconds = busy_seconds + 0.5 "
        "where shard = %s",
        (total, counted, counts.get("repeated", 0), counts.get("late", 0), counts.get("rejected", 0), shard),
    )


def measured(warehouse: Connection) -> dict[str, float]:
    """Return the measurements a minute after the last ones."""
    warehouse.execute("update waybill.stream_measurement set measured_at = measured_at - interval '1 minute'")
    found = measuring.measurements(warehouse, DATASET)
    assert {(one.pipeline, one.dataset) for one in found} <= {("shop_daily", "clickstream")}
    return {one.name: one.value for one in found}


def test_measurements_have_each_event_once(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, "1", read=5)
    add_shard(warehouse, "2", finished=60)
    add_events(warehouse, counted=10)
    first = measured(warehouse)
    assert (first["StreamEvents"], "StreamBatchSeconds" in first) == (0, False)
    add_events(warehouse, "1", counted=7, repeated=3, late=2, rejected=1)
    add_events(warehouse, "2", counted=5)
    second = measured(warehouse)
    assert round(second.pop("StreamLagSeconds")) == 5
    assert second == {
        "StreamEvents": 18,
        "StreamRepeated": 3,
        "StreamLate": 2,
        "StreamRejected": 1,
        "StreamBatchSeconds": 0.25,
    }
    add_events(warehouse, counted=4)
    assert measuring.measurements(warehouse, DATASET) == [], "another consumer has just sent them"
    assert measured(warehouse)["StreamEvents"] == 4


@pytest.mark.usefixtures("stack_environment")
def test_measurements_that_could_not_be_sent_are_sent_with_the_next_ones(
    warehouse: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_METRICS", "true")
    settings.cache_clear()
    sent = list[float]()

    def refuse(*_: Any) -> None:
        raise ConnectionError

    add_stream(warehouse)
    add_shard(warehouse)
    measured(warehouse)
    add_events(warehouse, counted=6)
    warehouse.execute("update waybill.stream_measurement set measured_at = measured_at - interval '1 minute'")
    send = metrics.send
    monkeypatch.setattr(metrics, "send", refuse)
    with pytest.raises(ConnectionError):
        measuring.send(warehouse, DATASET)

    def note(client: Any, found: list[Measurement]) -> None:
        sent.extend(one.value for one in found if one.name == "StreamEvents")
        send(client, found)

    monkeypatch.setattr(metrics, "send", note)
    assert measuring.send(warehouse, DATASET) == 6
    assert sent == [6]


def test_the_limit_is_a_setting(warehouse: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    add_stream(warehouse)
    add_shard(warehouse, read=361)
    monkeypatch.setenv("WAYBILL_STREAM_LAG_SECONDS", "600")
    settings.cache_clear()
    assert behind_for(warehouse) is None
    assert looked(warehouse) == []
    assert timedelta(seconds=state(warehouse).lag_seconds or 0) < timedelta(seconds=600)


def test_a_stream_of_a_domain_that_is_not_there_is_not_supervised(monkeypatch: pytest.MonkeyPatch) -> None:
    name(monkeypatch, f'{{"{DATASET}": "{STREAM}", "nowhere.events": "other", "shop.orders": "more"}}')
    assert supervised() == {DATASET: STREAM}


def test_lost_records_are_a_problem_for_some_days(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, "shard-0", read=1, finished=1)
    add_shard(warehouse, "shard-1", read=1)
    warehouse.execute("update waybill.stream_shard set lost_at = clock_timestamp() where shard = 'shard-0'")
    assert looked(warehouse) == [("opened", f"stream {DATASET} lost", "error")]
    (found,) = stream_problems(warehouse, SCOPE)
    assert found.cause == "The stream removed records of shard-0 before they were read."
    warehouse.execute("update waybill.stream_shard set lost_at = lost_at - interval '7 days'")
    assert looked(warehouse) == [("closed", f"stream {DATASET} lost", "error")]


def test_a_file_of_the_archive_that_waits_for_an_hour_is_a_problem(warehouse: Connection) -> None:
    add_stream(warehouse)
    add_shard(warehouse, read=1)
    warehouse.execute(
        "insert into waybill.stream_archive (dataset, object_key, day, hour, rows, planned_at) "
        "values (%s, 'key', '2026-03-10', '2026-03-10', 1, clock_timestamp() - interval '59 minutes')",
        (DATASET,),
    )
    assert looked(warehouse) == []
    warehouse.execute("update waybill.stream_archive set planned_at = planned_at - interval '2 minutes'")
    assert looked(warehouse) == [("opened", f"stream {DATASET} archive", "error")]
    warehouse.execute("update waybill.stream_archive set written_at = clock_timestamp()")
    assert looked(warehouse) == [("closed", f"stream {DATASET} archive", "error")]
