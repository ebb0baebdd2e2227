"""Incidents: one for each cause, opened and closed once, whoever looks how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection

from support.landing import (
    CHANNELS,
    CUSTOMERS,
    MONTH,
    TRAFFIC,
    Landing,
    channel_rows,
    csv_body,
    customer_rows,
    empty_connection,
    landing_bucket,
    landing_dsn,
    traffic_rows,
)
from support.messaging_months import RUN
from support.problems import NOW, landed
from waybill.errors import CommandFailed, DataError
from waybill.ops import incidents
from waybill.ops.incident_updates import fail, failure_key, observe, settle, settle_run, unsettled_runs
from waybill.ops.incidents import Event, FailedRun, Found
from waybill.views.operations.incidents import failed, look

__all__ = ["empty_connection", "landed", "landing_bucket", "landing_dsn"]

DOMAIN = "messaging"
ROWS = Found("books x", "books", DOMAIN, "warning", "the books are off", "why", "do this")
FAILURE = Found("failure d x", "failure", DOMAIN, "error", "d failed", "why", "read the log")


def seen(connection: Connection, *found: Found, is_watch: bool = True) -> list[tuple[str, str]]:
    events = observe(connection, DOMAIN, found, "run", is_watch=is_watch, has_letters=is_watch)
    return told(events)


def told(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Return (event, key) of each event that sends an alert."""
    return [(one.event, one.incident.key) for one in events if one.is_alerted]


def run(number: int, scope: str = "2026-03", task: str = "intake") -> FailedRun:
    return FailedRun("d", f"run {number}", task, scope)


def the_only(connection: Connection) -> incidents.Incident:
    [found] = incidents.open_incidents(connection, [DOMAIN])
    return found


def test_a_problem_opens_one_incident_and_closes_it(empty_connection: Connection) -> None:
    assert seen(empty_connection, ROWS) == [("opened", "books x")]
    assert seen(empty_connection, ROWS) == []
    assert seen(empty_connection, replace(ROWS, what="the books are off by 3")) == []
    assert the_only(empty_connection).what == "the books are off by 3"
    assert seen(empty_connection) == [("closed", "books x")]
    assert seen(empty_connection) == []
    assert seen(empty_connection, ROWS) == [("opened", "books x")], "a cause that returns is a new incident"


def test_an_incident_of_another_domain_stays(empty_connection: Connection) -> None:
    seen(empty_connection, ROWS)
    assert observe(empty_connection, "another", [], "run", is_watch=True) == []


def test_failures_of_the_same_cause_join_and_the_last_success_closes(empty_connection: Connection) -> None:
    first, event = fail(empty_connection, FAILURE, run(1), is_quiet=False)
    assert event is not None
    assert fail(empty_connection, FAILURE, run(2, "2026-04"), is_quiet=False) == (first, None)
    assert fail(empty_connection, FAILURE, run(2, "2026-04"), is_quiet=False) == (first, None)
    assert the_only(empty_connection).number == 2
    assert seen(empty_connection) == [], "the data does not close an incident of runs"
    assert settle(empty_connection, "d", "2026-03", ["publish"], "run 3") == []
    assert settle(empty_connection, "other", "2026-03", ["intake"], "run 3") == []
    assert settle(empty_connection, "d", "2026-03", ["intake"], "run 3") == []
    assert told(settle(empty_connection, "d", "2026-04", ["intake"], "run 4")) == [("closed", "failure d x")]
    assert settle(empty_connection, "d", "2026-04", ["intake"], "run 5") == []
    assert fail(empty_connection, FAILURE, run(6), is_quiet=False)[0] != first


def test_a_run_that_fails_again_keeps_the_incident_open(empty_connection: Connection) -> None:
    fail(empty_connection, FAILURE, run(1), is_quiet=False)
    fail(empty_connection, FAILURE, run(2, "2026-04"), is_quiet=False)
    settle(empty_connection, "d", "2026-03", ["intake"], "run 3")
    fail(empty_connection, FAILURE, run(1), is_quiet=False)
    assert settle(empty_connection, "d", "2026-04", ["intake"], "run 4") == []
    assert told(settle_run(empty_connection, "d", "run 1", "watch")) == [("closed", "failure d x")]


