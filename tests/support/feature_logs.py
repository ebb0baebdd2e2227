"""Feature views of a test's own, with logs that are filled by hand, and the point-in-time join by its definition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from waybill.contracts.feature_views import FeatureView
from waybill.contracts.odcs import load
from waybill.derived.feature import open_version
from waybill.warehouse.feature_tables import relation_named

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: billing_feature.{name}
name: {name}
version: {version}.0.0
status: active
domain: billing_feature
description:
  purpose: Values for a test.
schema:
  - name: {name}
    physicalType: table
    dataGranularityDescription: One row per day and entity.
    customProperties:
      - {{property: loadMode, value: feature}}
    properties:
      - name: day
        description: The day.
        logicalType: date
        physicalType: date
        required: true
        primaryKey: true
        primaryKeyPosition: 1
{columns}
      - name: event_ts
        description: The end of the day.
        logicalType: timestamp
        physicalType: timestamptz
        required: true
{features}
slaProperties:
  - {{property: frequency, value: 1, unit: d}}
{ttl}"""
SQL = "-- Question:   What?\nselect 1\n"
KINDS = {
    "bigint": "integer",
    "date": "date",
    "double precision": "number",
    "integer": "integer",
    "timestamptz": "timestamp",
    "text": "string",
    "uuid": "string",
    "numeric(12,2)": "number",
    "boolean": "boolean",
    "text[]": "array",
}


def column(name: str, kind: str, position: int | None = None, *, is_restricted: bool = False) -> str:
    """Return a property of a contract."""
    lines = [
        f"      - name: {name}",
        f"        description: The {name}.",
        f"        logicalType: {KINDS[kind]}",
        f"        physicalType: {kind}",
    ]
    if kind == "text[]":
        lines += ["        items: {name: item, logicalType: string}"]
    if position:
        lines += ["        required: true", "        primaryKey: true", f"        primaryKeyPosition: {position}"]
    if is_restricted:
        lines += ["        classification: restricted"]
    return "\n".join(lines)


def write_view(
    include: Path, name: str, columns: Sequence[str], features: Sequence[str], ttl: timedelta | None = None
) -> FeatureView:
    """Write the contract of `billing_feature.<name>` and an SQL file; return the view."""
    sla = "" if ttl is None else f"  - {{property: ttl, value: {ttl // timedelta(hours=1)}, unit: h}}\n"
    path = include / "contracts" / "billing_feature" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        CONTRACT.format(
            name=name,
            version=name.rpartition("_v")[2],
            columns="\n".join(columns),
            features="\n".join(features),
            ttl=sla,
        )
    )
    query = include / "sql" / "billing_feature" / f"{name}.sql"
    query.parent.mkdir(parents=True, exist_ok=True)
    query.write_text(SQL)
    return FeatureView.of(load(path))


@dataclass(frozen=True)
class Entry:
    """A row of a log."""

    entity: tuple[Any, ...]
    event_ts: datetime
    known_ts: datetime
    values: tuple[Any, ...]
    """The features; those of a removed row do not matter."""
    is_removed: bool = False


def create(connection: Connection, view: FeatureView) -> None:
    """Create the tables of a view, as its first build does."""
    open_version(connection, view.contract, SQL)


def fill(connection: Connection, view: FeatureView, entries: Iterable[Entry]) -> None:
    """Append rows to the log of a view."""
    names = [*view.entity, "event_ts", "known_ts", "is_removed", *(one.name for one in view.features)]
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        relation_named(view.log),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join([sql.Placeholder()] * len(names)),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            statement,
            [
                (
                    *one.entity,
                    one.event_ts,
                    one.known_ts,
                    one.is_removed,
                    *((None,) * len(one.values) if one.is_removed else one.values),
                )
                for one in entries
            ],
        )


def value_at(
    entries: Iterable[Entry], entity: tuple[Any, ...], at: datetime, ttl: timedelta | None, known_at: datetime
) -> Entry | None:
    """Return the row that counts for an entity at an instant, by the definition, as it was known at another one."""
    if None in entity:
        return None
    cells: dict[datetime, Entry] = {}
    for one in entries:
        if one.entity == entity and one.event_ts <= at and one.known_ts <= known_at:
            former = cells.get(one.event_ts)
            if former is None or former.known_ts < one.known_ts:
                cells[one.event_ts] = one
    existing = [one for one in cells.values() if not one.is_removed]
    if not existing:
        return None
    newest = max(existing, key=lambda one: one.event_ts)
    return None if ttl is not None and at - newest.event_ts > ttl else newest
