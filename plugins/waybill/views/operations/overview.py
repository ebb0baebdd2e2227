"""The view of data operations: what arrived, what became of it, what is missing, what was rejected and why.

It never leaves Airflow's web UI: it shows rejected rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.checks import approval
from waybill.contracts import Contract
from waybill.contracts.domains import load_manifest
from waybill.formatting import count
from waybill.intake import file_warnings
from waybill.intake.file_warnings import FileWarning
from waybill.intake.ledger import imbalance, sums_sql
from waybill.ops import alert_delivery
from waybill.ops.books import Gap, GapSummary, known_gaps, noticed_gaps, summarise
from waybill.period import Period
from waybill.settings import settings
from waybill.views import catalog
from waybill.views.operations.history import FILES_OF_RUN
from waybill.views.operations.scope import Scope
from waybill.warehouse.connection import one_row

PERIODS_CHECKED = 12
PERIODS_EXPECTED = 31
"""How many of a domain's newest periods are looked at for what is missing."""
ALERTS = 10
BOOKS = 40
COUNTED = 10_000
"""So many of a dataset's newest files and periods are counted, so that their number does not matter."""
WARNINGS = 40


@dataclass(frozen=True)
class Freshness:
    """How far a dataset has come, against what its contract promises."""

    dataset: str
    newest: Period | None
    loaded_at: datetime | None
    promised: str
    late: int
    """How many periods should have landed and have not; 0 if it is fresh or nothing is promised."""


def freshness(connection: Connection, scope: Scope, today: date) -> list[Freshness]:
    """Every dataset, the latest first. `today` is the day in the business time zone."""
    rows = connection.execute(
        """
        select d.dataset, newest.period, max(f.loaded_at)
        from unnest(%(datasets)s::text[]) as d (dataset)
        cross join lateral (
          select f.period
          from waybill.load_file as f
          where f.dataset = d.dataset and f.status = 'loaded'
          order by f.period desc
          limit 1
        ) as newest
        inner join waybill.load_file as f on (d.dataset, newest.period, 'loaded') = (f.dataset, f.period, f.status)
        group by d.dataset, newest.period
        """,
        {"datasets": scope.datasets},
    ).fetchall()
    newest = {dataset: (start, loaded_at) for dataset, start, loaded_at in rows}
    found = [_freshness(catalog.contracts()[table], newest.get(table), today) for table in scope.datasets]
    return sorted(found, key=lambda one: (-one.late, one.dataset))


def _freshness(contract: Contract, newest: tuple[date, datetime] | None, today: date) -> Freshness:
    period = Period.of(contract.cadence, newest[0]) if newest else None
    late, promised = 0, "nothing is promised"
    if contract.latency_days is not None:
        days = contract.latency_days
        promised = f"{count(days, 'day')} after the {contract.cadence}"
        due = Period.of(contract.cadence, today - timedelta(days=days)).shift(-1)
        if period is None:
            late = 1
        elif due > period:
            late = _distance(period, due)
    return Freshness(contract.table, period, newest[1] if newest else None, promised, late)


def _distance(first: Period, last: Period) -> int:
    if first.cadence == "month":
        return (last.start.year - first.start.year) * 12 + last.start.month - first.start.month
    return (last.start - first.start).days // (last.end - last.start).days


def _period(dataset: str, start: date) -> Period:
    return Period.of(catalog.contracts()[dataset].cadence, start)


def balances(connection: Connection, scope: Scope) -> list[dict[str, Any]]:
    """The books of the newest periods, or of what a run loaded; those out of balance first."""
    query = sql.SQL(_BOOKS_OF_RUN if scope.run_id else _BOOKS).format(sums=sums_sql("f"))
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(query, {"datasets": scope.datasets, "run_id": scope.run_id, "limit": BOOKS, "of_run": FILES_OF_RUN})
        .fetchall()
    )
    found = [row | {"period": _period(row["dataset"], row["period"]), "difference": imbalance(row)} for row in rows]
    return sorted(found, key=lambda row: row["difference"] == 0)


# From period to period by the index, so that the number of files does not matter.
_BOOKS = """
with recursive steps as (
  select d.dataset, (select max(f.period) from waybill.load_file as f where f.dataset = d.dataset) as period, 1 as place
  from unnest(%(datasets)s::text[]) as d (dataset)
  union all
  select
    s.dataset,
    (select max(f.period) from waybill.load_file as f where f.dataset = s.dataset and f.period < s.period),
    s.place + 1
  from steps as s
  where s.period is not null and s.place < %(limit)s
),
newest as (
  select period, dataset from steps where period is not null order by period desc, dataset limit %(limit)s
)
select n.period, n.dataset, b.*
from newest as n
cross join lateral (
  select count(*) as files, {sums}
  from waybill.load_file as f
  where (f.dataset, f.period, f.status) = (n.dataset, n.period, 'loaded')
) as b
where b.files > 0
order by n.period desc, n.dataset
"""
_BOOKS_OF_RUN = """
select f.period, f.dataset, count(*) as files, {sums}
from waybill.load_file as f
where f.status = 'loaded' and f.dataset = any(%(datasets)s) and f.run_id = %(run_id)s
  and f.file_id > (select max(file_id) - %(of_run)s from waybill.load_file)
group by f.period, f.dataset
order by f.period desc, f.dataset
limit %(limit)s
"""


