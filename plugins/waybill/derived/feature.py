"""Build feature views: the current rows of a period, the log of every value, and the newest values of each entity.

All three are written in the transaction of the build. The log is appended to: a value that is new, differs, or is gone
is a new row with the time at which it became known.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from psycopg import Connection, sql

from waybill.contracts import Contract, ContractError
from waybill.contracts.feature_views import FeatureView
from waybill.contracts.locations import read_sql
from waybill.contracts.odcs import sql_path
from waybill.derived.build import BuildInputs, Built, FindInputs, build, of_period, replace_rows, sha256
from waybill.derived.read_window import raise_outside_window
from waybill.errors import DataError
from waybill.formatting import count
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.connection import one_row
from waybill.warehouse.evolution import ensure, equivalent_hashes
from waybill.warehouse.feature_tables import drop_tables, is_history_over, lock_exclusive, relation_named
from waybill.warehouse.planner_statistics import analyze_grown
from waybill.warehouse.schema import columns_sql, equal_sql, relation


def is_retired(connection: Connection, contract: Contract) -> bool:
    """Return whether a table is a version of a feature view that was retired."""
    if contract.load_mode != "feature":
        return False
    found = connection.execute(
        "select from waybill.feature_version where feature_table = %s and retired_at is not null", (contract.table,)
    ).fetchone()
    return found is not None


def open_version(connection: Connection, contract: Contract, text: str) -> FeatureView | None:
    """Create the tables of a version at its first refresh, and return it; None if it was retired.

    Raises `ContractError` if its SQL, or its contract beyond descriptions, has changed since it has values: models were
    trained with them. Before, the tables are created again.
    """
    view = FeatureView.of(contract)
    with connection.transaction():
        lock_exclusive(connection, view)
        row = connection.execute(
            "select sql_sha256, contract_sha256, retired_at is not null from waybill.feature_version "
            "where feature_table = %s",
            (view.table,),
        ).fetchone()
        if row and row[2]:
            return None
        changed = _changed_files(connection, view, text, row[0], row[1]) if row else []
        if changed:
            if _has_values(connection, view):
                raise _has_changed(view, changed)
            _start_over(connection, view)
        ensure(connection, contract)
        if not row or changed:
            connection.execute(
                """
                insert into waybill.feature_version (feature_table, view, version, sql_sha256, contract_sha256)
                values (%s, %s, %s, %s, %s)
                """,
                (view.table, view.view, view.version, sha256(text), contract.sha256),
            )
    return view


@dataclass(frozen=True)
class BuiltFrom:
    """The files that built a version, as they were recorded."""

    sql_sha256: str
    contract_sha256: str


def built_from(connection: Connection, view: FeatureView) -> BuiltFrom:
    """Return the recorded hashes of a version's files, which are those in the project, except for descriptions.

    Raises `NotBuilt` if the version was never built, or if a file has changed since it was built without values, and
    `ContractError` if a file has changed since it has values.
    """
    row = connection.execute(
        "select sql_sha256, contract_sha256 from waybill.feature_version where feature_table = %s", (view.table,)
    ).fetchone()
    if row is None:
        raise NotBuilt(
            f"{view.name} has no values: it was not built yet. `waybill plan` prints the run that builds it."
        )
    if changed := _changed_files(connection, view, read_sql(sql_path(view.contract)), row[0], row[1]):
        if _has_values(connection, view):
            raise _has_changed(view, changed)
        raise NotBuilt(
            f"{view.name} has no values, and {' and '.join(changed)} changed. The next run builds it from the files of "
            "the project."
        )
    return BuiltFrom(*row)


class NotBuilt(DataError):
    """A version of a feature view has no values: it was not built, or was retired."""


def _has_changed(view: FeatureView, changed: Sequence[str]) -> ContractError:
    return ContractError(
        f"{view.table} has values, and {' and '.join(changed)} changed. A version stays as it is, because training "
        f"sets rest on it. Undo the change, or run `waybill features new-version {view.name}` and change the copy."
    )


def _has_values(connection: Connection, view: FeatureView) -> bool:
    found = sql.SQL("select exists (select from {})").format(relation_named(view.log))
    return one_row(connection, found) == (True,)


def _changed_files(connection: Connection, view: FeatureView, text: str, of_sql: str, of_contract: str) -> list[str]:
    found = ["its SQL"] if of_sql != sha256(text) else []
    if of_contract != view.contract.sha256 and of_contract not in equivalent_hashes(connection, view.contract):
        found.append("its contract")
    return found


def _start_over(connection: Connection, view: FeatureView) -> None:
    """Drop the tables of a version without values, and forget its builds, so that other files may take its place."""
    drop_tables(connection, view, with_log=True)
    for statement in (
        "delete from waybill.publication where report = %s",
        "delete from waybill.feature_version where feature_table = %s",
        "update waybill.contract set layout = 0 where dataset = %s",  # `ensure` then creates the tables again
    ):
        connection.execute(statement, (view.table,))


_KEEP_FORMER: Final = """
create temp table former on commit drop as
select true as is_there, {entity}, event_ts, {features} from {table} where {of_period}
"""
_MOMENT: Final = """
select
  greatest(clock_timestamp(), v.last_known_ts + interval '1 microsecond') as known_ts,
  v.created_at,
  v.retired_at is not null as is_retired,
  not exists (
    select from waybill.publication as p
    where p.report = v.feature_table and p.cadence = %(cadence)s and p.period = %(period)s
  )
  and not exists (
    select from waybill.load_file as f
    where f.dataset = any(%(datasets)s) and f.period < %(end)s
      and (
        f.landed_at >= v.created_at
        or exists (
          select from waybill.quarantine as q where q.file_id = f.file_id and q.resolved_at >= v.created_at
        )
      )
  )
  and not exists (
    select from waybill.change as c
    inner join waybill.load_file as f on c.file_id = f.file_id
    where c.table_name = any(%(datasets)s) and c.changed_at >= v.created_at
      and f.status <> 'loaded' and f.period < %(end)s
  ) as is_history
