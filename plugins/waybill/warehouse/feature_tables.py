"""The tables of a feature view besides its current rows: the log of all values, and the newest value of each entity.

`waybill.warehouse.evolution.ensure` creates them with the table of the contract.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import Connection, sql

from waybill.contracts.feature_views import EVENT_TS, FeatureView
from waybill.errors import DataError
from waybill.formatting import count, some_of
from waybill.warehouse.schema import column_definition, columns_sql, drop_readers

_LOG: Final = """
create table {log} (
  {entity},
  event_ts timestamptz not null,
  known_ts timestamptz not null,
  is_removed boolean not null default false,
  {features},
  run_id text,
  primary key ({key}, event_ts, known_ts)
)
"""
_LATEST: Final = """
create table {latest} (
  {entity},
  event_ts timestamptz not null,
  {features},
  primary key ({key})
)
"""
_COMMENTS: Final = (
    "comment on table {log} is 'Every value, with the time at which it became known. Rows are appended only.'",
    "comment on table {latest} is 'The newest values of each entity, for online reading.'",
    "comment on column {log}.known_ts is 'The time from which the value was known; see the reference of features.'",
    "comment on column {log}.is_removed is 'Whether the value no longer exists; its features are null.'",
)


def relation_named(table: str) -> sql.Identifier:
    """Return the relation of a name such as `FeatureView.log`: `schema.name`."""
    return sql.Identifier(*table.split(".", 1))


def create_statements(view: FeatureView) -> list[sql.Composed]:
    """Return the statements that create the log and the latest rows, and what finds the newest row of an entity."""
    columns = {column.name: column for column in view.contract.columns}
    key = columns_sql([*view.entity])
    parts = {
        "table": relation_named(view.table),
        "log": relation_named(view.log),
        "latest": relation_named(view.latest),
        "key": key,
        "entity": sql.SQL(",\n  ").join(column_definition(columns[name]) for name in view.entity),
    }
    # A removed row of the log has no features.
    optional = [
        sql.SQL("{} {}").format(sql.Identifier(one.name), sql.SQL(_kind(one.physical_type))) for one in view.features
    ]
    exact = [column_definition(one) for one in view.features]
    return [
        sql.SQL(_LOG).format(features=sql.SQL(",\n  ").join(optional), **parts),
        sql.SQL("create index on {log} ({key}, event_ts) where is_removed").format(**parts),
        sql.SQL(_LATEST).format(features=sql.SQL(",\n  ").join(exact), **parts),
        sql.SQL("create index on {table} ({key}, {event_ts})").format(event_ts=sql.Identifier(EVENT_TS), **parts),
        *(sql.SQL(comment).format(**parts) for comment in _COMMENTS),
    ]


def _kind(physical_type: str) -> str:
    return 'text collate "C"' if physical_type == "text" else physical_type


def lock_exclusive(connection: Connection, view: FeatureView) -> None:
    """Wait until nobody builds the view or reads a training set of it, and keep others from both.

    The lock ends with the caller's transaction.
    """
    connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (_lock_name(view),))


def lock_shared(connection: Connection, view: FeatureView) -> None:
    """Wait until nobody builds the view, and keep builds waiting. The lock ends with the caller's transaction."""
    connection.execute("select pg_advisory_xact_lock_shared(hashtext(%s))", (_lock_name(view),))


def _lock_name(view: FeatureView) -> str:
    return f"feature {view.table}"


def lock_sets(connection: Connection, views: Iterable[FeatureView], *, is_shared: bool) -> None:
    """Wait until no training set of the views is being made, and keep others from being made.

    With `is_shared`, for who makes one: wait until nobody holds the lock alone. The lock is taken before the lock of a
    view, and ends with the caller's transaction.
    """
    function = "pg_advisory_xact_lock_shared" if is_shared else "pg_advisory_xact_lock"
    statement = sql.SQL("select {}(hashtext(%s))").format(sql.Identifier(function))
    for table in sorted(view.table for view in views):
        connection.execute(statement, (f"training sets {table}",))


@dataclass(frozen=True)
class UsingSet:
    """A training set that rests on a version."""

    name: str
    created_at: datetime
    is_as_of_now: bool


def training_sets(connection: Connection, view: FeatureView) -> list[UsingSet]:
    """Return the training sets that rest on a version, newest first, without those that were deleted."""
    rows = connection.execute(
        "select name, created_at, is_as_of_now from waybill.training_set "
        "where views @> array[%s::text] and deleted_at is null order by training_set_id desc",
        (view.table,),
    )
    return [UsingSet(*row) for row in rows]


def refuse_used(connection: Connection, view: FeatureView, consequence: str) -> None:
    """Raise `DataError` if registered training sets rest on a version. `consequence` tells what they lose."""
    if sets := training_sets(connection, view):
        rest = "rests" if len(sets) == 1 else "rest"
        names = some_of([one.name for one in sets])
        raise DataError(
            f"{count(len(sets), 'training set')} {rest} on {view.name}: {names}. {consequence} Retire it with "
            "--force if none of them is in use."
        )


@dataclass(frozen=True)
class Gone:
    """A version that was built, and whose files are no longer in the project."""

    table: str
    name: str
    """Like `payer_spend:1`."""
    retired_at: datetime | None


def gone_versions(connection: Connection, tables: Iterable[str]) -> list[Gone]:
    """Return the versions that were built, except for those of these tables, which the project has."""
    rows = connection.execute(
        "select feature_table, view || ':' || version, retired_at from waybill.feature_version "
        "where feature_table <> all(%s::text[]) order by feature_table",
        ([*tables],),
    )
    return [Gone(*row) for row in rows]


def is_history_over(connection: Connection, view: FeatureView) -> bool:
    """Return whether a registered training set has rows with values as they were known, so that these must stay.

    A set that was deleted counts: models and copies may rest on it.
    """
    found = connection.execute(
        "select from waybill.training_set "
        "where views @> array[%s::text] and not is_as_of_now and row_count > 0 limit 1",
        (view.table,),
    ).fetchone()
    return found is not None


def drop_tables(connection: Connection, view: FeatureView, *, with_log: bool) -> None:
    """Drop the tables of a version: the current and the newest rows, and the log if asked for."""
    for statement in drop_readers(view.contract):
        connection.execute(statement)
    for table in (view.table, view.latest, *([view.log] if with_log else [])):
        connection.execute(sql.SQL("drop table if exists {}").format(relation_named(table)))
