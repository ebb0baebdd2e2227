"""The messages about a run: it failed, is late, waits for an approval, loaded files with warnings, or succeeded."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import Connection, sql

from waybill.checks.approval import Content
from waybill.contracts.locations import report_prefix, report_schema
from waybill.formatting import count
from waybill.intake import file_warnings
from waybill.intake.ledger import COUNTS, Books, sums_sql
from waybill.period import Period
from waybill.settings import settings

_FOUND = 20
"""How many periods with anomalies, or changes of columns and values, a message lists."""
_CONSEQUENCE = "The failed step published nothing. Data of earlier runs is unchanged."


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


def anomaly_text(title: str, run_id: str, lines: Sequence[str], url: str) -> str:
    """Return the message about anomalies that a run found. `url` is the log of its task."""
    what = f"{title}: the run {run_id} found anomalies in {count(len(lines), 'loaded period')}."
    advice = (
        "The rows are loaded and reported. If a file is wrong, upload a corrected one under the same name. Otherwise "
        "accept the anomaly: `waybill watch list` shows its number."
    )
    return _found_text(what, lines, "more period", advice, url)


def drift_text(title: str, run_id: str, lines: Sequence[str], url: str) -> str:
    """Return the message about schema drift that a run found. `url` is the log of its task."""
    what = f"{title}: the run {run_id} found {count(len(lines), 'change')} of columns or values in files."
    advice = (
        "If a file is wrong, upload a corrected one under the same name. Otherwise `waybill watch list` shows the "
        "number of each change, and `waybill contract propose NUMBER` the change of the contract that takes it in."
    )
    return _found_text(what, lines, "more change", advice, url)


def _found_text(what: str, lines: Sequence[str], others: str, advice: str, url: str) -> str:
    """Return a message about what the watch found: the first lines, and how many others there are."""
    more = [f"and {count(len(lines) - _FOUND, others)}"] if len(lines) > _FOUND else []
    return "\n".join([what, *lines[:_FOUND], *more, advice, f"Log: {url}"])


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
