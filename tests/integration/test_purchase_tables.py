"""Silver, gold, the summary and the report of purchases, against an independent computation in Python's decimals."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, seed
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from psycopg import Connection

from oracles import purchases as oracle
from support.messaging_months import RUN, migrate
from support.purchase_files import Purchase, Purchases, Rate
from waybill.derived.refresh import refresh
from waybill.errors import DataError
from waybill.warehouse.connection import connect

DAYS = ["2026-03-01", "2026-03-02", "2026-03-03"]
Name = tuple[str, str, str]
Arrival = tuple[Name, list[Any]]

PURCHASES = st.lists(
    st.builds(
        Purchase,
        purchase=st.sampled_from("12345"),
        customer=st.sampled_from(["c1", "c2", "c3"]),
        first_name=st.sampled_from(["Ada", ""]),
        last_name=st.sampled_from(["Low", ""]),
        email=st.sampled_from(["", "a@example.org", "b@example.org"]),
        date=st.sampled_from(["2026-01-31", "2026-02-14", "2026-03-01"]),
        amount=st.sampled_from(["0.01", "0.05", "33.33", "999999999999.99"]),
        currency=st.sampled_from(["USD", "USD", "USD", "EUR", "GBP"]),
    ),
    max_size=4,
    unique_by=lambda row: row.purchase,
)
RATES = st.lists(
    st.builds(
        Rate,
        currency=st.sampled_from(["USD", "EUR"]),
        valid_from=st.sampled_from(["2026-02-01", "2026-02-14", "2026-03-01"]),
        rate=st.sampled_from(["1.5", "0.5", "1.54321098", "9999999999.99999999"]),
    ),
    max_size=3,
    unique_by=lambda row: (row.currency, row.valid_from),
)


def names(dataset: str) -> st.SearchStrategy[Name]:
    return st.tuples(st.just(dataset), st.sampled_from(DAYS), st.sampled_from(["a.csv", "b.csv"]))


# A file with purchases may come again with other content, which replaces what it was.
FILES = st.tuples(
    st.lists(st.tuples(names("purchases"), PURCHASES), min_size=1, max_size=5),
    st.lists(st.tuples(names("rates"), RATES), max_size=3, unique_by=lambda arrival: arrival[0]),
)


@st.composite
def arrivals(draw: st.DrawFn) -> list[Arrival | None]:
    """Draw files in any order, some of them twice; None is a refresh in between."""
    purchases, rates = draw(FILES)
    sent: list[Arrival | None] = [*purchases, *rates]
    sent += draw(st.lists(st.sampled_from(sent), max_size=3))
    return draw(st.permutations([*sent, None]))


def all_rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


def build(connection: Connection) -> None:
    for schema in ("purchases_star", "purchases_report"):
        refresh(connection, "purchases", schema, RUN)


def check(connection: Connection, files: oracle.Files, currencies: tuple[str, ...] = ("USD",)) -> None:
    """Compare every table with the oracle."""
    bought = oracle.bought(files, currencies)
    fact = all_rows(connection, "select * from purchases_star.fact_purchases order by ingested_on, purchase_id")
    assert fact == oracle.fact(bought)
    assert all_rows(connection, "select * from purchases_star.customer_spend order by 1, 2") == oracle.by_day(bought)
    summary = all_rows(
        connection,
        "select customer_id, full_name, email, total_spent_aud, purchases_count, first_purchase_date, "
        "last_purchase_date from purchases_star.customer_purchase_summary order by 1",
    )
    assert summary == [(customer, *row) for customer, row in sorted(oracle.spend(bought).items())]
    for day in sorted({day for _, day, _ in files}):
        found = all_rows(
            connection,
            "select spend_rank, customer_id, full_name, total_spent_aud, purchases_count, first_purchase_date, "
            f"last_purchase_date from purchases_report.top_purchasers where day = '{day}' order by 1, 2",
        )
        assert found == oracle.top(bought, date.fromisoformat(day))


# A purchase that moves to another customer and day, whose rate comes last, and a file whose correction is empty.
@example(
    [
        (("purchases", DAYS[0], "a.csv"), [Purchase("1"), Purchase("2", customer="c2")]),
        (("rates", DAYS[2], "a.csv"), [Rate("USD", "2026-02-01", "1.005")]),
        None,
        (("purchases", DAYS[1], "a.csv"), [Purchase("1", customer="c3", amount="0.30")]),
        None,
        (("purchases", DAYS[0], "a.csv"), []),
    ]
)
@seed(20260301)
@hypothesis(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals())
def test_files_in_any_order_and_any_number_of_times_give_the_same_tables(
    empty_connection: Connection, arrivals: list[Arrival | None]
) -> None:
    with empty_connection.transaction(force_rollback=True):
        purchases, files = Purchases(empty_connection), dict[Name, list[Any]]()
        for arrival in arrivals:
            if arrival is None:
                build(empty_connection)
                continue
            (dataset, day, name), rows = arrival
            purchases.arrive(dataset, day, name, rows)
            files[dataset, day, name] = rows
        build(empty_connection)
        check(empty_connection, files)
        for schema in ("purchases_star", "purchases_report"):
            assert refresh(empty_connection, "purchases", schema, RUN) == {}, "nothing is stale"


def test_halves_of_a_cent_are_rounded_away_from_zero_and_ranks_are_shared(empty_connection: Connection) -> None:
    purchases = Purchases(empty_connection)
    rates = [Rate("USD", "2026-01-01", "1.005"), Rate("USD", "2026-03-01", "1.00499999")]
    rows = [Purchase(f"{n}", f"c{n}", amount=f"{n // 2 + 1}.00", date="2026-02-28") for n in range(14)]
    rows += [Purchase("x", "c0", amount="1.00", date="2026-03-01"), Purchase("y", "c1", amount="1.00")]
    files: dict[Name, list[Any]] = {("rates", DAYS[0], "r.csv"): rates, ("purchases", DAYS[0], "p.csv"): rows}
    for (dataset, day, name), content in files.items():
        purchases.arrive(dataset, day, name, content)
    build(empty_connection)
    check(empty_connection, files)
    amounts = dict(
        all_rows(empty_connection, "select purchase_id, amount_aud::text from purchases_star.fact_purchases")
    )
    assert (amounts["0"], amounts["x"]) == ("1.01", "1.00")
    ranks = all_rows(empty_connection, "select spend_rank from purchases_report.top_purchasers order by 1")
    assert [rank for (rank,) in ranks] == [1, 1, 3, 3, 5, 5]


def test_a_changed_rate_applies_only_to_purchases_from_its_date_on(empty_connection: Connection) -> None:
    purchases = Purchases(empty_connection)
    files: dict[Name, list[Any]] = {
        ("rates", DAYS[0], "r.csv"): [Rate("USD", "2026-02-01", "1.5"), Rate("USD", "2026-03-02", "1.6")],
        ("purchases", DAYS[0], "p.csv"): [Purchase("1", date="2026-02-03")],
        ("purchases", DAYS[1], "p.csv"): [Purchase("2", "c2", date="2026-03-02")],
    }
    for (dataset, day, name), content in files.items():
        purchases.arrive(dataset, day, name, content)
    build(empty_connection)
    late: Name = ("rates", DAYS[2], "r.csv")
    files[late] = [Rate("USD", "2026-03-01", "9"), Rate("USD", "2026-03-02", "1.7")]
    purchases.arrive(*late, files[late])
    rebuilt = refresh(empty_connection, "purchases", "purchases_star", RUN)
    assert {table: days for table, days in rebuilt.items() if not table.endswith("_summary")} == {
        f"purchases_star.{name}": [DAYS[1], DAYS[2]] for name in ("fact_purchases", "customer_spend")
    }, "the first day is as it was; the last is new, and empty"
    build(empty_connection)
    check(empty_connection, files)


def test_a_withdrawn_rate_stops_the_build_and_keeps_the_former_rows(empty_connection: Connection) -> None:
    purchases = Purchases(empty_connection)
    files: dict[Name, list[Any]] = {
        ("rates", DAYS[0], "r.csv"): [Rate()],
        ("purchases", DAYS[0], "p.csv"): [Purchase()],
    }
    for (dataset, day, name), content in files.items():
        purchases.arrive(dataset, day, name, content)
    build(empty_connection)
    purchases.arrive("rates", DAYS[0], "r.csv", [Rate("EUR")])
    with pytest.raises(DataError, match="fact_purchases_rows_difference is -1"):
        build(empty_connection)
    refresh(empty_connection, "purchases", "purchases_report", RUN)
    check(empty_connection, files)
    purchases.arrive("rates", DAYS[0], "r.csv", [Rate()])
    build(empty_connection)
    check(empty_connection, files)


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_SOURCE_CURRENCIES", "USD,EUR")


def test_purchases_in_configured_currencies_are_converted(empty_connection: Connection, asked_for: None) -> None:
    purchases = Purchases(empty_connection)
    files: dict[Name, list[Any]] = {
        ("purchases", DAYS[0], "p.csv"): [Purchase("1", currency="EUR"), Purchase("2"), Purchase("3", currency="GBP")],
        ("rates", DAYS[0], "r.csv"): [Rate(), Rate("EUR", rate="1.77"), Rate("GBP", rate="2")],
    }
    for (dataset, day, name), content in files.items():
        purchases.arrive(dataset, day, name, content)
    build(empty_connection)
    check(empty_connection, files, ("EUR", "USD"))


def test_only_changed_customers_are_read_and_only_changed_rows_are_updated(warehouse_dsn: str) -> None:
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        purchases = Purchases(connection)
        purchases.arrive("rates", DAYS[0], "r.csv", [Rate()])
        first = [Purchase(f"{n}", f"c{n}") for n in range(1, 4)]
        purchases.arrive("purchases", DAYS[0], "p.csv", first[:2])
        purchases.arrive("purchases", DAYS[2], "p.csv", first[2:])
        build(connection)

        def updated() -> dict[str, Any]:
            return dict(
                all_rows(connection, "select customer_id, updated_at from purchases_star.customer_purchase_summary")
            )

        def plant() -> None:
            """Store a wrong sum, which stays until the row is computed again."""
            connection.execute(
                "update purchases_star.customer_purchase_summary set purchases_count = 7 where customer_id = 'c3'"
            )

        before = updated()
        assert before.keys() == {"c1", "c2", "c3"}
        plant()
        purchases.arrive("purchases", DAYS[1], "p.csv", [replace(first[0], amount="1.00"), Purchase("9", "c4")])
        build(connection)
        after = updated()
        assert {customer for customer in after if after[customer] != before.get(customer)} == {"c1", "c4"}
        query = "select customer_id, purchases_count from purchases_star.customer_purchase_summary order by 1"
        assert all_rows(connection, query) == [("c1", 1), ("c2", 1), ("c3", 7), ("c4", 1)], "c3 was not computed again"
        purchases.arrive("purchases", DAYS[2], "again.csv", first[1:])
        assert "purchases_star.customer_purchase_summary" not in refresh(connection, "purchases", "purchases_star", RUN)
        assert updated() == after, "a repetition changes nothing"
        indexes = all_rows(connection, "select indexdef from pg_indexes where tablename = 'customer_purchase_summary'")
        assert any("(total_spent_aud DESC)" in text for (text,) in indexes)
        connection.execute("set enable_seqscan = off")
        summary = "purchases_star.customer_purchase_summary"
        plan = "\n".join(
            line
            for (line,) in all_rows(
                connection,
                "explain select * from (select customer_id, sum(amount_aud), max(email) filter (where n = 1) from ("
                "select *, row_number() over (partition by customer_id order by purchase_date desc) as n "
                "from purchases_star.fact_purchases) as f group by customer_id) as wanted "
                f"where customer_id = any(array(select customer_id from {summary}_touched))",
            )
        )
        assert "fact_purchases_customer_id_ascending" in plan, plan
