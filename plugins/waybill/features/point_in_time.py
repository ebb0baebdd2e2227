"""The point-in-time join: which value of a feature view was known for an entity at an instant.

For a label (entity, t), the cells of a view are its instants `event_ts <= t`. Each cell has the row of the log with the
greatest `known_ts <= t`. A removed row means that the cell does not exist. The value is that of the newest cell, unless
it is older than the view's ttl.

PostgreSQL looks each label up in the key of the log, so the size of the log hardly matters. The labels of one call are
settings of the transaction, because the role of readers may create no tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from psycopg import Connection, IsolationLevel, sql

from waybill.contracts import Column
from waybill.contracts.classification import RESTRICTED
from waybill.contracts.feature_views import FeatureView
from waybill.derived.feature import BuiltFrom, built_from
from waybill.outputs.export import arrow_tables, arrow_type
from waybill.outputs.masking import pseudonym_sql, use_key
from waybill.warehouse.connection import non_retryable_sql, one_row
from waybill.warehouse.feature_tables import is_history_over, lock_shared, relation_named
from waybill.warehouse.schema import columns_sql, equal_sql

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

LEAKS: Final = "leaks"
"""The column of `look_up` that says whether a label has other values than as known at its time."""
_CHECKED_BY_ARROW: Final = {"smallint", "integer", "bigint", "text", "date", "boolean"}
"""The types of which a label has a value in any case when its column was read."""
_AT: Final = "label_at"
_VIEW: Final = "view"
"""The row of a view that counts."""
_KNOWN: Final = "known"
"""For a set as of now, the row that counts as known at the time of the label."""
_PLACE: Final = "label_place"

# Look-ups are cheap one by one. Their estimated sum would make the server compile the query for each batch.
_SETTINGS: Final = """
select set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true), set_config('jit', 'off', true)
"""
_QUERY: Final = """
copy (
  with label as materialized (
    select *
    from rows from ({arrays}) with ordinality as l ({names})
    order by {order}
  )
  select {columns}
  from label as l
  {lookups}
) to stdout (format csv, header, encoding 'UTF8')
"""

# The newest row among those known at an instant is the newest one of its cell, too. A cell that was removed after that
# row, and by that instant, does not exist.
_LOOKUP: Final = """
left join lateral (
  select r.*
  from {log} as r
  where {of_label}
    and r.event_ts <= l.{at}
    {not_expired}
    and r.known_ts <= {known_until}
    and not r.is_removed
    and not exists (
      select
      from {log} as x
      where x.is_removed and {same_cell} and x.known_ts > r.known_ts and x.known_ts <= {known_until}
    )
  order by r.event_ts desc, r.known_ts desc
  limit 1
) as {alias} on true
"""


@dataclass(frozen=True)
class Snapshot:
    """Connections that see the same state of the logs."""

    connections: tuple[Connection, ...]
    built: tuple[BuiltFrom, ...]
    """The files that built each view."""
    clock: datetime
    """No row that becomes visible later has a `known_ts` at or before this instant."""


@contextmanager
def snapshot(
    connect: Callable[[], Connection],
    views: Sequence[FeatureView],
    connections: int = 1,
    *,
    ends_history: bool = False,
) -> Iterator[Snapshot]:
    """Open connections to one state of the warehouse, between two builds of each view; close them at the end.

    A build takes `known_ts` from the clock while it holds the view's lock, and its rows become visible later. Therefore
    the clock is read while no build holds the lock, and the state is that of the same moment.

    With `ends_history`, the caller registers a training set before the end whose values must stay. Until the first such
    set of a version is registered, builds add history that counts as known on time. Therefore they wait for the end.

    Raises `NotBuilt` for a version that was never built, and `ContractError` for one whose files have changed since.
    """
    with ExitStack() as stack:
        opened = tuple(stack.enter_context(connect()) for _ in range(connections))
        for connection in opened:
            connection.autocommit = True
        locked = stack.enter_context(ExitStack())
        holder = locked.enter_context(connect())
        locked.enter_context(holder.transaction())
        for view in sorted(views, key=lambda one: one.table):
            lock_shared(holder, view)
        built = tuple(built_from(holder, view) for view in views)
        for connection in opened:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            stack.enter_context(connection.transaction())
        exporter, *others = opened
        clock, name = one_row(exporter, "select clock_timestamp(), pg_export_snapshot()")
        for connection in others:
            connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(name)))
        if not ends_history or all(is_history_over(holder, view) for view in views):
            locked.close()
        for connection in opened:
            connection.execute(_SETTINGS)
            for view in views:
                use_key(connection, view.contract)
        yield Snapshot(opened, built, clock)


@dataclass(frozen=True)
class Join:
    """Which values of which views a training set has."""

    views: tuple[FeatureView, ...]
    entities: tuple[Column, ...]
    """The columns that identify what the labels are about, of all views."""
    as_of_now: bool

    @property
    def masked(self) -> tuple[str, ...]:
        """Return the entity columns that a view restricts. The result has their pseudonyms."""
        restricted = {
            column.name
            for view in self.views
            for column in view.contract.columns
            if column.classification == RESTRICTED
        }
        return tuple(column.name for column in self.entities if column.name in restricted)

    def by_entity(self) -> list[tuple[int, ...]]:
        """Return the places of the views, those with the same entity together."""
        found: dict[frozenset[str], tuple[int, ...]] = {}
        for place, view in enumerate(self.views):
            key = frozenset(view.entity)
            found[key] = (*found.get(key, ()), place)
        return [*found.values()]

    def entity_of(self, places: Sequence[int]) -> tuple[Column, ...]:
        """Return the columns that identify the entity of views, which have the same one."""
        return tuple(column for column in self.entities if column.name in self.views[places[0]].entity)

    def features(self) -> list[tuple[int, Column, str]]:
        """Return for each feature (the place of its view, the column, the name in the result).

        The name is `<view>__<feature>`, or `<view>_v<N>__<feature>` if two versions of the view are asked for.
        """
        names = [view.view for view in self.views]
        return [
            (place, column, f"{view.view if names.count(view.view) == 1 else view.contract.name}__{column.name}")
            for place, view in enumerate(self.views)
            for column in view.features
        ]

    def found_name(self, place: int) -> str:
        """Return the column that says whether a label has a row of a view. It is no part of the training set."""
        return f"found {place}"

    def schema(self) -> pa.Schema:
        """Return the columns of `look_up`."""
        import pyarrow as pa

        return pa.schema(
            [
                *(pa.field(name, pa.string()) for name in self.masked),
                *(
                    pa.field(
                        name, pa.string() if column.classification == RESTRICTED else arrow_type(column.physical_type)
                    )
                    for _, column, name in self.features()
                ),
                *(pa.field(self.found_name(place), pa.bool_()) for place in range(len(self.views))),
                pa.field(LEAKS, pa.bool_()),
            ]
        )


def array_text(values: Any) -> str:
    """Return an Arrow array of texts as PostgreSQL writes an array."""
    import pyarrow.compute as pc

    escaped = pc.replace_substring_regex(values, r'(["\\])', r"\\\1")
    quoted = pc.fill_null(pc.binary_join_element_wise('"', escaped, '"', ""), "NULL")
    return "{" + ",".join(quoted.to_pylist()) + "}"


def look_up(connection: Connection, join: Join, entities: Sequence[str], at: str) -> pa.Table:
    """Return for each label, in their order, its features, whether each view has a row for it, and whether it leaks.

    Args:
        connection: one of a `snapshot` of the views.
        join: what is looked up.
        entities: the values of each column of `join.entities` by `array_text`, as PostgreSQL reads them.
        at: the instants of the labels likewise, in ISO 8601 with an offset.

    Raises:
        DataError: a value is none of its column's type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    given = {column.name: values for column, values in zip(join.entities, entities, strict=True)}
    found: dict[str, pa.ChunkedArray] = {}
    for places in join.by_entity():
        part = _look_up_part(connection, join, places, given, at)
        if found:
            part[LEAKS] = pc.or_(part[LEAKS], found[LEAKS])
        found |= part
    schema = join.schema()
    return pa.table([found[name] for name in schema.names], schema)


