"""Plan the SQL of derived tables and checks in PostgreSQL, and compare its columns with the contracts.

Each statement is planned with the parameters of a run and returns no rows. The tables of the contracts are created
first, in a transaction that is rolled back, so the warehouse need not have them. SQL for Spark is left out.
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
from waybill.contracts.domains import is_on_spark
from waybill.contracts.locations import SCHEMAS, read_sql, report_files, sql_folder
from waybill.contracts.standard import likeliest
from waybill.derived.feature import is_retired
from waybill.period import ALL_TIME, Period
from waybill.settings import settings
from waybill.warehouse.evolution import ensure
from waybill.warehouse.schema import LONG_TYPES, subquery

STATEMENT_TIMEOUT = "5s"
LOCK_TIMEOUT = "2s"
_DAY = date(2026, 1, 1)
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%%")


@dataclass(frozen=True)
class _Column:
    """A column that a statement returns."""

    name: str
    type: str
    """The type in PostgreSQL, without precision and scale."""
    scale: int | None
    """The declared scale of a numeric."""


class _InvalidSql(Exception):
    """PostgreSQL rejects a statement. The text names the line and the reason."""


def lint_sql(connection: Connection, contracts: Sequence[Contract]) -> list[str]:
    """Return every problem in the SQL of derived tables and checks by file, without changing the warehouse.

    Raises `psycopg.Error` if the tables cannot be created, for example because a privilege is missing.
    """
    problems: list[str] = []
    with connection.transaction(force_rollback=True):
        connection.execute(
            "select set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
            (STATEMENT_TIMEOUT, LOCK_TIMEOUT),
        )
        contracts = [one for one in contracts if not is_retired(connection, one)]
        for contract in sorted(contracts, key=lambda one: not one.is_dataset):
            try:
                ensure(connection, contract)
            except ContractError as error:
                problems.append(f"{_contract_file(contract)}: the next run with this contract would stop: {error}")
        for domain in sorted({one.domain for one in contracts if one.is_dataset}):
            for contract, path in _derived(domain, contracts):
                if not is_on_spark(domain):
                    problems += [f"{path}{problem}" for problem in _of_derived(connection, contract, path)]
                problems += [f"{_contract_file(contract)}: {problem}" for problem in _of_patterns(connection, contract)]
        for contract in contracts:
            if contract.is_dataset and is_on_spark(contract.domain):
                continue
            problems += [f"{_contract_file(contract)}: {problem}" for problem in _of_checks(connection, contract)]
    return problems


def _contract_file(contract: Contract) -> Path:
    return settings().include_dir / "contracts" / contract.domain / f"{contract.name}.yaml"


def _derived(domain: str, contracts: Sequence[Contract]) -> Iterator[tuple[Contract, Path]]:
    """Yield the derived tables of a domain with their SQL files."""
    by_table = {contract.table: contract for contract in contracts}
    for make in SCHEMAS:
        schema = make(domain)
        for path in report_files(sql_folder(domain, make)):
            if contract := by_table.get(f"{schema}.{path.stem}"):
                yield contract, path


def _of_derived(connection: Connection, contract: Contract, path: Path) -> Iterator[str]:
    """Yield the problems of an SQL file, to be appended to its path."""
    try:
        returned = _columns(connection, read_sql(path), contract)
    except _InvalidSql as error:
        yield str(error)
        return
    wanted = {column.name: column for column in contract.columns if column.name in contract.computed_columns}
    times = Counter(column.name for column in returned)
    for name in sorted(name for name, count in times.items() if count > 1):
        yield f": returns the column {name!r} {times[name]} times"
    for name in [name for name in wanted if name not in times]:
        yield (
            f": does not return the column {name!r} of the contract ({wanted[name].physical_type}); "
            f"it returns {', '.join(times) or 'none'}"
        )
    for column in returned:
        if column.name not in wanted:
            known = likeliest(column.name, {*wanted})
            yield f": returns the column {column.name!r}, which is not in the contract: {known}"
        elif column.type != (kind := _postgres_type(declared := wanted[column.name].physical_type)):
            yield (
                f": the column {column.name!r} is {column.type}, but {declared} in the contract: "
                f"write `(…)::{kind} as {column.name}`, or change the contract"
            )
        elif (digits := numeric_digits(declared)) and (column.scale or 0) > digits[1]:
            yield (
                f": the column {column.name!r} has {column.scale} digits after the point, but is {declared} in the "
                "contract: round it in the SQL, or change the contract"
            )


def _of_patterns(connection: Connection, contract: Contract) -> Iterator[str]:
    """Yield the patterns of a derived table that PostgreSQL rejects."""
    for column in contract.columns:
        pattern = column.options.get("pattern")
        if pattern is None:
            continue
        try:
            with connection.transaction():
                connection.execute("select '' ~ %s", (pattern,))
        except psycopg.Error as error:
            yield f"PostgreSQL rejects the pattern of {column.name!r}: {error.diag.message_primary}"


def _of_checks(connection: Connection, contract: Contract) -> Iterator[str]:
    """Yield the problems of the queries of a contract's checks."""
    for check in contract.checks:
        if check.query is None:
            continue
        try:
            returned = _columns(connection, check.query, contract)
        except _InvalidSql as error:
            yield f"the query of the check {check.name}{error}"
            continue
        if len(returned) != 1 or returned[0].type not in _NUMBERS:
            found = ", ".join(f"{column.name} ({column.type})" for column in returned)
            yield f"the query of the check {check.name} must return one number, but returns {found or 'nothing'}"


def _columns(connection: Connection, text: str, contract: Contract) -> list[_Column]:
    """Return the columns of the result of a statement. Raises `_InvalidSql` if PostgreSQL rejects it."""
    period = Period.of(contract.cadence, _DAY) if contract.cadences else ALL_TIME
    statement = sql.SQL("select * from (\n") + subquery(text) + sql.SQL("\n) as linted limit 0")
    try:
        with connection.transaction():
            cursor = connection.execute(statement, period.parameters(settings().timezone))
    except psycopg.Error as error:
        reason = "; ".join(filter(None, (error.diag.message_primary, error.diag.message_hint))) or str(error)
        line = _line(statement.as_string(None), error.diag.statement_position)
        raise _InvalidSql(f"{f', line {line}' if line else ''}: PostgreSQL rejects it: {reason.rstrip('.')}") from error
    known = connection.adapters.types
    found = []
    for column in cursor.description or ():
        info = known.get(column.type_code)
        name = info.regtype if info else column.type_display
        if info and info.array_oid == column.type_code:
            name += "[]"
        found.append(_Column(column.name, name, column.scale))
    return found


def _line(statement: str, position: str | None) -> int | None:
    """Return the line of the text for a position in the statement, in which `$1` replaces parameters."""
    if position is None:
        return None
    numbers: dict[str, int] = {}

    def as_sent(found: re.Match[str]) -> str:
        return f"${numbers.setdefault(found[1], len(numbers) + 1)}" if found[1] else "%"

    return _PLACEHOLDER.sub(as_sent, statement)[: int(position) - 1].count("\n")


def _postgres_type(physical_type: str) -> str:
    """Return the name of a contract's type in PostgreSQL, without precision and scale."""
    return LONG_TYPES.get(physical_type, physical_type.partition("(")[0])
