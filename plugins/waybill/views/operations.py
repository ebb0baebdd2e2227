"""The view of data operations: what arrived, what became of it, what is missing, what was rejected and why.

It never leaves Airflow's web UI: it shows rejected rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from waybill.books import COUNTS, Gap, expected_periods, gaps
from waybill.contracts import Contract
from waybill.intake.ledger import Run
from waybill.masking import RESTRICTED
from waybill.period import Period
from waybill.views import catalog

PAGE_ROWS = 50
LAST_PAGE = 200
PERIODS_CHECKED = 12
ALERTS = 10
BOOKS = 40
REPLAYED_AT_ONCE = 200


@dataclass(frozen=True)
class Scope:
    """What the view is about: everything, the datasets of one domain, or what one run did."""

    domains: tuple[str, ...]
    run_id: str | None = None

    @property
    def datasets(self) -> list[str]:
        """The tables of the datasets."""
        return [contract.table for domain in self.domains for contract in catalog.of_schema(domain).values()]

    @property
    def subjects(self) -> list[str]:
        """The tables of datasets and reports."""
        return self.datasets + [
            contract.table for domain in self.domains for contract in catalog.reports(domain).values()
        ]


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
    newest = {
        dataset: (start, loaded_at)
        for dataset, start, loaded_at in connection.execute(
            "select dataset, max(period), max(loaded_at) from waybill.load_file "
            "where dataset = any(%s) and status = 'loaded' group by dataset",
            (scope.datasets,),
        )
    }
    found = [_freshness(catalog.contracts()[table], newest.get(table), today) for table in scope.datasets]
    return sorted(found, key=lambda one: (-one.late, one.dataset))


def _freshness(contract: Contract, newest: tuple[date, datetime] | None, today: date) -> Freshness:
    period = Period.of(contract.cadence, newest[0]) if newest else None
    late, promised = 0, "nothing is promised"
    if contract.latency_days is not None:
        days = contract.latency_days
        promised = f"{days} day{'' if days == 1 else 's'} after the {contract.cadence}"
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
    """The books of the newest periods, those out of balance first."""
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            with books as (
              select
                period, dataset, count(*) as files, sum(rows_in)::bigint as rows_in,
                sum(inserted)::bigint as inserted, sum(updated)::bigint as updated,
                sum(unchanged)::bigint as unchanged, sum(rejected)::bigint as rejected,
                sum(duplicate)::bigint as duplicate, sum(stale)::bigint as stale, sum(filtered)::bigint as filtered
              from waybill.load_file
              where status = 'loaded' and dataset = any(%(datasets)s)
                and (%(run_id)s::text is null or run_id = %(run_id)s)
              group by period, dataset
            )
            select *, rows_in - inserted - updated - unchanged - rejected - duplicate - stale - filtered as difference
            from books
            order by
              rows_in - inserted - updated - unchanged - rejected - duplicate - stale - filtered <> 0 desc,
              period desc, dataset
            limit %(limit)s
            """,
            {"datasets": scope.datasets, "run_id": scope.run_id, "limit": BOOKS},
        )
        .fetchall()
    )
    return [row | {"period": _period(row["dataset"], row["period"])} for row in rows]


