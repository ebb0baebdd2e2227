"""Replayed rows are validated like all rows, join their file, and its books still balance."""

from __future__ import annotations

from typing import Any

import pytest

from support.landing import (
    CHANNELS,
    CUSTOMERS,
    MONTH,
    TRAFFIC,
    Amend,
    Landing,
    channel_rows,
    csv_body,
    customer_rows,
    total,
    traffic_rows,
)
from waybill.contracts import load_domain
from waybill.intake.ledger import Books
from waybill.intake.replay import replay
from waybill.run import Run

GOOD = traffic_rows(40)
COUNTS = ("inserted", "updated", "unchanged", "rejected", "duplicate", "stale", "filtered")


def replayed(landing: Landing, dataset: str, run_id: str | None = "replay 1", **selection: Any) -> dict[str, Books]:
    """Replay a dataset; books by file name."""
    run = Run(run_id, "abc123")
    done = replay(landing.connection, landing.contracts[dataset], landing.contracts, run, **selection)
    for file in done:
        assert file.books.rows_in == total(file.books)
    return {file.object_key.rsplit("/", 1)[1]: file.books for file in done}


def counts(books: Books) -> dict[str, int]:
    return {name: value for name, value in vars(books).items() if value}


def resolved(landing: Landing) -> list[tuple[int, str, str]]:
    return landing.all(
        "select record, resolved_as, resolved_by from waybill.quarantine where resolved_as is not null order by record"
    )


def with_customer(rows: list[str], customer: int) -> list[str]:
    """Return the rows with another customer."""
    return [",".join([*row.split(",")[:3], str(customer), *row.split(",")[4:]]) for row in rows]


def with_revenue(row: str, revenue: str) -> str:
    return f"{row.rsplit(',', 1)[0]},{revenue}"


def test_rows_of_a_customer_who_arrives_later_are_admitted_once(landing: Landing) -> None:
    late = with_customer(GOOD[:2], 10)
    key = landing.load("traffic", csv_body(TRAFFIC, [*GOOD, *late]))
    rejected = {41: ["reference:customer_id"], 42: ["reference:customer_id"]}
    landing.check(key, 42, rejected)

    assert counts(replayed(landing, "traffic")["part-1.csv"]) == {"rows_in": 2, "rejected": 2}
    landing.check(key, 42, rejected)

    landing.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    assert counts(replayed(landing, "traffic", "replay 2")["part-1.csv"]) == {"rows_in": 2, "inserted": 2}
    landing.check(key, 42, inserted=42)
    assert resolved(landing) == [(41, "inserted", "replay 2"), (42, "inserted", "replay 2")]
    assert replayed(landing, "traffic", "replay 3") == {}
    landing.check(key, 42, inserted=42)
    assert landing.column("select resolved_by from waybill.quarantine") == ["replay 2"] * 2
    assert landing.ingest("traffic", MONTH) == {}


def test_a_replay_is_limited_to_the_selected_file_and_records(landing: Landing) -> None:
    late = with_customer(GOOD[:2], 10)
    keys = [landing.load("traffic", csv_body(TRAFFIC, [*GOOD, *late]), name) for name in ("a.csv", "b.csv")]
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    file_id = landing.ledger(keys[1])["file_id"]
    done = replayed(landing, "traffic", None, file_id=file_id, records=[42])
    assert {name: counts(books) for name, books in done.items()} == {"b.csv": {"rows_in": 1, "inserted": 1}}
    assert landing.rejects(keys[0]).keys() == {41, 42}
    assert landing.rejects(keys[1]).keys() == {41}
    assert resolved(landing) == [(42, "inserted", "command line")]


def test_a_replayed_row_applies_in_the_file_order(landing: Landing) -> None:
    row, newer = (
        with_customer([with_revenue(GOOD[0], "10")], 10)[0],
        with_customer([with_revenue(GOOD[0], "20")], 10)[0],
    )
    for name, extra in {"a.csv": row, "b.csv": newer, "c.csv": newer}.items():
        landing.load("traffic", csv_body(TRAFFIC, [*GOOD, extra]), name)
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    keys = {name: f"raw/messaging/traffic/month={MONTH}/{name}" for name in ("a.csv", "b.csv", "c.csv")}
    expected = {"b.csv": "inserted", "a.csv": "stale", "c.csv": "unchanged"}
    for name, outcome in expected.items():
        file_id = landing.ledger(keys[name])["file_id"]
        done = replayed(landing, "traffic", file_id=file_id)
        assert counts(done[name]) == {"rows_in": 1, outcome: 1}
        landing.check(keys[name], 41)
    found = "select revenue_eur::integer from messaging.{} where customer_id = 10"
    assert landing.column(found.format("traffic")) == [20]
    assert sorted(landing.column(found.format("traffic_superseded"))) == [10, 20]


