"""Retentions of contracts: texts of rejected rows, former states of rows, and raw files that stay too long."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from psycopg import Connection, sql

from support.landing import CUSTOMERS, MONTH, TRAFFIC, Landing, MemoryBucket, csv_body, customer_rows, traffic_rows
from support.messaging_months import RUN, database
from support.waiting import eventually
from waybill.checks.quality import check_datasets
from waybill.contracts import Contract, load_all, load_domain
from waybill.contracts.retention import Retention
from waybill.erasure import records as kept_records
from waybill.erasure.rows import Erased
from waybill.errors import DataError
from waybill.intake.comparison import pending
from waybill.intake.ingest import ingest_file
from waybill.intake.landing import list_landed
from waybill.intake.quarantine import REMOVED
from waybill.intake.replay import replay
from waybill.ops.incidents import open_incidents
from waybill.ops.retention_lint import lint_retentions
from waybill.ops.reveals import Place, reveal
from waybill.outputs.lake import _written_from
from waybill.period import Period
from waybill.retention.enforce import enforce
from waybill.retention.removal import Removal
from waybill.settings import settings
from waybill.stream.declared import declared_stream
from waybill.stream.replay import replay as replay_events
from waybill.views.operations.incidents import look
from waybill.views.operations.open_rows import Selected, open_rows, rows_to_replay
from waybill.views.operations.rejected_rows import replay_selected
from waybill.warehouse.connection import connect
from waybill.warehouse.horizons import horizon_of, move_horizon
from waybill_devtools.stack import Stack

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=31)
KEPT = Retention(30, "d")


def rejected(landing: Landing) -> str:
    """Load a file with two good rows and one whose revenue is no number; return its key."""
    return landing.load("traffic", csv_body(TRAFFIC, ["7,2026-03-01,1,1,1,10,12.50", "7,2026-03-02,1,1,1,10,many"]))


def run(landing: Landing, contract: Contract, now: datetime = LATER, *, dry_run: bool = False) -> list[Removal]:
    return enforce(landing.connection, landing.s3, [contract], RUN, dry_run=dry_run, now=now)


@pytest.fixture
def traffic(landing: Landing) -> Contract:
    landing.contracts["traffic"] = replace(
        landing.contracts["traffic"], reject_threshold_pct=100, quarantine_retention=KEPT
    )
    return landing.contracts["traffic"]


def test_rejected_rows_lose_their_text_and_nothing_else(landing: Landing, traffic: Contract) -> None:
    key = rejected(landing)
    before = landing.ledger(key)
    kept = "select file_id, record, reasons, contract_version, resolved_as from waybill.quarantine order by 1, 2"
    rows, text = landing.all(kept), landing.column("select raw from waybill.quarantine")
    assert run(landing, traffic, NOW) == [], "the rows are not old enough"
    assert run(landing, replace(traffic, quarantine_retention=None)) == [], "nothing is declared"
    [planned] = run(landing, traffic, dry_run=True)
    assert landing.column("select raw from waybill.quarantine") == text
    assert (planned.place, planned.objects) == ("waybill.quarantine", 1)
    assert planned.details == [f"file {before['file_id']}, s3://{landing.bucket}/{key}: 1"]
    assert run(landing, traffic) == [planned], "the run removes what the dry run has listed"
    assert landing.column("select raw from waybill.quarantine") == [REMOVED]
    assert landing.all(kept) == rows
    assert landing.ledger(key) == before
    assert before["rejected"] == len(rows), "the books balance"
    assert run(landing, traffic) == [], "it runs twice without harm"
    assert landing.all("select dataset, element, objects, run_id from waybill.retention") == [
        ("messaging.traffic", "quarantine", 1, RUN.run_id)
    ]
    assert [(one.kind, one.rows) for one in open_rows(landing.connection, [traffic])] == [("removed", 1)]
    place = Place(file_id=before["file_id"], record=2)
    shown = reveal(landing.connection, traffic, place, by="test", shown_in="command")
    assert shown == [("record", "(removed by the retention)")]


def test_a_row_without_its_text_is_not_replayed(landing: Landing, traffic: Contract) -> None:
    key = rejected(landing)
    file_id = landing.ledger(key)["file_id"]
    run(landing, traffic)
    assert replay(landing.connection, traffic, landing.contracts, RUN) == []
    for chosen in ([2], None):
        with pytest.raises(DataError, match=re.escape(key)) as error:
            replay(landing.connection, traffic, landing.contracts, RUN, file_id=file_id, records=chosen)
        assert "the retention of the quarantine has removed their text" in str(error.value)
    # The corrected file replaces the row, and its text is kept for as long again.
    landing.put("traffic", MONTH, csv_body(TRAFFIC, ["7,2026-03-01,1,1,1,10,12.50", "7,2026-03-02,1,1,1,10,7"]))
    assert landing.ingest("traffic", MONTH)["part-1.csv"].rejected == 0


def test_rejected_events_lose_their_text(empty_connection: Connection, bucket: str, s3: object) -> None:
    declared = declared_stream(None)
    contract = replace(declared.contract, quarantine_retention=KEPT)
    for number, age in ((1, 40), (2, 20)):
        empty_connection.execute(
            "insert into waybill.stream_rejected "
            "(dataset, shard, sequence, arrived_at, newest, reasons, raw, contract_version) "
            "values (%s, 'shard-1', %s, %s, null, '{enum:device}', %s, '1.0.0')",
            (declared.dataset, number, NOW - timedelta(days=age), json.dumps({"device": "x"})),
        )
    [removal] = enforce(empty_connection, s3, [contract], RUN, now=NOW)  # type: ignore[arg-type]
    assert (removal.place, removal.objects, removal.details) == (
        "waybill.stream_rejected",
        1,
        ["events of shard-1: 1"],
    )
    rows = empty_connection.execute("select sequence, raw from waybill.stream_rejected order by 1").fetchall()
    assert [(int(number), raw == REMOVED) for number, raw in rows] == [(1, True), (2, False)]
    with pytest.raises(DataError, match=r"1 event of shard-1 cannot be replayed: .* removed their text"):
        replay_events(empty_connection, declared, RUN, shard="shard-1", sequences=["1"])


def test_rows_of_periods_before_the_horizon_are_not_replayed(landing: Landing, traffic: Contract) -> None:
    file_id = landing.ledger(rejected(landing))["file_id"]
    move_horizon(landing.connection, traffic, date(2026, 4, 1), RUN)
    assert replay(landing.connection, traffic, landing.contracts, RUN) == []
    with pytest.raises(DataError, match=r"cannot be replayed: its period begins on 2026-03-01, .* since 2026-04-01"):
        replay(landing.connection, traffic, landing.contracts, RUN, file_id=file_id)
    assert [(one.kind, one.rows) for one in open_rows(landing.connection, [traffic])] == [("past", 1)]
    assert rows_to_replay(landing.connection, traffic, None, "type:revenue_eur", 9) == Selected([], [])
    told = replay_selected(landing.connection, traffic, landing.contracts, RUN, Selected([(file_id, 2)]))
    assert "cannot be replayed: its period begins on 2026-03-01" in told["text"]
    assert not told["is_done"]


def test_checks_of_what_was_known_before_the_horizon_are_left_out(
    landing: Landing, traffic: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    move_horizon(landing.connection, traffic, date(2026, 5, 1), RUN)
    assert check_datasets(landing.connection, [traffic], [Period.parse("month", MONTH)], RUN) == []
    assert f"messaging.traffic {MONTH} is not checked: " in caplog.text


def test_files_before_the_horizon_are_not_loaded_again_for_a_new_contract(landing: Landing, traffic: Contract) -> None:
    key = rejected(landing)
    landing.connection.execute("update waybill.load_file set kept_values = '{x}' where object_key = %s", (key,))
    landed = list_landed(landing.s3, landing.bucket, traffic, None, None)
    assert [file.key for file in pending(landing.connection, traffic, landed)] == [key]
    move_horizon(landing.connection, traffic, date(2026, 4, 1), RUN)
    assert pending(landing.connection, traffic, landed) == []
    etag = landing.ledger(key)["etag"]
    landing.connection.execute("update waybill.load_file set etag = 'of parts' where object_key = %s", (key,))
    landing.ingest("traffic", MONTH)
    assert landing.ledger(key)["etag"] == etag, "the same content as another version is noted"


def test_days_before_the_horizon_are_not_written_to_the_lake(landing: Landing) -> None:
    customers, traffic = landing.contracts["customers"], landing.contracts["traffic"]
    for contract in (customers, traffic):
        assert _written_from(landing.connection, contract) is None
        move_horizon(landing.connection, contract, date(2026, 4, 1), RUN)
        move_horizon(landing.connection, contract, date(2026, 3, 1), RUN)
    assert _written_from(landing.connection, customers) == date(2026, 4, 1), "a horizon never moves back"
    assert _written_from(landing.connection, traffic) is None, "current rows are whole"


def test_the_horizon_waits_for_the_first_file_and_for_released_files(landing: Landing) -> None:
    traffic = replace(landing.contracts["traffic"], history_retention=KEPT)
    now = datetime(2026, 9, 20, tzinfo=UTC)

    def horizon(contract: Contract) -> date | None:
        run(landing, contract, now)
        return horizon_of(landing.connection, contract)

    assert horizon(replace(traffic, name="invoices")) is None, "no file was ever loaded"
    key = landing.load("traffic", csv_body(TRAFFIC, traffic_rows(1)))
    landing.connection.execute("update waybill.load_file set status = 'superseded' where object_key = %s", (key,))
    [(released,)] = landing.all("select period from waybill.load_file where status = 'superseded'")
    assert horizon(traffic) == released < date(2026, 8, 1), "the next run loads the file again"
    landing.ingest("traffic", MONTH)
    assert landing.ledger(key)["status"] == "loaded"
    assert horizon(traffic) == date(2026, 8, 1), "the start of the month of 21 August"


def test_a_dataset_that_fails_does_not_keep_the_others(
    landing: Landing, traffic: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejected(landing)
    broken = [replace(traffic, name=name, raw_retention=KEPT) for name in ("a", "b")]
    errors = iter([ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectsV2"), DataError("wrong")])

    def fail(*_: object) -> Removal:
        raise next(errors)

    monkeypatch.setattr("waybill.retention.enforce.due_files", fail)
    with pytest.raises(ClientError, match="AccessDenied") as error:
        enforce(landing.connection, landing.s3, [*broken, traffic], RUN, now=LATER)
    assert "messaging.b: wrong" in error.value.__notes__[0]
    assert landing.column("select raw from waybill.quarantine") == [REMOVED]


def test_a_run_that_reaches_its_limit_says_so(
    landing: Landing, traffic: Contract, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rejected(landing)
    monkeypatch.setattr("waybill.retention.removal.MOST", 1)
    [removal] = run(landing, traffic)
    assert removal.is_cut
    assert "there may be more, for the next run" in caplog.text
    assert landing.column("select is_cut from waybill.retention") == [True]


def opened(landing: Landing) -> list[tuple[str, int]]:
    """Look as the watch does, and return the open incidents about raw files."""
    look(landing.connection, "messaging", "watch", NOW, is_watch=True)
    found = open_incidents(landing.connection, ["messaging"])
    return [(one.what, one.number) for one in found if one.kind == "retention"]


def test_raw_files_that_stay_too_long_are_one_incident(
    landing: Landing, include_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(include_dir))
    settings.cache_clear()
    path = include_dir / "contracts/messaging/traffic.yaml"
    promise = "slaProperties:\n  - {property: retention, value: 30, unit: d, element: raw}\n"
    path.write_text(path.read_text().replace("slaProperties:\n", promise))
    traffic = load_all()["messaging.traffic"]
    keys = [
        rejected_name for name in ("a.csv", "b.csv") if (rejected_name := landing.put("traffic", MONTH, b"x", name))
    ]
    assert run(landing, traffic, NOW) == []
    [due] = run(landing, traffic, LATER + timedelta(days=1), dry_run=True)
    assert (due.objects, due.overdue) == (2, 0), "the lifecycle may take some days"
    assert opened(landing) == []
    [due] = run(landing, traffic, LATER + timedelta(days=5))
    assert (due.objects, due.overdue) == (2, 2)
    assert due.details == [f"s3://{landing.bucket}/{key}" for key in keys]
    what = "messaging.traffic: 2 raw files should be gone since the retention is 30 days"
    assert opened(landing) == [(what, 2)]
    for key in keys:
        landing.s3.delete_object(Bucket=landing.bucket, Key=key)
    assert run(landing, traffic, LATER + timedelta(days=5)) == []
    assert opened(landing) == []


def test_a_raw_file_that_the_retention_removed_is_not_missing(landing: Landing) -> None:
    traffic = landing.contracts["traffic"] = replace(landing.contracts["traffic"], raw_retention=KEPT)
    keys = [landing.load("traffic", csv_body(TRAFFIC, traffic_rows(count)), f"{count}.csv") for count in (1, 2)]
    landing.connection.execute(
        "update waybill.load_file set landed_at = %s where object_key = %s", (NOW - timedelta(days=40), keys[0])
    )
    for key in keys:
        landing.s3.delete_object(Bucket=landing.bucket, Key=key)
    landing.ingest("traffic", MONTH)
    assert [landing.ledger(key)["gone"] for key in keys] == ["expired", "noticed"]
    landing.put("traffic", MONTH, csv_body(TRAFFIC, traffic_rows(1)), "1.csv")
    assert landing.ingest("traffic", MONTH) == {}, "the same content is recognised without its object"
    assert landing.ledger(keys[0])["gone"] is None
    assert traffic.raw_retention == KEPT


@pytest.fixture
def kept_customers(stack: Stack, include_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a warehouse with three months of customers, and a contract that keeps the history for 40 days."""
    path = include_dir / "contracts/messaging/customers.yaml"
    promises = (
        "slaProperties:\n  - {property: retention, value: 40, unit: d}\n"
        "  - {property: retention, value: 40, unit: d, element: history}\n"
    )
    path.write_text(path.read_text().replace("slaProperties:\n", promises))
    with database(stack) as dsn:
        shelf, contracts = MemoryBucket(), load_domain("messaging")
        with connect(dsn) as connection:
            for number, segment in enumerate(("Startup", "Enterprise", "Startup"), start=1):
                body = csv_body(CUSTOMERS, customer_rows(3, segment=segment))
                file = shelf.land("customers", f"2025-0{number}", body)
                ingest_file(connection, shelf, file, contracts["customers"], contracts, RUN)
        yield dsn


