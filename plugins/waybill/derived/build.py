"""Build a report's rows for one period: replace, check, commit, in one transaction."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection, sql

from waybill.checks import approval, quality
from waybill.checks.value_rules import broken_rules
from waybill.contracts import Contract, load, load_domain
from waybill.contracts.locations import report_schema
from waybill.errors import DataError
from waybill.formatting import count
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse import change_log
from waybill.warehouse.connection import non_retryable_sql, one_row
from waybill.warehouse.evolution import ensure
from waybill.warehouse.schema import changed_keys_relation, changed_sql, columns_sql, relation, subquery

log = logging.getLogger(__name__)


def report_contracts(domain: str) -> dict[str, Contract]:
    """The contracts of a domain's reports, by name."""
    return load_domain(report_schema(domain))


def report_contract(domain: str, name: str) -> Contract:
    """The contract of one report."""
    return load(settings().include_dir / "contracts" / report_schema(domain) / f"{name}.yaml")


@dataclass(frozen=True)
class BuildInputs:
    """What a period of a report is about to be built from."""

    file_ids: list[int]
    inputs: tuple[str, ...] = ()
    """The tables that its SQL names, where the change log knows them."""
    changes: int | None = None
    """How many changes of them lie within its window; for what was known, the rows that its files brought."""


FindInputs = Callable[[], BuildInputs | None]


@dataclass(frozen=True)
class Built:
    """What building a report's period gave."""

    rows: int
    is_changed: bool
    """Whether the content differs from what was there before."""


_SUFFIXES = ("", "_changes", "_history", "_superseded", "_as_of")
_NAMED_TABLE = re.compile(r"\b([a-z_][a-z0-9_]*)\.([a-z_][a-z0-9_]*)")
_COMMENT = re.compile(r"--[^\n]*")


def dataset_relations(domain: str) -> dict[str, str]:
    """Each table, view and function of the domain's datasets, with its dataset as the ledger calls it."""
    return {
        f"{domain}.{name}{suffix}": contract.table
        for name, contract in load_domain(domain).items()
        for suffix in _SUFFIXES
    }


def named_tables(text: str, relations: Mapping[str, str]) -> set[str]:
    """The tables, by what `relations` calls them, that an SQL text names."""
    return {
        relations[name]
        for schema, table in _NAMED_TABLE.findall(_COMMENT.sub("", text))
        if (name := f"{schema}.{table}") in relations
    }


def known_datasets(domain: str, text: str | None) -> list[str]:
    """The datasets of a domain that an SQL text names; all of them without a text, or if it names none."""
    relations = dataset_relations(domain)
    return sorted((named_tables(text, relations) if text else set()) or set(relations.values()))


def known_files(connection: Connection, domain: str, period: Period, text: str | None = None) -> BuildInputs:
    """The files that were delivered by the period's end, as `_as_of` functions show them.

    Those of the datasets that the SQL text names; of all of the domain's without a text. A file whose rows are
    replayed brings more rows than before: so it is told apart.
    """
    inputs = named_tables(text, dataset_relations(domain)) if text else set()
    rows = connection.execute(
        "select file_id, rows_in - rejected from waybill.load_file "
        "where dataset = any(%s) and status = 'loaded' and period <= %s order by file_id",
        (known_datasets(domain, text), period.start),
    ).fetchall()
    return BuildInputs([file_id for file_id, _ in rows], tuple(sorted(inputs)), sum(brought for _, brought in rows))


def of_period(contract: Contract, period: Period, alias: str | None = None) -> sql.Composed:
    """The condition for the rows of one period of a derived table; a dimension has one, all time.

    The key leads with the period's first day; reports of several cadences also have a column `cadence`.
    """
    if period.cadence == "all":
        return sql.Composed([sql.SQL("true")])

    def equals(name: str, value: Any) -> sql.Composed:
        column = sql.Identifier(alias, name) if alias else sql.Identifier(name)
        return sql.SQL("{} = {}").format(column, sql.Literal(value))

    condition = equals(contract.key[0], period.start)
    if len(contract.cadences) > 1:
        condition += sql.SQL(" and ") + equals("cadence", period.cadence)
    return condition


_REMEMBER = "create temp table replaced on commit drop as select {columns} from {rows}"
_TOUCH = "insert into {touched} select distinct {member} from {changed} on conflict do nothing"


def build_from_sql(
    connection: Connection,
    contract: Contract,
    find_basis: FindInputs,
    text: str,
    period: Period,
    run: Run,
    summaries: Sequence[Contract] = (),
) -> Built:
    """Replace the period's rows by what the SQL text selects, in one transaction.

    The text binds what `Period.parameters` gives and selects the contract's columns by name. The members of
    `summaries` whose rows changed are noted: they are to be computed again. Otherwise like `build`.
    """
    columns = columns_sql(contract.names)
    rows = sql.SQL("{} where {}").format(relation(contract), of_period(contract, period))
    insert = sql.SQL("insert into {} ({}) select {} from (\n").format(relation(contract), columns, columns)
    statement = insert + subquery(text) + sql.SQL("\n) as report")

    def write() -> list[date]:
        if summaries:
            connection.execute(sql.SQL(_REMEMBER).format(columns=columns, rows=rows))
        _delete(connection, contract, period)
        connection.execute(statement, period.parameters(settings().timezone))
        changed = changed_sql(columns, sql.Identifier("replaced"), rows)
        for summary in summaries:
            touch = sql.SQL(_TOUCH).format(
                touched=changed_keys_relation(summary), member=columns_sql(summary.key), changed=changed
            )
            connection.execute(touch)
        if summaries:
            connection.execute("drop table replaced")
        return [period.start]

    return build(connection, contract, find_basis, write, period, run, sha256(text))


