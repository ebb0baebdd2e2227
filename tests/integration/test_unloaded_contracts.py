"""While no file of a dataset has loaded, its contract may change in any way and keep its version."""

from __future__ import annotations

import pytest
from psycopg import Connection

from support.landing import (
    CHANNELS,
    CUSTOMERS,
    TRAFFIC,
    Amend,
    Landing,
    channel_rows,
    csv_body,
    customer_rows,
    traffic_rows,
)
from waybill.contracts import ContractError
from waybill.ops.lint import lint
from waybill.warehouse.evolution import ensure_domain, missing_columns
from waybill.warehouse.schema import relation, superseded_relation

REQUIRED = "        logicalTypeOptions: {minLength: 1, maxLength: 100}\n        required: true\n"
KEY = "        primaryKey: true\n        primaryKeyPosition: 2\n        required: true\n"
NEW_COLUMN = """\
      - {name: campaign, description: A campaign., logicalType: string, physicalType: text, required: true}
"""
PARTITIONED = "        partitioned: true\n        partitionKeyPosition: 1\n"
STOPPED = "needs more than new nullable columns"


@pytest.fixture
def landing_connection(empty_connection: Connection) -> Connection:
    """A warehouse without any table of the domain, in place of one with loaded files."""
    return empty_connection


@pytest.fixture
def draft(landing: Landing, amend: Amend) -> None:
    """Create the tables from the contracts, as the first run of a new domain does without files."""
    ensure_domain(landing.connection, landing.contracts)


def key_of(landing: Landing, table: str) -> set[str]:
    return set(
        landing.column(
            "select attname from pg_index inner join pg_attribute on attrelid = indrelid and attnum = any(indkey) "
            "where indrelid = to_regclass(%s) and indisprimary",
            (f"messaging.{table}",),
        )
    )


def test_the_key_of_an_unloaded_dataset_may_change(draft: None, landing: Landing, amend: Amend) -> None:
    amend("customers", REQUIRED, KEY)
    assert lint(landing.connection)[1] == []
    assert key_of(landing, "customers_history") == {"customer_id", "valid_from"}, "the check changes nothing"
    assert missing_columns(landing.connection, landing.contracts["customers"]) is None
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(4)))
    assert key_of(landing, "customers_history") == {"customer_id", "segment", "valid_from"}
    assert landing.column("select count(*) from messaging.customers") == [4]
    assert lint(landing.connection)[1] == [], "the draft of the same version is forgotten"


def test_types_required_columns_and_partitions_of_an_unloaded_dataset_may_change(
    draft: None, landing: Landing, amend: Amend
) -> None:
    amend("traffic", "value: merge}", "value: merge}\n      - {property: periodColumn, value: send_date}")
    amend("traffic", PARTITIONED, "")
    amend("traffic", "numeric(12,2)", "numeric(14,2)")
    amend("traffic", "slaProperties:\n", f"{NEW_COLUMN}slaProperties:\n")
    amend("traffic", "minimum: 0", "minimum: 1")
    assert lint(landing.connection)[1] == []
    landing.load("customers", csv_body(CUSTOMERS, customer_rows()))
    landing.load("channels", csv_body(CHANNELS, channel_rows()))
    key = landing.load("traffic", csv_body(f"{TRAFFIC},campaign", [f"{row},spring" for row in traffic_rows(3)]))
    landing.check(key, 3, inserted=3)
    kinds = landing.all(
        "select relname, attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute "
        "inner join pg_class as c on c.oid = attrelid where relname in ('traffic', 'traffic_superseded') "
        "and relkind = 'r' and attname in ('campaign', 'revenue_eur') order by 1, 2"
    )
    assert kinds == [
        (table, name, kind, True)
        for table in ("traffic", "traffic_superseded")
        for name, kind in (("campaign", "text"), ("revenue_eur", "numeric(14,2)"))
    ]
    assert lint(landing.connection)[1] == []


