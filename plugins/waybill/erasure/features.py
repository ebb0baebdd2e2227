"""Erase a person in feature views: no run computes their logs again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from psycopg import Connection, sql

from waybill.contracts import Column, Contract
from waybill.contracts.feature_views import EVENT_TS, FeatureView
from waybill.contracts.people import erased_columns, replacement_for
from waybill.erasure.person import Target
from waybill.erasure.places import IdColumn
from waybill.erasure.rows import Erased
from waybill.warehouse.connection import table_exists
from waybill.warehouse.feature_tables import lock_exclusive, relation_named
from waybill.warehouse.schema import equal_sql, relation

_ERASE: Final = """
update {table} as t
set {changes}
where {is_person} and not exists (
  select from {table} as k where {rest_of_key} and k.{name} = %(tombstone)s::{kind}
)
"""
_DELETE: Final = "delete from {table} as t where {is_person}"


def erase_features(connection: Connection, target: Target, derived: Sequence[IdColumn], erased: Erased) -> None:
    """Replace the person in the current, newest and logged values of the domain's feature views.

    Classified features of the person are erased, too. Current values are replaced here as well: the next build would
    append them to the log as gone, with the id.
    """
    for one in derived:
        if one.contract.load_mode != "feature":
            continue
        view = FeatureView.of(one.contract)
        lock_exclusive(connection, view)
        keys = (
            (relation(one.contract), [*one.contract.key]),
            (relation_named(view.log), [*view.entity, EVENT_TS, "known_ts"]),
            (relation_named(view.latest), [*view.entity]),
        )
        for table, key in keys:
            if table_exists(connection, table):
                rows = _erase(connection, target, one.contract, one.column, table, key)
                erased.add(table.as_string(None).replace('"', ""), rows)


def _erase(
    connection: Connection, target: Target, contract: Contract, column: Column, table: sql.Identifier, key: list[str]
) -> int:
    others = [name for name in key if name != column.name]
    new: dict[str, sql.Composable] = {column.name: sql.SQL("%(tombstone)s::{}").format(sql.SQL(column.physical_type))}
    for classified in erased_columns(contract, {column.name, *key}):
        value = sql.Literal(replacement_for(classified, target.person.number))
        new[classified.name] = sql.SQL("{}::{}").format(value, sql.SQL(classified.physical_type))
    parts = {
        "table": table,
        "changes": sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in new.items()
        ),
        "is_person": sql.SQL("t.{} = %(id)s::{}").format(sql.Identifier(column.name), sql.SQL(column.physical_type)),
        "rest_of_key": equal_sql("k", "t", others) if others else sql.SQL("true"),
        "name": sql.Identifier(column.name),
        "kind": sql.SQL(column.physical_type),
    }
    values = {"id": target.value, "tombstone": target.person.tombstone}
    changed = connection.execute(sql.SQL(_ERASE).format(**parts), values).rowcount
    # The tombstone has such a row already, from an earlier erasure.
    return changed + connection.execute(sql.SQL(_DELETE).format(**parts), values).rowcount