def refusals(connection: Connection, scope: Scope) -> list[dict[str, Any]]:
    """The newest files that were not taken in, and whether a later try was."""
    return (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            select
              r.dataset, r.period, r.object_key, r.message, r.refused_at,
              exists (
                select
                from waybill.load_file as f
                where f.dataset = r.dataset and f.object_key = r.object_key and f.loaded_at > r.refused_at
              ) as was_loaded_since
            from waybill.refusal as r
            where r.dataset = any(%(datasets)s) and (%(run_id)s::text is null or r.run_id = %(run_id)s)
            order by r.refusal_id desc
            limit %(limit)s
            """,
            {"datasets": scope.datasets, "run_id": scope.run_id, "limit": ALERTS},
        )
        .fetchall()
    )


@dataclass(frozen=True)
class Missing:
    """What a dataset or report lacks, in one period or several."""

    subject: str
    what: str
    periods: list[Period]
    """In order."""


def missing(connection: Connection, scope: Scope) -> list[Missing]:
    """What is not there between the first and the newest period that a dataset of the domain was loaded for."""
    found: list[Gap] = []
    for domain in scope.domains:
        datasets = catalog.of_schema(domain)
        bounds = connection.execute(
            "select min(period), max(period) from waybill.load_file where dataset = any(%s) and status = 'loaded'",
            ([contract.table for contract in datasets.values()],),
        ).fetchone()
        if bounds is None or bounds[0] is None:
            continue
        built = connection.execute(
            "select min(period) from waybill.publication where report = any(%s)",
            ([contract.table for contract in catalog.reports(domain).values()],),
        ).fetchone()
        cadence = next(iter(datasets.values())).cadence
        period, periods = Period.of(cadence, bounds[1]), list[Period]()
        while period.start >= bounds[0] and len(periods) < 100:
            periods.append(period)
            period = period.shift(-1)
        since = built[0] if built and built[0] else bounds[0]
        contracts = [*datasets.values(), *catalog.reports(domain).values()]
        periods = [one for one in reversed(periods) if one.start >= since]
        found += gaps(connection, contracts, expected_periods(connection, datasets.values(), periods))
    by_subject: dict[tuple[str, str], list[Period]] = {}
    for gap in sorted(found, key=lambda gap: (gap.period.cadence, gap.period.start)):
        by_subject.setdefault((gap.subject, gap.what), []).append(gap.period)
    return [Missing(subject, what, periods) for (subject, what), periods in sorted(by_subject.items())]


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
    """Every check by its newest periods, those that failed first; one table for each cadence."""
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            with ranked as (
              select *, dense_rank() over (partition by cadence order by period desc) as place
              from waybill.check_result
              where subject = any(%(subjects)s) and (%(run_id)s::text is null or run_id = %(run_id)s)
            )
            select subject, check_name, cadence, period, severity, observed, operator, threshold, passed
            from ranked
            where place <= %(periods)s
            order by cadence, subject, check_name, period
            """,
            {"subjects": scope.subjects, "run_id": scope.run_id, "periods": PERIODS_CHECKED},
        )
        .fetchall()
    )
    tables = []
    for cadence in sorted({row["cadence"] for row in rows}):
        of_cadence = [row for row in rows if row["cadence"] == cadence]
        starts = sorted({row["period"] for row in of_cadence})
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
    dags = [dag for domain in scope.domains if (dag := catalog.dag_of(domain))]
    return (
        connection.cursor(row_factory=dict_row)
        .execute(
            "select dag_id, run_id, kind, message, channels, raised_at from waybill.alert "
            "where dag_id = any(%(dags)s) and (%(run_id)s::text is null or run_id = %(run_id)s) "
            "order by raised_at desc limit %(limit)s",
            {"dags": dags, "run_id": scope.run_id, "limit": ALERTS},
        )
        .fetchall()
    )


def loads(connection: Connection, scope: Scope, dataset: str | None, page: int) -> tuple[list[dict[str, Any]], bool]:
    """(files that were loaded, newest first; whether there are more) of a page of fifty."""
    names = [name for name in scope.datasets if dataset in (None, name)]
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            select
              file_id, dataset, period, bucket, object_key, size_bytes, status, contract_version, run_id, loaded_at,
              rows_in, inserted, updated, unchanged, rejected, duplicate, stale, filtered
            from waybill.load_file
            where dataset = any(%(datasets)s) and (%(run_id)s::text is null or run_id = %(run_id)s)
            order by loaded_at desc, file_id desc
            limit %(limit)s offset %(offset)s
            """,
            {
                "datasets": names,
                "run_id": scope.run_id,
                "limit": PAGE_ROWS + 1,
                "offset": (page - 1) * PAGE_ROWS,
            },
        )
        .fetchall()
    )
    return rows[:PAGE_ROWS], len(rows) > PAGE_ROWS


@dataclass(frozen=True)
class Rejected:
    """A quarantined row, to be shown as text."""

    file_id: int
    record: int
    object_key: str
    period: date
    reasons: list[str]
    values: list[tuple[str, str]]
    """(column, value); restricted values are hidden."""
    raw: str
    """The record as it came, where it has no fields."""
    resolved: str

    @property
    def can_be_replayed(self) -> bool:
        """Only open rows that have fields."""
        return not self.resolved and not self.raw


def reasons(connection: Connection, dataset: str) -> list[tuple[str, int]]:
    """(reason, open rows) of a dataset, most frequent first."""
    return connection.execute(
        "select reason, count(*) from waybill.quarantine as q "
        "inner join waybill.load_file as f using (file_id), unnest(q.reasons) as reason "
        "where f.dataset = %s and f.status = 'loaded' and q.resolved_as is null "
        "group by reason order by 2 desc, 1 limit 50",
        (dataset,),
    ).fetchall()


def quarantined(
    connection: Connection,
    contract: Contract,
    *,
    reason: str | None = None,
    file_id: int | None = None,
    period: Period | None = None,
    is_open: bool = True,
    page: int = 1,
) -> tuple[list[Rejected], bool]:
    """(rejected rows of a dataset, newest files first; whether there are more) of a page of fifty."""
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            select q.file_id, q.record, f.object_key, f.period, q.reasons, q.raw, q.resolved_as, q.resolved_by
            from waybill.quarantine as q
            inner join waybill.load_file as f using (file_id)
            where f.dataset = %(dataset)s and f.status = 'loaded' and (q.resolved_as is null) = %(is_open)s
              and (%(reason)s::text is null or %(reason)s = any(q.reasons))
              and (%(file_id)s::integer is null or q.file_id = %(file_id)s)
              and (%(period)s::date is null or f.period = %(period)s)
            order by q.file_id desc, q.record
            limit %(limit)s offset %(offset)s
            """,
            {
                "dataset": contract.table,
                "is_open": is_open,
                "reason": reason,
                "file_id": file_id,
                "period": period.start if period else None,
                "limit": PAGE_ROWS + 1,
                "offset": (page - 1) * PAGE_ROWS,
            },
        )
        .fetchall()
    )
    return [_rejected(contract, row) for row in rows[:PAGE_ROWS]], len(rows) > PAGE_ROWS


