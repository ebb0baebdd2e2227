"""Which DAGs and functions the files in the folder of DAGs define; read without Airflow."""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from waybill.contracts.domains import load_manifest, manifest_path
from waybill.contracts.locations import star_schema
from waybill.settings import PROJECT_ROOT


def dags_folder() -> Path:
    """Return the folder where Airflow reads DAG files."""
    return Path(os.environ.get("AIRFLOW__CORE__DAGS_FOLDER") or PROJECT_ROOT / "dags")


def defined_dag_of(domain: str) -> str | None:
    """Return the id of the domain's DAG if a file in the folder of DAGs defines it."""
    dag_id = load_manifest(domain).dag
    return dag_id if dag_id in defined_dags() else None


def without_dag(domain: str) -> str:
    """Return the next step for a domain whose manifest names a DAG that no file defines."""
    dag_id, folder = load_manifest(domain).dag, dags_folder()
    path = folder / domain / f"{dag_id}.py"
    step = f'Write `dag_id="{dag_id}"` in {path}' if path.is_file() else f"Write {path}"
    return (
        f"No DAG ingests the files of {domain}: {manifest_path(domain)} names {dag_id}, and no file in {folder} "
        f"defines it. {step}, or correct `dag` in the manifest."
    )


def functions_of(domain: str) -> set[str]:
    """Return the functions that the Python files of a domain's folder define: its reports that are not SQL."""
    found: set[str] = set()
    for path in (dags_folder() / domain).glob("*.py"):
        with contextlib.suppress(SyntaxError):
            found.update(one.name for one in ast.parse(path.read_bytes()).body if isinstance(one, ast.FunctionDef))
    return found


def defined_dags() -> set[str]:
    """Return the ids that the Python files in the folder of DAGs give to DAGs as a literal."""
    found: set[str] = set()
    for place, _, names in os.walk(dags_folder(), followlinks=True):  # as Airflow does
        for path in (Path(place) / name for name in names if name.endswith(".py")):
            with contextlib.suppress(SyntaxError):  # Airflow lists it as an import error
                found.update(_ids(ast.parse(path.read_bytes())))
    return found


def schemas_in_lake() -> set[str]:
    """Return the schemas whose tables DAGs copy to the lake: what they give to `ProcessedOperator` as `domain`.

    A literal and `star_schema` of a literal are read.
    """
    found: set[str] = set()
    for path in sorted(dags_folder().rglob("*.py")):
        with contextlib.suppress(SyntaxError):
            found.update(_copied(ast.parse(path.read_bytes())))
    return found


def _copied(tree: ast.AST) -> Iterator[str]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "ProcessedOperator":
            for value in (keyword.value for keyword in call.keywords if keyword.arg == "domain"):
                match value:
                    case ast.Constant(value=str(name)):
                        yield name
                    case ast.Call(func=ast.Name(id="star_schema"), args=[ast.Constant(value=str(name))]):
                        yield star_schema(name)


def function_text(domain: str, name: str) -> tuple[Path, str] | None:
    """Return the file and the text of a function in the Python files of a domain's folder, or None."""
    for path in sorted((dags_folder() / domain).glob("*.py")):
        with contextlib.suppress(SyntaxError):
            text = path.read_text(encoding="utf-8")
            for one in ast.parse(text).body:
                if isinstance(one, ast.FunctionDef) and one.name == name:
                    return path, ast.get_source_segment(text, one) or ""
    return None


def _ids(tree: ast.AST) -> Iterator[str]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in ("DAG", "dag"):
            given = [keyword.value for keyword in call.keywords if keyword.arg == "dag_id"] or call.args[:1]
            yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))
