"""Find the columns that each column of an SQL text comes from, without a database.

A column has sources by value: the columns of its expression, followed through common table expressions and subqueries.
Columns in filters, joins, groups, windows and the order of a limited or aggregated list influence which rows count, and
so the whole result. A number of rows, or a rank among them, comes from the rows of the tables that are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from waybill.contracts.standard import likeliest

Dialect = Literal["postgres", "spark"]
ROWS: Final = "*"
"""Stands for the rows of a table, as in `count(*)`."""


class Source(NamedTuple):
    """A column of a table, or its rows."""

    table: str
    column: str


Sources: TypeAlias = frozenset[Source]
_NOTHING: Final[Sources] = frozenset()


@dataclass(frozen=True)
class Relation:
    """What a name after `from` stands for."""

    columns: tuple[tuple[str, Sources], ...]
    """Names in order, with the sources of the values. A name may occur several times."""
    rows: Sources = _NOTHING
    """The tables whose rows are read."""

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [name for name, _ in self.columns]

    @property
    def values(self) -> Sources:
        """The sources of all columns."""
        return _NOTHING.union(*(sources for _, sources in self.columns))

    def named(self, name: str) -> list[Sources]:
        """Return the sources of the columns with a name."""
        return [sources for one, sources in self.columns if one == name]


@dataclass(frozen=True)
class ColumnSources:
    """The sources of an SQL text."""

    columns: Mapping[str, Sources]
    """The sources of the values of each column. A constant has none."""
    influences: Sources
    """The columns that decide which rows count."""
    rows: Sources
    """The tables whose rows are read."""


class UnresolvedSql(Exception):
    """An SQL text is not valid, or names a table or column that does not exist. `line` is where, if it is known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def table_columns(table: str, names: Iterable[str]) -> Relation:
    """Return the relation of a table with these columns."""
    return Relation(tuple((name, frozenset({Source(table, name)})) for name in names), frozenset({Source(table, ROWS)}))


def column_sources(text: str, relations: Mapping[str, Relation], dialect: Dialect) -> ColumnSources:
    """Return the sources of the columns that an SQL text selects.

    `relations` are the tables, views and functions that it may read, by `schema.name`. Raises `UnresolvedSql`.
    """
    # A doubled sign would end a placeholder. The line and column of all other words stay.
    readable = text.replace("%%", " %") if dialect == "postgres" else text
    try:
        trees = [tree for tree in parse(readable, dialect=dialect) if tree is not None]
    except SqlglotError as error:
        details = getattr(error, "errors", None) or [{}]
        raise UnresolvedSql(f"not valid: {details[0].get('description') or error}", details[0].get("line")) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise UnresolvedSql("must be one query")
    reader = _Reader(relations, dialect)
    result = reader.query(trees[0], {}, None)
    columns: dict[str, Sources] = {}
    for name, sources in result.columns:
        columns[name] = columns.get(name, _NOTHING) | sources
    every = reader.influences | result.rows
    return ColumnSources(
        columns,
        frozenset(one for one in every if one.column != ROWS),
        frozenset(one for one in every if one.column == ROWS),
    )


@dataclass
class _Scope:
    """The names that expressions of a query may use."""

    tables: Mapping[str, Relation]
    """The common table expressions."""
    outer: _Scope | None
    relations: dict[str, Relation] = field(default_factory=dict)
    """What stands after `from`, by alias."""
    merged: dict[str, Sources] = field(default_factory=dict)
    """The columns that `using` merges."""
    aliases: dict[str, Sources] = field(default_factory=dict)
    """Names of the result, for clauses that may use them. Columns of the relations go first."""

    @property
    def rows(self) -> Sources:
        return _NOTHING.union(*(one.rows for one in self.relations.values()))

    def unqualified(self, name: str) -> list[Sources]:
        """Return the sources of each column that a name without a table may mean."""
        if name in self.merged:
            return [self.merged[name]]
        found = [sources for one in self.relations.values() for sources in one.named(name)]
        if not found and name in self.aliases:
            return [self.aliases[name]]
        if not found and name in self.relations:  # a whole row
            return [self.relations[name].values]
        return found

    def every_column(self) -> Iterator[tuple[str, Sources]]:
        """Yield what `*` stands for: merged columns first."""
        yield from self.merged.items()
        for one in self.relations.values():
            yield from ((name, sources) for name, sources in one.columns if name not in self.merged)

    def known(self) -> set[str]:
        """Return the names of all columns, for messages."""
        names = {name for one in self.relations.values() for name in one.names}
        return names | (self.outer.known() if self.outer else set())


