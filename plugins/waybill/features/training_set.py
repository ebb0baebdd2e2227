"""Training sets: the values of feature views that were known for each label at its time, with a manifest."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from psycopg import Connection

from waybill.contracts import Column
from waybill.contracts.classification import RESTRICTED
from waybill.contracts.feature_views import FeatureView, find_feature_view
from waybill.errors import DataError
from waybill.features.label_types import wrong_value
from waybill.features.labels import BATCH, Labels, read_labels, rows_as_csv
from waybill.features.point_in_time import LEAKS, Join, Snapshot, array_text, first_invalid, look_up, snapshot
from waybill.formatting import in_series
from waybill.run import code_version

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

CONNECTIONS: Final = 2
"""How many batches of labels are looked up at a time, each by a connection of its own."""
LISTED_ROWS: Final = 100
"""How many rows that leak a manifest lists."""
LEAK: Final = (
    "This set leaks: it has the values that were known when it was made, also those that were not known at the time of "
    "the label. Explore with it, and train on a set as known."
)


@dataclass
class Result:
    """What is known of a training set after all of its rows were read."""

    rows: int = 0
    missing: list[int] = field(default_factory=list)
    """The number of labels without a row, for each view."""
    leaking: int = 0
    """The number of labels that have other values than in the set as known."""
    leaking_rows: list[int] = field(default_factory=list)
    """The numbers of the first of them, from 1."""
    digest: Any = field(default_factory=hashlib.sha256)


@dataclass(frozen=True)
class TrainingSet:
    """Labels and the views whose values they get."""

    labels: Labels
    join: Join

    @property
    def schema(self) -> pa.Schema:
        """Return the columns: those of the labels, then the features of each view."""
        import pyarrow as pa

        masked = self.join.masked
        schema = self.join.schema()
        return pa.schema(
            [
                *(pa.field(one.name, pa.string()) if one.name in masked else one for one in self.labels.schema),
                *(schema.field(name) for _, _, name in self.join.features()),
            ]
        )

    def tables(self, seen: Snapshot, result: Result) -> Iterator[pa.Table]:
        """Yield the rows in the order of the labels, and add up `result`.

        Raises `DataError` for labels in the future, and for a value that is none of the entity's type.
        """
        self._refuse_future(seen)
        result.missing = [0] * len(self.join.views)
        with ThreadPoolExecutor(len(seen.connections)) as pool:
            free = deque(seen.connections)
            waiting: deque[tuple[Connection, pa.Table, Future[pa.Table]]] = deque()
            before = 0
            for labels in self.labels.read():
                if not free:
                    yield self._finished(*self._next(waiting, free), result)
                connection = free.popleft()
                waiting.append((connection, labels, pool.submit(self._look_up, connection, labels, before)))
                before += labels.num_rows
            while waiting:
                yield self._finished(*self._next(waiting, free), result)

    @staticmethod
    def _next(
        waiting: deque[tuple[Connection, pa.Table, Future[pa.Table]]], free: deque[Connection]
    ) -> tuple[pa.Table, pa.Table]:
        connection, labels, future = waiting.popleft()
        found = future.result()
        free.append(connection)
        return labels, found

    def _look_up(self, connection: Connection, labels: pa.Table, before: int) -> pa.Table:
        import pyarrow as pa

        entities = [array_text(labels[column.name].cast(pa.string())) for column in self.join.entities]
        for column, values in zip(self.join.entities, entities, strict=True):
            if wrong := first_invalid(connection, column, values):
                value = labels[column.name][wrong - 1].as_py()
                raise wrong_value(self.labels.source, before + wrong, column, value)
        at = array_text(labels[self.labels.time_column].cast(pa.string()))
        return look_up(connection, self.join, entities, at)

    def _finished(self, labels: pa.Table, found: pa.Table, result: Result) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        schema = self.schema
        columns = [found[name] if name in self.join.masked else labels[name] for name in labels.column_names]
        columns += [found[name] for _, _, name in self.join.features()]
        table = pa.Table.from_arrays(columns, schema=schema).combine_chunks()
        for place in range(len(self.join.views)):
            flags = found[self.join.found_name(place)]
            result.missing[place] += table.num_rows - pc.sum(flags, min_count=0).as_py()
        leaking = [result.rows + 1 + place for place in pc.indices_nonzero(found[LEAKS]).to_pylist()]
        result.leaking += len(leaking)
        result.leaking_rows += leaking[: LISTED_ROWS - len(result.leaking_rows)]
        result.digest.update(rows_as_csv(table, header=not result.rows))
        result.rows += table.num_rows
        return table

    def _refuse_future(self, seen: Snapshot) -> None:
        if self.join.as_of_now or self.labels.newest is None:
            return
        at, row = self.labels.newest
        if at > seen.clock:
            raise DataError(
                f"{self.labels.source}: row {row} is at {at.isoformat()}, and it is {seen.clock.isoformat()}. What "
                "is known by then may still change, and the set with it. Leave out labels in the future."
            )


def prepare(
    labels: Any,
    views: str | Sequence[str],
    *,
    domain: str | None = None,
    time_column: str = "ts",
    as_of_now: bool = False,
) -> TrainingSet:
    """Find the feature views and check the labels.

    Args:
        labels: the path of a CSV or Parquet file, or a DataFrame, with the entity columns of all views and instants.
        views: names such as `payer_spend:1`, also as one text with commas between them.
        domain: the domain of the views; needed if several domains have one of a name.
        time_column: the column of the labels with the instants.
        as_of_now: whether to take the values that are known now.

    Raises:
        DataError: a view is unknown or named twice, or the labels do not fit.
    """
    if isinstance(views, str):
        views = [name.strip() for name in views.split(",") if name.strip()]
    if not views or not all(isinstance(name, str) for name in views):
        raise DataError("name at least one feature view, such as payer_spend:1")
    if twice := sorted({name for name in views if [*views].count(name) > 1}):
        raise DataError(f"{in_series(twice)} {'is' if len(twice) == 1 else 'are'} named twice")
    found = tuple(find_feature_view(name, domain) for name in views)
    join = Join(found, _entities(found), as_of_now)
    read = read_labels(labels, join.entities, time_column)
    names = [*read.schema.names, *(name for _, _, name in join.features())]
    if clash := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{read.source}: rename {in_series(clash)}: the training set has a feature of that name")
    return TrainingSet(read, join)


def _entities(views: Sequence[FeatureView]) -> tuple[Column, ...]:
    found: dict[str, tuple[FeatureView, Column]] = {}
    for view in views:
        for column in view.contract.columns:
            if column.name not in view.entity:
                continue
            first, known = found.setdefault(column.name, (view, column))
            if column.classification == RESTRICTED:
                found[column.name] = first, column  # then no message shows its values
            if known.physical_type != column.physical_type:
                raise DataError(
                    f"{column.name} is {known.physical_type} in {first.name} and {column.physical_type} in "
                    f"{view.name}: make two training sets"
                )
    return tuple(column for _, column in found.values())


@contextmanager
def read_set(
    wanted: TrainingSet, connect: Callable[[], Connection], *, is_registered: bool = False
) -> Iterator[tuple[Iterator[pa.Table], Result, Snapshot]]:
    """Yield the tables of a training set, what is known after the last one, and the snapshot of the warehouse.

    `is_registered` says that the set is registered before the end of the block.
    """
    result = Result()
    connections = CONNECTIONS if wanted.labels.rows > 1 else 1
    ends_history = is_registered and not wanted.join.as_of_now and wanted.labels.rows > 0
    with snapshot(connect, wanted.join.views, connections, ends_history=ends_history) as seen:
        yield wanted.tables(seen, result), result, seen


def write_set(wanted: TrainingSet, connect: Callable[[], Connection], target: Path) -> dict[str, Any]:
    """Write a training set as Parquet; return its manifest. The same rows give the same bytes.

    The bytes also depend on the version of pyarrow. `content_sha256` of the manifest does not.
    """
    with read_set(wanted, connect) as (tables, result, seen):
        write_tables(wanted, tables, target)
        return manifest(wanted, result, seen)


def write_tables(wanted: TrainingSet, tables: Iterable[pa.Table], target: Path) -> None:
    """Write the tables of a training set as Parquet."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(target, wanted.schema, compression="zstd", version="2.6") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=BATCH)


