"""Problems of periods: missing files, books that do not balance, failed checks, and reports that are not up to date."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from psycopg import Connection

from waybill.checks import approval
from waybill.checks.answers import APPROVE, PUBLISH, REJECT
from waybill.contracts import Contract
from waybill.contracts.domains import load_manifest
from waybill.contracts.locations import SCHEMAS
from waybill.formatting import count, in_series
from waybill.ops.books import NOTHING, OUT_OF_DATE, GapSummary
from waybill.ops.remedies import remedies
from waybill.period import ALL_TIME, Period
from waybill.settings import settings
from waybill.views import catalog
from waybill.views.operations.freshness import Freshness
from waybill.views.operations.problem import Action, Problem, run_page, runbook
from waybill.views.operations.runs import RunState, answer_path, run_path, task_path
from waybill.views.operations.scope import Scope
from waybill.warehouse.connection import one_row

_LATE_LISTED: Final = 31
_EXAMINED: Final = 3


def missing_files(
    scope: Scope,
    freshness: Iterable[Freshness],
    gaps: Iterable[GapSummary],
    rejected: Collection[tuple[str, date]],
) -> list[Problem]:
    """Return a problem for each dataset that lacks the file of a period, or is late.

    A period whose file was rejected lacks none. `rejected` has (dataset, first day) of these periods.
    """
    late = {one.dataset: one for one in freshness if one.late}
    missing = {gap.subject: gap.periods for gap in gaps if gap.what == NOTHING and gap.subject in scope.datasets}
    found = [
        _missing(
            catalog.contracts()[table],
            late.get(table),
            missing.get(table, []),
            {start for dataset, start in rejected if dataset == table},
        )
        for table in scope.datasets
        if table in late or table in missing
    ]
    return [problem for problem in found if problem]


def _missing(
    contract: Contract, late: Freshness | None, missing: Sequence[Period], rejected: Collection[date]
) -> Problem | None:
    """Return the problem of a dataset; None if the files of all its missing periods were rejected."""
    periods = {*missing}
    cause = f"Every {contract.cadence} needs a file."
    if late is not None:
        cause = f"A file is expected {late.expected}. "
        cause += f"The newest loaded period is {late.newest}." if late.newest else "No file has been loaded yet."
        if late.newest:
            periods |= {late.newest.shift(number) for number in range(1, min(late.late, _LATE_LISTED) + 1)}
    listed = sorted(period for period in periods if period.start not in rejected)
    if rejected and not listed:
        return None
    since = None
    if listed:
        _, ends = listed[0].instants(settings().timezone)
        since = ends + timedelta(days=contract.latency_days or 0)
    what = GapSummary(contract.table, "", listed).listed_periods
    command = f"waybill drop FILE --domain {contract.domain} --dataset {contract.name}"
    return Problem(
        "error",
        "datasets",
        f"{contract.table} has no file for {what}" if listed else f"{contract.table} has no file yet",
        since,
        cause,
        (
            Action("command", "Copy command", f"{command} --period {listed[0]}" if listed else command),
            runbook("missing", load_manifest(contract.domain).dag),
        ),
        number=max(len(listed), 1),
        topic="missing",
        key=f"missing {contract.table}",
    )


def outdated_reports(connection: Connection, scope: Scope, gaps: Sequence[GapSummary]) -> list[Problem]:
    """Return a problem for each domain with reports that are out of date, and one for reports that were not built.

    A report is not built for a period without the files of a dataset: the missing file is the problem.
    """
    found = []
    for domain in scope.domains:
        datasets = {contract.table for contract in catalog.of_schema(domain).values()}
        without_file = {
            period for gap in gaps if gap.subject in datasets and gap.what == NOTHING for period in gap.periods
        }
        derived = tuple(f"{make(domain)}." for make in SCHEMAS)
        for what, verb in ((OUT_OF_DATE, "out of date"), (NOTHING, "not built")):
            concerned = [
                GapSummary(gap.subject, gap.what, left)
                for gap in gaps
                if gap.what == what and gap.subject.startswith(derived)
                if (left := [period for period in gap.periods if not _within(period, without_file)])
            ]
            if concerned:
                found.append(_outdated(connection, domain, concerned, verb))
    return found


def _within(period: Period, others: Iterable[Period]) -> bool:
    return any(other.covers(period) or period.covers(other) for other in others)


def _outdated(connection: Connection, domain: str, gaps: Sequence[GapSummary], verb: str) -> Problem:
    periods = sorted({period for gap in gaps for period in gap.periods}, key=lambda one: (one.cadence, one.start))
    names = [gap.subject for gap in gaps]
    listed = in_series(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    shown = GapSummary("", "", periods).listed_periods
    command = next((line for line in remedies(domain, gaps, periods) if line.startswith("airflow ")), "")
    actions = [Action("command", "Copy command", command)] if command else []
    if verb == "out of date":
        cause, since = (
            f"Inputs of {listed} have changed since the last build.",
            _changed_since(connection, domain, gaps),
        )
    else:
        cause, since = f"No run has built {listed}.", periods[0].instants(settings().timezone)[1]
    return Problem(
        "warning",
        "periods",
        f"{count(len(gaps), 'report')} of {catalog.title(domain)} {'is' if len(gaps) == 1 else 'are'} {verb}: {shown}",
        since,
        cause,
        (*actions, runbook("outdated", load_manifest(domain).dag)),
        number=len(periods),
        topic="outdated",
        key=f"outdated {domain} {verb}",
    )


_CHANGED = """
select min(coalesce(c.changed_at, p.built_at))
from unnest(%(tables)s::text[], %(cadences)s::text[], %(starts)s::date[], %(ends)s::date[])
  as g (report, cadence, starts, ends)
