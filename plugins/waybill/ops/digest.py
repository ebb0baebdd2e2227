"""The daily digest: what is open, what happened within a day, and how much was loaded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from psycopg import Connection

from waybill.contracts.domains import channels_of, load_manifests
from waybill.formatting import count
from waybill.ops.alerts import Message
from waybill.ops.incidents import Incident, domains_with_incidents, events_between, open_incidents
from waybill.settings import settings
from waybill.warehouse.connection import one_row

_LISTED: Final = 20
"""How many incidents each part of a message lists."""


def digests(connection: Connection, dag_id: str, run_id: str, moment: datetime) -> list[Message]:
    """Return a digest of the day before a moment for each team: the domains with the same owner and channels."""
    groups: dict[tuple[object, ...], list[str]] = {}
    manifests = load_manifests()
    for domain in manifests:
        groups.setdefault(channels_of(domain, "warning"), []).append(domain)
    found = []
    for domains in groups.values():
        title = ", ".join(manifests[domain].title for domain in domains)
        text = _text(connection, title, domains, moment)
        found.append(Message((dag_id, run_id, f"digest {domains[0]}"), text, domains[0], "warning"))
    if without := [domain for domain in domains_with_incidents(connection) if domain not in manifests]:
        text = _text(connection, "Operations", without, moment)
        found.append(Message((dag_id, run_id, "digest"), text, "", "warning"))
    return found


def _text(connection: Connection, title: str, domains: Sequence[str], moment: datetime) -> str:
    moment = moment.astimezone(ZoneInfo(settings().timezone))
    since = moment - timedelta(days=1)  # the same hour of the day before, also on days of 23 and 25 hours
    events = events_between(connection, domains, since, moment)
    opened = open_incidents(connection, domains)
    quiet = [one for event, one in events if event == "opened" and one.is_quiet]
    closed = [one for event, one in events if event == "closed"]
    lines = [f"{title}: {count(len(opened), 'open incident')} on {moment:%Y-%m-%d}."]
    lines += _part("Open", [one for one in opened if one.state != "muted"])
    lines += _part("Muted", [one for one in opened if one.state == "muted"])
    lines += _part("Opened by backfills, without an alert", quiet)
    lines += _part("Closed within a day", closed)
    loaded, rejected = _files(connection, domains, since, moment)
    lines.append(f"Files of the last day: {count(loaded, 'file')} loaded, {count(rejected, 'file')} rejected.")
    return "\n".join(lines)


def _part(title: str, incidents: Sequence[Incident]) -> list[str]:
    if not incidents:
        return []
    lines, zone = [f"{title}:"], ZoneInfo(settings().timezone)
    for one in incidents[:_LISTED]:
        who = f", {one.acknowledged_by}" if one.state == "acknowledged" else ""
        since = one.opened_at.astimezone(zone)
        lines.append(f"  {one.incident_id} ({one.severity}, since {since:%Y-%m-%d %H:%M}{who}): {one.what}")
    if len(incidents) > _LISTED:
        lines.append(f"  and {len(incidents) - _LISTED} more: `waybill incidents`")
    return lines


_FILES: Final = """
with loaded as (
  select count(*) as files
  from waybill.load_file
  where split_part(dataset, '.', 1) = any(%(domains)s) and loaded_at >= %(since)s and loaded_at < %(until)s
),
rejected as (
  select count(distinct (dataset, object_key)) as files
  from waybill.rejected_file
  where split_part(dataset, '.', 1) = any(%(domains)s) and rejected_at >= %(since)s and rejected_at < %(until)s
)
select loaded.files, rejected.files from loaded, rejected
"""


def _files(connection: Connection, domains: Sequence[str], since: datetime, moment: datetime) -> tuple[int, int]:
    """Return how many files of domains were loaded and rejected in a half-open span of time."""
    values = {"domains": [*domains], "since": since, "until": moment}
    loaded, rejected = one_row(connection, _FILES, values)
    return loaded, rejected
