"""What a person does about a failed or late run, on a real Airflow: clear its task, read its alerts."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from support.messaging_months import migrate
from support.waiting import eventually
from waybill_devtools.demo import Airflow
from waybill_devtools.stack import Stack


@pytest.fixture(scope="module")
def api(airflow_stack: Stack) -> Airflow:
    """Airflow's API, as the administrator; the warehouse is there for the alerts."""
    migrate(airflow_stack.database_url())
    api = Airflow(airflow_stack.airflow_address(), "admin", airflow_stack.passwords()["admin"])
    api.unpause("due")
    return api


def trigger(api: Airflow, **conf: Any) -> str:
    run = api.call("POST", "/dags/due/dagRuns", json={"logical_date": None, "conf": conf})
    return str(run["dag_run_id"])


def reaches(api: Airflow, run_id: str, state: str) -> bool:
    return eventually(lambda: api.call("GET", f"/dags/due/dagRuns/{run_id}")["state"] == state, every=0.5)


def deadlines(stack: Stack, run_id: str) -> list[str | None]:
    """Return the callback states of the deadlines of a run, None for a deadline in the future."""
    with psycopg.connect(stack.database_url("airflow", "airflow")) as connection:
        rows = connection.execute(
            "select case when d.missed then c.state end from deadline as d "
            "inner join callback as c on d.callback_id = c.id inner join dag_run as r on d.dagrun_id = r.id "
            "where r.run_id = %s",
            (run_id,),
        ).fetchall()
    return [state for (state,) in rows]


def let_the_deadline_pass(stack: Stack, run_id: str) -> None:
    with psycopg.connect(stack.database_url("airflow", "airflow")) as connection:
        passed = connection.execute(
            "update deadline set deadline_time = now() - interval '1 second' "
            "where dagrun_id = (select id from dag_run where run_id = %s)",
            (run_id,),
        )
    assert passed.rowcount == 1


def alerts(stack: Stack, run_id: str) -> list[str]:
    with psycopg.connect(stack.database_url()) as connection:
        rows = connection.execute("select kind from waybill.alert where run_id = %s order by 1", (run_id,)).fetchall()
    return [kind.partition(" ")[0] for (kind,) in rows]


def incident(stack: Stack, run_id: str) -> tuple[str, bool]:
    """Return (kind, whether it is closed) of the incident of a run."""
    with psycopg.connect(stack.database_url()) as connection:
        [found] = connection.execute(
            "select i.kind, i.closed_at is not null from waybill.incident as i "
            "inner join waybill.incident_run as r using (incident_id) where r.run_id = %s",
            (run_id,),
        ).fetchall()
    return found[0], found[1]


def test_a_failed_task_is_cleared_and_its_run_ends_well(api: Airflow, airflow_stack: Stack) -> None:
    run_id = trigger(api, fails=True)
    assert reaches(api, run_id, "failed")
    assert deadlines(airflow_stack, run_id) == [None]
    cleared = api.call("POST", "/dags/due/clearTaskInstances", json={"dry_run": False, "dag_run_id": run_id})
    assert [task["task_id"] for task in cleared["task_instances"]] == ["work"]
    assert reaches(api, run_id, "success")
    assert deadlines(airflow_stack, run_id) == []
    assert eventually(lambda: alerts(airflow_stack, run_id) == ["failure", "incidents"])
    assert incident(airflow_stack, run_id) == ("failure", True)


def test_a_late_run_raises_an_alert_while_it_runs(api: Airflow, airflow_stack: Stack) -> None:
    run_id = trigger(api, seconds=120)
    assert reaches(api, run_id, "running")
    let_the_deadline_pass(airflow_stack, run_id)
    assert eventually(lambda: alerts(airflow_stack, run_id) == ["deadline"])
    assert incident(airflow_stack, run_id) == ("deadline", False)


def test_a_failed_run_raises_no_alert_of_lateness(api: Airflow, airflow_stack: Stack) -> None:
    run_id = trigger(api, fails=True)
    assert reaches(api, run_id, "failed")
    let_the_deadline_pass(airflow_stack, run_id)
    assert eventually(lambda: deadlines(airflow_stack, run_id) == ["success"])
    assert eventually(lambda: alerts(airflow_stack, run_id) == ["failure"])
