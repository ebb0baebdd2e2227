"""Schema drift: columns and values of files that differ from the contract of their dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from psycopg import Connection, sql
from psycopg.rows import class_row

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.formatting import count
from waybill.intake.columns import quoted
from waybill.ops.incident_updates import end
from waybill.run import Run
from waybill.warehouse.connection import one_row
from waybill.watch.column_drift import column_drift
from waybill.watch.landed_values import shapes_in
from waybill.watch.seen_files import seen_files, without_deleted
from waybill.watch.shown import Key, Kind, Shown
from waybill.watch.value_drift import value_drift

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NEW_NAMES: Final[tuple[Kind, ...]] = ("new column", "renamed column")
"""Kinds of drift whose `name` is that of a column in files."""


@dataclass(frozen=True)
class Drift:
    """A difference between files and their contract that files still show."""

    drift_id: int
    dataset: str
    kind: Kind
    column_name: str
    """The contract's column; empty for a new one."""
    name: str
    """The name of the column in files, or a new value. A value that may not be described is only a form."""
    bucket: str
    first_key: str
    last_key: str
    period: date
    """The first day of the period of the last file."""
    files: int
    rejected_keys: Sequence[str]
    """Object keys of the rejected files that show it: nothing of them is loaded."""
    examples: Sequence[str]
    """Forms of values: a and A for letters, 9 for digits."""
    found_at: datetime
    seen_at: datetime

    def __str__(self) -> str:
        examples = f", like {' and '.join(self.examples)}" if self.examples else ""
        files = self.first_key if self.files == 1 else f"{count(self.files, 'file')} since {self.first_key}"
        return f"{self.what}{examples}, in {files}"

    @property
    def what(self) -> str:
        """Return what differs, without examples."""
        if self.kind == "new column":
            return f"the column {quoted(self.name)} is new"
        if self.kind == "missing column":
            return f"the column {self.column_name} is missing"
        if self.kind == "renamed column":
            return f"the column {self.column_name} is now {quoted(self.name)}"
        if self.kind == "new value":
            value = f"the new value {quoted(self.name)}" if self.name else "new values"
            return f"{self.column_name} has {value}"
        return f"most values of {self.column_name} have another type"


_COLUMNS: Final = sql.SQL(
    "drift_id, dataset, kind, column_name, name, bucket, first_key, last_key, period, files, rejected_keys, examples, "
    "found_at, seen_at"
)


def look(connection: Connection, s3: S3Client, contracts: Iterable[Contract], run: Run) -> list[Drift]:
    """Record the drift that files of datasets show, settle what they no longer show, and return what is new."""
    return [one for contract in contracts for one in _look_at(connection, s3, contract, run)]


def _look_at(connection: Connection, s3: S3Client, contract: Contract, run: Run) -> list[Drift]:
    """Read files of S3 first, then record what they show in one transaction.

    Drift that another look has recorded meanwhile stays.
    """
    (began,) = one_row(connection, "select clock_timestamp()")
    known = _known(connection, contract)
    shown = _shown(connection, s3, contract, known)
    forms = {
        key: shapes_in(s3, one.files[-1].landed(contract), contract, one.name)
        for key, one in shown.items()
        if key not in known and one.kind in NEW_NAMES
    }
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"drift {contract.table}",))
        known = _known(connection, contract)
        new = [
            _record(connection, contract, replace(one, examples=forms.get(key, one.examples)), run, key not in known)
            for key, one in sorted(shown.items())
        ]
        connection.execute(
            """
            update waybill.drift
            set settled_at = now()
            where dataset = %s and settled_at is null and seen_at < %s
              and (kind, column_name, name) not in (select * from unnest(%s::text[], %s::text[], %s::text[]))
            """,
            (contract.table, began, *([key[place] for key in shown] for place in range(3))),
        )
    return [one for key, one in zip(sorted(shown), new, strict=True) if key not in known]


def _known(connection: Connection, contract: Contract) -> set[Key]:
    """Return the drift of a dataset that files showed at the last look."""
    rows = connection.execute(
        "select kind, column_name, name from waybill.drift where dataset = %s and settled_at is null",
        (contract.table,),
    ).fetchall()
    return {(kind, column, name) for kind, column, name in rows}


def _shown(connection: Connection, s3: S3Client, contract: Contract, known: Collection[Key]) -> dict[Key, Shown]:
    """Return the drift that files show. Rejected files that were deleted from the bucket do not count."""
    files = without_deleted(connection, s3, contract, seen_files(connection, contract))
    shown = {one.key: one for one in column_drift(s3, contract, files, known)}
    return shown | {one.key: one for one in value_drift(connection, contract, files)}


