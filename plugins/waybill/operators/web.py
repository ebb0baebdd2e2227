"""The views in Airflow's web server, with its log-in, permissions and connections."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    AccessView,
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_access_view
from airflow.configuration import conf
from fastapi import Request

from waybill.operators.session import WAREHOUSE, s3_client, sqs_client, started_for, warehouse

if TYPE_CHECKING:
    from fastapi import FastAPI
    from psycopg import Connection

    from waybill.views.operations.runs import RunState

READER = "waybill_reader"
_UNDONE = (
    "failed",
    "up_for_retry",
    "up_for_reschedule",
    "running",
    "queued",
    "scheduled",
    "deferred",
    "awaiting_input",
)


@cache
def application() -> FastAPI:
    """Return the application of the views."""
    from waybill.ops.dead_letters import DeadLetterCounts
    from waybill.views.access import Access
    from waybill.views.app import make_app
    from waybill.warehouse.kept_connections import KeptConnections

    access = Access(
        view=requires_access_view(AccessView.WEBSITE),
        run=requires_access_dag("POST", DagAccessEntity.RUN),
        identify=_identify,
        may_run=_may_run,
        may_answer=_may_answer,
        may_reveal=_may_reveal,
        reader=KeptConnections(_connect_reader).reader,
        writer=warehouse,
        runs=_runs,
        dead_letters=DeadLetterCounts(sqs_client),
        s3=s3_client,
        address=conf.get("api", "base_url", fallback=""),
    )
    return make_app(access)


async def _identify(request: Request, user: GetUserDep) -> None:
    """Store the user of a request. Async functions need no thread of their own."""
    request.state.waybill_user = user


def _may_run(request: Request, dag_id: str) -> bool:
    """Return whether the user of a request may start runs of a DAG."""
    user = request.state.waybill_user
    return get_auth_manager().is_authorized_dag(
        method="POST", access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag_id), user=user
    )


def _may_answer(request: Request, dag_id: str) -> bool:
    """Return whether the user of a request may answer the required actions of a DAG."""
    user = request.state.waybill_user
    return get_auth_manager().is_authorized_dag(
        method="PUT", access_entity=DagAccessEntity.HITL_DETAIL, details=DagDetails(id=dag_id), user=user
    )


def _may_reveal(request: Request) -> bool:
    """Return whether the user of a request may edit the connection of the warehouse, and so could read all of it."""
    user = request.state.waybill_user
    return get_auth_manager().is_authorized_connection(
        method="PUT", details=ConnectionDetails(conn_id=WAREHOUSE), user=user
    )


def _runs(dag_ids: Sequence[str], run_id: str | None) -> list[RunState]:
    """Return the newest runs of DAGs, or the run with an id, with the tasks of unsuccessful runs that are not done."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import func, select, tuple_

    from waybill.views.operations.runs import NEWEST, RunState, TaskState

    place = func.row_number().over(partition_by=DagRun.dag_id, order_by=DagRun.id.desc())
    newest = select(DagRun.id, place.label("place")).where(DagRun.dag_id.in_(dag_ids))
    if run_id is not None:
        newest = newest.where(DagRun.run_id == run_id)
    ids = newest.subquery()
    with create_session() as session:
        runs = session.scalars(
            select(DagRun)
            .where(DagRun.id.in_(select(ids.c.id).where(ids.c.place <= NEWEST)))
            .order_by(DagRun.id.desc())
        ).all()
        tasks = session.execute(
            select(
                TaskInstance.dag_id,
                TaskInstance.run_id,
                TaskInstance.task_id,
                TaskInstance.state,
                TaskInstance.try_number,
                TaskInstance.max_tries,
            )
            .where(
                tuple_(TaskInstance.dag_id, TaskInstance.run_id).in_(
                    [(r.dag_id, r.run_id) for r in runs if r.state != "success"]
                )
            )
            .where(TaskInstance.state.in_(_UNDONE))
            .order_by(TaskInstance.end_date, TaskInstance.task_id)
        ).all()
        by_run: dict[tuple[str, str], list[TaskState]] = {}
        for dag, run, task, state, tries, max_tries in tasks:
            by_run.setdefault((dag, run), []).append(TaskState(task, str(state), tries, max_tries + 1))
        return [
            RunState(
                run.dag_id,
                run.run_id,
                str(run.state),
                started_for(run.partition_key, run.conf),
                run.queued_at or run.run_after,
                run.start_date,
                run.end_date,
                tuple(by_run.get((run.dag_id, run.run_id), ())),
            )
            for run in runs
        ]


def _connect_reader() -> Connection:
    """Connect to the warehouse with its reading role."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    from waybill.warehouse.connection import NoConnection

    try:
        connection: Any = PostgresHook(READER).get_conn()
    except AirflowNotFoundException:
        raise NoConnection(
            f"Airflow has no connection {READER}: define it with the address of the warehouse and the role {READER}"
        ) from None
    found: Connection = connection  # of psycopg 3, as SQLAlchemy 2 has it
    return found
