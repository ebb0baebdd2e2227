"""The page Quarantine and the list Needs attention have the rejected events of a stream beside the rows of files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from psycopg import Connection

from support.ledger import add_file, add_reject
from support.stream import CLICKS, NOON, Counter, books, clear, click, counter
from support.views import Page, Someone, check_inert, client_of
from waybill.contracts import load_all
from waybill.stream.counting import Counts
from waybill.views.operations.open_rows import rows_to_replay
from waybill.views.operations.overview import overview
from waybill.views.operations.rejected_rows import HIDDEN, most_rejected, quarantined
from waybill.views.operations.scope import Scope
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

DAG = "shop_daily"
PAGE = f"/operations/quarantine.html?domain=shop&dataset={CLICKS}"
SHOP = Scope(("shop",))
FIRST = 49_668_899_999_999_999_999_999_999_999_999_999_999_999_999_999_999_999_970
CONTRACT = "contracts/shop/clickstream.yaml"


@pytest.fixture
def connection(operations_dsn: str) -> Iterator[Connection]:
    """A connection in autocommit mode. What a test has counted and added is forgotten at its end."""
    with connect(operations_dsn) as found:
        yield found
        clear(found)
        found.execute("truncate waybill.load_file, waybill.quarantine, waybill.table_day cascade")


@pytest.fixture
def rejected(connection: Connection, include_dir: Path) -> Counter:
    """Two events of an unknown kind, one without a device, one after its arrival, one record without fields."""
    (found,) = counter(connection, "shardId-000000000000", created_at=NOON - timedelta(days=30))
    found.sequence = FIRST - 1
    zooms = [click(1, NOON, "zoom"), click(2, NOON, "zoom", page="<b>")]
    found.count([*zooms, click(3, NOON, device=""), click(4, NOON + timedelta(hours=1)), b"{<b>", click(5, NOON)], NOON)
    assert books(connection) == Counts(counted=1, rejected=5)
    return found


def client(stack: Stack, connection: Connection, user: Someone | None = None) -> TestClient:
    name = connection.info.dbname
    return client_of(stack.database_url("waybill_reader", name), stack.database_url("waybill_etl", name), user)


def allow_zoom(include_dir: Path) -> None:
    path = include_dir / CONTRACT
    text = path.read_text().replace("{value: page_view}", "{value: page_view}, {value: zoom}", 1)
    path.write_text(text.replace("\nversion: ", "\nversion: 9", 1))


def post(found: TestClient, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = found.post(f"/operations/replay/{DAG}", json={"dataset": CLICKS, **body})
    return answer.status_code, answer.json()


def problems(connection: Connection) -> list[tuple[str, str, str]]:
    """Return (severity, what, cause) of the problems of rejected rows."""
    found = overview(connection, SHOP, datetime.now(UTC)).problems
    return [(one.severity, one.what, one.cause) for one in found if one.subject == "rows"]


def test_events_are_listed_with_shard_sequence_number_reasons_and_advice(
    stack: Stack, connection: Connection, rejected: Counter
) -> None:
    page = Page(client(stack, connection).get(PAGE).text)
    check_inert(page)
    text = " ".join(page.text.split())
    assert f"Quarantine 5 rows of {CLICKS}" in text
    assert "enum:event_type 2 one of page_view, product_view, add_to_cart, checkout, purchase Correct what" in text
    assert "after_arrival 1 an instant at most 60 seconds after the arrival of the event Correct the clock" in text
    assert "json 1 a record that can be split into fields Send the events again." in text
    assert "shardId-000000000000 arrived 2026-03-10 12:00" in text
    assert str(FIRST) in text
    assert "Cannot be replayed: it has no fields." in text
    boxes = [attributes["value"] for tag, attributes in page.tags if attributes.get("name") == "event"]
    assert boxes == [f"shardId-000000000000/{FIRST + place}" for place in (3, 2, 1, 0)]
    marked = [row.values for row in quarantined(connection, load_all()[CLICKS])[0]]
    assert [[name for name, _, is_broken in values if is_broken] for values in marked] == [
        [],
        ["ts"],
        ["device"],
        ["event_type"],
        ["event_type"],
    ]


def test_events_are_filtered_by_reason_shard_and_state(stack: Stack, connection: Connection, rejected: Counter) -> None:
    found = client(stack, connection)

    def text(query: str) -> str:
        return " ".join(Page(found.get(f"{PAGE}{query}").text).text.split())

    assert "Quarantine 2 rows" in text("&reason=enum:event_type")
    assert "No open rows for this filter." in text("&shard=shardId-000000000001")
    assert "No open rows for this filter." in text("&file_id=1")
    assert "No resolved rows of shop.clickstream." in text("&state=resolved")
    assert found.get(f"{PAGE}&shard=a'b").status_code == 422
    assert found.get(f"{PAGE}&shard=").status_code == 200


def test_chosen_events_are_replayed_with_the_rights_for_rows(
    stack: Stack, connection: Connection, rejected: Counter, include_dir: Path
) -> None:
    allow_zoom(include_dir)
    shard = "shardId-000000000000"
    chosen = [[shard, str(FIRST + place)] for place in (0, 2, 4)]
    found = client(stack, connection)
    assert post(client(stack, connection, Someone(may_run=False)), events=chosen)[0] == 403
    assert found.post("/operations/replay/other", json={"dataset": CLICKS, "events": chosen}).status_code == 404
    assert found.post(f"/operations/replay/{DAG}", json={"dataset": "x", "events": chosen}).status_code == 404
    for wrong in (
        {"events": chosen, "kind": "changed"},
        {"events": chosen, "reason": "json"},
        {"events": [[shard, "1x"]]},
        {"events": [["a b", "1"]]},
        {"events": [[shard, "9" * 129]]},
        {"events": [[shard, "-1"]]},
        {"events": [chosen[0]] * 201},
        {},
    ):
        assert post(found, **wrong)[0] == 422, wrong
    assert books(connection) == Counts(counted=1, rejected=5)

    status, answer = post(found, events=chosen)
    assert status == 200
    assert answer["text"] == (
        "Replayed 2 events: 1 counted, 1 rejected. Still rejected: required:device (1). "
        "Not replayed, because they have no fields: json (1). Send them again."
    )
    assert answer["events"] == {"counted": 1, "repeated": 0, "late": 0, "rejected": 1}
    assert answer["is_done"] is False
    assert post(found, events=chosen[:1])[1]["text"] == "Nothing was replayed."
    status, answer = post(found, reason="enum:event_type")
    assert (answer["text"], answer["is_done"]) == ("Replayed 1 event: 1 counted.", True)
    assert books(connection) == Counts(counted=3, rejected=3)
    page = Page(found.get(f"{PAGE}&state=resolved").text)
    assert "counted by replay by somebody in the web UI" in " ".join(page.text.split())


def test_rows_of_files_and_events_share_a_page_and_a_request(
    stack: Stack, connection: Connection, rejected: Counter, include_dir: Path
) -> None:
    file_id = add_file(connection, CLICKS, period="2026-03-10", rows_in=2, rejected=2)
    add_reject(connection, file_id, 1, '{"device": ""}', "required:device")
    add_reject(connection, file_id, 2, '"{"', "json")
    page = Page(client(stack, connection).get(PAGE).text)
    text = " ".join(page.text.split())
    assert f"Quarantine 7 rows of {CLICKS}" in text
    assert "required:device 2 a value Send a corrected file." in text
    contract = load_all()[CLICKS]
    selected = rows_to_replay(connection, contract, None, "required:device", 10)
    assert (selected.rows, selected.events) == ([(file_id, 1)], [("shardId-000000000000", str(FIRST + 2))])
    assert {(severity, what) for severity, what, _ in problems(connection)} == {
        ("warning", f"1 row of {CLICKS} was rejected by an earlier contract"),
        ("notice", f"2 rows of {CLICKS} have no fields"),
        ("notice", f"4 events of {CLICKS} in quarantine"),
    }
    rows, total = quarantined(connection, contract, file_id=file_id)
    assert (total.rows, [row.place for row in rows if hasattr(row.place, "shard")]) == (2, [])


def test_needs_attention_counts_events(
    stack: Stack, connection: Connection, rejected: Counter, include_dir: Path
) -> None:
    assert {(severity, what) for severity, what, _ in problems(connection)} == {
        ("notice", f"4 events of {CLICKS} in quarantine"),
        ("notice", f"1 event of {CLICKS} has no fields"),
    }
    assert overview(connection, SHOP, datetime.now(UTC)).totals.rejected == 5
    assert overview(connection, Scope(("shop",), "run 1"), datetime.now(UTC)).totals.rejected == 0
    assert most_rejected(connection, SHOP) == CLICKS
    allow_zoom(include_dir)
    found = problems(connection)
    assert found[0][:2] == ("warning", f"4 events of {CLICKS} were rejected by an earlier contract")
    (action,) = [
        action
        for one in overview(connection, SHOP, datetime.now(UTC)).problems
        for action in one.actions
        if action.kind == "request" and one.subject == "rows"
    ]
    assert action.label == "Replay 4 events"
    answer = client(stack, connection).post(f"/operations/{action.target}", json=action.body).json()
    assert answer["text"].startswith("Replayed 4 events: 2 counted, 2 rejected.")
    assert ("notice", f"2 events of {CLICKS} in quarantine") in {one[:2] for one in problems(connection)}


def test_late_events_are_admitted_by_their_button(stack: Stack, connection: Connection, rejected: Counter) -> None:
    rejected.count([click(9, NOON - timedelta(days=9))], NOON)
    (late,) = [one for one in problems(connection) if "late" in one[1]]
    assert late == (
        "warning",
        f"1 event of {CLICKS} arrived too late",
        "They happened more than 7 days before they arrived.",
    )
    assert post(client(stack, connection), kind="late")[1]["text"] == "Replayed 1 event: 1 late."
    assert books(connection) == Counts(counted=1, late=1, rejected=5)


def test_restricted_values_of_events_are_hidden(connection: Connection, rejected: Counter) -> None:
    contract = load_all()[CLICKS]
    hidden = tuple(
        replace(column, classification="restricted") if column.name in ("page", "device") else column
        for column in contract.columns
    )
    rows, _ = quarantined(connection, replace(contract, columns=hidden))
    assert "<b>" not in str(rows)
    assert all(value == HIDDEN for row in rows for name, value, _ in row.values if name == "page")
    assert [row.raw for row in rows if row.raw] == ["hidden (the dataset has restricted columns)"]


def test_pages_of_many_rejected_events(stack: Stack, connection: Connection, rejected: Counter) -> None:
    """More open ones than the pages list, and as many that were replayed."""
    connection.execute(
        """
        insert into waybill.stream_rejected (
          dataset, shard, sequence, arrived_at, reasons, raw, contract_version, rejected_at, resolved_as, resolved_by
        )
        select
          dataset, shard, sequence + place, arrived_at + place * interval '1 second', reasons, raw, contract_version,
          rejected_at, case when place % 2 = 0 then 'counted' end, 'x'
        from waybill.stream_rejected
        cross join generate_series(1000, 20999) as places (place)
        where cardinality(reasons) = 1 and reasons[1] = 'required:device'
        """
    )
    found = client(stack, connection)
    for query, told in {
        "": "more than 10,000 rows",
        "&page=200": "9,951 to 10,000 of more than 10,000 open rows",
        "&reason=enum:event_type": "1 to 2 of 2 open rows for this filter",
        "&state=resolved": "1 to 50 of 10,000 resolved rows",
    }.items():
        text = " ".join(Page(found.get(f"{PAGE}{query}").text).text.split())
        assert told in text
        assert "required:device (10,001)" in text or query == "&state=resolved"
    assert problems(connection)[0][1] == f"more than 5,000 events of {CLICKS} in quarantine"
    selected = rows_to_replay(connection, load_all()[CLICKS], None, "required:device", 2001)
    assert (len(selected.rows), len(selected.events)) == (0, 2001)
