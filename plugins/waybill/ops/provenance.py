"""The waybill of a report: the code, SQL, source files and checks behind its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.checks.unpublished import unpublished
from waybill.contracts import load_domain
from waybill.contracts.locations import domain_of, report_schema
from waybill.derived.refresh import out_of_date
from waybill.errors import DataError
from waybill.formatting import in_series
from waybill.period import ALL_TIME, Period
from waybill.warehouse.connection import one_row


@dataclass(frozen=True)
class Waybill:
    """The provenance of one period of a report."""

    report: str
    period: Period
    row_count: int
    content_sha256: str
    sql_sha256: str | None
    code_version: str
    run_id: str | None
    built_at: datetime
    inputs: list[str]
    """The tables that its SQL reads, for reports that are rebuilt when these tables change."""
    is_outdated: bool
    """Whether its inputs have changed since it was built. The books of the files are always current."""
    files: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    snapshots: list[dict[str, Any]]
    """The snapshots of the lake that have the rows on which the numbers rest, and that of the report's own day."""
    unpublished: str
    """Why these numbers are not published, such as `not published: waiting for approval`; empty if they are."""
    forgotten: str
    """That people whom the report shows were forgotten before it was built; empty if nobody was."""


_SNAPSHOTS = """
with found as (
  select table_name, snapshot_id
  from waybill.published_snapshot
  where (report, cadence, period, content_sha256) = (%(report)s, %(cadence)s, %(period)s, %(content)s)
  union
  (
    select table_name, snapshot_id
    from waybill.lake_commit
    where table_name = %(report)s and %(cadence)s = 'day' and day = %(period)s
    order by commit_id desc
    limit 1
  )
)
select f.table_name, f.snapshot_id, min(c.committed_at) as committed_at, min(c.run_id) as run_id
from found as f
left join waybill.lake_commit as c using (table_name, snapshot_id)
group by f.table_name, f.snapshot_id
order by f.table_name, committed_at
"""
BUILT_LAST = sql.SQL("waybill.publication")


_FORGOTTEN = """
select count(distinct (kind, person)), max(erasure_id), max(erased_at)
from waybill.erasure
where domain = %(domain)s and erased_at <= %(built_at)s and exists (
  select from jsonb_array_elements_text(certificate -> 'columns') as c (name) where starts_with(c.name, %(prefix)s)
)
"""


def _forgotten(connection: Connection, report: str, domain: str, built_at: datetime) -> str:
    """Return that people whom a report shows were forgotten before it was built; empty if nobody was."""
    people, erasure, erased_at = one_row(
        connection, _FORGOTTEN, {"domain": domain, "built_at": built_at, "prefix": f"{report}."}
    )
    if not people:
        return ""
    who = "the id of 1 person" if people == 1 else f"the ids of {people} people"
    return (
        f"tombstones replace {who} who asked to be forgotten, the last one on {erased_at:%Y-%m-%d} (erasure {erasure})"
    )


def trace(connection: Connection, report: str, period: Period, heads: sql.Composable = BUILT_LAST) -> Waybill:
    """Return the waybill of a report (`billing_report.top_customers` or only its name) for a period.

    `heads` is the table with the record of its content: by default the newest build. Raises `DataError` if the report
    was never built for the period.
    """
    cursor = connection.cursor(row_factory=dict_row)
    query = sql.SQL(
        "select * from {} as p where (report = %(name)s or split_part(report, '.', 2) = %(name)s) "
        "and cadence = %(cadence)s and period = %(period)s order by report"
    ).format(heads)
    head = cursor.execute(query, {"name": report, "cadence": period.cadence, "period": period.start}).fetchone()
    if head is None:
        raise _not_built(connection, report, period)
    files = cursor.execute(
        "select file_id, dataset, period, bucket, object_key, version_id, sha256, rows_in, inserted, updated, "
        "unchanged, rejected, duplicate, stale, filtered, ignored_lines, contract_version, loaded_at, array("
        "select w.kind || ': ' || w.message from waybill.file_warning as w "
        "where w.file_id = f.file_id and f.status = 'loaded' order by 1) as warnings "
        "from waybill.load_file as f where file_id = any(%s) "
        "order by dataset, period, object_key",
        (head["file_ids"],),
    ).fetchall()
    content = {
        "report": head["report"],
        "cadence": period.cadence,
        "period": period.start,
        "content": head["content_sha256"],
    }
    checks = cursor.execute(
        "select check_name, severity, observed, operator, threshold, passed from waybill.check_result "
        "where subject = %(report)s and cadence = %(cadence)s and period = %(period)s and exists (select "
        "from waybill.publication as p where (p.report, p.cadence, p.period, p.content_sha256) = "
        "(%(report)s, %(cadence)s, %(period)s, %(content)s)) order by check_name",  # checks describe the newest content
        content,
    ).fetchall()
    snapshots = cursor.execute(_SNAPSHOTS, content).fetchall()
    names = ("row_count", "content_sha256", "sql_sha256", "code_version", "run_id", "built_at", "inputs")
    values = {name: head[name] for name in names}
    domain = domain_of(head["report"].partition(".")[0])
    is_outdated = bool(out_of_date(connection, domain, [period], head["report"], with_features=True))
    key = (head["report"], period.cadence, period.start)
    newest = unpublished(connection, load_domain(report_schema(domain)).values()).get(key)
    return Waybill(
        report=head["report"],
        period=period,
        is_outdated=is_outdated,
        files=files,
        checks=checks,
        snapshots=snapshots,
        unpublished=newest.why if newest and heads is BUILT_LAST else "",
        forgotten=_forgotten(connection, head["report"], domain, head["built_at"]),
        **values,
    )