def test_a_killed_run_has_removed_what_it_has_recorded(kept_customers: str) -> None:
    one_by_one = "import sys, waybill.retention.removal as r; r.BATCH = 1; from waybill.cli import app; app()"
    command = [sys.executable, "-c", one_by_one, "retention", "messaging.customers"]
    environment = os.environ | {"AIRFLOW_CONN_WAYBILL_WAREHOUSE": kept_customers}
    planned = subprocess.run([*command, "--dry-run"], env=environment, capture_output=True, text=True, check=True)
    horizon = (NOW - timedelta(days=40)).date().replace(day=1)
    assert planned.stdout.startswith(
        f"would messaging.customers: move the horizon of the history from the first file to {horizon}. "
        f"Files of periods before {horizon} are refused afterwards, and this cannot be undone.\n"
    )
    counts = (
        "select (select count(*) from messaging.customers_history), (select sum(objects) from waybill.retention), "
        "(select day from waybill.horizon)"
    )
    with connect(kept_customers) as other:
        before = other.execute("select * from messaging.customers order by 1").fetchall()
        with other.transaction():
            other.execute("select from messaging.customers_history where valid_to = '2025-03-01' limit 1 for update")
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            eventually(lambda: other.execute("select count(*) from pg_locks where not granted").fetchone() == (1,))
            process.send_signal(signal.SIGKILL)
            process.wait()
        eventually(
            lambda: (
                other.execute(
                    "select count(*) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                ).fetchone()
                == (0,)
            )
        )
        left, removed, moved = other.execute(counts).fetchone() or ()
        assert (left + removed, 3 <= removed < 6) == (9, True)
        assert moved == horizon, "the horizon is moved before anything is removed"
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert f"remove {6 - removed} former state" in done.stdout
        assert other.execute(counts).fetchone() == (3, 6, horizon)
        assert other.execute("select * from messaging.customers order by 1").fetchall() == before
        again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert again.stdout == "0 removals.\n"


def test_a_text_that_is_removed_while_a_person_is_forgotten_stays_removed(
    kept_customers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_records, "_candidates", lambda _: {"domain": "messaging", "texts": ["%"], "escape": "?"})
    erased, place = Erased(), "select raw from waybill.quarantine union all select raw from waybill.stream_rejected"
    with connect(kept_customers) as connection, connect(kept_customers) as other:
        connection.execute(
            "insert into waybill.quarantine (file_id, record, reasons, raw, contract_version) "
            "select min(file_id), 1, '{type:a}', '{}', '1.0.0' from waybill.load_file"
        )
        connection.execute(
            "insert into waybill.stream_rejected "
            "(dataset, shard, sequence, arrived_at, reasons, raw, contract_version) "
            "values ('messaging.clicks', 'shard-1', 1, now(), '{type:a}', '{}', '1.0.0')"
        )

        def without(*_: object) -> str:
            for table in ("quarantine", "stream_rejected"):
                other.execute(
                    sql.SQL("update waybill.{} set raw = %s, removed_at = now()").format(sql.Identifier(table)),
                    (REMOVED,),
                )
            return "the text without the person"

        monkeypatch.setattr(kept_records, "without_person", without)
        for erase in (kept_records.erase_quarantine, kept_records.erase_rejected_events):
            for table in ("quarantine", "stream_rejected"):
                connection.execute(
                    sql.SQL("update waybill.{} set raw = '{{}}', removed_at = null").format(sql.Identifier(table))
                )
            with connection.transaction():
                erase(connection, SimpleNamespace(domain="messaging"), erased)  # type: ignore[arg-type]
            assert connection.execute(place).fetchall() == [(REMOVED,)] * 2


def test_a_check_of_a_derived_table_may_need_former_states(include_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(include_dir))
    settings.cache_clear()
    path = include_dir / "contracts/messaging_report/revenue_by_period.yaml"
    path.write_text(path.read_text().replace("messaging.traffic_as_of(%(period_end)s)", "messaging.traffic_superseded"))
    contracts = load_all()
    contracts["messaging.traffic"] = replace(contracts["messaging.traffic"], history_retention=KEPT)
    found = lint_retentions(contracts.values())
    assert any("of messaging_report.revenue_by_period reads messaging.traffic_superseded" in one for one in found)


@pytest.mark.parametrize(
    ("table", "change", "problem"),
    [
        ("messaging.customers", {"history_retention": KEPT}, "segment_changes.sql reads messaging.customers_history"),
        ("messaging.customers", {"history_retention": KEPT}, "messaging.traffic.customer_id refers to it"),
        ("shop.customers", {"history_retention": KEPT}, "dim_customer.sql reads shop.customers_changes"),
        ("messaging.traffic", {"history_retention": KEPT}, None),
        ("messaging.traffic", {"raw_retention": KEPT}, None),
        ("shop.clickstream", {"raw_retention": KEPT}, "clicks.clickstream has its files in"),
    ],
)
def test_a_retention_that_would_change_results_is_a_problem(
    table: str, change: dict[str, Retention], problem: str | None
) -> None:
    contracts = load_all()
    contracts[table] = replace(contracts[table], **change)  # type: ignore[arg-type]
    found = lint_retentions(contracts.values())
    assert any(problem in one for one in found) if problem else found == []
