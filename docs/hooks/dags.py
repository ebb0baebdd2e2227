"""The page of the DAGs, from their files and the contracts. The files are parsed, not run."""

from __future__ import annotations

import ast
import re

from tables import cell
from waybill.contracts import Contract, load_all
from waybill.settings import PROJECT_ROOT

INTRODUCTION = """# DAGs

The docstring of each DAG is its runbook. Airflow shows it under *Dag Docs*, and it follows the table here.

| DAG | Runs | Ingests | Publishes |
|---|---|---|---|
"""
LIST = re.compile(r"(?m)^((?!\* | ).+)\n\* ")


def page() -> str:
    """Return the table of all DAGs (schedule, datasets, reports), and the runbook of each."""
    contracts = sorted(load_all().values(), key=lambda contract: contract.name)
    paths = sorted((PROJECT_ROOT / "dags").rglob("*.py"), key=lambda path: path.name)
    trees = {path: ast.parse(path.read_text()) for path in paths}
    dags = [(path.parent.name, tree, found) for path, tree in trees.items() if (found := _arguments(tree))]
    rows = "".join(_row(domain, found, contracts) for domain, _, found in dags)
    return INTRODUCTION + rows + "".join(_runbook(tree, found) for _, tree, found in dags)


def _row(domain: str, found: dict[str, ast.expr], contracts: list[Contract]) -> str:
    dag_id = ast.literal_eval(found["dag_id"])
    cells = (
        f"[`{dag_id}`](#{dag_id})",
        _schedule(found["schedule"]),
        ", ".join(map(_link, (one for one in contracts if one.domain == domain and one.is_dataset))),
        ", ".join(map(_link, (one for one in contracts if one.domain == f"{domain}_report"))),
    )
    return f"| {' | '.join(map(cell, cells))} |\n"


def _runbook(tree: ast.Module, found: dict[str, ast.expr]) -> str:
    """Return the docstring of a DAG's file below the DAG's id, with the empty line that MkDocs needs before a list."""
    _, _, text = (ast.get_docstring(tree) or "").partition("\n")
    text = LIST.sub(r"\1\n\n* ", text.strip())
    return f"\n## {ast.literal_eval(found['dag_id'])}\n\n{text}\n"


def _link(contract: Contract) -> str:
    return f"[{contract.name}](tables/{contract.table}.md)"


def _arguments(tree: ast.Module) -> dict[str, ast.expr] | None:
    """Return the arguments of the DAG that a file defines, as they are written."""
    for node in ast.walk(tree):
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
