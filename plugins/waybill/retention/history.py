"""Remove former states of rows on which no answer about the horizon of a dataset, or a later day, rests.

Nothing of periods before the horizon changes any more (see `warehouse.horizons`). So of what was known then, only what
was known just before the horizon is still needed: as-of functions answer with it, and it becomes current again if later
files are withdrawn.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.intake.ledger import first_released
from waybill.intake.load import lock_table
from waybill.period import Period
from waybill.retention.removal import Removal, remove
from waybill.run import Run
from waybill.warehouse.connection import one_row, table_exists
from waybill.warehouse.evolution import ensure
from waybill.warehouse.file_order import order_sql
from waybill.warehouse.horizons import horizon_of, move_horizon
from waybill.warehouse.schema import columns_sql, current_sql, equal_sql, relation, superseded_relation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HorizonMove:
    """The move of the horizon of a dataset, which cannot be undone."""

    dataset: str
    before: date | None
    """The horizon so far; None if the history is whole."""
    after: date

    def __str__(self) -> str:
        return (
            f"{self.dataset}: move the horizon of the history from {self.before or 'the first file'} to {self.after}. "
            f"Files of periods before {self.after} are refused afterwards, and this cannot be undone"
        )


@dataclass(frozen=True)
class _Former:
    """Rows of a table that are not needed any more."""

    table: sql.Identifier
    key: list[str]
    chosen: sql.Composed
    """The query for their keys, with `_day` and `_detail`, in the order of their removal."""


def planned_move(connection: Connection, contract: Contract, kept_from: date) -> HorizonMove | None:
    """Return how the horizon of a dataset moves if its history is kept from a day; None if it stays.

    The horizon is the start of a period, since files are refused by their periods. It stays while no file was ever
    loaded: else the first files would be refused. It does not pass the period of a file that the next run has to load
    again.
    """
    before = horizon_of(connection, contract)
    (is_loaded,) = one_row(
        connection, "select exists (select from waybill.load_file where dataset = %s)", (contract.table,)
    )
    if not is_loaded:
        return None
    after = Period.of(contract.cadence, kept_from).start
    released = first_released(connection, contract, after)
    if released:
        start, uri = released
        log.warning(
            "%s: the horizon stays at %s or earlier, because %s was released to be loaded again. Run its period",
            *(contract.table, start, uri),
        )
        after = start
    return HorizonMove(contract.table, before, after) if before is None or after > before else None


def remove_history(
    connection: Connection, contract: Contract, kept_from: date, run: Run, *, dry_run: bool
) -> Iterator[Removal]:
    """Move the horizon of a dataset to the start of the period of a day, never back, and yield what is removed.

    `connection` is in autocommit mode. The horizon is committed first: loads and questions that begin afterwards need
    nothing of what is removed then.
    """
    if dry_run:
        move = planned_move(connection, contract, kept_from)
    else:
        with connection.transaction():
            lock_table(connection, contract)
            move = planned_move(connection, contract, kept_from)
            if move:
                ensure(connection, contract)  # its as-of functions refuse earlier days
                move_horizon(connection, contract, move.after, run)
    if move:
        log.info("%s%s", "would " if dry_run else "", move)
    horizon = move.after if move else horizon_of(connection, contract)
    if horizon is None:
        return
    for former in _former_rows(contract, horizon):
        if table_exists(connection, former.table):
            name = former.table.as_string(None).replace('"', "")
            removal = Removal(contract.table, "history", name, horizon)
            change = partial(_deletion, former)
            remove(
                connection, contract, removal, former.chosen, change, (former.table, former.key), run, dry_run=dry_run
            )
            yield removal


def _deletion(former: _Former, some: sql.Identifier) -> sql.Composed:
    return sql.SQL("delete from {} as t using {} as s where {}").format(
        former.table, some, equal_sql("t", "s", former.key)
    )


def _former_rows(contract: Contract, horizon: date) -> Iterator[_Former]:
    parts = {
        "horizon": sql.Literal(horizon),
        "table": relation(contract),
        "key": columns_sql(contract.row_key, "t"),
    }
    if contract.load_mode == "snapshot":
        chosen = sql.SQL(
            "select {key}, t.valid_from, t.valid_to as _day, 'ended on ' || t.valid_to as _detail from {table} as t "
            "where t.valid_to < {horizon} order by t.valid_to"
        )
        yield _Former(relation(contract), [*contract.row_key, "valid_from"], chosen.format(**parts))
        return
    superseded = superseded_relation(contract)
    parts |= {"superseded": superseded}
    key = [*contract.row_key, "_file_id"]
    if contract.lands_any_time:
        yield _Former(superseded, key, _former_deliveries(contract, parts))
        return
    newer: sql.Composable = sql.SQL("")
    if contract.load_mode == "changes":
        newer = sql.SQL("or {}").format(_has_newer_change(contract, parts))
    yield _Former(superseded, key, _former_versions(contract, parts, newer))
    if contract.load_mode == "changes":
        chosen = sql.SQL(
            "select {key}, t._delivered as _day, 'delivered on ' || t._delivered as _detail from {table} as t "
            "where t._delivered < {horizon} and {newer} order by t._delivered"
        )
        yield _Former(
            relation(contract),
            contract.row_key,
            chosen.format(**parts, newer=_has_newer_change(contract, parts)),
        )


def _former_versions(contract: Contract, parts: dict[str, sql.Composable], newer: sql.Composable) -> sql.Composed:
    """Return the query for the versions before the newest one that was delivered before the horizon."""
    return sql.SQL(
        """
        select {key}, t._file_id, t._delivered as _day, 'delivered on ' || t._delivered as _detail
        from (
          select s.*, row_number() over (partition by {key_of_s} order by {newest_first}) as _rank
          from {superseded} as s
          inner join waybill.load_file as f on s._file_id = f.file_id
          where s._delivered < {horizon}
        ) as t
        where t._rank > 1
          or exists (select from {table} as c where {is_current} and c._delivered < {horizon})
          {newer}
        order by t._delivered
        """
    ).format(
        **parts,
        key_of_s=columns_sql(contract.row_key, "s"),
        newest_first=order_sql(contract, "f", descending=True),
        is_current=equal_sql("c", "t", contract.row_key),
        newer=newer,
    )


def _has_newer_change(contract: Contract, parts: dict[str, sql.Composable]) -> sql.Composed:
    """Return the condition that a newer change of the key of `t` was delivered before the horizon, too."""
    assert contract.version_column
    return sql.SQL(
        """(
          exists (select from {table} as n where {same_key} and n.{version} > t.{version} and n._delivered < {horizon})
          or exists (
            select from {superseded} as n where {same_key} and n.{version} > t.{version} and n._delivered < {horizon}
          )
        )"""
    ).format(
        table=parts["table"],
        superseded=parts["superseded"],
        horizon=parts["horizon"],
        same_key=equal_sql("n", "t", contract.key),
        version=sql.Identifier(contract.version_column),
    )


def _former_deliveries(contract: Contract, parts: dict[str, sql.Composable]) -> sql.Composed:
    """Return the query for the deliveries before the horizon, except those that were current just before it.

    They are in the order of files: what is left of a key at any time has the same current delivery.
    """
    known = sql.SQL(
        "(select * from {table} as a where a._delivered < {horizon} "
        "union all select * from {superseded} as b where b._delivered < {horizon})"
    ).format(table=parts["table"], superseded=parts["superseded"], horizon=parts["horizon"])
    return sql.SQL(
        """
        with known as ({known})
        select {key}, t._file_id, t._delivered as _day, 'delivered on ' || t._delivered as _detail
        from {superseded} as t
        inner join waybill.load_file as f on t._file_id = f.file_id
        where t._delivered < {horizon}
          and not exists (select from known as k where {is_known} and k._file_id = t._file_id)
        order by {in_order}
        """
    ).format(
        **parts,
        known=current_sql(contract, known),
        is_known=equal_sql("k", "t", contract.key),
        in_order=order_sql(contract, "f"),
    )
