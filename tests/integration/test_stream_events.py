"""Events are checked as rows of files are, hostile ones stop nothing, and lateness follows the order of the shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from psycopg import Connection

from support.stream import NOON, click, counter
from waybill.stream.counting import Counts

MINUTE = timedelta(minutes=1)


@pytest.fixture
def connection(warehouse_dsn: str) -> Iterator[Connection]:
    with psycopg.connect(warehouse_dsn, autocommit=True) as found:
        yield found


def reasons(connection: Connection) -> list[list[str]]:
    """Return the reasons of the rejected events in their order."""
    rows = connection.execute("select reasons from waybill.stream_rejected order by sequence").fetchall()
    return [found for (found,) in rows]


def test_hostile_records_are_rejected_with_reasons_and_stop_nothing(connection: Connection) -> None:
    (one,) = counter(connection, "shard-0")
    hostile: list[tuple[bytes, list[str]]] = [
        (b"", ["json"]),
        (b" \n ", ["json"]),
        (b"null", ["json"]),
        (b"[1]", ["json"]),
        (b'{"a": 1} {"a": 2}', ["json"]),
        (b"[" * 100_000, ["json"]),
        (b'{"page": "\xff"}', ["encoding"]),
        (b'{"page": "a\rb"}', ["json"]),
        (b'{"page": "\xff",\n"x": 1}', ["encoding"]),
        (b'{"page": "\\u0000"}', ["nul"]),
        (b'{"page": "\\ud800"}', ["encoding"]),
        (b'{"page": "' + b"x" * (4 * 2**20) + b'"}', ["too_long"]),
        (b'{"ts": "2026-03-10 12:00", "timestamp": "2026-03-10 12:00"}', ["json"]),
    ]
    counts = one.count([click(1, NOON), *(data for data, _ in hostile), click(2, NOON)])
    assert counts == Counts(counted=2, rejected=len(hostile))
    assert reasons(connection) == [expected for _, expected in hostile]


def test_values_break_the_same_rules_as_in_files(connection: Connection) -> None:
    (one,) = counter(connection, "shard-0")
    changed = [
        click(1, NOON, kind="teleport"),
        click(2, NOON, device=""),
        click(3, NOON, product_id=0),
        click(4, NOON, customer_id="1.5"),
        click(5, NOON) | {"ts": "0001-01-01T00:00:00Z"},
        click(6, NOON) | {"ts": "yesterday"},
        click(7, NOON) | {"session_id": None},
        click(8, NOON) | {"event_id": "8"},
    ]
    counts = one.count(changed, arrived_at=NOON)
    assert counts == Counts(rejected=len(changed))
    assert reasons(connection) == [
        ["enum:event_type"],
        ["required:device"],
        ["range:product_id"],
        ["type:customer_id"],
        ["range:ts", "too_late"],
        ["type:ts"],
        ["required:session_id"],
        ["type:event_id"],
    ]


def test_spellings_of_a_file_are_those_of_an_event(connection: Connection) -> None:
    (one,) = counter(connection, "shard-0")
    event = click(1, NOON)
    del event["ts"]
    spread = (
        b'{\n "eventId": "00000000-0000-0000-0000-000000000002",\r\n "EVENT_TYPE": " purchase ", "page": "/",\n'
        b'"sessionId": "00000000-0000-0000-0000-000000000001", "product id": " 7 ", "device": "tv",\n'
        b'"timestamp": "2026-03-10T12:00Z"}\n'
    )
    counts = one.count([event | {"timestamp": " 2026-03-10T13:00:00+01:00 "}, spread], arrived_at=NOON)
    assert counts == Counts(counted=2)
    found = connection.execute(
        "select kind, dimension, value from waybill.stream_count where dimension in ('', 'product_id') order by 1, 2"
    ).fetchall()
    assert found == [("page_view", "", ""), ("purchase", "", ""), ("purchase", "product_id", "7")]


def test_long_values_are_counted_apart(connection: Connection) -> None:
    (one,) = counter(connection, "shard-0")
    pages = ["/" + "é" * 10_000 + end for end in "ab"]
    counts = one.count([click(n, NOON, page=page) for n, page in enumerate([*pages, pages[0]], 1)])
    assert counts == Counts(counted=3)
    found = connection.execute(
        "select length(value), events from waybill.stream_count where dimension = 'page' order by events"
    ).fetchall()
    assert found == [(200, 1), (200, 2)]


def test_lateness_is_decided_in_the_order_of_the_shard_and_not_by_future_events(connection: Connection) -> None:
    one, other = counter(connection, "shard-0", "shard-1")
    counts = one.count(
        [
            click(1, NOON),
            click(2, NOON + timedelta(days=300)),
            click(3, NOON + 61 * MINUTE / 60),
            click(4, NOON + MINUTE),
            click(5, NOON - 9 * MINUTE),
            click(6, NOON - 9 * MINUTE - timedelta(microseconds=1)),
        ],
        arrived_at=NOON,
    )
    assert counts == Counts(counted=3, late=1, rejected=2)
    assert reasons(connection) == [["after_period"], ["after_arrival"]]
    assert other.count([click(7, NOON - 60 * MINUTE)]).counted == 1, "another shard has its own watermark"
    assert one.count([click(6, NOON - 9 * MINUTE - timedelta(microseconds=1))], NOON).repeated == 1
    assert one.count([click(8, NOON, page="/other"), click(1, NOON, page="/other")], NOON) == Counts(
        counted=1, rejected=1
    )
    assert reasons(connection)[-1] == ["conflict"]


def test_a_midnight_between_an_event_and_its_arrival_is_no_reason(connection: Connection) -> None:
    (one,) = counter(connection, "shard-0")
    midnight = NOON + timedelta(hours=12)
    before, after = midnight - timedelta(seconds=5), midnight + timedelta(seconds=5)
    assert one.count([click(1, after), click(2, before)], arrived_at=before).counted == 2
    assert one.count([click(3, before), click(4, after)], arrived_at=after).counted == 2
    week = midnight - timedelta(days=7)
    assert one.count([click(5, week), click(6, week - MINUTE)], arrived_at=after) == Counts(late=1, rejected=1)
    assert reasons(connection) == [["too_late"]]


def test_a_batch_of_the_largest_records_is_counted(connection: Connection) -> None:
    (one,) = counter(connection, "shard-0")
    large = [click(n, NOON, page="/" + "x" * (2**20 - 1)) for n in range(1, 21)]
    assert one.count(large, arrived_at=NOON) == Counts(counted=20)


def test_a_column_that_the_contract_gains_makes_no_conflict(connection: Connection) -> None:
    (one,) = counter(connection, "shard-0")
    one.count([click(1, NOON)])
    contract = one.declared.contract
    column = replace(contract.columns[-1], name="channel", required=False, spellings=())
    one.declared = replace(one.declared, contract=replace(contract, columns=(*contract.columns, column)))
    assert one.count([click(1, NOON), click(2, NOON, channel="app")]) == Counts(counted=1, repeated=1)
