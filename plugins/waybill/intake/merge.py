"""Merge the accepted rows of one file into a keyed table that keeps the versions that newer files superseded.

The result depends on the set of files alone, not on the order in which they are loaded. For every key the row of the
last file in order (delivery period, landing, name) is current. All other accepted rows are in `<table>_superseded`.
"""

from __future__ import annotations

from datetime import date

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.period import Period
from waybill.warehouse.change_log import changed_days, day_sql
from waybill.warehouse.file_order import comes_before, order_sql, place_of_sql
from waybill.warehouse.schema import columns_sql, equal_sql, relation, superseded_relation

OWN_COLUMNS = sql.SQL("_file_id, _record, _delivered")
"""The columns of a merged dataset's tables that say which file brought a row."""


def ensure_partitions(connection: Connection, contract: Contract) -> None:
    """Create the monthly partitions that the rows of `incoming` need, if the table is partitioned."""
    if not contract.is_partitioned:
        return
    assert contract.period_column
    days = connection.execute(
        sql.SQL("select distinct date_trunc('month', {})::date from incoming").format(
            sql.Identifier(contract.period_column)
        )
    ).fetchall()
    for (first,) in days:
        month = Period.of("month", first)
        connection.execute(
            sql.SQL("create table if not exists {} partition of {} for values from ({}) to ({})").format(
                partition(contract, month),
                relation(contract),
                sql.Literal(month.start),
                sql.Literal(month.end),
            )
        )


def partition(contract: Contract, month: Period) -> sql.Identifier:
    """Return the name of the partition that holds a calendar month."""
    return sql.Identifier(contract.domain, f"{contract.name}_{month.start:%Y_%m}")


def merge(
    connection: Connection,
    contract: Contract,
    *,
    file_id: int,
    period: Period,
    replaces: int | None,
) -> set[date]:
    """Merge the temporary table `incoming` (one row a key) and create the table `outcome` (_record, outcome).

    `replaces` is the file_id of the older version of the same object, whose rows are withdrawn. Returns the business
    days whose current rows changed.
    """
    if replaces is not None and comes_before(connection, contract, file_id, replaces):
        return _merge_returned(connection, contract, file_id=file_id, period=period, replaces=replaces)
    ensure_partitions(connection, contract)
    outcomes = _classify(connection, contract, file_id)
    if outcomes & {"unchanged", "updated"}:
        _keep_superseded(connection, contract, replaces)
        _update_current(connection, contract, file_id, period)
    for outcome, table in (("inserted", relation(contract)), ("stale", superseded_relation(contract))):
        if outcome in outcomes:
            only = None if outcomes == {outcome} else outcome
            _insert(connection, contract, file_id, period, only, into=table)
    days = _days_of_outcome(connection, contract)
    return days if replaces is None else days | withdraw_rows(connection, contract, replaces)


def _classify(connection: Connection, contract: Contract, file_id: int) -> set[str]:
    """Create `outcome`: what becomes of each incoming row, with its period value and that of the current row.

    Returns the outcomes that occur.
    """
    assert contract.period_column
    connection.execute(
        sql.SQL(
            """
            create temp table outcome on commit drop as
            select
              i._record,
              case
                when c._file_id is null then 'inserted'
                when ({order}) > {place} then 'stale'
                when ({incoming}) is not distinct from ({current}) then 'unchanged'
                else 'updated'
              end as outcome,
              i.{at} as at,
              c.{at} as was_at
            from incoming as i
            left join {table} as c on {same_key}
            left join waybill.load_file as f on c._file_id = f.file_id
            """
        ).format(
            order=order_sql(contract, "f"),
            place=place_of_sql(contract, file_id),
            incoming=columns_sql(contract.names, "i"),
            current=columns_sql(contract.names, "c"),
            at=sql.Identifier(contract.period_column),
            table=relation(contract),
            same_key=equal_sql("c", "i", contract.row_key),
        )
    )
    connection.execute("analyze outcome")
    return {outcome for (outcome,) in connection.execute("select distinct outcome from outcome")}


def _keep_superseded(connection: Connection, contract: Contract, replaces: int | None) -> None:
    """Copy the current rows that incoming rows are about to supersede, except those of the replaced version."""
    connection.execute(
        sql.SQL(
            """
            insert into {superseded} ({columns}, {own})
            select {current}, c._file_id, c._record, c._delivered
            from {table} as c
            inner join incoming as i on {same_key}
            inner join outcome as o on i._record = o._record
            where o.outcome in ('unchanged', 'updated') and c._file_id is distinct from {replaces}
            """
        ).format(
            superseded=superseded_relation(contract),
            columns=columns_sql(contract.names),
            own=OWN_COLUMNS,
            current=columns_sql(contract.names, "c"),
            table=relation(contract),
            same_key=equal_sql("c", "i", contract.row_key),
            replaces=sql.Literal(replaces),
        )
    )