class _Reader:
    """Reads one SQL text, and collects the sources that decide which rows count."""

    def __init__(self, relations: Mapping[str, Relation], dialect: Dialect) -> None:
        self.relations = relations
        self.dialect = dialect
        self.influences: set[Source] = set()

    # --- queries ------------------------------------------------------------------------------------------------

    def query(self, tree: exp.Expr, tables: Mapping[str, Relation], outer: _Scope | None) -> Relation:
        """Return the result of a query as a relation."""
        tables = self._with_tables(tree, tables, outer)
        match tree:
            case exp.Subquery() if isinstance(tree.this, exp.Query | exp.Values):
                return self.query(tree.this, tables, outer)
            case exp.SetOperation():
                return self._set_operation(tree, tables, outer)
            case exp.Values():
                return self._values(tree, _Scope(tables, outer))
            case exp.Select():
                return self._select(tree, tables, outer)
        raise _problem(f"{tree.key} is not supported here", tree)

    def _with_tables(
        self, tree: exp.Expr, tables: Mapping[str, Relation], outer: _Scope | None
    ) -> Mapping[str, Relation]:
        clause = tree.args.get("with_")
        if clause is None:
            return tables
        found = dict(tables)
        for one in clause.expressions:
            name, columns = self._fold(one.args["alias"].this), one.args["alias"].args.get("columns") or []
            body = one.this
            if clause.args.get("recursive") and isinstance(body, exp.SetOperation):
                relation = self._renamed(self.query(body.this, found, outer), columns, one)
                while True:  # until its own rows add nothing
                    again = self._renamed(self.query(body, {**found, name: relation}, outer), columns, one)
                    if again == relation:
                        break
                    relation = again
            else:
                relation = self._renamed(self.query(body, found, outer), columns, one)
            found[name] = relation
        return found

    def _set_operation(self, tree: exp.SetOperation, tables: Mapping[str, Relation], outer: _Scope | None) -> Relation:
        left, right = self.query(tree.this, tables, outer), self.query(tree.expression, tables, outer)
        if len(left.columns) != len(right.columns):
            raise _problem(f"{tree.key} of {len(left.columns)} and {len(right.columns)} columns", tree.expression)
        if tree.args.get("distinct") is not False or not isinstance(tree, exp.Union):  # compares whole rows
            self.influences |= left.values | right.values
        if isinstance(tree, exp.Union):
            pairs = zip(left.columns, right.columns, strict=True)
            result = Relation(tuple((name, one | other) for (name, one), (_, other) in pairs), left.rows | right.rows)
        else:
            self.influences |= right.rows
            result = left
        if _is_limited(tree):
            self._influenced_by_order(tree, _Scope(tables, outer, aliases=dict(result.columns)), result.columns)
        return result

    def _select(self, tree: exp.Select, tables: Mapping[str, Relation], outer: _Scope | None) -> Relation:
        scope = _Scope(tables, outer)
        if source := tree.args.get("from_"):
            self._add(source.this, scope)
            for join in source.this.args.get("joins") or ():
                self._join(join, scope)
        for lateral in tree.args.get("laterals") or ():
            self._add(lateral, scope)
        for join in tree.args.get("joins") or ():
            self._join(join, scope)
        self._influence(tree.args.get("where"), scope)
        columns = self._projections(tree, scope)
        result = Relation(tuple(columns), scope.rows)
        scope.aliases = dict(columns)
        for clause in ("windows", "having", "qualify", "connect", "prewhere"):
            found = tree.args.get(clause)
            for part in found if isinstance(found, list) else [found]:
                self._influence(part, scope)
        if group := tree.args.get("group"):
            self._influence_or_position(group.expressions, scope, columns)
            for kind in ("rollup", "cube", "grouping_sets"):
                for part in group.args.get(kind) or ():
                    self._influence(part, scope)
        if distinct := tree.args.get("distinct"):
            if on := distinct.args.get("on"):
                self._influence(on, scope)
            else:
                self.influences |= result.values
        self._influenced_by_order(tree, scope, columns, counts=_is_limited(tree) or bool(distinct))
        return result

    def _influenced_by_order(
        self, tree: exp.Expr, scope: _Scope, columns: Sequence[tuple[str, Sources]], *, counts: bool = True
    ) -> None:
        """Resolve `order by`. It decides which rows count if the result is limited, and nothing else."""
        if order := tree.args.get("order"):
            before = set(self.influences)
            named = dict(columns)
            for one in (part.this for part in order.expressions):
                is_name = isinstance(one, exp.Column) and not one.args.get("table")
                if is_name and (name := self._fold(one.this)) in named:  # columns of the result go first here
                    self.influences |= named[name]
                else:
                    self._influence_or_position([one], scope, columns)
            if not counts:
                self.influences = before

    def _influence_or_position(
        self, expressions: Iterable[exp.Expr], scope: _Scope, columns: Sequence[tuple[str, Sources]]
    ) -> None:
        for one in expressions:
            if isinstance(one, exp.Literal) and one.is_int:
                position = int(one.name)
                if not 0 < position <= len(columns):
                    raise _problem(f"there is no column at position {position}", one)
                self.influences |= columns[position - 1][1]
            else:
                self._influence(one, scope)

    def _projections(self, tree: exp.Select, scope: _Scope) -> list[tuple[str, Sources]]:
        found: list[tuple[str, Sources]] = []
        for one in tree.expressions:
            if self.dialect == "spark":  # a column may use those to its left
                scope.aliases = dict(found)
            match one:
                case exp.Star():
                    found += self._without(one, scope.every_column())
                case exp.Column(this=exp.Star()):
                    found += self._without(one.this, self._relation_of(one, scope).columns)
                case exp.Aliases():
                    found += self._several(one, scope)
                case _:
                    found.append((self._output_name(one), self.values(one, scope)))
        return found

    def _without(self, star: exp.Expr, columns: Iterable[tuple[str, Sources]]) -> list[tuple[str, Sources]]:
        if star.args.get("replace") or star.args.get("rename"):
            raise _problem("`*` with replaced or renamed columns is not supported: list the columns", star)
        left_out = {self._fold(one) for one in star.args.get("except_") or star.args.get("except") or ()}
        return [(name, sources) for name, sources in columns if name not in left_out]

    def _several(self, tree: exp.Aliases, scope: _Scope) -> list[tuple[str, Sources]]:
        """Return the columns of a function that yields several, such as `stack(2, 1, a, 2, b) as (number, value)`."""
        names = [self._fold(one) for one in tree.expressions]
        function = tree.this
        if isinstance(function, exp.Stack):
            given = [self.values(one, scope) for one in function.expressions]
            return [(name, _NOTHING.union(*given[place :: len(names)])) for place, name in enumerate(names)]
        return [(name, self.values(function, scope)) for name in names]

    def _output_name(self, tree: exp.Expr) -> str:
        """Return the name that PostgreSQL gives a column."""
        match tree:
            case exp.Alias():
                return self._fold(tree.args["alias"])
            case exp.Column():
                return self._fold(tree.this)
            case exp.Cast() | exp.Paren() | exp.Bracket() | exp.Collate() | exp.Window() | exp.Filter():
                return self._output_name(tree.this)
            case exp.Anonymous():
                return tree.name.lower()
            case exp.Func():
                return tree.sql_name().lower()
        return "?column?"

    # --- what stands after from ---------------------------------------------------------------------------------

    def _join(self, join: exp.Join, scope: _Scope) -> None:
        before = dict(scope.relations)
        self._add(join.this, scope)
        added = {name: one for name, one in scope.relations.items() if name not in before}
        names = [self._fold(one) for one in join.args.get("using") or ()]
        if (join.args.get("method") or "").upper() == "NATURAL":
            known = {name for one in before.values() for name in one.names}
            names = [name for one in added.values() for name in one.names if name in known]
        for position, name in enumerate(names):
            left = [scope.merged[name]] if name in scope.merged else _named(before, name)
            right = _named(added, name)
            if len(left) != 1 or len(right) != 1:
                place = join.args["using"][position] if join.args.get("using") else join
                raise _problem(f"`using ({name})` needs one column {name!r} on each side", place)
            scope.merged[name] = left[0] | right[0]
            self.influences |= scope.merged[name]
        self._influence(join.args.get("on"), scope)
        if (join.args.get("kind") or "").upper() in ("SEMI", "ANTI"):
            self.influences |= _NOTHING.union(*(one.rows for one in added.values()))
            for name in added:
                del scope.relations[name]

    def _add(self, item: exp.Expr, scope: _Scope) -> None:
        """Add an item of `from` to the scope."""
        if isinstance(item, exp.Subquery) and isinstance(item.this, exp.Table):  # joins in parentheses
            if item.args.get("alias"):
                raise _problem("a name for joins in parentheses is not supported: name the tables", item)
            self._add(item.this, scope)
            for join in item.this.args.get("joins") or ():
                self._join(join, scope)
            return
        if item.args.get("pivots"):
            raise _problem("pivot is not supported: write `filter (where ...)`", item)
        alias = item.args.get("alias")
        name = self._fold(alias.this) if alias and alias.this else ""
        relation = self._relation(item, scope, name)
        relation = self._renamed(relation, (alias.args.get("columns") or []) if alias else [], item)
        name = name or self._default_name(item)
        if name in scope.relations:
            raise _problem(f"the name {name!r} stands for two tables: give one an alias", item)
        scope.relations[name] = relation

    def _default_name(self, item: exp.Expr) -> str:
        name = item.this if isinstance(item, exp.Table) else None
        if isinstance(name, exp.Identifier):
            return self._fold(name)
        return name.name.lower() if isinstance(name, exp.Anonymous) else f"#{id(item)}"

    def _relation(self, item: exp.Expr, scope: _Scope, alias: str) -> Relation:
        match item:
            case exp.Table():
                relation = self._table(item, scope, alias)
            case exp.Values():
                relation = self._values(item, scope)
            case exp.Lateral(this=exp.Query()):
                relation = self.query(item.this, scope.tables, scope)
            case exp.Lateral() | exp.Unnest():
                relation = self._function(item if isinstance(item, exp.Unnest) else item.this, scope, alias)
            case exp.Query():
                relation = self.query(item, scope.tables, scope.outer)
            case _:
                raise _problem(f"{item.key} after `from` is not supported", item)
        return relation

    def _table(self, item: exp.Table, scope: _Scope, alias: str) -> Relation:
        """Return the relation of a table, or of a function: those of a schema stand for the rows of a table."""
        is_function = not isinstance(item.this, exp.Identifier)
        name = item.this.name.lower() if is_function else self._fold(item.this)
        if schema := item.args.get("db"):
            if is_function:
                self._influence(item.this, scope)
            known = f"{self._fold(schema)}.{name}"
            if known not in self.relations:
                raise _problem(f"unknown table {known}: {likeliest(known, {*self.relations})}", item)
            return self.relations[known]
        if is_function:
            return self._function(item.this, scope, alias)
        if name not in scope.tables:
            raise _problem(f"unknown table {name!r}: {likeliest(name, {*scope.tables, *self.relations})}", item)
        return scope.tables[name]

    def _function(self, tree: exp.Expr, scope: _Scope, alias: str) -> Relation:
        """Return the rows of a function such as `unnest(items)`. Its arguments decide how many there are."""
        parts = tree.expressions if isinstance(tree, exp.Unnest) else [tree]
        given = [self.values(one, scope) for one in parts]
        self.influences |= _NOTHING.union(*given)
        names = [self._fold(one) for one in _alias_columns(tree)] or [alias or tree.name.lower() or tree.key]
        if len(given) == len(names):
            return Relation(tuple(zip(names, given, strict=True)))
        return Relation(tuple((name, _NOTHING.union(*given)) for name in names))

    def _values(self, tree: exp.Values, scope: _Scope) -> Relation:
        rows = [one.expressions if isinstance(one, exp.Tuple) else [one] for one in tree.expressions]
        if len({len(row) for row in rows}) != 1:
            raise _problem("the rows of `values` have different numbers of columns", tree)
        return Relation(
            tuple(
                (f"column{place + 1}", _NOTHING.union(*(self.values(row[place], scope) for row in rows)))
                for place in range(len(rows[0]))
            )
        )

    def _renamed(self, relation: Relation, names: Sequence[exp.Expr], place: exp.Expr) -> Relation:
        """Return a relation with the columns that its alias lists, the first ones first."""
        if not names:
            return relation
        given = [self._fold(one.this if isinstance(one, exp.ColumnDef) else one) for one in names]
        columns = relation.columns
        if len(given) > len(columns) == 1 and not relation.rows:  # a function whose columns only the alias names
            columns = columns * len(given)
        if len(given) > len(columns):
            raise _problem(f"{len(given)} names for {len(columns)} columns", names[len(columns)] or place)
        renamed = tuple((name, sources) for name, (_, sources) in zip(given, columns, strict=False))
        return Relation(renamed + columns[len(given) :], relation.rows)

    # --- expressions --------------------------------------------------------------------------------------------

    def _influence(self, tree: exp.Expr | None, scope: _Scope) -> None:
        if tree is not None:
            self.influences |= self.values(tree, scope)

    def values(self, tree: exp.Expr, scope: _Scope) -> Sources:
        """Return the sources of an expression's value."""
        match tree:
            case exp.Column(this=exp.Star()):
                found = self._relation_of(tree, scope).values
            case exp.Column():
                found = self._column(tree, scope)
            case exp.Exists(this=exp.Query() as query):
                found = self.query(query, scope.tables, scope).rows
            case exp.Query():
                result = self.query(tree, scope.tables, scope)
                self.influences |= result.rows
                found = result.values
            case exp.Window() if tree.args.get("over") is not None:
                for part in self._parts(tree):
                    self._influence(part, scope)
                found = self.values(tree.this, scope) or scope.rows
            case _:
                found = self._chosen(tree, scope)
        return found

    def _chosen(self, tree: exp.Expr, scope: _Scope) -> Sources:
        """Return the sources of an expression, without the parts of it that choose and order rows."""
        choosing: Iterable[exp.Expr] = ()
        chosen: Iterable[exp.Expr] = tree.iter_expressions()
        match tree:
            case exp.DataType() | exp.Identifier():
                chosen = ()
            case exp.Collate():
                chosen = (tree.this,)
            case exp.Window():  # the definition of a named window
                chosen = self._parts(tree)
            case exp.WithinGroup():  # the order has the values
                chosen = (*tree.this.iter_expressions(), *tree.expression.expressions)
            case exp.Order() if tree.this is not None:  # in an aggregate
                choosing, chosen = tree.expressions, (tree.this,)
            case exp.Filter() | exp.ArgMin() | exp.ArgMax():
                choosing, chosen = (tree.expression,), (tree.this,)
            case exp.CountIf():
                choosing, chosen = (tree.this,), ()
            case exp.UDTF() | exp.ExplodingGenerateSeries():  # a row becomes several
                choosing = chosen = [*chosen]
        self.influences |= self._of(choosing, scope)
        return self._of(chosen, scope) or (scope.rows if isinstance(tree, exp.AggFunc) else _NOTHING)

    def _of(self, trees: Iterable[exp.Expr], scope: _Scope) -> Sources:
        return _NOTHING.union(*(self.values(one, scope) for one in trees))

    def _parts(self, window: exp.Window) -> list[exp.Expr]:
        """Return what a window is made of: its groups, its order and its frame."""
        given = [value for name, value in window.args.items() if name not in ("this", "alias")]
        parts = [part for value in given for part in (value if isinstance(value, list) else [value])]
        return [part for part in parts if isinstance(part, exp.Expr)]

    def _relation_of(self, tree: exp.Column, scope: _Scope) -> Relation:
        """Return the relation that `name.*` means."""
        name, one = self._fold(tree.args["table"]), scope
        while name not in one.relations:
            if one.outer is None:
                raise _problem(f"unknown table {name!r}: {likeliest(name, {*scope.relations})}", tree)
            one = one.outer
        return one.relations[name]

    def _column(self, tree: exp.Column, scope: _Scope) -> Sources:
        name, table = self._fold(tree.this), tree.args.get("table")
        place: _Scope | None = scope
        while place:
            if table is None:
                found = place.unqualified(name)
            elif (qualifier := self._fold(table)) in place.relations:
                found = place.relations[qualifier].named(name)
                if not found:
                    known = likeliest(name, {*place.relations[qualifier].names})
                    raise _problem(f"unknown column {qualifier}.{name}: {known}", tree)
            else:  # the field of a structure
                found = place.unqualified(self._fold(tree.parts[0])) if self.dialect == "spark" else []
            if len(found) > 1:
                raise _problem(f"the column {name!r} is ambiguous: name its table", tree)
            if found:
                return found[0]
            place = place.outer
        if table is not None:
            known = likeliest(self._fold(table), {*scope.relations})
            raise _problem(f"unknown table {self._fold(table)!r} of the column {name!r}: {known}", tree)
        raise _problem(f"unknown column {name!r}: {likeliest(name, scope.known())}", tree)

    def _fold(self, identifier: exp.Expr) -> str:
        """Return a name as the database reads it."""
        is_exact = self.dialect == "postgres" and identifier.args.get("quoted")
        return identifier.name if is_exact else identifier.name.lower()


def _alias_columns(tree: exp.Expr) -> Sequence[exp.Expr]:
    """Return the columns that the alias of a function after `from` names."""
    holder = tree if tree.args.get("alias") else tree.parent
    alias = holder.args.get("alias") if holder else None
    return (alias.args.get("columns") or []) if isinstance(alias, exp.TableAlias) else []


def _named(relations: Mapping[str, Relation], name: str) -> list[Sources]:
    return [sources for one in relations.values() for sources in one.named(name)]


def _is_limited(tree: exp.Expr) -> bool:
    return any(tree.args.get(name) is not None for name in ("limit", "offset", "fetch"))


def _problem(reason: str, tree: exp.Expr) -> UnresolvedSql:
    lines = (one.meta.get("line") for one in tree.find_all(exp.Identifier))
    return UnresolvedSql(reason, next((line for line in lines if line), None))