def test_a_run_of_all_open_work_settles_every_scope(empty_connection: Connection) -> None:
    fail(empty_connection, FAILURE, run(1, "file.csv"), is_quiet=False)
    assert settle(empty_connection, "d", "other.csv", ["intake"], "run 2") == []
    assert unsettled_runs(empty_connection) == [("d", "run 1")]
    assert told(settle(empty_connection, "d", "", ["intake"], "run 3")) == [("closed", "failure d x")]
    assert unsettled_runs(empty_connection) == []


def test_a_backfill_is_quiet_until_a_scheduled_run_fails(empty_connection: Connection) -> None:
    number, event = fail(empty_connection, FAILURE, run(1), is_quiet=True)
    assert event is not None
    assert not event.is_alerted
    assert fail(empty_connection, FAILURE, run(2), is_quiet=True) == (number, None)
    _, event = fail(empty_connection, FAILURE, run(3), is_quiet=False)
    assert event is not None
    assert told([event]) == [("opened", "failure d x")]
    assert fail(empty_connection, FAILURE, run(4), is_quiet=False) == (number, None)


def test_what_a_backfill_brought_is_quiet_until_a_run_of_another_kind_has_it(empty_connection: Connection) -> None:
    quiet = replace(ROWS, key="approval d backfill__1", kind="approval")
    assert seen(empty_connection, quiet, replace(quiet, key="approval d scheduled__1")) == [
        ("opened", "approval d scheduled__1")
    ]
    assert seen(empty_connection) == [("closed", "approval d scheduled__1")]
    assert incidents.open_incidents(empty_connection, [DOMAIN]) == []


def test_a_rejected_file_of_a_backfill_is_told_once_a_scheduled_run_rejects_one(empty_connection: Connection) -> None:
    def reject(run_id: str) -> None:
        empty_connection.execute(
            "insert into waybill.rejected_file (dataset, period, object_key, etag, run_id, message) "
            "values ('messaging.traffic', '2026-03-01', %s, 'e', %s, 'broken')",
            (f"raw/{run_id}.csv", run_id),
        )

    file = replace(ROWS, key="file messaging.traffic", kind="file")
    reject("backfill__1")
    assert seen(empty_connection, file) == []
    reject("scheduled__1")
    assert seen(empty_connection, replace(file, number=2)) == [("opened", file.key)]
    assert seen(empty_connection, replace(file, number=2)) == []


@pytest.mark.parametrize("kind", ["missing", "outdated", "dead letters"])
def test_what_time_causes_is_opened_by_the_watch_only(empty_connection: Connection, kind: str) -> None:
    late = replace(ROWS, key=f"{kind} x", kind=kind)
    assert seen(empty_connection, late, is_watch=False) == []
    assert seen(empty_connection, late) == [("opened", late.key)]
    assert seen(empty_connection, is_watch=False) == ([] if kind == "dead letters" else [("closed", late.key)])


def test_a_warning_that_becomes_an_error_escalates_once(empty_connection: Connection) -> None:
    seen(empty_connection, ROWS)
    worse = replace(ROWS, severity="error")
    assert seen(empty_connection, worse) == [("escalated", "books x")]
    assert seen(empty_connection, worse) == []


def test_an_error_that_nobody_acknowledges_escalates_once(empty_connection: Connection) -> None:
    worse = replace(ROWS, severity="error")
    others = [replace(worse, key="a"), replace(ROWS, key="b")]
    seen(empty_connection, worse, *others)
    incidents.acknowledge(empty_connection, the(empty_connection, "a"), "ann")
    age(empty_connection, timedelta(hours=25))
    assert seen(empty_connection, worse, *others) == [("escalated", "books x")]
    assert seen(empty_connection, worse, *others) == []


def test_more_than_was_acknowledged_is_told_again(empty_connection: Connection) -> None:
    files = replace(ROWS, key="file x", kind="file", number=2)
    seen(empty_connection, files)
    assert seen(empty_connection, replace(files, number=3)) == [], "nobody has acknowledged it"
    incidents.acknowledge(empty_connection, the_only(empty_connection).incident_id, "ann")
    assert the_only(empty_connection).state == "acknowledged"
    assert seen(empty_connection, replace(files, number=3)) == []
    assert seen(empty_connection, replace(files, number=4)) == [("grown", "file x")]
    assert the_only(empty_connection).state == "open"
    assert seen(empty_connection, replace(files, number=4)) == []


