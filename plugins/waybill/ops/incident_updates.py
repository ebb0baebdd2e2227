"""Changes of incidents by runs: problems that a run finds or no longer finds, and tasks that fail or succeed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection, sql

from waybill.checks import approval
from waybill.errors import DataError
from waybill.ops.incidents import (
    OF_RUNS,
    OF_TIME,
    Event,
    FailedRun,
    Found,
    add_event,
    lock_domain,
    open_incident,
    open_with_keys,
)
from waybill.settings import settings
from waybill.warehouse.connection import one_row

_GROWING = ("anomaly", "check", "drift", "file")
"""The kinds whose incidents are not acknowledged any more when there is more of them."""
_VARIABLE = re.compile(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b0x[0-9a-f]+\b|\d+")
_NUMBER = re.compile(r"(?<![\w./-])\d[\d.,:-]*(?![\w/])")
"""A number or time that is no part of a name."""


def failure_key(dag_id: str, error: BaseException | None, scope: str) -> str:
    """Return the key of the cause of a failed run.

    Two failures of a DAG have the same cause if the first lines of their errors differ in nothing but the period of
    the run and numbers. Numbers in names of files and tables count, unless it is an error of a service.
    """
    if error is None:
        return f"failure {dag_id}"
    line = next(iter(str(error).strip().splitlines()), "")
    line = line.replace(scope, "") if scope else line
    text = _NUMBER.sub("", line) if is_data_error(error) else f"{type(error).__name__} {_VARIABLE.sub('', line)}"
    return f"failure {dag_id} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def is_data_error(error: BaseException | None) -> bool:
    """Return whether a run failed because of its data, a contract or a setting, so that a retry cannot help."""
    return isinstance(error, DataError) or (error is not None and isinstance(error.__cause__, DataError))


_CAUSE = """
with newest as (
  select dataset, object_key
  from waybill.rejected_file
  where split_part(dataset, '.', 1) = %(domain)s
  order by rejected_file_id desc
  limit 10000
),
rejected as (
  select dataset, object_key from newest where strpos(%(error)s, object_key) > 0
)
select 'drift ' || d.dataset as key
from rejected as r
inner join waybill.drift as d on d.dataset = r.dataset and r.object_key = any(d.rejected_keys)
union all
select 'file ' || dataset from rejected
union all
select case
    when check_name = %(approval)s then format('approval %%s %%s', %(dag)s::text, %(run)s::text)
    else format('check %%s %%s', subject, check_name)
  end
