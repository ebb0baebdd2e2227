"""The snapshots of the tables on Spark that have the rows of the recorded files, and the run that changes the tables.

A job starts from the recorded snapshots. Commits of runs that died before their record, and of other programs, are
undone by it, so that the tables never have rows that the ledger does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from psycopg import Connection

from waybill.run import Run


@dataclass(frozen=True)
class Holder:
    """The run that loads files of a domain."""

    dag_id: str
    run_id: str


def recorded_snapshots(connection: Connection, tables: list[str]) -> dict[str, int]:
    """Return the recorded snapshots of tables, each `database.table`; tables without one are left out."""
    rows = connection.execute(
        "select table_name, snapshot_id from waybill.lake_state where table_name = any(%s)", (tables,)
    ).fetchall()
    return dict(rows)


def record_snapshots(connection: Connection, snapshots: Mapping[str, int]) -> None:
    """Record the snapshots of tables."""
    connection.cursor().executemany(
        """
        insert into waybill.lake_state (table_name, snapshot_id) values (%s, %s)
        on conflict (table_name) do update set snapshot_id = excluded.snapshot_id, recorded_at = now()
        """,
        [*snapshots.items()],
    )


def take(connection: Connection, domain: str, dag_id: str, run: Run, is_active: Callable[[Holder], bool]) -> str | None:
    """Make a run the one that loads files of a domain; returns the id of the run that does it now, if there is one.

    `is_active` returns whether a run has not ended. A run that ended before its record is succeeded.
    """
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"spark {domain}",))
        held = connection.execute(
            "select dag_id, run_id from waybill.lake_request where domain = %s and closed_at is null", (domain,)
        ).fetchone()
        if held and held[1] != run.run_id and is_active(Holder(*held)):
            return str(held[1])
        connection.execute(
            """
            insert into waybill.lake_request (domain, dag_id, run_id) values (%s, %s, %s)
            on conflict (domain) do update
            set dag_id = excluded.dag_id, run_id = excluded.run_id, opened_at = now(), closed_at = null
            """,
            (domain, dag_id, run.run_id),
        )
    return None


def holds(connection: Connection, dag_id: str, run: Run) -> bool:
    """Return whether a run of a DAG is the one that loads files of its domain."""
    query = "select from waybill.lake_request where (dag_id, run_id) = (%s, %s) and closed_at is null"
    return connection.execute(query, (dag_id, run.run_id)).fetchone() is not None


def give_back(connection: Connection, domain: str, run: Run) -> None:
    """Let other runs load files of a domain."""
    connection.execute(
        "update waybill.lake_request set closed_at = now() where (domain, run_id) = (%s, %s) and closed_at is null",
        (domain, run.run_id),
    )
