"""A run of the watch: alerts, what *Needs attention* lists, a chart, commands, and the quality report."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from support.landing import TRAFFIC, Landing, csv_body, landing_bucket, landing_dsn, traffic_rows
from support.messaging_months import month
from support.problems import landed, problems, reader_of, whats, writer_of
from support.views import Page, Someone, check_inert, client_of
from waybill.cli import app
from waybill.operators import IncidentsOperator, QualityReportOperator, WatchOperator, watching
from waybill.settings import settings
from waybill.watch import subjects
from waybill_devtools.stack import Stack

__all__ = ["landed", "landing_bucket", "landing_dsn"]

LAST = month("2026-02")

NOTHING = f"0 new anomalous values in {len(subjects.datasets())} datasets and {len(subjects.reports())} reports.\n"


@pytest.fixture
def watched(landed: Landing, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Landing:
    """Twelve months of traffic; the last has less than half of the rows."""
    for back in range(12):
        period = LAST.shift(-back)
        rows = traffic_rows(200 if back else 80, first_day=f"{period.key}-01")
        landed.load("traffic", csv_body(TRAFFIC, rows), key_month=period.key)
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", writer_of(stack, landed))
    monkeypatch.setenv("WAYBILL_WAREHOUSE", writer_of(stack, landed))
    settings.cache_clear()
    return landed


def run(run_id: str) -> Any:
    context = {
        "dag": SimpleNamespace(dag_id="operations_watch"),
        "dag_run": SimpleNamespace(partition_key=None, conf=None),
        "run_id": run_id,
        "ti": SimpleNamespace(log_url="http://airflow/log"),
    }
    found = WatchOperator(task_id="anomalies").execute(context)
    IncidentsOperator(task_id="incidents").execute(context)
    return found


def messages(watched: Landing, about: str) -> list[list[str]]:
    """Return the lines of each message about incidents that names something."""
    found = watched.all("select message from waybill.alert where kind like 'incidents %%' order by raised_at")
    return [message.splitlines() for (message,) in found if about in message]


def test_a_run_finds_an_anomaly_once_and_people_see_and_accept_it(watched: Landing, stack: Stack) -> None:
    line = "messaging.traffic 2026-02: rows: 80, expected 136.4 to 263.6"
    assert run("first") == [line]
    assert run("second") == []
    [message] = messages(watched, line)
    assert re.fullmatch(r"Messaging: \d+ incidents opened\.", message[0])
    assert [re.sub(r"^\d+", "N", one) for one in message if line in one] == [f"N opened (warning): {line}"]

    [problem] = problems(watched, "anomalies")
    assert problem.what == line
    [command] = [action.target for action in problem.actions if action.kind == "command"]

    with client_of(reader_of(stack, watched), writer_of(stack, watched), Someone()) as client:
        page = Page(client.get("/operations/anomalies.html?dataset=messaging.traffic").text)
    check_inert(page)
    assert line in page.text
    drawn = [dict(a) for tag, a in page.tags if tag == "td" and "data-value" in a]
    assert [float(str(one["data-value"])) for one in drawn] == [80, *[200] * 11, 0]

    [listed] = CliRunner().invoke(app, ["watch", "list"]).output.splitlines()
    assert listed.split(maxsplit=1) == [command.split()[-1], line]
    accepted = CliRunner().invoke(app, command.split()[1:])
    assert accepted.output == "messaging.traffic 2026-02: accepted\n"
    assert whats(problems(watched, "anomalies")) == []
    assert CliRunner().invoke(app, ["watch", "list"]).output == "There is no open anomaly.\n"
    assert CliRunner().invoke(app, ["watch", "run"]).output == NOTHING


def test_a_run_finds_drift_once_and_people_see_the_change_of_the_contract(watched: Landing) -> None:
    rows = [f"{row},[/]K-{place}" for place, row in enumerate(traffic_rows(200, first_day=f"{LAST.key}-01"))]
    key = watched.load("traffic", csv_body(f"{TRAFFIC},Booking [code]", rows), key_month=LAST.key)
    line = f"messaging.traffic: the column 'Booking [code]' is new, like [/]A-999 and [/]A-99 and [/]A-9, in {key}"
    assert run("first") == [line]
    assert run("second") == []
    [message] = messages(watched, "Booking [code]")
    [problem] = problems(watched, "anomalies")
    assert problem.what == line
    [command] = [action.target for action in problem.actions if action.kind == "command"]
    assert f"  To do: `{command}`" in message
    listed = CliRunner().invoke(app, ["watch", "list"], env={"COLUMNS": "300"})
    assert "the column 'Booking [code]' is new, like [/]A-999" in listed.output
    proposed = CliRunner().invoke(app, command.split()[1:])
    assert proposed.exit_code == 0, proposed.output
    assert "+      - name: booking_code\n" in proposed.stdout
    number = command.split()[-1]
    assert {"drift": [int(number)]} in [action.body for action in problem.actions if action.label == "Accept"]
    accepted = CliRunner().invoke(app, ["watch", "accept", "--drift", number])
    assert accepted.output == "messaging.traffic: the column 'Booking [code]' is new: accepted\n"
    assert CliRunner().invoke(app, ["watch", "list"]).output == "There is no open anomaly.\n"
    assert whats(problems(watched, "anomalies")) == []
    assert CliRunner().invoke(app, ["watch", "accept", "--drift", "--step", number]).exit_code == 1

    watched.load("traffic", csv_body(TRAFFIC, traffic_rows(200, first_day=f"{LAST.key}-01")), key_month=LAST.key)
    assert CliRunner().invoke(app, ["watch", "run"]).output == NOTHING
    assert CliRunner().invoke(app, ["watch", "list"]).output == "There is no open anomaly.\n"


def test_values_and_drift_are_accepted_by_the_buttons_which_closes_their_incidents(
    watched: Landing, stack: Stack
) -> None:
    rows = [f"{row},K-{place}" for place, row in enumerate(traffic_rows(80, first_day=f"{LAST.key}-01"))]
    watched.load("traffic", csv_body(f"{TRAFFIC},Booking", rows), key_month=LAST.key)
    run("first")
    kinds = "select kind, closed_by from waybill.incident where kind in ('anomaly', 'drift') order by kind"
    assert watched.all(kinds) == [("anomaly", None), ("drift", None)]
    buttons = [one for found in problems(watched, "anomalies") for one in found.actions if one.label == "Accept"]
    assert [one.target for one in buttons] == ["accept/messaging_monthly"] * 2
    database = reader_of(stack, watched), writer_of(stack, watched)
    with client_of(*database, Someone("viewer", may_run=False)) as viewer:
        assert viewer.post(f"/operations/{buttons[0].target}", json=buttons[0].body).status_code == 403
    with client_of(*database, Someone("ana")) as client:
        assert client.post("/operations/accept/shop_daily", json=buttons[0].body).status_code == 404
        assert client.post(f"/operations/{buttons[0].target}", json={"anomalies": [99]}).status_code == 404
        assert client.post(f"/operations/{buttons[0].target}", json={}).status_code == 422
        assert watched.all(kinds) == [("anomaly", None), ("drift", None)]
        answers = [client.post(f"/operations/{one.target}", json=one.body).json() for one in buttons]
    assert {one["text"] for one in answers} == {
        "Values of messaging.traffic accepted.",
        "Schema drift of messaging.traffic accepted.",
    }
    assert watched.all(kinds) == [("anomaly", "ana"), ("drift", "ana")]
    assert problems(watched, "anomalies") == []


def test_an_unknown_anomaly_cannot_be_accepted(watched: Landing) -> None:
    done = CliRunner().invoke(app, ["watch", "accept", "7"])
    assert done.exit_code == 1
    assert watched.all("select from waybill.anomaly") == []


def test_the_quality_report_tells_the_state_of_each_dataset(
    watched: Landing, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(moment: datetime) -> str:
        monkeypatch.setattr(watching, "now", lambda: moment)
        run("any")
        return str(QualityReportOperator(task_id="report").execute({}))

    def read(name: str) -> str:
        body = stack.s3().get_object(Bucket=settings().reports_bucket, Key=f"quality/2026/03/31/{name}")["Body"]
        return body.read().decode()

    anomaly = "messaging.traffic 2026-02: rows: 80, expected 136.4 to 263.6"
    address = report(datetime(2026, 3, 31, 13, 45, tzinfo=UTC))
    assert address == f"s3://{settings().reports_bucket}/quality/2026/03/31/12.html"
    page, data = Page(read("12.html")), json.loads(read("12.json"))
    assert {*data["searched"]} == {"anomalies", "drift"}
    assert None not in data["searched"].values()
    assert "script" not in {tag for tag, _ in page.tags}
    assert anomaly in page.text
    assert [one["severity"] for one in data["problems"] if one["what"] == anomaly] == ["warning"]
    [traffic] = [one for one in data["datasets"] if one["dataset"] == "messaging.traffic"]
    assert traffic["newest_period"] == "2026-02"
    assert [*traffic["rows"].values()] == [0, *[200] * 11, 80]
    assert "▁███████████▃" in page.text

    watched.load("traffic", csv_body(TRAFFIC, traffic_rows(200, first_day="2026-02-01")), key_month="2026-02")
    report(datetime(2026, 3, 31, 19, tzinfo=UTC))
    assert anomaly not in read("18.html")
    assert anomaly in read("12.html")
    report(datetime(2026, 3, 31, 12, tzinfo=UTC))
    day = Page(read("index.html"))
    assert {"12.html", "18.html"} <= set(day.links)
    assert anomaly not in day.text


def test_the_report_says_how_old_the_last_search_is(
    watched: Landing, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(moment: datetime) -> tuple[str, dict[str, str | None]]:
        monkeypatch.setattr(watching, "now", lambda: moment)
        key = str(QualityReportOperator(task_id="report").execute({})).partition("/quality/")[2]

        def read(name: str) -> str:
            found = stack.s3().get_object(Bucket=settings().reports_bucket, Key=f"quality/{name}")
            return found["Body"].read().decode()

        return " ".join(Page(read(key)).text.split()), json.loads(read(key.replace(".html", ".json")))["searched"]

    page, searched = report(datetime.now(UTC))
    assert "for anomalies: never" in page
    assert searched == {"anomalies": None, "drift": None}
    run("any")
    page, searched = report(datetime.now(UTC))
    assert "see the log of the task" not in page
    assert None not in searched.values()
    page, later = report(datetime.now(UTC) + timedelta(hours=8))
    assert "see the log of the task" in page
    assert later == searched


def test_data_operations_show_the_newest_quality_report(
    watched: Landing, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(reader_of(stack, watched), writer_of(stack, watched), Someone()) as client:
        page = Page(client.get("/operations/incidents.html").text)
        assert "quality/newest/index.html" in {link.partition("?")[0] for link in page.links}
        for moment in (datetime(2199, 4, 1, 7, tzinfo=UTC), datetime(2199, 3, 31, 1, tzinfo=UTC)):
            monkeypatch.setattr(watching, "now", lambda moment=moment: moment)
            QualityReportOperator(task_id="report").execute({})
        answer = client.get("/operations/quality/newest/index.html")
        assert "Quality report 2199-04-01 07:00" in answer.text
        assert "script" not in answer.headers["content-security-policy"]
        assert Page(answer.text).links == ["06.html"]
        for place in ("newest", "2199/04/01"):
            of_hour = client.get(f"/operations/quality/{place}/06.html")
            assert "Quality report 2199-04-01 07:00" in of_hour.text
        assert client.get("/operations/quality/2199/04/02/index.html").status_code == 404
        for name in ("2199/04/01/..%2F..%2Findex", "2199/04/01/06.json", "26/4/1/06"):
            assert client.get(f"/operations/quality/{name}.html").status_code in (404, 422)
    with client_of(reader_of(stack, watched), writer_of(stack, watched), Someone(may_look=False)) as client:
        assert client.get("/operations/quality/2199/04/01/06.html").status_code == 303