def test_rows_that_a_looser_contract_admits_join_their_file(landing: Landing, amend: Amend) -> None:
    refund = with_revenue(GOOD[0], "-3.00").replace(",1,1,1,", ",1,9,3,")
    key = landing.load("traffic", csv_body(TRAFFIC, [*GOOD, refund, *GOOD]))
    landing.check(key, 81, {41: ["range:revenue_eur"]}, duplicates=range(42, 82))
    amend("traffic", "numeric(12,2)\n        logicalTypeOptions: {minimum: 0}", "numeric(12,2)")
    assert counts(replayed(landing, "traffic")["part-1.csv"]) == {"rows_in": 1, "inserted": 1}
    landing.check(key, 81, duplicates=range(42, 82), inserted=41)
    assert landing.column("select revenue_eur::text from messaging.traffic where customer_id = 9") == ["-3.00"]


def test_rows_that_repeat_a_key_of_their_file_are_duplicates_or_stay(landing: Landing, amend: Amend) -> None:
    """The loaded rows of the file stay; a replay resolves repeats as the load does."""
    unknown = with_customer(GOOD[:1], 10)[0]
    rows = [
        with_revenue(GOOD[0], "-1"),  # 1: the row that covers it follows
        *GOOD,  # 2 to 41
        with_revenue(GOOD[1], "55.5"),  # 42: conflict
        unknown,  # 43
        unknown,  # 44: repeats 43
        with_revenue(unknown, "7"),  # 45: contradicts 43
        "46,x,1,1,1,1,1",  # 46: no date under any contract
    ]
    key = landing.load("traffic", csv_body(TRAFFIC, rows + traffic_rows(140)[40:]))
    assert landing.rejects(key).keys() == {1, 42, 43, 44, 45, 46}
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    amend("traffic", "numeric(12,2)\n        logicalTypeOptions: {minimum: 0}", "numeric(12,2)")
    books = replayed(landing, "traffic")["part-1.csv"]
    assert counts(books) == {"rows_in": 6, "inserted": 1, "duplicate": 1, "rejected": 4}
    stay = {1: ["conflict"], 42: ["conflict"], 45: ["conflict"], 46: ["type:send_date"]}
    landing.check(key, 146, stay, duplicates=[44], inserted=141)
    assert resolved(landing) == [(43, "inserted", "replay 1"), (44, "duplicate", "replay 1")]
    again = replayed(landing, "traffic", "replay 2")["part-1.csv"]
    assert counts(again) == {"rows_in": 4, "rejected": 4}
    landing.check(key, 146, stay, duplicates=[44])


def test_records_without_fields_are_left_alone(landing: Landing) -> None:
    key = landing.load("traffic", csv_body(TRAFFIC, [*GOOD, "ragged"]))
    assert replayed(landing, "traffic") == {}
    landing.check(key, 41, {41: ["ragged"]})


def test_rejects_of_a_replaced_version_are_not_tried(landing: Landing) -> None:
    landing.load("traffic", csv_body(TRAFFIC, [*GOOD, *with_customer(GOOD[:1], 10)]))
    landing.load("traffic", csv_body(TRAFFIC, GOOD))
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    assert replayed(landing, "traffic") == {}


def history(landing: Landing, dataset: str, column: str) -> list[tuple[Any, ...]]:
    return landing.all(
        f"select {dataset[:-1]}_id, {column}, valid_from::text, valid_to::text from messaging.{dataset}_history "
        "order by 1, valid_from"
    )


@pytest.fixture
def closed(amend: Amend) -> None:
    """Contracts of customers that close the vocabularies of segments and countries."""
    free = "logicalTypeOptions: {minLength: 1, maxLength: 100}"
    descriptions = {column.name: column.description for column in load_domain("messaging")["customers"].columns}
    for name, rule in (
        ("segment", "enum: [{value: Enterprise}, {value: Startup}]"),
        ("country", 'logicalTypeOptions: {pattern: "[A-Z]{2}"}'),
    ):
        lines = f"{descriptions[name]}\n        logicalType: string\n        physicalType: text\n        "
        amend("customers", lines + free, lines + rule)


