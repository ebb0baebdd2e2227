"""What PostgreSQL says against the SQL of derived tables and checks, and whether it gives what contracts say.

Each statement is planned as a run would run it, with the same parameters, and gives no row. The tables of the contracts
are made beforehand, in a transaction that is rolled back: a warehouse that lacks them can be asked, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg
from psycopg import Connection, sql

from waybill.contracts import Contract, ContractError
from waybill.contracts.contract import numeric_digits
from waybill.contracts.locations import read_sql, report_files, report_schema, star_schema
from waybill.contracts.standard import likeliest
from waybill.period import ALL_TIME, Period
from waybill.settings import settings
from waybill.warehouse.evolution import ensure
from waybill.warehouse.schema import subquery

STATEMENT_TIMEOUT = "5s"
LOCK_TIMEOUT = "2s"
_DAY = date(2026, 1, 1)
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%%")


@dataclass(frozen=True)
class _Column:
    """A column that a statement gives."""

    name: str
    type: str
    """As PostgreSQL calls it, without digits."""
    scale: int | None
    """The digits after the point that are declared, of a numeric."""


class _RefusedSql(Exception):
    """PostgreSQL refuses a statement; the text says why and in which of its lines."""


def lint_sql(connection: Connection, contracts: Sequence[Contract]) -> list[str]:
    """Every problem of the SQL of derived tables and of checks, by file; nothing in the warehouse is changed.

    Raises `psycopg.Error` if the tables cannot be made, say for want of a privilege.
    """
    problems: list[str] = []
    with connection.transaction(force_rollback=True):
        connection.execute(
            "select set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
            (STATEMENT_TIMEOUT, LOCK_TIMEOUT),
        )
        for contract in sorted(contracts, key=lambda one: not one.is_dataset):
            try:
                ensure(connection, contract)
            except ContractError as error:
                problems.append(f"{_contract_file(contract)}: with this contract the next run stops: {error}")
        for domain in sorted({one.domain for one in contracts if one.is_dataset}):
            for contract, path in _derived(domain, contracts):
                problems += [f"{path}{problem}" for problem in _of_derived(connection, contract, path)]
                problems += [f"{_contract_file(contract)}: {problem}" for problem in _of_patterns(connection, contract)]
        for contract in contracts:
            problems += [f"{_contract_file(contract)}: {problem}" for problem in _of_checks(connection, contract)]
    return problems


def _contract_file(contract: Contract) -> Path:
    return settings().include_dir / "contracts" / contract.domain / f"{contract.name}.yaml"


def _derived(domain: str, contracts: Sequence[Contract]) -> Iterator[tuple[Contract, Path]]:
    """The derived tables of a domain, each with its SQL file."""
    by_table = {contract.table: contract for contract in contracts}
    for schema, folder in ((star_schema(domain), star_schema(domain)), (report_schema(domain), domain)):
        for path in report_files(folder):
            if contract := by_table.get(f"{schema}.{path.stem}"):
                yield contract, path


def _of_derived(connection: Connection, contract: Contract, path: Path) -> Iterator[str]:
    """What is wrong with an SQL file, each led by its line or by nothing."""
    try:
        given = _columns(connection, read_sql(path), contract)
    except _RefusedSql as error:
        yield str(error)
        return
    wanted = {column.name: column for column in contract.columns if column.name in contract.computed_columns}
    times = Counter(column.name for column in given)
    for name in sorted(name for name, count in times.items() if count > 1):
        yield f": gives the column {name!r} {times[name]} times"
    for name in [name for name in wanted if name not in times]:
        yield (
            f": lacks the column {name!r} of the contract ({wanted[name].physical_type}); "
            f"it gives {', '.join(times) or 'none'}"
        )
    for column in given:
        if column.name not in wanted:
            yield f": gives the column {column.name!r}, which the contract lacks: {likeliest(column.name, {*wanted})}"
        elif column.type != (kind := _postgres_type(declared := wanted[column.name].physical_type)):
            yield (
                f": the column {column.name!r} is {column.type}, and the contract says {declared}: "
                f"write `(…)::{kind} as {column.name}`, or change the contract"
            )
        elif (digits := numeric_digits(declared)) and (column.scale or 0) > digits[1]:
            yield (
                f": the column {column.name!r} has {column.scale} digits after the point, and the contract says "
                f"{declared}: round it in the SQL, or change the contract"
            )


def _of_patterns(connection: Connection, contract: Contract) -> Iterator[str]:
    """The patterns of a derived table that PostgreSQL does not understand."""
    for column in contract.columns:
        pattern = column.options.get("pattern")
        if pattern is None:
            continue
        try:
            with connection.transaction():
                connection.execute("select '' ~ %s", (pattern,))
        except psycopg.Error as error:
            yield f"the pattern of {column.name!r} is not understood: {error.diag.message_primary}"


def _of_checks(connection: Connection, contract: Contract) -> Iterator[str]:
    """What is wrong with the queries of a contract's checks."""
    for check in contract.checks:
        if check.query is None:
            continue
        try:
            given = _columns(connection, check.query, contract)
        except _RefusedSql as error:
            yield f"the query of the check {check.name}{error}"
            continue
        if len(given) != 1 or given[0].type not in _NUMBERS:
            found = ", ".join(f"{column.name} ({column.type})" for column in given)
            yield f"the query of the check {check.name} must give one number, and gives {found or 'nothing'}"


def _columns(connection: Connection, text: str, contract: Contract) -> list[_Column]:
    """The columns that a statement gives; `_RefusedSql` if PostgreSQL refuses it."""
    period = Period.of(contract.cadence, _DAY) if contract.cadences else ALL_TIME
    statement = sql.SQL("select * from (\n") + subquery(text) + sql.SQL("\n) as reviewed limit 0")
    try:
        with connection.transaction():
            cursor = connection.execute(statement, period.parameters(settings().timezone))
    except psycopg.Error as error:
        said = "; ".join(filter(None, (error.diag.message_primary, error.diag.message_hint))) or str(error)
        line = _line(statement.as_string(None), error.diag.statement_position)
        raise _RefusedSql(f"{f', line {line}' if line else ''}: PostgreSQL refuses it: {said.rstrip('.')}") from error
    known = connection.adapters.types
    found = []
    for column in cursor.description or ():
        info = known.get(column.type_code)
        found.append(_Column(column.name, info.regtype if info else column.type_display, column.scale))
    return found


def _line(statement: str, position: str | None) -> int | None:
    """The line of the text within the statement around it; positions count `$1` where the text has a parameter."""
    if position is None:
        return None
    numbers: dict[str, int] = {}

    def as_sent(found: re.Match[str]) -> str:
        return f"${numbers.setdefault(found[1], len(numbers) + 1)}" if found[1] else "%"

    return _PLACEHOLDER.sub(as_sent, statement)[: int(position) - 1].count("\n")


def _postgres_type(physical_type: str) -> str:
    """What PostgreSQL calls the type of a contract, without digits."""
    return "timestamp with time zone" if physical_type == "timestamptz" else physical_type.partition("(")[0]