@dataclass(frozen=True)
class Totals:
    """How many there are of what the page lists the newest of."""

    books: int
    """Periods of datasets with files; of a run, those that it loaded files for."""
    rejected: int
    """Rows that wait in quarantine."""
    failed: int
    """Results of checks that did not pass."""
    refusals: int
    alerts: int
    is_cut: bool
    """Whether a dataset has more files than are counted."""


def totals(connection: Connection, scope: Scope) -> Totals:
    """The numbers on top of the page: of everything in the scope, however much of it is listed."""
    files = sql.SQL(_FILES_OF_RUN if scope.run_id else _FILES)
    counts = one_row(
        connection,
        sql.SQL(_TOTALS).format(files=files),
        {
            "datasets": scope.datasets,
            "subjects": scope.subjects,
            "dags": _dags(scope),
            "run_id": scope.run_id,
            "counted": COUNTED,
            "of_run": FILES_OF_RUN,
        },
    )
    return Totals(*counts)


_FILES = """
select d.dataset, f.period, f.rejected, f.place
from unnest(%(datasets)s::text[]) as d (dataset)
cross join lateral (
  select newest.*, row_number() over () as place
  from (
    select f.period, f.rejected
    from waybill.load_file as f
    where f.dataset = d.dataset and f.status = 'loaded'
    order by f.period desc
    limit %(counted)s + 1
  ) as newest
) as f
"""
_FILES_OF_RUN = """
select dataset, period, rejected, 0 as place
from waybill.load_file
where status = 'loaded' and dataset = any(%(datasets)s) and run_id = %(run_id)s
  and file_id > (select max(file_id) - %(of_run)s from waybill.load_file)
"""
_TOTALS = """
with files as ({files})
select
  (select count(distinct (dataset, period)) from files where place <= %(counted)s),
  (select coalesce(sum(rejected), 0)::bigint from files where place <= %(counted)s),
  (
    select count(*)
    from waybill.check_result
    where not passed and subject = any(%(subjects)s) and (%(run_id)s::text is null or run_id = %(run_id)s)
  ),
  (
    select count(*)
    from waybill.rejected_file
    where dataset = any(%(subjects)s) and (%(run_id)s::text is null or run_id = %(run_id)s)
  ),
  (
    select count(*)
    from waybill.alert
    where dag_id = any(%(dags)s) and (%(run_id)s::text is null or run_id = %(run_id)s) and kind <> 'success'
  ),
  exists (select from files where place > %(counted)s)
"""


def _dags(scope: Scope) -> list[str]:
    return [load_manifest(domain).dag for domain in scope.domains]