_RECORD: Final = """
insert into waybill.drift as d (
  dataset, kind, column_name, name, bucket, first_key, last_key, period, files, rejected_keys, examples,
  run_id
)
values (
  %(dataset)s, %(kind)s, %(column)s, %(name)s, %(bucket)s, %(first_key)s, %(last_key)s, %(period)s, %(files)s,
  %(rejected_keys)s, %(examples)s, %(run_id)s
)
on conflict (dataset, kind, column_name, name) do update
set bucket = excluded.bucket, first_key = excluded.first_key, last_key = excluded.last_key, period = excluded.period,
  files = excluded.files, rejected_keys = excluded.rejected_keys, seen_at = now(), settled_at = null,
  examples = case when %(is_new)s then excluded.examples else d.examples end,
  run_id = case when %(is_new)s then excluded.run_id else d.run_id end,
  accepted_by = case when not %(is_new)s then d.accepted_by end,
  accepted_at = case when not %(is_new)s then d.accepted_at end,
  found_at = case when %(is_new)s then now() else d.found_at end
returning {}
"""
_OPEN: Final = """
select {}
from waybill.drift
where settled_at is null and (dataset = any(%(datasets)s) and accepted_at is null or drift_id = %(number)s)
order by dataset, drift_id
limit %(limit)s
"""


def _record(connection: Connection, contract: Contract, shown: Shown, run: Run, is_new: bool) -> Drift:
    first, last = shown.files[0], shown.files[-1]
    values = {
        "dataset": contract.table,
        "kind": shown.kind,
        "column": shown.column,
        "name": shown.name,
        "bucket": last.bucket,
        "first_key": first.object_key,
        "last_key": last.object_key,
        "period": last.period,
        "files": len({one.object_key for one in shown.files}),
        # A new column never rejects a file.
        "rejected_keys": sorted(
            {one.object_key for one in shown.files if one.is_rejected and shown.kind != "new column"}
        ),
        "examples": [*shown.examples],
        "run_id": run.run_id,
        "is_new": is_new,
    }
    row = connection.cursor(row_factory=class_row(Drift)).execute(sql.SQL(_RECORD).format(_COLUMNS), values).fetchone()
    assert row
    return row


def open_drift(connection: Connection, datasets: Sequence[str], limit: int = 500) -> list[Drift]:
    """Return the drift that files of datasets still show and nobody has accepted, by dataset, the oldest first."""
    return _open(connection, {"datasets": [*datasets], "number": None, "limit": limit})


def drift_numbered(connection: Connection, number: int) -> Drift:
    """Return a drift that files still show. Raises `DataError` if none has the number."""
    found = _open(connection, {"datasets": [], "number": number, "limit": 1})
    if not found:
        raise DataError(f"no open drift has the number {number}; `waybill watch list` shows them")
    return found[0]


def accept(connection: Connection, numbers: Sequence[int], by: str) -> list[Drift]:
    """Record that drift is meant and needs no change of the contract; return it.

    The last open drift of a dataset closes its incident. Drift is open again if files show it anew after they had
    stopped. Raises `DataError` if no open drift has a number.
    """
    query = sql.SQL(
        "update waybill.drift set accepted_by = %s, accepted_at = now() "
        "where drift_id = any(%s) and settled_at is null returning {}"
    ).format(_COLUMNS)
    accepted = connection.cursor(row_factory=class_row(Drift)).execute(query, (by, [*numbers])).fetchall()
    if unknown := sorted({*numbers} - {one.drift_id for one in accepted}):
        raise DataError(f"no open drift has the number {unknown[0]}; `waybill watch list` shows them")
    for dataset in sorted({one.dataset for one in accepted}):
        if not open_drift(connection, [dataset], 1):
            end(connection, f"drift {dataset}", by)
    return accepted


def _open(connection: Connection, values: Mapping[str, Any]) -> list[Drift]:
    query = sql.SQL(_OPEN).format(_COLUMNS)
    return connection.cursor(row_factory=class_row(Drift)).execute(query, values).fetchall()


def described(found: Iterable[Drift]) -> list[str]:
    """Return a line for each drift: `billing.invoices: the column 'region' is new, in <key>`."""
    return [f"{one.dataset}: {one}" for one in found]
