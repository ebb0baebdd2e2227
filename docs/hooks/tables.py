"""The pages of the tables, from their contracts."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from waybill.contracts import Check, Column, Contract, load_all
from waybill.contracts.feature_views import FeatureView
from waybill.formatting import count, length
from waybill.ops.column_sources import ROWS, Source
from waybill.ops.lineage import TABLES, Lineage, current_lineage

FOLDER = "reference/tables"
EFFECT = {"error": "stops the run", "warning": "warns"}


def cell(text: str) -> str:
    """Return a text as one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def navigation() -> list[dict[str, Any]]:
    """Return the entries of the navigation: the tables of each domain."""
    return [{domain: [{one.name: _path(one)} for one in found]} for domain, found in _by_domain()]


def pages() -> dict[str, str]:
    """Return the page of each table and their index, by path."""
    found = {_path(contract): _page(contract) for _, contracts in _by_domain() for contract in contracts}
    return {f"{FOLDER}/index.md": _index(), **found}


def _by_domain() -> list[tuple[str, list[Contract]]]:
    contracts = sorted(load_all().values(), key=lambda contract: (contract.domain, contract.name))
    return [(domain, list(found)) for domain, found in groupby(contracts, key=lambda contract: contract.domain)]


def _path(contract: Contract) -> str:
    return f"{FOLDER}/{contract.table}.md"


def _index() -> str:
    text = "# Tables\n\nEvery table that a contract in `include/contracts` declares, by schema.\n"
    for domain, contracts in _by_domain():
        text += f"\n## {domain}\n\n| Table | Load mode | Grain |\n|---|---|---|\n"
        text += "".join(
            f"| [{one.name}]({one.table}.md) | `{one.load_mode}` | {cell(one.grain)} |\n" for one in contracts
        )
    return text


def _page(contract: Contract) -> str:
    text = f"# {contract.table}\n\n{cell(contract.description)}\n\n"
    text += f"{cell(contract.grain)} Load mode `{contract.load_mode}`, contract version {contract.version}.\n"
    if contract.load_mode == "feature":
        text += _feature_view(FeatureView.of(contract))
    text += "\n## Columns\n\n| Column | Type | | Meaning |\n|---|---|---|---|\n"
    text += "".join(_column(contract, one) for one in contract.columns)
    if contract.row_rules:
        text += "\n## Rules\n\nA row that breaks a rule is rejected.\n\n| Rule | Condition |\n|---|---|\n"
        text += "".join(f"| `{one.name}` | `{cell(one.expression)}` |\n" for one in contract.row_rules)
    if contract.checks:
        text += "\n## Checks\n\n| Check | A failure | Condition |\n|---|---|---|\n"
        text += "".join(map(_check, contract.checks))
    return text + _lineage(contract)


def _feature_view(view: FeatureView) -> str:
    """Return what readers of a feature view need to know besides its columns."""
    owner = f", owned by {view.contract.owner}" if view.contract.owner else ""
    ttl = f"for {length(view.ttl)}" if view.ttl else "for ever"
    known = f"{length(view.latency)} after" if view.latency else "at"
    return (
        f"\n[Feature view](../features.md) `{view.name}`{owner}. It has {count(len(view.features), 'feature')} of "
        f"{', '.join(f'`{name}`' for name in view.entity)}. Values count {ttl}, and are known {known} `event_ts`.\n"
    )


def _lineage(contract: Contract) -> str:
    """Return where the columns come from and which tables use this one; where a dataset comes from, its files say."""
    graph = current_lineage()
    text = f"\n## Lineage\n\n`waybill lineage {contract.table}` shows [the whole graph](../lineage.md).\n"
    if contract.is_dataset:
        folders = dict.fromkeys(step.source.table for step in graph.into[Source(contract.table, ROWS)])
        text += f"\nLoaded from {', '.join(f'`{one}`' for one in folders)}.\n"
    else:
        text += "\n| Column | Comes from |\n|---|---|\n"
        text += "".join(f"| `{name}` | {_sources(graph, Source(contract.table, name))} |\n" for name in contract.names)
        text += f"| *rows* | {_sources(graph, Source(contract.table, ROWS))} |\n"
    return text + _users(graph, contract.table)


def _sources(graph: Lineage, node: Source) -> str:
    """Return the columns of other tables on which a column, or which rows there are, directly rests."""
    wanted = "rows" if node.column == ROWS else "value"
    columns: dict[str, set[str]] = {}
    for step in graph.into.get(node, ()):
        if step.effect == wanted:
            columns.setdefault(step.source.table, set()).add(step.source.column)
    parts = []
    for table, names in sorted(columns.items()):
        listed = ", ".join(f"`{name}`" for name in sorted(names - {ROWS})) or "its rows"
        parts.append(f"{_linked(graph, table)}: {listed}")
    return "; ".join(parts) or "a constant, or the period of the run"


def _users(graph: Lineage, table: str) -> str:
    """Return which tables, exports, dashboards and streams use a table directly."""
    targets = {step.target.table for node in graph.nodes_of(table) for step in graph.out_of.get(node, ())} - {table}
    found = sorted(one for one in targets if graph.tables[one].kind != "check")
    return f"\nUsed by {', '.join(_linked(graph, one) for one in found)}.\n" if found else ""


def _linked(graph: Lineage, table: str) -> str:
    if graph.tables[table].kind in TABLES:
        return f"[{table}]({table}.md)"
    return table if " of " in table else f"`{table}`"


def _column(contract: Contract, column: Column) -> str:
    values = f" One of {', '.join(f'`{value}`' for value in column.enum)}." if column.enum else ""
    cells = (f"`{column.name}`", column.physical_type, _marks(contract, column), column.description + values)
    return f"| {' | '.join(map(cell, cells))} |\n"


def _marks(contract: Contract, column: Column) -> str:
    """Return what is special about a column: key, reference, classification."""
    marks = (
        f"key {column.key_position}" if column.key_position else "",
        "required" if column.required and not column.key_position else "",
        "unique" if column.unique else "",
        _reference(contract, column),
        column.classification or "",
    )
    return ", ".join(filter(None, marks))


def _reference(contract: Contract, column: Column) -> str:
    """Return the referenced column with a link to its table, or nothing."""
    if column.reference is None:
        return ""
    name, other = column.reference
    found = next(one for one in load_all().values() if one.name == name and contract.domain.startswith(one.domain))
    return f"→ [{found.table}]({found.table}.md).{other}"


def _check(check: Check) -> str:
    condition = f"{check.operator} {check.threshold:g}{' %' if check.is_percent else ''}: "
    cells = (f"`{check.name}`", EFFECT[check.severity], condition + (check.description or check.metric))
    return f"| {' | '.join(map(cell, cells))} |\n"
