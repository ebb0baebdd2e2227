"""Where each column comes from and what rests on it: a graph from contracts and SQL files, without a warehouse.

Nodes are columns of files, datasets, derived tables, reports and exports, the rows of each of these tables, and the
figures of dashboards, streams and checks. A step leads from a source to what it determines: a value, or which rows a
table has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, NamedTuple

from waybill.contracts import Contract, load_all
from waybill.contracts.contract import HISTORY_COLUMNS
from waybill.contracts.dag_files import dags_folder, function_text, schemas_in_lake
from waybill.contracts.domains import is_on_spark
from waybill.contracts.locations import (
    catalog_table,
    domain_of,
    raw_layout,
    read_sql,
    report_schema,
)
from waybill.contracts.odcs import sql_path
from waybill.contracts.standard import likeliest
from waybill.derived.build import known_datasets, named_tables
from waybill.errors import DataError
from waybill.ops.column_sources import (
    ROWS,
    ColumnSources,
    Dialect,
    Relation,
    Source,
    UnresolvedSql,
    column_sources,
    table_columns,
)
from waybill.ops.lineage_uses import Use, checks_of, uses
from waybill.settings import in_project, settings
from waybill.warehouse.schema import PROVENANCE

Kind = Literal["file", "dataset", "derived", "report", "published", "lake", "dashboard", "check", "stream"]
Effect = Literal["value", "rows"]
TABLES: Final[tuple[Kind, ...]] = ("dataset", "derived", "report")
"""The kinds that have a contract."""
_NAMED: Final = 5
"""How many tables a message names that have a column."""
_DELIVERED: Final = (*PROVENANCE, "_delivered")


class Step(NamedTuple):
    """A source and what it determines."""

    source: Source
    target: Source
    effect: Effect
    """`value`: the source is part of the target's value. `rows`: it decides which rows the target's table has."""
    by: str | None
    """The SQL file, or the file of the function, that does it; None if the contract alone tells."""


@dataclass(frozen=True)
class Table:
    """A table of the graph, or a folder of files."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    by: str | None = None
    """The file that computes it."""
    domain: str | None = None
    """The domain that it belongs to; None for files, which several domains may read."""


@dataclass(frozen=True)
class Lineage:
    """The graph."""

    tables: Mapping[str, Table]
    steps: tuple[Step, ...]

    @cached_property
    def into(self) -> Mapping[Source, list[Step]]:
        """The steps that lead to a node."""
        return _by_node((step.target, step) for step in self.steps)

    @cached_property
    def out_of(self) -> Mapping[Source, list[Step]]:
        """The steps that begin at a node."""
        return _by_node((step.source, step) for step in self.steps)

    def upstream(self, nodes: Iterable[Source], effect: Effect | None = None) -> list[Step]:
        """Return every step on which nodes rest, or rest by one effect, the nearest first."""
        return _closure(nodes, self.into, lambda step: step.source, effect)

    def downstream(self, nodes: Iterable[Source], effect: Effect | None = None) -> list[Step]:
        """Return every step that rests on nodes, or rests by one effect, the nearest first."""
        return _closure(nodes, self.out_of, lambda step: step.target, effect)

    def siblings(self, node: Source) -> list[Source]:
        """Return the columns, or rows, of other datasets that are loaded from the same column, or rows, of files."""
        found = {
            other.target: None
            for step in self.into.get(node, ())
            if self.tables[step.source.table].kind == "file" and (step.source.column == ROWS) == (node.column == ROWS)
            for other in self.out_of[step.source]
            if other.target.table != node.table and (other.target.column == ROWS) == (node.column == ROWS)
        }
        return sorted(found)

    def nodes_of(self, table: str) -> list[Source]:
        """Return the columns of a table and its rows."""
        return [Source(table, name) for name in (*self.tables[table].columns, ROWS)]

    def find(self, name: str, domain: str | None = None) -> Source:
        """Return the column or, as its rows, the table that a name means: `[schema.]table[.column]`.

        Raises `DataError` with the nearest names if there is none, or with all of them if there are several.
        """
        parts = name.split(".")
        tables = [
            one
            for one in self.tables.values()
            if one.kind in TABLES and (domain is None or domain_of(one.name.partition(".")[0]) == domain)
        ]
        whole = [one for one in tables if _ends_with(one.name, parts)]
        holders = [one for one in tables if len(parts) > 1 and _ends_with(one.name, parts[:-1])]
        found = [Source(one.name, ROWS) for one in whole]
        found += [Source(one.name, parts[-1]) for one in holders if parts[-1] in one.columns]
        if len(found) == 1:
            return found[0]
        where = f" in {domain}" if domain else ""
        if found:
            names = ", ".join(sorted(shown(one) for one in found))
            raise DataError(f"{name!r} is the name of several{where}: {names}. Write the whole name, or add --domain.")
        if holders:
            columns = {column for one in holders for column in one.columns}
            raise DataError(
                f"{' and '.join(one.name for one in holders)} has no column {parts[-1]!r}: "
                f"{likeliest(parts[-1], columns)}"
            )
        if not tables:
            raise DataError(f"there is no table of the domain {domain!r}")
        raise DataError(f"there is no table or column {name!r}{where}: {_advice(name, parts, tables)}")


