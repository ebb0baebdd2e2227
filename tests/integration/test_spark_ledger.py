"""The requests to Spark and the record of its answers, with answers that the test writes instead of Spark."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from psycopg import Connection

from support.lake import Lake
from support.web_domain import CONTRACT, DAY, MANIFEST, RUN, Web, add_domain, rows
from waybill.contracts import ContractError, load_domain
from waybill.contracts.spark_engine import unsupported
from waybill.derived.refresh import refresh
from waybill.errors import DataError
from waybill.intake import ledger
from waybill.intake.ingest import ingest
from waybill.intake.replay import replay
from waybill.intake.withdrawal import find_loaded, withdraw
from waybill.lakehouse import record
from waybill.lakehouse.checks import record_checks
from waybill.lakehouse.exchange import (
    ComputedCheck,
    IntakeResult,
    LoadedFile,
    ReportsRequest,
    address_of_rejects,
    receive_request,
)
from waybill.lakehouse.prepare import list_pending
from waybill.lakehouse.record import ChangedMeanwhile
from waybill.lakehouse.recorded import give_back, holds, take
from waybill.lakehouse.reports import prepare_reports
from waybill.ops.lint import lint
from waybill.outputs.lake import write_changed_days
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.views.operations.row_problems import row_problems
from waybill.views.operations.scope import scope_of
from waybill.warehouse.evolution import ensure, missing_columns

PERIOD = Period.of("day", DAY)
OTHER = Run("run-2", "code-1")


@pytest.fixture
def web(include_dir: Path, empty_connection: Connection, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    add_domain(include_dir)
    raw = f"{lake.bucket}-raw"
    lake.s3.create_bucket(Bucket=raw)
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", raw)
    settings.cache_clear()
    yield Web(empty_connection, lake, raw)
    settings.cache_clear()


def load(web: Web, key: str, body: bytes, day: date = DAY, **given: Any) -> None:
    """Load a file as a run does whose job succeeds."""
    address = web.prepare(day)
    assert address
    web.record(web.answer(address, IntakeResult(files=(web.loaded(key, body, day=day, **given),))))


def test_a_request_has_the_pending_files_up_to_the_period_in_order(web: Web) -> None:
    later = web.land("c.csv", rows(1, DAY + timedelta(days=1)), DAY + timedelta(days=1))
    second, first = web.land("b.csv", rows(2)), web.land("a.csv", rows(1))
    before = web.land("z.csv", rows(1, DAY - timedelta(days=2)), DAY - timedelta(days=2))
    assert web.prepare()
    (request,) = web.requests
    assert [(part.period, {file.key for file in part.files}) for part in request.parts] == [
        (DAY - timedelta(days=2), {before}),
        (DAY, {first, second}),
    ]
    order = [(file.landed_at, file.key) for file in request.parts[1].files]
    assert order == sorted(order)
    assert later not in str(request)
    assert {file.replaces_etag for part in request.parts for file in part.files} == {None}
    dataset = request.datasets["hits"]
    database = settings().lake_database
    assert (dataset.table, dataset.quarantine) == (f"{database}.web_hits", f"{database}.web_hits_quarantine")
    assert [field.name for field in web.lake.table(web.contract).schema().fields][:3] == ["hit_id", "at", "page"]


def test_nothing_is_asked_if_nothing_is_pending(web: Web) -> None:
    assert web.prepare() is None
    key, body = web.land("a.csv", rows(3)), rows(3)
    load(web, key, body)
    assert web.prepare() is None
    corrected = rows(4)
    web.land("a.csv", corrected)
    assert web.prepare()
    ((file,),) = (part.files for part in web.requests[-1].parts)
    assert file.replaces_etag == web.requests[0].parts[0].files[0].etag != file.etag


def test_a_dry_run_lists_the_files_and_writes_nothing(web: Web) -> None:
    key = web.land("a.csv", rows(3))
    web.s3.put_object(Bucket=web.bucket, Key="raw/web/hits/elsewhere/b.csv", Body=b"x")
    before = web.lake.objects()
    found = list_pending(web.connection, web.s3, "web", PERIOD)
    assert found[key] == {"dataset": "web.hits", "period": "2026-03-01", "size_bytes": len(rows(3))}
    assert "file_rejected" in found["raw/web/hits/elsewhere/b.csv"]
    assert list_pending(web.connection, web.s3, "web", PERIOD, names=["others"]) == {}
    assert (web.lake.objects(), web.ledger()) == (before, [])


def test_a_loaded_file_has_books_quarantine_changes_warnings_and_a_checkpoint(web: Web) -> None:
    body = rows(5)
    key = web.land("a.csv", body)
    address = web.prepare()
    assert address
    folder = web.put_rejects("rejects", key, [4, 2])
    newest = datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)
    file = web.loaded(key, body, rejected=2, newest=newest, warnings=(("quotes", "look at it"),))
    result = web.answer(address, IntakeResult(files=(file,), rejected_rows=folder))
    done = web.record(result)
    assert str(done[key]).startswith("5 rows in = 3 inserted + 0 updated + 0 unchanged + 2 rejected")
    everything = web.everything()
    books, quarantine, changes, warnings, checkpoint, _ = everything
    etag = file.facts["etag"]
    assert books == [(key, etag, "loaded", "run-1", 5, 3, 0, 0, 2, 0, 0, 0)]
    assert [(record, reasons) for _, record, reasons, _ in quarantine] == [(2, ["type:hit_id"]), (4, ["type:hit_id"])]
    assert changes == [(key, "web.hits", DAY)]
    assert warnings == [(key, "quotes", "look at it")]
    assert checkpoint == [("web.hits", newest, key)]
    web.record(result)  # again
    assert web.everything() == everything


def test_a_record_that_dies_between_two_files_is_repeated_as_a_whole(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = {web.land(f"{name}.csv", rows(number)): rows(number) for number, name in enumerate("abc", start=1)}
    address = web.prepare()
    assert address
    files = tuple(web.loaded(key, body) for key, body in bodies.items())
    result = web.answer(address, IntakeResult(files=files))
    closed = ledger.close_file

    def die(connection: Connection, file_id: int, books: ledger.Books) -> None:
        if books.rows_in == 2:
            raise KeyboardInterrupt
        closed(connection, file_id, books)

    monkeypatch.setattr(ledger, "close_file", die)
    with pytest.raises(KeyboardInterrupt):
        web.record(result)
    monkeypatch.setattr(ledger, "close_file", closed)
    assert web.ledger() == []
    web.record(result)
    assert [row[4] for row in web.ledger()] == [1, 2, 3]


def test_books_that_do_not_balance_are_refused_by_the_ledger(web: Web) -> None:
    body = rows(3)
    key = web.land("a.csv", body)
    address = web.prepare()
    assert address
    file = web.loaded(key, body)
    wrong = file.model_copy(update={"books": file.books | {"inserted": 2}})
    with pytest.raises(Exception, match="violates check constraint"):
        web.record(web.answer(address, IntakeResult(files=(wrong,))))
    assert web.ledger() == []


def test_rejected_files_are_recorded_and_named_and_the_others_are_loaded(web: Web) -> None:
    good, bad = web.land("a.csv", rows(3)), web.land("b.csv", b"hit_id,at,page\nx,y,z\n")
    address = web.prepare()
    assert address
    rejected = LoadedFile(
        dataset="hits", period=DAY, key=bad, status="rejected", error=f"{bad}: too bad", broken={"type:hit_id": 1}
    )
    result = web.answer(address, IntakeResult(files=(rejected, web.loaded(good, rows(3)))))
    for _ in range(2):
        with pytest.raises(DataError, match=r"1 of 2 files of web were rejected; the others are loaded:\n.*too bad"):
            web.record(result)
    assert [row[0] for row in web.ledger()] == [good]
    *_, files = web.everything()
    assert [(key, message) for key, _, message, _ in files] == [(bad, f"{bad}: too bad")]
    assert files[0][3] == [{"reason": "type:hit_id", "rows": 1, "first": []}]
    assert web.prepare()  # the rejected file is tried again
    assert [file.key for part in web.requests[-1].parts for file in part.files] == [bad]


def test_objects_in_no_period_fail_the_run_after_its_files_are_loaded(web: Web) -> None:
    key = web.land("a.csv", rows(3))
    web.s3.put_object(Bucket=web.bucket, Key="raw/web/hits/march/b.csv", Body=b"x")
    address = web.prepare()
    assert address
    with pytest.raises(DataError, match=r"1 of 2 files .* the others are loaded:\n.*raw/web/hits/march/b\.csv"):
        web.record(web.answer(address, IntakeResult(files=(web.loaded(key, rows(3)),))))
    assert [row[0] for row in web.ledger()] == [key]
    with pytest.raises(DataError, match="march"):  # nothing else to do
        web.prepare()
    assert web.prepare(run=OTHER) is None  # a later run leaves it


def test_two_runs_that_load_the_same_file_record_it_once(web: Web) -> None:
    body = rows(3)
    key = web.land("a.csv", body)
    one, two = web.prepare(), web.prepare(run=OTHER)
    assert one
    assert two
    results = [web.answer(address, IntakeResult(files=(web.loaded(key, body),))) for address in (one, two)]
    web.record(results[0])
    before = web.everything()
    web.record(results[1], OTHER)
    assert web.everything() == before


def test_a_run_does_not_record_over_another_version_that_was_recorded_meanwhile(web: Web) -> None:
    old, new = rows(3), rows(4)
    key = web.land("a.csv", old)
    one = web.prepare()
    web.land("a.csv", new)
    two = web.prepare(run=OTHER)
    assert one
    assert two
    web.record(web.answer(two, IntakeResult(files=(web.loaded(key, new),))), OTHER)
    before = web.everything()
    with pytest.raises(
        ChangedMeanwhile, match=r"another run has loaded another version meanwhile\. Nothing is recorded"
    ):
        web.record(web.answer(one, IntakeResult(files=(web.loaded(key, old),))))
    assert web.everything() == before


def _commit(web: Web) -> int:
    """Append a row to the table; returns the snapshot."""
    table = web.lake.table(web.contract)
    row = {"hit_id": 1, "at": datetime(2026, 3, 1, tzinfo=UTC), "_object": "f", "_etag": "e", "_delivered": DAY}
    table.append(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))
    snapshot = table.current_snapshot()
    assert snapshot
    return snapshot.snapshot_id


def _name(web: Web) -> str:
    return web.requests[-1].datasets["hits"].table


def test_tables_that_somebody_changed_after_the_job_are_not_recorded(web: Web) -> None:
    body = rows(3)
    key = web.land("a.csv", body)
    address = web.prepare()
    assert address
    own = _commit(web)
    result = web.answer(address, IntakeResult(files=(web.loaded(key, body),), snapshots={_name(web): own}))
    _commit(web)
    with pytest.raises(ChangedMeanwhile, match=r"has changed \w+\.web_hits since the job has\. Nothing is recorded"):
        web.record(result)
    assert web.ledger() == []
    assert web.prepare(run=OTHER)  # the next run loads the file again


def test_a_request_starts_from_the_recorded_snapshots_and_knows_the_others(web: Web) -> None:
    body = rows(3)
    key = web.land("a.csv", body)
    address = web.prepare()
    assert address
    first = web.requests[-1].datasets["hits"]
    assert (first.snapshot, first.quarantine_snapshot, first.found) == (None, None, (None, None))
    own = _commit(web)
    result = IntakeResult(files=(web.loaded(key, body),), snapshots={_name(web): own})
    web.record(web.answer(address, result))
    dead = _commit(web)
    web.land("b.csv", rows(2))
    assert web.prepare()
    second = web.requests[-1].datasets["hits"]
    assert (second.snapshot, second.found) == (own, (dead, None))


def test_all_files_are_loaded_again_into_a_table_that_was_lost(web: Web) -> None:
    body, later = rows(3), rows(2, DAY + timedelta(days=1))
    key, next_day = web.land("a.csv", body), web.land("b.csv", later, DAY + timedelta(days=1))
    address = web.prepare(DAY + timedelta(days=1))
    assert address
    files = (web.loaded(key, body), web.loaded(next_day, later, day=DAY + timedelta(days=1)))
    web.record(web.answer(address, IntakeResult(files=files, snapshots={_name(web): _commit(web)})))
    before = web.everything()
    assert web.prepare() is None
    web.lake.catalog.drop_table(_name(web))
    for _ in range(2):  # the first run dies
        address = web.prepare()
        assert address
        request = web.requests[-1]
        assert {file.key for part in request.parts for file in part.files} == {key, next_day}
        assert request.datasets["hits"].snapshot is None
    web.record(web.answer(address, IntakeResult(files=files, snapshots={_name(web): _commit(web)})))
    assert web.everything() == before
    assert web.prepare() is None


def test_rows_that_were_checked_by_another_contract_are_not_recorded(web: Web, include_dir: Path) -> None:
    body = rows(3)
    key = web.land("a.csv", body)
    address = web.prepare()
    assert address
    add_domain(include_dir, contract=CONTRACT.replace("version: 1.0.0", "version: 1.0.1"))
    with pytest.raises(ChangedMeanwhile, match=r"The contract of web\.hits has changed since prepare_intake\. Nothing"):
        web.record(web.answer(address, IntakeResult(files=(web.loaded(key, body),))))
    assert web.ledger() == []


def test_one_run_at_a_time_loads_files_of_a_domain(empty_connection: Connection) -> None:
    connection, active = empty_connection, {"run-1"}

    def take_as(run: Run) -> str | None:
        return take(connection, "web", "web_daily", run, lambda holder: holder.run_id in active)

    assert take_as(RUN) is None
    assert take_as(OTHER) == "run-1"
    assert take_as(RUN) is None  # a retry
    assert (holds(connection, "web_daily", RUN), holds(connection, "web_daily", OTHER)) == (True, False)
    give_back(connection, "web", OTHER)
    assert holds(connection, "web_daily", RUN)
    give_back(connection, "web", RUN)
    assert take_as(OTHER) is None
    active.clear()  # it died
    assert take_as(RUN) is None
    assert not holds(connection, "web_daily", OTHER)


def test_more_rejected_rows_than_postgresql_takes_are_said(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MOST_REJECTED", 2)
    body = rows(9)
    key = web.land("a.csv", body)
    address = web.prepare()
    assert address
    folder = web.put_rejects("rejects", key, [1, 2])
    file = web.loaded(key, body, rejected=3)
    web.record(web.answer(address, IntakeResult(files=(file,), rejected_rows=folder)))
    _, quarantine, _, warnings, *_ = web.everything()
    assert len(quarantine) == 2
    assert "the quarantine has the first 2 of 3 rejected rows" in warnings[0][2]


def test_the_rejected_rows_of_each_file_are_downloaded_once_and_leave_the_disk(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = {web.land(f"{name}.csv", rows(number)): rows(number) for number, name in enumerate("abc", start=2)}
    address = web.prepare()
    assert address
    folder = ""
    for key in [*bodies][:2]:
        folder = web.put_rejects("rejects", key, [1])
    files = [web.loaded(key, body, int(number < 2)) for number, (key, body) in enumerate(bodies.items())]
    result = web.answer(address, IntakeResult(files=tuple(files), rejected_rows=folder))
    downloaded, download = [], web.s3.download_file

    def watch(bucket: str, key: str, path: str) -> None:
        assert [*Path(path).parent.iterdir()] == []
        downloaded.append(f"s3://{bucket}/{key}")
        download(bucket, key, path)

    monkeypatch.setattr(web.s3, "download_file", watch)
    web.record(result)
    assert downloaded == [address_of_rejects(folder, "hits", DAY, key) for key in [*bodies][:2]]
    assert [row[0] for row in web.everything()[1]] == [*bodies][:2]


def test_rejected_rows_that_got_lost_are_not_recorded_as_if_they_were_there(web: Web) -> None:
    body = rows(9)
    key = web.land("a.csv", body)
    address = web.prepare()
    assert address
    folder = web.put_rejects("rejects", key, [1])
    with pytest.raises(RuntimeError, match="counted 3 rejected rows and wrote 1"):
        web.record(web.answer(address, IntakeResult(files=(web.loaded(key, body, 3),), rejected_rows=folder)))
    assert web.ledger() == []
    (lost,) = (key for key in web.lake.objects() if "rejects" in key)
    web.s3.delete_object(Bucket=web.lake.bucket, Key=lost)
    with pytest.raises(RuntimeError, match="counted 3 rejected rows and wrote 0"):
        web.record(web.answer(address, IntakeResult(files=(web.loaded(key, body, 3),), rejected_rows=folder)))


def test_a_new_version_of_the_contract_loads_files_with_rows_in_quarantine_again(web: Web, include_dir: Path) -> None:
    body, fine = rows(5), rows(2)
    key = web.land("a.csv", body)
    address = web.prepare()
    assert address
    other = web.land("b.csv", fine)
    folder = web.put_rejects("rejects", key, [4])
    web.record(web.answer(address, IntakeResult(files=(web.loaded(key, body, 1),), rejected_rows=folder)))
    load(web, other, fine)
    assert web.prepare() is None
    add_domain(include_dir, contract=CONTRACT.replace("version: 1.0.0", "version: 1.0.1"))
    address = web.prepare()
    assert address
    ((file,),) = (part.files for part in web.requests[-1].parts)
    assert (file.key, file.replaces_etag) == (key, file.etag)
    web.record(web.answer(address, IntakeResult(files=(web.loaded(key, body),))))
    assert web.prepare() is None
    assert [(row[0], row[2], row[8]) for row in web.ledger()] == [
        (key, "loaded", 0), (key, "superseded", 1), (other, "loaded", 0)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("loadMode, value: merge", "loadMode, value: snapshot", "`snapshot` needs the history of PostgreSQL"),
        ("{property: lookbackPeriods, value: 7}", "{property: missingColumns, value: error}", "compares a file with"),
        ("description: The page.,", "description: The page., classification: restricted,", "`page` is restricted"),
    ],
)
def test_what_spark_cannot_do_is_refused_by_lint_and_by_a_run(
    web: Web, include_dir: Path, old: str, new: str, reason: str
) -> None:
    assert old in CONTRACT
    text = CONTRACT.replace(old, new)
    if "snapshot" in new:
        text = text.replace("      - {property: periodColumn, value: at}\n", "").replace(
            "      - {property: lookbackPeriods, value: 7}\n", ""
        )
    add_domain(include_dir, contract=text)
    assert any(reason in problem for problem in unsupported(web.contract))
    web.land("a.csv", rows(1))
    with pytest.raises(ContractError, match="`engine: spark` cannot do this") as found:
        web.prepare()
    assert reason in str(found.value)
    with pytest.raises(ContractError, match="`engine: spark` cannot do this"):
        list_pending(web.connection, web.s3, "web", PERIOD)
    _, problems = lint(None)
    assert any("web.yaml" in problem and reason in problem for problem in problems)


def test_tasks_and_commands_that_need_rows_in_postgresql_name_the_next_step(web: Web) -> None:
    key, body = web.land("a.csv", rows(3)), rows(3)
    load(web, key, body)
    web.land("b.csv", rows(1))
    contracts = load_domain("web")
    with pytest.raises(ContractError, match="raise its version"):
        replay(web.connection, web.contract, contracts, RUN)
    with pytest.raises(ContractError, match="Use `spark_tasks`"):
        ingest(web.connection, web.s3, web.contract, contracts, PERIOD, RUN)
    with pytest.raises(ContractError, match="use `spark_tasks`"):
        refresh(web.connection, "web", "web_report", RUN)
    with pytest.raises(ContractError, match="nothing to copy"):
        write_changed_days(web.connection, web.s3, web.lake.catalog, contracts.values(), RUN)
    web.s3.delete_object(Bucket=web.bucket, Key=key)
    with pytest.raises(ContractError, match="header alone under the same name"):
        withdraw(web.connection, web.s3, web.contract, find_loaded(web.connection, key))


def test_a_domain_with_loaded_files_does_not_change_its_engine(web: Web, include_dir: Path) -> None:
    on_one_machine = MANIFEST.replace("engine: spark\n", "")
    add_domain(include_dir, on_one_machine)
    ensure(web.connection, web.contract)
    assert _has_table(web)
    add_domain(include_dir)  # without files, the tables are dropped
    ensure(web.connection, web.contract)
    assert not _has_table(web)
    load(web, web.land("a.csv", rows(3)), rows(3))
    add_domain(include_dir, on_one_machine)
    with pytest.raises(ContractError, match="names another engine than the one that loaded its files"):
        ensure(web.connection, web.contract)


def _has_table(web: Web) -> bool:
    return web.connection.execute("select to_regclass('web.hits')").fetchone() != (None,)


def test_checks_that_have_passed_since_the_last_load_need_no_spark(web: Web, include_dir: Path) -> None:
    quality = """
    quality:
      - {name: present, metric: rowCount, mustBeGreaterThan: 0, severity: error}
    properties:"""
    add_domain(include_dir, contract=CONTRACT.replace("\n    properties:", quality))
    load(web, web.land("a.csv", rows(3)), rows(3))
    scratch = f"s3://{web.lake.bucket}/_spark/checks"

    def ask(day: date = DAY) -> str | None:
        return prepare_reports(web.connection, web.s3, "web", RUN, scratch, Period.of("day", day))

    def later(table: str, column: str) -> None:
        """Move instants of the test's one transaction, which has one time, to the present."""
        web.connection.execute(f"update waybill.{table} set {column} = clock_timestamp()")

    def record_number(number: int) -> None:
        request = receive_request(web.s3, f"{scratch}/request.json")
        assert isinstance(request, ReportsRequest)
        one = ComputedCheck(dataset="hits", check="present", cadence="day", period=DAY, observed=Decimal(number))
        record_checks(web.connection, load_domain("web").values(), [one], RUN, request.requested_at)

    assert ask()
    record_number(3)
    assert ask() is None
    assert ask(DAY + timedelta(days=1)), "another day"
    with pytest.raises(DataError, match="quality checks failed"):
        record_number(0)
    assert ask(), "a check of severity error that failed is repeated"
    record_number(3)
    assert ask() is None
    load(web, web.land("b.csv", rows(4)), rows(4))
    later("load_file", "loaded_at")
    assert ask(), "a file was loaded since"
    load(web, web.land("c.csv", rows(5)), rows(5))
    later("load_file", "loaded_at")
    record_number(3)
    assert ask(), "a file was loaded after the request"
    record_number(3)
    add_domain(include_dir, contract=CONTRACT.replace("\n    properties:", quality.replace("error", "warning")))
    ensure(web.connection, web.contract)
    later("contract", "applied_at")
    assert ask(), "the contract has changed"
    record_number(0)
    assert ask() is None, "a warning is not repeated"