from waybill.feature_version as v
where v.feature_table = %(table)s
"""
_OUTSIDE: Final = """
select count(*), min(event_ts), max(event_ts)
from {table}
where {of_period} and (event_ts <= %(starts_at)s or event_ts > %(ends_at)s)
"""
_COMPARE: Final = """
create temp table appended on commit drop as
select {entity}, event_ts, n.is_there is null as is_removed, {new_features}
from former as o
full join (
  select true as is_there, {entity}, event_ts, {features} from {table} where {of_period}
) as n using ({entity}, event_ts)
where o.is_there is null or n.is_there is null or ({old_features}) is distinct from ({new_features})
"""
_APPEND: Final = """
insert into {log} ({entity}, event_ts, known_ts, is_removed, {features}, run_id)
select
  {entity}, event_ts,
  case
    when %(is_history)s and event_ts + make_interval(secs => %(latency)s) <= %(created_at)s
    then event_ts + make_interval(secs => %(latency)s)
    else %(known_ts)s
  end,
  is_removed, {features}, %(run_id)s
from appended
"""
_REMOVE_LATEST: Final = """
delete from {latest} as l using appended as a
where {entity_of_both} and not exists (select from {table} as t where {entity_of_current})
"""
_SET_LATEST: Final = """
insert into {latest} as l ({entity}, event_ts, {features})
select {entity_of_newest}, newest.event_ts, {newest_features}
from (select distinct {entity} from appended) as a
cross join lateral (
  select * from {table} as t where {entity_of_current} order by t.event_ts desc limit 1
) as newest
on conflict ({entity}) do update
set (event_ts, {features}) = row(excluded.event_ts, {excluded_features})
where (l.event_ts, {latest_features}) is distinct from (excluded.event_ts, {excluded_features})
"""


def build_feature(
    connection: Connection,
    view: FeatureView,
    find_inputs: FindInputs,
    text: str,
    datasets: Collection[str],
    period: Period,
    run: Run,
) -> Built:
    """Replace the period's rows with the result of the SQL text, append what differs to the log, in one transaction.

    `datasets` are those that the text reads, also through other derived tables. Otherwise like
    `waybill.derived.build.build`. Raises `DataError` also if an `event_ts` is outside of its period, or if the version
    was retired meanwhile.
    """

    def find() -> BuildInputs | None:
        lock_exclusive(connection, view)  # before anything is read: who is forgotten until then is in no input
        return find_inputs()

    def write() -> list[date]:
        moment = _moment(connection, view, datasets, period)  # after the lock: readers before it cannot see these rows
        parts = _parts(view, period)
        _execute(connection, _KEEP_FORMER, parts)
        replace_rows(connection, view.contract, text, period)
        _raise_outside(connection, view, period, parts)
        raise_outside_window(connection, view, text, datasets, period)
        _execute(connection, _COMPARE, parts)
        appended = _execute(
            connection, _APPEND, parts, {**moment, "latency": view.latency.total_seconds(), "run_id": run.run_id}
        ).rowcount
        if appended:
            connection.execute(
                "update waybill.feature_version set last_known_ts = %s where feature_table = %s",
                (moment["known_ts"], view.table),
            )
            _execute(connection, _REMOVE_LATEST, parts)
            _execute(connection, _SET_LATEST, parts)
            for table in (view.log, view.latest):
                analyze_grown(connection, relation_named(table))
        connection.execute("drop table former, appended")
        return [period.start]

    return build(connection, view.contract, find, write, period, run, sha256(text))


def _moment(connection: Connection, view: FeatureView, datasets: Collection[str], period: Period) -> dict[str, Any]:
    """Return when the build's values become known, and whether they are the history that the version began with."""
    known_ts, created_at, retired, is_history = one_row(
        connection,
        _MOMENT,
        {
            "table": view.table,
            "cadence": period.cadence,
            "period": period.start,
            "end": period.end,
            "datasets": sorted(datasets),
        },
    )
    if retired:
        raise DataError(f"{view.table} was retired: its log stays, and no period is built any more")
    # What a registered set was made of must not change: from then on, history is known when it is built.
    is_history = is_history and not is_history_over(connection, view)
    return {"known_ts": known_ts, "created_at": created_at, "is_history": is_history}


