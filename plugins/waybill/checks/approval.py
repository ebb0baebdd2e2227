"""Reports that wait for an approval before they are published: more of their checks warn than the contract lets.

How many of its warnings nobody has approved is recorded with a report's checks when it is built. Content that was
published already has none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from psycopg import Connection

from waybill.checks import quality
from waybill.contracts import Check, Contract
from waybill.period import Period
from waybill.run import Run

log = logging.getLogger(__name__)

CHECK = "unapproved_warnings"


@dataclass(frozen=True)
class Held:
    """A period of a report that waits for an approval."""

    contract: Contract
    period: Period
    content_sha256: str
    run_id: str | None
    """The run that built it, and asks."""
    warnings: tuple[str, ...]
    """What its checks warn of."""

    @property
    def key(self) -> tuple[str, str, date]:
        """Its key among the publications."""
        return (self.contract.table, self.period.cadence, self.period.start)

    def __str__(self) -> str:
        return f"{self.contract.table} {self.period}"


def judge(
    connection: Connection,
    contract: Contract,
    period: Period,
    results: Iterable[quality.CheckResult],
    content_sha256: str,
) -> list[quality.CheckResult]:
    """The check that a report which was just built may be published unasked; none without a limit in its contract."""
    if contract.max_warnings is None:
        return []
    warned = sum(result.check.severity == "warning" and not result.passed for result in results)
    if warned > contract.max_warnings:
        published = connection.execute(
            "select from waybill.publication where (report, cadence, period, exported_sha256) = (%s, %s, %s, %s)",
            (contract.table, period.cadence, period.start, content_sha256),
        ).fetchone()
        warned = warned if published is None else 0
    check = Check(
        name=CHECK,
        description="Warnings of unpublished content; with more than the limit, somebody must approve it.",
        query=None,
        operator="<=",
        threshold=contract.max_warnings,
        severity="error",
    )
    return [quality.CheckResult(contract.table, check, period, Decimal(warned))]


def held(connection: Connection, contracts: Iterable[Contract]) -> list[Held]:
    """The periods of reports that wait for an approval, or were refused one."""
    limited = {contract.table: contract for contract in contracts if contract.max_warnings is not None}
    if not limited:
        return []
    rows = connection.execute(
        """
        select
          p.report, p.cadence, p.period, p.content_sha256, c.run_id,
          array(
            select format('%%s is %%s, must be %%s %%s', w.check_name, w.observed, w.operator, w.threshold)
            from waybill.check_result as w
            where (w.subject, w.cadence, w.period, w.severity) = (c.subject, c.cadence, c.period, 'warning')
              and not w.passed
            order by w.check_name
          )
        from waybill.check_result as c
        inner join waybill.publication as p on (p.report, p.cadence, p.period) = (c.subject, c.cadence, c.period)
        where c.subject = any(%(reports)s) and c.check_name = %(check)s and not c.passed
        order by p.period, p.report, p.cadence
        """,
        {"reports": sorted(limited), "check": CHECK},
    ).fetchall()
    return [
        Held(limited[report], Period.of(cadence, start), content, run_id, tuple(warnings))
        for report, cadence, start, content, run_id, warnings in rows
    ]


def held_by(connection: Connection, contracts: Iterable[Contract], run: Run) -> list[Held]:
    """Those of them that a run has built: it is the one to ask."""
    return [one for one in held(connection, contracts) if one.run_id == run.run_id]


def question(waiting: Sequence[Held]) -> str:
    """What is asked, in Markdown: each report with what its checks warn of, and what these look for."""
    lines = ["More of their checks warn than their contracts let. Approve to publish what they are part of.", ""]
    for one in waiting:
        lines.append(f"* `{one}`")
        looks_for = {check.name: check.description for check in one.contract.checks}
        lines += [f"  * {warning}: {looks_for.get(warning.partition(' ')[0], '')}" for warning in one.warnings]
    return "\n".join(lines)


def approve(connection: Connection, waiting: Iterable[Held], who: str) -> None:
    """Let these be published; content that was built anew meanwhile still waits."""
    for one in waiting:
        connection.execute(
            "update waybill.check_result as c set observed = 0, passed = true, checked_at = now() "
            "from waybill.publication as p "
            "where (p.report, p.cadence, p.period, p.content_sha256) = (%s, %s, %s, %s) "
            "and (c.subject, c.cadence, c.period, c.check_name) = (p.report, p.cadence, p.period, %s)",
            (*one.key, one.content_sha256, CHECK),
        )
        log.info("%s was approved by %s", one, who)


def refuse(connection: Connection, waiting: Sequence[Held], run: Run, who: str) -> str:
    """Record that these must not be published; returns what the run is to say when it fails."""
    for one in waiting:
        connection.execute(
            "insert into waybill.rejected_file (dataset, period, object_key, etag, run_id, message) "
            "values (%s, %s, %s, %s, %s, %s)",
            (
                one.contract.table,
                one.period.start,
                str(one),
                one.content_sha256,
                run.run_id,
                f"{who} refused to publish it: {'; '.join(one.warnings)}",
            ),
        )
    return (
        f"{who} refused to publish {', '.join(map(str, waiting))}. Mend the files or the contract and run the period "
        "again, or clear this task to be asked again"
    )
