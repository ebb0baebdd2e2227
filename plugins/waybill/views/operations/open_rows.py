"""The open rows in quarantine by what can be done about them, and the selection of rows for a replay.

The open events of a stream are rows of its dataset, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from psycopg import Connection, sql

from waybill.blanks import strip
from waybill.contracts import Contract
from waybill.warehouse.schema import relation

Kind = Literal["arrived", "changed", "late", "other", "past", "removed", "unsplit"]
"""Why rows are open: the row that they refer to has arrived, the contract has changed since, they are too late, they
break a rule of the contract, their period is before the horizon of the dataset, the retention has removed their text,
or they could not be split into fields."""

SEARCHED_FILES: Final = 10_000
"""How many of the newest files of each dataset are searched."""
SEARCHED_ROWS: Final = 5_000
"""How many open rows of files, and how many of a stream, are classified for each dataset."""
_REFERENCES: Final = 1_000
"""How many rows that refer to unknown rows are compared with the rows that exist now."""
_INTEGERS: Final = {"smallint": 4, "integer": 9, "bigint": 18}
"""Digits of values that the type certainly holds."""

_OPEN = """
with newest as (
  select d.dataset, d.version, d.referring, f.file_id, f.period, f.loaded_at, f.rejected
  from unnest(%(datasets)s::text[], %(versions)s::text[], %(referring)s::text[]) as d (dataset, version, referring)
  cross join lateral (
    select f.file_id, f.period, f.loaded_at, f.rejected
    from waybill.load_file as f
    where f.dataset = d.dataset and f.status = 'loaded'
    order by f.period desc
    limit %(files)s
  ) as f
),
files as (
  select *
  from (
    select n.*, sum(rejected) over (partition by dataset order by period desc, file_id desc) - rejected as before
    from newest as n
    where n.rejected > 0
  ) as summed
  where before < %(rows)s
),
open as (
  select
    f.dataset, f.version, f.referring, f.loaded_at as since, f.file_id, q.record, null as shard, null as sequence,
    q.reasons, q.raw, q.contract_version, q.removed_at, f.period < h.day as is_past
  from files as f
  left join waybill.horizon as h using (dataset)
  cross join lateral (
    select q.record, q.reasons, q.raw, q.contract_version, q.removed_at
    from waybill.quarantine as q
    where q.file_id = f.file_id and q.resolved_as is null
    order by q.record
    limit %(rows)s
  ) as q
  union all
  select
    d.dataset, d.version, '', e.rejected_at, null, null, e.shard, e.sequence, e.reasons, e.raw, e.contract_version,
    e.removed_at, false
  from unnest(%(datasets)s::text[], %(versions)s::text[]) as d (dataset, version)
  cross join lateral (
    select e.rejected_at, e.shard, e.sequence, e.reasons, e.raw, e.contract_version, e.removed_at
    from waybill.stream_rejected as e
    where e.dataset = d.dataset and e.resolved_as is null
    order by e.rejected_at desc
    limit %(rows)s
  ) as e
),
rows as (
  select
    dataset, file_id, record, shard, sequence, reasons, raw, since,
    case
      when is_past then 'past'
      when removed_at is not null then 'removed'
      when not starts_with(raw, '{{') then 'unsplit'
      when reasons = '{{too_late}}' then 'late'
      when contract_version <> version then 'changed'
      when reasons <@ string_to_array(referring, ' ') then 'arrived'
      else 'other'
    end as kind
  from open
)
{}
"""
_COUNTED = """
, counted as (
  select dataset, kind, count(*) as rows, count(shard) as events, min(since) as since
  from rows
  group by dataset, kind
),
by_reason as (
  select dataset, kind, reason, count(*) as rows from rows, unnest(reasons) as reason group by dataset, kind, reason
)
select c.dataset, c.kind, c.rows, c.events, c.since, array(
  select format('%%s (%%s)', r.reason, r.rows)
  from by_reason as r
  where (r.dataset, r.kind) = (c.dataset, c.kind)
  order by r.rows desc, r.reason
  limit 3
)
from counted as c
order by c.dataset, c.kind
"""
_LISTED = """
select file_id, record, shard, sequence::text, raw, since, reasons
from rows
where kind <> 'past' and (%(kind)s::text is null or kind = %(kind)s)
order by file_id desc, record, shard, rows.sequence
"""


@dataclass(frozen=True)
class OpenRows:
    """Open rows of a dataset of the same kind."""

    contract: Contract
    kind: Kind
    rows: int
    events: int
    """How many of them are events of a stream."""
    since: datetime
    """When the first of their files was loaded, or the first event was rejected."""
    reasons: tuple[str, ...]
    """The most frequent reasons, each with its number of rows: `type:amount (12)`."""
    is_cut: bool
    """Whether the dataset has more open rows than are classified."""


@dataclass(frozen=True)
class Selected:
    """Open rows and events of a dataset that are to be replayed."""

    rows: Sequence[tuple[int, int]] = ()
    """Pairs of file id and record."""
    events: Sequence[tuple[str, str]] = ()
    """Pairs of shard and sequence number."""

    def first(self, number: int) -> Selected:
        """Return at most this number of the rows, and of the events."""
        return Selected(self.rows[:number], self.events[:number])


def open_rows(connection: Connection, contracts: Sequence[Contract]) -> list[OpenRows]:
    """Return the open rows of datasets by kind. Rows that refer to a row that is still unknown are of kind `other`."""
    by_table = {contract.table: contract for contract in contracts}
    counted = connection.execute(sql.SQL(_OPEN).format(sql.SQL(_COUNTED)), _parameters(contracts)).fetchall()
    of_files, of_streams = Counter[str](), Counter[str]()
    for table, _, rows, events, *_ in counted:
        of_files[table] += rows - events
        of_streams[table] += events
    found = []
    for table, kind, rows, events, since, reasons in counted:
        contract, is_cut = by_table[table], max(of_files[table], of_streams[table]) >= SEARCHED_ROWS
        if kind != "arrived":
            found.append(OpenRows(contract, kind, rows, events, since, tuple(reasons), is_cut))
            continue
        known = _arrived(connection, contract)
        if known:
            first = min(loaded_at for _, _, loaded_at in known)
            found.append(OpenRows(contract, "arrived", len(known), 0, first, tuple(reasons), is_cut))
        if rows > len(known):
            found.append(OpenRows(contract, "other", rows - len(known), 0, since, tuple(reasons), is_cut))
    return found


def rows_to_replay(
    connection: Connection, contract: Contract, kind: Kind | None, reason: str | None, limit: int
) -> Selected:
    """Return the open rows and events of a kind, or with a reason, that can be replayed: at most `limit` of both."""
    if kind == "arrived":
        return Selected([(file_id, record) for file_id, record, _ in _arrived(connection, contract)]).first(limit)
    found = [
        (file_id, record, shard, sequence)
        for file_id, record, shard, sequence, raw, _, reasons in _listed(connection, contract, kind)
        if raw.startswith("{") and (reason is None or reason in reasons)
    ]
    return Selected(
        [(file_id, record) for file_id, record, shard, _ in found if shard is None],
        [(shard, sequence) for _, _, shard, sequence in found if shard is not None],
    ).first(limit)


def _parameters(contracts: Sequence[Contract]) -> dict[str, Any]:
    return {
        "datasets": [contract.table for contract in contracts],
        "versions": [contract.version for contract in contracts],
        "referring": [" ".join(_references(contract)) for contract in contracts],
        "files": SEARCHED_FILES,
        "rows": SEARCHED_ROWS,
    }


def _references(contract: Contract) -> dict[str, str]:
    """Return the column of each reason of rows that refer to a row that had not arrived."""
    return {
        f"reference:{column.name}": column.name
        for column in contract.columns
        if column.checked_reference and not column.in_force_on
    }


def _listed(connection: Connection, contract: Contract, kind: Kind | None) -> list[tuple[Any, ...]]:
    return connection.execute(
        sql.SQL(_OPEN).format(sql.SQL(_LISTED)), _parameters([contract]) | {"kind": kind}
    ).fetchall()


def _arrived(connection: Connection, contract: Contract) -> list[tuple[int, int, datetime]]:
    """Return (file, record, when the file was loaded) of the open rows whose referenced rows all exist by now."""
    references = _references(contract)
    rows = [
        (file_id, record, loaded_at, _values(raw, [references[reason] for reason in reasons]))
        for file_id, record, _, _, raw, loaded_at, reasons in _listed(connection, contract, "arrived")[:_REFERENCES]
    ]
    known = {
        name: _known(connection, contract, name, {values[name] for *_, values in rows if name in values})
        for name in references.values()
    }
    return [
        (file_id, record, loaded_at)
        for file_id, record, loaded_at, values in rows
        if all(value in known[name] for name, value in values.items())
    ]


def _values(raw: str, names: Sequence[str]) -> dict[str, str]:
    fields: Mapping[str, Any] = json.loads(raw, parse_int=str, parse_float=str)
    return {name: strip(str(fields.get(name))) for name in names}


def _known(connection: Connection, contract: Contract, name: str, values: set[str]) -> set[str]:
    """Return the values of a column that exist in the table that it refers to. Only texts and integers are compared."""
    from waybill.views import catalog

    column = next(one for one in contract.columns if one.name == name)
    assert column.checked_reference
    dataset, referenced = column.checked_reference
    target = catalog.of_schema(contract.domain)[dataset]
    kind = next(one for one in target.columns if one.name == referenced).physical_type
    if kind in _INTEGERS:
        values = {value for value in values if value.isascii() and value.isdigit() and len(value) <= _INTEGERS[kind]}
    elif kind != "text":
        return set()
    (exists,) = connection.execute("select to_regclass(%s)", (relation(target).as_string(None),)).fetchone() or (None,)
    if not values or exists is None:
        return set()
    rows = connection.execute(
        sql.SQL(
            "select v.value from unnest(%s::text[]) as v (value) "
            "where exists (select from {table} as t where t.{column} = v.value::{kind})"
        ).format(table=relation(target), column=sql.Identifier(referenced), kind=sql.SQL(kind)),
        (sorted(values),),
    ).fetchall()
    return {value for (value,) in rows}
