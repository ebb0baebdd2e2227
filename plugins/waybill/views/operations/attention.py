"""The list *Needs attention*: every open problem of a scope, the most severe and oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from psycopg import Connection

from waybill.ops.books import GapSummary
from waybill.ops.dead_letters import DeadLetters
from waybill.views.operations.anomalies import anomaly_problems
from waybill.views.operations.drift import drift_problems
from waybill.views.operations.file_problems import dead_letters, gone_files, rejected_files
from waybill.views.operations.freshness import Freshness
from waybill.views.operations.period_problems import (
    failed_checks,
    missing_files,
    outdated_reports,
    unbalanced_books,
    waiting_reports,
)
from waybill.views.operations.problem import Problem
from waybill.views.operations.row_problems import row_problems
from waybill.views.operations.runs import RunState, run_problems
from waybill.views.operations.scope import Scope

LISTED: Final = 100
"""How many problems are listed."""


def attention(
    connection: Connection,
    scope: Scope,
    runs: Sequence[RunState],
    letters: Iterable[DeadLetters],
    *,
    freshness: Iterable[Freshness],
    gaps: Sequence[GapSummary],
    balances: Iterable[dict[str, Any]],
) -> list[Problem]:
    """Return the open problems of a scope. The page shows `freshness`, `gaps` and `balances` below the list."""
    found = [
        *run_problems(connection, runs),
        *data_problems(connection, scope, runs, freshness=freshness, gaps=gaps, balances=balances),
        *dead_letters(letters),
        *row_problems(connection, scope),
    ]
    return sorted(found, key=lambda one: one.order)


def data_problems(
    connection: Connection,
    scope: Scope,
    runs: Sequence[RunState] = (),
    *,
    freshness: Iterable[Freshness],
    gaps: Sequence[GapSummary],
    balances: Iterable[dict[str, Any]],
) -> list[Problem]:
    """Return the open problems of files, periods and values. `runs` tell which reports can be approved now."""
    return [
        *rejected_files(connection, scope),
        *gone_files(connection, scope),
        *missing_files(scope, freshness, gaps),
        *unbalanced_books(balances),
        *failed_checks(connection, scope),
        *waiting_reports(connection, scope, runs),
        *outdated_reports(connection, scope, gaps),
        *anomaly_problems(connection, scope),
        *drift_problems(connection, scope),
    ]
