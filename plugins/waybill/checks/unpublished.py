"""Reports whose newest content is not published, and why. Only published content may leave the warehouse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection

from waybill.checks.approval import CHECK
from waybill.contracts import Contract
from waybill.contracts.locations import report_prefix
from waybill.period import Period

Key = tuple[str, str, date]
"""The key of a publication: (table of the report, cadence, first day)."""


@dataclass(frozen=True)
class Unpublished:
    """A period of a report whose newest content is not published."""

    contract: Contract
    period: Period
    is_held: bool
    """Whether it, or a report published together with it, needs an approval."""
    asks: bool
    """Whether it is the report that needs the approval."""
    built_at: datetime
    why: str
    """Like `not published: waiting for approval`."""
    next_step: str
    """What to do, as a sentence; empty if nothing."""

    @property
    def key(self) -> Key:
        """Return its key among the publications."""
        return (self.contract.table, self.period.cadence, self.period.start)


_UNPUBLISHED = """
select
  p.report, p.cadence, p.period, p.built_at, not coalesce(c.passed, true),
  (
    select split_part(r.message, ' refused to publish it', 1)
    from waybill.rejected_file as r
    where (r.dataset, r.period, r.etag) = (p.report, p.period, p.content_sha256)
    order by r.rejected_file_id desc
    limit 1
  )
from waybill.publication as p
left join waybill.check_result as c
  on (c.subject, c.cadence, c.period, c.check_name) = (p.report, p.cadence, p.period, %(check)s)
where p.report = any(%(reports)s) and p.exported_sha256 is distinct from p.content_sha256
order by p.period desc, p.report, p.cadence
"""


def unpublished(connection: Connection, contracts: Iterable[Contract]) -> dict[Key, Unpublished]:
    """Return the periods of these reports whose newest content is not published, newest first.

    `contracts` are all reports of one domain: reports whose periods end on the same day are published together.
    """
    by_table = {contract.table: contract for contract in contracts}
    rows = connection.execute(_UNPUBLISHED, {"check": CHECK, "reports": sorted(by_table)}).fetchall()
    found = [(by_table[table], Period.of(cadence, start), *rest) for table, cadence, start, *rest in rows]
    asking: dict[str, set[tuple[str, str]]] = {}
    for contract, period, _, failed, _ in found:
        if failed and contract.max_warnings is not None:
            asking.setdefault(report_prefix(period), set()).add((contract.name, period.cadence))
    listed = [
        _unpublished(contract, period, built_at, asking.get(report_prefix(period), set()), who if failed else None)
        for contract, period, built_at, failed, who in found
    ]
    return {one.key: one for one in listed}


def _unpublished(
    contract: Contract, period: Period, built_at: datetime, asking: set[tuple[str, str]], rejected_by: str | None
) -> Unpublished:
    """Return why a period is not published. `asking` has the reports for the same day that need an approval."""
    asks = (contract.name, period.cadence) in asking
    if asks and rejected_by:
        why = f"not published: rejected by {rejected_by}"
        next_step = "Correct the data, then run the period again."
    elif asks:
        why = "not published: waiting for approval"
        next_step = "Approve or reject it in Airflow under Browse → Required Actions."
    elif asking:
        why, next_step = f"not published: waiting with {', '.join(sorted({name for name, _ in asking}))}", ""
    else:
        why, next_step = "not published yet", ""
    return Unpublished(contract, period, bool(asking), asks, built_at, why, next_step)
