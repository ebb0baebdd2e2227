"""A contract may gain nullable columns and wider numbers; any other change stops, with the next step."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from support.landing import CUSTOMERS, MONTH, TRAFFIC, Amend, Landing, csv_body, customer_rows, traffic_rows
from waybill.contracts import ContractError, load, load_all, load_domain
from waybill.warehouse.evolution import ensure, missing_columns

GOOD = traffic_rows(40)
NEW_COLUMN = """\
      - name: campaign
        description: What the message was sent for.
        logicalType: string
        physicalType: text
        logicalTypeOptions: {maxLength: 10}
"""
FIRST, LAST = "      - name: send_date\n", "slaProperties:\n"
"""Where a new column goes in the traffic contract: before the second column, or after the last one."""


def columns(landing: Landing, table: str) -> dict[str, str]:
    return dict(
        landing.all(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
            (f"messaging.{table}",),
        )
    )


def contract_count(landing: Landing) -> int:
    (count,) = landing.column("select count(*) from waybill.contract where dataset = 'messaging.traffic'")
    return int(count)


@pytest.mark.parametrize("place", [FIRST, LAST], ids=["in the middle", "at the end"])
def test_a_new_nullable_column_is_added_and_old_files_still_load(place: str, landing: Landing, amend: Amend) -> None:
    old = landing.load("traffic", csv_body(TRAFFIC, GOOD), "a.csv")
    amend("traffic", place, NEW_COLUMN + place)
    new_rows = [f"{row},{'spring' if number % 2 else ''}" for number, row in enumerate(GOOD)]
    new = landing.load(
        "traffic", csv_body(f"{TRAFFIC},Campaign", [*new_rows, f"{traffic_rows(41)[40]},too long a name"]), "b.csv"
    )
    landing.check(new, 41, {41: ["length:campaign"]}, unchanged=20, updated=20)
    landing.check(old, 40, inserted=40)
    count = "select count(campaign) from messaging.{}"
    assert (
        landing.column(count.format("traffic")) == landing.column(count.format("traffic_as_of('2026-04-01')")) == [20]
    )
    assert landing.column(count.format("traffic_superseded")) == [0], "older rows have no value"

    # Files without the column still load, into an existing partition and into a new one.
    landing.check(landing.load("traffic", csv_body(TRAFFIC, GOOD[:5]), "c.csv"), 5, unchanged=3, updated=2)
    april = csv_body(TRAFFIC, [row.replace("2026-03", "2026-04") for row in GOOD])
    landing.check(landing.load("traffic", april, key_month="2026-04"), 40, inserted=40)
    may = csv_body(f"campaign,{TRAFFIC}", [f"may,{row.replace('2026-03', '2026-05')}" for row in GOOD])
    landing.check(landing.load("traffic", may, key_month="2026-05"), 40, inserted=40)
    assert landing.column("select count(campaign) from messaging.traffic where send_date >= '2026-04-01'") == [40]
    assert contract_count(landing) == 2
    assert landing.ledger(old)["contract_sha256"] != landing.ledger(new)["contract_sha256"]


def test_a_new_version_of_an_old_file_withdraws_its_rows_across_the_change(landing: Landing, amend: Amend) -> None:
    landing.load("traffic", csv_body(TRAFFIC, GOOD), "a.csv")
    landing.load("traffic", csv_body(TRAFFIC, GOOD), "b.csv")
    amend("traffic", FIRST, NEW_COLUMN + FIRST)
    key = landing.load("traffic", csv_body(f"{TRAFFIC},campaign", [f"{row},x" for row in GOOD[:5]]), "b.csv")
    landing.check(key, 5, updated=5)
    assert landing.all("select count(*), count(campaign) from messaging.traffic") == [(40, 5)]
    assert landing.all("select count(*), count(campaign) from messaging.traffic_superseded") == [(5, 0)]


def test_a_snapshots_history_view_and_function_gain_the_column(landing: Landing, amend: Amend) -> None:
    place = "      - name: segment\n"
    amend("customers", place, NEW_COLUMN.replace("campaign", "region") + place)
    rows = [f"{row},north" for row in customer_rows(4)]
    landing.check(landing.load("customers", csv_body(f"{CUSTOMERS},region", rows)), 4, updated=4)
    assert landing.column("select region from messaging.customers") == ["north"] * 4
    assert landing.column("select region from messaging.customers_as_of('2026-03-01')") == [None] * 9
    assert landing.column("select distinct region from messaging.customers_as_of('2026-04-01')") == ["north"]
    for name in ("customers", "customers_history"):
        assert columns(landing, name)["region"] == "text"


@pytest.mark.parametrize(
    ("dataset", "old", "new", "problems"),
    [
        (
            "traffic",
            NEW_COLUMN,
            NEW_COLUMN.replace("        logicalTypeOptions", "        required: true\n        logicalTypeOptions"),
            ["column 'campaign' is new and required, but existing rows have no value for it"],
        ),
        (
            "traffic",
            "name: revenue_eur",
            "name: revenue_usd",
            [
                "column 'revenue_eur' is in the table and not in the contract",
                "column 'revenue_usd' is new and required, but existing rows have no value for it",
            ],
        ),
        (
            "traffic",
            "physicalType: bigint\n        logicalTypeOptions: {minimum: 1, format: i64}",
            "physicalType: integer\n        logicalTypeOptions: {minimum: 1, format: i32}",
            ["column 'traffic_id' is bigint not null in the table and integer not null in the contract"],
        ),
        (
            "traffic",
            "numeric(12,2)",
            "numeric(14,2)",
            ["column 'revenue_eur' is numeric(12,2) not null in the table and numeric(14,2) not null in the contract"],
        ),
        (
            "customers",
            "        logicalTypeOptions: {minLength: 1, maxLength: 100}\n        required: true\n",
            "",
            ["column 'segment' is text not null in the table and text in the contract"],
        ),
        (
            "traffic",
            "        primaryKey: true\n        primaryKeyPosition: 4\n",
            "",
            [
                "the key is account_id, channel_id, customer_id, send_date in the table and ",
                " and account_id, customer_id, send_date in the contract",
            ],
        ),
        (
            "customers",
            "        logicalTypeOptions: {minLength: 1, maxLength: 100}\n        required: true\n",
            "        primaryKey: true\n        primaryKeyPosition: 2\n        required: true\n",
            ["the key is customer_id in the table and customer_id, segment in the contract"],
        ),
        (
            "traffic",
            "value: merge}",
            "value: snapshot}",
            ["the existing tables were not created for loadMode 'snapshot'"],
        ),
        (
            "customers",
            "value: snapshot}",
            "value: merge}\n      - {property: periodColumn, value: created_date}",
            ["the existing tables were not created for loadMode 'merge'"],
        ),
        (
            "traffic",
            "        partitioned: true\n        partitionKeyPosition: 1\n",
            "",
            ["the table is partitioned, but the contract has no partitioned column"],
        ),
    ],
    ids=[
        "required",
        "renamed",
        "retyped",
        "wider",
        "nullable",
        "narrower key",
        "wider key",
        "merge to snapshot",
        "snapshot to merge",
        "partitions",
    ],
)
def test_any_other_change_is_rejected_with_the_next_step(
    dataset: str, old: str, new: str, problems: list[str], landing: Landing, amend: Amend
) -> None:
    amend("traffic", LAST, f"{NEW_COLUMN if old == NEW_COLUMN else ''}{LAST}")
    if "partitioned" in old or new == "value: snapshot}":
        amend("traffic", "value: merge}", "value: merge}\n      - {property: periodColumn, value: send_date}")
    if new == "value: snapshot}":  # a snapshot has no partitions
        amend("traffic", "        partitioned: true\n        partitionKeyPosition: 1\n", "")
    amend(dataset, old, new)
    before = columns(landing, "traffic"), columns(landing, "customers_history"), contract_count(landing)
    body = csv_body(TRAFFIC, []) if dataset == "traffic" else csv_body(CUSTOMERS, customer_rows())
    if "revenue_usd" in new:
        body = body.replace(b"revenue_eur", b"revenue_usd")
    elif old == NEW_COLUMN:
        body = csv_body(f"{TRAFFIC},campaign", [])
    key = landing.put(dataset, MONTH, body)
    with pytest.raises(ContractError) as caught:
        landing.ingest(dataset, MONTH)
    message, version = str(caught.value), landing.contracts[dataset].version
    assert f"the contract of messaging.{dataset} (version {version}) needs more than new nullable columns" in message
    assert all(problem in message for problem in problems)
    assert message.endswith("Migrate the table manually, rename the dataset, or undo the change in the contract.")
    assert (columns(landing, "traffic"), columns(landing, "customers_history"), contract_count(landing)) == before
    assert landing.all("select object_key, message from waybill.rejected_file") == [(key, message)]


def test_every_contract_of_the_project_may_gain_columns(landing: Landing, tmp_path: Path) -> None:
    """For any column name, beside the other columns of the table and the function."""
    contracts = load_all()
    for contract in contracts.values():
        ensure(landing.connection, contract)
    for contract in contracts.values():
        path = tmp_path / f"{contract.name}.yaml"
        document = yaml.safe_load(contract.document)
        names = [one for one in ("campaign", "period", "period_end", "object_key") if one not in contract.names]
        for name in names:
            document["schema"][0]["properties"] += yaml.safe_load(NEW_COLUMN.replace("campaign", name))
        path.write_text(yaml.safe_dump(document))
        wider = load(path)
        added = missing_columns(landing.connection, wider)
        assert [column.name for column in added or []] == names, contract.table
        ensure(landing.connection, wider)


@pytest.mark.parametrize("name", ["period", "period_end", "object_key", "outcome", "at", "value"])
def test_a_column_may_have_a_name_that_the_kernel_uses(name: str, landing: Landing, amend: Amend) -> None:
    amend("traffic", LAST, NEW_COLUMN.replace("campaign", name) + LAST)
    landing.load("traffic", csv_body(f"{TRAFFIC},{name}", [f"{row},x" for row in GOOD]), "a.csv")
    again = [*(f"{row},x" for row in GOOD[:10]), *(f"{row},y" for row in GOOD[10:20])]
    landing.check(landing.load("traffic", csv_body(f"{TRAFFIC},{name}", again), "b.csv"), 20, unchanged=10, updated=10)
    known = f"select {name}, count(*) from messaging.traffic_as_of('2026-04-01') group by {name} order by {name}"
    assert landing.all(known) == [("x", 30), ("y", 10)]
    assert landing.all("select * from messaging.traffic_as_of('2026-03-01')") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Net revenue, in euro. Covers the day.", "Net revenue, in euro. Covers the day, without tax."),
        ("numeric(12,2)", "numeric(12, 2)"),
        ("rejectThresholdPct, value: 5", "rejectThresholdPct, value: 4"),
        ("      - name: traffic_id", "\n      # the sender's number\n      - name: traffic_id"),
    ],
    ids=["description", "blank in a type", "threshold", "comment"],
)
def test_a_change_of_anything_but_columns_takes_effect_at_once(
    old: str, new: str, landing: Landing, amend: Amend
) -> None:
    before = columns(landing, "traffic")
    amend("traffic", old, new)
    for name in ("a.csv", "b.csv"):
        landing.load("traffic", csv_body(TRAFFIC, GOOD), name)
    assert columns(landing, "traffic") == before
    assert contract_count(landing) == 2, "one entry for the former contract and one for this one"
    (comment,) = landing.column(
        "select col_description('messaging.traffic'::regclass, attnum) from pg_attribute "
        "where attrelid = 'messaging.traffic'::regclass and attname = 'revenue_eur'"
    )
    assert comment.endswith("tax.") == ("tax" in new)


def test_a_typo_in_a_contract_names_the_file_and_the_place(landing: Landing, amend: Amend) -> None:
    place = r"\$.schema\[0\].properties\[0\].requierd \(traffic_id\): unknown .*: did you mean `required`"
    with pytest.raises(ContractError, match=rf"(?s)include/contracts/messaging/traffic.yaml: .*{place}"):
        amend("traffic", "required: true", "requierd: true")
    with pytest.raises(ContractError, match=place):
        load_domain("messaging")


LEVELS = """\
      - {name: level, description: A level., logicalType: number, physicalType: real}
      - {name: amount, description: A number., logicalType: integer, physicalType: smallint}
