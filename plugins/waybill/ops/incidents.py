"""Incidents: one open thing for each cause, from the first failure or finding until it is over.

A cause has a key. A problem that is found again, or a run that fails again for the same cause, joins the open incident.
A problem that is no longer found closes its incident, and so does the success of every task that failed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, LiteralString

from psycopg import Connection, sql
from psycopg.rows import class_row

from waybill.contracts.domains import Severity
from waybill.errors import CommandFailed
from waybill.warehouse.connection import one_row

Happened = Literal["opened", "grown", "escalated", "acknowledged", "muted", "unmuted", "closed"]
State = Literal["open", "acknowledged", "muted", "closed"]
ALERTED: Final[tuple[Happened, ...]] = ("opened", "grown", "escalated", "closed")
"""The events that send alerts."""
OF_RUNS: Final = ("failure", "deadline")
"""The kinds of incidents that end with the success of their runs. All others end when the data is right."""
OF_TIME: Final = ("missing", "outdated", "dead letters", "stream", "retention")
"""The kinds that time alone causes, not a run: only the watch, or the look at streams, opens them."""


@dataclass(frozen=True)
class Found:
    """A problem, as it is now."""

    key: str
    """Names the cause. It stays the same while the problem lasts."""
    kind: str
    """The topic of its section in the runbook."""
    domain: str
    """Empty for a DAG that loads no dataset."""
    severity: Severity
    what: str
    cause: str
    remedy: str
    """A command, or a sentence that says what to do."""
    number: int = 1
    """How many files, periods or values it is about."""


@dataclass(frozen=True)
class FailedRun:
    """A run that failed, or is late."""

    dag_id: str
    run_id: str
    task_id: str
    """The failed task, with its index if it is mapped; empty if the run as a whole failed or is late."""
    scope: str
    """Its period, or the parameters that limit it; empty if it does all open work."""


@dataclass(frozen=True, kw_only=True)
class Incident(Found):
    """A problem that is stored as an incident, from when it was found first."""

    incident_id: int
    is_quiet: bool
    """Whether a backfill opened it, so that no alert was sent."""
    opened_at: datetime
    seen_at: datetime
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    muted_by: str | None
    muted_until: datetime | None
    closed_at: datetime | None
    closed_by: str | None
    is_muted: bool

    @property
    def is_of_runs(self) -> bool:
        """Whether it ends with the success of its runs, so that people may close it."""
        return self.kind in OF_RUNS

    @property
    def state(self) -> State:
        """The state, as people read it."""
        if self.closed_at:
            return "closed"
        if self.is_muted:
            return "muted"
        return "acknowledged" if self.acknowledged_by else "open"


_INCIDENTS: Final = sql.SQL("""
select
  incident_id, key, kind, domain, severity, what, cause, remedy, number, is_quiet, opened_at, seen_at,
  acknowledged_by, acknowledged_at, muted_by, muted_until, closed_at, closed_by,
  coalesce(muted_until > now(), false) as is_muted