def test_a_muted_incident_sends_nothing_until_then(empty_connection: Connection) -> None:
    seen(empty_connection, ROWS)
    number = the_only(empty_connection).incident_id
    incidents.mute(empty_connection, number, "ann", datetime.now(UTC) + timedelta(days=1))
    assert the_only(empty_connection).state == "muted"
    assert seen(empty_connection, replace(ROWS, severity="error")) == []
    age(empty_connection, timedelta(days=2))
    assert the_only(empty_connection).state == "open"
    assert seen(empty_connection) == [("closed", "books x")]


def test_what_escalates_while_it_is_muted_escalates_again_later(empty_connection: Connection) -> None:
    seen(empty_connection, ROWS)
    number = the_only(empty_connection).incident_id
    incidents.mute(empty_connection, number, "ann", datetime.now(UTC) + timedelta(hours=30))
    worse = replace(ROWS, severity="error")
    assert seen(empty_connection, worse) == []
    age(empty_connection, timedelta(days=2))
    assert seen(empty_connection, worse) == [("escalated", "books x")]
    assert seen(empty_connection, worse) == []


def test_people_close_only_incidents_of_runs(empty_connection: Connection) -> None:
    seen(empty_connection, ROWS)
    number, _ = fail(empty_connection, FAILURE, run(1), is_quiet=False)
    with pytest.raises(CommandFailed, match="is about data"):
        incidents.close(empty_connection, the(empty_connection, "books x"), "ann")
    assert incidents.close(empty_connection, number, "ann").closed_by == "ann"
    with pytest.raises(CommandFailed, match="was closed by ann"):
        incidents.acknowledge(empty_connection, number, "bob")
    assert unsettled_runs(empty_connection) == []
    with pytest.raises(CommandFailed, match="There is no incident 999"):
        incidents.mute(empty_connection, 999, "ann", NOW)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (DataError("no file of 2026-03"), DataError("no file of 2026-04"), True),
        (DataError("a.csv: 3 rows"), DataError("b.csv: 3 rows"), False),
        (DataError("a1.csv: 3 rows"), DataError("a2.csv: 3 rows"), False),
        (DataError("1 of 3 files was rejected"), DataError("2 of 4 files was rejected"), True),
        (DataError("it started at 2026-03-01 12:01 UTC"), DataError("it started at 2026-04-01 09:00 UTC"), True),
        (DataError("a.csv: 3 rows\nReasons: x"), DataError("a.csv: 3 rows\nReasons: y"), True),
        (OSError("port 5432 at 12:01"), OSError("port 5433 at 12:02"), True),
        (OSError("gone"), ValueError("gone"), False),
        (OSError("the bucket is away"), OSError("the database is away"), False),
    ],
)
def test_causes_differ_in_more_than_periods_and_numbers_of_services(
    one: Exception, other: Exception, is_same: bool
) -> None:
    assert (failure_key("d", one, "2026-03") == failure_key("d", other, "2026-04")) is is_same
    assert failure_key("d", one, "") != failure_key("e", one, "")


def the(connection: Connection, key: str) -> int:
    found = incidents.open_incident(connection, key)
    assert found is not None
    return found.incident_id


def age(connection: Connection, by: timedelta) -> None:
    """Let all incidents be older."""
    connection.execute(
        "update waybill.incident set opened_at = opened_at - %(by)s, muted_until = muted_until - %(by)s", {"by": by}
    )


KEYS = [replace(ROWS, key=f"books {name}") for name in "abc"]


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.booleans()), max_size=12))
def test_every_cause_is_opened_and_closed_once_between_its_changes(
    empty_connection: Connection, looks: list[tuple[set[str], bool]]
) -> None:
    empty_connection.execute("truncate waybill.incident cascade")
    before: set[str] = set()
    for names, is_repeated in looks:
        found = [one for one in KEYS if one.key[-1] in names]
        expected = [("opened", one.key) for one in found if one.key[-1] not in before]
        expected += [("closed", f"books {name}") for name in sorted(before - names)]
        assert sorted(seen(empty_connection, *found)) == sorted(expected)
        if is_repeated:
            assert seen(empty_connection, *found) == []
        before = names
        assert {one.key[-1] for one in incidents.open_incidents(empty_connection, [DOMAIN])} == names


