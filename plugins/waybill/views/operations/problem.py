"""An open problem of data operations, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from waybill.ops.incidents import Incident
from waybill.settings import settings

Severity = Literal["error", "warning", "notice"]
"""`error`: data is missing or wrong. `warning`: someone must decide. `notice`: rows wait for a correction."""
Subject = Literal[
    "runs",
    "files",
    "datasets",
    "periods",
    "checks",
    "books",
    "reports",
    "rows",
    "messages",
    "anomalies",
    "columns",
    "streams",
]
"""What a problem is about. The figures on top of the page link to the first problem of their subject."""
Topic = Literal[
    "failure",
    "deadline",
    "approval",
    "warning",
    "anomaly",
    "drift",
    "personal",
    "retention",
    "retry",
    "file",
    "gone",
    "dead letters",
    "missing",
    "books",
    "check",
    "outdated",
    "stream",
    "replay",
    "late",
    "rows",
]
"""What a section of the documents is about: the kind of a message, a problem or an incident."""

_RANK: Final[Mapping[Severity, int]] = {"error": 0, "warning": 1, "notice": 2}
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_SENTENCE: Final = 300


@dataclass(frozen=True)
class Action:
    """A button or a link beside a problem."""

    kind: Literal["page", "airflow", "document", "request", "answer", "command"]
    label: str
    target: str
    """The address of a page, a path in Airflow, the address of a document, a route that takes a JSON body, a route of
    Airflow's API that takes the answer to a required action, or a command to copy."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """The JSON body of a request or answer."""
    dag: str = ""
    """The DAG that users must be allowed to run for a request, and whose required actions they may answer."""
    question: str = ""
    """What a person confirms before a request that cannot be undone."""
    result: str = ""
    """What the page tells after an answer, because Airflow's API tells nothing."""


@dataclass(frozen=True)
class Problem:
    """One line of the list *Needs attention*."""

    severity: Severity
    subject: Subject
    what: str
    since: datetime | None
    """Since when the warehouse or Airflow knows it; None if neither does."""
    cause: str
    """One sentence."""
    actions: tuple[Action, ...]
    number: int = 1
    """How many files, periods or values it is about."""
    topic: Topic | None = None
    """The kind of its incident; None for a problem that opens none."""
    key: str = ""
    """The key of its incident."""
    incident: Incident | None = None
    """Its open incident; None if no run has recorded it."""
    dag: str = ""
    """The DAG that users must be allowed to run to change the incident."""
    stopped: int = 0
    """How many runs it stopped."""

    @property
    def is_muted(self) -> bool:
        """Whether its incident is muted."""
        return self.incident is not None and self.incident.is_muted

    @property
    def order(self) -> tuple[bool, int, bool, datetime, str]:
        """The place of the problem in the list: muted ones last, the most severe and those that nobody works on first.

        Then the oldest.
        """
        is_acknowledged = self.incident is not None and self.incident.state == "acknowledged"
        return self.is_muted, _RANK[self.severity], is_acknowledged, self.since or _LAST, self.what


def sentence(text: str) -> str:
    """Return the first line of a text, cut after 300 characters, with a final stop."""
    line = next(iter(text.strip().splitlines()), "").removesuffix("Reasons:").strip()
    if len(line) > _SENTENCE:
        return f"{line[:_SENTENCE].rstrip()} …"
    return line if not line or line.endswith((".", "!", "?")) else f"{line}."


SECTIONS: Final[Mapping[str, str]] = {
    "failure": "do/runbook.md#failure",
    "deadline": "do/runbook.md#deadline",
    "approval": "do/runbook.md#approval",
    "warning": "do/runbook.md#warning",
    "anomaly": "do/runbook.md#anomaly",
    "drift": "do/runbook.md#drift",
    "personal": "do/runbook.md#personal",
    "retention": "do/runbook.md#retention",
    "retry": "do/runbook.md#how-failures-are-handled",
    "file": "do/correct.md#send-a-corrected-file",
    "gone": "do/correct.md#withdraw-a-file",
    "dead letters": "do/runbook.md#dead-letters",
    "missing": "do/runbook.md#stale",
    "books": "reference/intake.md#row-counts",
    "check": "do/runbook.md#quality-errors",
    "outdated": "do/backfill.md#find-out-what-needs-to-run",
    "stream": "do/runbook.md#stream-lag",
    "replay": "do/correct.md#replay-rejected-rows",
    "late": "do/correct.md#admit-late-rows",
    "rows": "do/correct.md",
}
"""The section of the documents that says what to do about each topic."""


def runbook(topic: Topic, dag_id: str) -> Action:
    """Return the link to the section about a topic, or to the page of the DAG if the documents are not published.

    The documentation of a DAG on its page says what to do when it fails.
    """
    if not settings().docs_url:
        return Action("airflow", "Runbook", f"dags/{dag_id}")
    return Action("document", "Runbook", section_address(topic))


def section_address(topic: str) -> str:
    """Return the address of the section about a topic, or its place in the project if no documents are published."""
    address = settings().docs_url
    if not address:
        return f"docs/{SECTIONS[topic]}"
    page, _, anchor = SECTIONS[topic].partition(".md")
    return f"{address.rstrip('/')}/{page}/{anchor}"


def accept_action(what: Literal["anomalies", "drift"], numbers: Sequence[int], dag_id: str) -> Action:
    """Return the button that accepts anomalies or drift."""
    question = {
        "anomalies": "The values are right. Later periods are compared with the range as before.",
        "drift": "The change is meant, and the contract stays as it is.",
    }[what]
    return Action("request", "Accept", f"accept/{dag_id}", {what: [*numbers]}, dag_id, question)


def run_page(dag_id: str, run_id: str) -> Action:
    """Return the link to the page of a run in this view."""
    return Action("page", "This run", "index.html", {"dag_id": dag_id, "run_id": run_id})