from waybill.incident
{which}
""")


@dataclass(frozen=True)
class Event:
    """What happened to an incident."""

    event_id: int
    event: Happened
    happened_at: datetime
    by: str
    """The run or the person."""
    incident: Incident

    @property
    def is_alerted(self) -> bool:
        """Whether it sends an alert."""
        return self.event in ALERTED and not self.incident.is_quiet and not self.incident.is_muted


def acknowledge(connection: Connection, incident_id: int, by: str) -> Incident:
    """Record that a person works on an open incident. Raises `CommandFailed` if it is not open."""
    return _change(connection, incident_id, "acknowledged", by, "acknowledged_by = %(by)s, acknowledged_at = now()")


def mute(connection: Connection, incident_id: int, by: str, until: datetime) -> Incident:
    """Send no alerts about an open incident until an instant. Raises `CommandFailed` if it is not open."""
    return _change(connection, incident_id, "muted", by, "muted_by = %(by)s, muted_until = %(until)s", {"until": until})


def unmute(connection: Connection, incident_id: int, by: str) -> Incident:
    """Send alerts about an open incident again. Raises `CommandFailed` if it is not open."""
    return _change(connection, incident_id, "unmuted", by, "muted_by = null, muted_until = null")


def close(connection: Connection, incident_id: int, by: str) -> Incident:
    """Close an open incident of runs that nobody will repeat.

    Raises `CommandFailed` if it is not open, or if it is about data: that is closed once the data is right.
    """
    known = numbered(connection, incident_id)
    if not known.is_of_runs and known.closed_at is None:
        raise CommandFailed(
            f"The incident {incident_id} is about data and is closed when the problem is over. {known.remedy} "
            f"To send no alerts meanwhile, mute it."
        )
    lock_domain(connection, known.domain)
    connection.execute(
        "update waybill.incident_run set settled_at = now() where settled_at is null and incident_id = %s",
        (incident_id,),
    )
    return _change(connection, incident_id, "closed", by, "closed_at = now(), closed_by = %(by)s")


def numbered(connection: Connection, incident_id: int) -> Incident:
    """Return the incident with a number. Raises `CommandFailed` if there is none."""
    found = _incidents(connection, "where incident_id = %s", (incident_id,))
    if not found:
        raise CommandFailed(f"There is no incident {incident_id}. `waybill incidents` lists the open ones.")
    return found[0]


def open_incident(connection: Connection, key: str) -> Incident | None:
    """Return the open incident of a cause; None if there is none."""
    return open_with_keys(connection, [key]).get(key)


def open_with_keys(connection: Connection, keys: Collection[str]) -> dict[str, Incident]:
    """Return the open incidents of some causes, by key."""
    found = _incidents(connection, "where key = any(%s) and closed_at is null", ([*keys],))
    return {one.key: one for one in found}


def open_incidents(connection: Connection, domains: Collection[str] | None) -> list[Incident]:
    """Return the open incidents of domains, or of all if None: errors first, then the oldest."""
    return _incidents(
        connection,
        "where closed_at is null and domain = any(coalesce(%s::text[], array[domain])) "
        "order by severity, opened_at, incident_id",
        (None if domains is None else [*domains],),
    )


def domains_with_incidents(connection: Connection) -> list[str]:
    """Return the domains that have open incidents."""
    rows = connection.execute("select distinct domain from waybill.incident where closed_at is null").fetchall()
    return [domain for (domain,) in rows]


def incidents_of_runs(connection: Connection, runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], Incident]:
    """Return the newest incident of each of some runs by (DAG, run): that of its failure, if it was late and failed."""
    if not runs:
        return {}
    keys = [list(column) for column in zip(*runs, strict=True)]
    rows = connection.execute(
        "select distinct on (r.dag_id, r.run_id) r.dag_id, r.run_id, r.incident_id "
        "from waybill.incident_run as r inner join waybill.incident as i using (incident_id) "
        "where (r.dag_id, r.run_id) in (select * from unnest(%s::text[], %s::text[])) "
        "order by r.dag_id, r.run_id, i.kind = 'deadline', r.incident_id desc",
        keys,
    ).fetchall()
    by_id = _by_number(connection, [incident_id for *_, incident_id in rows])
    return {(dag_id, run_id): by_id[incident_id] for dag_id, run_id, incident_id in rows}


def closed_incidents(connection: Connection, domains: Collection[str] | None, limit: int) -> list[Incident]:
    """Return the newest closed incidents of domains, or of all if None."""
    return _incidents(
        connection,
        "where closed_at is not null and domain = any(coalesce(%s::text[], array[domain])) "
        "order by closed_at desc, incident_id desc limit %s",
        (None if domains is None else [*domains], limit),
    )


def events_of(connection: Connection, incident_id: int) -> list[tuple[datetime, Happened, str, int]]:
    """Return (time, event, run or person, number) of an incident, in order."""
    return connection.execute(
        "select happened_at, event, by_whom, number from waybill.incident_event where incident_id = %s "
        "order by event_id",
        (incident_id,),
    ).fetchall()


def runs_of(connection: Connection, incident_id: int) -> list[tuple[str, str, str, datetime, datetime | None]]:
    """Return (DAG, run, task, time of failure, time of success) of the runs of an incident, newest first."""
    return connection.execute(
        "select dag_id, run_id, task_id, failed_at, settled_at from waybill.incident_run where incident_id = %s "
        "order by failed_at desc, run_id, task_id",
        (incident_id,),
    ).fetchall()


def events_between(
    connection: Connection, domains: Collection[str] | None, first: datetime, before: datetime
) -> list[tuple[Happened, Incident]]:
    """Return what happened to incidents of domains, or of all if None, in a half-open span of time, in order."""
    rows = connection.execute(
        "select e.event, e.incident_id from waybill.incident_event as e "
        "inner join waybill.incident as i using (incident_id) "
        "where i.domain = any(coalesce(%s::text[], array[i.domain])) and e.happened_at >= %s and e.happened_at < %s "
        "order by e.event_id",
        (None if domains is None else [*domains], first, before),
    ).fetchall()
    by_id = _by_number(connection, [incident_id for _, incident_id in rows])
    return [(event, by_id[incident_id]) for event, incident_id in rows]


def _by_number(connection: Connection, numbers: Sequence[int]) -> dict[int, Incident]:
    found = _incidents(connection, "where incident_id = any(%s)", (numbers,))
    return {one.incident_id: one for one in found}


def _incidents(connection: Connection, rest: LiteralString, values: Sequence[Any]) -> list[Incident]:
    cursor = connection.cursor(row_factory=class_row(Incident))
    return cursor.execute(_INCIDENTS.format(which=sql.SQL(rest)), values).fetchall()


def lock_domain(connection: Connection, domain: str) -> None:
    """Wait until no other transaction changes the incidents of a domain."""
    connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"incidents {domain}",))


def add_event(connection: Connection, incident_id: int, event: Happened, by: str) -> Event:
    """Record what happened to an incident."""
    event_id, happened_at = one_row(
        connection,
        "insert into waybill.incident_event (incident_id, event, by_whom, number) "
        "select incident_id, %s, %s, number from waybill.incident where incident_id = %s "
        "returning event_id, happened_at",
        (event, by, incident_id),
    )
    return Event(event_id, event, happened_at, by, numbered(connection, incident_id))


def _change(
    connection: Connection,
    incident_id: int,
    event: Happened,
    by: str,
    change: LiteralString,
    values: dict[str, Any] | None = None,
) -> Incident:
    with connection.transaction():
        known = numbered(connection, incident_id)
        lock_domain(connection, known.domain)
        done = connection.execute(
            sql.SQL("update waybill.incident set {} where incident_id = %(id)s and closed_at is null").format(
                sql.SQL(change)
            ),
            {"id": incident_id, "by": by, **(values or {})},
        )
        if done.rowcount == 0:
            known = numbered(connection, incident_id)
            raise CommandFailed(f"The incident {incident_id} was closed by {known.closed_by}.")
        return add_event(connection, incident_id, event, by).incident
