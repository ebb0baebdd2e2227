"""A warehouse with real problems, and what data operations say about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from support.landing import MONTH, TRAFFIC, Landing, csv_body, traffic_rows
from support.messaging_months import RUN, database, month
from waybill.contracts import load_domain
from waybill.contracts.locations import report_files
from waybill.derived.build import build_from_sql, known_files, report_contracts
from waybill.run import Run
from waybill.settings import settings
from waybill.views.operations.overview import overview
from waybill.views.operations.problem import Problem
from waybill.views.operations.runs import RunState, TaskState
from waybill.views.operations.scope import Scope
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
"""The end of March plus half a day: no file of April is late."""
DAG = "messaging_monthly"
GOOD = traffic_rows(200)
SHARES = report_contracts("messaging")["segment_share"]


@pytest.fixture
def landed(
    stack: Stack,
    stack_environment: dict[str, str],
    landing_dsn: str,
    landing_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Landing]:
    """A warehouse and a bucket of the test's own. Every statement commits, as in a run."""
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", landing_bucket)
    settings.cache_clear()
    with database(stack, landing_dsn) as dsn, connect(dsn) as connection:
        found = Landing(connection, stack.s3(), landing_bucket, load_domain("messaging"))
        yield found
        found.clear()
    settings.cache_clear()


def problems(landed: Landing, subject: str, *runs: RunState, now: datetime = NOW) -> list[Problem]:
    """Return the problems of a subject that the page about messaging lists."""
    found = overview(landed.connection, Scope(("messaging",)), now, runs).problems
    return [problem for problem in found if problem.subject == subject]


def whats(found: Sequence[Problem]) -> list[str]:
    return [problem.what for problem in found]


def reader_of(stack: Stack, landed: Landing) -> str:
    """Return the address of a warehouse for the role of the views."""
    return stack.database_url("waybill_reader", landed.connection.info.dbname)


def writer_of(stack: Stack, landed: Landing) -> str:
    return stack.database_url("waybill_etl", landed.connection.info.dbname)


def with_values(rows: Sequence[str], column: int, value: str) -> list[str]:
    """Return rows with another value in a column."""
    return [",".join([*fields[:column], value, *fields[column + 1 :]]) for fields in (row.split(",") for row in rows)]


def load_unknown_customer(landed: Landing, rows: int = 2) -> str:
    """Load a file of which these rows refer to customer 10, which has not arrived."""
    return landed.load("traffic", csv_body(TRAFFIC, [*with_values(GOOD[:rows], 3, "10"), *GOOD[rows:]]))


def load_late_rows(landed: Landing) -> str:
    """Load a file of which two rows are more than twelve months old."""
    late = [*with_values(GOOD[:1], 1, "2025-02-03"), *with_values(GOOD[1:2], 1, "2025-02-04")]
    return landed.load("traffic", csv_body(TRAFFIC, [*late, *GOOD[2:]]))


def load_and_delete(landed: Landing) -> str:
    """Load a file, delete its object, and let a run notice that."""
    key = landed.load("traffic", csv_body(TRAFFIC, GOOD))
    landed.s3.delete_object(Bucket=landed.bucket, Key=key)
    landed.ingest("traffic", MONTH)
    return key


def run_state(state: str, run_id: str = "r1", period: str | None = MONTH, hour: int = 9, *tasks: TaskState) -> RunState:
    """Return a run that was queued at an hour of NOW's day."""
    began = NOW.replace(hour=hour)
    ended = began + timedelta(minutes=5) if state in ("success", "failed") else None
    return RunState(DAG, run_id, state, period, began, began, ended, tasks)


def build_shares(landed: Landing, observed: int, run: Run = RUN) -> None:
    """Build the segments of March, with one check of severity warning that fails above 1."""
    warning = replace(SHARES.checks[-1], query=f"select {observed}", operator="<=", threshold=1, severity="warning")
    text = next(path for path in report_files("messaging") if path.stem == "segment_share").read_text()
    contract = replace(SHARES, checks=(warning,), max_warnings=0)
    inputs = partial(known_files, landed.connection, "messaging", month(MONTH), text)
    build_from_sql(landed.connection, contract, inputs, text, month(MONTH), run)