def build_from_rows(
    connection: Connection,
    contract: Contract,
    find_basis: FindInputs,
    rows: Sequence[Mapping[str, Any]],
    period: Period,
    run: Run,
) -> Built:
    """Replace the period's rows by `rows` (mappings by column); otherwise like `build`."""
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        relation(contract),
        columns_sql(contract.names),
        sql.SQL(", ").join(sql.Placeholder(name) for name in contract.names),
    )

    def write() -> list[date]:
        _delete(connection, contract, period)
        connection.cursor().executemany(statement, rows)
        return [period.start]

    return build(connection, contract, find_basis, write, period, run, None)


def _delete(connection: Connection, contract: Contract, period: Period) -> None:
    connection.execute(sql.SQL("delete from {} where {}").format(relation(contract), of_period(contract, period)))


def sha256(text: str) -> str:
    """Hash of an SQL text."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_sql_of(text: str, recorded: str | None) -> bool:
    """Whether a recorded hash is that of an SQL text.

    Version 0.1 hashed the SQL of monthly reports without its last line end. That is the same SQL.
    """
    return recorded in (sha256(text), sha256(text.removesuffix("\n")))


def build(
    connection: Connection,
    contract: Contract,
    find_basis: FindInputs,
    write: Callable[[], Iterable[date]],
    period: Period,
    run: Run,
    sql_sha256: str | None,
) -> Built:
    """Write a period of a derived table, check it, note what it was built from; all of it or nothing.

    `find_basis` is asked when no other build of the period runs; if it gives None, the period is left as it is.
    `write` gives the days for the change log, should the content be another one than before. Raises `DataError` if
    a row breaks what the contract says about values, or a check of severity error fails; the rows of before then stay,
    and what the checks saw is kept.
    """
    results: list[quality.CheckResult] = []
    try:
        with connection.transaction():
            ensure(connection, contract)
            connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"report {contract.table} {period}",))
            basis = find_basis()
            if basis is None:
                return Built(0, is_changed=False)
            with non_retryable_sql(f"the SQL of {contract.table} {period}"):
                days = write()
                _refuse_broken(connection, contract, period)
            results = quality.evaluate(connection, contract, period)
            quality.stop_or_warn(results)
            rows, content_sha256 = _content(connection, contract, period)
            results += approval.judge(connection, contract, period, results, content_sha256)
            quality.record(connection, results, run)
            is_changed = _note(connection, contract, basis, period, run, rows, content_sha256, sql_sha256)
            if is_changed:
                change_log.record(connection, contract.table, days, file_id=None, cadence=period.cadence)
    except DataError:
        quality.record(connection, results, run)
        raise
    log.info("%s %s: %d rows%s", contract.table, period, rows, "" if is_changed else ", as before")
    return Built(rows, is_changed)


def _refuse_broken(connection: Connection, contract: Contract, period: Period) -> None:
    """Raise `DataError` if rows of the period break what their contract says about values."""
    if broken := broken_rules(connection, contract, of_period(contract, period)):
        counts = ", ".join(f"{reason} in {count(rows, 'row')}" for reason, rows in broken.items())
        raise DataError(
            f"{contract.table} {period}: its rows do not meet the contract: {counts}. Correct the SQL or the contract."
        )


def _content(connection: Connection, contract: Contract, period: Period) -> tuple[int, str]:
    """(number, hash) of the rows of a period, in the order of the key."""
    query = sql.SQL(
        "select count(*), encode(sha256(coalesce("
        "string_agg(sha256(convert_to(r::text, 'UTF8')), ''::bytea order by {}), ''::bytea)), 'hex') "
        "from {} as r where {}"
    ).format(columns_sql(contract.key, "r"), relation(contract), of_period(contract, period, "r"))
    rows, content_sha256 = one_row(connection, query)
    return int(rows), str(content_sha256)


def _note(
    connection: Connection,
    contract: Contract,
    basis: BuildInputs,
    period: Period,
    run: Run,
    rows: int,
    content_sha256: str,
    sql_sha256: str | None,
) -> bool:
    """Note what the report was built from and return whether its content changed.

    A rebuild that finds all as it was leaves the note as it was.
    """
    key = (contract.table, period.cadence, period.start)
    before = connection.execute(
        "select content_sha256 from waybill.publication where report = %s and cadence = %s and period = %s", key
    ).fetchone()
    connection.execute(
        """
        insert into waybill.publication as p (
          report, cadence, period, row_count, content_sha256, sql_sha256, contract_sha256, code_version, run_id,
          file_ids, inputs, changes_seen
        )
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        on conflict (report, cadence, period) do update
        set row_count = excluded.row_count, content_sha256 = excluded.content_sha256,
          sql_sha256 = excluded.sql_sha256, contract_sha256 = excluded.contract_sha256,
          code_version = excluded.code_version, run_id = excluded.run_id, file_ids = excluded.file_ids,
          inputs = excluded.inputs, changes_seen = excluded.changes_seen, built_at = now()
        where (p.content_sha256, p.sql_sha256, p.contract_sha256, p.code_version, p.file_ids, p.changes_seen)
          is distinct from (excluded.content_sha256, excluded.sql_sha256, excluded.contract_sha256,
            excluded.code_version, excluded.file_ids, excluded.changes_seen)
        """,
        (
            *key,
            rows,
            content_sha256,
            sql_sha256,
            contract.sha256,
            run.code_version,
            run.run_id,
            basis.file_ids,
            list(basis.inputs),
            basis.changes,
        ),
    )
    return before != (content_sha256,)
