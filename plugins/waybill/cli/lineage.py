"""The command lineage: where a column comes from, and what uses it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from waybill.cli.arguments import Domain
from waybill.cli.terminal import app, print_line, report_errors

if TYPE_CHECKING:
    from rich.tree import Tree

    from waybill.ops.column_sources import Source
    from waybill.ops.lineage import Effect, Lineage, Step

_ABOVE = "… as above"
_OUTSIDE: Final[dict[str, str]] = {"file": "file ", "published": "published: ", "lake": "lake: "}
"""What stands before the names of files and exports, which have no contract of their own."""
_USES: Final = ("dashboard", "check", "stream")
"""Kinds whose columns are figures with a name of their own."""


@app.command()
@report_errors
def lineage(
    name: Annotated[str, typer.Argument(help="A column or a table, such as invoices.amount or billing.invoices.")],
    domain: Domain = None,
    upstream: Annotated[bool, typer.Option("--upstream", help="Show only where it comes from.")] = False,
    downstream: Annotated[bool, typer.Option("--downstream", help="Show only what uses it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every step as JSON.")] = False,
) -> None:
    """Show where a column comes from and what uses it, as the contracts and SQL files say. Needs no warehouse."""
    from waybill.ops.column_sources import ROWS
    from waybill.ops.lineage import project_lineage, shown

    graph = project_lineage()
    node = graph.find(name, domain)
    nodes = graph.nodes_of(node.table) if node.column == ROWS else [node]
    both = upstream == downstream
    if as_json:
        found: dict[str, object] = {"name": shown(node)}
        if upstream or both:
            found["upstream"] = [_as_json(step) for step in graph.upstream(nodes)]
        if downstream or both:
            found["downstream"] = [_as_json(step) for step in graph.downstream(nodes)]
        found["same_files"] = [shown(one) for one in graph.siblings(node)]
        print(json.dumps(found, indent=2))
        return
    if upstream or both:
        print_line("Comes from", "bold")
        if node.column == ROWS:
            _print(_sources_of_table(graph, node.table))
        else:
            _print(_values(graph, node))
            _print_influences(graph, node)
    if downstream or both:
        print_line("Used by", "bold")
        if node.column == ROWS:
            _print(_readers_of_table(graph, node.table))
        else:
            _print(_dependants(graph, node))
            _print_influenced(graph, node)
    if siblings := graph.siblings(node):
        print_line("Loaded from the same files", "bold")
        for sibling in siblings:
            _print(_tree(shown(sibling)))


def _as_json(step: Step) -> dict[str, object]:
    return {
        "source": step.source._asdict(),
        "target": step.target._asdict(),
        "effect": step.effect,
        "by": step.by,
    }


def _print(tree: Tree) -> None:
    """Print a tree. Rich would cut lines that are longer than the terminal."""
    from rich.console import Console

    Console(width=10_000).print(tree, markup=False, highlight=False, soft_wrap=True)


def _label(graph: Lineage, node: Source) -> str:
    """Return a node as a line of a tree: what it is, and the file that computes it."""
    from waybill.ops.column_sources import ROWS

    kind = graph.tables[node.table].kind
    if node.column == ROWS:
        return f"{'' if kind in _OUTSIDE else 'rows of '}{_table_label(graph, node.table)}"
    between = " " if kind in _OUTSIDE else ": " if kind in _USES else "."
    return _table_label(graph, node.table, f"{between}{node.column}")


def _table_label(graph: Lineage, name: str, column: str = "") -> str:
    """Return a table, or `column` of it, and the file that computes it."""
    table = graph.tables[name]
    by = f"  [{table.by.removeprefix('include/sql/')}]" if table.by else ""
    return f"{_OUTSIDE.get(table.kind, '')}{name}{column}{by}"


def _tree(label: str) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    return Tree(Text(label))


def _add(tree: Tree, label: str) -> Tree:
    from rich.text import Text

    return tree.add(Text(label))


# --- columns ----------------------------------------------------------------------------------------------------


def _values(graph: Lineage, node: Source) -> Tree:
    """Return the sources of a column's value, down to the files."""
    tree, seen = _tree(_label(graph, node)), {node}

    def grow(branch: Tree, target: Source) -> None:
        for step in _of_effect(graph.into.get(target, ()), "value", "rows"):
            if step.effect == "rows" and not _is_plain(graph, step):
                continue
            known = step.source in seen
            child = _add(branch, _label(graph, step.source) + (f"  {_ABOVE}" if known else ""))
            if not known:
                seen.add(step.source)
                grow(child, step.source)

    grow(tree, node)
    if not tree.children:
        _add(tree, "no column: a constant, or the period of the run")
    return tree


