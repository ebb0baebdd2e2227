"""Every kind of open problem is listed with its cause and action, and no longer once it is settled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from support.landing import (
    CHANNELS,
    CUSTOMERS,
    MONTH,
    TRAFFIC,
    Landing,
    channel_rows,
    csv_body,
    customer_rows,
)
from support.ledger import add_file
from support.messaging_months import RUN, month
from support.problems import (
    DAG,
    GOOD,
    NOW,
    SHARES,
    build_shares,
    landed,
    load_and_delete,
    load_late_rows,
    load_unknown_customer,
    problems,
    reader_of,
    run_state,
    whats,
    with_values,
    writer_of,
)
from support.views import Page, Someone, access_of, check_inert, client_of
from waybill.checks import quality
from waybill.checks.approval import approve, held_by, reject
from waybill.contracts import Check
from waybill.derived.build import report_contracts
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.intake.ledger import record_rejected_file
from waybill.ops import alert_delivery
from waybill.ops.alerts import cause_of, deadline_text, failure_text
from waybill.ops.dead_letters import DeadLetters
from waybill.settings import settings
from waybill.views.app import make_app
from waybill.views.operations.figures import age, figures
from waybill.views.operations.file_problems import dead_letters
from waybill.views.operations.overview import overview
from waybill.views.operations.problem import Action, sentence
from waybill.views.operations.runs import TaskState, open_failures
from waybill.views.operations.scope import Scope
from waybill_devtools.stack import Stack

__all__ = ["landed"]

CAUSE = "s3://raw/traffic.csv: 900 of 1000 rows do not meet the contract"


@pytest.fixture
def client(stack: Stack, landed: Landing) -> TestClient:
    return client_of(reader_of(stack, landed), writer_of(stack, landed))


def action(found: Any, label: str) -> Action:
    (one,) = [one for one in found.actions if one.label == label]
    return one  # type: ignore[no-any-return]


def press(client: TestClient, found: Any, label: str) -> dict[str, Any]:
    """Send the request of a button and return the answer."""
    button = action(found, label)
    assert button.kind == "request"
    answer = client.post(f"/operations/{button.target}", json=button.body)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def record_failure(landed: Landing, run_id: str = "r1", cause: str = CAUSE) -> datetime:
    """Record the alert about a failed run, as its callback does. Return when."""
    text = failure_text(f"{DAG} {MONTH}", run_id, "traffic", cause, "http://log")
    alert_delivery.record(landed.connection, (DAG, run_id, "failure"), text, [])
    ((raised_at,),) = landed.all("select raised_at from waybill.alert where run_id = %s", (run_id,))
    return raised_at  # type: ignore[no-any-return]


def test_a_failed_run_is_listed_with_its_task_and_cause_until_a_later_run_does_its_work(landed: Landing) -> None:
    raised_at = record_failure(landed)
    failed = run_state("failed", "r1", MONTH, 9, TaskState("traffic", "failed", 1, 4))
    (found,) = problems(landed, "runs", failed)
    assert (found.severity, found.what, found.since) == ("error", f"{DAG} {MONTH} failed in traffic", raised_at)
    assert found.cause == f"{CAUSE}."
    assert action(found, "Open task").target == f"dags/{DAG}/runs/r1/tasks/traffic"
    assert action(found, "Runbook").target == f"dags/{DAG}"
    assert problems(landed, "runs", failed, run_state("success", "r2", "2026-02", 10)) == [found], "another period"
    assert problems(landed, "runs", failed, run_state("success", "r0", MONTH, 8)) == [found], "an earlier run"
    assert problems(landed, "runs", failed, run_state("success", "r2", MONTH, 10)) == []
    assert problems(landed, "runs", run_state("success", "r1")) == [], "its task was cleared"


def test_runs_that_fail_in_the_same_task_are_one_problem(landed: Landing) -> None:
    task = TaskState("traffic", "failed", 1, 4)
    failed = [run_state("failed", f"r{n}", f"2026-0{n}", 8 + n, task) for n in (1, 2, 3)]
    first = record_failure(landed, "r1")
    record_failure(landed, "r3", "another cause")
    (found,) = problems(landed, "runs", *failed)
    assert found.what == f"{DAG}: 3 runs (2026-01 to 2026-03) failed in traffic"
    assert (found.since, found.cause) == (first, "another cause.")


def test_a_run_whose_period_is_unknown_is_done_by_any_later_success() -> None:
    failed = run_state("failed", "r1", None, 9)
    assert open_failures([failed, run_state("success", "r2", None, 8)]) == [failed]
    assert open_failures([failed, run_state("success", "r2", "2026-02", 10)]) == []


def test_a_run_without_a_recorded_cause_refers_to_the_log(landed: Landing) -> None:
    (found,) = problems(landed, "runs", run_state("failed", "a b/c"))
    assert found.since == NOW.replace(hour=9, minute=5)
    assert found.cause == "Airflow recorded no cause. The log has it."
    assert action(found, "Open run").target == f"dags/{DAG}/runs/a%20b%2Fc"


def test_late_and_retried_runs_are_listed_while_they_run(landed: Landing) -> None:
    running = run_state("running", "r1", MONTH, 9, TaskState("landed", "deferred", 1, 1))
    assert problems(landed, "runs", running) == []
    text = deadline_text(f"{DAG} {MONTH}", "r1", "3 hours after its start")
    alert_delivery.record(landed.connection, (DAG, "r1", "deadline"), text, [])
    (found,) = problems(landed, "runs", running)
    assert (found.severity, found.what) == ("error", f"{DAG} {MONTH} is late")
    assert found.cause == "It has not finished 3 hours after its start. Open tasks: landed (deferred)."
    assert problems(landed, "runs", run_state("success")) == []
    retried = run_state("running", "r2", MONTH, 9, TaskState("traffic", "up_for_retry", 2, 4))
    (found,) = problems(landed, "runs", retried)
    assert (found.severity, found.what) == ("warning", f"{DAG} {MONTH} retries traffic")
    assert found.cause == "Try 2 of 4 failed. The next one follows by itself."


@pytest.mark.parametrize("cause", ["one line", "two\nlines of it", "Log: is a word\nCause: also"])
def test_the_cause_is_found_in_the_message(cause: str) -> None:
    assert cause_of(failure_text("d", "r", "t", cause, "http://log")) == cause
    assert cause_of(failure_text("d", "r", "t", None, "http://log")) == ""


def test_a_rejected_file_is_listed_until_a_corrected_one_is_loaded(landed: Landing) -> None:
    message = landed.reject("traffic", csv_body(TRAFFIC, with_values(GOOD[:20], 6, "x")))
    (found,) = problems(landed, "files")
    assert (found.severity, found.what) == ("error", "part-1.csv of messaging.traffic was rejected")
    assert found.since == landed.all("select min(rejected_at) from waybill.rejected_file")[0][0]
    assert found.cause == sentence(message)
    assert "20 of 20 rows" in found.cause
    assert found.cause.endswith("send it again under the same name.")
    assert action(found, "Show files").body == {"dataset": "messaging.traffic", "state": "rejected"}
    landed.put("traffic", MONTH, csv_body(TRAFFIC, GOOD))
    landed.ingest("traffic", MONTH)
    assert problems(landed, "files") == []


def test_rejected_files_of_a_dataset_are_one_problem(landed: Landing) -> None:
    contract = landed.contracts["traffic"]
    for name in ("a.csv", "b.csv"):
        file = LandedFile(landed.bucket, f"raw/{name}", name, 1, month(MONTH), NOW)
        record_rejected_file(landed.connection, contract, file, RUN, DataError(f"{name} is broken"))
    (found,) = problems(landed, "files")
    assert found.what == "2 files of messaging.traffic were rejected"
    assert found.cause == "The newest, b.csv: b.csv is broken."


@pytest.mark.parametrize(("label", "rows"), [("Withdraw", 0), ("Keep rows", 200)])
def test_a_file_that_is_gone_is_withdrawn_or_kept(landed: Landing, client: TestClient, label: str, rows: int) -> None:
    key = load_and_delete(landed)
    (found,) = problems(landed, "files")
    assert found.what == "part-1.csv of messaging.traffic is gone from the bucket"
    assert found.since == landed.ledger(key)["loaded_at"]
    assert bool(action(found, label).question) == (label == "Withdraw"), "what cannot be undone is confirmed"
    answer = press(client, found, label)
    assert answer["is_done"]
    assert key in answer["text"]
    assert landed.all("select count(*) from messaging.traffic") == [(rows,)]
    assert problems(landed, "files") == []


def test_a_file_that_is_there_is_neither_withdrawn_nor_kept(landed: Landing, client: TestClient) -> None:
    file_id = landed.ledger(landed.load("traffic", csv_body(TRAFFIC, GOOD)))["file_id"]
    for keep in (False, True):
        answer = client.post(f"/operations/withdraw/{DAG}", json={"file_id": file_id, "keep": keep})
        assert (answer.status_code, "is still in the bucket" in answer.text) == (400, True)
    assert client.post("/operations/withdraw/shop_daily", json={"file_id": file_id, "keep": True}).status_code == 404
    assert client.post(f"/operations/withdraw/{DAG}", json={"file_id": 999, "keep": True}).status_code == 400
    assert landed.all("select count(*) from messaging.traffic") == [(200,)]


def test_gone_files_of_a_dataset_without_a_contract_are_left_out(landed: Landing) -> None:
    add_file(landed.connection, "messaging.deleted")
    landed.connection.execute("update waybill.load_file set gone = 'noticed' where dataset = 'messaging.deleted'")
    assert problems(landed, "files") == []


def test_rows_of_an_unknown_customer_can_be_replayed_once_it_arrives(landed: Landing, client: TestClient) -> None:
    load_unknown_customer(landed)
    (found,) = problems(landed, "rows")
    assert (found.severity, found.what) == ("notice", "2 rows of messaging.traffic in quarantine")
    assert "reference:customer_id (2)" in found.cause
    landed.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    (found,) = problems(landed, "rows")
    assert (found.severity, found.what) == ("warning", "2 rows of messaging.traffic can be loaded now")
    answer = press(client, found, "Replay 2 rows")
    assert answer["text"].startswith("Replayed 2 rows: 2 inserted. Run the periods from 2026-03 on again")
    assert problems(landed, "rows") == []
    assert landed.all("select count(*) from messaging.traffic where customer_id = 10") == [(2,)]


def test_rows_of_two_unknown_references_need_both(landed: Landing) -> None:
    rows = with_values(with_values(GOOD[:1], 3, "10"), 4, "4")
    landed.load("traffic", csv_body(TRAFFIC, [*rows, *with_values(GOOD[1:2], 3, "11"), *GOOD[2:]]))
    landed.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    assert whats(problems(landed, "rows")) == ["2 rows of messaging.traffic in quarantine"]
    landed.load("channels", csv_body(CHANNELS, channel_rows(4)))
    assert whats(problems(landed, "rows")) == [
        "1 row of messaging.traffic can be loaded now",
        "1 row of messaging.traffic in quarantine",
    ]


def test_rows_of_an_earlier_contract_are_replayed_and_stay_if_they_break_the_new_one(
    landed: Landing, client: TestClient, include_dir: Any
) -> None:
    landed.load("traffic", csv_body(TRAFFIC, [*with_values(GOOD[:2], 5, "-3"), *GOOD[2:]]))
    assert whats(problems(landed, "rows")) == ["2 rows of messaging.traffic in quarantine"]
    path = include_dir / "contracts/messaging/traffic.yaml"
    path.write_text(path.read_text().replace("version: 1.0.1", "version: 1.0.2", 1))
    (found,) = problems(landed, "rows")
    assert found.what == "2 rows of messaging.traffic were rejected by an earlier contract"
    assert found.cause.startswith("The contract is 1.0.2 now. Reasons so far: ")
    answer = press(client, found, "Replay 2 rows")
    assert answer["is_done"] is False
    assert answer["text"] == "Replayed 2 rows: 2 rejected. Still rejected: range:interactions_count (2)."
    assert whats(problems(landed, "rows")) == ["2 rows of messaging.traffic in quarantine"]


def test_late_rows_are_admitted(landed: Landing, client: TestClient) -> None:
    load_late_rows(landed)
    (found,) = problems(landed, "rows")
    assert (found.severity, found.what) == ("warning", "2 rows of messaging.traffic arrived too late")
    assert found.cause == "Their business day is more than 12 periods before their file."
    answer = press(client, found, "Admit late 2 rows")
    assert answer["counts"]["inserted"] == 2
    assert problems(landed, "rows") == []
    assert landed.all("select count(*) from messaging.traffic where send_date < '2026-01-01'") == [(2,)]


def test_records_without_fields_need_another_file(landed: Landing) -> None:
    landed.load("traffic", csv_body(TRAFFIC, ["1,2", *GOOD[1:]]))
    (found,) = problems(landed, "rows")
    assert found.what == "1 row of messaging.traffic has no fields"
    assert found.cause.endswith("Send a corrected file under the same name.")
    assert [one.label for one in found.actions] == ["Show rows", "Runbook"]
    landed.load("traffic", csv_body(TRAFFIC, GOOD))
    assert problems(landed, "rows") == []


def test_a_missing_file_is_listed_from_the_day_on_which_it_was_due(landed: Landing) -> None:
    for name, header, rows in (("customers", CUSTOMERS, customer_rows()), ("channels", CHANNELS, channel_rows())):
        landed.load(name, csv_body(header, rows))
    landed.load("traffic", csv_body(TRAFFIC, []), key_month="2026-02")
    landed.connection.execute("delete from waybill.load_file where period < '2026-01-01'")

    def of_traffic() -> list[Any]:
        found = problems(landed, "datasets", now=NOW + timedelta(days=1))
        return [problem for problem in found if "messaging.traffic" in problem.what]

    (found,) = of_traffic()
    assert (found.severity, found.what) == ("error", "messaging.traffic has no file for 2026-03")
    assert found.since == datetime.fromisoformat("2026-04-02T00:00:00+00:00"), "one day after the month"
    assert found.cause == "A file is expected 1 day after the month. The newest loaded period is 2026-02."
    command = "waybill drop FILE --domain messaging --dataset traffic --period 2026-03"
    assert action(found, "Copy command").target == command
    landed.load("traffic", csv_body(TRAFFIC, GOOD))
    assert of_traffic() == []


def test_books_that_do_not_balance_are_listed(landed: Landing) -> None:
    landed.load("traffic", csv_body(TRAFFIC, GOOD))
    assert problems(landed, "books") == []
    landed.connection.execute("alter table waybill.load_file drop constraint books_balance")
    change = "update waybill.load_file set inserted = inserted + %s where period = '2026-03-01'"
    landed.connection.execute(change, (-1,))
    (found,) = problems(landed, "books")
    assert (found.severity, found.what) == ("error", "The books of messaging.traffic 2026-03 are off by 1 row")
    assert found.since
    landed.connection.execute(change, (1,))
    assert problems(landed, "books") == []


def test_a_failed_check_of_severity_error_is_listed_until_it_passes(landed: Landing) -> None:
    contract = landed.contracts["traffic"]
    results = {}
    for severity, passes in (("error", False), ("warning", False), ("error", True)):
        check = Check("few_rows", "Rows of the month.", f"select {2 if passes else 7}", "<=", 5, severity)  # type: ignore[arg-type]
        (result,) = quality.evaluate(landed.connection, replace(contract, checks=(check,)), month(MONTH))
        quality.record(landed.connection, [result], RUN)
        results[severity, passes] = problems(landed, "checks")
    (found,) = results["error", False]
    assert found.what == "few_rows of messaging.traffic fails for 2026-03"
    assert found.cause == "few_rows is 7, must be <= 5."
    assert action(found, "Open run").target == f"dags/{DAG}/runs/test"
    assert results["warning", False] == results["error", True] == []


def test_a_report_that_waits_for_approval_is_listed_until_somebody_answers(landed: Landing) -> None:
    landed.load("customers", csv_body(CUSTOMERS, customer_rows()))
    landed.load("traffic", csv_body(TRAFFIC, GOOD))
    build_shares(landed, 9)
    (found,) = problems(landed, "reports")
    assert (found.severity, found.what) == ("warning", "messaging_report.segment_share 2026-03 waits for approval")
    assert f"{SHARES.checks[-1].name} is 9, must be <= 1." in found.cause
    assert found.since == landed.all("select built_at from waybill.publication")[0][0]
    target = f"dags/{DAG}/runs/test/tasks/publish/required_actions"
    assert action(found, "Approve or reject").target == target
    reports = report_contracts("messaging")
    reject(landed.connection, held_by(landed.connection, reports.values(), RUN), RUN, "lena")
    (found,) = problems(landed, "reports")
    assert found.what == "messaging_report.segment_share 2026-03 was rejected by lena"
    approve(landed.connection, held_by(landed.connection, reports.values(), RUN), "lena")
    assert problems(landed, "reports") == []


def test_a_run_that_asks_is_approved_or_rejected_by_users_who_may_answer(stack: Stack, landed: Landing) -> None:
    landed.load("customers", csv_body(CUSTOMERS, customer_rows()))
    landed.load("traffic", csv_body(TRAFFIC, GOOD))
    build_shares(landed, 9)
    asking = run_state("running", RUN.run_id, MONTH, 9, TaskState("publish", "awaiting_input", 1, 4))
    other = run_state("running", "other", MONTH, 9, TaskState("publish", "awaiting_input", 1, 4))
    (found,) = problems(landed, "reports", asking)
    for choice in ("Approve", "Reject"):
        answer = action(found, choice)
        assert (answer.kind, answer.dag) == ("answer", DAG)
        assert answer.target == f"api/v2/dags/{DAG}/dagRuns/{RUN.run_id}/taskInstances/publish/-1/hitlDetails"
        assert answer.body == {"chosen_options": [choice], "params_input": {}}
        assert answer.question
        assert "messaging_report.segment_share 2026-03" in answer.result
    for runs in ([], [other], [replace(asking, tasks=(TaskState("publish", "queued", 1, 4),))]):
        (found,) = problems(landed, "reports", *runs)
        assert {one.kind for one in found.actions} <= {"airflow", "page"}, "the run does not ask now"

    def shown(user: Someone) -> Page:
        client = client_of(reader_of(stack, landed), writer_of(stack, landed), user, [asking])
        return Page(client.get("/operations/index.html?domain=messaging").text)

    forms = [one for tag, one in shown(Someone()).tags if tag == "form" and one.get("data-method") == "PATCH"]
    assert len(forms) == 2
    assert {one["data-request"] for one in forms} == {f"../../{answer.target}"}
    page = shown(Someone(may_answer=False))
    assert not [one for tag, one in page.tags if tag == "form" and "data-method" in one]
    assert f"To approve, you need permission to answer the required actions of {DAG}." in page.text


def test_messages_in_a_dead_letter_queue_are_listed_with_the_command_that_sends_them_again(
    stack: Stack, landed: Landing
) -> None:
    arn = "arn:aws:sqs:eu-central-1:123456789012:waybill-messaging-dead"
    letters = [DeadLetters("messaging", arn.rpartition(":")[2], arn, 3), DeadLetters("shop", "shop-dead", "arn", 1)]
    access = access_of(reader_of(stack, landed), writer_of(stack, landed), Someone(), letters=letters)
    page = Page(TestClient(make_app(access)).get("/operations/index.html?domain=messaging").text)
    check_inert(page)
    assert "3 messages about files of messaging in waybill-messaging-dead" in page.text
    assert f"aws sqs start-message-move-task --source-arn {arn}" in page.text
    assert "shop-dead" not in page.text
    assert [one.severity for one in dead_letters(letters)] == ["warning", "warning"]
    assert problems(landed, "messages") == []


def test_each_problem_and_message_leads_to_its_section_of_the_published_runbook(
    landed: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_failure(landed)
    load_late_rows(landed)
    landed.reject("traffic", csv_body(TRAFFIC, with_values(GOOD[:20], 6, "x")), "broken.csv")
    runs = [
        run_state("failed", "r1", MONTH, 9, TaskState("traffic", "failed", 1, 4)),
        run_state("running", "r2", "2026-04", 10, TaskState("traffic", "up_for_retry", 1, 4)),
    ]

    def runbooks() -> list[Action]:
        found = overview(landed.connection, Scope(("messaging",)), NOW, runs)
        assert len(found.problems) > 5
        return [action(one, "Runbook") for one in (*found.problems, *found.alerts)]

    assert {one.target for one in runbooks()} == {f"dags/{DAG}"}, "the documents are not published"
    monkeypatch.setenv("WAYBILL_DOCS_URL", "https://docs.example.com/waybill/")
    settings.cache_clear()
    root = "https://docs.example.com/waybill/do/"
    assert {one.kind for one in runbooks()} == {"document"}
    assert {one.target for one in runbooks()} >= {
        f"{root}runbook/#failure",
        f"{root}runbook/#how-failures-are-handled",
        f"{root}correct/#send-a-corrected-file",
        f"{root}correct/#admit-late-rows",
    }


def test_outdated_reports_are_listed_until_they_are_built(landed: Landing) -> None:
    landed.load("customers", csv_body(CUSTOMERS, customer_rows()))
    landed.load("channels", csv_body(CHANNELS, channel_rows()))
    landed.load("traffic", csv_body(TRAFFIC, GOOD))
    build_shares(landed, 0)

    def of(verb: str) -> list[Any]:
        return [found for found in problems(landed, "periods") if f" {verb}: " in found.what]

    assert of("out of date") == []
    (unbuilt,) = of("not built")
    assert unbuilt.what.endswith(" reports of Messaging are not built: 2026-03")
    landed.load("customers", csv_body(CUSTOMERS, customer_rows(12)), "part-2.csv")
    (found,) = of("out of date")
    assert found.what == "1 report of Messaging is out of date: 2026-03"
    assert found.cause == "Inputs of messaging_report.segment_share have changed since the last build."
    assert found.since
    command = f"""airflow dags trigger {DAG} -c '{{"month": "2026-03"}}'"""
    assert action(found, "Copy command").target == command
    build_shares(landed, 0)
    assert of("out of date") == []


def test_the_most_severe_and_oldest_problems_come_first_and_figures_lead_to_them(
    landed: Landing, client: TestClient
) -> None:
    load_late_rows(landed)
    landed.reject("traffic", csv_body(TRAFFIC, with_values(GOOD[:20], 6, "x")), "broken.csv")
    found = overview(landed.connection, Scope(("messaging",)), NOW).problems
    ranks = [("error", "warning", "notice").index(one.severity) for one in found]
    assert ranks == sorted(ranks)
    for severity in ("error", "warning"):
        since = [one.since for one in found if one.severity == severity]
        assert since == sorted(since, key=lambda one: one or datetime.max.replace(tzinfo=NOW.tzinfo))
    assert found == overview(landed.connection, Scope(("messaging",)), NOW).problems
    by_subject = {one.subject: one for one in figures(found, "2", NOW + timedelta(days=400))}
    assert (by_subject["files"].state, by_subject["rows"].state, by_subject["books"].state) == ("bad", "warned", "good")
    assert by_subject["rows"].age.endswith(" days")
    page = Page(client.get("/operations/index.html?domain=messaging").text)
    check_inert(page)
    identifiers = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    assert anchors <= identifiers
    assert {"attention-files", "attention-rows", "books"} <= anchors
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2")]
    assert headings[:2] == ["h1", "h2"]
    assert page.text.index("Needs attention") < page.text.index("Books")


def test_users_who_may_not_run_the_dag_see_the_problem_without_its_button(stack: Stack, landed: Landing) -> None:
    load_late_rows(landed)
    viewer = client_of(reader_of(stack, landed), writer_of(stack, landed), Someone(may_run=False))
    page = Page(viewer.get("/operations/index.html?domain=messaging").text)
    assert "2 rows of messaging.traffic arrived too late" in page.text
    assert f"you need permission to run {DAG}" in page.text
    assert not [tag for tag, attributes in page.tags if tag == "form" and "data-request" in attributes]
    answer = viewer.post(f"/operations/replay/{DAG}", json={"dataset": "messaging.traffic", "kind": "late"})
    assert answer.status_code == 403
    assert viewer.post(f"/operations/withdraw/{DAG}", json={"file_id": 1, "keep": False}).status_code == 403


def test_a_warehouse_without_a_problem_says_so(landed: Landing, client: TestClient) -> None:
    landed.connection.execute("truncate waybill.load_file, waybill.quarantine cascade")
    assert overview(landed.connection, Scope(("messaging",)), NOW).problems == []
    text = " ".join(Page(client.get("/operations/index.html?domain=messaging").text).text.split())
    assert "Needs attention Nothing needs attention." in text


@pytest.mark.parametrize(
    "body",
    [
        {"dataset": "messaging.traffic"},
        {"dataset": "messaging.traffic", "kind": "other"},
        {"dataset": "messaging.traffic", "kind": "late", "reason": "too_late"},
        {"dataset": "messaging.traffic", "rows": [], "reason": ""},
    ],
)
def test_a_replay_names_rows_a_kind_or_a_reason(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post(f"/operations/replay/{DAG}", json=body).status_code == 422


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(0), "0 minutes"),
        (timedelta(minutes=1, seconds=59), "1 minute"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=47, minutes=59), "47 hours"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=-1), "0 minutes"),
    ],
)
def test_ages_are_counted_in_the_largest_fitting_unit(passed: timedelta, text: str) -> None:
    assert age(NOW - passed, NOW) == text


def test_a_cause_is_one_sentence() -> None:
    assert sentence("  first\nsecond") == "first."
    assert sentence("Why? ") == "Why?"
    assert sentence("") == ""
    assert len(sentence("x" * 1000)) == 302
