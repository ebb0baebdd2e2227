"""The overview of data operations: what is to do, what arrived, what happened to it, and what is missing or failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import Connection, sql

from waybill.formatting import text
from waybill.intake import file_warnings
from waybill.intake.file_warnings import FileWarning
from waybill.ops.books import GapSummary
from waybill.ops.dead_letters import DeadLetters
from waybill.settings import settings
from waybill.views import catalog
from waybill.views.operations.attention import attention
from waybill.views.operations.balances import balances
from waybill.views.operations.checks import PERIODS_CHECKED, CheckTable, checks
from waybill.views.operations.figures import Figure, figures
from waybill.views.operations.freshness import Freshness, freshness
from waybill.views.operations.messages import AlertLine, alerts
from waybill.views.operations.missing import PERIODS_EXPECTED, missing
from waybill.views.operations.problem import Problem
from waybill.views.operations.rejections import rejections
from waybill.views.operations.runs import RunState
from waybill.views.operations.scope import FILES_OF_RUN, Scope
from waybill.warehouse.connection import one_row

WARNINGS = 40
"""How many warnings about files are listed."""
COUNTED = 10_000
"""How many of the newest files of each dataset are counted. It bounds the time of the query."""


@dataclass(frozen=True)
class Overview:
    """The sections of the page."""

    problems: list[Problem]
    figures: list[Figure]
    totals: Totals
    freshness: list[Freshness]
    balances: list[dict[str, Any]]
    rejections: list[dict[str, Any]]
    missing: list[GapSummary]
    warnings: tuple[list[FileWarning], int]
    checks: list[CheckTable]
    alerts: list[AlertLine]
    periods_checked: int = PERIODS_CHECKED
    periods_expected: int = PERIODS_EXPECTED


@catalog.unchanged()
def overview(
    connection: Connection,
    scope: Scope,
    now: datetime,
    runs: Sequence[RunState] = (),
    letters: Sequence[DeadLetters] = (),
) -> Overview:
    """Return the overview of a scope, with the newest runs of its DAGs and the dead letters of its domains."""
    sums, books, gaps = totals(connection, scope), balances(connection, scope), missing(connection, scope)
    fresh = freshness(connection, scope, now.astimezone(ZoneInfo(settings().timezone)).date())
    problems = attention(connection, scope, runs, letters, freshness=fresh, gaps=gaps, balances=books)
    rejected = f"{text(sums.rejected)}{' or more' if sums.is_cut else ''}"
    return Overview(
        problems=problems,
        figures=figures(problems, rejected, now),
        totals=sums,
        freshness=fresh,
        balances=books,
        rejections=rejections(connection, scope),
        missing=gaps,
        warnings=warnings(connection, scope),
        checks=checks(connection, scope),
        alerts=alerts(connection, scope, runs),
    )


@dataclass(frozen=True)
class Totals:
    """How many items there are in all; the page lists the newest of them."""

    books: int
    """Periods of datasets with files; for a run, those that it loaded files for."""
    rejected: int
    """Open rows in quarantine and, without a run, open events of streams."""
    failed: int
    """Failed results of checks."""
    rejections: int
    alerts: int
    is_cut: bool
    """Whether a dataset has more files than are counted."""


def totals(connection: Connection, scope: Scope) -> Totals:
    """Return the totals of a scope."""
    files = sql.SQL(_FILES_OF_RUN if scope.run_id else _FILES)
    counts = one_row(
        connection,
        sql.SQL(_TOTALS).format(files=files),
        {
            "datasets": scope.datasets,
            "subjects": scope.subjects,
            "dags": scope.dags,
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
  (select count(*) from (select distinct dataset, period from files where place <= %(counted)s) as books),
  (
    select coalesce(sum(rejected), 0)::bigint
    from (
      select rejected from files where place <= %(counted)s
      union all
      select rejected from waybill.stream_shard where dataset = any(%(datasets)s) and %(run_id)s::text is null
    ) as books
  ),
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


def warnings(connection: Connection, scope: Scope) -> tuple[list[FileWarning], int]:
    """Return (the warnings about the newest files, how many warnings there are in all)."""
    return file_warnings.newest(connection, scope.datasets, scope.run_id, WARNINGS)