"""
WIDE = LEVELS.replace("real", "double precision").replace("smallint", "integer")


@pytest.mark.parametrize("dataset", ["traffic", "customers"])
def test_a_number_may_become_wider(dataset: str, landing: Landing, amend: Amend) -> None:
    amend(dataset, LAST, LEVELS + LAST)
    header, rows = (TRAFFIC, GOOD[:4]) if dataset == "traffic" else (CUSTOMERS, customer_rows(4))
    first = [f"{row},{level},{n}" for n, (row, level) in enumerate(zip(rows, ("0.1", "1e-7", "", "3"), strict=True))]
    landing.load(dataset, csv_body(f"{header},level,amount", first), "a.csv")
    landing.connection.execute(
        "insert into waybill.processed_day (dataset, day, row_count, changes_seen) values (%s, '2026-03-01', 1, 1)",
        (f"messaging.{dataset}",),
    )
    amend(dataset, LEVELS, WIDE)
    second = [*first[:3], first[3].replace(",3,3", ",0.30000000000000004,40000")]
    key = landing.load(dataset, csv_body(f"{header},level,amount", second), "b.csv")
    landing.check(key, 4, unchanged=3, updated=1)
    found = landing.all(f"select level, amount from messaging.{dataset}_as_of('2026-04-01') order by amount")
    assert found == [(0.1, 0), (1e-7, 1), (None, 2), (0.30000000000000004, 40000)]
    table = "traffic_superseded" if dataset == "traffic" else "customers_history"
    assert (columns(landing, table)["level"], columns(landing, table)["amount"]) == ("double precision", "integer")
    assert landing.all("select * from waybill.processed_day") == [], "the lake needs the days in the wider types"


def test_a_key_may_become_wider_and_names_what_depends_on_it(landing: Landing, amend: Amend) -> None:
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(4)), "a.csv")
    amend("customers", "physicalType: integer", "physicalType: bigint")
    landing.connection.execute("create view messaging.mine as select customer_id from messaging.customers_history")
    landing.put("customers", MONTH, csv_body(CUSTOMERS, customer_rows(5)))
    with pytest.raises(ContractError, match=r"from integer to bigint, .*view messaging\.mine depends on column"):
        landing.ingest("customers", MONTH)
    landing.connection.execute("drop view messaging.mine")
    landing.check(landing.load("customers", csv_body(CUSTOMERS, customer_rows(5))), 5, unchanged=4, inserted=1)
    assert columns(landing, "customers")["customer_id"] == "bigint"
