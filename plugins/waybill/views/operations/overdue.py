"""Raw files that stay longer than their contract declares: their place in *Needs attention*."""

from __future__ import annotations

from psycopg import Connection

from waybill.contracts.domains import load_manifest
from waybill.formatting import count
from waybill.views import catalog
from waybill.views.operations.problem import Action, Problem, runbook
from waybill.views.operations.scope import Scope
from waybill.watch.overdue import Overdue, overdue_files


def overdue_raw_files(connection: Connection, scope: Scope) -> list[Problem]:
    """Return a problem for each dataset whose raw files the bucket should have removed."""
    contracts = {table: catalog.contracts()[table] for table in scope.datasets}
    return [_problem(one) for one in overdue_files(connection, contracts)]


def _problem(one: Overdue) -> Problem:
    contract = catalog.contracts()[one.dataset]
    return Problem(
        "warning",
        "files",
        f"{one.dataset}: {count(one.overdue, 'raw file')} should be gone since the retention is "
        f"{contract.raw_retention}",
        one.done_at,
        f"The oldest one below {one.place} landed on {one.first_day}. Apply Terraform, whose lifecycle rule removes "
        "them, or delete them in the bucket. The next run of operations_lake looks again.",
        (
            Action("command", "Copy command", f"waybill retention {one.dataset} --dry-run"),
            runbook("retention", load_manifest(contract.domain).dag),
        ),
        number=one.overdue,
        topic="retention",
        key=f"retention {one.dataset}",
    )
