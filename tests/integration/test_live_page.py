"""The live page shows what the consumers have counted, to users with permission, at one query set a second."""

from __future__ import annotations

import json
import posixpath
import random
import time
from collections import Counter as Tally
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import yaml
from fastapi.testclient import TestClient
from psycopg import Connection, sql

from support.messaging_months import database
from support.stream import CLICKS, Counter, click, counter
from support.views import Page, Someone, access_of, check_inert, client_of, fill_report
from waybill.contracts import load_domain
from waybill.period import Period
from waybill.settings import settings
from waybill.stream import shards
from waybill.stream.declared import declared_stream
from waybill.views import catalog
from waybill.views.app import make_app
from waybill.views.live.content import Cell, Content, content, milliseconds
from waybill.views.live.figures import Figures, figures
from waybill.views.live.routes import Answer
from waybill.views.live.shared import Busy
from waybill.warehouse.connection import connect
from waybill.warehouse.evolution import ensure
from waybill_devtools.stack import Stack

NOW = datetime(2026, 3, 10, 12, 34, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FUNNEL = ("product_view", "add_to_cart", "checkout", "purchase")
PRICES = {number: Decimal(number) * Decimal("1.25") for number in range(1, 31)}
"""By product. Events have products up to 40, so some refer to no row."""


TABLES = sql.SQL(", ").join(
    sql.Identifier("waybill", f"stream{name}")
    for name in ("", "_archive", "_consumer", "_count", "_event", "_rejected", "_session", "_shard")
)


@pytest.fixture(scope="module")
def dsn(stack: Stack) -> Iterator[str]:
    """A warehouse with products."""
    with database(stack) as found:
        with connect(found) as connection:
            add_products(connection)
        yield found


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """A connection to a warehouse in which no stream was ever read."""
    with connect(dsn) as found:
        found.execute(sql.SQL("truncate {}").format(TABLES))
        yield found


@pytest.fixture
def reader_dsn(stack: Stack, dsn: str) -> str:
    return stack.database_url("waybill_reader", dsn.rpartition("/")[2])


@pytest.fixture
def client(reader_dsn: str, dsn: str) -> TestClient:
    return client_of(reader_dsn, dsn)


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings name the stream."""
    monkeypatch.setenv("WAYBILL_STREAMS", json.dumps({CLICKS: "clicks"}))
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The business time zone is an hour ahead of UTC."""
    monkeypatch.setenv("WAYBILL_TIMEZONE", "Europe/Berlin")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def add_products(connection: Connection) -> None:
    """Add the history of products: each had another price before, and one exists no more."""
    ensure(connection, load_domain("shop")["products"])
    for number, price in PRICES.items():
        for worth, begin, end in ((Decimal(99), "2026-01-01", "2026-02-01"), (price, "2026-02-01", "infinity")):
            connection.execute(
                "insert into shop.products_history values (%s, 'n', 'c', 'b', 's', %s, 1, %s, %s, 1, 1)",
                (number, worth, begin, end),
            )
    connection.execute(
        "insert into shop.products_history values (35, 'n', 'c', 'b', 's', 7, 1, '2026-01-01', '2026-03-01', 1, 1)"
    )


@dataclass
class Filled:
    """The events that were counted, and how many others."""

    events: list[dict[str, Any]]
    late: list[dict[str, Any]]
    rejected: int


def fill(one: Counter, now: datetime, seed: int = 1) -> Filled:
    """Count events of the 90 minutes before an instant, with some late, repeated and rejected ones."""
    rng = random.Random(seed)
    ages = sorted((rng.uniform(0, 5400) for _ in range(900)), reverse=True)
    events = [
        click(
            place + 1,
            now - timedelta(seconds=age),
            rng.choice(("page_view", *FUNNEL)),
            rng.randrange(60),
            page=rng.choice(("/", "/sale", "/<b>", "/é")),
            device=rng.choice(("mobile", "desktop")),
            product_id=rng.choice((None, *range(1, 41))),
        )
        for place, age in enumerate(ages)
    ]
    one.count(events[:500], now)
    one.count(events[500:], now)
    late = [click(5000 + place, now - timedelta(minutes=12 + 2 * place), "purchase") for place in range(30)]
    one.count(late, now)
    one.count(events[-20:], now)
    one.count([b"{}", b"no json", json.dumps(click(9000, now) | {"ts": "x"}).encode()], now)
    return Filled(events, late, 3)


def found(connection: Connection, now: datetime = NOW) -> Figures:
    result = figures(connection, declared_stream(CLICKS), now)
    assert result
    return result


def hold(connection: Connection) -> None:
    """Make the leases outlast a slow test."""
    connection.execute("update waybill.stream_shard set held_until = now() + interval '1 hour'")


def shown(connection: Connection, now: datetime = NOW) -> Content:
    declared = declared_stream(CLICKS)
    return content(declared, now, figures(connection, declared, now))


def at(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["ts"])


def test_figures_equal_a_computation_from_the_events(connection: Connection) -> None:
    (one,) = counter(connection, "s0")
    filled = fill(one, NOW)
    result = found(connection)
    first = NOW.replace(second=0) - 59 * MINUTE
    recent = [event for event in filled.events if at(event) >= first]
    newest = max(at(event) for event in filled.events)
    assert result.newest == newest
    begins = newest.replace(second=0, microsecond=0)
    own, before = (
        sum(begins - ago * MINUTE <= at(event) < begins - (ago - 1) * MINUTE for event in filled.events)
        for ago in (0, 1)
    )
    assert result.recent == round(own + before * (1 - (newest - begins) / MINUTE))
    assert [minute.start for minute in result.minutes] == [first + place * MINUTE for place in range(60)]
    purchases = [event for event in recent if event["event_type"] == "purchase"]
    for minute in result.minutes:
        own = [event for event in recent if at(event).replace(second=0, microsecond=0) == minute.start]
        bought = [event for event in own if event["event_type"] == "purchase"]
        worth = sum((PRICES.get(event["product_id"], Decimal(0)) for event in bought), Decimal(0))
        assert (minute.events, minute.of_kind, minute.worth) == (len(own), len(bought), worth), minute
    assert result.without_row == sum(event["product_id"] not in PRICES for event in purchases) > 0
    for dimension in ("page", "device"):
        counts = Tally(event[dimension] for event in recent)
        expected = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        assert [(value.value, value.events) for value in result.top[dimension]] == expected
    products = Tally(str(event["product_id"]) for event in purchases if event["product_id"])
    best = sorted(products.items(), key=lambda pair: (-pair[1], pair[0]))[:10]
    assert [(value.value, value.events, value.worth) for value in result.top["product_id"]] == [
        (value, number, PRICES.get(int(value), Decimal(0)) * number) for value, number in best
    ]
    assert [shard.shard for shard in result.shards] == ["s0"]
    [shard] = result.shards
    assert (shard.events, shard.counted, shard.repeated, shard.late, shard.rejected) == (953, 900, 20, 30, 3)


def test_the_funnel_has_the_sessions_with_an_event_in_the_last_minutes(connection: Connection) -> None:
    (one,) = counter(connection, "s0")
    events = fill(one, NOW).events
    sessions = []
    for visitor in {event["session_id"] for event in events}:
        own = sorted((event for event in events if event["session_id"] == visitor), key=at)
        parts = [[own[0]]]
        for before, event in pairwise(own):
            if at(event) - at(before) > 30 * MINUTE:
                parts.append([])
            parts[-1].append(event)
        sessions += [part for part in parts if at(part[-1]) >= NOW - 30 * MINUTE]
    reached = [0, 0, 0, 0]
    for session in sessions:
        steps = 0
        for event in session:
            if steps < 4 and event["event_type"] == FUNNEL[steps]:
                reached[steps] += 1
                steps += 1
    result = found(connection)
    assert (result.sessions, result.reached) == (len(sessions), reached)


def test_late_and_rejected_events_are_counted_for_the_hour_and_the_business_day(
    connection: Connection, berlin: None
) -> None:
    now = datetime(2026, 3, 10, 23, 20, tzinfo=UTC)  # in Berlin, the day is 20 minutes old
    (one,) = counter(connection, "s0")
    late = [at(event) for event in fill(one, now).late]
    connection.execute(
        """
        with placed as (
          select sequence, (array[10, 30, 180])[row_number() over (order by sequence)] as ago
          from waybill.stream_rejected
        )

        update waybill.stream_rejected as one set rejected_at = %s - placed.ago * interval '1 minute'
        from placed where placed.sequence = one.sequence
        """,
        (now,),
    )
    result = found(connection, now)
    begin = datetime(2026, 3, 11, tzinfo=ZoneInfo("Europe/Berlin"))
    hour = now - 59 * MINUTE
    assert result.late == (sum(one >= hour for one in late), sum(one >= begin for one in late))
    assert result.late[0] > result.late[1] > 0
    assert result.rejected == (2, 1)
    connection.execute("update waybill.stream_rejected set resolved_as = 'dropped'")
    assert found(connection, now).rejected == (0, 0)


def test_a_stream_without_new_events_says_since_when(connection: Connection, berlin: None) -> None:
    (one,) = counter(connection, "s0")
    fill(one, NOW)
    newest = datetime(2026, 3, 10, 12, 34, 29, tzinfo=UTC)
    connection.execute("update waybill.stream_shard set newest = %s", (newest,))
    assert shown(connection, newest + timedelta(seconds=60)).notice == ""
    hold(connection)
    idle = shown(connection, newest + timedelta(seconds=61))
    assert idle.notice == "No events since 13:34."
    assert (idle.tiles["rate"].cell.text, idle.tiles["rate"].cell.note) == ("none", "since 13:34")
    assert "EUR" in idle.tiles["worth"].cell.text, "the hour still has some"
    later = shown(connection, newest + timedelta(days=1, hours=2))
    assert later.notice == "No events since 2026-03-10 13:34."
    assert later.tiles["worth"].cell.text == "none"
    assert later.sections["minutes"].chart.rows == []


def test_an_event_dated_in_the_future_counts_as_one_of_its_arrival(connection: Connection) -> None:
    (one,) = counter(connection, "s0")
    one.count([click(1, NOW - timedelta(minutes=5)), click(2, NOW + timedelta(seconds=50))], NOW)
    hold(connection)
    assert found(connection).newest == NOW
    assert shown(connection, NOW + timedelta(seconds=61)).notice == "No events since 12:34."


def test_a_table_that_was_never_loaded_prices_nothing(connection: Connection) -> None:
    (one,) = counter(connection, "s0")
    one.count([click(1, NOW, "purchase"), click(2, NOW, "purchase", product_id=None)], NOW)
    assert shown(connection).tiles["worth"].cell.text == "1.25 EUR"
    with connection.transaction(force_rollback=True):
        connection.execute("drop table shop.products_history cascade")
        page = shown(connection)
    assert page.tiles["worth"].cell.text == "0.00 EUR"
    assert page.tiles["worth"].cell.note == "without 2 events that have no row in shop.products"
    assert page.sections["top-product_id"].chart.rows[0].cells == ["1", "1", "0.00"]


def since_of(cell: Cell) -> dict[str, int]:
    return {"since": milliseconds(cell.since)} if cell.since else {}


def test_shards_say_who_reads_them_and_how_far_they_lag(connection: Connection, supervised: None) -> None:
    now = datetime.now(UTC)
    first, second, third, _ = sorted(
        counter(connection, "s0", "s1", "s2", "s3", created_at=now), key=lambda one: one.shard.shard
    )
    first.count([click(1, now)], now)
    shards.note_read(connection, second.shard, 300, 0)
    connection.execute("update waybill.stream_shard set held_until = now() - interval '1 s' where shard = 's1'")
    shards.finish(connection, third.shard)
    connection.execute("update waybill.stream_shard set listed_at = now() - interval '70 s' where shard = 's3'")
    rows = shown(connection, datetime.now(UTC)).shards
    assert [row[0].text for row in rows] == ["s0", "s1", "s2", "s3"]
    assert [row[1].text for row in rows] == ["test", "nobody", "finished", "test"]
    assert [row[1].state for row in rows] == ["", "bad", "", ""]
    lags = [row[2].since and (datetime.now(UTC) - row[2].since).total_seconds() for row in rows]
    assert lags[0] is not None
    assert lags[0] < 50
    assert lags[1] is not None
    assert 300 <= lags[1] < 350
    assert lags[2] is None
    assert lags[3] is not None
    assert 70 <= lags[3] < 120
    assert [row[2].state for row in rows] == ["", "bad", "", "bad"]
    assert "too long since" in rows[1][2].note
    assert rows[0][3].since == now
    assert rows[3][3].text == "no record yet"
    assert [cell.text for cell in rows[0][4:]] == ["1", "1", "0", "0", "0"]
    assert shown(connection, datetime.now(UTC)).as_data()["shards"][1:] == [
        [{"text": cell.text, "note": cell.note, "state": cell.state} | since_of(cell) for cell in row]
        for row in rows[1:]
    ], "the data does not change while time passes"


def test_a_stream_that_nobody_has_to_read_does_not_lag_without_a_consumer(connection: Connection) -> None:
    now = datetime.now(UTC)
    one, other = sorted(counter(connection, "s0", "s1", created_at=now), key=lambda one: one.shard.shard)
    one.count([click(1, now - timedelta(minutes=10))], now)
    shards.note_read(connection, other.shard, 300, 0)
    hold(connection)
    read = shown(connection, now)
    assert [row[2].since is not None for row in read.shards] == [True, True]
    assert read.notice.startswith("No events since ")
    assert "No consumer" not in read.notice
    shards.leave(connection, CLICKS, "test")
    left = shown(connection, now)
    assert [(row[1].text, row[1].state) for row in left.shards] == [("nobody", "")] * 2
    assert [row[2] for row in left.shards] == [Cell("")] * 2
    assert left.notice == f"{read.notice} No consumer reads the stream."
    shards.note_loss(connection, other.shard)
    assert [row[0].note.partition(", found ")[0] for row in shown(connection).shards] == ["", "records were lost"]


def test_a_stream_needs_no_amount_funnel_or_dimension(
    connection: Connection, include_dir: Path, client: TestClient
) -> None:
    (one,) = counter(connection, "s0")
    path = include_dir / "domains" / "shop.yaml"
    manifest = yaml.safe_load(path.read_text())
    manifest["streams"]["clickstream"] = {"kind": "event_type", "session": "session_id"}
    path.write_text(yaml.safe_dump(manifest))
    bare = replace(one, declared=declared_stream(CLICKS))
    bare.count([click(1, NOW, "purchase")], NOW)
    page = shown(connection)
    assert set(page.tiles) == {"rate", "newest", "late", "rejected", "repeated"}
    assert set(page.sections) == {"minutes"}
    assert [heading.text for heading in page.sections["minutes"].chart.headings] == ["Minute", "Events"]
    assert page.sections["minutes"].chart.rows[0].cells == ["12:34 so far", "1"]
    assert client.get("/live/index.html").status_code == 200
    manifest["streams"]["clicks"] = manifest["streams"].pop("clickstream")
    path.write_text(yaml.safe_dump(manifest))
    answer = client.get("/live/index.html")
    assert answer.status_code == 400
    assert "has datasets without a contract: clicks" in Page(answer.text).text
    del manifest["streams"]
    path.write_text(yaml.safe_dump(manifest))
    answer = client.get("/live/index.html")
    assert answer.status_code == 404
    assert "No manifest of a domain declares a stream." in answer.text


def test_the_page_is_inert_and_its_links_lead_somewhere(connection: Connection, client: TestClient) -> None:
    (one,) = counter(connection, "s0")
    fill(one, datetime.now(UTC))
    answer = client.get("/live/index.html")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    page = Page(answer.text)
    check_inert(page)
    assert "/<b>" in page.text
    for link in {link for link in page.links if not link.startswith("#")}:
        target = posixpath.normpath(posixpath.join("/live", link))
        assert client.get(target).status_code == 200, link
    assert client.get(f"/live/index.html?dataset={CLICKS}").status_code == 200
    for path in ("index.html", "data.json"):
        unknown = client.get(f"/live/{path}?dataset=shop.products")
        assert unknown.status_code == 404
        assert "shop.clickstream" in unknown.text


def test_data_has_what_the_page_shows_and_is_sent_again_only_if_it_differs(
    connection: Connection, reader_dsn: str, dsn: str
) -> None:
    (one,) = counter(connection, "s0")
    one.count([click(1, datetime.now(UTC) - timedelta(hours=3))], datetime.now(UTC) - timedelta(hours=3))

    def ask(tag: str = "") -> Any:
        """Ask a web server that was just started, so that it asks the warehouse."""
        headers = {"if-none-match": tag} if tag else {}
        return client_of(reader_dsn, dsn).get(f"/live/data.json?dataset={CLICKS}", headers=headers)

    first = ask()
    tag, found = first.headers["etag"], first.json()
    assert first.headers["cache-control"] == "private, no-store"
    assert first.headers["age"] == "0"
    assert found["notice"].startswith("No events since ")
    assert found["tiles"]["rate"]["text"] == "none"
    assert found["sections"]["minutes"] == []
    assert abs(found["now"] / 1000 - time.time()) < 600
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        same = ask(known)
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), known
        assert same.headers["cache-control"] == "private, no-store"
    one.count([click(2, datetime.now(UTC), "purchase")], datetime.now(UTC))
    other = ask(tag)
    assert other.status_code == 200
    assert other.headers["etag"] != tag
    assert other.json()["notice"] == ""
    [row] = other.json()["sections"]["minutes"]
    assert row["values"] == {"1": 1.0, "2": 1.0, "3": 1.25}
    assert row["note"] == "so far"


