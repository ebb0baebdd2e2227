"""Results of quality checks by period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from waybill.period import Period
from waybill.views.operations.scope import Scope

PERIODS_CHECKED = 12
"""How many periods of each cadence are shown."""


@dataclass(frozen=True)
class CheckRow:
    """A check, and its result in each period of a table."""

    subject: str
    check: str
    expected: str
    """Like `<= 0.05`."""
    cells: list[dict[str, Any] | None]
    """None for a period in which it did not run."""


@dataclass(frozen=True)
class CheckTable:
    """The results of the checks of a cadence by period."""

    cadence: str
    periods: list[Period]
    rows: list[CheckRow]
    failed: int
    """How many of these results failed."""


def checks(connection: Connection, scope: Scope) -> list[CheckTable]:
    """Return a table for each cadence: the checks, most failures first, by the newest periods, newest first."""
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            with periods as (
              select cadence, period
              from (
                select cadence, period, row_number() over (partition by cadence order by period desc) as place
                from waybill.check_result
                where subject = any(%(subjects)s) and (%(run_id)s::text is null or run_id = %(run_id)s)
                group by cadence, period
              ) as ranked
              where place <= %(periods)s
            )
            select subject, check_name, cadence, period, severity, observed, operator, threshold, passed
            from waybill.check_result
            inner join periods using (cadence, period)
            where subject = any(%(subjects)s) and (%(run_id)s::text is null or run_id = %(run_id)s)
            order by cadence, subject, check_name, period
            """,
            {"subjects": scope.subjects, "run_id": scope.run_id, "periods": PERIODS_CHECKED},
        )
        .fetchall()
    )
    tables = []
    for cadence in sorted({row["cadence"] for row in rows}):
        of_cadence = [row for row in rows if row["cadence"] == cadence]
        starts = sorted({row["period"] for row in of_cadence}, reverse=True)
        by_check: dict[tuple[str, str], dict[date, dict[str, Any]]] = {}
        for row in of_cadence:
            by_check.setdefault((row["subject"], row["check_name"]), {})[row["period"]] = row
        listed = []
        for (subject, check), results in by_check.items():
            newest = results[max(results)]
            expected = f"{newest['operator']} {newest['threshold']:g}"
            listed.append(CheckRow(subject, check, expected, [results.get(start) for start in starts]))
        listed.sort(key=lambda row: -sum(not cell["passed"] for cell in row.cells if cell))
        failed = sum(not row["passed"] for row in of_cadence)
        tables.append(CheckTable(cadence, [Period.of(cadence, start) for start in starts], listed, failed))
    return tables
