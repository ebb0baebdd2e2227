"""Reports whose newest content is not published, and why. Only published content may leave the warehouse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection

from waybill.checks.approval import Content, unpublished_content
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


def unpublished(connection: Connection, contracts: Iterable[Contract]) -> dict[Key, Unpublished]:
    """Return the periods of these reports whose newest content is not published, newest first.

    `contracts` are all reports of one domain: reports whose periods end on the same day are published together.
    """
    found = unpublished_content(connection, contracts)
    asking: dict[str, set[tuple[str, str]]] = {}
    for one in found:
        if one.needs_approval:
            asking.setdefault(report_prefix(one.period), set()).add((one.contract.name, one.period.cadence))
    return {one.key: _unpublished(one, asking.get(report_prefix(one.period), set())) for one in found}


def _unpublished(content: Content, asking: set[tuple[str, str]]) -> Unpublished:
    """Return why content is not published. `asking` has the reports for the same day that need an approval."""
    if content.needs_approval and content.rejected_by:
        why = f"not published: rejected by {content.rejected_by}"
        next_step = "Correct the data, then run the period again."
    elif content.needs_approval:
        why = "not published: waiting for approval"
        next_step = "Approve or reject it in Airflow under Browse → Required Actions."
    elif asking:
        why, next_step = f"not published: waiting with {', '.join(sorted({name for name, _ in asking}))}", ""
    else:
        why, next_step = "not published yet", ""
    return Unpublished(
        content.contract, content.period, bool(asking), content.needs_approval, content.built_at, why, next_step
    )