def _advice(name: str, parts: list[str], tables: Collection[Table]) -> str:
    """Return the names that a person may have meant: tables, or columns with their tables."""
    holders: dict[str, list[str]] = {}
    for table in tables:
        for column in table.columns:
            holders.setdefault(column, []).append(table.name.partition(".")[2])
    near = {one.name for one in tables} | {one.name.partition(".")[2] for one in tables}
    if len(parts) == 1 and name not in holders:  # it may be a misspelt table or column
        near |= {*holders}
    asked = [name, *([".".join(parts[:-1])] if len(parts) > 1 else [])]
    meant = (
        name
        if name in holders
        else next((close[0] for one in asked if (close := get_close_matches(one, sorted(near), n=1))), None)
    )
    if meant is None:
        return f"there are {', '.join(sorted(one.name for one in tables))}"
    if meant in holders and not any(one.name.endswith(f".{meant}") for one in tables):
        found = sorted(f"`{table}.{meant}`" for table in holders[meant])
        more = f" or {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        return f"did you mean {' or '.join(found[:_NAMED])}{more}?"
    return f"did you mean `{meant}`?"


def shown(node: Source) -> str:
    """Return a node as messages name it."""
    return node.table if node.column == ROWS else f"{node.table}.{node.column}"


def current_lineage() -> Lineage:
    """Return the graph of the project. It is computed anew only if the content of a file has changed.

    Raises errors as `project_lineage` does.
    """
    include = settings().include_dir
    files = sorted([*include.rglob("*.yaml"), *include.rglob("*.sql"), *dags_folder().rglob("*.py")])
    content = sha256(repr([(str(path), sha256(path.read_bytes()).digest()) for path in files]).encode())
    return _lineage_of(f"{content.hexdigest()} {settings().lake_database}")


@lru_cache(maxsize=1)
def _lineage_of(_content: str) -> Lineage:
    return project_lineage()


def project_lineage(contracts: Mapping[str, Contract] | None = None) -> Lineage:
    """Return the graph of the project, or of these contracts in place of its own.

    Raises `ContractError` for an invalid contract, and `DataError` with file and line for an SQL file that names an
    unknown table or column.
    """
    contracts = load_all() if contracts is None else contracts
    relations = relations_of(contracts.values())
    tables: dict[str, Table] = {}
    steps: list[Step] = []
    copied = schemas_in_lake()
    for contract in contracts.values():
        _add_table(contract, contracts, relations, copied, tables, steps)
    for contract in contracts.values():
        if checks := checks_of(contract, relations, _dialect(contract) if contract.is_dataset else "postgres"):
            _add_use(checks, domain_of(contract.domain), tables, steps)
    for use in uses(contracts):
        _add_use(use, use.name.partition(" of ")[2].partition(".")[0], tables, steps)
    return Lineage(tables, tuple(dict.fromkeys(steps)))


def lineage_into(names: Collection[str]) -> Lineage:
    """Return the tables of the project, with the steps that lead to these tables and to their exports only.

    It reads only the SQL of these tables. Raises errors as `project_lineage` does.
    """
    contracts = load_all()
    relations = relations_of(contracts.values())
    tables: dict[str, Table] = {}
    steps: list[Step] = []
    copied = schemas_in_lake()
    for contract in contracts.values():
        if contract.table in names:
            _add_table(contract, contracts, relations, copied, tables, steps)
        else:
            domain = domain_of(contract.domain)
            tables[contract.table] = Table(contract.table, _kind(contract), tuple(contract.names), domain=domain)
    return Lineage(tables, tuple(dict.fromkeys(steps)))


