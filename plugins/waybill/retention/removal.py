"""Remove rows, or their texts, in small transactions, each with its record.

The rows are chosen once. A run that dies has removed whole batches, and has recorded them; the next one removes the
rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.retention import Element
from waybill.formatting import count
from waybill.intake.load import lock_table
from waybill.run import Run
from waybill.warehouse.connection import one_row
from waybill.warehouse.schema import columns_sql, equal_sql

BATCH: Final = 5_000
"""How many rows a transaction removes at most."""
MOST: Final = 1_000_000
"""How many rows a run removes from a table at most. The next run removes more."""
DETAILS: Final = 1_000
"""How many details of an element are listed at most."""


@dataclass
class Removal:
    """What a retention removes from a place, or for raw files: what the bucket should have removed."""

    dataset: str
    element: Element
    place: str
    """A table, or a prefix of the raw bucket."""
    kept_from: date
    objects: int = 0
    """Rows, events or files."""
    overdue: int = 0
    """Of raw files: those that should have been removed some days ago."""
    first_day: date | None = None
    last_day: date | None = None
    is_cut: bool = False
    """Whether a run's limit was reached, so that there may be more."""
    details: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        days = f" of {self.first_day} to {self.last_day}" if self.first_day else ""
        more = f". A run takes at most {MOST:,}: there may be more, for the next run" if self.is_cut else ""
        if self.element == "raw":
            told = f"the bucket should remove {count(self.objects, 'file')}{days} below {self.place}"
            since = f"raw files are kept since {self.kept_from}; {self.overdue:,} are overdue"
            return f"{self.dataset}: {told} ({since}){more}"
        what = {"history": ("former state of a row", "former states of rows"), "quarantine": ("text", "texts")}
        one, several = what[self.element]
        noun = one if self.objects == 1 else several
        told = f"remove {self.objects:,} {noun}{days} from {self.place}"
        return f"{self.dataset}: {told} (kept since {self.kept_from}){more}"


def record(connection: Connection, removal: Removal, run: Run) -> int:
    """Store a removal and return its number."""
    (number,) = one_row(
        connection,
        """
        insert into waybill.retention (
          dataset, element, place, kept_from, objects, overdue, first_day, last_day, is_cut, run_id
        )
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        returning retention_id
        """,
        (
            removal.dataset,
            removal.element,
            removal.place,
            removal.kept_from,
            removal.objects,
            removal.overdue,
            removal.first_day,
            removal.last_day,
            removal.is_cut,
            run.run_id,
        ),
    )
    return int(number)


def remove(
    connection: Connection,
    contract: Contract,
    removal: Removal,
    chosen: sql.Composable,
    change: Callable[[sql.Identifier], sql.Composable],
    keyed: tuple[sql.Identifier, list[str]],
    run: Run,
    *,
    dry_run: bool,
) -> None:
    """Remove the chosen rows in batches, and note in `removal` how many; a dry run counts them only.

    `chosen` is a query for what identifies the rows, in the order of their removal, with `_day` and `_detail`. `change`
    returns the statement that changes the rows which a relation `batch` names. `keyed` is their table with its key: the
    rows of a batch are locked in the order of the key. Each transaction waits for loads and replays of the dataset, and
    for the erasure of a person, so that they do not wait for each other's rows. `connection` is in autocommit mode.
    """
    connection.execute(
        sql.SQL(
            "create temp table doomed as select row_number() over () as _place, c.* from ({} limit {}) as c"
        ).format(chosen, sql.Literal(MOST))
    )
    try:
        connection.execute("create unique index on doomed (_place)")
        connection.execute("analyze doomed")
        found, removal.first_day, removal.last_day = one_row(
            connection, "select count(*), min(_day)::date, max(_day)::date from doomed"
        )
        removal.is_cut = found >= MOST
        removal.details = _details(connection)
        if dry_run:
            removal.objects = found
            return
        number = None
        for start in range(1, found + 1, BATCH):
            batch = sql.SQL("batch as (select * from doomed where _place between {} and {})").format(
                sql.Literal(start), sql.Literal(start + BATCH - 1)
            )
            statement = sql.SQL("with {}, changed as ({} returning 1) select count(*) from changed").format(
                batch, change(sql.Identifier("batch"))
            )
            with connection.transaction():
                lock_table(connection, contract)
                connection.execute(_locking(keyed, start))
                (done,) = one_row(connection, statement)
                removal.objects += done
                if number is None:
                    number = record(connection, removal, run)
                else:
                    connection.execute(
                        "update waybill.retention set objects = %s, done_at = clock_timestamp() "
                        "where retention_id = %s",
                        (removal.objects, number),
                    )
    finally:
        if not connection.broken:
            connection.execute("drop table doomed")


def _locking(keyed: tuple[sql.Identifier, list[str]], start: int) -> sql.Composed:
    """Return the statement that locks the rows of a batch in the order of their key."""
    table, key = keyed
    return sql.SQL(
        "select from {} as t inner join doomed as s on {} where s._place between {} and {} order by {} for update of t"
    ).format(table, equal_sql("t", "s", key), sql.Literal(start), sql.Literal(start + BATCH - 1), columns_sql(key, "t"))


def _details(connection: Connection) -> list[str]:
    rows: Sequence[tuple[str, int]] = connection.execute(
        "select _detail, count(*) from doomed group by _detail order by min(_place) limit %s", (DETAILS,)
    ).fetchall()
    return [f"{detail}: {number:,}" for detail, number in rows]
