"""Reports whose newest content is not published, and why: only what was published may leave the warehouse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

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
    """Whether it cannot be published before somebody approves it, or a report beside it."""
    asks: bool
    """Whether it is the one that somebody must approve."""
    why: str
    """Like `waits for approval, not published`."""

    @property
    def key(self) -> Key:
        """Its key among the publications."""
        return (self.contract.table, self.period.cadence, self.period.start)


_UNPUBLISHED = """
select
  p.report, p.cadence, p.period, not coalesce(c.passed, true),
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
    """The periods of these reports whose newest content is not published, newest first.

    `contracts` are all reports of one domain: those whose periods end on the same day are published together.
    """
    by_table = {contract.table: contract for contract in contracts}
    rows = connection.execute(_UNPUBLISHED, {"check": CHECK, "reports": sorted(by_table)}).fetchall()
    found = [(by_table[table], Period.of(cadence, start), failed, who) for table, cadence, start, failed, who in rows]
    asking: dict[str, set[tuple[str, str]]] = {}
    for contract, period, failed, _ in found:
        if failed and contract.max_warnings is not None:
            asking.setdefault(report_prefix(period), set()).add((contract.name, period.cadence))
    return {
        one.key: one
        for contract, period, failed, who in found
        if (one := _judged(contract, period, asking.get(report_prefix(period), set()), who if failed else None))
    }


def _judged(contract: Contract, period: Period, asking: set[tuple[str, str]], refused_by: str | None) -> Unpublished:
    """`asking` are the reports, by name and cadence, that need an approval among those that end on the same day."""
    asks = (contract.name, period.cadence) in asking
    if asks:
        why = f"refused by {refused_by}, not published" if refused_by else "waits for approval, not published"
    elif asking:
        why = f"not published: waits with {', '.join(sorted({name for name, _ in asking}))}"
    else:
        why = "not published yet"
    return Unpublished(contract, period, bool(asking), asks, why)
