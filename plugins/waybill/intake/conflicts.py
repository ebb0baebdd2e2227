"""Conflicts between files: two files of the same period with different content for the same key.

The later file counts. If a file of a later period updates a row, that is not a conflict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.contracts import Contract
from waybill.contracts.classification import MASK, restricted_names
from waybill.files.landed_file import LandedFile
from waybill.intake import file_warnings
from waybill.intake.rejected_files import EXAMPLES
from waybill.warehouse.connection import table_exists
from waybill.warehouse.file_order import comes_before, order_sql
from waybill.warehouse.schema import as_of_function, columns_sql, equal_sql, json_sql, relation, superseded_relation

KIND: Final = "conflict"
"""The kind of these warnings about files."""

# Inserted rows cannot differ from another file's. The current row belongs to another file only if that file counts.
_DIFFERING = """
with compared as (
  select i.*, o.outcome as _outcome
  from incoming as i
  inner join outcome as o on i._record = o._record
  where o.outcome <> 'inserted'
),
differing as (
  select {key_of_i}, i._record, s._file_id as _other
  from compared as i
  inner join {superseded} as s on {same_key_s} and s._file_id = any({others})
  where ({content_s}) is distinct from ({content})
  union all
  select {key_of_i}, i._record, t._file_id as _other
  from compared as i
  inner join {table} as t on {same_key_t} and t._file_id = any({others})
  where i._outcome in ('stale', 'duplicate') and ({content_t}) is distinct from ({content})
),
placed as (
  select d.*, row_number() over (partition by d._other order by d._record) as _place from differing as d
)
select _other, count(*), array_agg(jsonb_build_array({key}) order by _place) filter (where _place <= {examples})
from placed
group by _other
order by _other
"""

_OF_SNAPSHOT = """
with differing as (
  select i.* from incoming as i {condition}
),
placed as (
  select d.*, row_number() over (order by d._record) as _place from differing as d
)
select count(*), array_agg(jsonb_build_array({key}) order by _place) filter (where _place <= {examples})
from placed
having count(*) > 0
"""


def warn(
    connection: Connection,
    contract: Contract,
    landed: LandedFile,
    file_id: int,
    *,
    replaces: int | None,
    is_overruled: bool = False,
) -> None:
    """Record a warning for each file of the same period that conflicts with the file that was just merged.

    Reads the temporary tables `incoming` and `outcome`. `is_overruled`: a later snapshot of the period counts.
    """
    others: dict[int, str] = dict(
        connection.execute(
            sql.SQL(
                """
                select f.file_id, f.object_key
                from waybill.load_file as f
                where f.dataset = {dataset} and f.period = {period} and f.status = 'loaded' and f.file_id <> {file_id}
                order by {newest_first}
                """
            ).format(
                dataset=sql.Literal(contract.table),
                period=sql.Literal(landed.period.start),
                file_id=sql.Literal(file_id),
                newest_first=order_sql(contract, "f", descending=True),
            )
        ).fetchall()
    )
    if not others or not contract.content:
        return
    if contract.is_merged:
        found = _differing(connection, contract, [*others])
    elif replaces is None:
        found = _differing_snapshot(connection, contract, landed, next(iter(others)), is_overruled)
    else:  # the previous state is that of the replaced version
        return
    for other, rows, keys in found:
        is_later = comes_before(connection, contract, other, file_id)
        file_warnings.add(
            connection, file_id, KIND, _message(contract, landed, others[other], rows, keys, is_later=is_later)
        )


def _differing(connection: Connection, contract: Contract, others: list[int]) -> list[tuple[int, int, list[list[Any]]]]:
    """Return (file, rows, first keys) of each other file whose rows differ from those of `incoming`."""
    return connection.execute(
        sql.SQL(_DIFFERING).format(
            table=relation(contract),
            superseded=superseded_relation(contract),
            same_key_s=equal_sql("s", "i", contract.row_key),
            same_key_t=equal_sql("t", "i", contract.row_key),
            content=columns_sql(contract.content, "i"),
            content_s=columns_sql(contract.content, "s"),
            content_t=columns_sql(contract.content, "t"),
            key=columns_sql(contract.row_key),
            key_of_i=columns_sql(contract.row_key, "i"),
            others=sql.Literal(others),
            examples=sql.Literal(EXAMPLES),
        )
    ).fetchall()


def _differing_snapshot(
    connection: Connection, contract: Contract, landed: LandedFile, other: int, is_overruled: bool
) -> list[tuple[int, int, list[list[Any]]]]:
    """Return (file, rows, first keys) for a snapshot and another snapshot of its period, which counts or counted."""
    key = columns_sql(contract.key)
    if is_overruled:
        condition: sql.Composable = sql.SQL("left join {}({}) as s on {} where ({}) is distinct from ({})").format(
            as_of_function(contract),
            sql.Literal(landed.period.end),
            equal_sql("i", "s", contract.key),
            columns_sql(contract.names, "i"),
            columns_sql(contract.names, "s"),
        )
    else:
        condition = sql.SQL(
            "inner join outcome as o on i._record = o._record where o.outcome in ('inserted', 'updated')"
        )
    query = sql.SQL(_OF_SNAPSHOT).format(key=key, condition=condition, examples=sql.Literal(EXAMPLES))
    return [(other, rows, keys) for rows, keys in connection.execute(query).fetchall()]


def _message(
    contract: Contract, landed: LandedFile, other: str, rows: int, keys: Sequence[Sequence[Any]], *, is_later: bool
) -> str:
    names = contract.row_key
    restricted = restricted_names(contract)
    listed = "; ".join(
        ", ".join(f"{name} {MASK if name in restricted else value}" for name, value in zip(names, key, strict=True))
        for key in keys
    )
    later = landed.key if is_later else other
    how = (
        f"Compare: waybill conflicts {contract.name} --domain {contract.domain}"
        if contract.is_merged
        else "Compare the two files: the warehouse has no rows of the earlier snapshot"
    )
    return (
        f"{rows} {'row differs' if rows == 1 else 'rows differ'} from {other}, a file of the same "
        f"{landed.period.cadence}; {later} is the later one and counts (first: {listed}). {how}"
    )


@dataclass(frozen=True)
class Version:
    """The row of one file for a key that has conflicts."""

    period: date
    """First day of the period."""
    key: str
    """The key's columns with their values; restricted values are masked."""
    file_id: int
    object_key: str
    is_current: bool
    """Whether the row is in the table. Otherwise a later row of this or another period is."""
    values: str
    """The columns in which the versions differ, with their values; restricted values are masked."""


