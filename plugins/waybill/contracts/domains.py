"""Which DAG takes in the datasets of a domain, and how the DAGs share Airflow's slots."""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from waybill.contracts import load_domain
from waybill.contracts.locations import star_schema
from waybill.period import Cadence
from waybill.settings import PROJECT_ROOT

_ADVERBS: dict[Cadence, str] = {"day": "daily", "week": "weekly", "month": "monthly"}


def dag_of(domain: str) -> str | None:
    """The DAG by its rule: `<domain>_monthly`; None for a domain without datasets.

    Where files land at any time `<domain>_reports`, or `<domain>_medallion` if there are tables in between.
    """
    contracts = [*load_domain(domain).values()]
    if any(contract.lands_any_time for contract in contracts):
        return f"{domain}_medallion" if load_domain(star_schema(domain)) else f"{domain}_reports"
    return f"{domain}_{_ADVERBS[contracts[0].cadence]}" if contracts else None


def existing_dag_of(domain: str) -> str | None:
    """The DAG by its rule, if a file in the folder of DAGs defines it; read without Airflow."""
    dag_id = dag_of(domain)
    return dag_id if dag_id in _defined_dags(dags_folder()) else None


def without_dag(domain: str) -> str:
    """What to tell whoever expects a DAG for the files of a domain that has none."""
    dag_id, folder = dag_of(domain), dags_folder()
    return (
        f"No DAG takes in the files of {domain}: {folder} has none named {dag_id}. "
        f"Write {folder / domain / f'{dag_id}.py'}, like the ones that are there."
    )


def dags_folder() -> Path:
    """Where Airflow reads DAG files."""
    return Path(os.environ.get("AIRFLOW__CORE__DAGS_FOLDER") or PROJECT_ROOT / "dags")


def functions_of(domain: str) -> set[str]:
    """The functions that the Python files of a domain's folder of DAGs define: its reports that are not SQL."""
    found: set[str] = set()
    for path in (dags_folder() / domain).glob("*.py"):
        with contextlib.suppress(SyntaxError):
            found.update(one.name for one in ast.parse(path.read_bytes()).body if isinstance(one, ast.FunctionDef))
    return found


def _defined_dags(folder: Path) -> set[str]:
    """The ids that the Python files of a folder give to DAGs as a literal."""
    found: set[str] = set()
    for place, _, names in os.walk(folder, followlinks=True):  # as Airflow does
        for path in (Path(place) / name for name in names if name.endswith(".py")):
            with contextlib.suppress(SyntaxError):  # Airflow's list of import errors says it
                found.update(_ids(ast.parse(path.read_bytes())))
    return found


def _ids(tree: ast.AST) -> Iterator[str]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in ("DAG", "dag"):
            given = [keyword.value for keyword in call.keywords if keyword.arg == "dag_id"] or call.args[:1]
            yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))
