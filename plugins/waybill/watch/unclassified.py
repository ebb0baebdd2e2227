"""Columns of loaded files that look personal and that no contract classifies: a person must decide about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row

from waybill.contracts import Contract
from waybill.personal.recognise import Evidence


@dataclass(frozen=True)
class Unclassified:
    """A column that looks personal and has no classification."""

    dataset: str
    column_name: str
    kinds: Sequence[str]
    """The kinds of personal data, the most frequent one first."""
    found_in: str
    """How the first kind shows: by the name of the column, in whole values or in texts."""
    hits: int
    values_searched: int
    """How many values have the first kind, and how many were searched, in the file that has most of them."""
    files: int
    since: datetime
    last_key: str
    """The object key of the file that was loaded last."""

    def __str__(self) -> str:
        [first, *others] = self.kinds
        evidence = Evidence(first, self.found_in, self.hits, self.values_searched)  # type: ignore[arg-type]
        return f"{self.column_name} looks personal: {' and '.join([str(evidence), *others])}"


_FOUND = """
with found as (
  select
    f.dataset, p.column_name, p.kind, p.found_in, p.hits, p.values_searched, f.file_id, f.loaded_at, f.object_key,
    sum(p.hits) over (partition by f.dataset, p.column_name, p.kind) as all_hits
  from waybill.personal_column as p
  inner join waybill.load_file as f using (file_id)
  where f.dataset = any(%s) and f.status = 'loaded'
)
select
  dataset, column_name,
  (
    select array_agg(k.kind order by k.all_hits desc, k.kind)
    from (
      select distinct o.kind, o.all_hits from found as o where (o.dataset, o.column_name) = (f.dataset, f.column_name)
    ) as k
  ) as kinds,
  (array_agg(found_in order by all_hits desc, kind, hits desc, file_id))[1] as found_in,
  (array_agg(hits order by all_hits desc, kind, hits desc, file_id))[1] as hits,
  (array_agg(values_searched order by all_hits desc, kind, hits desc, file_id))[1] as values_searched,
  count(distinct file_id) as files, min(loaded_at) as since,
  (array_agg(object_key order by loaded_at desc, file_id desc))[1] as last_key
from found as f
group by dataset, column_name
order by dataset, column_name
"""


def unclassified(connection: Connection, contracts: Mapping[str, Contract]) -> list[Unclassified]:
    """Return the columns of datasets that look personal in loaded files and have no classification now.

    `contracts` are those of the datasets by table.
    """
    found = connection.cursor(row_factory=class_row(Unclassified)).execute(_FOUND, ([*contracts],)).fetchall()
    open_columns = {
        (table, column.name)
        for table, contract in contracts.items()
        for column in contract.columns
        if column.classification is None
    }
    return [one for one in found if (one.dataset, one.column_name) in open_columns]
