"""`waybill incidents` lists incidents, tells their history, and acknowledges, mutes and closes them."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection
from typer.testing import CliRunner

from support.messaging_months import database
from waybill.cli import app
from waybill.ops.incident_updates import fail, observe, settle
from waybill.ops.incidents import FailedRun, Found, events_of, numbered
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

USER = getpass.getuser()
FILE = Found("file a.b", "file", "a", "error", "x.csv of a.b was rejected", "No header.", "Correct x.csv.")
DRIFT = Found(
    "drift 1", "drift", "b", "warning", "b.c has a new column", "In y.csv.", "Run `waybill contract propose 1`."
)
FAILURE = Found("failure d", "failure", "a", "error", "d failed in t", "Out of [red]disk[/].", "Clear the task.")


@pytest.fixture
def warehouse(stack: Stack, stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A warehouse of the test's own, which commands use. Its incident 1 is of a run, 2 of a file, 3 of drift."""
    with database(stack) as dsn:
        monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        settings.cache_clear()
        with connect(dsn) as connection:
            fail(connection, FAILURE, FailedRun("d", "r1", "t", "2026-03"), is_quiet=False)
            observe(connection, "a", [FILE], "r2", is_watch=True)
            observe(connection, "b", [DRIFT], "r3", is_watch=True)
            yield connection
    settings.cache_clear()


def run(*arguments: str, exit_code: int = 0) -> str:
    """Run `waybill incidents` and return its output as one line."""
    result = CliRunner().invoke(app, ["incidents", *arguments])
    assert result.exit_code == exit_code, result.output
    return " ".join(result.output.split())


def test_open_incidents_are_listed_errors_first(warehouse: Connection) -> None:
    listed = run()
    assert listed == run("list")
    assert listed.index("1 a error") < listed.index("2 a error") < listed.index("3 b warning")
    assert "open x.csv of a.b was rejected" in listed
    assert "x.csv" not in run("--domain", "b")
    assert run("--closed") == "There is no closed incident."
    assert run("list", "--domain", "c") == "There is no open incident."


def test_incidents_are_printed_as_json(warehouse: Connection) -> None:
    run("acknowledge", "2")
    found = {one["incident_id"]: one for one in json.loads(run("--json"))}
    assert {number: one["state"] for number, one in found.items()} == {1: "open", 2: "acknowledged", 3: "open"}
    assert (found[2]["kind"], found[2]["what"], found[2]["acknowledged_by"]) == ("file", FILE.what, USER)
    assert datetime.fromisoformat(found[2]["opened_at"]) <= datetime.now(UTC)
    assert json.loads(run("--json", "--closed")) == []


def test_an_incident_is_shown_with_cause_remedy_runbook_history_and_runs(
    warehouse: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(warehouse, FAILURE, FailedRun("d", "r4", "t", "2026-04"), is_quiet=False)
    settle(warehouse, "d", "2026-03", ["t"], "r5")
    run("acknowledge", "1")
    shown = run("show", "1")
    assert f"Incident 1 of a: error, acknowledged by {USER} d failed in t" in shown
    assert "Cause: Out of [red]disk[/]. Remedy: Clear the task. Runbook: docs/do/runbook.md#failure" in shown
    assert "UTC opened r1 1" in shown
    assert f"UTC acknowledged {USER} 2" in shown
    assert shown.index("d r4 t") < shown.index("d r1 t")
    monkeypatch.setenv("WAYBILL_DOCS_URL", "https://docs.example.com/")
    settings.cache_clear()
    assert "Runbook: https://docs.example.com/do/correct/#send-a-corrected-file" in run("show", "2")
    assert "Runs" not in run("show", "2")


def test_several_incidents_are_acknowledged_muted_and_unmuted(warehouse: Connection) -> None:
    assert run("acknowledge", "3", "2", "3") == (
        f"3: acknowledged by {USER}. {DRIFT.what} 2: acknowledged by {USER}. {FILE.what}"
    )
    before = datetime.now(UTC)
    run("mute", "2", "3", "--days", "7")
    for number in (2, 3):
        until = numbered(warehouse, number).muted_until
        assert until
        assert before <= until - timedelta(days=7) <= datetime.now(UTC)
    assert "muted by" in run()
    assert run("unmute", "2").startswith("2: acknowledged")
    assert [event for _, event, *_ in events_of(warehouse, 2)] == ["opened", "acknowledged", "muted", "unmuted"]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2100-04-30", "2100-04-29T22:00:00+00:00"),
        ("2100-12-24T18:30", "2100-12-24T17:30:00+00:00"),
        ("2100-04-30T12:00:00+05:30", "2100-04-30T06:30:00+00:00"),
        ("2100-04-30T12:00Z", "2100-04-30T12:00:00+00:00"),
    ],
)
def test_incidents_are_muted_until_a_day_or_instant_of_the_business_time_zone(
    warehouse: Connection, monkeypatch: pytest.MonkeyPatch, text: str, instant: str
) -> None:
    monkeypatch.setenv("WAYBILL_TIMEZONE", "Europe/Berlin")
    settings.cache_clear()
    run("mute", "1", "--until", text)
    assert numbered(warehouse, 1).muted_until == datetime.fromisoformat(instant)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "give either --until or --days"),
        (["--until", "2100-01-01", "--days", "1"], "give either --until or --days"),
        (["--until", "tomorrow"], "'tomorrow' is no day or instant"),
        (["--until", "2001-01-01"], "--until 2001-01-01: it is "),
    ],
)
def test_a_wrong_end_of_a_mute_is_refused(warehouse: Connection, options: list[str], reason: str) -> None:
    assert reason in run("mute", "1", *options, exit_code=1)
    assert numbered(warehouse, 1).muted_until is None


def test_only_incidents_of_runs_can_be_closed(warehouse: Connection) -> None:
    assert (
        run("close", "1")
        == f"1: closed by {USER} at {numbered(warehouse, 1).closed_at:%Y-%m-%d %H:%M} UTC. d failed in t"
    )
    assert "d failed in t" in run("--closed")
    refused = run("close", "2", exit_code=1)
    assert "is closed when the problem is over. Correct x.csv." in refused
    assert f"The incident 1 was closed by {USER}." in run("acknowledge", "1", exit_code=1)
    assert "There is no incident 99." in run("mute", "99", "--days", "1", exit_code=1)
    assert [one["state"] for one in json.loads(run("--json"))] == ["open", "open"]


def test_incidents_before_an_unknown_one_stay_changed(warehouse: Connection) -> None:
    run("acknowledge", "2", "99", exit_code=1)
    assert numbered(warehouse, 2).state == "acknowledged"