def refuse_unbuilt(connection: Connection, report: str, period: Period) -> None:
    """Raise `DataError` with the periods that were built if a table was not built for a period."""
    row = connection.execute(
        "select from waybill.publication where (report, cadence, period) = (%s, %s, %s)",
        (report, period.cadence, period.start),
    ).fetchone()
    if row is None:
        raise _not_built(connection, report, period)


def _not_built(connection: Connection, report: str, period: Period) -> DataError:
    return DataError(f"{report} was not built for {period}; {_builds(connection, report)}")


def built_report(connection: Connection, name: str, domain: str | None = None) -> str:
    """Return the table of the report with this name, such as `top_customers` or `billing.top_customers`.

    Raises `DataError` if no report with the name was built, or several.
    """
    known = _built_reports(connection)
    name = re.sub(r":(\d+)$", r"_v\1", name)  # commands call a version of a feature view by its number
    short = name.rpartition(".")[2]
    found = {}
    for report in known:
        schema, _, own_name = report.partition(".")
        of_domain = domain_of(schema)
        if own_name == short and name in (short, report, f"{of_domain}.{short}") and domain in (None, of_domain):
            found[report] = of_domain
    if len(found) == 1:
        return next(iter(found))
    if found:
        are_distinct = len({*found.values()}) == len(found)
        options = [f"--domain {one}" for one in found.values()] if are_distinct else [*found]
        raise DataError(
            f"there are several reports {name!r}: {'add' if are_distinct else 'name'} {in_series(options, 'or')}"
        )
    rows = connection.execute(
        """
        select distinct report
        from waybill.publication
        where exists (select from unnest(inputs) as i (name) where %s in (i.name, split_part(i.name, '.', 2)))
        order by 1
        """,
        (name,),
    ).fetchall()
    if rows:
        raise DataError(f"{name} is a dataset. Name a report that reads it: {', '.join(row[0] for row in rows)}")
    raise DataError(f"{name} was not built{f' in {domain}' if domain else ''}; {_listed(known)}")


def _built_reports(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("select distinct report from waybill.publication order by 1")]


def _listed(reports: Sequence[str]) -> str:
    return f"reports that were built: {', '.join(reports) or 'none'}"


_PERIODS_LISTED = 8


def periods_built(connection: Connection, report: str) -> list[tuple[list[Period], int]]:
    """Return for each cadence (the newest periods of a report, newest first; the number of all its periods)."""
    rows = connection.execute(
        """
        select cadence, array_agg(period order by period desc) as periods
        from waybill.publication
        where %s in (report, split_part(report, '.', 2))
        group by cadence
        order by max(period) desc, cadence
        """,
        (report,),
    ).fetchall()
    return [
        ([ALL_TIME if cadence == "all" else Period.of(cadence, day) for day in days[:_PERIODS_LISTED]], len(days))
        for cadence, days in rows
    ]


def format_periods(built: Sequence[tuple[list[Period], int]]) -> str:
    """Return the periods of each cadence as text, with their number if not all are listed."""
    return "; ".join(
        f"{', '.join(map(str, periods))}{f', … ({total})' if total > len(periods) else ''}" for periods, total in built
    )


def newest_period(connection: Connection, report: str) -> Period:
    """Return the newest period of a report. Raises `DataError` if it was never built."""
    built = periods_built(connection, report)
    if not built:
        raise DataError(f"{report} was not built; {_builds(connection, report)}")
    return built[0][0][0]


def _builds(connection: Connection, report: str) -> str:
    """Return as text the newest periods of a report; if there are none, the reports that were built."""
    if built := periods_built(connection, report):
        return f"it was built for {format_periods(built)}"
    return _listed(_built_reports(connection))