def manifest(wanted: TrainingSet, result: Result, seen: Snapshot) -> dict[str, Any]:
    """Return what a training set rests on, as JSON values."""
    labels, join = wanted.labels, wanted.join
    newest = labels.newest[0] if labels.newest else None
    known_until = seen.clock if join.as_of_now else newest
    found: dict[str, Any] = {
        "mode": "as of now" if join.as_of_now else "as known",
        "views": [
            {
                "name": view.name,
                "table": view.table,
                "sql_sha256": built.sql_sha256,
                "contract_sha256": built.contract_sha256,
                "ttl_seconds": None if view.ttl is None else view.ttl.total_seconds(),
                "rows_without_value": missing,
            }
            for view, built, missing in zip(
                join.views, seen.built, result.missing or [0] * len(join.views), strict=True
            )
        ],
        "labels": {"source": labels.source, "sha256": labels.sha256, "time_column": labels.time_column},
        "known_until": known_until.isoformat() if known_until else None,
        "rows": result.rows,
        "columns": {one.name: str(one.type) for one in wanted.schema},
        "content_sha256": result.digest.hexdigest(),
        "code_version": code_version(),
    }
    if join.as_of_now:
        found["leak"] = {"warning": LEAK, "rows": result.leaking, "first_rows": result.leaking_rows}
    return found
