"""Open schema drift: its place in *Needs attention*."""

from __future__ import annotations

from psycopg import Connection

from waybill.contracts.domains import load_manifest
from waybill.views import catalog
from waybill.views.operations.problem import Action, Problem, accept_action, runbook
from waybill.views.operations.scope import Scope
from waybill.watch.drift import Drift, open_drift


def drift_problems(connection: Connection, scope: Scope, limit: int = 500) -> list[Problem]:
    """Return a problem for each difference between files and their contract."""
    return [_problem(one) for one in open_drift(connection, scope.datasets, limit)]


def _problem(drift: Drift) -> Problem:
    dag = load_manifest(catalog.contracts()[drift.dataset].domain).dag
    return Problem(
        "error" if drift.rejected_keys else "warning",
        "anomalies",
        f"{drift.dataset}: {drift}",
        drift.found_at,
        "Send the file again if it is wrong. The command shows the change of the contract that takes it in. If it is "
        "meant and needs no change, accept it.",
        (
            Action("page", "Show files", "loads.html", {"dataset": drift.dataset}),
            Action("command", "Copy command", f"waybill contract propose {drift.drift_id}"),
            accept_action("drift", [drift.drift_id], dag),
            runbook("drift", dag),
        ),
        number=len(drift.rejected_keys) or 1,
        topic="drift",
        key=f"drift {drift.drift_id}",
    )