def refusals(connection: Connection, scope: Scope) -> list[dict[str, Any]]:
    """The newest files that were not taken in and reports that must not be published, and whether that is settled.

    A file is when a later try was taken in or its content was loaded under another key of the dataset, a report when it
    was approved after all, or built without the warnings.
    """
    return (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            select
              r.dataset, r.period, r.object_key, r.message, r.rejected_at,
              case
                when r.dataset = any(%(datasets)s) then exists (
                  select
                  from waybill.load_file as f
                  where (f.dataset, f.bucket, f.status) = (r.dataset, %(bucket)s, 'loaded')
                    and (f.object_key = r.object_key or f.etag = r.etag)
                    and f.loaded_at > r.rejected_at
                )
                else not exists (
                  select
                  from waybill.check_result as c
                  where (c.subject, c.period, c.check_name) = (r.dataset, r.period, %(approval)s) and not c.passed
                )
              end as is_settled
            from waybill.rejected_file as r
            where r.dataset = any(%(subjects)s) and (%(run_id)s::text is null or r.run_id = %(run_id)s)
            order by r.rejected_file_id desc
            limit %(limit)s
            """,
            {
                "datasets": scope.datasets,
                "subjects": scope.subjects,
                "approval": approval.CHECK,
                "bucket": settings().raw_bucket,
                "run_id": scope.run_id,
                "limit": ALERTS,
            },
        )
        .fetchall()
    )


def warnings(connection: Connection, scope: Scope) -> tuple[list[FileWarning], int]:
    """(the warnings about the newest files that count, how many there are in all)."""
    return file_warnings.newest(connection, scope.datasets, scope.run_id, WARNINGS)


def missing(connection: Connection, scope: Scope) -> list[GapSummary]:
    """What is not there, or out of date, in the newest periods that a dataset of the domain was loaded for.

    It is what `waybill books` says, but for files that landed and are not loaded: only the bucket knows of them. Loaded
    files that are gone from the bucket are among it whatever their period, from the first run on that noticed it.
    """
    found: list[Gap] = []
    for domain in scope.domains:
        if periods := _periods(connection, domain):
            found += known_gaps(connection, domain, periods)
        found += noticed_gaps(connection, domain)
    return summarise(found)


def _periods(connection: Connection, domain: str) -> list[Period]:
    """The domain's newest periods, as far back as any report was built; none if nothing was loaded."""
    datasets = catalog.of_schema(domain)
    bounds = connection.execute(
        """
        select min(first.period), max(last.period)
        from unnest(%(datasets)s::text[]) as d (dataset)
        cross join lateral (
          select f.period from waybill.load_file as f
          where (f.dataset, f.status) = (d.dataset, 'loaded') order by f.period limit 1
        ) as first
        cross join lateral (
          select f.period from waybill.load_file as f
          where (f.dataset, f.status) = (d.dataset, 'loaded') order by f.period desc limit 1
        ) as last
        """,
        {"datasets": [contract.table for contract in datasets.values()]},
    ).fetchone()
    if bounds is None or bounds[0] is None:
        return []
    built = connection.execute(
        "select min(period) from waybill.publication where report = any(%s)",
        ([contract.table for contract in catalog.reports(domain).values()],),
    ).fetchone()
    since = built[0] if built and built[0] else bounds[0]
    period, found = Period.of(next(iter(datasets.values())).cadence, bounds[1]), list[Period]()
    while period.start >= max(bounds[0], since) and len(found) < PERIODS_EXPECTED:
        found.append(period)
        period = period.shift(-1)
    return found[::-1]


@dataclass(frozen=True)
class CheckRow:
    """A check and what it saw in each of some periods."""

    subject: str
    check: str
    severity: str
    must_be: str
    cells: list[dict[str, Any] | None]


@dataclass(frozen=True)
class CheckTable:
    """Checks of one cadence by period."""

    cadence: str
    periods: list[Period]
    rows: list[CheckRow]
    failed: int


def checks(connection: Connection, scope: Scope) -> list[CheckTable]:
    """Every check by its newest periods, newest first, those that failed first; one table for each cadence."""
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            with periods as (
              select cadence, period
              from (
                select cadence, period, row_number() over (partition by cadence order by period desc) as place
                from waybill.check_result
                where subject = any(%(subjects)s) and (%(run_id)s::text is null or run_id = %(run_id)s)
                group by cadence, period
              ) as ranked
              where place <= %(periods)s
            )
            select subject, check_name, cadence, period, severity, observed, operator, threshold, passed
            from waybill.check_result
            inner join periods using (cadence, period)
            where subject = any(%(subjects)s) and (%(run_id)s::text is null or run_id = %(run_id)s)
            order by cadence, subject, check_name, period
            """,
            {"subjects": scope.subjects, "run_id": scope.run_id, "periods": PERIODS_CHECKED},
        )
        .fetchall()
    )
    tables = []
    for cadence in sorted({row["cadence"] for row in rows}):
        of_cadence = [row for row in rows if row["cadence"] == cadence]
        starts = sorted({row["period"] for row in of_cadence}, reverse=True)
        by_check: dict[tuple[str, str], dict[date, dict[str, Any]]] = {}
        for row in of_cadence:
            by_check.setdefault((row["subject"], row["check_name"]), {})[row["period"]] = row
        listed = [
            CheckRow(
                subject,
                check,
                seen[max(seen)]["severity"],
                f"{seen[max(seen)]['operator']} {seen[max(seen)]['threshold']:g}",
                [seen.get(start) for start in starts],
            )
            for (subject, check), seen in by_check.items()
        ]
        listed.sort(key=lambda row: -sum(not cell["passed"] for cell in row.cells if cell))
        failed = sum(not row["passed"] for row in of_cadence)
        tables.append(CheckTable(cadence, [Period.of(cadence, start) for start in starts], listed, failed))
    return tables


def alerts(connection: Connection, scope: Scope) -> list[dict[str, Any]]:
    """The newest alerts of the scope's DAGs."""
    found = (
        connection.cursor(row_factory=dict_row)
        .execute(
            "select dag_id, run_id, kind, message, raised_at from waybill.alert "
            "where dag_id = any(%(dags)s) and (%(run_id)s::text is null or run_id = %(run_id)s) "
            "and kind <> 'success' order by raised_at desc limit %(limit)s",
            {"dags": _dags(scope), "run_id": scope.run_id, "limit": ALERTS},
        )
        .fetchall()
    )
    states = alert_delivery.states(connection, [(one["dag_id"], one["run_id"], one["kind"]) for one in found])
    return [one | {"deliveries": states[(one["dag_id"], one["run_id"], one["kind"])]} for one in found]
