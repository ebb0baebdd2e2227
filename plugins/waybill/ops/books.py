"""The books of a domain, and whether every period that should be there is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.checks import approval
from waybill.contracts import Contract, load_domain
from waybill.derived.build import report_contracts
from waybill.derived.refresh import out_of_date
from waybill.intake.landing import list_objects, pending
from waybill.intake.ledger import COUNTS, sums_sql
from waybill.intake.withdrawal import LoadedFile, gone_files, noticed
from waybill.period import Period
from waybill.settings import settings

NOTHING = "nothing was loaded or built"
OUT_OF_DATE = "out of date: what it rests on has changed since it was built"
UNAPPROVED = "waits for an approval, or was refused one"
REFUSED, NOT_LOADED, CHECK_FAILED = "was refused: ", "landed and is not loaded: ", "check "
"""What a gap begins with that names a reason, a file or a check."""


@dataclass(frozen=True)
class Gap:
    """Why a period is not complete, and the dataset or report that it is about."""

    period: Period
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.period} {self.subject}: {self.what}"


@dataclass(frozen=True)
class Missing:
    """What a dataset or report lacks, in one period or several."""

    subject: str
    what: str
    periods: list[Period]
    """In order."""

    @property
    def which(self) -> str:
        """The periods; of many only the first and the last ones, and how many they are."""
        if len(self.periods) <= 6:
            return ", ".join(map(str, self.periods))
        first, last = (", ".join(map(str, some)) for some in (self.periods[:3], self.periods[-2:]))
        return f"{first}, …, {last} ({len(self.periods)})"

    def __str__(self) -> str:
        return f"{self.which} {self.subject}: {self.what}"


def summed_up(found: Iterable[Gap]) -> list[Missing]:
    """The gaps by what is lacking, in order of dataset or report."""
    by_subject: dict[tuple[str, str], list[Period]] = {}
    for gap in sorted(found, key=lambda gap: (gap.period.cadence, gap.period.start)):
        by_subject.setdefault((gap.subject, gap.what), []).append(gap.period)
    return [Missing(subject, what, periods) for (subject, what), periods in sorted(by_subject.items())]


def balances(connection: Connection, domain: str, periods: Iterable[Period]) -> list[dict[str, Any]]:
    """Per period and dataset the files that count and the sum of their books, in order of period."""
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


def incomplete(connection: Connection, s3: Any, domain: str, periods: Sequence[Period]) -> list[Gap]:
    """All that keeps consecutive periods of a domain from being complete, whatever the scheduler says.

    Besides `known_gaps` these are files that landed and are not loaded, and loaded files that are gone from the bucket.
    Objects whose folders name no period are among them whichever periods are asked for, each in the period in which it
    landed. `s3` is a boto3 client.
    """
    datasets = load_domain(domain)
    found = known_gaps(connection, domain, periods)
    for contract in datasets.values():
        # A file that lands at any time may have another period in the ledger: that of its first version.
        within = (None, None) if contract.lands_any_time else (periods[0], periods[-1])
        listing = list_objects(s3, settings().raw_bucket, contract, *within)
        found += _gone(contract, gone_files(connection, contract, listing, periods[0], periods[-1]))
        found += [Gap(one.file.period, contract.table, f"{REFUSED}{one.message}") for one in listing.misplaced]
        landed = [file for file in listing.landed if periods[0] <= file.period <= periods[-1]]
        for file in pending(connection, contract, landed):
            refusal = connection.execute(
                """
                select message
                from waybill.rejected_file
                where object_key = %s and etag = %s
                order by rejected_file_id desc
                limit 1
                """,
                (file.key, file.etag),
            ).fetchone()
            said = f"{REFUSED}{refusal[0]}" if refusal else f"{NOT_LOADED}{file.uri}"
            found.append(Gap(file.period, contract.table, said))
    return found


def warned_checks(connection: Connection, domain: str, periods: Sequence[Period]) -> list[Missing]:
    """The checks of severity warning that do not hold for consecutive periods of a domain, with what they observed."""
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
    return summed_up(gap for gap in found if (gap.subject, gap.period) in wanted)


def noticed_gaps(connection: Connection, domain: str) -> list[Gap]:
    """The loaded files of a domain that runs noticed to be gone from the bucket, of any period."""
    datasets = {contract.table: contract for contract in load_domain(domain).values()}
    files = noticed(connection, domain)
    return [gap for table in datasets for gap in _gone(datasets[table], [f for f in files if f.dataset == table])]


def _gone(contract: Contract, files: Iterable[LoadedFile]) -> list[Gap]:
    return [Gap(Period.of(contract.cadence, file.period), contract.table, file.advice) for file in files]


def known_gaps(connection: Connection, domain: str, periods: Sequence[Period]) -> list[Gap]:
    """What the warehouse knows to be missing or out of date in consecutive periods of a domain."""
    datasets = load_domain(domain)
    expected = expected_periods(connection, datasets.values(), periods)
    found = gaps(connection, [*datasets.values(), *report_contracts(domain).values()], expected)
    there = {(gap.subject, gap.period) for gap in found}
    return found + [
        Gap(period, table, OUT_OF_DATE)
        for table, period in out_of_date(connection, domain, periods)
        if (table, period) not in there
    ]


def expected_periods(connection: Connection, datasets: Iterable[Contract], periods: Sequence[Period]) -> list[Period]:
    """Those of the periods for which there must be something: where files land at any time, those with a file."""
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
    """What is missing for the periods to be complete: read from the warehouse, whatever the scheduler says.

    Looks for a file of every dataset in each period (unless its files land at any time), for every report in each
    period of its own cadences that holds the last day of one of them, and for checks that failed.
    """
    # No period waits for a file that lands at any time.
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
    """Each table with each period of its own cadences that holds the last day of one of the periods."""
    return {
        (contract.table, Period.of(cadence, period.end - timedelta(days=1)))
        for contract in contracts
        for cadence in contract.cadences
        for period in periods
    }


def disagreements(connection: Connection, answer_key: dict[str, Any]) -> list[str]:
    """Where the books of the files differ from an answer key, which knows what was planted; empty if nowhere.

    Only files in the ledger are compared, with their books before any replay. `rejected` is compared
    record by record with the reasons, which a replay leaves as they were when it admits the row.
    """
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            """
            select
              f.*,
              coalesce(jsonb_agg(jsonb_build_object(
                'record', q.record, 'reasons', q.reasons, 'resolved_as', q.resolved_as
              ) order by q.record) filter (where q.record is not null), '[]') as rejects
            from waybill.load_file as f
            left join waybill.quarantine as q on f.file_id = q.file_id
            where f.status = 'loaded'
            group by f.file_id
            """
        )
        .fetchall()
    )
    files = {row["object_key"]: row for row in rows}
    found = []
    for expected in answer_key["files"]:
        file = files.get(expected["key"])
        if file is None:
            continue
        for reject in file["rejects"]:
            if reject["resolved_as"]:
                file["rejected"] += 1
                file[reject["resolved_as"]] -= 1
        for count in COUNTS:
            wanted = len(expected[count]) if count == "rejected" else expected[count]
            if file[count] != wanted:
                found.append(f"{expected['key']}: {count} is {file[count]}, planted were {wanted}")
        reasons = {reject["record"]: sorted(reject["reasons"]) for reject in file["rejects"]}
        if reasons != {entry["record"]: sorted(entry["reasons"]) for entry in expected["rejected"]}:
            found.append(f"{expected['key']}: the rejected records or their reasons differ from the planted ones")
    return found