class Looking:
    """A warehouse with files, and runs that look at its incidents."""

    def __init__(self, landed: Landing) -> None:
        self.landed, self.connection = landed, landed.connection

    def look(self, *, is_watch: bool = True, now: datetime = NOW) -> list[tuple[str, str]]:
        with self.connection.transaction():
            return told(look(self.connection, DOMAIN, "run", now, is_watch=is_watch))

    def fail(self, run_id: str, error: Exception, domain: str = DOMAIN, *, waits: bool = False) -> tuple[str, bool]:
        """Record a failure; return (the kind of its incident, whether this opened it)."""
        run = FailedRun("messaging_monthly", run_id, "intake_traffic", MONTH)
        with self.connection.transaction():
            number, event = failed(
                self.connection, domain, run, error, "messaging_monthly 2026-03", is_quiet=False, waits_for_files=waits
            )
        return incidents.numbered(self.connection, number).kind, event is not None


@pytest.fixture
def looking(landed: Landing) -> Looking:
    return Looking(landed)


def test_a_rejected_file_and_the_run_that_it_stops_are_one_incident(looking: Looking, landed: Landing) -> None:
    error = DataError(landed.reject("traffic", csv_body(TRAFFIC, ["not,a,row"] * 10)))
    assert looking.look(is_watch=False) == [("opened", "file messaging.traffic")]
    assert looking.fail(RUN.run_id or "", error) == ("file", False)
    assert looking.fail("run of a later month", error) == ("file", False), "files are loaded in order"
    assert looking.fail(RUN.run_id or "", error, "shop") == ("failure", True), "ids of runs repeat in other DAGs"
    landed.load("traffic", csv_body(TRAFFIC, traffic_rows(200)))
    assert looking.look(is_watch=False) == [("closed", "file messaging.traffic")]


def test_a_service_that_is_away_is_no_incident_of_the_file(looking: Looking, landed: Landing) -> None:
    landed.reject("traffic", csv_body(TRAFFIC, ["not,a,row"] * 10))
    looking.look(is_watch=False)
    assert looking.fail(RUN.run_id or "", OSError("the bucket is away")) == ("failure", True)


def test_a_wait_for_files_in_vain_joins_the_incident_of_the_late_data(looking: Looking, landed: Landing) -> None:
    landed.load("traffic", csv_body(TRAFFIC, traffic_rows(200)))
    assert looking.fail("r1", TimeoutError("waited a day"), waits=True) == ("failure", True)
    assert looking.look(now=NOW + timedelta(days=40))
    assert looking.fail("r2", TimeoutError("waited a day"), waits=True) == ("missing", False)


def test_incidents_of_a_retired_domain_are_closed(landed: Landing) -> None:
    with landed.connection.transaction():
        observe(landed.connection, "retired", [replace(ROWS, domain="retired")], "run", is_watch=True)
        [event] = look(landed.connection, "retired", "run", NOW, is_watch=True)
    assert told([event]) == [("closed", "books x")]


def test_late_data_is_opened_by_the_watch_and_shrinks_with_each_load(looking: Looking, landed: Landing) -> None:
    for dataset, body in (
        ("traffic", csv_body(TRAFFIC, traffic_rows(200))),
        ("customers", csv_body(CUSTOMERS, customer_rows())),
        ("channels", csv_body(CHANNELS, channel_rows())),
    ):
        landed.load(dataset, body)
    late = NOW + timedelta(days=40)
    assert looking.look(is_watch=False, now=late) == []
    opened = [key for event, key in looking.look(now=late) if event == "opened" and key.startswith("missing")]
    assert "missing messaging.traffic" in opened
    before = incidents.numbered(looking.connection, the(looking.connection, "missing messaging.traffic")).number
    landed.load("traffic", csv_body(TRAFFIC, traffic_rows(200, first_day="2026-04-01")), key_month="2026-04")
    assert looking.look(is_watch=False, now=late) == []
    after = incidents.numbered(looking.connection, the(looking.connection, "missing messaging.traffic")).number
    assert after == before - 1, "it has no file of 2025, either"