def _look_up_part(
    connection: Connection,
    join: Join,
    places: Sequence[int],
    given: dict[str, str],
    at: str,
) -> dict[str, pa.ChunkedArray]:
    """Return the columns of some views, which have the same entity."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, values in enumerate([*(given[column.name] for column in join.entity_of(places)), at]):
        connection.execute("select set_config(%s, %s, true)", (_setting(place), values))
    columns = dict(_columns(join, places))
    kinds = join.schema()
    schema = pa.schema([pa.field(_PLACE, pa.int64()), *(kinds.field(name) for name in columns)])
    query = _query(join, places, columns.values())
    with non_retryable_sql("the point-in-time join"), connection.cursor().copy(query) as copy:
        found = pa.concat_tables(arrow_tables(map(bytes, copy), schema))
    # Rows come in the order of the look-ups. The server would sort whole rows on disk.
    found = found.take(pc.sort_indices(found[_PLACE]))
    return {name: found[name] for name in columns}


def first_invalid(connection: Connection, column: Column, values: str) -> int | None:
    """Return the place, from 1, of the first value that is none of the type of a column; None without one.

    `values` is an array by `array_text`.
    """
    if column.physical_type in _CHECKED_BY_ARROW:
        return None
    (place,) = one_row(
        connection,
        "select min(place) from unnest(%s::text[]) with ordinality as v (value, place) "
        "where not pg_input_is_valid(value, %s)",
        (values, column.physical_type),
    )
    return None if place is None else int(place)


def _setting(place: int) -> str:
    return f"waybill.label_{place}"


def _query(join: Join, places: Sequence[int], columns: Iterable[sql.Composable]) -> sql.Composed:
    entity = join.entity_of(places)
    kinds = [*(column.physical_type for column in entity), "timestamptz"]
    names = [*(column.name for column in entity), _AT]
    arrays = sql.SQL(", ").join(
        sql.SQL("unnest(current_setting({})::{}[])").format(sql.Literal(_setting(place)), sql.SQL(kind))
        for place, kind in enumerate(kinds)
    )
    known = sql.SQL("l.{}").format(sql.Identifier(_AT))
    known_until = sql.SQL("'infinity'") if join.as_of_now else known
    lookups = [_lookup(join.views[place], _alias(place), known_until) for place in places]
    if join.as_of_now:
        lookups += [_lookup(join.views[place], _alias(place, _KNOWN), known) for place in places]
    return sql.SQL(_QUERY).format(
        arrays=arrays,
        names=sql.SQL(", ").join(map(sql.Identifier, [*names, _PLACE])),
        order=sql.SQL(", ").join(map(sql.Identifier, names)),
        columns=sql.SQL(", ").join([sql.Identifier("l", _PLACE), *columns]),
        lookups=sql.SQL("").join(lookups),
    )


def _alias(place: int, kind: str = _VIEW) -> str:
    return f"{kind}_{place}"


def _columns(join: Join, places: Sequence[int]) -> Iterator[tuple[str, sql.Composable]]:
    """Yield the names of columns of `look_up` that some views give, and their expressions."""
    for column in join.entity_of(places):
        if column.name in join.masked:
            yield column.name, pseudonym_sql(sql.Identifier("l", column.name))
    for place, column, name in join.features():
        if place not in places:
            continue
        value = sql.Identifier(_alias(place), column.name)
        if column.classification == RESTRICTED:
            yield name, pseudonym_sql(value)
        else:
            yield name, sql.SQL("to_json({})::text").format(value) if column.physical_type == "text[]" else value
    for place in places:
        yield join.found_name(place), sql.SQL("{} is not null").format(sql.Identifier(_alias(place), "event_ts"))
    differing = [
        sql.SQL("({}) is distinct from ({})").format(
            *(
                columns_sql([one.name for one in join.views[place].features], _alias(place, kind))
                for kind in (_VIEW, _KNOWN)
            )
        )
        for place in places
    ]
    yield LEAKS, sql.SQL(" or ").join(differing) if join.as_of_now else sql.SQL("false")


def _lookup(view: FeatureView, alias: str, known_until: sql.Composable) -> sql.Composed:
    at = sql.Identifier(_AT)
    not_expired: sql.Composable = sql.SQL("")
    if view.ttl is not None:
        # Seconds, because the length of a day would depend on the time zone.
        seconds: Any = view.ttl.total_seconds()
        not_expired = sql.SQL("and r.event_ts >= l.{} - make_interval(secs => {})").format(at, sql.Literal(seconds))
    return sql.SQL(_LOOKUP).format(
        log=relation_named(view.log),
        of_label=equal_sql("r", "l", [*view.entity]),
        same_cell=equal_sql("x", "r", [*view.entity, "event_ts"]),
        at=at,
        known_until=known_until,
        not_expired=not_expired,
        alias=sql.Identifier(alias),
    )
