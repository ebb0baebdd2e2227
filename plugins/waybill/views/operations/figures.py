"""The figures on top of data operations: how many problems of each subject are open, how severe, and how old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from waybill.formatting import count
from waybill.views.operations.problem import Problem, Severity, Subject

_STATES: Final[Mapping[Severity, str]] = {"error": "bad", "warning": "warned", "notice": "noted"}
_NAMES: Final[Mapping[Subject, tuple[str, str]]] = {
    "runs": ("Failed or late runs", "alerts"),
    "files": ("Rejected files", "missing"),
    "datasets": ("Late datasets", "freshness"),
    "books": ("Books", "books"),
    "checks": ("Failed checks", "checks"),
    "reports": ("Approvals", "missing"),
    "periods": ("Outdated reports", "missing"),
    "rows": ("Rejected rows", "attention"),
}
"""The name of the figure of each subject, and the section of the page that it leads to without a problem."""


@dataclass(frozen=True)
class Figure:
    """A figure: the problems of a subject."""

    subject: Subject
    name: str
    value: str
    state: str
    """`good`, `noted`, `warned` or `bad`."""
    anchor: str
    """The id of its first line in the list, or of the section about its subject."""
    age: str
    """How old its oldest problem is; empty without one."""


def figures(problems: Sequence[Problem], rejected: str, now: datetime) -> list[Figure]:
    """Return the figure of each subject. `rejected` is the number of rejected rows as text."""
    found = []
    for subject, (name, section) in _NAMES.items():
        own = [problem for problem in problems if problem.subject == subject or (subject == "runs" and problem.stopped)]
        since = min((problem.since for problem in own if problem.since), default=None)
        value = str(len(own))
        if subject == "books":
            value = f"{len(own)} unbalanced" if own else "balanced"
        elif subject == "rows":
            value = rejected
        found.append(
            Figure(
                subject,
                name,
                value,
                _STATES[own[0].severity] if own else "good",
                f"attention-{subject}" if own else section,
                age(since, now) if since else "",
            )
        )
    return found


def age(since: datetime, now: datetime) -> str:
    """Return how long ago an instant was: `5 minutes`, `3 hours`, `12 days`."""
    passed = max(now - since, timedelta())
    if passed >= timedelta(days=2):
        return count(passed.days, "day")
    hours = int(passed.total_seconds() // 3600)
    return count(hours, "hour") if hours else count(int(passed.total_seconds() // 60), "minute")
