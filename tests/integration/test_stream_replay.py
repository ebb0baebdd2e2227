"""Rejected events of a stream are replayed: they count as if they had passed when they arrived."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from typer.testing import CliRunner

from support.stream import CLICKS, NOON, Counter, books, clear, click, counted, counter
from support.waiting import eventually
from waybill.cli import app
from waybill.run import Run
from waybill.settings import settings
from waybill.stream.counting import Counts
from waybill.stream.declared import declared_stream
from waybill.stream.measuring import measurements
from waybill.stream.quarantine import next_open
from waybill.stream.replay import replay
from waybill.warehouse.connection import connect

MINUTE = timedelta(minutes=1)
VERSION = declared_stream(CLICKS).contract.version
CREATED = NOON - timedelta(days=30)


@pytest.fixture
def connection(operations_dsn: str) -> Iterator[Connection]:
    """A connection in autocommit mode. What a test has counted is forgotten at its end."""
    with connect(operations_dsn) as found:
        yield found
        clear(found)


@pytest.fixture
def consumer(connection: Connection, include_dir: Path) -> Counter:
    (found,) = counter(connection, "shard-0", created_at=CREATED)
    return found


def replayed(connection: Connection, run_id: str | None = "replay 1", **selection: Any) -> dict[str, Counts]:
    """Replay the clickstream; counts by shard."""
    done = replay(connection, declared_stream(CLICKS), Run(run_id, "abc123"), **selection)
    return {one.shard: one.counts for one in done}


def amend(include_dir: Path, old: str, new: str) -> None:
    """Replace a text in the contract, and raise its version."""
    path = include_dir / "contracts/shop/clickstream.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1).replace(f"version: {VERSION}", "version: 9.0.0"))


def allow_zoom(include_dir: Path) -> None:
    amend(include_dir, "{value: page_view}", "{value: page_view}, {value: zoom}")


def allow_no_device(include_dir: Path) -> None:
    amend(include_dir, "maxLength: 50}\n        required: true", "maxLength: 50}")


def rejected(connection: Connection) -> list[tuple[int, list[str], str, str | None, str | None]]:
    """Return (sequence number, reasons, contract, how and by whom it was resolved) of all rejected events."""
    return connection.execute(
        "select sequence::integer, reasons, contract_version, resolved_as, resolved_by from waybill.stream_rejected "
        "order by sequence"
    ).fetchall()


def counted_at_once(
    connection: Connection, events: list[dict[str, Any]], arrived_at: datetime | None = None
) -> dict[str, list[tuple[Any, ...]]]:
    """Return what the windows would be if the contract had always been as it is now."""
    clear(connection)
    (one,) = counter(connection, "shard-0", created_at=CREATED)
    one.count(events, arrived_at)
    return counted(connection)


def test_events_that_a_corrected_contract_admits_count_once(
    connection: Connection, consumer: Counter, include_dir: Path
) -> None:
    events = [click(1, NOON), click(2, NOON, "zoom"), click(3, NOON, device=""), click(4, NOON)]
    consumer.count(events)
    assert books(connection) == Counts(counted=2, rejected=2)
    assert replayed(connection) == {"shard-0": Counts(rejected=2)}
    assert books(connection) == Counts(counted=2, rejected=2)

    allow_zoom(include_dir)
    assert replayed(connection, "replay 2") == {"shard-0": Counts(counted=1, rejected=1)}
    assert books(connection) == Counts(counted=3, rejected=1)
    assert rejected(connection) == [
        (2, ["enum:event_type"], VERSION, "counted", "replay 2"),
        (3, ["required:device"], "9.0.0", None, None),
    ]
    allow_no_device(include_dir)
    assert replayed(connection, None) == {"shard-0": Counts(counted=1)}
    before = counted(connection), rejected(connection)
    assert rejected(connection)[1][3:] == ("counted", "command line")
    assert replayed(connection, "replay 3") == {}
    assert (counted(connection), rejected(connection)) == before
    assert books(connection) == Counts(counted=4)
    assert counted_at_once(connection, events) == before[0]


def test_replayed_events_join_the_sessions_around_them_and_reach_the_funnel(
    connection: Connection, consumer: Counter, include_dir: Path
) -> None:
    kinds = ["product_view", "zoom", "add_to_cart", "checkout", "purchase"]
    events = [
        click(place, NOON + 20 * place * MINUTE, kind, device="" if place == 2 else "phone")
        for place, kind in enumerate(kinds)
    ]
    consumer.count(events[:2])
    consumer.count(events[2:])
    sessions = "select events, steps from waybill.stream_session order by first_at"
    assert connection.execute(sessions).fetchall() == [(1, 1), (2, 0)]

    allow_zoom(include_dir)
    allow_no_device(include_dir)
    assert replayed(connection) == {"shard-0": Counts(counted=2)}
    assert connection.execute(sessions).fetchall() == [(5, 4)]
    found = counted(connection)
    assert counted_at_once(connection, events) == found


def test_an_event_is_late_by_the_newest_event_before_it_when_it_arrived(
    connection: Connection, consumer: Counter, include_dir: Path
) -> None:
    """Events after it make nothing late; those before it do, although they are replayed only now."""
    events = [
        click(0, NOON, "zoom"),
        click(1, NOON + 60 * MINUTE),
        click(2, NOON + 49 * MINUTE, "zoom"),
        click(3, NOON + 50 * MINUTE, "zoom"),
    ]
    arrived_at = NOON + 60 * MINUTE
    consumer.count(events, arrived_at)
    allow_zoom(include_dir)
    assert replayed(connection) == {"shard-0": Counts(counted=2, late=1)}
    assert [one[3] for one in rejected(connection)] == ["counted", "late", "counted"]
    assert books(connection) == Counts(counted=3, late=1)
    found = counted(connection)
    assert counted_at_once(connection, events, arrived_at) == found


def test_events_before_what_is_forgotten_are_late(connection: Connection, consumer: Counter, include_dir: Path) -> None:
    consumer.count([click(0, NOON, "zoom")])
    connection.execute("update waybill.stream set forgotten_until = %s", (NOON + MINUTE,))
    allow_zoom(include_dir)
    assert replayed(connection) == {"shard-0": Counts(late=1)}
    assert books(connection) == Counts(late=1)
    assert connection.execute("select count(*) from waybill.stream_session").fetchone() == (0,)


def test_repeated_and_conflicting_events_are_told_apart(
    connection: Connection, consumer: Counter, include_dir: Path
) -> None:
    """Among the replayed events, and among those that were counted."""
    events = [
        click(1, NOON, "zoom"),
        click(1, NOON, "zoom"),
        click(1, NOON, "zoom", page="/other"),
        click(2, NOON),
        click(2, NOON, page="/other"),
        click(2, NOON, "zoom"),
        click(3, NOON, device=""),
    ]
    consumer.count(events)
    assert books(connection) == Counts(counted=1, rejected=6)
    allow_zoom(include_dir)
    assert replayed(connection) == {"shard-0": Counts(counted=1, repeated=1, rejected=4)}
    conflict = ["conflict"]
    assert [one[1:4] for one in rejected(connection)] == [
        (["enum:event_type"], VERSION, "counted"),
        (["enum:event_type"], VERSION, "repeated"),
        (conflict, "9.0.0", None),
        (conflict, "9.0.0", None),
        (conflict, "9.0.0", None),
        (["required:device"], "9.0.0", None),
    ]
    assert replayed(connection) == {"shard-0": Counts(rejected=4)}
    assert books(connection) == Counts(counted=2, repeated=1, rejected=4)


def test_records_without_fields_and_events_after_their_arrival_stay(
    connection: Connection, consumer: Counter, include_dir: Path
) -> None:
    unreadable = [b"{", b"", b"\xff\xfe", b'"{}"', b"[{}]", b"null", b'{"event_id": "\\ud800"}', b'{"page": "\\u0000"}']
    ahead = click(1, NOON + 2 * MINUTE)
    consumer.count([*unreadable, ahead], NOON)
    found = rejected(connection)
    assert len(found) == len(unreadable) + 1
    amend(include_dir, "purpose: Events", "purpose: All events")
    done = replayed(connection)
    assert books(connection) == Counts(rejected=len(found))
    assert [(place, reasons) for place, reasons, *_ in rejected(connection)] == [
        (place, reasons) for place, reasons, *_ in found
    ]
    assert found[-1][1] == ["after_arrival"]
    objects = [version for _, _, version, *_ in rejected(connection) if version == "9.0.0"]
    assert done == {"shard-0": Counts(rejected=len(objects))}


def test_events_before_the_lookback_are_admitted_on_demand(connection: Connection, consumer: Counter) -> None:
    consumer.count([click(1, NOON - timedelta(days=9)), click(2, NOON, device="")], NOON)
    assert rejected(connection)[0][1] == ["too_late"]
    assert replayed(connection) == {"shard-0": Counts(rejected=2)}
    assert replayed(connection, admit_late=True) == {"shard-0": Counts(counted=1, rejected=1)}
    assert books(connection) == Counts(counted=1, rejected=1)


def test_a_replay_is_limited_to_shards_and_sequence_numbers(
    connection: Connection, consumer: Counter, include_dir: Path
) -> None:
    """Sequence numbers have more digits than any number type of a computer."""
    first = 49_668_899_999_999_999_999_999_999_999_999_999_999_999_999_999_999_999_970
    (other,) = counter(connection, "shard-0", "shard-1", created_at=CREATED)
    consumer.sequence = other.sequence = first - 1
    consumer.count([click(place, NOON, "zoom") for place in range(3)])
    other.count([click(9, NOON, "zoom")])
    allow_zoom(include_dir)
    chosen: dict[str, Any] = {"shard": "shard-0", "sequences": [str(first + 1), str(first + 7)]}
    assert replayed(connection, **chosen) == {"shard-0": Counts(counted=1)}
    assert replayed(connection, **chosen) == {}
    assert replayed(connection, shard="shard-2") == {}
    assert replayed(connection, shard="shard-1") == {"shard-1": Counts(counted=1)}
    assert replayed(connection) == {"shard-0": Counts(counted=2)}


def test_the_books_of_a_stream_that_was_created_again_are_those_of_its_own_events(
    connection: Connection, consumer: Counter, include_dir: Path
) -> None:
    consumer.count([click(1, NOON, "zoom")])
    (other,) = counter(connection, "shard-0", created_at=NOON + timedelta(days=1))
    other.sequence = 6
    other.count([click(2, NOON + timedelta(days=2), "zoom")])
    allow_zoom(include_dir)
    assert replayed(connection, sequences=["7"], shard="shard-0") == {"shard-0": Counts(counted=1)}
    rows = connection.execute("select counted, rejected from waybill.stream_shard order by stream_created_at")
    assert rows.fetchall() == [(0, 1), (1, 0)]


def test_replays_and_a_consumer_may_count_at_once(
    connection: Connection, consumer: Counter, include_dir: Path, operations_dsn: str
) -> None:
    """Two replays of the same events, and a consumer that counts others of the same sessions and some again."""
    rng = random.Random(18)
    kinds = ("zoom", "product_view", "add_to_cart", "checkout", "purchase")
    events = [
        click(number, NOON + number * timedelta(seconds=2), rng.choice(kinds), number % 7) for number in range(3000)
    ]
    arriving = [*events[:2500], *rng.sample(events[:2000], 300), *events[2500:]]
    arrived_at = NOON + timedelta(hours=2)
    consumer.count(arriving[:2000], arrived_at)
    allow_zoom(include_dir)
    consumer.declared = declared_stream(CLICKS)
    results: list[dict[str, Counts]] = []

    def run() -> None:
        with connect(operations_dsn) as other:
            results.append(replayed(other))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for first in range(2000, len(arriving), 100):
        consumer.count(arriving[first : first + 100], arrived_at)
    for thread in threads:
        thread.join()
    tried = [one for result in results for one in result.values()]
    assert len(results) == 2
    assert sum(one.events for one in tried) == sum(event["event_type"] == "zoom" for event in events[:2000])
    assert books(connection) == Counts(counted=len(events), repeated=300)
    found = counted(connection)
    assert counted_at_once(connection, arriving, arrived_at) == found


def test_a_replay_waits_for_a_consumer_that_counts(
    connection: Connection, consumer: Counter, include_dir: Path, operations_dsn: str
) -> None:
    consumer.count([click(0, NOON, "zoom")])
    allow_zoom(include_dir)
    results: list[dict[str, Counts]] = []

    def run() -> None:
        with connect(operations_dsn) as other:
            results.append(replayed(other))

    thread = threading.Thread(target=run)
    with connect(operations_dsn) as counting, counting.transaction():
        counting.execute("select from waybill.stream for update")
        thread.start()
        eventually(
            lambda: (
                connection.execute(
                    "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%%waybill.stream %%'"
                ).fetchone()
                is not None
            )
        )
        assert results == []
    thread.join()
    assert results == [{"shard-0": Counts(counted=1)}]


def test_many_and_long_events_are_replayed_in_parts(
    connection: Connection, consumer: Counter, include_dir: Path
) -> None:
    consumer.count([click(place, NOON, "zoom") for place in range(2500)])
    allow_zoom(include_dir)
    assert replayed(connection) == {"shard-0": Counts(counted=2500)}
    assert books(connection) == Counts(counted=2500)
    long = "x" * 2**20
    consumer.count([click(3000 + place, NOON, "zap", page=long) for place in range(8)])
    amend(include_dir, "{value: zoom}", "{value: zoom}, {value: zap}")
    parts = next_open(connection, CLICKS, "shard-0", "-1", None)
    assert len(parts) == 6
    assert replayed(connection) == {"shard-0": Counts(counted=8)}


def test_replayed_events_are_measured_as_no_longer_rejected(
    connection: Connection, consumer: Counter, include_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as a negative number."""
    monkeypatch.setenv("WAYBILL_STREAMS", f'{{"{CLICKS}": "clicks"}}')
    settings.cache_clear()
    consumer.count([click(1, NOON, "zoom"), click(2, NOON, "zoom")])
    assert measurements(connection, CLICKS)
    connection.execute("update waybill.stream_measurement set measured_at = measured_at - interval '1 hour'")
    allow_zoom(include_dir)
    assert replayed(connection) == {"shard-0": Counts(counted=2)}
    found = measurements(connection, CLICKS)
    assert found
    assert all(one.value >= 0 for one in found)


