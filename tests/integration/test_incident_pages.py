"""Incidents in Data operations: their states in *Needs attention*, the buttons that change them, and their pages."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from support.landing import MONTH, TRAFFIC, Landing, csv_body
from support.problems import DAG, GOOD, NOW, landed, load_and_delete, reader_of, run_state, with_values, writer_of
from support.views import EVIL_VALUE, Page, Someone, check_inert, client_of
from waybill.errors import DataError
from waybill.ops.incidents import FailedRun, acknowledge, close, events_of, mute, numbered, open_incidents
from waybill.views import catalog, pages
from waybill.views.operations.figures import figures
from waybill.views.operations.incidents import failed, look
from waybill.views.operations.overview import overview
from waybill.views.operations.problem import Problem
from waybill.views.operations.runs import RunState, TaskState
from waybill.views.operations.scope import Scope
from waybill.views.quality_report import as_json, quality_report
from waybill_devtools.stack import Stack

__all__ = ["landed"]

TASK = TaskState("traffic", "failed", 1, 4)
OTHER_TASK = TaskState("publish", "failed", 1, 4)


def reject_file(landed: Landing, name: str = "broken.csv") -> DataError:
    """Land a file that is rejected; return the error."""
    return DataError(landed.reject("traffic", csv_body(TRAFFIC, with_values(GOOD[:20], 6, "x")), name))


def look_at(landed: Landing) -> None:
    look(landed.connection, "messaging", "watch", NOW, is_watch=True)


def fail_run(landed: Landing, run_id: str, period: str, cause: str = "Out of disk.", task: str = "traffic") -> int:
    """Record a failed run, and return the number of its incident."""
    run = FailedRun(DAG, run_id, task, period)
    number, _ = failed(landed.connection, "messaging", run, OSError(cause), f"{DAG} {period}", is_quiet=False)
    return number


def lines(landed: Landing, *runs: RunState, subject: str | None = None) -> list[Problem]:
    found = overview(landed.connection, Scope(("messaging",)), NOW, runs).problems
    return [one for one in found if subject in (None, one.subject)]


def incident_of(landed: Landing, kind: str) -> int:
    """Return the number of the open incident of a kind."""
    (found,) = [one for one in open_incidents(landed.connection, None) if one.kind == kind]
    return found.incident_id


@pytest.fixture
def client(stack: Stack, landed: Landing) -> TestClient:
    return client_of(reader_of(stack, landed), writer_of(stack, landed), Someone("ana"))


def page_of(client: TestClient, path: str = "index.html?domain=messaging") -> Page:
    answer = client.get(f"/operations/{path}")
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    check_inert(page)
    page.text = " ".join(page.text.split()).replace(" , ", ", ")  # the page has tags there
    return page


def changes(page: Page, number: int) -> set[str]:
    """Return the changes of an incident for which a page has buttons."""
    bodies = [json.loads(one["data-body"] or "") for tag, one in page.tags if tag == "form" and "data-refresh" in one]
    return {body["change"] for body in bodies if body["incident_id"] == number}


def change(client: TestClient, number: int, name: str, status: int = 200, dag: str = DAG, **more: Any) -> str:
    """Send the request of a button, and return the text of the answer."""
    answer = client.post(f"/operations/incident/{dag}", json={"incident_id": number, "change": name, **more})
    assert answer.status_code == status, answer.text
    body = answer.json()
    return str(body["text"] if status == 200 else body["detail"])


def test_a_problem_has_its_incident_and_buttons_once_a_run_has_looked(landed: Landing, client: TestClient) -> None:
    reject_file(landed)
    assert not [one for tag, one in page_of(client).tags if "data-refresh" in one]
    look_at(landed)
    number = incident_of(landed, "file")
    page = page_of(client)
    opened = numbered(landed.connection, number).opened_at
    assert f"Incident {number}, open since {opened:%Y-%m-%d %H:%M}" in page.text
    assert f"incident.html?number={number}&domain=messaging" in page.links
    assert changes(page, number) == {"acknowledge", "mute"}


def test_an_acknowledged_incident_comes_after_open_ones_of_its_severity(landed: Landing, client: TestClient) -> None:
    load_and_delete(landed)
    reject_file(landed)
    fail_run(landed, "r1", MONTH)
    look_at(landed)
    number = incident_of(landed, "file")
    assert change(client, number, "acknowledge") == f"The incident {number} is acknowledged."
    page = page_of(client)
    assert f"Incident {number}, acknowledged by ana" in page.text
    assert changes(page, number) == {"mute"}
    assert [(event, by) for _, event, by, _ in events_of(landed.connection, number)] == [
        ("opened", "watch"),
        ("acknowledged", "ana"),
    ]
    found = [one for one in lines(landed) if one.incident]
    states = [(one.severity, one.incident.state) for one in found if one.incident]
    assert states == sorted(states, key=lambda one: (one[0], one[1] == "acknowledged"))
    assert states.index(("error", "acknowledged")) > states.index(("error", "open"))
    assert ("warning", "open") in states


def test_a_muted_incident_is_folded_at_the_end_until_it_is_unmuted(landed: Landing, client: TestClient) -> None:
    reject_file(landed)
    look_at(landed)
    number = incident_of(landed, "file")
    assert re.fullmatch(
        rf"The incident {number} sends no alerts until \d{{4}}-\d\d-\d\d \d\d:\d\d UTC\.",
        change(client, number, "mute", days=7),
    )
    found = numbered(landed.connection, number)
    assert found.muted_until
    assert timedelta(days=6) < found.muted_until - found.opened_at <= timedelta(days=7, minutes=1)
    page = page_of(client)
    assert lines(landed)[-1].what == "broken.csv of messaging.traffic was rejected"
    folded = page.text.index("1 muted")
    assert folded < page.text.index("broken.csv of messaging.traffic was rejected") < page.text.index("Books")
    assert f"muted by ana until {found.muted_until:%Y-%m-%d %H:%M}" in page.text
    assert changes(page, number) == {"unmute"}
    change(client, number, "unmute")
    assert "muted" not in page_of(client).text.partition("Books")[0]
    assert numbered(landed.connection, number).state == "open"


def test_only_muted_problems_leave_nothing_that_needs_attention(landed: Landing, client: TestClient) -> None:
    fail_run(landed, "r1", MONTH)
    for one in lines(landed):
        if one.incident:
            mute(landed.connection, one.incident.incident_id, "ana", NOW + timedelta(days=36500))
    landed.connection.execute("truncate waybill.load_file, waybill.quarantine cascade")
    hidden = [one.get("hidden", "shown") for tag, one in page_of(client).tags if "data-done" in one]
    assert hidden == ["shown"]


def test_runs_with_the_same_cause_are_one_line_whatever_their_task(landed: Landing) -> None:
    first = fail_run(landed, "r1", "2026-01")
    assert fail_run(landed, "r2", "2026-02", task="publish") == first
    second = fail_run(landed, "r3", "2026-03", "Another cause.")
    runs = [
        run_state("failed", "r1", "2026-01", 8, TASK),
        run_state("failed", "r2", "2026-02", 9, OTHER_TASK),
        run_state("failed", "r3", "2026-03", 10, TASK),
        run_state("failed", "r4", "2026-04", 11, TASK),
    ]
    found = {one.incident and one.incident.incident_id: one for one in lines(landed, *runs, subject="runs")}
    assert found.keys() == {first, second, None}
    assert found[first].what == f"{DAG}: 2 runs (2026-01 to 2026-02) failed"
    assert found[second].what == f"{DAG} 2026-03 failed in traffic"
    assert found[None].what == f"{DAG} 2026-04 failed in traffic"
    assert found[first].actions[0].target == f"dags/{DAG}/runs/r2/tasks/publish", "of the newest run"


def test_a_rejected_file_and_the_runs_that_it_stopped_are_one_line(landed: Landing, client: TestClient) -> None:
    error = reject_file(landed)
    look_at(landed)
    number = incident_of(landed, "file")
    connection = landed.connection
    run = FailedRun(DAG, "r2", "traffic", MONTH)
    assert failed(connection, "messaging", run, error, DAG, is_quiet=False) == (number, None)
    stopped = run_state("failed", "r2", MONTH, 9, TASK)
    assert lines(landed, stopped, subject="runs") == []
    (found,) = lines(landed, stopped, subject="files")
    assert (found.stopped, found.incident and found.incident.incident_id) == (1, number)
    assert [one.label for one in found.actions] == ["Open task", "Show files", "Runbook"]
    assert found.actions[0].target == f"dags/{DAG}/runs/r2/tasks/traffic"
    by_subject = {one.subject: one for one in figures([found], "0", NOW)}
    assert (by_subject["runs"].value, by_subject["files"].value) == ("1", "1")
    assert "1 run stopped" not in page_of(client).text, "Airflow does not list the run"


def test_a_page_links_the_figure_of_runs_to_the_line_that_stopped_them(stack: Stack, landed: Landing) -> None:
    error = reject_file(landed)
    look_at(landed)
    run = FailedRun(DAG, "r2", "traffic", MONTH)
    failed(landed.connection, "messaging", run, error, DAG, is_quiet=False)
    runs = [run_state("failed", "r2", MONTH, 9, TASK)]
    page = page_of(client_of(reader_of(stack, landed), writer_of(stack, landed), runs=runs))
    assert "open since" in page.text
    assert "1 run stopped" in page.text
    identifiers = [one["id"] for _, one in page.tags if "id" in one]
    assert len(identifiers) == len({*identifiers})
    assert "attention-runs" in identifiers
    assert "#attention-runs" in page.links


def test_an_incident_of_a_run_that_airflow_does_not_list_can_be_closed(landed: Landing, client: TestClient) -> None:
    number = fail_run(landed, "r1", MONTH)
    page = page_of(client)
    assert f"{DAG} {MONTH} failed in traffic" in page.text
    assert f"../../dags/{DAG}/runs/r1" in page.links
    assert changes(page, number) == {"acknowledge", "mute", "close"}
    assert change(client, number, "close") == f"The incident {number} is closed."
    assert f"{DAG} {MONTH} failed in traffic" not in page_of(client).text


def test_a_failed_run_whose_incident_was_closed_needs_no_attention(landed: Landing) -> None:
    run = run_state("failed", "r1", MONTH, 9, TASK)
    assert len(lines(landed, run, subject="runs")) == 1
    number = fail_run(landed, "r1", MONTH)
    assert len(lines(landed, run, subject="runs")) == 1
    close(landed.connection, number, "ana")
    assert lines(landed, run, subject="runs") == []
    fail_run(landed, "r1", MONTH)
    assert len(lines(landed, run, subject="runs")) == 1, "its task was cleared and failed again"


def test_late_runs_of_a_dag_are_one_line(landed: Landing) -> None:
    from waybill.ops import alert_delivery
    from waybill.ops.alerts import deadline_text
    from waybill.ops.incident_updates import fail
    from waybill.ops.incidents import Found

    found = Found(f"deadline {DAG}", "deadline", "messaging", "error", f"{DAG} is late", "Late.", "Open the run.")
    for run_id, period in (("r1", "2026-02"), ("r2", "2026-03")):
        text = deadline_text(f"{DAG} {period}", run_id, "3 hours after its start")
        alert_delivery.record(landed.connection, (DAG, run_id, "deadline"), text, [])
        fail(landed.connection, found, FailedRun(DAG, run_id, "", period), is_quiet=False)
    waiting = TaskState("landed", "deferred", 1, 1)
    runs = [run_state("running", "r2", "2026-03", 10, waiting), run_state("running", "r1", "2026-02", 9, waiting)]
    (line,) = lines(landed, *runs, subject="runs")
    assert line.what == f"{DAG}: 2 runs (2026-02 to 2026-03) are late"
    assert line.cause == "The oldest has not finished 3 hours after its start. Open tasks: landed (deferred)."
    assert line.incident
    fail_run(landed, "r1", "2026-02")
    failed_now = [runs[0], run_state("failed", "r1", "2026-02", 9, TASK)]
    kinds = [one.incident.kind for one in lines(landed, *failed_now, subject="runs") if one.incident]
    assert sorted(kinds) == ["deadline", "failure"]


def test_an_incident_of_data_is_not_closed_by_hand(landed: Landing, client: TestClient) -> None:
    reject_file(landed)
    look_at(landed)
    refused = change(client, incident_of(landed, "file"), "close", 409)
    assert "is closed when the problem is over. Send a corrected file under the same name." in refused


def test_a_change_of_a_closed_incident_is_refused_and_says_who_closed_it(landed: Landing, client: TestClient) -> None:
    number = fail_run(landed, "r1", MONTH)
    close(landed.connection, number, "lena")
    for name, more in (("acknowledge", {}), ("mute", {"days": 1}), ("unmute", {}), ("close", {})):
        assert change(client, number, name, 409, **more) == f"The incident {number} was closed by lena."


def test_users_who_may_not_run_the_dag_see_incidents_without_buttons(stack: Stack, landed: Landing) -> None:
    number = fail_run(landed, "r1", MONTH)
    viewer = client_of(reader_of(stack, landed), writer_of(stack, landed), Someone(may_run=False))
    for path in ("index.html?domain=messaging", f"incident.html?number={number}"):
        page = page_of(viewer, path)
        assert f"{DAG} {MONTH} failed in traffic" in page.text
        assert changes(page, number) == set()
        assert "permission" not in page.text
    change(viewer, number, "acknowledge", 403)
    assert numbered(landed.connection, number).state == "open"


@pytest.mark.parametrize(
    "body",
    [
        {"incident_id": 1},
        {"incident_id": 0, "change": "acknowledge"},
        {"incident_id": 2**31, "change": "acknowledge"},
        {"incident_id": 1, "change": "reopen"},
        {"incident_id": 1, "change": "mute"},
        {"incident_id": 1, "change": "mute", "days": 0},
        {"incident_id": 1, "change": "mute", "days": 367},
        {"incident_id": 1, "change": "close", "days": 1},
    ],
)
def test_a_change_that_is_not_understood_is_refused(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post(f"/operations/incident/{DAG}", json=body).status_code == 422


def test_an_incident_is_changed_through_its_own_dag_and_from_its_own_site_only(
    landed: Landing, client: TestClient
) -> None:
    number = fail_run(landed, "r1", MONTH)
    assert change(client, number, "acknowledge", 404, "shop_daily") == (
        f"The incident {number} does not belong to the DAG shop_daily."
    )
    assert "There is no incident 99." in change(client, 99, "acknowledge", 404)
    body = {"incident_id": number, "change": "acknowledge"}
    route = f"/operations/incident/{DAG}"
    assert client.post(route, json=body, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.post(route, data=body).status_code == 415
    assert numbered(landed.connection, number).state == "open"


def test_incidents_of_dags_without_datasets_are_on_the_page_of_all_domains(landed: Landing, client: TestClient) -> None:
    run = FailedRun("operations_watch", "w1", "report", "")
    number, _ = failed(landed.connection, "", run, OSError("No bucket."), "operations_watch", is_quiet=False)
    page = page_of(client, "index.html")
    assert "operations_watch failed in report" in page.text
    assert "../../dags/operations_watch/runs/w1" in page.links
    routes = {one["data-request"] for tag, one in page.tags if "data-refresh" in one}
    assert routes == {"incident/operations_watch"}
    assert "operations_watch failed" not in page_of(client).text, "of messaging only"
    assert "operations_watch failed" in page_of(client, "incidents.html").text
    assert "../../dags/operations_watch/runs/w1" in page_of(client, f"incident.html?number={number}").links
    change(client, number, "acknowledge", 404)
    change(client, number, "acknowledge", dag="operations_watch")


def test_the_page_of_incidents_lists_open_ones_then_closed_ones_by_domain_and_state(
    landed: Landing, client: TestClient
) -> None:
    assert "No incident." in page_of(client, "incidents.html").text
    numbers = [fail_run(landed, f"r{one}", MONTH, f"Cause {'abcd'[one]}.") for one in range(4)]
    acknowledge(landed.connection, numbers[1], "ana")
    mute(landed.connection, numbers[2], "ana", NOW + timedelta(days=36500))
    close(landed.connection, numbers[3], "ana")

    def listed(query: str = "") -> list[int]:
        links = page_of(client, f"incidents.html{query}").links
        return [int(found[1]) for link in links if (found := re.search(r"incident\.html\?number=(\d+)", link))]

    assert listed() == listed("?domain=messaging") == listed(f"?dag_id={DAG}") == numbers
    assert listed("?domain=shop") == []
    states = ("open", "acknowledged", "muted", "closed")
    assert [listed(f"?state={state}") for state in states] == [[number] for number in numbers]
    assert client.get("/operations/incidents.html?state=other").status_code == 422
    assert client.get("/operations/incidents.html?domain=other").status_code == 404
    assert "No incident with this state." in page_of(client, "incidents.html?domain=shop&state=muted").text


def test_the_page_of_an_incident_has_its_history_and_runs(landed: Landing, client: TestClient) -> None:
    number = fail_run(landed, "r1", "2026-02", EVIL_VALUE)
    fail_run(landed, "r2", "2026-03", EVIL_VALUE)
    acknowledge(landed.connection, number, EVIL_VALUE)
    page = page_of(client, f"incident.html?number={number}")
    assert EVIL_VALUE in page.text
    assert f"acknowledged by {EVIL_VALUE}" in page.text
    assert "Read the log of the failed task." in page.text
    history = page.text[page.text.index("History") :]
    assert history.index("opened r1") < history.index("acknowledged") < history.index("Runs")
    assert [link for link in page.links if "run_id=" in link] == [
        f"index.html?dag_id={DAG}&run_id=r2",
        f"index.html?dag_id={DAG}&run_id=r1",
    ]
    close(landed.connection, number, "ana")
    page = page_of(client, f"incident.html?number={number}&domain=messaging")
    assert "closed by ana at" in page.text
    assert changes(page, number) == set()
    missing = client.get("/operations/incident.html?number=99")
    assert (missing.status_code, "There is no incident 99." in missing.text) == (404, True)
    assert client.get("/operations/incident.html?number=99999999999").status_code == 422


def test_the_tab_of_a_run_names_its_incident_and_alerts_follow_it(stack: Stack, landed: Landing) -> None:
    from waybill.ops import alert_delivery
    from waybill.ops.alerts import failure_text

    number = fail_run(landed, "r1", MONTH)
    text = failure_text(f"{DAG} {MONTH}", "r1", "traffic", "Out of disk.", "http://log")
    for kind in ("failure", f"failure {number}", "incidents 7"):
        alert_delivery.record(landed.connection, (DAG, "r1", kind), text, [])
    runs = [run_state("failed", "r1", MONTH, 9, TASK)]
    client = client_of(reader_of(stack, landed), writer_of(stack, landed), runs=runs)
    tab = f"index.html?dag_id={DAG}&run_id=r1"
    page = page_of(client, tab)
    assert f"Incident {number}, open since" in page.text
    assert f"{DAG} {MONTH} failed in traffic" in page.text
    assert page.text.count("open failure") == 2
    assert page.text.count("information incidents") == 1
    close(landed.connection, number, "ana")
    page = page_of(client, tab)
    assert "open failure" not in page.text
    assert page.text.count(f"incident {number} was closed by ana") == 2


def test_the_quality_report_lists_incidents_that_were_opened_and_closed_and_states_of_open_ones(
    landed: Landing,
) -> None:
    reject_file(landed)
    look_at(landed)
    acknowledge(landed.connection, number := incident_of(landed, "file"), "ana")
    over = fail_run(landed, "r1", MONTH)
    close(landed.connection, over, "ana")
    old = fail_run(landed, "r2", MONTH, "Another.")
    landed.connection.execute(
        "update waybill.incident_event set happened_at = now() - interval '7 hours' where incident_id = %s", (old,)
    )
    ((moment,),) = landed.all("select now() + interval '1 second'")
    with catalog.unchanged():
        found = quality_report(landed.connection, moment)
    body = json.loads(as_json(found))
    assert {number, over} <= {one["incident"] for one in body["incidents_opened"]}
    assert old not in {one["incident"] for one in body["incidents_opened"]}
    assert [(one["incident"], one["closed_by"]) for one in body["incidents_closed"]] == [(over, "ana")]
    states = {one["incident"]: one["state"] for one in body["problems"] if one["incident"]}
    assert (states[number], states[old]) == ("acknowledged", "open")
    text = " ".join(Page(pages.quality(found, [])).text.split())
    assert f"{number}, acknowledged by ana" in text
    assert f"closed {over} error {DAG} {MONTH} failed in traffic closed by ana at" in text
