"""Read the newest values of an entity: one look-up by the primary key of the latest rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, errors, sql
from psycopg.rows import dict_row

from waybill.contracts.classification import restricted_names
from waybill.contracts.feature_views import EVENT_TS, FeatureView
from waybill.derived.feature import NotBuilt, built_from
from waybill.errors import DataError
from waybill.formatting import iso_or_text
from waybill.warehouse.feature_tables import relation_named
from waybill.warehouse.schema import columns_sql

__all__ = ["Latest", "NotBuilt", "as_json", "read_latest"]


@dataclass(frozen=True)
class Latest:
    """The newest values of an entity."""

    entity: dict[str, Any]
    event_ts: datetime
    is_expired: bool
    """Whether the values are older than the ttl: then they count as missing."""
    values: dict[str, Any]
    """By feature; null for all of them if they are expired."""


def read_latest(
    connection: Connection, view: FeatureView, entity: Mapping[str, str], *, with_restricted: bool = False
) -> Latest | None:
    """Return the newest values of an entity, given as texts by column; None if it has none. Call it in a transaction.

    Restricted features are left out unless asked for. Raises `DataError` for other columns than those of the entity
    and for a value of another type, `NotBuilt` for a version that was not built or was retired, and `ContractError` if
    its files have changed since it has values.
    """
    if entity.keys() != {*view.entity}:
        raise DataError(
            f"{view.name} is found by {', '.join(view.entity)}, and not by {', '.join(entity) or 'no column'}"
        )
    hidden = set() if with_restricted else restricted_names(view.contract)
    columns = {column.name: column for column in view.contract.columns}
    features = [column.name for column in view.features if column.name not in hidden]
    query = sql.SQL(
        "select {key}, {event_ts}, "
        "coalesce({event_ts} < clock_timestamp() - make_interval(secs => %(ttl)s), false) as _is_expired"
        "{features} from {latest} where {is_entity}"
    ).format(
        key=columns_sql([*view.entity]),
        event_ts=sql.Identifier(EVENT_TS),
        features=sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(name)) for name in features),
        latest=relation_named(view.latest),
        is_entity=sql.SQL(" and ").join(
            sql.SQL("{} = {}::{}").format(
                sql.Identifier(name), sql.Placeholder(f"key_{name}"), sql.SQL(columns[name].physical_type)
            )
            for name in view.entity
        ),
    )
    seconds = None if view.ttl is None else view.ttl.total_seconds()
    parameters = {"ttl": seconds, **{f"key_{name}": value for name, value in entity.items()}}
    try:
        built_from(connection, view)
        row = connection.cursor(row_factory=dict_row).execute(query, parameters).fetchone()
    except errors.UndefinedTable:
        raise NotBuilt(f"{view.name} has no values: it was retired") from None
    except errors.DataError:
        kinds = ", ".join(f"{name} ({columns[name].physical_type})" for name in view.entity)
        raise DataError(f"the entity of {view.name} is {kinds}: a given value is not of this type") from None
    if row is None:
        return None
    is_expired = row["_is_expired"]
    return Latest(
        {name: row[name] for name in view.entity},
        row[EVENT_TS],
        is_expired,
        {name: None if is_expired else row[name] for name in features},
    )


def as_json(view: FeatureView, found: Latest, indent: int | None = None) -> str:
    """Return the newest values of an entity as JSON. Decimals are texts, so that they stay exact."""
    content = {
        "view": view.name,
        "entity": found.entity,
        "event_ts": found.event_ts,
        "is_expired": found.is_expired,
        "features": found.values,
    }
    return json.dumps(content, indent=indent, default=iso_or_text, ensure_ascii=False)
