"""The reconciliation (books) of a domain: the sums for each period, and the gaps that make a period incomplete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.checks import approval
from waybill.contracts import Contract, load_domain
from waybill.contracts.domains import load_manifest
from waybill.derived.build import report_contracts
from waybill.derived.refresh import out_of_date
from waybill.formatting import some_of
from waybill.intake.ledger import sums_sql
from waybill.intake.withdrawal import LoadedFile, noticed
from waybill.ops.bucket_state import bucket_state
from waybill.period import Period

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOTHING = "nothing was loaded or built"
OUT_OF_DATE = "out of date: its inputs have changed since it was built"
UNAPPROVED = "waits for approval, or was not approved"
REJECTED, NOT_LOADED, CHECK_FAILED = "rejected: ", "landed, not loaded: ", "check "
"""Prefixes of gaps that go on with a reason, a file or a check."""


@dataclass(frozen=True)
class Gap:
    """One reason why a period of a dataset or report is incomplete."""

    period: Period
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.period} {self.subject}: {self.what}"


@dataclass(frozen=True)
class GapSummary:
    """One reason why a dataset or report is incomplete, with all its periods."""

    subject: str
    what: str
    periods: list[Period]
    """In ascending order."""

    @property
    def listed_periods(self) -> str:
        """The periods; of more than six, only the first three, the last two and their number."""
        return some_of([*map(str, self.periods)])

    def __str__(self) -> str:
        return f"{self.listed_periods} {self.subject}: {self.what}"


def summarise(found: Iterable[Gap]) -> list[GapSummary]:
    """Group gaps by dataset or report and reason, in this order."""
    by_subject: dict[tuple[str, str], list[Period]] = {}
    for gap in sorted(found, key=lambda gap: (gap.period.cadence, gap.period.start)):
        by_subject.setdefault((gap.subject, gap.what), []).append(gap.period)
    return [GapSummary(subject, what, periods) for (subject, what), periods in sorted(by_subject.items())]


def balances(connection: Connection, domain: str, periods: Iterable[Period]) -> list[dict[str, Any]]:
    """Return the number of files that count and the sums of their books, by period and dataset."""
    starts = [period.start for period in periods]
    return (
        connection.cursor(row_factory=dict_row)
        .execute(
            sql.SQL(
                """
                select f.period, split_part(f.dataset, '.', 2) as dataset, count(*) as files, {sums}
                from waybill.load_file as f
                where f.status = 'loaded' and split_part(f.dataset, '.', 1) = %s and f.period = any(%s)
                group by f.period, f.dataset
                order by f.period, f.dataset
                """
            ).format(sums=sums_sql("f")),
            (domain, starts),
        )
        .fetchall()
    )


def incomplete(connection: Connection, s3: S3Client, domain: str, periods: Sequence[Period]) -> list[Gap]:
    """Return every gap in consecutive periods of a domain, independently of the scheduler.

    Adds to `known_gaps` the files that landed and are not loaded, and the loaded files that are gone from the bucket.
    Objects whose folders name no period are included, with the period in which they landed, unless they are below the
    folder of another period.
    """
    datasets = load_domain(domain)
    found = known_gaps(connection, domain, periods)
    for contract in datasets.values():
        state = bucket_state(connection, s3, contract, periods)
        found += _gone(contract, state.gone)
        found += [Gap(one.file.period, contract.table, f"{REJECTED}{one.message}") for one in state.misplaced]
        for file in state.todo:
            rejection = state.rejection(file)
            what = f"{REJECTED}{rejection.message}" if rejection else f"{NOT_LOADED}{file.uri}"
            found.append(Gap(file.period, contract.table, what))
    return found


def failed_warnings(connection: Connection, domain: str, periods: Sequence[Period]) -> list[GapSummary]:
    """Return the failed checks of severity warning in consecutive periods of a domain, with their observed values."""
    contracts = [*load_domain(domain).values(), *report_contracts(domain).values()]
    wanted = _wanted(contracts, periods)
    rows = connection.execute(
        "select subject, cadence, period, "
        "format('check %%s is %%s, must be %%s %%s', check_name, observed, operator, threshold) "
        "from waybill.check_result "
        "where not passed and severity = 'warning' and subject = any(%s) and period = any(%s)",
        (sorted({name for name, _ in wanted}), sorted({period.start for _, period in wanted})),
    ).fetchall()
    found = [Gap(Period.of(cadence, start), subject, what) for subject, cadence, start, what in rows]
    return summarise(gap for gap in found if (gap.subject, gap.period) in wanted)


def noticed_gaps(connection: Connection, domain: str) -> list[Gap]:
    """Return a gap for each loaded file of a domain that a run found to be gone from the bucket, of any period."""
    datasets = {contract.table: contract for contract in load_domain(domain).values()}
    files = noticed(connection, domain)
    return [gap for table in datasets for gap in _gone(datasets[table], [f for f in files if f.dataset == table])]


def _gone(contract: Contract, files: Iterable[LoadedFile]) -> list[Gap]:
    return [Gap(Period.of(contract.cadence, file.period), contract.table, file.advice) for file in files]


def known_gaps(connection: Connection, domain: str, periods: Sequence[Period]) -> list[Gap]:
    """Return what is missing or out of date in consecutive periods of a domain, as far as the warehouse knows."""
    datasets = load_domain(domain)
    expected = expected_periods(connection, datasets.values(), periods)
    found = gaps(connection, [*datasets.values(), *report_contracts(domain).values()], expected)
    stale = out_of_date(connection, domain, periods)
    if load_manifest(domain).semantics == "current" and any(one.lands_any_time for one in datasets.values()):
        # A report of a dataset of which no file arrived is not built, and not missing.
        found = [gap for gap in found if gap.what != NOTHING or (gap.subject, gap.period) in stale]
    there = {(gap.subject, gap.period) for gap in found}
    return found + [Gap(period, table, OUT_OF_DATE) for table, period in stale if (table, period) not in there]


def expected_periods(connection: Connection, datasets: Iterable[Contract], periods: Sequence[Period]) -> list[Period]:
    """Return the periods that must have data: all of them, or those with a file if files land at any time."""
    anytime = [contract.table for contract in datasets if contract.lands_any_time]
    if not anytime:
        return [*periods]
    rows = connection.execute(
        "select p.start from unnest(%s::date[]) as p (start) cross join unnest(%s::text[]) as d (dataset) "
        "cross join lateral (select from waybill.load_file as f "
        "where (f.dataset, f.period, f.status) = (d.dataset, p.start, 'loaded') limit 1) as f",
        ([period.start for period in periods], anytime),
    ).fetchall()
    days = {day for (day,) in rows}
    return [period for period in periods if period.start in days]


def gaps(connection: Connection, contracts: Iterable[Contract], periods: Sequence[Period]) -> list[Gap]:
    """Return missing files, missing reports and failed checks of consecutive periods, read from the warehouse.

    Every dataset needs a file in each period, unless its files land at any time. Every report needs rows for each
    period of its own cadences that contains the last day of one of the periods.
    """
    # A file that lands at any time is expected in no period.
    wanted = _wanted((contract for contract in contracts if not contract.lands_any_time), periods)
    starts = sorted({period.start for _, period in wanted})
    found = connection.execute(
        "select report, cadence, period from waybill.publication where report = any(%(names)s) "
        "and period = any(%(starts)s) "
        "union all select d.dataset, null, p.start "
        "from unnest(%(names)s::text[]) as d (dataset) cross join unnest(%(starts)s::date[]) as p (start) "
        "cross join lateral (select from waybill.load_file as f "  # one look at the index for each, however many files
        "where (f.dataset, f.period, f.status) = (d.dataset, p.start, 'loaded') limit 1) as f",
        {"names": sorted({name for name, _ in wanted}), "starts": starts},
    ).fetchall()
    there = {(name, cadence, start) for name, cadence, start in found}
    missing = [
        Gap(period, name, NOTHING)
        for name, period in sorted(wanted)
        if not there & {(name, period.cadence, period.start), (name, None, period.start)}
    ]
    failed = connection.execute(
        "select subject, cadence, period, check_name from waybill.check_result "
        "where not passed and severity = 'error' and subject = any(%s) and period = any(%s)",
        (sorted({name for name, _ in wanted}), starts),
    ).fetchall()
    return missing + [
        Gap(
            Period.of(cadence, start),
            subject,
            UNAPPROVED if check == approval.CHECK else f"{CHECK_FAILED}{check} failed",
        )
        for subject, cadence, start, check in failed
    ]


def _wanted(contracts: Iterable[Contract], periods: Sequence[Period]) -> set[tuple[str, Period]]:
    """Pair each table with the periods of its own cadences that contain the last day of one of the periods."""
    return {
        (contract.table, Period.of(cadence, period.end - timedelta(days=1)))
        for contract in contracts
        for cadence in contract.cadences
        for period in periods
    }