inner join waybill.publication as p on (p.report, p.cadence, p.period) = (g.report, g.cadence, g.starts)
cross join lateral (
  select min(c.changed_at) as changed_at
  from waybill.change as c
  where c.table_name = any(%(datasets)s) and c.day >= g.starts and c.day < g.ends and c.changed_at > p.built_at
) as c
"""


def _changed_since(connection: Connection, domain: str, gaps: Sequence[GapSummary]) -> datetime | None:
    """Return when a dataset first changed after the build, in the first period of each of some outdated reports.

    It is the time of the build if the change is of another period, or no change of rows.
    """
    first = [(gap.subject, gap.periods[0]) for gap in gaps if gap.periods[0] is not ALL_TIME][:_EXAMINED]
    since: datetime | None
    (since,) = one_row(
        connection,
        _CHANGED,
        {
            "tables": [table for table, _ in first],
            "cadences": [period.cadence for _, period in first],
            "starts": [period.start for _, period in first],
            "ends": [period.end for _, period in first],
            "datasets": [contract.table for contract in catalog.of_schema(domain).values()],
        },
    )
    return since


def unbalanced_books(balances: Iterable[dict[str, Any]]) -> list[Problem]:
    """Return a problem for each period of a dataset whose books do not balance."""
    return [
        Problem(
            "error",
            "books",
            f"The books of {row['dataset']} {row['period']} are off by {count(abs(row['difference']), 'row')}",
            row["loaded_at"],
            f"{count(row['rows_in'], 'row')} went in, and the outcomes add up to another number.",
            (
                Action("page", "Show files", "loads.html", {"dataset": row["dataset"]}),
                runbook("books", load_manifest(catalog.contracts()[row["dataset"]].domain).dag),
            ),
            topic="books",
            key=f"books {row['dataset']} {row['period']}",
        )
        for row in balances
        if row["difference"]
    ]


_FAILED = """
select
  subject, check_name, min(checked_at), (array_agg(cadence order by period desc))[1], array_agg(period order by period),
  (array_agg(format('%%s, must be %%s %%s', coalesce(observed::text, 'no value'), operator, threshold)
    order by period desc))[1],
  (array_agg(run_id order by period desc))[1]
