"""The page of the DAGs, from their files and the contracts. The files are parsed, not run."""

from __future__ import annotations

import ast
from pathlib import Path

from tables import cell
from waybill.contracts import Contract, load_all
from waybill.settings import PROJECT_ROOT

INTRODUCTION = """# DAGs

Each DAG's docstring is its runbook: Airflow shows it under *Dag Docs*.

| DAG | Runs | Does | Ingests | Publishes |
|---|---|---|---|---|
"""


def page() -> str:
    """Return the table of all DAGs: when they run, what they ingest and what they publish."""
    contracts = sorted(load_all().values(), key=lambda contract: contract.name)
    paths = sorted((PROJECT_ROOT / "dags").rglob("*.py"), key=lambda path: path.name)
    return INTRODUCTION + "".join(_row(path, found, contracts) for path in paths if (found := _arguments(path)))


def _row(path: Path, found: dict[str, ast.expr], contracts: list[Contract]) -> str:
    domain = path.parent.name
    cells = (
        f"`{ast.literal_eval(found['dag_id'])}`",
        _schedule(found["schedule"]),
        ast.literal_eval(found["description"]),
        ", ".join(map(_link, (one for one in contracts if one.domain == domain and one.is_dataset))),
        ", ".join(map(_link, (one for one in contracts if one.domain == f"{domain}_report"))),
    )
    return f"| {' | '.join(map(cell, cells))} |\n"


def _link(contract: Contract) -> str:
    return f"[{contract.name}](tables/{contract.table}.md)"


def _arguments(path: Path) -> dict[str, ast.expr] | None:
    """The arguments of the DAG that a file defines, as they are written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "DAG":
            return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    return None


def _schedule(written: ast.expr) -> str:
    if isinstance(written, ast.Call) and ast.unparse(written.func) == "arrival_schedule":
        return "when a file lands, and every 15 minutes"
    if isinstance(written, ast.Call) and ast.unparse(written.func) == "AssetAny":
        return "after reports were published"
    texts = [node.value for node in ast.walk(written) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return f"`{texts[0]}` UTC"