def test_shared_figures_say_how_old_they_are(
    connection: Connection, reader_dsn: str, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter(connection, "s0")
    app = make_app(access_of(reader_dsn, dsn, Someone()))
    found = Answer(shown(connection), "{}", '"tag"', time.monotonic() - 4000)
    monkeypatch.setattr(app.state.live, "get", lambda *_: found)
    client = TestClient(app)
    for headers, status in (({}, 200), ({"if-none-match": '"tag"'}, 304)):
        answer = client.get("/live/data.json", headers=headers)
        assert (answer.status_code, answer.headers["age"][:2]) == (status, "40")
    assert 'data-age="40' in client.get("/live/index.html").text


def test_requests_do_not_wait_for_slow_figures(
    connection: Connection, reader_dsn: str, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> Any:
        raise Busy

    app = make_app(access_of(reader_dsn, dsn, Someone()))
    monkeypatch.setattr(app.state.live, "get", busy)
    answer = TestClient(app).get("/live/data.json")
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "The warehouse takes long to respond. Try again in a minute.",
    )


def test_a_stream_that_was_never_read_says_how_to_start_it(connection: Connection, client: TestClient) -> None:
    assert shown(connection).is_read is False
    text = Page(client.get("/live/index.html").text).text
    assert f"No consumer has read the stream of {CLICKS} yet." in text
    assert f"waybill stream run --dataset {CLICKS}" in text
    found = client.get("/live/data.json").json()
    assert found["is_read"] is False
    counter(connection, "s0")
    assert shown(connection).notice == "No events yet."


def test_users_without_permission_see_nothing(connection: Connection, reader_dsn: str, dsn: str) -> None:
    counter(connection, "s0")
    stranger = client_of(reader_dsn, dsn, Someone(may_look=False))
    assert stranger.get("/live/index.html").status_code == 303
    answer = stranger.get("/live/data.json", headers={"accept": "application/json"})
    assert answer.status_code == 401
    assert "tiles" not in answer.text


def test_however_many_watch_the_warehouse_is_asked_once_a_second(
    connection: Connection, reader_dsn: str, dsn: str
) -> None:
    (one,) = counter(connection, "s0")
    one.count([click(1, datetime.now(UTC))], datetime.now(UTC))
    access = access_of(reader_dsn, dsn, Someone())
    asked: list[float] = []

    @contextmanager
    def reader() -> Iterator[Connection]:
        asked.append(time.monotonic())
        with access.reader() as reading:
            yield reading

    app = make_app(replace(access, reader=reader))
    begin = time.monotonic()

    def watch(_: int) -> int:
        client, answers = TestClient(app), 0
        while time.monotonic() - begin < 2.5 or len(asked) < 2:
            assert client.get("/live/data.json").status_code == 200
            answers += 1
        return answers

    with ThreadPoolExecutor(12) as pool:
        answers = sum(pool.map(watch, range(12)))
    assert answers > len(asked)
    assert 1 < len(asked) <= 1 + time.monotonic() - begin
    assert all(later - earlier >= 1 for earlier, later in pairwise(asked))


def test_the_warehouse_is_read_with_the_role_that_only_reads(connection: Connection, reader_dsn: str) -> None:
    counter(connection, "s0")
    with psycopg.connect(reader_dsn) as reader:
        assert figures(reader, declared_stream(CLICKS), NOW)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("update waybill.stream_count set events = 0")


def test_business_leads_to_a_stream_that_was_ever_read(connection: Connection, client: TestClient) -> None:
    contract, period = catalog.reports("shop")["daily_kpis"], Period.parse("day", "2026-03-09")
    fill_report(connection, contract, period)
    assert "../live/" not in client.get("/business/shop/2026-03-09.html").text
    (one,) = counter(connection, "s0")
    now = datetime.now(UTC)
    one.count([click(number, now, "purchase", product_id=4) for number in range(1, 8)], now)
    text = client.get("/business/shop/2026-03-09.html").text
    assert f'href="../../live/index.html?dataset={CLICKS}"' in text
    words = " ".join(Page(text).text.split())
    assert "Live: Clickstream 7 events a minute Revenue of the last 60 minutes: 35.00 EUR" in words
    assert f"../live/index.html?dataset={CLICKS}" in client.get("/operations/index.html?domain=shop").text
    assert "../live/" not in client.get("/operations/index.html?domain=messaging").text
