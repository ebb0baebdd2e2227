"""Planted changes of columns and values become drift once, and end when files no longer show them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from psycopg import Connection
from psycopg.pq import TransactionStatus

from support.landing import MemoryBucket, csv_body
from support.messaging_months import RUN, database
from support.shop_landing import Shop, day
from waybill.contracts import Column, Contract, load_domain
from waybill.errors import DataError
from waybill.intake.ingest import ingest_file
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill.watch.drift import Drift, accept, drift_numbered, look, open_drift
from waybill.watch.unclassified import unclassified
from waybill_devtools.sampledata import messaging, orders, purchases
from waybill_devtools.sampledata import shop as shop_sample
from waybill_devtools.sampledata.files import SampleData
from waybill_devtools.stack import Stack

Row = dict[str, str]
COLUMNS = (
    Column("id", "", "integer", "integer", required=True, key_position=1),
    Column("at", "", "timestamp", "timestamptz", required=True),
    Column("amount", "", "number", "numeric(12,2)"),
    Column("region", "", "string", "text"),
    Column("state", "", "string", "text", enum=("open", "paid")),
    Column("secret", "", "string", "text", enum=("alpha", "beta"), classification="restricted"),
)
CONTRACT = Contract("shop", "meters", "1", "", "", COLUMNS, "merge", 20, 7, (), "meters", ("day",), period_column="at")
FIRST = day("2026-03-02")
DAYS = 4


def rows_of(number: int) -> list[Row]:
    at = FIRST.shift(number).key
    return [
        {
            "id": str(number * 1_000 + place),
            "at": f"{at}T12:00:00Z",
            "amount": f"{place}.50",
            "region": f"north {place}",
            "state": ("open", "paid")[place % 2],
            "secret": ("alpha", "beta")[place % 2],
        }
        for place in range(40)
    ]


@pytest.fixture(scope="module")
def some_days(stack: Stack) -> Iterator[Shop]:
    """A dataset of four days that are as the contract says."""
    with database(stack) as dsn, connect(dsn) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYBILL_RAW_BUCKET", "memory")
        settings.cache_clear()
        shop = Shop(connection, {"meters": CONTRACT})
        for number in range(DAYS):
            load(shop, number, rows_of(number))
        assert looked(shop) == []
        yield shop
    settings.cache_clear()


@pytest.fixture
def shop(some_days: Shop) -> Iterator[Shop]:
    """The same, to which a test may add what it likes."""
    with some_days.connection.transaction(force_rollback=True):
        yield replace(some_days, contracts=dict(some_days.contracts))


def load(shop: Shop, number: int, rows: Sequence[Row], name: str = "part-1.csv") -> None:
    body = csv_body(",".join(rows[0]), [",".join(row.values()) for row in rows])
    shop.load("meters", FIRST.shift(number).key, body, name)


def reject(shop: Shop, number: int, rows: Sequence[Row]) -> None:
    with pytest.raises(DataError):
        load(shop, number, rows)
    # A test is one transaction, in which the time does not move.
    shop.connection.execute("update waybill.rejected_file set rejected_at = rejected_at - interval '1 hour'")


def looked(shop: Shop) -> list[tuple[str, str, str]]:
    """Look, and return each new drift."""
    found: list[Drift] = look(shop.connection, shop.bucket, shop.contracts.values(), RUN)  # type: ignore[arg-type]
    return [(one.kind, one.column_name, one.name) for one in found]


def still_open(shop: Shop) -> list[Drift]:
    return open_drift(shop.connection, ["shop.meters"])


def renamed(rows: list[Row], old: str, new: str) -> list[Row]:
    return [{new if name == old else name: value for name, value in row.items()} for row in rows]


def without(rows: list[Row], name: str) -> list[Row]:
    return [{key: value for key, value in row.items() if key != name} for row in rows]


def with_new_column(rows: list[Row]) -> list[Row]:
    return [{**row, "Loyalty Card": f"LC-{place:04d}"} for place, row in enumerate(rows)]


def with_value(rows: list[Row], name: str, value: str, share: int = 10) -> list[Row]:
    return [{**row, name: value} if place % share == 0 else row for place, row in enumerate(rows)]


Plant = Callable[[list[Row]], list[Row]]
PLANTED: dict[str, tuple[Plant, bool, tuple[str, str, str], list[str]]] = {
    "an optional column is renamed": (
        lambda rows: renamed(rows, "region", "sales region"),
        True,
        ("renamed column", "region", "sales region"),
        ["aaaaa 99", "aaaaa 9"],
    ),
    "a required column is renamed": (
        lambda rows: renamed(rows, "at", "created at"),
        False,
        ("renamed column", "at", "created at"),
        ["9999-99-99A99:99:99A"],
    ),
    "a column is new": (with_new_column, True, ("new column", "", "Loyalty Card"), ["AA-9999"]),
    "an optional column vanishes": (
        lambda rows: without(rows, "region"),
        True,
        ("missing column", "region", ""),
        [],
    ),
    "a required column vanishes": (lambda rows: without(rows, "at"), False, ("missing column", "at", ""), []),
    "a value is new": (
        lambda rows: with_value(rows, "state", "lost"),
        True,
        ("new value", "state", "lost"),
        [],
    ),
    "numbers become texts": (
        lambda rows: with_value(rows, "amount", "about 7", 1),
        False,
        ("other type", "amount", ""),
        ["aaaaa 9"],
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_change_is_found_once_and_settled_by_a_corrected_file(shop: Shop, name: str) -> None:
    plant, is_loaded, expected, examples = PLANTED[name]
    (load if is_loaded else reject)(shop, DAYS, plant(rows_of(DAYS)))
    assert looked(shop) == [expected]
    [one] = still_open(shop)
    assert (one.examples, one.files, one.first_key) == (examples, 1, one.last_key)
    assert str(FIRST.shift(DAYS).start.day).zfill(2) in one.first_key
    assert looked(shop) == [], "a second look finds the same once"

    (load if is_loaded else reject)(shop, DAYS + 1, plant(rows_of(DAYS + 1)))
    assert looked(shop) == []
    [again] = still_open(shop)
    assert (again.drift_id, again.files, again.first_key) == (one.drift_id, 2, one.first_key)

    for number in (DAYS, DAYS + 1):
        load(shop, number, rows_of(number))
    assert looked(shop) == []
    assert still_open(shop) == []
    with pytest.raises(DataError, match=f"no open drift has the number {one.drift_id}"):
        drift_numbered(shop.connection, one.drift_id)


def test_a_later_file_without_the_column_settles_it(shop: Shop) -> None:
    load(shop, DAYS, with_new_column(rows_of(DAYS)))
    assert len(looked(shop)) == 1
    load(shop, DAYS + 1, rows_of(DAYS + 1))
    assert looked(shop) == []
    assert still_open(shop) == []


def test_the_order_of_files_does_not_matter(shop: Shop) -> None:
    plants = [plant for plant, is_loaded, *_ in PLANTED.values() if is_loaded]
    files = [(DAYS, rows_of(DAYS)), *((DAYS + 1, plant(rows_of(DAYS + 1))) for plant in plants[1:])]

    def stored() -> list[Any]:
        return shop.all(
            "select kind, column_name, name, files, first_key, last_key, examples from waybill.drift "
            "where settled_at is null order by 1, 2, 3"
        )

    results = []
    for order in itertools.islice(itertools.permutations(enumerate(files)), 0, 120, 31):
        with shop.connection.transaction(force_rollback=True):
            for place, (number, rows) in order:
                load(shop, number, rows, f"part-{place}.csv")
                looked(shop)
            results.append(stored())
    assert len(results[0]) == 3
    assert all(result == results[0] for result in results)


def test_values_of_restricted_columns_are_not_stored(shop: Shop) -> None:
    load(shop, DAYS, with_value(rows_of(DAYS), "secret", "geheim-4711"))
    reject(shop, DAYS + 1, with_value(rows_of(DAYS + 1), "secret", "geheim-4711", 1))
    found = looked(shop)
    assert ("new value", "secret", "aaaaaa-9999") in found
    assert {(kind, column) for kind, column, _ in found} == {("new value", "secret")}
    assert shop.all("select from waybill.drift as d where d::text ilike '%geheim%' or d::text like '%4711%'") == []


def test_a_column_with_other_values_is_no_rename(shop: Shop) -> None:
    rows = [{**row, "state_region": "7"} for row in without(rows_of(DAYS), "state")]
    load(shop, DAYS, rows)
    assert sorted(looked(shop)) == [("missing column", "state", ""), ("new column", "", "state_region")]


def test_a_few_wrong_values_are_no_drift(shop: Shop) -> None:
    load(shop, DAYS, with_value(with_value(rows_of(DAYS), "amount", "about 7"), "state", "lost", 20))
    assert looked(shop) == []


@pytest.mark.parametrize(
    "sample",
    [
        messaging.generate("2026-03", 6, scale=0.2),
        shop_sample.generate("2026-03-05", 7, scale=0.3),
        orders.generate("2026-03-05"),
        purchases.generate("2026-03-05", 14),
    ],
    ids=lambda sample: sample.domain,
)
def test_sample_data_has_no_drift_and_no_unclassified_personal_data(
    empty_connection: Connection, sample: SampleData
) -> None:
    contracts, bucket = load_domain(sample.domain), MemoryBucket()
    for file in sample.files:
        period = Period.parse(contracts[file.dataset].cadence, file.period)
        landed = bucket.put(sample.domain, file.dataset, period, file.body, file.key.rsplit("/", 1)[1])
        ingest_file(empty_connection, bucket, landed, contracts[file.dataset], contracts, RUN)
    datasets = [contract for contract in contracts.values() if contract.is_dataset]
    assert look(empty_connection, bucket, datasets, RUN) == []  # type: ignore[arg-type]
    assert unclassified(empty_connection, {one.table: one for one in datasets}) == []


def test_files_of_two_senders_with_other_columns_are_no_drift(shop: Shop) -> None:
    for number in range(DAYS):
        rows = [{**row, "id": str(int(row["id"]) + 500)} for row in rows_of(number)]
        load(shop, number, with_new_column(without(rows, "region")), "part-2.csv")
    assert looked(shop) == []


def test_a_contract_that_knows_the_column_or_ignores_it_settles_it(shop: Shop) -> None:
    load(shop, DAYS, with_new_column(renamed(rows_of(DAYS), "region", "sales region")))
    assert sorted(looked(shop)) == [("new column", "", "Loyalty Card"), ("renamed column", "region", "sales region")]
    columns = tuple(replace(one, spellings=("sales region",)) if one.name == "region" else one for one in COLUMNS)
    shop.contracts["meters"] = replace(CONTRACT, version="2", columns=columns, unknown_columns="ignore")
    assert looked(shop) == []
    assert still_open(shop) == []


def test_a_contract_that_accepts_the_value_settles_it(shop: Shop) -> None:
    load(shop, DAYS, with_value(rows_of(DAYS), "state", "lost"))
    assert len(looked(shop)) == 1
    columns = tuple(replace(one, enum=(*one.enum, "lost")) if one.name == "state" else one for one in COLUMNS)
    shop.contracts["meters"] = replace(CONTRACT, version="2", columns=columns)
    assert looked(shop) == []
    assert still_open(shop) == []


def test_accepted_drift_is_not_open_until_files_show_it_anew(shop: Shop) -> None:
    load(shop, DAYS, with_new_column(rows_of(DAYS)))
    assert len(looked(shop)) == 1
    [one] = still_open(shop)
    assert [one.drift_id for one in accept(shop.connection, [one.drift_id], "ada")] == [one.drift_id]
    load(shop, DAYS + 1, with_new_column(rows_of(DAYS + 1)))
    assert looked(shop) == []
    assert still_open(shop) == []
    assert drift_numbered(shop.connection, one.drift_id).files == 2, "it can still be proposed"

    load(shop, DAYS + 2, with_new_column(without(rows_of(DAYS + 2), "region")))
    assert looked(shop) == [("missing column", "region", "")]
    assert [other.kind for other in still_open(shop)] == ["missing column"]

    load(shop, DAYS + 3, rows_of(DAYS + 3))
    assert looked(shop) == []
    load(shop, DAYS + 4, with_new_column(rows_of(DAYS + 4)))
    assert looked(shop) == [("new column", "", "Loyalty Card")]
    assert len(still_open(shop)) == 1
    with pytest.raises(DataError, match="no open drift has the number 4711"):
        accept(shop.connection, [4711], "ada")


def test_a_rejected_file_that_was_deleted_ends_its_drift(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    load(shop, DAYS, with_new_column(rows_of(DAYS)))
    reject(shop, DAYS + 1, with_new_column(without(rows_of(DAYS + 1), "at")))
    assert sorted(looked(shop)) == [("missing column", "at", ""), ("new column", "", "Loyalty Card")]
    gone = next(one for one in still_open(shop) if one.kind == "missing column").last_key

    def unreachable(*_: Any, **__: Any) -> None:
        raise EndpointConnectionError(endpoint_url="s3")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryBucket, "head_object", unreachable)
        assert looked(shop) == []
        assert len(still_open(shop)) == 2
    shop.bucket.delete(gone)
    assert looked(shop) == []
    assert [(one.kind, one.files) for one in still_open(shop)] == [("new column", 1)]


def test_files_are_read_before_the_transaction_of_a_look(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    with database(stack) as dsn, connect(dsn) as connection:
        monkeypatch.setenv("WAYBILL_RAW_BUCKET", "memory")
        settings.cache_clear()
        shop = Shop(connection, {"meters": CONTRACT})
        load(shop, 0, rows_of(0))
        load(shop, 1, with_new_column(renamed(rows_of(1), "region", "sales region")))
        get = shop.bucket.get_object

        def outside(**arguments: str) -> Any:
            assert connection.info.transaction_status == TransactionStatus.IDLE
            read.append(arguments["Key"])
            return get(**arguments)

        monkeypatch.setattr(shop.bucket, "get_object", outside)
        assert len(looked(shop)) == 2
    assert len(read) >= 3
