"""The lineage of a column, of a table or of domains: what it comes from, what uses it, and a picture of both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from psycopg import Connection

from waybill.contracts import Column
from waybill.ops.column_sources import ROWS, Source
from waybill.ops.lineage import TABLES, Effect, Lineage, Step, Table
from waybill.period import Period
from waybill.settings import settings
from waybill.views import catalog
from waybill.views.operations.lineage_drawing import Drawing, Link, draw, kind_name
from waybill.views.operations.scope import Scope

_EFFECTS: Final[Mapping[Effect, str]] = {"value": "its value", "rows": "which rows count"}


@dataclass(frozen=True)
class Related:
    """A table on the way, in the list beside the picture."""

    table: Table
    kind: str
    columns: tuple[Source, ...]
    """Columns on the way; empty for whole tables."""
    effect: str


@dataclass(frozen=True)
class LineagePage:
    """The content of the page."""

    groups: Mapping[str, list[str]]
    """The tables that can be chosen, by schema."""
    chosen: Source | None
    table: Table | None
    column: Column | None
    """The column as its contract declares it."""
    description: str
    links: tuple[tuple[str, str], ...]
    """(address, label): the dictionary, and pages about the chosen table."""
    siblings: tuple[Source, ...]
    drawing: Drawing
    sources: tuple[Related, ...]
    users: tuple[Related, ...]

    @property
    def name(self) -> str | None:
        """The column, if one is chosen."""
        return self.chosen.column if self.chosen and self.chosen.column != ROWS else None


def lineage_page(
    graph: Lineage,
    scope: Scope,
    table: str | None,
    column: str | None,
    *,
    with_rows: bool,
    links: Iterable[tuple[str, str]],
) -> LineagePage:
    """Return the page of a column, of a whole table, or without a table the map of the scope's domains.

    With `with_rows`, it also has what decides which rows count. Raises `KeyError` for an unknown table or column.
    """
    tables = [one for one in graph.tables.values() if one.kind in TABLES and one.domain in scope.domains]
    groups: dict[str, list[str]] = {}
    for one in sorted(tables, key=lambda one: one.name):
        groups.setdefault(one.name.partition(".")[0], []).append(one.name)
    chosen = None
    above: list[Link] = []
    below: list[Link] = []
    if table is not None:
        if table not in {one.name for one in tables} or (column and column not in graph.tables[table].columns):
            raise KeyError(table)
        chosen = Source(table, column or ROWS)
        find = _of_column if column else _of_table
        above, below = find(graph, chosen, with_rows)
        shown = {table, *(node.table for link in (*above, *below) for node in (link.source, link.target))}
    else:
        shown = _domain_tables(graph, scope.domains)
        above = [link for link in _table_links(graph.steps) if {link.source.table, link.target.table} <= shown]
    contract = catalog.contracts().get(table or "")
    declared = next((one for one in contract.columns if one.name == column), None) if contract else None
    return LineagePage(
        groups=groups,
        chosen=chosen,
        table=graph.tables[table] if table else None,
        column=declared,
        description=declared.description if declared else contract.description if contract and not column else "",
        links=tuple(links),
        siblings=tuple(graph.siblings(chosen)) if chosen else (),
        drawing=draw([graph.tables[name] for name in shown], [*above, *below], chosen, columns=bool(chosen and column)),
        sources=_related(graph, [(link.source, link.effect) for link in above], chosen) if chosen else (),
        users=_related(graph, [(link.target, link.effect) for link in below], chosen) if chosen else (),
    )


def pages_about(connection: Connection, table: Table) -> list[tuple[str, str]]:
    """Return (address, label) of the pages about a table: its entry in the documents, its newest period, its files."""
    found = []
    if address := settings().docs_url:
        found.append((f"{address.rstrip('/')}/reference/tables/{table.name}/", "Data dictionary"))
    if table.kind == "report":
        row = connection.execute(
            "select cadence, period from waybill.publication where report = %s order by period desc, cadence limit 1",
            (table.name,),
        ).fetchone()
        if row:
            page = f"{table.domain}/{Period.of(*row).key}/{table.name.partition('.')[2]}.html"
            found.append((f"../business/{page}", "Where its newest numbers come from"))
    contract = catalog.contracts().get(table.name)
    if contract and contract.load_mode == "feature":
        found.append((f"features.html?domain={table.domain}#{contract.name}", "Feature view"))
    if table.kind == "dataset":
        found.append((f"loads.html?dataset={table.name}", "Loaded files"))
    return found


# --- columns ----------------------------------------------------------------------------------------------------


def _of_column(graph: Lineage, node: Source, with_rows: bool) -> tuple[list[Link], list[Link]]:
    """Return the links above and below a column."""
    above = _links(graph.upstream([node], "value"))
    below = _links(graph.downstream([node], "value"))
    if not with_rows:
        return above, below
    for name in dict.fromkeys([node.table, *(link.source.table for link in above)]):
        if graph.tables[name].by:
            above += [Link(*step[:3]) for step in graph.into.get(Source(name, ROWS), ()) if step.source.table != name]
    affected: dict[str, None] = {}
    for value in dict.fromkeys([node, *(link.target for link in below)]):
        for step in graph.out_of.get(value, ()):
            if step.effect == "rows" and step.target.table != value.table:
                below.append(Link(*step[:3]))
                affected[step.target.table] = None
    readers = _reached(affected, _table_links(graph.steps), lambda link: link.source, lambda link: link.target)
    linked = {(link.source.table, link.target.table) for link in below}
    return above, below + [
        link._replace(effect="rows") for link in readers if (link.source.table, link.target.table) not in linked
    ]


def _links(steps: Iterable[Step]) -> list[Link]:
    return [*dict.fromkeys(Link(*step[:3]) for step in steps)]


# --- tables -----------------------------------------------------------------------------------------------------


def _of_table(graph: Lineage, node: Source, with_rows: bool) -> tuple[list[Link], list[Link]]:
    """Return the links between tables above and below a table."""
    links = _table_links(step for step in graph.steps if with_rows or step.effect == "value")
    above = _reached([node.table], links, lambda link: link.target, lambda link: link.source)
    below = _reached([node.table], links, lambda link: link.source, lambda link: link.target)
    return above, below


def _table_links(steps: Iterable[Step]) -> list[Link]:
    """Return one link for each pair of tables: of their values if any step has one."""
    found: dict[tuple[str, str], Effect] = {}
    for step in steps:
        pair = (step.source.table, step.target.table)
        if pair[0] != pair[1] and found.get(pair) != "value":
            found[pair] = step.effect
    return [Link(Source(one, ROWS), Source(other, ROWS), effect) for (one, other), effect in found.items()]


def _reached(
    tables: Iterable[str], links: Iterable[Link], begin: Callable[[Link], Source], end: Callable[[Link], Source]
) -> list[Link]:
    """Return the links that are reached from tables, the nearest first."""
    by_table: dict[str, list[Link]] = {}
    for link in links:
        by_table.setdefault(begin(link).table, []).append(link)
    waiting, found = [*tables], list[Link]()
    seen = {*waiting}
    while waiting:
        for link in by_table.get(waiting.pop(0), ()):
            found.append(link)
            if (name := end(link).table) not in seen:
                seen.add(name)
                waiting.append(name)
    return found


def _domain_tables(graph: Lineage, domains: Collection[str]) -> set[str]:
    """Return the tables of domains with their files, without checks."""
    own = {table.name for table in graph.tables.values() if table.domain in domains and table.kind != "check"}
    files = {
        step.source.table
        for step in graph.steps
        if step.target.table in own and graph.tables[step.source.table].kind == "file"
    }
    return own | files


def _related(graph: Lineage, nodes: Iterable[tuple[Source, Effect]], chosen: Source) -> tuple[Related, ...]:
    """Return the tables of nodes with their columns, each with its strongest effect."""
    columns: dict[str, dict[Source, None]] = {}
    effects: dict[str, set[Effect]] = {}
    for node, effect in nodes:
        if node != chosen:
            columns.setdefault(node.table, {})
            effects.setdefault(node.table, set()).add(effect)
            if node.column != ROWS:
                columns[node.table][node] = None
    return tuple(
        Related(
            graph.tables[name],
            kind_name(graph.tables[name].kind),
            tuple(found),
            " and ".join(text for effect, text in _EFFECTS.items() if effect in effects[name]),
        )
        for name, found in columns.items()
    )