@pytest.mark.parametrize("dataset", ["traffic", "customers"])
def test_the_load_mode_of_an_unloaded_dataset_may_change(
    dataset: str, draft: None, landing: Landing, amend: Amend
) -> None:
    if dataset == "traffic":
        amend("traffic", "value: merge}", "value: merge}\n      - {property: periodColumn, value: send_date}")
        amend("traffic", PARTITIONED, "")
        amend("traffic", "value: merge}", "value: snapshot}")
    else:
        amend("customers", "value: snapshot}", "value: merge}\n      - {property: periodColumn, value: created_date}")
    contract = landing.contracts[dataset]
    ensure_domain(landing.connection, landing.contracts)
    names = {name for (name,) in landing.all("select relname from pg_class where relname like %s", (f"{dataset}%",))}
    tables = {name for name in names if not name.endswith(("_pkey", "_idx", "_excl"))}
    wanted = {"traffic", "traffic_history"} if dataset == "traffic" else {"customers", "customers_superseded"}
    assert wanted <= tables
    assert not tables & {"traffic_superseded", "customers_history"}
    assert missing_columns(landing.connection, contract) == []


def test_one_loaded_file_ends_the_freedom(draft: None, landing: Landing, amend: Amend) -> None:
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(4)))
    amend("customers", REQUIRED, KEY)
    stopped, version = sorted(lint(landing.connection)[1], key=lambda problem: "still version" in problem)
    assert "the key is customer_id in the table and customer_id, segment in the contract" in stopped
    assert "has changed since it was applied and is still version" in version
    with pytest.raises(ContractError, match=STOPPED):
        ensure_domain(landing.connection, landing.contracts)


def test_a_loaded_file_without_rows_ends_the_freedom_too(draft: None, landing: Landing, amend: Amend) -> None:
    landing.load("traffic", csv_body(TRAFFIC, []))
    amend("traffic", "numeric(12,2)", "numeric(14,2)")
    with pytest.raises(ContractError, match=STOPPED):
        ensure_domain(landing.connection, landing.contracts)


@pytest.mark.parametrize(
    "statement",
    [
        "create view public.mine as select customer_id from messaging.customers",
        "create view public.mine as select customer_id from messaging.customers_history",
        "create view public.mine as select customer_id from messaging.customers_as_of('2026-01-01')",
        "grant select on messaging.customers_history to pg_monitor",
        "grant select on messaging.customers to public",
        "create publication mine for table messaging.customers_history",
        (
            "insert into messaging.customers_history values "
            "(1, 1, 'a', 'a', 'a', 'DE', '2026-01-01', '2026-01-01', 'infinity', 1, 1)"
        ),
    ],
    ids=["view of view", "view of table", "view of function", "grant", "grant to all", "publication", "row"],
)
def test_what_depends_on_the_tables_is_not_dropped(statement: str, draft: None, landing: Landing, amend: Amend) -> None:
    landing.connection.execute(statement)
    amend("customers", REQUIRED, KEY)
    before = landing.all("select oid, relname, relacl::text from pg_class where relname ~ 'customers|mine' order by 1")
    with pytest.raises(ContractError, match=STOPPED):
        ensure_domain(landing.connection, landing.contracts)
    assert (
        landing.all("select oid, relname, relacl::text from pg_class where relname ~ 'customers|mine' order by 1")
        == before
    )


def test_the_tables_of_an_unchanged_contract_stay(draft: None, landing: Landing, amend: Amend) -> None:
    before = landing.all("select oid from pg_class where relname ~ '^(traffic|customers)' order by 1")
    amend("traffic", "numeric(12,2)", "numeric(12, 2)")
    ensure_domain(landing.connection, landing.contracts)
    tables = [relation(landing.contracts["traffic"]), superseded_relation(landing.contracts["traffic"])]
    assert all(landing.column("select to_regclass(%s) is not null", (one.as_string(None),)) == [True] for one in tables)
    assert landing.all("select oid from pg_class where relname ~ '^(traffic|customers)' order by 1") == before
    assert landing.all("select count(*) from waybill.contract where dataset = 'messaging.traffic'") == [(1,)]