@pytest.mark.usefixtures("closed")
def test_a_customer_admitted_by_a_replay_extends_the_history_and_ends_no_version(
    landing: Landing, amend: Amend
) -> None:
    rows = customer_rows(40)
    rows[2] = rows[2].replace("Startup", "Nonprofit")  # known in January as a start-up, and again in April
    rows[29] = rows[29].replace("Startup", "Nonprofit")  # new
    before = history(landing, "customers", "segment")
    key = landing.load("customers", csv_body(CUSTOMERS, rows), key_month="2026-02")
    landing.check(key, 40, {3: ["enum:segment"], 30: ["enum:segment"]}, unchanged=8, inserted=30)
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(40)), key_month="2026-04")

    amend("customers", "{value: Startup}", "{value: Startup}, {value: Nonprofit}")
    assert counts(replayed(landing, "customers")["part-1.csv"]) == {"rows_in": 2, "inserted": 2}
    landing.check(key, 40, unchanged=8, inserted=32)
    found = history(landing, "customers", "segment")
    changed = {3, 30}
    assert [row for row in found if row[0] in changed] == [
        (3, "Startup", "2025-01-01", "2026-02-01"),
        (3, "Nonprofit", "2026-02-01", "2026-04-01"),
        (3, "Startup", "2026-04-01", "infinity"),
        (30, "Nonprofit", "2026-02-01", "2026-04-01"),
        (30, "Startup", "2026-04-01", "infinity"),
    ]
    assert [row for row in found if row[0] < 10 and row[0] != 3] == [row for row in before if row[0] != 3]
    assert len(found) == 40 + 3
    assert replayed(landing, "customers", "replay 2") == {}


@pytest.mark.usefixtures("closed")
def test_a_customer_that_did_not_change_is_joined_with_its_neighbours(landing: Landing, amend: Amend) -> None:
    for key_month, segment in {"2026-01": "Startup", "2026-02": "Nonprofit", "2026-03": "Startup"}.items():
        rows = [*customer_rows(29), customer_rows(30, segment=segment)[29]]
        landing.load("customers", csv_body(CUSTOMERS, rows), key_month=key_month)
    amend("customers", "{value: Startup}", "{value: Startup}, {value: Nonprofit}")
    assert counts(replayed(landing, "customers")["part-1.csv"]) == {"rows_in": 1, "inserted": 1}
    assert [row[1:] for row in history(landing, "customers", "segment") if row[0] == 30] == [
        ("Startup", "2026-01-01", "2026-02-01"),
        ("Nonprofit", "2026-02-01", "2026-03-01"),
        ("Startup", "2026-03-01", "infinity"),
    ]
    # The same row over a gap: the history has no seam.
    landing.load(
        "customers",
        csv_body(CUSTOMERS, [*customer_rows(29), "30,1,Customer 30,Startup,Retail,D1,2020-01-31"]),
        key_month="2026-02",
    )
    amend("customers", '"[A-Z]{2}"', '"[A-Z][A-Z0-9]"')
    replayed(landing, "customers")
    assert len([row for row in history(landing, "customers", "segment") if row[0] == 30]) == 3


def test_a_snapshots_row_that_repeats_a_unique_value_stays_rejected(landing: Landing) -> None:
    rows = [*channel_rows(20), "21,Channel 1,sms,999999.9999", "22,Channel 1,sms,0.0001"]
    key = landing.load("channels", csv_body(CHANNELS, rows))
    expected = {21: ["unique:channel_name"], 22: ["unique:channel_name"]}
    landing.check(key, 22, expected)
    assert counts(replayed(landing, "channels")["part-1.csv"]) == {"rows_in": 2, "rejected": 2}
    landing.check(key, 22, expected)
    names = landing.column("select channel_name from messaging.channels_as_of('2026-04-01')")
    assert sorted(names) == sorted(set(names))


@pytest.mark.usefixtures("closed")
def test_line_ends_within_fields_survive_a_replay(landing: Landing, amend: Amend) -> None:
    names = ["a\nb", "a\r\nb", "a\rb", 'a "b", c']
    rows = customer_rows(100)
    for place, name in enumerate(names):
        quoted = name.replace('"', '""')
        rows[place] = f'{place + 1},1,"{quoted}",Nonprofit,Retail,DE,2020-01-31'
    landing.load("customers", csv_body(CUSTOMERS, rows))
    amend("customers", "{value: Startup}", "{value: Startup}, {value: Nonprofit}")
    assert counts(replayed(landing, "customers")["part-1.csv"]) == {"rows_in": 4, "inserted": 4}
    found = landing.column(
        "select customer_name from messaging.customers where segment = 'Nonprofit' order by customer_id"
    )
    assert found == names


@pytest.mark.usefixtures("closed")
def test_rows_of_a_snapshot_that_another_of_its_month_overrules_are_stale(landing: Landing, amend: Amend) -> None:
    rows = customer_rows(30)
    rows[2] = rows[2].replace("Startup", "Nonprofit")
    first = landing.load("customers", csv_body(CUSTOMERS, rows), "a.csv")
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(30, segment="Enterprise")), "b.csv")
    before = history(landing, "customers", "segment")
    amend("customers", "{value: Startup}", "{value: Startup}, {value: Nonprofit}")
    assert counts(replayed(landing, "customers")["a.csv"]) == {"rows_in": 1, "stale": 1}
    landing.check(first, 30, stale=1)
    assert history(landing, "customers", "segment") == before
