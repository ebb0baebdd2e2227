"""The views in Airflow's web server, with its log-in, permissions and connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_access_view
from airflow.configuration import conf
from fastapi import Request

from waybill.operators.session import s3_client, warehouse

if TYPE_CHECKING:
    from fastapi import FastAPI
    from psycopg import Connection

READER = "waybill_reader"


@cache
def application() -> FastAPI:
    """Return the application of the views."""
    from waybill.views.access import Access
    from waybill.views.app import make_app

    access = Access(
        view=requires_access_view(AccessView.WEBSITE),
        run=requires_access_dag("POST", DagAccessEntity.RUN),
        identify=_identify,
        may_run=_may_run,
        reader=_reader,
        writer=warehouse,
        s3=s3_client,
        address=conf.get("api", "base_url", fallback=""),
    )
    return make_app(access)


def _identify(request: Request, user: GetUserDep) -> None:
    """Store the user of a request."""
    request.state.waybill_user = user


def _may_run(request: Request, dag_id: str) -> bool:
    """Return whether the user of a request may start runs of a DAG."""
    user = request.state.waybill_user
    return get_auth_manager().is_authorized_dag(
        method="POST", access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag_id), user=user
    )


@contextmanager
def _reader() -> Iterator[Connection]:
    """Open the warehouse with its reading role."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    from waybill.warehouse.connection import NoConnection, set_read_only

    connection: Any  # of psycopg 3, as SQLAlchemy 2 has it
    try:
        connection = PostgresHook(READER).get_conn()
    except AirflowNotFoundException:
        raise NoConnection(
            f"Airflow has no connection {READER}: define it with the address of the warehouse and the role {READER}"
        ) from None
    try:
        set_read_only(connection)
        yield connection
    finally:
        connection.close()
