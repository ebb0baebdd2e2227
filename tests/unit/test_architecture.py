"""Rules of the code about imports of Airflow, DAG files, names of modules and composed SQL.

The layers of the packages are rules of import-linter, in pyproject.toml.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from waybill.contracts.domains import domain_names
from waybill.settings import PROJECT_ROOT

PACKAGE = PROJECT_ROOT / "plugins" / "waybill"
OPERATORS = PACKAGE / "operators"
# Beside its DAG, a domain may have reports in Python.
DAG_FILES = sorted(path for path in (PROJECT_ROOT / "dags").rglob("*.py") if "airflow" in path.read_text())
MODULES = sorted([*PACKAGE.rglob("*.py"), *(PROJECT_ROOT / "devtools").rglob("*.py")])
KERNEL = [path for path in MODULES if not path.is_relative_to(OPERATORS)]
# Tests of DAGs, of operators and of the stack's Airflow import it; no other test needs it.
AIRFLOW_TESTS = {"dags", "test_alert_channels.py", "test_alerts.py", "test_stack_airflow.py"}
KERNEL_TESTS = [
    path
    for path in sorted((PROJECT_ROOT / "tests").rglob("*.py"))
    if not AIRFLOW_TESTS & set(path.relative_to(PROJECT_ROOT / "tests").parts)
]
HEAVY = {"duckdb", "numpy", "pandas", "pyarrow", "scipy"}
VAGUE = {"base", "common", "core", "helper", "helpers", "lib", "misc", "tools", "util", "utils"}


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT_ROOT))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, module) of every import, also of those within functions and by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("__import__", "import_module")):
            yield from ((node.lineno, str(arg.value)) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def is_airflow(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == "airflow" or module.startswith("waybill.operators")


def test_only_operators_dags_and_their_tests_import_airflow() -> None:
    found = [
        f"{relative(path)}:{line} imports {name}"
        for path in [*KERNEL, *KERNEL_TESTS]
        for line, name in imports(parsed(path))
        if is_airflow(name)
    ]
    assert found == []


def test_the_rule_about_airflow_finds_imports() -> None:
    assert len(KERNEL) > 25
    assert [name for _, name in imports(ast.parse((OPERATORS / "reports.py").read_text())) if is_airflow(name)]
    assert list(imports(ast.parse("def f():\n    from airflow.sdk import DAG"))) == [(2, "airflow.sdk")]


def names_of(domain: str, text: str) -> list[str]:
    """Return where a text uses a domain's name as a name, not as a word: quoted alone, or with `.`, `_` or `/`."""
    return re.findall(rf"""(?<![\w-])(?:["'`]{domain}["'`]|{domain}(?:_\w|[./]\w)|[\w]+[_/]{domain}\b)""", text)


def test_the_kernel_names_no_domain() -> None:
    texts = [path for path in (PROJECT_ROOT / "plugins").rglob("*") if path.suffix in {".py", ".html", ".js", ".sql"}]
    found = {
        relative(path): names
        for path in texts
        if (names := [name for domain in domain_names() for name in names_of(domain, path.read_text())])
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ('dag_of("orders")', True),
        ("`orders`", True),
        ("from orders.lines", True),
        ("orders_report", True),
        ("raw/orders/lines", True),
        ("settings().raw_orders", True),
        ("Orders of a customer", False),
        ("in both orders, and", False),
        ("the orders.", False),
        ("reorders_all", False),
    ],
)
def test_the_name_of_a_domain_is_distinguished_from_the_word(text: str, is_found: bool) -> None:
    assert bool(names_of("orders", text)) == is_found


def test_dag_files_are_wiring() -> None:
    lines = {relative(path): len(path.read_text().splitlines()) for path in DAG_FILES}
    assert {path: count for path, count in lines.items() if not 25 <= count <= 80} == {}
    classes = [
        relative(path) for path in DAG_FILES for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)
    ]
    assert classes == []


def test_no_dag_file_imports_another_one() -> None:
    dags = {path.stem for path in DAG_FILES}
    found = [
        f"{relative(path)}:{line} imports {name}"
        for path in DAG_FILES
        for line, name in imports(parsed(path))
        if dags & set(name.split("."))
    ]
    assert found == []


