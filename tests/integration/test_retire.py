"""A dataset or report whose contract was deleted is retired: its table goes, its ledger stays, and it can return."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, sql
from typer.testing import CliRunner

from support.landing import MONTH, TRAFFIC, Landing, csv_body, traffic_rows
from support.messaging_months import build_month, database
from waybill.cli import app
from waybill.contracts import ContractError, load_domain
from waybill.derived.build import report_contract
from waybill.errors import DataError
from waybill.ops.provenance import trace
from waybill.ops.retire import plan, retire
from waybill.period import Period
from waybill.settings import PROJECT_ROOT, settings
from waybill.warehouse.connection import connect
from waybill.warehouse.evolution import ensure
from waybill_devtools.stack import Stack

ROWS = [*traffic_rows(50), "51,2026-03-09,1,1,1,many,1.00"]


def delete(include: Path, *names: str) -> None:
    """Delete contracts and SQL files, such as `messaging_report/top_customers`."""
    for name in names:
        (include / "contracts" / f"{name}.yaml").unlink()
        for path in (include / "sql").rglob(f"{name.rpartition('/')[2]}.sql"):
            path.unlink()


def delete_all_but(include: Path, *kept: str) -> None:
    """Delete all contracts and SQL files but those of some datasets of messaging."""
    for path in [*include.glob("contracts/*/*.yaml"), *include.glob("sql/**/*.sql")]:
        if not (path.parent.name == "messaging" and path.stem in kept):
            path.unlink()


def tables(connection: Connection, schema: str, name: str) -> list[Any]:
    """Return what there is in the warehouse whose name begins with that of a table, except keys and indexes."""
    query = (
        "select relname::text from pg_class where relnamespace = to_regnamespace(%(schema)s) "
        "and starts_with(relname, %(name)s) and relkind in ('r', 'p', 'v') "
        "union all select proname from pg_proc where pronamespace = to_regnamespace(%(schema)s) "
        "and starts_with(proname, %(name)s) order by 1"
    )
    return [row[0] for row in connection.execute(query, {"schema": schema, "name": name}).fetchall()]


def test_a_retired_dataset_keeps_its_ledger_and_loads_again_when_its_contract_returns(
    landing: Landing, include_dir: Path
) -> None:
    key = landing.load("traffic", csv_body(TRAFFIC, ROWS))
    before = landing.ledger(key)
    assert "traffic_2026_03" in tables(landing.connection, "messaging", "traffic")
    delete_all_but(include_dir, "customers", "channels")
    found = plan(landing.connection, "messaging.traffic")
    assert "the table messaging.traffic with 50 rows" in found.drops
    assert "the table messaging.traffic_superseded with 0 rows" in found.drops
    assert f"the files under s3://{landing.bucket}/raw/messaging/traffic/" in found.keeps
    assert "the quarantine, of which 1 row will no longer be open" in found.keeps
    assert landing.ledger(key) == before, "a plan changes nothing"

    retire(landing.connection, found)
    assert tables(landing.connection, "messaging", "traffic") == []
    assert landing.ledger(key, "withdrawn") == before | {"status": "withdrawn"}
    assert tables(landing.connection, "messaging", "customers") != []

    (include_dir / "contracts/messaging/traffic.yaml").write_bytes(
        (PROJECT_ROOT / "include/contracts/messaging/traffic.yaml").read_bytes()
    )
    landing.contracts = load_domain("messaging")
    assert set(landing.ingest("traffic", MONTH)) == {"part-1.csv"}
    landing.check(key, 51, {51: ["type:interactions_count"]}, inserted=50)


def test_a_snapshot_is_retired_with_its_view(landing: Landing, include_dir: Path) -> None:
    delete_all_but(include_dir)
    retire(landing.connection, plan(landing.connection, "messaging.channels"))
    assert tables(landing.connection, "messaging", "channels") == []


_STREAM = """
with stream as (insert into waybill.stream (dataset, name, created_at) values (%(dataset)s, 's', now())),
consumer as (
  insert into waybill.stream_consumer (consumer, dataset, seen_at) values (%(dataset)s || ' 1', %(dataset)s, now())
),
shard as (insert into waybill.stream_shard (dataset, stream_created_at, shard) values (%(dataset)s, now(), 's')),
rejected as (
  insert into waybill.stream_rejected (dataset, shard, sequence, arrived_at, reasons, raw, contract_version)
  values (%(dataset)s, 's', 1, now(), '{json}', '""', '1')
),
event as (
  insert into waybill.stream_event (
    dataset, event_id, shard, sequence, arrived_at, at, session, kind, is_late, digest, raw
  )
  values (%(dataset)s, '1', 's', 2, now(), now(), 's', 'k', false, gen_random_uuid(), '{}')
),
counts as (
  insert into waybill.stream_count (dataset, minute, kind, dimension, value, events)
  values (%(dataset)s, now(), 'k', '', '', 1)
),
archive as (
  insert into waybill.stream_archive (dataset, object_key, day, hour, rows)
  values (%(dataset)s, 'raw/' || %(dataset)s, now(), now(), 1)
),
measurement as (
  insert into waybill.stream_measurement (
    dataset, measured_at, events, repeated, late, rejected, batches, busy_seconds
  )
  values (%(dataset)s, now(), 1, 1, 1, 1, 1, 1)
)
insert into waybill.stream_session (dataset, session, first_at, last_at, events, steps)
values (%(dataset)s, 's', now(), now(), 1, 0)
"""
"""A row in each table of streams."""


def test_what_was_counted_of_a_stream_goes_with_its_dataset(landing: Landing, include_dir: Path) -> None:
    """A stream that is read again begins with its oldest record, whose sequence number may have been rejected."""
    landing.load("traffic", csv_body(TRAFFIC, ROWS))
    for dataset in ("messaging.traffic", "shop.clickstream"):
        landing.connection.execute(_STREAM, {"dataset": dataset})
    delete_all_but(include_dir, "customers", "channels")
    found = plan(landing.connection, "messaging.traffic")
    assert "what was counted of its stream, with 1 event that no file has yet and 1 rejected event" in found.drops
    retire(landing.connection, found)
    streams = "select relname::text from pg_class where relname like 'stream%' and relkind = 'r' order by 1"
    for table in landing.column(streams):
        left = sql.SQL("select dataset from waybill.{}").format(sql.Identifier(table))
        assert landing.connection.execute(left).fetchall() == [("shop.clickstream",)], table


def test_the_waybill_of_a_retired_report_stays(landing: Landing, include_dir: Path) -> None:
    landing.load("traffic", csv_body(TRAFFIC, ROWS))
    build_month(landing.connection, MONTH)
    report, month = "messaging_report.segment_changes", Period.parse("month", MONTH)
    before = trace(landing.connection, report, month)
    delete(include_dir, "messaging_report/segment_changes")
    found = plan(landing.connection, report)
    assert "the records of 1 build, for `waybill trace`" in found.keeps
    assert not re.search("quarantine|raw", str(found.keeps))
    retire(landing.connection, found)
    assert tables(landing.connection, "messaging_report", "segment_changes") == []
    after = trace(landing.connection, report, month)
    assert (after.files, after.content_sha256) == (before.files, before.content_sha256)


def test_a_table_that_the_project_still_has_is_not_retired(landing: Landing, include_dir: Path) -> None:
    with pytest.raises(DataError, match=r"has a contract. Delete include/contracts/messaging/traffic.yaml"):
        plan(landing.connection, "messaging.traffic")


def test_a_table_that_another_file_reads_is_not_retired(landing: Landing, include_dir: Path) -> None:
    (include_dir / "contracts/messaging/traffic.yaml").unlink()
    with pytest.raises(DataError, match=r"is named in .*include/sql/messaging/top_customers.sql.* Change or delete"):
        plan(landing.connection, "messaging.traffic")


@pytest.mark.parametrize(
    "text",
    [
        'select * from "messaging"."traffic"',
        'select * from messaging."traffic"',
        'select * from "messaging" . traffic_superseded',
        "select * from Messaging.TRAFFIC as t",
        "select * from messaging . traffic",
        "select 1 from messaging\n  .traffic",
        "select 'messaging.traffic'::regclass",
    ],
)
def test_names_are_found_however_sql_writes_them(landing: Landing, include_dir: Path, text: str) -> None:
    delete_all_but(include_dir, "customers", "channels")
    path = include_dir / "sql/messaging/odd.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    with pytest.raises(DataError, match=r"is named in .*include/sql/messaging/odd.sql. Change or delete"):
        plan(landing.connection, "messaging.traffic")


@pytest.mark.parametrize(
    "text",
    [
        'select * from "messaging"."Traffic"',
        'select * from "Messaging".traffic',
        'select * from messaging."traffic_of_others"',
        "select * from messaging.traffic_of_others, other_messaging.traffic",
        'select * from "messaging"."traffic "',
    ],
)
def test_other_names_are_not_mistaken_for_it(landing: Landing, include_dir: Path, text: str) -> None:
    delete_all_but(include_dir, "customers", "channels")
    path = include_dir / "sql/messaging/odd.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert plan(landing.connection, "messaging.traffic").drops


def test_prose_of_a_contract_does_not_name_a_table(landing: Landing, include_dir: Path) -> None:
    delete_all_but(include_dir, "customers", "channels")
    path = include_dir / "contracts/messaging/customers.yaml"
    path.write_text(f"# The customers of messaging. Traffic is counted elsewhere.\n{path.read_text()}")
    assert plan(landing.connection, "messaging.traffic").drops
    path.write_text(f'# See "messaging"."traffic"\n{path.read_text()}')
    with pytest.raises(DataError, match=r"is named in .*contracts/messaging/customers.yaml"):
        plan(landing.connection, "messaging.traffic")


def test_a_plan_reads_no_other_contract(landing: Landing, include_dir: Path) -> None:
    delete_all_but(include_dir, "customers", "channels")
    (include_dir / "contracts/shop").mkdir(exist_ok=True)
    (include_dir / "contracts/shop/broken.yaml").write_text("not: a contract\n")
    assert plan(landing.connection, "messaging.traffic").drops


def test_a_dataset_to_which_another_refers_is_not_retired(landing: Landing, include_dir: Path) -> None:
    delete_all_but(include_dir, "customers", "traffic")
    with pytest.raises(ContractError, match="channels"):
        plan(landing.connection, "messaging.channels")


def test_an_unknown_table_is_named(landing: Landing, include_dir: Path) -> None:
    with pytest.raises(DataError, match=r"no contract of traffic was ever applied. Name the table with its schema"):
        plan(landing.connection, "traffic")


def test_what_others_built_on_the_table_is_not_dropped(landing: Landing, include_dir: Path) -> None:
    landing.load("traffic", csv_body(TRAFFIC, ROWS))
    landing.connection.execute("create view messaging.mine as select count(*) from messaging.traffic")
    delete_all_but(include_dir, "customers", "channels")
    found = plan(landing.connection, "messaging.traffic")
    with pytest.raises(DataError, match=r"was not retired: view messaging.mine depends on table messaging.traffic"):
        retire(landing.connection, found)
    assert landing.all("select count(*) from messaging.traffic") == [(50,)]


def test_the_command_asks_before_it_drops(stack: Stack, include_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(*arguments: str, answer: str | None = None) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["retire", "messaging_report.top_customers", *arguments], input=answer)
        return result.exit_code, result.output

    with database(stack) as dsn, connect(dsn) as connection:
        ensure(connection, report_contract("messaging", "top_customers"))
        delete(include_dir, "messaging_report/top_customers")
        monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        settings.cache_clear()
        code, output = command(answer="n\n")
        assert (code, tables(connection, "messaging_report", "top_")) == (1, ["top_customers"])
        assert output.index("Drops:") < output.index("top_customers with 0 rows") < output.index("Keeps:")
        code, output = command("--yes")
        assert (code, tables(connection, "messaging_report", "top_")) == (0, [])
        assert output.endswith("messaging_report.top_customers is retired.\n")
