"""The page of a run tells its state, cause and work first, and nothing of other runs. Alerts are open or settled."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.landing import CHANNELS, CUSTOMERS, MONTH, TRAFFIC, Landing, channel_rows, csv_body, customer_rows
from support.messaging_months import RUN, build_month, month
from support.problems import (
    DAG,
    GOOD,
    build_shares,
    landed,
    reader_of,
    run_state,
    with_values,
    writer_of,
)
from support.views import Page, check_inert, client_of
from waybill.checks import quality
from waybill.checks.approval import approve, held_by
from waybill.contracts import Check
from waybill.derived.build import report_contracts
from waybill.ops import alert_delivery
from waybill.ops.alerts import approval_text, failure_text
from waybill.run import Run
from waybill.views.operations.checks import checks
from waybill.views.operations.messages import AlertLine, alerts
from waybill.views.operations.run_report import BuiltReport, run_report
from waybill.views.operations.runs import RunState, TaskState
from waybill.views.operations.scope import Scope
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

__all__ = ["landed"]

CAUSE = "s3://raw/broken.csv: 900 of 1000 rows do not meet the contract.\nReasons:\n  type:revenue_eur in 900 rows"
FAILED = run_state("failed", "r1", MONTH, 9, TaskState("traffic", "failed", 1, 4))


def text_of(client: TestClient, run_id: str) -> str:
    page = Page(client.get(f"/operations/index.html?dag_id={DAG}&run_id={run_id}").text)
    check_inert(page)
    return " ".join(page.text.split())


def client_with(stack: Stack, landed: Landing, *runs: RunState) -> TestClient:
    return client_of(reader_of(stack, landed), writer_of(stack, landed), runs=runs)


def record(landed: Landing, run_id: str, kind: str, text: str) -> None:
    alert_delivery.record(landed.connection, (DAG, run_id, kind), text, [])


def test_a_failed_run_begins_with_its_state_task_and_cause(stack: Stack, landed: Landing) -> None:
    record(landed, "r1", "failure", failure_text(f"{DAG} {MONTH}", "r1", "traffic", CAUSE, "http://log"))
    record(landed, "other", "failure", failure_text(DAG, "other", "quality", "another cause", None))
    text = text_of(client_with(stack, landed, FAILED), "r1")
    start = text.index(f"{DAG} {MONTH} failed r1")
    told = f"Failed in traffic {' '.join(CAUSE.split())} Open task Runbook Files loaded 0"
    assert told in text[start:]
    assert "another cause" not in text
    later = run_state("success", "r2", MONTH, 10)
    assert "recovered The run r2 succeeded later." in text_of(client_with(stack, landed, FAILED, later), "r1")


def test_a_run_lists_its_files_and_reports_and_no_others(stack: Stack, landed: Landing) -> None:
    landed.load("customers", csv_body(CUSTOMERS, customer_rows()))
    landed.load("channels", csv_body(CHANNELS, channel_rows()))
    landed.load("traffic", csv_body(TRAFFIC, GOOD), "mine.csv")
    landed.reject("traffic", csv_body(TRAFFIC, with_values(GOOD[:20], 6, "x")), "broken.csv")
    landed.connection.execute("update waybill.load_file set run_id = 'r1' where object_key like '%mine.csv'")
    landed.connection.execute("update waybill.rejected_file set run_id = 'r1'")
    build_month(landed.connection, MONTH, Run("r1", "abc123"))
    success = run_state("success", "r1")
    text = text_of(client_with(stack, landed, success), "r1")
    assert "Files loaded 1 Files rejected 1 Reports changed 8 Reports unchanged 0" in text
    assert "mine.csv" in text
    assert "broken.csv" in text
    assert "messaging.customers" not in text.partition("Reports changed")[2].partition("Quality checks")[0]
    assert "20 of 20 rows do not meet the contract" in text
    assert "messaging_report.segment_share changed 2026-03" in text
    other = text_of(client_with(stack, landed, success), "r0")
    assert "not in Airflow any more" in other
    for found in ("mine.csv", "broken.csv", "messaging_report.", "_rows"):
        assert found not in other.partition("Files loaded")[2], found
    assert "This run loaded no files." in other
    assert "This run built no reports." in other


def test_a_run_whose_results_were_replaced_names_the_later_run(stack: Stack, landed: Landing) -> None:
    landed.load("customers", csv_body(CUSTOMERS, customer_rows()))
    landed.load("channels", csv_body(CHANNELS, channel_rows()))
    landed.load("traffic", csv_body(TRAFFIC, GOOD), "mine.csv")
    landed.connection.execute("update waybill.load_file set run_id = 'r1' where object_key like '%mine.csv'")
    client = client_with(stack, landed, run_state("success", "r1"), run_state("success", "r2", MONTH, 10))
    build_month(landed.connection, MONTH, Run("r1", "abc123"))
    first = text_of(client, "r1")
    assert "Reports changed 8" in first
    assert "Replaced" not in first
    build_month(landed.connection, MONTH, Run("r2", "abc123"))
    same = text_of(client, "r1")
    assert "Reports changed 8" in same, "the content is that of the run"
    assert re.search(r"No result of this run is kept. Replaced by the run r2 at [\d: -]+: \d+ results", same)
    landed.load("traffic", csv_body(TRAFFIC, GOOD[:150]), "mine.csv")
    build_month(landed.connection, MONTH, Run("r3", "abc123"))
    older = text_of(client, "r1")
    assert "mine.csv" in older
    assert "Reports changed 2" in older, "those that do not read the file"
    assert re.search(r"Replaced by the run r3 at \d{4}-\d\d-\d\d \d\d:\d\d: 6 reports of the same periods", older)
    build_month(landed.connection, MONTH, Run("r4", "another version"))
    older = text_of(client, "r1")
    assert "Reports changed 0" in older
    assert re.search(r"No report of this run is kept. Replaced by the run r4 at [\d: -]+: 8 reports", older)
    assert "messaging_report." not in older, "no result of another run"
    assert "Replaced" not in text_of(client, "r4")
    unknown = text_of(client_with(stack, landed), "r1")
    assert "8 reports of the same periods" in unknown, "Airflow has deleted the run, but the ledger has its files"
    assert "Replaced" not in text_of(client, "r0")


def test_a_period_that_is_none_replaces_nothing(stack: Stack, landed: Landing) -> None:
    build_month(landed.connection, MONTH, Run("r2", "abc123"))
    odd = run_state("success", "r1", "<script>")
    assert "Replaced" not in text_of(client_with(stack, landed, odd), "r1")
    other_month = run_state("success", "r1", "2026-01")
    assert "Replaced" not in text_of(client_with(stack, landed, other_month), "r1")


def results(landed: Landing, run_id: str) -> dict[str, list[BuiltReport]]:
    found = run_report(landed.connection, Scope(("messaging",), run_id), [])
    return {one.result: [other for other in found.reports if other.result == one.result] for one in found.reports}


def test_reports_are_changed_unchanged_waiting_or_failed(landed: Landing) -> None:
    landed.load("customers", csv_body(CUSTOMERS, customer_rows()))
    landed.load("traffic", csv_body(TRAFFIC, GOOD))
    build_shares(landed, 0, Run("r1", "abc123"))
    (changed,) = results(landed, "r1")["changed"]
    assert (changed.table, changed.listed_periods, changed.rows, changed.published) == (
        "messaging_report.segment_share",
        "2026-03",
        1,
        0,
    )
    build_shares(landed, 0, Run("r2", "abc123"))
    assert set(results(landed, "r2")) == {"unchanged"}
    build_shares(landed, 0, Run("r3", "def456"))
    assert set(results(landed, "r3")) == {"unchanged"}, "another version of the code, the same content"
    build_shares(landed, 9, Run("r4", "abc123"))
    assert set(results(landed, "r4")) == {"waiting"}
    check = Check("never", "Fails.", "select 1", "=", 0, "error")
    contract = replace(report_contracts("messaging")["segment_share"], checks=(check,))
    (result,) = quality.evaluate(landed.connection, contract, month(MONTH))
    quality.record(landed.connection, [result], Run("r5", "abc123"))
    assert set(results(landed, "r5")) == {"failed"}


def lines(landed: Landing, *runs: RunState, run_id: str | None = None) -> list[AlertLine]:
    return alerts(landed.connection, Scope(("messaging",), run_id), runs)


@pytest.mark.parametrize(
    ("kind", "runs", "is_open", "outcome"),
    [
        ("failure", [FAILED], True, "the run failed at 2026-04-01 09:05"),
        ("failure", [], False, "Airflow does not have the run any more"),
        ("failure", [run_state("running", "r1")], True, "the run is running"),
        ("failure", [run_state("success", "r1")], False, "recovered: the run r1 succeeded at 2026-04-01 09:05"),
        (
            "failure",
            [FAILED, run_state("success", "r2", MONTH, 10)],
            False,
            "recovered: the run r2 succeeded at 2026-04-01 10:05",
        ),
        ("failure", [FAILED, run_state("success", "r2", "2026-02", 10)], True, "the run failed at 2026-04-01 09:05"),
        ("deadline", [run_state("running", "r1")], True, "the run is running"),
        ("deadline", [FAILED], False, "the run failed at 2026-04-01 09:05"),
        ("warning", [FAILED], False, "for information: the rows are loaded"),
    ],
)
def test_an_alert_is_open_or_tells_what_settled_it(
    landed: Landing, kind: str, runs: list[RunState], is_open: bool, outcome: str
) -> None:
    record(landed, "r1", kind, "text")
    (found,) = lines(landed, *runs)
    assert (found.is_open, found.outcome) == (is_open, outcome)
    targets = [action.target for action in found.actions]
    assert targets == [f"dags/{DAG}/runs/r1", "index.html", f"dags/{DAG}"]


def test_the_alert_of_an_approval_is_open_until_somebody_answers(landed: Landing) -> None:
    landed.load("customers", csv_body(CUSTOMERS, customer_rows()))
    build_shares(landed, 9)
    waiting = held_by(landed.connection, report_contracts("messaging").values(), RUN)
    record(landed, "test", "approval", approval_text(DAG, "test", waiting, "http://answer"))
    (found,) = lines(landed)
    assert (found.is_open, found.outcome) == (True, "waits for an answer")
    approve(landed.connection, waiting, "lena")
    (found,) = lines(landed)
    assert (found.is_open, found.outcome) == (False, "answered")


def test_checks_with_most_errors_come_first_with_their_description(stack: Stack, landed: Landing) -> None:
    contract = landed.contracts["traffic"]
    described = contract.checks[0]
    for name, severity, failures in (("a", "error", 0), ("b", "warning", 3), ("c", "error", 1), ("d", "error", 2)):
        for number in range(1, 4):
            check = Check(name, "", f"select {int(number > failures)}", "=", 1, severity)  # type: ignore[arg-type]
            found = quality.evaluate(landed.connection, replace(contract, checks=(check,)), month(f"2026-0{number}"))
            quality.record(landed.connection, found, RUN)
    found = quality.evaluate(landed.connection, replace(contract, checks=(described,)), month(MONTH))
    quality.record(landed.connection, found, RUN)
    (table,) = checks(landed.connection, Scope(("messaging",)))
    assert [row.check for row in table.rows if row.check in ("a", "b", "c", "d")] == ["d", "c", "b", "a"]
    assert [period.key for period in table.periods] == ["2026-03", "2026-02", "2026-01"]
    assert {row.check: row.description for row in table.rows}[described.name] == described.description.strip()
    page = Page(client_with(stack, landed).get("/operations/index.html?domain=messaging").text)
    (hint,) = [attributes for _, attributes in page.tags if attributes.get("class") == "hint"]
    (tip,) = [attributes for _, attributes in page.tags if attributes.get("role") == "tooltip"]
    assert (hint["tabindex"], hint["aria-describedby"]) == ("0", tip["id"])
