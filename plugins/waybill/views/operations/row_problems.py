"""Problems of rejected rows: those that a replay can load now, late ones, and those that need a correction."""

from __future__ import annotations

from typing import Final

from psycopg import Connection

from waybill.contracts.domains import is_on_spark, load_manifest
from waybill.formatting import count, text
from waybill.views import catalog
from waybill.views.operations.open_rows import Kind, OpenRows, open_rows
from waybill.views.operations.problem import Action, Problem, Topic, runbook
from waybill.views.operations.scope import Scope

_WHAT: Final[dict[Kind, str]] = {
    "arrived": "can be loaded now",
    "changed": "were rejected by an earlier contract",
    "late": "arrived too late",
    "other": "in quarantine",
    "past": "cannot be replayed any more",
    "removed": "have no text any more",
    "unsplit": "have no fields",
}


def row_problems(connection: Connection, scope: Scope) -> list[Problem]:
    """Return a problem for each dataset and kind of open rows."""
    contracts = [catalog.contracts()[table] for table in scope.datasets]
    return [_problem(one) for one in open_rows(connection, contracts)]


def _problem(found: OpenRows) -> Problem:
    contract, what = found.contract, _WHAT[found.kind]
    if found.rows == 1:
        what = {"have": "has", "were": "was"}.get(what.partition(" ")[0], what.partition(" ")[0]) + what[
            what.index(" ") :
        ]
    number = f"{'more than ' if found.is_cut else ''}{count(found.rows, _noun(found))}"
    return Problem(
        "notice" if found.kind in ("other", "past", "removed", "unsplit") else "warning",
        "rows",
        f"{number} of {contract.table} {what}",
        found.since,
        _cause(found),
        _actions(found),
    )


def _noun(found: OpenRows) -> str:
    return "event" if found.events == found.rows else "row"


def _cause(found: OpenRows) -> str:
    return _cause_of_events(found) if found.events == found.rows else _cause_of_rows(found)


def _cause_of_events(found: OpenRows) -> str:
    reasons = ", ".join(found.reasons)
    return {
        "arrived": "",
        "changed": f"The contract is {found.contract.version} now. Reasons so far: {reasons}.",
        "late": f"They happened more than {text(found.contract.lookback_periods)} days before they arrived.",
        "other": f"They break the contract: {reasons}. Correct what sends them, or the contract.",
        "past": "",
        "removed": f"The retention of the quarantine has removed their text: {reasons}. Send them again.",
        "unsplit": f"They are no JSON objects that can be read: {reasons}. Send them again.",
    }[found.kind]


def _cause_of_rows(found: OpenRows) -> str:
    reasons = ", ".join(found.reasons)
    again = " The next run loads their files again." if is_on_spark(found.contract.domain) else ""
    return {
        "arrived": f"The rows that they refer to have arrived since: {reasons}.",
        "changed": f"The contract is {found.contract.version} now. Reasons so far: {reasons}.{again}",
        "late": f"Their business day is more than {text(found.contract.lookback_periods)} periods before their file.",
        "other": f"They break the contract: {reasons}. Correct the file or the contract.",
        "past": f"The history is not kept for their periods: {reasons}. Deliver them with a file of a later period.",
        "removed": f"The retention has removed their text: {reasons}. Send a corrected file under the same name.",
        "unsplit": f"They cannot be split into fields: {reasons}. Send a corrected file under the same name.",
    }[found.kind]


def _actions(found: OpenRows) -> tuple[Action, ...]:
    contract = found.contract
    reason = found.reasons[0].rpartition(" (")[0] if len(found.reasons) == 1 else ""
    show = Action("page", "Show rows", "quarantine.html", {"dataset": contract.table, "reason": reason})
    dag = load_manifest(contract.domain).dag
    labels: dict[Kind, str] = {"arrived": "Replay", "changed": "Replay", "late": "Admit late"}
    topics: dict[Kind, Topic] = {
        "arrived": "replay",
        "changed": "replay",
        "late": "late",
        "removed": "file",
        "unsplit": "file",
    }
    guide = runbook(topics.get(found.kind, "rows"), dag)
    if found.kind not in labels or is_on_spark(contract.domain):
        return show, guide
    body = {"dataset": contract.table, "kind": found.kind}
    replay = Action("request", f"{labels[found.kind]} {count(found.rows, _noun(found))}", f"replay/{dag}", body, dag)
    return replay, show, guide