def _update_current(connection: Connection, contract: Contract, file_id: int, period: Period) -> None:
    connection.execute(
        sql.SQL(
            """
            update {table} as c
            set ({columns}, {own}) = ({incoming}, {file_id}, i._record, {delivered}::date)
            from incoming as i
            inner join outcome as o on i._record = o._record
            where {same_key} and o.outcome in ('unchanged', 'updated')
            """
        ).format(
            table=relation(contract),
            columns=columns_sql(contract.names),
            own=OWN_COLUMNS,
            incoming=columns_sql(contract.names, "i"),
            file_id=sql.Literal(file_id),
            delivered=sql.Literal(period.start),
            same_key=equal_sql("c", "i", contract.row_key),
        )
    )


def _insert(
    connection: Connection,
    contract: Contract,
    file_id: int,
    period: Period,
    outcome: str | None,
    *,
    into: sql.Identifier,
) -> None:
    """Insert the incoming rows with an outcome (None: all) into a table."""
    with_outcome = sql.SQL("inner join outcome as o on i._record = o._record where o.outcome = {}")
    connection.execute(
        sql.SQL(
            """
            insert into {into} ({columns}, {own})
            select {incoming}, {file_id}, i._record, {delivered}::date
            from incoming as i
            {with_outcome}
            """
        ).format(
            into=into,
            columns=columns_sql(contract.names),
            own=OWN_COLUMNS,
            incoming=columns_sql(contract.names, "i"),
            file_id=sql.Literal(file_id),
            delivered=sql.Literal(period.start),
            with_outcome=sql.SQL("") if outcome is None else with_outcome.format(sql.Literal(outcome)),
        )
    )


def _days_of_outcome(connection: Connection, contract: Contract) -> set[date]:
    """Return the business days to which or from which rows were inserted or updated."""
    rows = connection.execute(
        sql.SQL("select distinct {}, {} from outcome where outcome in ('inserted', 'updated')").format(
            day_sql(contract, sql.Identifier("at")), day_sql(contract, sql.Identifier("was_at"))
        )
    ).fetchall()
    return {day for pair in rows for day in pair if day is not None}


def _merge_returned(
    connection: Connection, contract: Contract, *, file_id: int, period: Period, replaces: int
) -> set[date]:
    """Merge an older version of an object that has returned, so that other files may come between the two versions.

    The replaced version is withdrawn first. The changed days are those that differ between before and after.
    """
    keys = columns_sql(contract.row_key)
    connection.execute(
        sql.SQL(
            """
            create temp table changed_key on commit drop as
            select {keys} from incoming
            union
            select {keys} from {table} where _file_id = {replaces}
            """
        ).format(keys=keys, table=relation(contract), replaces=sql.Literal(replaces))
    )
    _copy_changed_keys(connection, contract, sql.Identifier("before"))
    withdraw_rows(connection, contract, replaces)
    merge(connection, contract, file_id=file_id, period=period, replaces=None)
    _copy_changed_keys(connection, contract, sql.Identifier("after"))
    days = changed_days(connection, contract, "before", "after")
    connection.execute("drop table changed_key, before, after")
    return days


def _copy_changed_keys(connection: Connection, contract: Contract, target: sql.Identifier) -> None:
    """Create a temporary table of the current rows whose keys are in `changed_key`."""
    connection.execute(
        sql.SQL(
            """
            create temp table {target} on commit drop as
            select {columns}
            from {table} as t
            inner join changed_key as k on {same_key}
            """
        ).format(
            target=target,
            columns=columns_sql(contract.names, "t"),
            table=relation(contract),
            same_key=equal_sql("t", "k", contract.row_key),
        )
    )


def withdraw_rows(connection: Connection, contract: Contract, file_id: int) -> set[date]:
    """Remove the rows of a file; the newest older version of each removed current row becomes current.

    Returns the business days whose current rows changed.
    """
    connection.execute(
        sql.SQL(
            """
            delete from {superseded} where _file_id = {file_id};

            create temp table orphan on commit drop as select {columns} from {table} where _file_id = {file_id};

            delete from {table} where _file_id = {file_id};

            create temp table promoted on commit drop as
            select distinct on ({key}) {older}, s._file_id, s._record, s._delivered
            from {superseded} as s
            inner join orphan as o on {orphan_key}
            inner join waybill.load_file as f on s._file_id = f.file_id
            order by {key}, {newest_first};

            delete from {superseded} as s using promoted as p where {promoted_key} and s._file_id = p._file_id;

            insert into {table} ({columns}, {own}) select * from promoted
            """
        ).format(
            table=relation(contract),
            superseded=superseded_relation(contract),
            columns=columns_sql(contract.names),
            own=OWN_COLUMNS,
            file_id=sql.Literal(file_id),
            key=columns_sql(contract.row_key, "s"),
            older=columns_sql(contract.names, "s"),
            orphan_key=equal_sql("s", "o", contract.row_key),
            promoted_key=equal_sql("s", "p", contract.row_key),
            newest_first=order_sql(contract, "f", descending=True),
        )
    )
    days = changed_days(connection, contract, "orphan", "promoted")
    connection.execute("drop table orphan, promoted")
    return days