def _raise_outside(connection: Connection, view: FeatureView, period: Period, parts: dict[str, Any]) -> None:
    starts_at, ends_at = period.instants(settings().timezone)
    rows, first, last = one_row(
        connection, sql.SQL(_OUTSIDE).format(**parts), {"starts_at": starts_at, "ends_at": ends_at}
    )
    if rows:
        raise DataError(
            f"{view.table} {period}: {count(rows, 'row')} with an event_ts outside of the period, from {first} to "
            f"{last}. It must be after {starts_at} and at most {ends_at}: for values at the end of the period, select "
            "`%(ends_at)s as event_ts`."
        )


def _execute(
    connection: Connection, statement: str, parts: dict[str, Any], values: dict[str, Any] | None = None
) -> Any:
    return connection.execute(sql.SQL(statement).format(**parts), values)


def _parts(view: FeatureView, period: Period) -> dict[str, Any]:
    """Return what the statements of a build name."""
    entity, features = [*view.entity], [column.name for column in view.features]
    return {
        "table": relation(view.contract),
        "log": relation_named(view.log),
        "latest": relation_named(view.latest),
        "of_period": of_period(view.contract, period),
        "entity": columns_sql(entity),
        "features": columns_sql(features),
        "old_features": columns_sql(features, "o"),
        "new_features": columns_sql(features, "n"),
        "newest_features": columns_sql(features, "newest"),
        "latest_features": columns_sql(features, "l"),
        "excluded_features": columns_sql(features, "excluded"),
        "entity_of_newest": columns_sql(entity, "newest"),
        "entity_of_both": equal_sql("l", "a", entity),
        "entity_of_current": equal_sql("t", "a", entity),
    }
