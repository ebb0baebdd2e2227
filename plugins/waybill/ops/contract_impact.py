"""What rests on the columns that a change of contracts touches, before the change is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from waybill.contracts import Column, Contract
from waybill.ops.column_sources import Source
from waybill.ops.lineage import Kind, Lineage, project_lineage, shown


@dataclass(frozen=True)
class Change:
    """A changed column, and what rests on it."""

    column: Source
    what: str
    """Such as `type numeric(12,2) -> text`."""
    values: Mapping[Kind, tuple[str, ...]]
    """By kind of table, the columns that are computed from it."""
    rows: tuple[str, ...]
    """The tables whose rows it decides, or that read such a table."""
    same_files: tuple[str, ...]
    """Columns of other datasets that are loaded from the same files."""
    breaks: tuple[str, ...]
    """What fails, or may no longer fit, where the column is used directly: sentences in Markdown."""


def impact(before: Mapping[str, Contract], now: Mapping[str, Contract]) -> list[Change]:
    """Return the columns of the contracts `before` that differ in `now`, all contracts, with what rests on them.

    A renamed column is one that is gone. New columns are left out: nothing rests on them. Raises `DataError` for an SQL
    file that names a column which neither the old nor the new contract has.
    """
    changes = [(name, one, what) for name, old in sorted(before.items()) for one, what in _changed(old, now.get(name))]
    if not changes:
        return []
    graph = project_lineage({**now, **{name: _both(old, now.get(name)) for name, old in before.items()}})
    return [_resting(graph, now, Source(name, column), what) for name, column, what in changes]


def _changed(old: Contract, new: Contract | None) -> Iterable[tuple[str, str]]:
    """Yield (column, what changed) for each column that is gone or means something else."""
    left = {column.name: column for column in new.columns} if new else {}
    for column in old.columns:
        now = left.get(column.name)
        if what := "gone" if now is None else _difference(column, now):
            yield column.name, what


def _difference(old: Column, new: Column) -> str:
    parts = []
    if old.physical_type != new.physical_type:
        parts.append(f"type {old.physical_type} -> {new.physical_type}")
    if old.classification != new.classification:
        parts.append(f"classification {old.classification or 'none'} -> {new.classification or 'none'}")
    if _meaning(old) != _meaning(new):
        parts.append("meaning")
    return ", ".join(parts)


def _meaning(column: Column) -> tuple[object, ...]:
    """Return what a column means and which values it may have. The order of listed values says nothing."""
    limits = sorted((name, str(value)) for name, value in column.options.items())
    text = " ".join(column.description.split())
    return text, column.business_name, column.required, column.unique, sorted(column.enum), limits, column.reference


def _both(old: Contract, new: Contract | None) -> Contract:
    """Return a contract with the columns of both versions, so that SQL of either can be read."""
    if new is None:
        return old
    return replace(new, columns=(*new.columns, *(one for one in old.columns if one.name not in new.names)))


def _breaks(graph: Lineage, now: Mapping[str, Contract], column: Source, what: str) -> Iterable[str]:
    """Yield what a column that is gone, or has another type, breaks in each table that uses it directly."""
    for step in graph.out_of.get(column, ()):
        table = graph.tables[step.target.table]
        if what == "gone" and step.by:
            yield f"`{step.by}` names it, so `{table.name}` cannot be built"
        elif what == "gone":
            yield f"`{shown(step.target)}` loses it"
        elif what.startswith("type ") and step.effect == "value" and step.by and (contract := now.get(table.name)):
            kind = next((one.physical_type for one in contract.columns if one.name == step.target.column), None)
            if kind:
                yield f"`{step.by}` computes `{shown(step.target)}` from it, which is {kind} in its contract"


def _resting(graph: Lineage, now: Mapping[str, Contract], column: Source, what: str) -> Change:
    computed = [*dict.fromkeys(step.target for step in graph.downstream([column], "value") if step.target != column)]
    values: dict[Kind, list[str]] = {}
    for node in computed:
        values.setdefault(graph.tables[node.table].kind, []).append(shown(node))
    rows = {
        step.target.table
        for node in (column, *computed)
        for step in graph.out_of.get(node, ())
        if step.effect == "rows"
    }
    readers = graph.downstream([node for table in rows for node in graph.nodes_of(table)])
    rows |= {step.target.table for step in readers}
    return Change(
        column,
        what,
        {kind: tuple(sorted(names)) for kind, names in values.items()},
        tuple(sorted(rows - {column.table})),
        tuple(shown(one) for one in graph.siblings(column)),
        tuple(sorted({*_breaks(graph, now, column, what)})),
    )


def sentences(changes: Sequence[Change]) -> list[str]:
    """Return a list in Markdown: a line for each column, with lines below it for each kind of what rests on it."""
    lines = []
    for change in changes:
        lines.append(f"* `{shown(change.column)}`: {change.what}")
        lines += [
            f"    * breaks: {one}" if change.what == "gone" else f"    * may break: {one}" for one in change.breaks
        ]
        lines += [f"    * {kind}: {_listed(names)}" for kind, names in change.values.items()]
        if change.rows:
            lines.append(f"    * decides rows of: {_listed(change.rows)}")
        if change.same_files:
            lines.append(f"    * loaded from the same files: {_listed(change.same_files)}")
        if not change.values and not change.rows:
            lines.append("    * nothing rests on it")
    return lines


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
