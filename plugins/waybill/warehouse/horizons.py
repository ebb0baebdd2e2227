"""The horizon of a dataset: the first day of which its history is whole.

The retention of the history removes what is needed for earlier days alone. So nothing may change what was known before
the horizon: files of earlier periods are neither loaded nor withdrawn, and their rejected rows are not replayed. Each
`_as_of` function refuses earlier days.
"""

from __future__ import annotations

from datetime import date

from psycopg import Connection

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.run import Run


def horizon_of(connection: Connection, contract: Contract) -> date | None:
    """Return the first day of which the history of a dataset is whole; None if all of it is."""
    row = connection.execute("select day from waybill.horizon where dataset = %s", (contract.table,)).fetchone()
    return row[0] if row else None


def move_horizon(connection: Connection, contract: Contract, day: date, run: Run) -> None:
    """Move the horizon of a dataset to a day, never back. The caller holds the lock of the dataset's loads."""
    connection.execute(
        """
        insert into waybill.horizon as h (dataset, day, run_id) values (%s, %s, %s)
        on conflict (dataset) do update
        set day = excluded.day, run_id = excluded.run_id, moved_at = clock_timestamp()
        where excluded.day > h.day
        """,
        (contract.table, day, run.run_id),
    )


def require_after_horizon(connection: Connection, contract: Contract, start: date, what: str, instead: str) -> None:
    """Raise `DataError` if a period begins before the horizon.

    `what` would change what was known then, such as `the file cannot be loaded`; `instead` is the next step, a sentence
    without its stop.
    """
    horizon = horizon_of(connection, contract)
    if horizon is not None and start < horizon:
        raise DataError(
            f"{what}: its period begins on {start}, and the history of {contract.table} is kept since {horizon} "
            f"(retention of the history). {instead}."
        )