def test_the_commands_list_and_replay_events_beside_rows(
    connection: Connection,
    consumer: Counter,
    include_dir: Path,
    operations_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", operations_dsn)
    settings.cache_clear()

    def printed(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "200"})
        assert result.exit_code == code, result.output
        return " ".join(result.output.split())

    assert "No rows of shop.clickstream are in quarantine." in printed("quarantine", CLICKS)
    consumer.sequence = 10**55
    consumer.count([click(1, NOON, "zoom"), click(2, NOON, "zoom", device=""), b"{"])
    text = printed("quarantine", CLICKS, "--limit", "2")
    assert "shop.clickstream: 3 open events by reason" in text
    assert "enum:event_type 2 json 1 required:device 1" in text
    assert "2 of 3 events, newest first" in text
    assert f"shard-0 {10**55 + 3} 2026-03-10 12:00:00 UTC json {VERSION}" in text

    allow_zoom(include_dir)
    for wrong, told in {
        ("--sequence", "1"): "--sequence needs --shard",
        ("--shard", "shard-0", "--sequence", "one"): "'one' is no sequence number",
        ("--shard", "shard-0", "--sequence", "9" * 129): "is no sequence number",
        ("--shard", "shard-0", "--file-id", "1"): "--file-id and --shard exclude each other",
    }.items():
        assert told in printed("replay", CLICKS, *wrong, code=2 if "is no" in told else 1)
    assert "--shard: shop.reviews has no stream" in printed("replay", "shop.reviews", "--shard", "shard-0", code=1)
    told = "Nothing to replay: shard shard-1 of shop.clickstream has no replayable events in quarantine."
    assert told in printed("replay", CLICKS, "--shard", "shard-1")
    chosen = ("--shard", "shard-0", "--sequence", str(10**55 + 2))
    text = printed("replay", CLICKS, *chosen)
    assert "shard-0 1 0 0 0 1" in text
    assert "windows" not in text
    told = "Stream of shop.clickstream: 3 events = 0 counted + 0 repeated + 0 late + 3 rejected"
    assert told in printed("books", "2026-03-10", "2026-03-10", "--domain", "shop", code=1)
    text = printed("replay", CLICKS)
    assert "shard-0 2 1 0 0 1" in text
    assert "The windows of the stream count the events now." in text
    assert "Nothing to replay: file 7 of shop.clickstream has" in printed("replay", CLICKS, "--file-id", "7")