def _is_plain(graph: Lineage, step: Step) -> bool:
    """Return whether a step leads from the files of a dataset to its rows."""
    return graph.tables[step.source.table].kind == "file"


def _of_effect(steps: Iterable[Step], *effects: Effect) -> list[Step]:
    return [step for step in steps if step.effect in effects]


def _print_influences(graph: Lineage, node: Source) -> None:
    """Print for each computed table on the way the columns that decide which of its rows count."""
    from waybill.ops.column_sources import ROWS

    tables = dict.fromkeys([node.table, *(step.source.table for step in graph.upstream([node]))])
    computed = [name for name in tables if graph.tables[name].by]
    if computed:
        print_line("Rows are decided by", "bold")
    for name in computed:
        tree, used = _tree(_table_label(graph, name)), _used_columns(graph.into.get(_rows(name), ()))
        for table, columns in used.items():
            _add(tree, f"{table}: {', '.join(columns)}" if columns != [ROWS] else f"{table}: its rows")
        _print(tree)


def _used_columns(steps: Iterable[Step]) -> dict[str, list[str]]:
    """Return the source columns of steps by table: `*` only if a table has no other."""
    from waybill.ops.column_sources import ROWS

    found: dict[str, list[str]] = {}
    for step in steps:
        found.setdefault(step.source.table, []).append(step.source.column)
    return {table: sorted({*columns} - {ROWS}) or [ROWS] for table, columns in sorted(found.items())}


def _rows(table: str) -> Source:
    from waybill.ops.column_sources import ROWS, Source

    return Source(table, ROWS)


def _dependants(graph: Lineage, node: Source) -> Tree:
    """Return the columns whose values rest on a column, up to the exports."""
    tree, seen = _tree(_label(graph, node)), {node}

    def grow(branch: Tree, source: Source) -> None:
        for step in _of_effect(graph.out_of.get(source, ()), "value"):
            known = step.target in seen
            child = _add(branch, _label(graph, step.target) + (f"  {_ABOVE}" if known else ""))
            if not known:
                seen.add(step.target)
                grow(child, step.target)

    grow(tree, node)
    if not tree.children:
        _add(tree, "no other column")
    return tree


def _print_influenced(graph: Lineage, node: Source) -> None:
    """Print the tables whose rows a column decides, directly or by the columns that rest on it."""
    values = {node, *(step.target for step in graph.downstream([node], "value"))}
    first = dict.fromkeys(
        step.target.table
        for value in sorted(values)
        for step in graph.out_of.get(value, ())
        if step.effect == "rows" and step.target.table != value.table
    )
    if not first:
        return
    print_line("Also affects every row of", "bold")
    seen: set[str] = set()
    for table in first:
        if table not in seen:
            tree = _tree(_table_label(graph, table))
            _grow_readers(graph, tree, table, seen)
            _print(tree)


# --- tables -----------------------------------------------------------------------------------------------------


def _sources_of_table(graph: Lineage, table: str) -> Tree:
    """Return the tables that a table is computed from, each with its columns that are used."""
    tree, seen = _tree(_table_label(graph, table)), {table}

    def grow(branch: Tree, target: str) -> None:
        steps = [step for node in graph.nodes_of(target) for step in graph.into.get(node, ())]
        used = _used_columns(step for step in steps if step.source.table != target)
        for source, columns in used.items():
            used_here = "" if graph.tables[source].kind == "file" else f": {', '.join(columns)}"
            child = _add(branch, _table_label(graph, source) + used_here)
            if source not in seen:
                seen.add(source)
                grow(child, source)

    grow(tree, table)
    return tree


def _readers_of_table(graph: Lineage, table: str) -> Tree:
    """Return the tables and exports that read a table, and what reads these."""
    tree = _tree(_table_label(graph, table))
    _grow_readers(graph, tree, table, set())
    if not tree.children:
        _add(tree, "nothing")
    return tree


def _grow_readers(graph: Lineage, branch: Tree, table: str, seen: set[str]) -> None:
    seen.add(table)
    readers = dict.fromkeys(
        step.target.table
        for node in graph.nodes_of(table)
        for step in graph.out_of.get(node, ())
        if step.target.table != table
    )
    for reader in readers:
        known = reader in seen
        child = _add(branch, _table_label(graph, reader) + (f"  {_ABOVE}" if known else ""))
        if not known:
            _grow_readers(graph, child, reader, seen)