_VERSIONS = """
with versions as (
  select {columns}, s._file_id, s._delivered, false as _is_current from {superseded} as s
  union all
  select {columns}, t._file_id, t._delivered, true from {table} as t
  where exists (select from {superseded} as s where {same_key_s} and s._delivered = t._delivered)
),
disputed as (
  select {key}, _delivered, count(*) over () as _total
  from versions
  group by {key}, _delivered
  having count(distinct {content}) > 1
  order by _delivered desc, {key}
  limit {limit}
)
select v.*, d._total, f.object_key as _object_key
from versions as v
inner join disputed as d on {same_key_d} and v._delivered = d._delivered
inner join waybill.load_file as f on v._file_id = f.file_id
order by v._delivered desc, {key_of_v}, {order}
"""


def conflicts(connection: Connection, contract: Contract, limit: int) -> tuple[list[Version], int]:
    """Return the versions of the keys of a merged dataset that have conflicts, and the number of these keys.

    The newest period comes first, and at most `limit` keys are listed.
    """
    if not table_exists(connection, superseded_relation(contract)):  # nothing was loaded yet
        return [], 0
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            sql.SQL(_VERSIONS).format(
                columns=columns_sql(contract.names),
                table=relation(contract),
                superseded=superseded_relation(contract),
                same_key_s=equal_sql("s", "t", contract.row_key),
                same_key_d=equal_sql("v", "d", contract.row_key),
                key=columns_sql(contract.row_key),
                key_of_v=columns_sql(contract.row_key, "v"),
                content=json_sql(contract.content),
                order=order_sql(contract, "f"),
                limit=sql.Literal(limit),
            )
        )
        .fetchall()
    )
    return [*_versions(contract, rows)], rows[0]["_total"] if rows else 0


def _versions(contract: Contract, rows: Sequence[dict[str, Any]]) -> Iterator[Version]:
    restricted = restricted_names(contract)

    def text(row: dict[str, Any], names: Sequence[str]) -> str:
        return ", ".join(f"{name} {MASK if name in restricted else row[name]}" for name in names)

    for _, group in groupby(rows, key=lambda row: [row["_delivered"], *(row[name] for name in contract.row_key)]):
        versions = [*group]
        differing = [name for name in contract.content if any(row[name] != versions[0][name] for row in versions)]
        for row in versions:
            yield Version(
                row["_delivered"],
                text(row, contract.row_key),
                row["_file_id"],
                row["_object_key"],
                row["_is_current"],
                text(row, differing),
            )
