"""The incidents of a domain, compared with the problems of its data and the causes of its failed runs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from psycopg import Connection

from waybill.ops.dead_letters import DeadLetters
from waybill.ops.incident_updates import cause_in_data, fail, failure_key, is_data_error, missing_file, observe
from waybill.ops.incidents import Event, FailedRun, Found, lock_domain
from waybill.settings import settings
from waybill.views import catalog
from waybill.views.operations.attention import data_problems
from waybill.views.operations.balances import balances
from waybill.views.operations.file_problems import dead_letters
from waybill.views.operations.freshness import freshness
from waybill.views.operations.missing import missing
from waybill.views.operations.problem import Problem
from waybill.views.operations.scope import Scope
from waybill.views.operations.stream_problems import stream_problems

_GRACE: Final = timedelta(hours=6)
"""How long reports may be out of date before this is an incident: the next run usually builds them."""
_ALL: Final = 100_000
"""How many problems of a kind are read: one that is not read would close its incident."""
_REMEDIES: Final = {
    "file": "Send a corrected file under the same name.",
    "check": "Correct the data and send it again, or correct the check. Then clear the failed task.",
    "books": "Compare the books of its files: `waybill books FIRST LAST --domain DOMAIN`.",
    "approval": "Approve or reject in Airflow under Browse → Required Actions.",
    "gone": "Withdraw its rows or keep them, in Data operations.",
    "anomaly": "Send a corrected file under the same name, or accept the values with `waybill watch accept`.",
    "personal": "Classify the column in the contract and raise its version, as the runbook says.",
}
"""What to do about an incident whose problem has no command."""


def look(
    connection: Connection,
    domain: str,
    by: str,
    now: datetime,
    *,
    is_watch: bool = False,
    letters: Iterable[DeadLetters] | None = None,
) -> list[Event]:
    """Compare the problems of a domain's data with its incidents; return what happened. The caller commits.

    `by` is the run that looks. `is_watch` is whether it is the watch, which also opens incidents of the kinds that time
    causes. `letters` are the dead letters of the domain; None if they are not known. A domain that was retired has no
    problems, so its incidents about data are closed.
    """
    # The lock comes first: an older look must not close what a newer one has opened.
    lock_domain(connection, domain)
    found = _problems(connection, domain, now) if domain in catalog.domains() else []
    found = [one for one in found if not (one.topic == "outdated" and (one.since is None or one.since > now - _GRACE))]
    found += dead_letters(letters or ())
    problems = [_found(one, domain) for one in found if one.topic]
    return observe(connection, domain, problems, by, is_watch=is_watch, has_letters=letters is not None)


def look_at_streams(connection: Connection, domain: str, by: str) -> list[Event]:
    """Compare the problems of a domain's streams with their incidents; return what happened. The caller commits.

    `by` is the run that looks. A domain that was retired, and a stream that is not set any more, have no problems.
    """
    lock_domain(connection, domain)
    found = stream_problems(connection, Scope((domain,)))
    return observe(connection, domain, [_found(one, domain) for one in found], by, is_watch=True, kind="stream")


@catalog.unchanged()
def _problems(connection: Connection, domain: str, now: datetime) -> list[Problem]:
    scope = Scope((domain,))
    return data_problems(
        connection,
        scope,
        freshness=freshness(connection, scope, now.astimezone(ZoneInfo(settings().timezone)).date()),
        gaps=missing(connection, scope),
        balances=balances(connection, scope),
        limit=_ALL,
    )


def _found(one: Problem, domain: str) -> Found:
    command = next((f"`{action.target}`" for action in one.actions if action.kind == "command"), None)
    return Found(
        key=one.key,
        kind=str(one.topic),
        domain=domain,
        severity="error" if one.severity == "error" else "warning",
        what=one.what,
        cause=one.cause,
        remedy=command or _REMEDIES[str(one.topic)],
        number=one.number,
    )


def failed(
    connection: Connection,
    domain: str,
    run: FailedRun,
    error: BaseException | None,
    title: str,
    *,
    is_quiet: bool,
    waits_for_files: bool = False,
) -> tuple[int, Event | None]:
    """Record a failed run; return the number of the incident of its cause, and the event if this opened it.

    If the run failed because of a rejected file or a failed check, `look` has opened the incident of that, and the run
    joins it. A task that `waits_for_files` in vain joins the incident about them. `title` is the DAG and the period.
    The caller commits.
    """
    line = next(iter(str(error).strip().splitlines()), "") if error else "Airflow recorded no cause. The log has it."
    found = Found(
        key=failure_key(run.dag_id, error, run.scope),
        kind="failure",
        domain=domain,
        severity="error",
        what=f"{title} failed{f' in {run.task_id}' if run.task_id else ''}",
        cause=line,
        remedy="Read the log of the failed task. Then clear it.",
    )
    cause = None
    if error and is_data_error(error) and domain in catalog.domains():
        cause = cause_in_data(connection, domain, Scope((domain,)).subjects, run, error)
    elif waits_for_files:
        cause = missing_file(connection, domain)
    return fail(connection, found, run, cause=cause, is_quiet=is_quiet)