from waybill.check_result
where run_id = %(run)s and not passed and severity = 'error' and subject = any(%(subjects)s)
"""


def cause_in_data(
    connection: Connection, domain: str, subjects: Sequence[str], run: FailedRun, error: BaseException
) -> str | None:
    """Return the key of the open incident about data because of which a run failed; None if there is none.

    It is about a file that the error names, or about a check of the run on one of the domain's tables (`subjects`).
    """
    values = {
        "domain": domain,
        "subjects": [*subjects],
        "dag": run.dag_id,
        "run": run.run_id,
        "error": str(error),
        "approval": approval.CHECK,
    }
    keys = [key for (key,) in connection.execute(_CAUSE, values).fetchall()]
    known = open_with_keys(connection, keys)
    return next((key for key in keys if key in known), None)


def missing_file(connection: Connection, domain: str) -> str | None:
    """Return the key of the oldest open incident about missing files of a domain; None if there is none."""
    row = connection.execute(
        "select key from waybill.incident where domain = %s and kind = 'missing' and closed_at is null "
        "order by incident_id limit 1",
        (domain,),
    ).fetchone()
    return str(row[0]) if row else None


def observe(
    connection: Connection,
    domain: str,
    found: Sequence[Found],
    by: str,
    *,
    is_watch: bool,
    has_letters: bool = True,
    kind: str | None = None,
) -> list[Event]:
    """Compare the problems of a domain's data with its incidents; return what happened.

    A problem opens an incident or joins one. Only the watch opens incidents of the kinds that time causes. An incident
    without its problem is closed; one about dead letters only if the queues were read (`has_letters`), and only those
    of a `kind` if only such problems were looked for. `by` is the run that looks. The caller has locked the domain, and
    commits.
    """
    events = []
    for one in found:
        known = open_incident(connection, one.key)
        if known is None:
            if is_watch or one.kind not in OF_TIME:
                events.append(_opened(connection, one, by, is_quiet=_is_of_backfill(connection, one)))
            continue
        changed = _updated(connection, known.incident_id, one)
        if known.is_quiet and not _is_of_backfill(connection, one):
            events.append(_told(connection, changed, by))
            continue
        if one.severity == "error" and known.severity == "warning":
            events.append(_escalated(connection, changed, by))
        elif one.kind in _GROWING and one.number > known.number and known.acknowledged_by:
            # Somebody acknowledged less than there is now.
            connection.execute(
                "update waybill.incident set acknowledged_by = null, acknowledged_at = null where incident_id = %s",
                (known.incident_id,),
            )
            events.append(add_event(connection, known.incident_id, "grown", by))
    gone = connection.execute(
        "select incident_id from waybill.incident where domain = %s and closed_at is null "
        "and kind <> all(%s) and kind = coalesce(%s, kind) and key <> all(%s) order by incident_id",
        (domain, [*OF_RUNS, *([] if has_letters else ["dead letters"])], kind, [one.key for one in found]),
    ).fetchall()
    events += [_closed(connection, incident_id, by) for (incident_id,) in gone]
    return [*events, *_overdue(connection, domain, by)]


def end(connection: Connection, key: str, by: str) -> None:
    """Close the open incident of a cause that a person has ended. The caller commits."""
    known = open_incident(connection, key)
    if known is not None:
        lock_domain(connection, known.domain)
        if open_incident(connection, key) is not None:
            _closed(connection, known.incident_id, by)


def fail(
    connection: Connection, found: Found, run: FailedRun, *, cause: str | None = None, is_quiet: bool
) -> tuple[int, Event | None]:
    """Record a failed or late run; return the number of the incident of its cause, and the event if this opened it.

    `cause` is the key of the incident about data because of which it failed. A run that is not quiet makes a quiet
    incident known: that counts as opening it. The caller commits.
    """
    lock_domain(connection, found.domain)
    known, event = open_incident(connection, cause or found.key), None
    if known is None:
        event = _opened(connection, found, run.run_id, is_quiet=is_quiet)
        incident_id = event.incident.incident_id
    else:
        incident_id = known.incident_id
    connection.execute(
        "insert into waybill.incident_run (incident_id, dag_id, run_id, task_id, scope) values (%s, %s, %s, %s, %s) "
        "on conflict (incident_id, dag_id, run_id, task_id) do update set failed_at = now(), settled_at = null",
        (incident_id, run.dag_id, run.run_id, run.task_id, run.scope),
    )
    if known is not None:
        if known.key == found.key:
            _updated(connection, incident_id, found, number=_failed_runs(connection, incident_id))
        if known.is_quiet and not is_quiet:
            event = _told(connection, incident_id, run.run_id)
    return incident_id, event


def has_failed(connection: Connection, dag_id: str, run_id: str, began: datetime | None) -> bool:
    """Return whether a failure of a run is recorded that no success has settled, or that is not older than `began`.

    Airflow may report the failure of a run only after the run was cleared and has succeeded.
    """
    found = connection.execute(
        "select from waybill.incident_run as r inner join waybill.incident as i using (incident_id) "
        "where (r.dag_id, r.run_id) = (%s, %s) and i.kind <> 'deadline' "
        "and (r.settled_at is null and i.closed_at is null or r.failed_at >= %s) limit 1",
        (dag_id, run_id, began),
    ).fetchone()
    return found is not None


def settle(connection: Connection, dag_id: str, scope: str, task_ids: Sequence[str], by: str) -> list[Event]:
    """Record that tasks succeeded; return the incidents that this closes. The caller commits.

    It settles the failures of the tasks for the same scope, or for every scope if their run did all open work. The id
    of the run as a whole is empty.
    """
    values = {"dag": dag_id, "tasks": [*task_ids], "scope": scope}
    return _settled(connection, _OF_TASK, values, by)


def settle_run(connection: Connection, dag_id: str, run_id: str, by: str) -> list[Event]:
    """Record that a run succeeded as a whole; return the incidents that this closes. The caller commits."""
    return _settled(connection, _OF_RUN, {"dag": dag_id, "run": run_id}, by)


def settle_late(connection: Connection, dag_id: str, run_id: str) -> list[Event]:
    """Record that a late run ended; return the incident of its lateness if this closes it. The caller commits."""
    return _settled(connection, _LATE, {"dag": dag_id, "run": run_id}, run_id)


def unsettled_runs(connection: Connection) -> list[tuple[str, str]]:
    """Return (DAG, run) of the runs that keep incidents open."""
    return connection.execute(
        "select distinct r.dag_id, r.run_id from waybill.incident_run as r "
        "inner join waybill.incident as i using (incident_id) "
        "where r.settled_at is null and i.closed_at is null order by 1, 2"
    ).fetchall()


_OF_TASK = sql.SQL("dag_id = %(dag)s and task_id = any(%(tasks)s) and (scope = %(scope)s or %(scope)s = '')")
_OF_RUN = sql.SQL("dag_id = %(dag)s and run_id = %(run)s")
_LATE = sql.SQL(
    "dag_id = %(dag)s and run_id = %(run)s "
    "and r.incident_id in (select incident_id from waybill.incident where kind = 'deadline' and closed_at is null)"
)
_CONCERNED = sql.SQL("""
select distinct i.domain
from waybill.incident_run as r
inner join waybill.incident as i using (incident_id)
where r.settled_at is null and {which}
order by i.domain
""")
_SETTLE = sql.SQL("""
with settled as (
  update waybill.incident_run as r set settled_at = now() where settled_at is null and {which} returning incident_id
)
select array_agg(distinct incident_id) from settled
""")
_OVER = """
select incident_id
from waybill.incident as i
where incident_id = any(%s) and closed_at is null and kind = any(%s)
  and not exists (
    select from waybill.incident_run as r where r.incident_id = i.incident_id and r.settled_at is null
  )
