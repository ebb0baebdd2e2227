"""Connections of consumers to the warehouse. They end soon if their process is frozen or its machine is gone.

A consumer locks its stream while it counts, so a transaction without a client would stop all consumers.
"""

from __future__ import annotations

from typing import Final

from psycopg import Connection

from waybill.warehouse.connection import connect

CONNECT_SECONDS: Final = 3
IDLE_SECONDS: Final = 5
"""After how many idle seconds within a transaction PostgreSQL ends a connection."""

_LIMITS: Final = """
select
  set_config('idle_in_transaction_session_timeout', %(idle)s, false),
  set_config('tcp_keepalives_idle', '5', false),
  set_config('tcp_keepalives_interval', '2', false),
  set_config('tcp_keepalives_count', '3', false),
  set_config('tcp_user_timeout', '10s', false)
"""


def connect_briefly() -> Connection:
    """Return a connection in autocommit mode whose transactions end if their client falls silent for five seconds."""
    connection = connect(connect_seconds=CONNECT_SECONDS)
    connection.execute(_LIMITS, {"idle": f"{IDLE_SECONDS}s"})
    return connection
