"""Remove the texts of rejected rows and events. Their places, reasons and numbers stay, so the books still balance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from functools import partial
from typing import Final, LiteralString
from zoneinfo import ZoneInfo

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.intake.quarantine import REMOVED
from waybill.retention.removal import Removal, remove
from waybill.run import Run
from waybill.settings import settings

_ROWS: Final = """
select q.file_id, q.record, (f.loaded_at at time zone {timezone})::date as _day,
  'file ' || f.file_id || ', s3://' || f.bucket || '/' || f.object_key as _detail
from waybill.quarantine as q
inner join waybill.load_file as f using (file_id)
where f.dataset = {dataset} and f.loaded_at < {before} and q.removed_at is null
order by q.file_id, q.record
"""
_CHANGE_ROWS: Final = """
update waybill.quarantine as t
set raw = {removed}, removed_at = clock_timestamp()
from {some} as s
where (t.file_id, t.record) = (s.file_id, s.record) and t.removed_at is null
"""
_EVENTS: Final = """
select r.dataset, r.shard, r.sequence, (r.arrived_at at time zone {timezone})::date as _day,
  'events of ' || r.shard as _detail
from waybill.stream_rejected as r
where r.dataset = {dataset} and r.arrived_at < {before} and r.removed_at is null
order by r.shard, r.sequence
"""
_CHANGE_EVENTS: Final = """
update waybill.stream_rejected as t
set raw = {removed}, removed_at = clock_timestamp()
from {some} as s
where (t.dataset, t.shard, t.sequence) = (s.dataset, s.shard, s.sequence) and t.removed_at is null
"""


def start_of(day: date) -> datetime:
    """Return the instant at which a day begins in the business time zone."""
    return datetime.combine(day, time.min, ZoneInfo(settings().timezone))


def _change(statement: LiteralString, some: sql.Identifier) -> sql.Composed:
    return sql.SQL(statement).format(some=some, removed=sql.Literal(REMOVED))


def remove_texts(
    connection: Connection, contract: Contract, kept_from: date, run: Run, *, dry_run: bool
) -> Iterator[Removal]:
    """Yield what is removed of rows that were loaded, and of events that arrived, before a day."""
    parts = {
        "dataset": sql.Literal(contract.table),
        "timezone": sql.Literal(settings().timezone),
        "before": sql.Literal(start_of(kept_from)),
    }
    for table, chosen, change, key in (
        ("quarantine", _ROWS, _CHANGE_ROWS, ["file_id", "record"]),
        ("stream_rejected", _EVENTS, _CHANGE_EVENTS, ["dataset", "shard", "sequence"]),
    ):
        removal = Removal(contract.table, "quarantine", f"waybill.{table}", kept_from)
        remove(
            connection,
            contract,
            removal,
            sql.SQL(chosen).format(**parts),
            partial(_change, change),
            (sql.Identifier("waybill", table), key),
            run,
            dry_run=dry_run,
        )
        yield removal