order by incident_id
"""


def _settled(connection: Connection, which: sql.SQL, values: Mapping[str, Any], by: str) -> list[Event]:
    domains = connection.execute(_CONCERNED.format(which=which), values).fetchall()
    if not domains:
        return []
    for (domain,) in domains:
        lock_domain(connection, domain)
    (settled,) = one_row(connection, _SETTLE.format(which=which), values)
    done = connection.execute(_OVER, (settled, [*OF_RUNS])).fetchall()
    return [_closed(connection, incident_id, by) for (incident_id,) in done]


def _opened(connection: Connection, one: Found, by: str, *, is_quiet: bool) -> Event:
    (incident_id,) = one_row(
        connection,
        "insert into waybill.incident (key, kind, domain, severity, what, cause, remedy, number, is_quiet) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s) returning incident_id",
        (one.key, one.kind, one.domain, one.severity, one.what, one.cause, one.remedy, one.number, is_quiet),
    )
    return add_event(connection, incident_id, "opened", by)


def _updated(connection: Connection, incident_id: int, one: Found, number: int | None = None) -> int:
    """Store how a problem is now."""
    connection.execute(
        "update waybill.incident set severity = %s, what = %s, cause = %s, remedy = %s, number = %s, seen_at = now() "
        "where incident_id = %s",
        (one.severity, one.what, one.cause, one.remedy, number or one.number, incident_id),
    )
    return incident_id


def _failed_runs(connection: Connection, incident_id: int) -> int:
    query = "select count(distinct (dag_id, run_id)) from waybill.incident_run where incident_id = %s"
    (runs,) = one_row(connection, query, (incident_id,))
    return int(runs)


def _overdue(connection: Connection, domain: str, by: str) -> list[Event]:
    """Escalate, once, errors that nobody has acknowledged in time."""
    rows = connection.execute(
        "select incident_id from waybill.incident where domain = %s and closed_at is null and severity = 'error' "
        "and acknowledged_by is null and escalated_at is null and opened_at <= now() - make_interval(hours => %s) "
        "and coalesce(muted_until <= now(), true) order by incident_id",
        (domain, settings().escalate_hours),
    ).fetchall()
    return [_escalated(connection, incident_id, by) for (incident_id,) in rows]


_BROUGHT_BY = {
    "file": """
