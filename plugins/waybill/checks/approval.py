"""Reports that need an approval before they are published, because more checks warn than `maxWarnings` allows.

Building a report records the number of its unapproved warnings as one of its checks. Content that was published before
has no unapproved warnings.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from psycopg import Connection

from waybill.checks import quality
from waybill.contracts import Check, Contract
from waybill.period import Period
from waybill.run import Run

log = logging.getLogger(__name__)

CHECK = "unapproved_warnings"
DESCRIPTION = "Warnings of unpublished content. Content that exceeds the limit needs an approval."


@dataclass(frozen=True)
class Content:
    """The newest content of a report's period, which is not published."""

    contract: Contract
    period: Period
    built_at: datetime
    content_sha256: str
    run_id: str | None
    """The run that built the content, and asks for the approval."""
    needs_approval: bool
    warnings: tuple[str, ...]
    """The checks that warn, if it needs an approval."""
    rejected_by: str | None
    """Who rejected it, if it needs an approval."""

    @property
    def key(self) -> tuple[str, str, date]:
        """Return its key among the publications."""
        return (self.contract.table, self.period.cadence, self.period.start)

    def __str__(self) -> str:
        return f"{self.contract.table} {self.period}"


def check_warnings(
    connection: Connection,
    contract: Contract,
    period: Period,
    results: Iterable[quality.CheckResult],
    content_sha256: str,
) -> list[quality.CheckResult]:
    """Return the check that a report that was just built needs no approval; none if its contract has no limit."""
    if contract.max_warnings is None:
        return []
    warned = sum(result.check.severity == "warning" and not result.passed for result in results)
    if warned > contract.max_warnings:
        published = connection.execute(
            """
            select
            from waybill.publication
            where (report, cadence, period, exported_sha256) = (%s, %s, %s, %s)
            """,
            (contract.table, period.cadence, period.start, content_sha256),
        ).fetchone()
        warned = warned if published is None else 0
    check = Check(
        name=CHECK,
        description=DESCRIPTION,
        query=None,
        operator="<=",
        threshold=contract.max_warnings,
        severity="error",
    )
    return [quality.CheckResult(contract.table, check, period, Decimal(warned))]


_UNPUBLISHED = """
select
  p.report, p.cadence, p.period, p.built_at, p.content_sha256, c.run_id, not coalesce(c.passed, true),
  case when not c.passed then array(
    select format('%%s is %%s, must be %%s %%s', w.check_name, w.observed, w.operator, w.threshold)
    from waybill.check_result as w
    where (w.subject, w.cadence, w.period, w.severity) = (c.subject, c.cadence, c.period, 'warning')
      and not w.passed
    order by w.check_name
  ) else '{}' end,
  case when not c.passed then (
    select split_part(r.message, ' refused to publish it', 1)
    from waybill.rejected_file as r
    where (r.dataset, r.period, r.etag) = (p.report, p.period, p.content_sha256)
    order by r.rejected_file_id desc
    limit 1
  ) end
from waybill.publication as p
left join waybill.check_result as c
  on (c.subject, c.cadence, c.period, c.check_name) = (p.report, p.cadence, p.period, %(check)s)
where p.report = any(%(reports)s) and p.exported_sha256 is distinct from p.content_sha256
order by p.period desc, p.report, p.cadence
"""


def unpublished_content(connection: Connection, contracts: Iterable[Contract]) -> list[Content]:
    """Return the newest content of these reports that is not published, newest period first."""
    by_table = {contract.table: contract for contract in contracts}
    rows = connection.execute(_UNPUBLISHED, {"check": CHECK, "reports": sorted(by_table)}).fetchall()
    return [
        Content(
            by_table[report],
            Period.of(cadence, start),
            built_at,
            content_sha256,
            run_id,
            failed and by_table[report].max_warnings is not None,
            tuple(warnings),
            rejected_by,
        )
        for report, cadence, start, built_at, content_sha256, run_id, failed, warnings, rejected_by in rows
    ]


def held(connection: Connection, contracts: Iterable[Contract]) -> list[Content]:
    """Return the content of these reports that waits for an approval or was rejected, oldest period first."""
    limited = [contract for contract in contracts if contract.max_warnings is not None]
    found = [one for one in unpublished_content(connection, limited) if one.needs_approval] if limited else []
    return sorted(found, key=lambda one: (one.period.start, one.contract.table, one.period.cadence))


def held_by(connection: Connection, contracts: Iterable[Contract], run: Run) -> list[Content]:
    """Return the content that waits for an approval and was built by this run, which asks for the approval."""
    return [one for one in held(connection, contracts) if one.run_id == run.run_id]


def question(waiting: Sequence[Content]) -> str:
    """Return the question in Markdown: each report with its warnings and the descriptions of these checks."""
    lines = ["These reports exceed `maxWarnings`. Approve to publish them.", ""]
    for one in waiting:
        lines.append(f"* `{one}`")
        descriptions = {check.name: check.description for check in one.contract.checks}
        lines += [f"  * {warning}: {descriptions.get(warning.partition(' ')[0], '')}" for warning in one.warnings]
    return "\n".join(lines)


def approve(connection: Connection, waiting: Iterable[Content], who: str) -> None:
    """Allow this content to be published. Content that was built since then still waits."""
    for one in waiting:
        connection.execute(
            """
            update waybill.check_result as c
            set observed = 0, passed = true, checked_at = now()
            from waybill.publication as p
            where (p.report, p.cadence, p.period, p.content_sha256) = (%s, %s, %s, %s)
              and (c.subject, c.cadence, c.period, c.check_name) = (p.report, p.cadence, p.period, %s)
            """,
            (*one.key, one.content_sha256, CHECK),
        )
        log.info("%s approved %s", who, one)


def reject(connection: Connection, waiting: Sequence[Content], run: Run, who: str) -> str:
    """Record that this content must not be published. Return the message with which the run fails."""
    for one in waiting:
        connection.execute(
            """
            insert into waybill.rejected_file (dataset, period, object_key, etag, run_id, message)
            values (%s, %s, %s, %s, %s, %s)
            """,
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
        f"{who} refused to publish {', '.join(map(str, waiting))}. Correct the files or the contract and run the "
        "period again, or clear this task to be asked again"
    )
