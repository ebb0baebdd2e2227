"""Merge the rows of one file into a table in which a row stays with the file that delivered it first.

For files that land at any time and may repeat rows of earlier files. As in `merge`, the result depends on the set of
files alone. Of all deliveries of a key in the order of files (landing day, landing, name), the first of the last run of
equal ones is current. All others are in `<table>_superseded`.
"""

from __future__ import annotations

from datetime import date

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.intake.merge import OWN_COLUMNS
from waybill.period import Period
from waybill.warehouse.change_log import changed_days
from waybill.warehouse.file_order import order_sql, place_of_sql
from waybill.warehouse.schema import columns_sql, current_sql, equal_sql, relation, superseded_relation


def merge_deliveries(
    connection: Connection,
    contract: Contract,
    *,
    file_id: int,
    period: Period,
    replaces: int | None,
) -> set[date]:
    """Merge the temporary table `incoming` (one row a key) and create the table `outcome` (_record, outcome).

    `replaces` is the file_id of the older version of the same object, whose rows are withdrawn. A row that an earlier
    file delivered is a `duplicate`. A row that only later files delivered is `unchanged`, and belongs to this file from
    now on. Returns the business days whose current rows changed: landing days, unless the contract names another
    column.
    """
    _find_changed_keys(connection, contract, replaces)
    _gather(connection, contract, file_id, period, replaces)
    _select_current(connection, contract)
    _classify(connection, contract, file_id)
    days = changed_days(connection, contract, "before", "current")
    connection.execute("drop table changed_key, before, current")
    return days


def _find_changed_keys(connection: Connection, contract: Contract, replaces: int | None) -> None:
    """Create the temporary tables `changed_key`, and `before` with the current rows of these keys."""
    connection.execute(
        sql.SQL(
            """
            create temp table changed_key on commit drop as
            select {key} from incoming
            union
            select {key} from {table} where _file_id = {replaces}
            union
            select {key} from {superseded} where _file_id = {replaces};

            create temp table before on commit drop as
            select t.* from {table} as t inner join changed_key as k on {same_key};

            analyze changed_key, before
            """
        ).format(
            key=columns_sql(contract.key),
            table=relation(contract),
            superseded=superseded_relation(contract),
            replaces=sql.Literal(replaces),
            same_key=equal_sql("t", "k", contract.key),
        )
    )


def _gather(connection: Connection, contract: Contract, file_id: int, period: Period, replaces: int | None) -> None:
    """Move every delivery of the changed keys to the superseded rows, except those of the replaced version."""
    connection.execute(
        sql.SQL(
            """
            delete from {table} as t using changed_key as k where {same_key};

            delete from {superseded} where _file_id = {replaces};

            insert into {superseded} ({columns}, {own})
            select {columns}, {own} from before where _file_id is distinct from {replaces}
            union all
            select {columns}, {file_id}, _record, {delivered}::date from incoming
            """
        ).format(
            table=relation(contract),
            same_key=equal_sql("t", "k", contract.key),
            superseded=superseded_relation(contract),
            replaces=sql.Literal(replaces),
            columns=columns_sql(contract.names),
            own=OWN_COLUMNS,
            file_id=sql.Literal(file_id),
            delivered=sql.Literal(period.start),
        )
    )


def _select_current(connection: Connection, contract: Contract) -> None:
    """Move the current delivery of each changed key from the superseded rows to the table."""
    superseded, columns = superseded_relation(contract), columns_sql(contract.names)
    deliveries = sql.SQL("(select s.* from {} as s inner join changed_key as k on {})").format(
        superseded, equal_sql("s", "k", contract.key)
    )
    connection.execute(
        sql.SQL(
            """
            create temp table current on commit drop as {current};

            delete from {superseded} as s using current as k where {same_key} and s._file_id = k._file_id;

            insert into {table} ({columns}, {own}) select {columns}, {own} from current
            """
        ).format(
            current=current_sql(contract, deliveries),
            superseded=superseded,
            same_key=equal_sql("s", "k", contract.key),
            table=relation(contract),
            columns=columns,
            own=OWN_COLUMNS,
        )
    )


def _classify(connection: Connection, contract: Contract, file_id: int) -> None:
    """Create `outcome`: what became of each incoming row."""
    connection.execute(
        sql.SQL(
            """
            create temp table outcome on commit drop as
            select
              i._record,
              case
                when n._file_id <> {file_id} and {equals_current} and ({order}) < {place} then 'duplicate'
                when n._file_id <> {file_id} then 'stale'
                when b._file_id is null then 'inserted'
                when {equals_before} then 'unchanged'
                else 'updated'
              end as outcome
            from incoming as i
            inner join current as n on {current_key}
            inner join waybill.load_file as f on n._file_id = f.file_id
            left join before as b on {before_key}
            """
        ).format(
            file_id=sql.Literal(file_id),
            equals_current=_same_content(contract, "n"),
            order=order_sql(contract, "f"),
            place=place_of_sql(contract, file_id),
            equals_before=_same_content(contract, "b"),
            current_key=equal_sql("n", "i", contract.key),
            before_key=equal_sql("b", "i", contract.key),
        )
    )


def _same_content(contract: Contract, alias: str) -> sql.Composable:
    """Return the condition that an incoming row has the content of another row."""
    if not contract.content:
        return sql.SQL("true")
    return sql.SQL("({}) is not distinct from ({})").format(
        columns_sql(contract.content, "i"), columns_sql(contract.content, alias)
    )