def test_the_pages_offer_no_replay_of_rows_on_spark(web: Web) -> None:
    key, body = web.land("a.csv", rows(3)), rows(3)
    address = web.prepare()
    assert address
    folder = web.put_rejects("rejects", key, [1])
    web.record(web.answer(address, IntakeResult(files=(web.loaded(key, body, 1),), rejected_rows=folder)))
    web.connection.execute("update waybill.quarantine set reasons = '{too_late}'")
    scope = scope_of("web", None, None)
    assert scope
    (problem,) = row_problems(web.connection, scope)
    assert problem.what == "1 row of web.hits arrived too late"
    assert "request" not in {action.kind for action in problem.actions}


PAGE = "      - {name: page, description: The page., logicalType: string, physicalType: text}\n"
KEY_OF_AT = "required: true,\n         primaryKey: true, primaryKeyPosition: 2}"
LOOKBACK = "      - {property: lookbackPeriods, value: 7}\n"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (PAGE, "", "column 'page' is in the table and not in the contract"),
        (
            PAGE,
            PAGE.replace("{name: page,", "{name: path, synonyms: [{synonym: page}],"),
            "column 'page' is in the table and not in the contract",
        ),
        (PAGE, PAGE + PAGE.replace("page", "site").replace("text}", "text, required: true}"), "'site' is new and req"),
        (PAGE, PAGE.replace("text}", "text, required: true}"), "column 'page' is text in the table and text not null"),
        (PAGE, PAGE.replace("string, physicalType: text", "integer, physicalType: integer"), "'page' is text in the"),
        (KEY_OF_AT, "required: true}", "the key is at, hit_id in the table and hit_id in the contract"),
        (LOOKBACK, LOOKBACK + "      - {property: fileOrder, value: name}\n", "which changes the order of two loaded"),
        ("loadMode, value: merge", "loadMode, value: changes", "not created for loadMode 'changes'"),
    ],
    ids=["removed", "renamed", "new", "required", "type", "key", "order", "mode"],
)
def test_a_contract_that_loses_columns_or_rows_is_refused_once_files_are_loaded(
    web: Web, include_dir: Path, old: str, new: str, reason: str
) -> None:
    assert old in CONTRACT
    changed = CONTRACT.replace(old, new).replace("version: 1.0.0", "version: 1.1.0")
    if reason.endswith("'changes'"):
        changed = changed.replace(KEY_OF_AT, "required: true}").replace(
            LOOKBACK, LOOKBACK + "      - {property: versionColumn, value: at}\n"
        )
    later, earlier = web.land("b.csv", rows(2)), web.land("a.csv", rows(3))
    address = web.prepare()
    assert address
    web.record(web.answer(address, IntakeResult(files=(web.loaded(later, rows(2)), web.loaded(earlier, rows(3))))))
    landed_first = "update waybill.load_file set landed_at = landed_at - interval '1 hour' where object_key = %s"
    web.connection.execute(landed_first, (later,))
    before = web.lake.table(web.contract).schema()
    add_domain(include_dir, contract=changed)
    for run in (web.prepare, lambda: missing_columns(web.connection, web.contract)):
        with pytest.raises(ContractError, match=r"needs more than .* Rename the dataset, or undo the change") as found:
            run()
        assert reason in str(found.value)
    _, problems = lint(web.connection)
    assert any("the next run with this contract would stop" in one and reason in one for one in problems)
    assert web.lake.table(web.contract).schema() == before


def test_a_contract_may_gain_optional_columns_and_any_change_before_a_file_is_loaded(
    web: Web, include_dir: Path
) -> None:
    assert web.prepare() is None
    other = CONTRACT.replace(KEY_OF_AT, "required: true}").replace(PAGE, PAGE.replace("page", "path"))
    add_domain(include_dir, contract=other)
    assert web.prepare() is None
    load(web, web.land("a.csv", rows(3)), rows(3))
    add_domain(include_dir, contract=other.replace("path", "new").replace("version: 1.0.0", "version: 1.0.1"))
    with pytest.raises(ContractError):
        web.prepare()
    wider = other.replace("slaProperties", f"{PAGE}slaProperties").replace("version: 1.0.0", "version: 1.0.2")
    add_domain(include_dir, contract=wider)
    assert web.prepare() is None
    names = [field.name for field in web.lake.table(web.contract).schema().fields]
    assert {"hit_id", "at", "path", "page"} < {*names}