select run_id from waybill.rejected_file where dataset = %(subject)s order by rejected_file_id desc limit 1
""",
    "check": """
select run_id from waybill.check_result
where subject = split_part(%(subject)s, ' ', 1) and check_name = split_part(%(subject)s, ' ', 2) and not passed
order by checked_at desc limit 1
""",
    "anomaly": """
select f.run_id
from waybill.anomaly as a
inner join waybill.load_file as f using (dataset, period)
where a.dataset = %(subject)s and a.settled_at is null and a.accepted_as is null and f.status = 'loaded'
order by a.anomaly_id desc, f.file_id desc limit 1
""",
    "drift": """
select coalesce(f.run_id, r.run_id)
from waybill.drift as d
left join waybill.load_file as f on (f.dataset, f.object_key, f.status) = (d.dataset, d.last_key, 'loaded')
left join waybill.rejected_file as r on (r.dataset, r.object_key) = (d.dataset, d.last_key)
where d.dataset = %(subject)s and d.settled_at is null and d.accepted_at is null
order by d.drift_id desc, f.file_id desc nulls last, r.rejected_file_id desc nulls last limit 1
""",
    "personal": """
select f.run_id
from waybill.personal_column as p
inner join waybill.load_file as f using (file_id)
where f.dataset = split_part(%(subject)s, ' ', 1) and p.column_name = split_part(%(subject)s, ' ', 2)
  and f.status = 'loaded'
order by f.file_id desc limit 1
""",
    "approval": "select split_part(%(subject)s, ' ', 2)",
}
"""By kind, the run that brought the newest of what an incident is about."""


def _is_of_backfill(connection: Connection, one: Found) -> bool:
    """Return whether a backfill brought the newest of what a problem is about."""
    query = _BROUGHT_BY.get(one.kind)
    row = connection.execute(query, {"subject": one.key.removeprefix(f"{one.kind} ")}).fetchone() if query else None
    return bool(row and row[0] and row[0].startswith("backfill__"))


def _told(connection: Connection, incident_id: int, by: str) -> Event:
    """Tell of an incident that a backfill opened, because a run of another kind has it, too."""
    connection.execute("update waybill.incident set is_quiet = false where incident_id = %s", (incident_id,))
    return add_event(connection, incident_id, "opened", by)


def _escalated(connection: Connection, incident_id: int, by: str) -> Event:
    """Escalate an incident. One that a backfill opened is no longer quiet; one that is muted may escalate again."""
    connection.execute(
        "update waybill.incident set is_quiet = false, "
        "escalated_at = case when muted_until > now() then escalated_at else now() end where incident_id = %s",
        (incident_id,),
    )
    return add_event(connection, incident_id, "escalated", by)


def _closed(connection: Connection, incident_id: int, by: str) -> Event:
    connection.execute(
        "update waybill.incident set closed_at = now(), closed_by = %s where incident_id = %s", (by, incident_id)
    )
    return add_event(connection, incident_id, "closed", by)