from waybill.check_result
where not passed and severity = 'error' and check_name <> %(approval)s and subject = any(%(subjects)s)
group by subject, check_name
order by subject, check_name
limit %(limit)s
"""


def failed_checks(connection: Connection, scope: Scope, limit: int = 100) -> list[Problem]:
    """Return a problem for each check of severity error whose newest result of a period failed."""
    rows = connection.execute(
        _FAILED, {"approval": approval.CHECK, "subjects": scope.subjects, "limit": limit}
    ).fetchall()
    return [_failed(*row) for row in rows]


def _failed(
    subject: str, check: str, since: datetime, cadence: Any, starts: list[date], observed: str, run_id: str | None
) -> Problem:
    periods = [Period.of(cadence, start) for start in starts]
    contract = catalog.contracts()[subject]
    description = next((one.description for one in contract.checks if one.name == check), "").strip().rstrip(".")
    domain = catalog.domain_of_report(subject) or contract.domain
    dag = load_manifest(domain).dag
    links = (Action("airflow", "Open run", run_path(dag, run_id)), run_page(dag, run_id)) if run_id else ()
    return Problem(
        "error",
        "checks",
        f"{check} of {subject} fails for {GapSummary('', '', periods).listed_periods}",
        since,
        f"{description or check} is {observed}.",
        (*links, runbook("check", dag)),
        number=len(periods),
        topic="check",
        key=f"check {subject} {check}",
    )


def waiting_reports(connection: Connection, scope: Scope, runs: Sequence[RunState]) -> list[Problem]:
    """Return a problem for the reports of each run that wait for an approval, and one for those that were rejected.

    Those of a run that asks now can be approved or rejected.
    """
    asking = {(run.dag_id, run.run_id) for run in runs if any(task.asks for task in run.tasks)}
    found = []
    for domain in scope.domains:
        groups: dict[tuple[str | None, str | None], list[approval.Content]] = {}
        for one in approval.held(connection, catalog.reports(domain).values()):
            groups.setdefault((one.run_id, one.rejected_by), []).append(one)
        dag = load_manifest(domain).dag
        for (run_id, rejected_by), contents in groups.items():
            if rejected_by:
                found.append(_rejected(dag, run_id, rejected_by, contents))
            else:
                found.append(_waiting(dag, run_id, contents, is_asking=(dag, run_id) in asking))
    return found


def _waiting(dag: str, run_id: str | None, contents: Sequence[approval.Content], *, is_asking: bool) -> Problem:
    cause = f"{'; '.join(contents[0].warnings)}. Until somebody answers, no report for the same day is published."
    label = "Open question" if is_asking else "Approve or reject"
    names, actions = _named(contents), [Action("airflow", label, "required_actions")]
    if run_id:
        path = f"{task_path(dag, run_id, PUBLISH)}/required_actions"
        actions = [Action("airflow", label, path), run_page(dag, run_id)]
    if run_id and is_asking:
        actions = [
            _answer(dag, run_id, APPROVE, f"This publishes {names}.", f"Approved: the run publishes {names}."),
            _answer(dag, run_id, REJECT, f"{names} will not be published. The run fails.", f"Rejected: {names}."),
            *actions,
        ]
    what = f"{names} {'waits' if len(contents) == 1 else 'wait'} for approval"
    return _of_answer(dag, run_id, what, cause, contents, actions)


def _answer(dag: str, run_id: str, choice: str, question: str, result: str) -> Action:
    body = {"chosen_options": [choice], "params_input": {}}
    return Action("answer", choice, answer_path(dag, run_id, PUBLISH), body, dag, question, result)


def _rejected(dag: str, run_id: str | None, who: str, contents: Sequence[approval.Content]) -> Problem:
    cause = f"{'; '.join(contents[0].warnings)}. Correct the data, then run the period again."
    links = (Action("airflow", "Open run", run_path(dag, run_id)), run_page(dag, run_id)) if run_id else ()
    what = f"{_named(contents)} {'was' if len(contents) == 1 else 'were'} rejected by {who}"
    return _of_answer(dag, run_id, what, cause, contents, links)


def _of_answer(
    dag: str, run_id: str | None, what: str, cause: str, contents: Sequence[approval.Content], actions: Iterable[Action]
) -> Problem:
    return Problem(
        "warning",
        "reports",
        what,
        min(one.built_at for one in contents),
        cause,
        (*actions, runbook("approval", dag)),
        topic="approval",
        key=f"approval {dag} {run_id}",
    )


def _named(contents: Sequence[approval.Content]) -> str:
    more = f" and {len(contents) - 3} more" if len(contents) > 3 else ""
    return in_series([str(one) for one in contents[:3]]) + more
