"""Raw files that stay in the bucket longer than their contract declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection
from psycopg.rows import class_row

from waybill.contracts import Contract


@dataclass(frozen=True)
class Overdue:
    """The raw files of a dataset that the bucket should have removed, as the newest run found them."""

    dataset: str
    place: str
    """The prefix of the files."""
    kept_from: date
    overdue: int
    first_day: date
    """The day on which the oldest one landed."""
    done_at: datetime


_NEWEST = """
select dataset, place, kept_from, overdue, first_day, done_at
from (
  select distinct on (dataset) dataset, place, kept_from, overdue, first_day, done_at
  from waybill.retention
  where element = 'raw' and dataset = any(%s)
  order by dataset, retention_id desc
) as newest
where overdue > 0
order by dataset
"""


def overdue_files(connection: Connection, contracts: Mapping[str, Contract]) -> list[Overdue]:
    """Return the datasets whose raw files stay too long; `contracts` are those of the datasets by table."""
    declared = [table for table, contract in contracts.items() if contract.raw_retention]
    return connection.cursor(row_factory=class_row(Overdue)).execute(_NEWEST, (declared,)).fetchall()