def _add_use(use: Use, domain: str, tables: dict[str, Table], steps: list[Step]) -> None:
    tables[use.name] = Table(use.name, use.kind, tuple(use.figures), domain=domain)
    steps += [
        Step(source, Source(use.name, figure), "value", None)
        for figure, sources in use.figures.items()
        for source in sorted(sources)
        if source.table in tables
    ]


def sql_problems(contracts: Collection[Contract]) -> dict[Path, list[str]]:
    """Return by SQL file why the sources of its columns are not known: texts to be appended to its path."""
    relations = relations_of(contracts)
    found: dict[Path, list[str]] = {}
    for contract in contracts:
        path = sql_path(contract)
        if contract.is_dataset or not path.is_file():
            continue
        try:
            sources = column_sources(read_sql(path), relations, _dialect(contract))
        except UnresolvedSql as error:
            found[path] = [f"{f', line {error.line}' if error.line else ''}: {error}"]
            continue
        wanted = contract.computed_columns
        problems = [
            f": does not return the column {name!r} of the contract" for name in wanted if name not in sources.columns
        ]
        problems += [
            f": returns the column {name!r}, which is not in the contract: {likeliest(name, {*wanted})}"
            for name in sources.columns
            if name not in wanted
        ]
        if problems:
            found[path] = problems
    return found


def relations_of(contracts: Iterable[Contract]) -> dict[str, Relation]:
    """Return every table, view and function that SQL may read, by name, with columns of the contracts' tables."""
    found: dict[str, Relation] = {}
    for contract in contracts:
        for suffix, more in _readable(contract).items():
            found[f"{contract.table}{suffix}"] = table_columns(contract.table, (*contract.names, *more))
    return found


def _readable(contract: Contract) -> dict[str, tuple[str, ...]]:
    """Return the suffixes of the relations of a table, and the columns that each has besides those of the contract."""
    if not contract.is_dataset:
        return {"": ()}
    if is_on_spark(contract.domain):
        return {"": (), "_as_of": (), **({"_changes": ()} if contract.version_column else {})}
    if contract.load_mode == "snapshot":
        return {"": (), "_as_of": (), "_history": (*HISTORY_COLUMNS, *PROVENANCE)}
    if contract.load_mode == "changes":
        return {"": (), "_as_of": (), "_changes": _DELIVERED, "_superseded": _DELIVERED}
    return {"": _DELIVERED, "_as_of": (), "_superseded": _DELIVERED}


def _dialect(contract: Contract) -> Dialect:
    return "spark" if is_on_spark(domain_of(contract.domain)) else "postgres"


def _kind(contract: Contract) -> Kind:
    """Return the kind of the table of a contract."""
    if contract.is_dataset:
        return "dataset"
    return "report" if contract.domain == report_schema(domain_of(contract.domain)) else "derived"


def _add_table(
    contract: Contract,
    contracts: Mapping[str, Contract],
    relations: Mapping[str, Relation],
    copied: Collection[str],
    tables: dict[str, Table],
    steps: list[Step],
) -> None:
    """Add a table and its exports, with the steps that lead to them."""
    if contract.is_dataset:
        _add_dataset(contract, tables, steps)
    else:
        _add_derived(contract, contracts, relations, tables, steps)
    for export in _exports(contract, copied):
        tables[export.name] = export
        steps += [
            Step(Source(contract.table, name), Source(export.name, name), "value", None) for name in export.columns
        ]
        steps.append(Step(Source(contract.table, ROWS), Source(export.name, ROWS), "rows", None))


def _add_dataset(contract: Contract, tables: dict[str, Table], steps: list[Step]) -> None:
    """Add a dataset and its files. What a load adds to rows comes from the file as a whole."""
    own = tuple(dict.fromkeys(name for more in _readable(contract).values() for name in more))
    delivered = tuple(column.name for column in contract.delivered_columns)
    folder = raw_layout(contract.domain, contract.name, contract.cadence).pattern
    if folder in tables:  # two domains may read the same files
        delivered_before = tables[folder].columns
        tables[folder] = Table(folder, "file", tuple(dict.fromkeys((*delivered_before, *delivered))))
    else:
        tables[folder] = Table(folder, "file", delivered)
    domain = domain_of(contract.domain)
    tables[contract.table] = Table(contract.table, "dataset", (*contract.names, *own), domain=domain)
    for name in tables[contract.table].columns:
        origin = Source(folder, name if name in delivered else ROWS)
        steps.append(Step(origin, Source(contract.table, name), "value", None))
    steps.append(Step(Source(folder, ROWS), Source(contract.table, ROWS), "rows", None))