def _rejected(contract: Contract, row: dict[str, Any]) -> Rejected:
    restricted = {column.name for column in contract.columns if column.classification == RESTRICTED}
    values: list[tuple[str, str]] = []
    raw = ""
    if row["raw"].startswith("{"):
        fields = json.loads(row["raw"], parse_int=str, parse_float=str)
        values = [
            (name, "hidden: restricted" if name in restricted else "" if value is None else str(value))
            for name, value in fields.items()
        ]
    else:
        raw = "hidden: the dataset has restricted columns" if restricted else row["raw"] or "(empty)"
    resolved = f"{row['resolved_as']} by {row['resolved_by']}" if row["resolved_as"] else ""
    return Rejected(
        row["file_id"], row["record"], row["object_key"], row["period"], row["reasons"], values, raw, resolved
    )


def rebuilds(connection: Connection, scope: Scope) -> list[dict[str, Any]]:
    """The newest times at which a report's period got another content, with the files that came shortly before.

    The files are those that were loaded since the content before, and by then.
    """
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            with builds as (
              select
                c.table_name as report, c.day, c.changed_at,
                lag(c.changed_at) over (partition by c.table_name, c.day order by c.change_id) as before
              from waybill.change as c
              where c.table_name = any(%(reports)s)
            ),
            newest as (
              select * from builds where before is not null order by changed_at desc limit %(limit)s
            )
            select n.report, n.day, n.before, n.changed_at, coalesce(files.keys, '{}') as files
            from newest as n
            left join lateral (
              select array_agg(found.object_key order by found.loaded_at, found.object_key) as keys
              from (
                select f.object_key, f.loaded_at
                from waybill.load_file as f
                where f.loaded_at > n.before and f.loaded_at <= n.changed_at and f.dataset = any(%(datasets)s)
                  and split_part(f.dataset, '.', 1) || '_report' = split_part(n.report, '.', 1)
                order by f.loaded_at desc
                limit 20
              ) as found
            ) as files on true
            order by n.changed_at desc, n.report, n.day
            """,
            {
                "reports": [table for table in scope.subjects if table not in scope.datasets],
                "datasets": scope.datasets,
                "limit": PAGE_ROWS,
            },
        )
        .fetchall()
    )
    return [row | {"periods": _periods_from(row["report"], row["day"])} for row in rows]


def _periods_from(report: str, day: date) -> list[Period]:
    """The periods of a report that begin on a day."""
    periods = [Period.of(cadence, day) for cadence in catalog.contracts()[report].cadences]
    return [period for period in periods if period.start == day]


def scope_of(domain: str | None, dag_id: str | None, run_id: str | None) -> Scope | None:
    """What a request is about; None for a DAG that takes in no dataset, or an unknown domain."""
    if dag_id is not None:
        found = catalog.domain_of(dag_id)
        return Scope((found,), run_id or None) if found else None
    if domain:
        return Scope((domain,)) if domain in catalog.domains() else None
    return Scope(tuple(catalog.domains()))


def most_rejected(connection: Connection, scope: Scope) -> str:
    """The dataset of the scope with the most rejected rows."""
    row = connection.execute(
        "select dataset from waybill.load_file where dataset = any(%s) and status = 'loaded' "
        "group by dataset order by sum(rejected) desc, dataset limit 1",
        (scope.datasets,),
    ).fetchone()
    return str(row[0]) if row else scope.datasets[0]


def replay_selected(
    connection: Connection,
    contract: Contract,
    contracts: Mapping[str, Contract],
    run: Run,
    rows: Iterable[tuple[int, int]],
) -> dict[str, Any]:
    """Try the chosen (file, record) rows of a dataset again.

    Returns what became of them, and the first period for which one counts now.
    """
    from waybill.intake.replay import replay

    selected: dict[int, list[int]] = {}
    for file_id, record in rows:
        selected.setdefault(file_id, []).append(record)
    counts = dict.fromkeys(COUNTS, 0)
    admitted = []
    for file_id, records in sorted(selected.items()):
        for done in replay(connection, contract, contracts, run, file_id=file_id, records=records):
            for name in COUNTS:
                counts[name] += getattr(done.books, name)
            if done.books.rows_in > done.books.rejected:
                admitted.append(done.period)
    return {"counts": counts, "admitted_from": min(admitted).key if admitted else None}
