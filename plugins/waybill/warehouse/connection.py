"""Connections to the warehouse."""

from __future__ import annotations

import os

import psycopg
from psycopg import Connection

from waybill.errors import DataError

VARIABLE = "AIRFLOW_CONN_WAYBILL_WAREHOUSE"


def connect(uri: str | None = None) -> Connection:
    """A connection in autocommit mode: transactions are explicit and end where their block ends.

    Without `uri`, the variable of Airflow's connection `waybill_warehouse` is used; libpq reads the same form.
    """
    uri = uri or os.environ.get(VARIABLE)
    if not uri:
        raise DataError(f"{VARIABLE} is not set; start the stack and run `. ./activate`, or set it to a PostgreSQL URI")
    return psycopg.connect(uri, autocommit=True, application_name="waybill")
