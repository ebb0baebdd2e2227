"""The periods of a table that the watch has not looked at since they changed."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from psycopg import Connection

from waybill.contracts import Contract
from waybill.derived.report_profile import forget_means
from waybill.intake.profile import forget_values
from waybill.period import Period

_UNCHANGED: Final = timedelta(days=1)
"""How old the content of a report is before it is judged: later files complete it, such as returns of orders."""


def take(
    connection: Connection, contract: Contract, last: Period, window: timedelta, moment: datetime
) -> tuple[Period, Period] | None:
    """Return the first and the last period to look at, and record that they were; None without any.

    A table has one cadence here. Periods after `last` have not ended: they are left for a later look, because more
    rows may come. A file that was withdrawn may be of any period, so the periods of a `window` are looked at.
    """
    if contract.is_dataset:
        return _take_dataset(connection, contract, last, window)
    forget_means(connection, contract)
    return _take_report(connection, contract, last, moment - _UNCHANGED)


def take_again(connection: Connection, table: str, first: Period) -> None:
    """Make the next look include a period of a table and those after it."""
    values = {"table": table, "cadence": first.cadence, "period": first.start}
    for query in (_AGAIN_DATASET, _AGAIN_REPORT):  # a table is one of both
        connection.execute(query, values)


def _take_dataset(
    connection: Connection, contract: Contract, last: Period, window: timedelta
) -> tuple[Period, Period] | None:
    row = connection.execute(_CHANGED, {"dataset": contract.table, "window": window, "last": last.start}).fetchone()
    if row is None:
        return None
    start, newest, file_id, withdrawn, contract_sha256 = row
    if contract_sha256 != contract.sha256:
        forget_values(connection, contract)
    connection.execute(
        """
        insert into waybill.watched (dataset, file_id, withdrawn, contract_sha256, unended_from)
        values (%(dataset)s, %(file_id)s, %(withdrawn)s, %(contract)s, %(unended)s)
        on conflict (dataset) do update
        set file_id = excluded.file_id, withdrawn = excluded.withdrawn, unended_from = excluded.unended_from,
          contract_sha256 = excluded.contract_sha256, watched_at = now()
        """,
        {
            "dataset": contract.table,
            "file_id": file_id,
            "withdrawn": withdrawn,
            "contract": contract.sha256,
            "unended": last.end,
        },
    )
    return None if start is None or newest is None else _periods(contract, min(start, newest), newest)


def _take_report(
    connection: Connection, contract: Contract, last: Period, built_by: datetime
) -> tuple[Period, Period] | None:
    values = {"report": contract.table, "cadence": contract.cadence, "last": last.start, "built_by": built_by}
    changed = [start for (start,) in connection.execute(_CHANGED_REPORT, values)]
    if not changed:
        return None
    row = connection.execute(_TAKEN_REPORT, values | {"periods": changed}).fetchone()
    assert row
    return _periods(contract, min(changed), row[0])


def _periods(contract: Contract, first: date, last: date) -> tuple[Period, Period]:
    return Period.of(contract.cadence, first), Period.of(contract.cadence, last)


# The earliest period of a new file, or of one that had not ended. A withdrawn file may be of any period, so the periods
# of a window are looked at.
_CHANGED: Final = """
with seen as (
  select
    coalesce(max(file_id), 0) as file_id, coalesce(max(withdrawn), 0) as withdrawn, max(unended_from) as unended_from,
    max(contract_sha256) as contract_sha256
  from waybill.watched
  where dataset = %(dataset)s
),

files as (
  select
    max(file_id) as file_id,
    count(*) filter (where status = 'withdrawn') as withdrawn,
    max(period) filter (where status = 'loaded' and period <= %(last)s) as newest
  from waybill.load_file
  where dataset = %(dataset)s
),

changed as (
  select min(f.period) as period
  from waybill.load_file as f
  cross join seen
  where f.dataset = %(dataset)s and f.period <= %(last)s
    and (f.file_id > seen.file_id or f.period >= seen.unended_from)
)

select
  least(
    changed.period,
    case when files.withdrawn <> seen.withdrawn then (files.newest - %(window)s::interval)::date end
  ),
  files.newest, files.file_id, files.withdrawn, seen.contract_sha256
from files
cross join seen
cross join changed
where files.file_id is not null
  and (changed.period is not null or files.withdrawn <> seen.withdrawn or files.file_id > seen.file_id)
"""

# Locked, so that no build changes the content between the look and the note of it.
_CHANGED_REPORT: Final = """
select period
from waybill.publication
where report = %(report)s and cadence = %(cadence)s and period <= %(last)s and not is_watched
  and built_at <= %(built_by)s
order by period
for update
"""
_TAKEN_REPORT: Final = """
with taken as (
  update waybill.publication
  set is_watched = true
  where report = %(report)s and cadence = %(cadence)s and period = any(%(periods)s)
)
select max(period)
from waybill.publication
where report = %(report)s and cadence = %(cadence)s and period <= %(last)s
"""

_AGAIN_DATASET: Final = """
update waybill.watched as w
set file_id = least(w.file_id, f.first - 1)
from (
  select min(file_id) as first
  from waybill.load_file
  where dataset = %(table)s and status = 'loaded' and period >= %(period)s
) as f
where w.dataset = %(table)s
"""
_AGAIN_REPORT: Final = """
update waybill.publication
set is_watched = false
where report = %(table)s and cadence = %(cadence)s and period >= %(period)s
"""
