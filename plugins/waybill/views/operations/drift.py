"""Open schema drift: its place in *Needs attention*."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from psycopg import Connection

from waybill.contracts.domains import load_manifest
from waybill.formatting import count
from waybill.views import catalog
from waybill.views.operations.problem import Action, Problem, accept_action, runbook
from waybill.views.operations.scope import Scope
from waybill.watch.drift import Drift, open_drift


def drift_problems(connection: Connection, scope: Scope, limit: int = 500) -> list[Problem]:
    """Return a problem for each dataset whose files differ from its contract."""
    found = open_drift(connection, scope.datasets, limit)
    return [_problem([*some]) for _, some in groupby(found, key=attrgetter("dataset"))]


def _problem(found: Sequence[Drift]) -> Problem:
    """Return the problem of the differences of a dataset, the oldest first."""
    first, *others = found
    dataset, domain = first.dataset, catalog.contracts()[first.dataset].domain
    dag, more = load_manifest(domain).dag, f", and {count(len(others), 'more change')}" if others else ""
    command = f"waybill watch list --domain {domain}" if others else f"waybill contract propose {first.drift_id}"
    shows = "lists the changes" if others else "shows the change of the contract that takes it in"
    return Problem(
        "error" if any(one.rejected_keys for one in found) else "warning",
        "anomalies",
        f"{dataset}: {first}{more}",
        first.found_at,
        f"Send the file again if it is wrong. The command {shows}. If it is meant and needs no change, accept it.",
        (
            Action("page", "Show files", "loads.html", {"dataset": dataset}),
            Action("command", "Copy command", command),
            accept_action("drift", [one.drift_id for one in found], dag),
            runbook("drift", dag),
        ),
        number=len({key for one in found for key in one.rejected_keys}) + len(found),
        topic="drift",
        key=f"drift {dataset}",
    )
