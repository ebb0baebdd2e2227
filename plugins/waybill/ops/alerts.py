"""The messages about runs and incidents: a run failed, is late, waits or succeeded; an incident opened or closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from psycopg import Connection, sql

from waybill.checks.approval import Content
from waybill.contracts.domains import Severity, title_of
from waybill.contracts.locations import report_prefix, report_schema
from waybill.formatting import count, in_series
from waybill.intake import file_warnings
from waybill.intake.ledger import COUNTS, Books, sums_sql
from waybill.ops.alert_delivery import Alert
from waybill.ops.incidents import Event
from waybill.period import Period
from waybill.settings import settings

_FOUND = 20
"""How many incidents a message lists."""
MessageKind = Literal["failure", "deadline", "approval", "incidents", "digest", "warning", "success"]
"""The kinds of messages. The kind of an alert may have a number after it, if a run sends several of them."""
_CONSEQUENCE = "The failed step published nothing. Data of earlier runs is unchanged."


@dataclass(frozen=True)
class Message:
    """A message, and where it goes."""

    alert: Alert
    """The key: DAG, run and kind. A message with a key that exists is not sent again."""
    text: str
    domain: str
    """The domain whose manifest names the channels; empty for all channels."""
    severity: Severity
    is_sent: bool = True
    """Whether it is sent, and not only recorded with its run."""


def failure_text(title: str, run_id: str, task_id: str | None, cause: str | None, url: str | None) -> str:
    """Return the message about a failed run. `title` is the DAG and the period, `url` the log of the task."""
    lines = [f"{title}: the run {run_id} failed" + (f" in the task {task_id}." if task_id else ".")]
    if cause:
        lines.append(f"Cause: {cause}")
    lines.append(_CONSEQUENCE)
    if url:
        lines.append(f"Log: {url}")
    return "\n".join(lines)


def cause_of(message: str) -> str:
    """Return the cause that `failure_text` wrote into a message; "" if it has none."""
    _, found, rest = message.partition("\nCause: ")
    return rest.partition(f"\n{_CONSEQUENCE}")[0] if found else ""


def deadline_text(title: str, run_id: str, deadline: str) -> str:
    """Return the message about a run that has not finished at its deadline, such as `3 hours after its start`."""
    return (
        f"{title}: the run {run_id} has not finished {deadline}.\n"
        "Check whether its files have landed (the task `landed` waits for them), whether `publish` waits for an "
        "approval, and whether a task is being retried."
    )


def approval_text(title: str, run_id: str, waiting: Sequence[Content], url: str) -> str:
    """Return the message about a run that waits for an approval. `url` is the page where people answer."""
    lines = [f"{title}: the run {run_id} waits for approval of {count(len(waiting), 'report')}."]
    lines += [f"{one}: {'; '.join(one.warnings)}" for one in waiting]
    lines.append(
        "More checks warn than `maxWarnings` of the contract allows. Approve to publish. Until somebody answers, "
        "no report of the domain for a period that ends on the same day is published."
    )
    return "\n".join([*lines, f"Answer: {url}"])


def incident_messages(dag_id: str, run_id: str, events: Sequence[Event]) -> list[Message]:
    """Return the message about what a run did to incidents of each domain; none if nothing of it is alerted.

    It is as severe as its most severe incident.
    """
    told = sorted((one for one in events if one.is_alerted), key=_domain_of)
    return [_incident_message(dag_id, run_id, domain, [*some]) for domain, some in groupby(told, key=_domain_of)]


def _domain_of(event: Event) -> str:
    return event.incident.domain


def _incident_message(dag_id: str, run_id: str, domain: str, told: Sequence[Event]) -> Message:
    severity: Severity = "error" if any(one.incident.severity == "error" for one in told) else "warning"
    name = title_of(domain) or dag_id
    numbers = [
        f"{count(number, 'incident')} {word}"
        for event, word in _WORDS.items()
        if (number := sum(one.event == event for one in told))
    ]
    first = f"{name}: {in_series(numbers)}."
    if len(told) == 1:
        first = f"{name}: incident {told[0].incident.incident_id} {_WORDS[told[0].event]}: {told[0].incident.what}."
    lines = [first]
    for one in told[:_FOUND]:
        incident = one.incident
        lines.append(f"{incident.incident_id} {_WORDS[one.event]} ({incident.severity}): {incident.what}")
        if one.event == "closed":
            lines.append(f"  Closed by {one.by}.")
        else:
            lines += [f"  {incident.cause}", f"  To do: {incident.remedy}"]
    if len(told) > _FOUND:
        lines.append(f"and {count(len(told) - _FOUND, 'more incident')}: `waybill incidents`")
    lines.append("`waybill incidents show NUMBER` prints the history of an incident.")
    return Message((dag_id, run_id, f"incidents {told[-1].event_id}"), "\n".join(lines), domain, severity)


_WORDS: Final = {"opened": "opened", "grown": "has grown", "escalated": "escalated", "closed": "closed"}


def warning_text(connection: Connection, domain: str, title: str, run_id: str, url: str | None = None) -> str | None:
    """Return the message about a run that loaded files with warnings; None if there are none.

    `title` is the DAG and the period, `url` the log of its last task.
    """
    warnings = file_warnings.of_run(connection, domain, run_id)
    if not warnings:
        return None
    files = len({warning.file_id for warning in warnings})
    lines = [
        f"{title}: the run {run_id} loaded {count(files, 'file')} with {count(len(warnings), 'warning')}.",
        *file_warnings.lines(warnings),
        "The rows are loaded. If a file is wrong, upload a corrected one under the same name.",
    ]
    return "\n".join([*lines, *([f"Log: {url}"] if url else [])])


_PUBLISHED = """
select report, cadence, count(*), min(period), max(period)
from waybill.published
where split_part(report, '.', 1) = %s and published_by = %s
group by report, cadence
order by report, cadence
"""


def success_text(connection: Connection, domain: str, title: str, run_id: str, url: str | None = None) -> str | None:
    """Return the message about a successful run: what it loaded, and which reports it updated; None if nothing changed.

    `title` is the DAG and the period, `url` the log of its last task.
    """
    loaded = connection.execute(
        sql.SQL(
            "select f.dataset, count(*), {} from waybill.load_file as f "
            "where split_part(f.dataset, '.', 1) = %s and f.run_id = %s group by f.dataset order by f.dataset"
        ).format(sums_sql("f")),
        (domain, run_id),
    ).fetchall()
    published = connection.execute(_PUBLISHED, (report_schema(domain), run_id)).fetchall()
    if not loaded and not published:
        return None
    files, reports = sum(row[1] for row in loaded), len({row[0] for row in published})
    warnings = file_warnings.of_run(connection, domain, run_id)
    warned = f", with {count(len(warnings), 'warning')}" if warnings else ""
    changed = f"loaded {count(files, 'file')} and updated {count(reports, 'report')}"
    lines = [
        f"{title}: the run {run_id} {changed}{warned}.",
        *file_warnings.lines(warnings),
    ]
    books = {table: Books(**dict(zip(COUNTS, counts, strict=True))) for table, _, *counts in loaded}
    lines += [f"{table}: {count(number, 'file')}, {books[table]}" for table, number, *_ in loaded]
    for report, cadence, number, first, last in published:
        newest = Period.of(cadence, last)
        span = f"{Period.of(cadence, first)} to {newest} ({number} periods)" if number > 1 else str(newest)
        place = f"s3://{settings().reports_bucket}/{report_prefix(newest)}"
        lines.append(f"{report}: {span}, in {place}; `waybill trace {report.partition('.')[2]} {newest}`")
    lines += [
        f"Rejected rows: `waybill quarantine {table.partition('.')[2]} --domain {domain}`"
        for table, found in books.items()
        if found.rejected
    ]
    return "\n".join([*lines, *([f"Log: {url}"] if url else [])])
