"""Connections to the warehouse."""

from __future__ import annotations

import psycopg
from psycopg import Connection

from waybill.settings import WAREHOUSE, SettingsError, settings


def connect(uri: str | None = None) -> Connection:
    """A connection in autocommit mode: transactions are explicit and end where their block ends.

    Without `uri`, the setting is used: the variable of Airflow's connection `waybill_warehouse`, which libpq
    reads too, from the environment or the secret. Raises `SettingsError` without either.
    """
    if not uri:
        warehouse = settings().warehouse
        if warehouse is None:
            raise SettingsError(
                f"{WAREHOUSE} is not set; start the stack and run `. ./activate`, or set it to a PostgreSQL URI"
            )
        uri = warehouse.get_secret_value()
    return psycopg.connect(uri, autocommit=True, application_name="waybill")
