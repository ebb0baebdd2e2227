"""When the watch last looked at all tables."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from psycopg import Connection

Search = Literal["anomalies", "drift"]


def note(connection: Connection, what: Search) -> None:
    """Record that all datasets and reports were searched now."""
    connection.execute(
        "insert into waybill.watch_look (what, ended_at) values (%s, now()) "
        "on conflict (what) do update set ended_at = excluded.ended_at",
        (what,),
    )


def last_looks(connection: Connection) -> dict[str, datetime | None]:
    """Return when each search ended last; None if it never did."""
    known: dict[str, datetime] = dict(connection.execute("select what, ended_at from waybill.watch_look").fetchall())
    return {what: known.get(what) for what in ("anomalies", "drift")}
