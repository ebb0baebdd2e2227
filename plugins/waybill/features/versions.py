"""The versions of feature views: list them, copy one as the next, retire one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg import Connection, sql

from waybill.contracts.feature_views import FeatureView, feature_views
from waybill.contracts.locations import domain_of
from waybill.contracts.odcs import contract_path, sql_path
from waybill.errors import DataError
from waybill.formatting import count, in_series
from waybill.warehouse.connection import one_row
from waybill.warehouse.feature_tables import drop_tables, lock_exclusive, lock_sets, refuse_used, relation_named


@dataclass(frozen=True)
class VersionState:
    """A version of a feature view, as the warehouse has it."""

    view: FeatureView
    created_at: datetime | None
    """When it was first built; None if it was not."""
    retired_at: datetime | None
    entities: int | None
    """The number of entities with values; None if it was not built or was retired."""
    newest: datetime | None
    """The newest `event_ts` of an entity."""


def version_states(connection: Connection, domain: str) -> list[VersionState]:
    """Return the versions of a domain's feature views, by view and version."""
    found = []
    for view in feature_views(domain):
        row = connection.execute(
            "select created_at, retired_at from waybill.feature_version where feature_table = %s", (view.table,)
        ).fetchone()
        created_at, retired_at = row or (None, None)
        entities = newest = None
        if created_at and not retired_at:
            entities, newest = one_row(
                connection,
                sql.SQL("select count(*), max(event_ts) from {}").format(relation_named(view.latest)),
            )
        found.append(VersionState(view, created_at, retired_at, entities, newest))
    return found


def new_version(view: FeatureView) -> tuple[Path, Path]:
    """Copy the contract and the SQL of a version as those of the next one, and return the new files.

    Names of the version in both texts become those of the next one. Raises `DataError` if the version has no SQL file,
    and if the newest version is such a copy and was not changed.
    """
    domain = domain_of(view.contract.domain)
    newest = max((one for one in feature_views(domain) if one.view == view.view), key=lambda one: one.version)
    pair = contract_path(view.table), sql_path(view.contract)
    if missing := [path for path in pair if not path.is_file()]:
        raise DataError(f"{missing[0]}: no such file; a version of a feature view has a contract and an SQL file")
    former = _copies(view, pair, newest.version)
    if newest != view and all(path.is_file() and path.read_text("utf-8") == text for path, text in former.items()):
        raise DataError(
            f"{newest.name} is a copy of {view.name}, and was not changed: change {in_series([*map(str, former)])}. If "
            f"it has values, run `waybill features new-version {newest.name}`."
        )
    copies = _copies(view, pair, newest.version + 1)
    for target, text in copies.items():
        try:
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise DataError(f"{target}: exists already; a new version overwrites no file") from None
    contract, query = copies
    return contract, query


def _copies(view: FeatureView, pair: tuple[Path, Path], number: int) -> dict[Path, str]:
    """Return the files of a version, and their texts, as copies of the contract and the SQL of another one."""
    name = f"{view.view}_v{number}"
    found = {}
    for path in pair:
        text = re.sub(rf"\b{re.escape(view.contract.name)}(?=\b|_log\b|_latest\b)", name, path.read_text("utf-8"))
        if path.suffix == ".yaml":
            text = re.sub(r"(?m)^version: .*$", f"version: {number}.0.0", text, count=1)
        found[path.with_name(f"{name}{path.suffix}")] = text
    return found


def retire(connection: Connection, view: FeatureView, by: str, *, is_forced: bool = False) -> str:
    """End a version: no run builds it any more, and its current and newest values are dropped. Return what was done.

    The log stays, so that training sets can be made again. Runs in one transaction. Raises `DataError` if the version
    was never built or is retired, and, unless forced, if training sets rest on it.
    """
    with connection.transaction():
        lock_sets(connection, [view], is_shared=False)
        lock_exclusive(connection, view)
        row = connection.execute(
            "select retired_at from waybill.feature_version where feature_table = %s", (view.table,)
        ).fetchone()
        if row is None:
            raise DataError(f"{view.name} was never built: delete its contract and its SQL file instead")
        if row[0]:
            raise DataError(f"{view.name} was retired on {row[0]:%Y-%m-%d}")
        if not is_forced:
            refuse_used(connection, view, "Their models expect its values online.")
        drop_tables(connection, view, with_log=False)
        connection.execute(
            "update waybill.feature_version set retired_at = clock_timestamp(), retired_by = %s "
            "where feature_table = %s",
            (by, view.table),
        )
        (rows,) = one_row(connection, sql.SQL("select count(*) from {}").format(relation_named(view.log)))
    return (
        f"Retired {view.name}. Its current and newest values were dropped. {view.log} keeps {count(rows, 'row')}, so "
        "that training sets can be made again. Leave its contract and SQL file in the project."
    )