AS_AIRFLOW_DOES = """
import json, runpy, sys
from airflow.utils.file import find_path_from_directory

plugins, *dag_files = sys.argv[1:]
executed = [path for path in find_path_from_directory(plugins, ".airflowignore", "glob") if path.endswith(".py")]
imported = {}
for path in dag_files:
    runpy.run_path(path)
    imported[path] = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps({"executed": executed, "imported": imported}))
"""


@pytest.fixture(scope="module")
def airflow() -> dict[str, Any]:
    """Return the files below plugins/ that Airflow executes, and the modules that are loaded after each DAG file."""
    done = subprocess.run(
        [sys.executable, "-c", AS_AIRFLOW_DOES, str(PROJECT_ROOT / "plugins"), *map(str, DAG_FILES)],
        env={
            **os.environ,
            "PYTHONPATH": f"{PROJECT_ROOT / 'plugins'}{os.pathsep}{PROJECT_ROOT / 'dags'}",
        },  # as Airflow sets sys.path
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_dag_file_is_read_without_heavy_imports(airflow: dict[str, Any]) -> None:
    assert DAG_FILES
    heavy = {path: HEAVY & set(modules) for path, modules in airflow["imported"].items()}
    assert heavy == {str(path): set() for path in DAG_FILES}


def test_airflow_executes_one_file_as_a_plugin_and_none_of_the_package(airflow: dict[str, Any]) -> None:
    assert [Path(path).name for path in airflow["executed"]] == ["waybill_plugin.py"]


def test_the_plugin_imports_the_views_only_when_they_are_asked_for() -> None:
    """Each task's process reads the plugin's file."""
    path = PROJECT_ROOT / "plugins" / "waybill_plugin.py"
    at_once = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = [name for node in at_once for _, name in imports(node)]
    assert modules == ["__future__", "typing", "airflow.plugins_manager"]


def test_modules_are_named_by_what_they_do() -> None:
    parts = {relative(path): {part.removesuffix(".py") for part in path.parts[-3:]} for path in MODULES}
    assert [path for path, names in parts.items() if VAGUE & names] == []


def text_with_values(node: ast.expr) -> bool:
    """Return whether a text is composed from values: an f-string, `%`, `+` with a name, or str.format."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        sides = (node.left, node.right)
        return any(isinstance(side, ast.Constant | ast.JoinedStr) for side in sides) and not all(
            isinstance(side, ast.Constant) for side in sides
        )
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "format"
        and isinstance(node.func.value, ast.Constant | ast.JoinedStr)
    )


def statements(tree: ast.AST) -> Iterator[ast.expr]:
    """Return the SQL arguments of execute, executemany, copy and sql.SQL."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            name = node.func.attr
            if name in ("execute", "executemany", "copy", "exec_driver_sql") or ast.unparse(node.func) == "sql.SQL":
                yield node.args[0]


def interpolated_sql(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield SQL statements that are composed from values, in the call or in a variable."""
    made_here = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and text_with_values(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in statements(tree):
        if text_with_values(node) or (isinstance(node, ast.Name) and node.id in made_here):
            yield node


def test_sql_is_composed_from_parameters_not_from_values() -> None:
    found = [
        f"{relative(path)}:{node.lineno}: {ast.unparse(node)[:80]}"
        for path in MODULES
        for node in interpolated_sql(parsed(path))
    ]
    assert found == [], "compose SQL with psycopg.sql and parameters"


@pytest.mark.parametrize(
    "code",
    [
        'connection.execute(f"select {name}")',
        'connection.execute("select %s" % name)',
        'connection.execute("select " + name)',
        'connection.execute("select {}".format(name))',
        'text = f"select {name}"; connection.execute(text)',
        'sql.SQL(f"select {name}")',
    ],
)
def test_the_rule_about_sql_finds_interpolation(code: str) -> None:
    assert len([*interpolated_sql(ast.parse(code))]) == 1