def _add_derived(
    contract: Contract,
    contracts: Mapping[str, Contract],
    relations: Mapping[str, Relation],
    tables: dict[str, Table],
    steps: list[Step],
) -> None:
    path, sources = of_sql(contract, relations) or _of_function(contract, contracts)
    by = str(in_project(path)) if path else None
    domain = domain_of(contract.domain)
    tables[contract.table] = Table(contract.table, _kind(contract), tuple(contract.names), by, domain)
    rows = Source(contract.table, ROWS)
    for name in contract.names:
        target = Source(contract.table, name)
        steps += [Step(one, target, "value", by) for one in sorted(sources.columns.get(name, ()))]
        steps.append(Step(rows, target, "rows", None))
    steps += [Step(one, rows, "rows", by) for one in sorted(sources.influences | sources.rows)]


def of_sql(contract: Contract, relations: Mapping[str, Relation]) -> tuple[Path | None, ColumnSources] | None:
    """Return the SQL file of a derived table with its sources; None if it has no SQL file.

    Raises `DataError` with file and line for SQL that names an unknown table or column.
    """
    path = sql_path(contract)
    if not path.is_file():
        return None
    try:
        return path, column_sources(read_sql(path), relations, _dialect(contract))
    except UnresolvedSql as error:
        where = f"{in_project(path)}, line {error.line}" if error.line else str(in_project(path))
        raise DataError(f"{where}: {error}. `waybill contract check` lists all problems.") from None


def _of_function(contract: Contract, contracts: Mapping[str, Contract]) -> tuple[Path | None, ColumnSources]:
    """Return the file and the sources of a report that a function computes: the tables that its text names.

    If it names none, these are all datasets of the domain. Every column may rest on every column of these tables.
    """
    domain = domain_of(contract.domain)
    found = function_text(domain, contract.name)
    named = named_tables(found[1], {name: name for name in contracts}) if found else set()
    read = sorted(named - {contract.table}) or known_datasets(domain, None)
    rows = frozenset(Source(table, ROWS) for table in read)
    influences = frozenset(Source(table, name) for table in read for name in contracts[table].names)
    return found[0] if found else None, ColumnSources(dict.fromkeys(contract.names, rows), influences, rows)


def _exports(contract: Contract, copied: Collection[str]) -> Iterator[Table]:
    """Yield where other programs read a table: published files of a report, and the table of the lake."""
    domain = domain_of(contract.domain)
    columns = tuple(contract.names)
    if contract.domain == report_schema(domain):
        name = f"{contract.name}_<cadence>" if len(contract.cadences) > 1 else contract.name
        yield Table(f"analytics/YYYY/MM/DD/{name}", "published", columns, domain=domain)
    is_copied = contract.domain in copied and contract.has_days
    if is_copied or (contract.is_dataset and is_on_spark(domain)):
        name = f"{settings().lake_database}.{catalog_table(contract.domain, contract.name)}"
        yield Table(name, "lake", columns, domain=domain)


def _ends_with(table: str, parts: list[str]) -> bool:
    return parts in (table.split("."), table.split(".")[1:])


def _by_node(pairs: Iterable[tuple[Source, Step]]) -> dict[Source, list[Step]]:
    found: dict[Source, list[Step]] = {}
    for node, step in pairs:
        found.setdefault(node, []).append(step)
    return found


def _closure(
    nodes: Iterable[Source],
    steps: Mapping[Source, list[Step]],
    follow: Callable[[Step], Source],
    effect: Effect | None,
) -> list[Step]:
    """Return every step, or every step of an effect, that is reached from nodes, the nearest first."""
    waiting = deque(nodes)
    seen = set(waiting)
    found = []
    while waiting:
        for step in steps.get(waiting.popleft(), ()):
            if effect not in (None, step.effect):
                continue
            found.append(step)
            if (following := follow(step)) not in seen:
                seen.add(following)
                waiting.append(following)
    return found
