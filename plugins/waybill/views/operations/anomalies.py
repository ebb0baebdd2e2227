"""Open anomalies: their place in *Needs attention*, and a chart of each with the past values it was compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import Connection

from waybill.contracts.domains import load_manifest
from waybill.contracts.locations import domain_of
from waybill.formatting import count
from waybill.period import Period
from waybill.views import catalog
from waybill.views.business.charts import Chart, Heading, Row
from waybill.views.operations.problem import Action, Problem, accept_action, runbook
from waybill.views.operations.scope import Scope
from waybill.watch.anomalies import OpenAnomaly, described, open_anomalies

SHOWN: Final = 50
"""How many anomalies the page shows."""
_FILE: Final = "The rows are loaded. Correct the file if it is wrong; accept the anomaly otherwise."
_REPORT: Final = "No dataset explains it. Correct the SQL if it is wrong; accept the anomaly otherwise."


@dataclass(frozen=True)
class AnomalyChart:
    """An anomaly, and a chart of its value after those of past periods."""

    anomaly_id: int
    what: str
    chart: Chart
    commands: Sequence[tuple[str, str]]
    """(label, command)."""


def anomaly_problems(connection: Connection, scope: Scope, limit: int = 500) -> list[Problem]:
    """Return a problem for each dataset or report with open anomalies."""
    by_dataset: dict[str, list[OpenAnomaly]] = {}
    for one in open_anomalies(connection, scope.subjects, limit):
        by_dataset.setdefault(one.anomaly.dataset, []).append(one)
    return [_problem(dataset, found) for dataset, found in sorted(by_dataset.items())]


def _problem(dataset: str, found: Sequence[OpenAnomaly]) -> Problem:
    newest, *others = described(one.anomaly for one in found)[::-1]
    more = f", and {count(len(others), 'more period')}" if others else ""
    dag, numbers = load_manifest(domain_of(dataset.partition(".")[0])).dag, [one.anomaly_id for one in found]
    is_dataset = catalog.contracts()[dataset].is_dataset
    return Problem(
        "warning",
        "anomalies",
        f"{newest}{more}",
        min(one.found_at for one in found),
        _FILE if is_dataset else _REPORT,
        (
            Action("page", "Show history", "anomalies.html", {"dataset": dataset}),
            # People see all values of one period here, those of several in the history only.
            *([] if others else [accept_action("anomalies", numbers, dag)]),
            *([] if others else [Action("command", "Copy command", _accept(numbers))]),
            runbook("anomaly", dag),
        ),
        number=len(found),
        topic="anomaly",
        key=f"anomaly {dataset}",
    )


def _accept(numbers: Sequence[int]) -> str:
    return f"waybill watch accept {' '.join(map(str, sorted(numbers)))}"


def anomaly_charts(connection: Connection, scope: Scope, dataset: str | None) -> list[AnomalyChart]:
    """Return the open anomalies of a dataset or report, or of a whole scope, the newest period first."""
    datasets = [name for name in scope.subjects if dataset in (None, name)]
    return [_chart(one) for one in open_anomalies(connection, datasets, SHOWN)]


def _chart(found: OpenAnomaly) -> AnomalyChart:
    one, command = found.anomaly, _accept([found.anomaly_id])
    values = [(Period.of(one.period.cadence, start), value) for start, value in one.past]
    values.append((one.period, one.observed))
    rows = [
        Row([str(period), f"{value:,.6g}"], label=str(period), values={1: value}, day=period.start)
        for period, value in reversed(values)
    ]
    heading = Heading(one.measure.label.capitalize(), one.measure.unit, is_drawn=True)
    chart = Chart([Heading("Period", is_numeric=False), heading], rows, "line")
    commands = [("Accept this value", command), ("Accept as the new level", f"{command} --step")]
    return AnomalyChart(found.anomaly_id, f"{one.dataset} {one.period}: {one}", chart, commands)
