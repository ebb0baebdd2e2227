"""The change log: which business days of a table each load changed, and the checkpoint of each dataset.

Both are written in the load's transaction. Derived tables read from `waybill.change` which periods are stale: it has
one row for each load and day whose current rows the load changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.period import Cadence, Period
from waybill.settings import settings
from waybill.warehouse.schema import changed_sql, columns_sql


def day_sql(contract: Contract, value: sql.Composable) -> sql.Composed:
    """Return the business day of a value of the contract's period column."""
    if contract.has_instants(contract.period_column):
        return local_day_sql(value)
    return sql.SQL("{}::date").format(value)


def local_day_sql(instant: sql.Composable) -> sql.Composed:
    """Return the business day of an instant."""
    return sql.SQL("({} at time zone {})::date").format(instant, sql.Literal(settings().timezone))


def changed_days(connection: Connection, contract: Contract, before: str, after: str) -> set[date]:
    """Return the business days of the rows that only one of two temporary tables has."""
    assert contract.period_column
    rows = connection.execute(
        sql.SQL("select distinct {} from {}").format(
            day_sql(contract, sql.Identifier(contract.period_column)),
            changed_sql(columns_sql(contract.names), sql.Identifier(before), sql.Identifier(after)),
        )
    ).fetchall()
    return {day for (day,) in rows}


def days_of_partition(
    connection: Connection, contract: Contract, period: Period, partition: sql.Composable
) -> set[date]:
    """Return the days of which a partition has rows; it needs one index lookup a day, whatever the number of rows."""
    assert contract.period_column
    rows = connection.execute(
        sql.SQL(
            """
            select day::date
            from generate_series({start}::date, {end}::date - 1, interval '1 day') as day
            cross join lateral (select from {partition} where {column} = day::date limit 1) as found
            """
        ).format(
            start=sql.Literal(period.start),
            end=sql.Literal(period.end),
            partition=partition,
            column=sql.Identifier(contract.period_column),
        )
    ).fetchall()
    return {day for (day,) in rows}


def record(
    connection: Connection,
    table_name: str,
    days: Iterable[date],
    file_id: int | None,
    cadence: Cadence | None = None,
) -> None:
    """Record that the content of these days of a table (`schema.name`) changed, and which file changed it.

    For a derived table, `cadence` is the length of the changed period and there is no file.
    """
    connection.execute(
        """
        insert into waybill.change (table_name, day, file_id, cadence)
        select %s, day, %s, %s
        from unnest(%s::date[]) as day
        """,
        (table_name, file_id, cadence, sorted(days)),
    )


def move_checkpoint(
    connection: Connection, contract: Contract, period: Period, file_id: int, tables: Sequence[sql.Composable]
) -> None:
    """Move the dataset's checkpoint to the newest row of the tables, at most to the end of the file's period.

    The checkpoint of a snapshot is the end of its period. A checkpoint never moves back.
    """
    newest: sql.Composable = sql.Literal(period.instants(settings().timezone)[1])
    if contract.period_column is not None:
        column = sql.Identifier(contract.period_column)
        maxima = (sql.SQL("(select max({}) from {})").format(column, table) for table in tables)
        newest = sql.SQL("greatest({})").format(sql.SQL(", ").join(maxima))
        if not contract.has_instants(contract.period_column):
            newest = sql.SQL("{}::timestamp at time zone {}").format(newest, sql.Literal(settings().timezone))
    move_checkpoint_to(connection, contract, period, file_id, newest)


def move_checkpoint_to(
    connection: Connection, contract: Contract, period: Period, file_id: int, newest: sql.Composable
) -> None:
    """Move the dataset's checkpoint to an instant, at most to the end of the file's period, and never back."""
    _, ends_at = period.instants(settings().timezone)
    connection.execute(
        sql.SQL(
            """
            with found as (select {newest} as newest)
            insert into waybill.checkpoint as c (dataset, newest, file_id)
            select {dataset}, least(newest, {ends_at}), {file_id} from found where newest is not null
            on conflict (dataset) do update
            set newest = excluded.newest, file_id = excluded.file_id, moved_at = now()
            where excluded.newest > c.newest
            """
        ).format(
            newest=newest,
            dataset=sql.Literal(contract.table),
            ends_at=sql.Literal(ends_at),
            file_id=sql.Literal(file_id),
        )
    )
