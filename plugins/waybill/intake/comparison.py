"""Compare the objects in the bucket with the ledger: one page of a listing at a time, each by one query.

Memory grows with the number of files to load, not with the number of objects or of files in the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Self

from psycopg import Connection

from waybill.contracts import Contract
from waybill.files.landed_file import LandedFile
from waybill.files.spellings import knows_more
from waybill.intake import ledger
from waybill.intake.landing import Listing, Misplaced, in_order
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.connection import one_row
from waybill.warehouse.horizons import horizon_of

_EXAMPLES: Final = 5

_LOADED = """
select l.place, f.file_id, f.etag = l.etag and f.kept_values is not distinct from %(kept_values)s::text[],
  f.etag = l.etag and f.period < %(horizon)s::date,
  nullif(f.ignored_columns, '{}'), case when f.ignored_columns <> '{}' then f.brought_columns end
from unnest(%(keys)s::text[], %(etags)s::text[]) with ordinality as l (object_key, etag, place)
inner join waybill.load_file as f
  on (f.dataset, f.bucket, f.object_key, f.status) = (%(dataset)s, %(bucket)s, l.object_key, 'loaded')
"""

_FIRST_PERIODS = """
with versions as (
  select object_key, period
  from waybill.load_file
  where (dataset, bucket, status) = (%(dataset)s, %(bucket)s, 'loaded') and object_key = any(%(keys)s)
  union all
  select object_key, period
  from waybill.load_file
  where (dataset, bucket) = (%(dataset)s, %(bucket)s) and status <> 'loaded' and object_key = any(%(keys)s)
)
select object_key, min(period)
from versions
group by object_key
"""


class SeenFiles:
    """The files of the ledger whose objects a listing has: one bit for each file id."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        """The newest file id when the listing began. Files that are loaded later may be missing from it."""
        self.bits = bytearray(newest // 8 + 1)
        self.pending = set[str]()
        """The keys of objects that were not loaded yet. Another run may load them before the listing ends."""

    @classmethod
    def until_now(cls, connection: Connection) -> Self:
        """Return the files before a listing begins: none is seen."""
        (newest,) = one_row(connection, "select coalesce(max(file_id), 0) from waybill.load_file")
        return cls(newest)

    def add(self, file_id: int) -> None:
        """Mark a file as seen."""
        if file_id <= self.newest:
            self.bits[file_id >> 3] |= 1 << (file_id & 7)


@dataclass
class Comparison:
    """The objects of a listing, compared with the ledger."""

    seen: SeenFiles
    todo: list[LandedFile] = field(default_factory=list)
    """The files to load, in the order in which they apply."""
    misplaced: list[Misplaced] = field(default_factory=list)
    """Misplaced objects in the order of their keys, for any periods of the listing."""
    landed: Counter[Period] = field(default_factory=Counter)
    """The number of files of each requested period."""
    objects: int = 0
    """The number of all objects."""
    ignored: int = 0
    """The number of objects that are not data."""
    ignored_examples: dict[str, str] = field(default_factory=dict)
    """For the keys of the first ignored objects, the reason."""

    def add_ignored(self, rules: dict[str, str]) -> None:
        """Count ignored objects and keep the first ones."""
        self.ignored += len(rules)
        for key, rule in list(rules.items())[: _EXAMPLES - len(self.ignored_examples)]:
            self.ignored_examples[key] = rule


def compare(
    connection: Connection,
    contract: Contract,
    pages: Iterable[Listing],
    *,
    first: Period | None = None,
    last: Period | None = None,
    unless_rejected: Run | None = None,
) -> Comparison:
    """Return the objects of a listing that are to be loaded, and the files of the ledger that it has.

    `first` and `last` limit the landing days. With a run as `unless_rejected`, files and misplaced objects that other
    runs rejected are left out until they or, for files, the contract's version change.
    """

    def is_within(period: Period) -> bool:
        return (first is None or first <= period) and (last is None or period <= last)

    found = Comparison(SeenFiles.until_now(connection))
    for page in pages:
        others = [*(one.file.key for one in page.misplaced), *page.ignored]
        todo, file_ids = _compare(connection, contract, page.landed, others)
        for file_id in file_ids:
            found.seen.add(file_id)
        found.seen.pending.update(file.key for file in todo)
        todo = [file for file in with_first_period(connection, contract, todo) if is_within(file.period)]
        misplaced = [one for one in page.misplaced if is_within(one.file.period)]
        if unless_rejected:
            known = ledger.rejected_by_others(connection, contract, unless_rejected, todo, by_this_version=True)
            todo = [file for file in todo if (file.key, file.etag) not in known]
            known = ledger.rejected_by_others(connection, contract, unless_rejected, [one.file for one in misplaced])
            misplaced = [one for one in misplaced if (one.file.key, one.file.etag) not in known]
        found.objects += len(page.landed) + len(page.misplaced) + len(page.ignored)
        found.todo += todo
        found.misplaced += misplaced
        found.landed.update(file.period for file in page.landed)
        found.add_ignored(page.ignored)
    found.todo = in_order(contract, found.todo)
    return found


def pending(connection: Connection, contract: Contract, landed: Sequence[LandedFile]) -> list[LandedFile]:
    """Return the landed files whose content (by ETag) is not loaded by the effective contract.

    A file is pending, too, if its rows were filtered by other values or the contract has new columns for it, unless its
    period begins before the horizon of the dataset. If files land at any time, a corrected file keeps the landing day
    of its first version.
    """
    todo, _ = _compare(connection, contract, landed, ())
    return in_order(contract, with_first_period(connection, contract, todo))


def _compare(
    connection: Connection, contract: Contract, landed: Sequence[LandedFile], others: Sequence[str]
) -> tuple[list[LandedFile], list[int]]:
    """Return the pending files among the landed ones, and the loaded files of all keys; `others` are no files."""
    keys = [*(file.key for file in landed), *(key for key in others if "\0" not in key)]
    if not keys:
        return [], []
    etags = [file.etag for file in landed]
    rows = connection.execute(
        _LOADED,
        {
            **_names(contract, landed),
            "kept_values": contract.kept_values,
            "horizon": horizon_of(connection, contract),
            "keys": keys,
            "etags": [*etags, *[None] * (len(keys) - len(etags))],
        },
    ).fetchall()
    knows = lru_cache(lambda ignored, brought: knows_more(contract, ignored, brought))
    loaded = {
        place - 1
        for place, _, is_same, is_final, ignored, brought in rows
        if is_final or (is_same and not (ignored and knows(tuple(ignored), brought and tuple(brought))))
    }
    todo = [file for place, file in enumerate(landed) if place not in loaded]
    return todo, [file_id for _, file_id, *_ in rows]


def with_first_period(connection: Connection, contract: Contract, files: list[LandedFile]) -> list[LandedFile]:
    """Return the files; if they land at any time, each with the landing day of its first version in the ledger."""
    if not files or not contract.lands_any_time:
        return files
    names = _names(contract, files) | {"keys": [file.key for file in files]}
    rows = connection.execute(_FIRST_PERIODS, names).fetchall()
    first = {key: Period.of(contract.cadence, day) for key, day in rows}
    return [replace(file, period=first.get(file.key, file.period)) for file in files]


def _names(contract: Contract, files: Sequence[LandedFile]) -> dict[str, Any]:
    return {"dataset": contract.table, "bucket": files[0].bucket if files else settings().raw_bucket}
