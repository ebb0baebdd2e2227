"""Columns that look personal and have no classification: their place in *Needs attention*."""

from __future__ import annotations

from psycopg import Connection

from waybill.contracts.domains import load_manifest
from waybill.views import catalog
from waybill.views.operations.problem import Action, Problem, runbook
from waybill.views.operations.scope import Scope
from waybill.watch.unclassified import Unclassified, unclassified


def unclassified_columns(connection: Connection, scope: Scope) -> list[Problem]:
    """Return a problem for each column that looks personal and that its contract does not classify."""
    contracts = {table: catalog.contracts()[table] for table in scope.datasets}
    return [_problem(one) for one in unclassified(connection, contracts)]


def _problem(one: Unclassified) -> Problem:
    dag = load_manifest(catalog.contracts()[one.dataset].domain).dag
    return Problem(
        "warning",
        "columns",
        f"{one.dataset}: {one}",
        one.since,
        "The contract does not classify the column, so exports show its values. Classify it as restricted or "
        "confidential, or as internal or public if it is not personal.",
        (Action("page", "Show files", "loads.html", {"dataset": one.dataset}), runbook("personal", dag)),
        number=one.files,
        topic="personal",
        key=f"personal {one.dataset} {one.column_name}",
    )
