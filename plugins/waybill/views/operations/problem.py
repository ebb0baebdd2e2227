"""An open problem of data operations, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

Severity = Literal["error", "warning", "notice"]
"""`error`: data is missing or wrong. `warning`: someone must decide. `notice`: rows wait for a correction."""
Subject = Literal["runs", "files", "datasets", "periods", "checks", "books", "reports", "rows"]
"""What a problem is about. The figures on top of the page link to the first problem of their subject."""

_RANK: Final[Mapping[Severity, int]] = {"error": 0, "warning": 1, "notice": 2}
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_SENTENCE: Final = 300


@dataclass(frozen=True)
class Action:
    """A button or a link beside a problem."""

    kind: Literal["page", "airflow", "request", "command"]
    label: str
    target: str
    """The address of a page, a path in Airflow, a route that takes a JSON body, or a command to copy."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """The JSON body of a request."""
    dag: str = ""
    """The DAG that users must be allowed to run for a request."""
    question: str = ""
    """What a person confirms before a request that cannot be undone."""


@dataclass(frozen=True)
class Problem:
    """One line of the list *To do*."""

    severity: Severity
    subject: Subject
    what: str
    since: datetime | None
    """Since when the warehouse or Airflow knows it; None if neither does."""
    cause: str
    """One sentence."""
    actions: tuple[Action, ...]
    number: int = 1
    """How many files it is about."""

    @property
    def order(self) -> tuple[int, datetime, str]:
        """The place of the problem in the list: the most severe first, then the oldest."""
        return _RANK[self.severity], self.since or _LAST, self.what


def sentence(text: str) -> str:
    """Return the first line of a text, cut after 300 characters, with a final stop."""
    line = next(iter(text.strip().splitlines()), "").removesuffix("Reasons:").strip()
    if len(line) > _SENTENCE:
        return f"{line[:_SENTENCE].rstrip()} …"
    return line if not line or line.endswith((".", "!", "?")) else f"{line}."


def runbook(dag_id: str) -> Action:
    """Return the link to the page of a DAG, whose documentation says what to do when it fails."""
    return Action("airflow", "Runbook", f"dags/{dag_id}")


def run_page(dag_id: str, run_id: str) -> Action:
    """Return the link to the page of a run in this view."""
    return Action("page", "This run", "index.html", {"dag_id": dag_id, "run_id": run_id})
