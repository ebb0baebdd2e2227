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
from psycopg.types.json import Jsonb

from waybill.checks import approval, quality
from waybill.checks.value_rules import broken_rules
from waybill.contracts import Contract, load, load_domain
from waybill.contracts.locations import report_schema
from waybill.derived import feature_drift, report_profile
from waybill.errors import DataError
from waybill.formatting import count
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse import change_log
from waybill.warehouse.connection import non_retryable_sql, one_row
from waybill.warehouse.evolution import ensure
from waybill.warehouse.planner_statistics import analyze_grown
from waybill.warehouse.schema import changed_keys_relation, changed_sql, columns_sql, relation, subquery

log = logging.getLogger(__name__)


def report_contracts(domain: str) -> dict[str, Contract]:
    """Return the contracts of a domain's reports by name."""
    return load_domain(report_schema(domain))


def report_contract(domain: str, name: str) -> Contract:
    """Return the contract of one report."""
    return load(settings().include_dir / "contracts" / report_schema(domain) / f"{name}.yaml")


@dataclass(frozen=True)
class BuildInputs:
    """The inputs from which a period of a report is built."""

    file_ids: list[int]
    tables: tuple[str, ...] = ()
    """The tables that its SQL names, as far as the change log has them."""
    changes: int | None = None
    """The number of their changes within the report's window; for reports as of a period's end, their rows."""


FindInputs = Callable[[], BuildInputs | None]


@dataclass(frozen=True)
class Built:
    """The result of building a report's period."""

    rows: int
    is_changed: bool
    """Whether the content differs from the previous one."""


_SUFFIXES = ("", "_changes", "_history", "_superseded", "_as_of")
_NAMED_TABLE = re.compile(r"\b([a-z_][a-z0-9_]*)\.([a-z_][a-z0-9_]*)")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def dataset_relations(domain: str) -> dict[str, str]:
    """Return the dataset (`schema.name`) of each table, view and function of a domain's datasets."""
    return {
        f"{domain}.{name}{suffix}": contract.table
        for name, contract in load_domain(domain).items()
        for suffix in _SUFFIXES
    }


def named_tables(text: str, relations: Mapping[str, str]) -> set[str]:
    """Return the tables that an SQL text names, as `relations` calls them."""
    return {
        relations[name]
        for schema, table in _NAMED_TABLE.findall(_COMMENT.sub("", text).lower())
        if (name := f"{schema}.{table}") in relations
    }


def known_datasets(domain: str, text: str | None) -> list[str]:
    """Return the datasets of a domain that an SQL text names, or all of them if it names none or there is no text."""
    relations = dataset_relations(domain)
    return sorted((named_tables(text, relations) if text else set()) or set(relations.values()))


def known_files(connection: Connection, domain: str, period: Period, text: str | None = None) -> BuildInputs:
    """Return as build inputs the files that were delivered by the period's end, as `_as_of` functions read them.

    These are the files of the datasets that the SQL text names, or of all of the domain's datasets. Their number of
    rows is part of the inputs, because a replay adds rows to a file.
    """
    tables = named_tables(text, dataset_relations(domain)) if text else set()
    rows = connection.execute(
        """
        select file_id, rows_in - rejected
        from waybill.load_file
        where dataset = any(%s) and status = 'loaded' and period < %s
        order by file_id
        """,
        (known_datasets(domain, text), period.end),
    ).fetchall()
    return BuildInputs([file_id for file_id, _ in rows], tuple(sorted(tables)), sum(accepted for _, accepted in rows))


def of_period(contract: Contract, period: Period, alias: str | None = None) -> sql.Composed:
    """Return the condition for the rows of one period of a derived table. The period of a dimension is all time.

    The first column of the key is the period's first day. Reports of several cadences also have a column `cadence`.
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


def build_from_sql(
    connection: Connection,
    contract: Contract,
    find_inputs: FindInputs,
    text: str,
    period: Period,
    run: Run,
    summaries: Sequence[Contract] = (),
) -> Built:
    """Replace the period's rows with the result of the SQL text, in one transaction.

    The text binds `Period.parameters` and selects the contract's columns by name. The keys of `summaries` whose rows
    changed are recorded for their next build. Otherwise like `build`.
    """
    columns = columns_sql(contract.names)
    rows = sql.SQL("{} where {}").format(relation(contract), of_period(contract, period))

    def write() -> list[date]:
        if summaries:
            connection.execute(
                sql.SQL("create temp table replaced on commit drop as select {} from {}").format(columns, rows)
            )
        replace_rows(connection, contract, text, period)
        changed = changed_sql(columns, sql.Identifier("replaced"), rows)
        for summary in summaries:
            connection.execute(
                sql.SQL("insert into {} select distinct {} from {} on conflict do nothing").format(
                    changed_keys_relation(summary), columns_sql(summary.key), changed
                )
            )
        if summaries:
            connection.execute("drop table replaced")
        return [period.start]

    return build(connection, contract, find_inputs, write, period, run, sha256(text))


def replace_rows(connection: Connection, contract: Contract, text: str, period: Period) -> None:
    """Replace the period's rows of a derived table with the result of its SQL text."""
    _delete(connection, contract, period)
    insert_rows(connection, contract, relation(contract), subquery(text), period)


def insert_rows(
    connection: Connection, contract: Contract, target: sql.Composable, query: sql.Composable, period: Period
) -> None:
    """Insert the result of a derived table's query for a period into a table with its columns."""
    columns = columns_sql(contract.names)
    insert = sql.SQL("insert into {} ({}) select {} from (\n").format(target, columns, columns)
    connection.execute(insert + query + sql.SQL("\n) as report"), period.parameters(settings().timezone))


def build_from_rows(
    connection: Connection,
    contract: Contract,
    find_inputs: FindInputs,
    rows: Sequence[Mapping[str, Any]],
    period: Period,
    run: Run,
) -> Built:
    """Replace the period's rows with `rows` (mappings by column). Otherwise like `build`.

    Columns of JSON may be objects and lists of Python.
    """
    documents = [column.name for column in contract.columns if column.physical_type == "jsonb"]
    if documents:
        rows = [{**row, **{name: _as_json(row[name]) for name in documents}} for row in rows]
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        relation(contract),
        columns_sql(contract.names),
        sql.SQL(", ").join(sql.Placeholder(name) for name in contract.names),
    )

    def write() -> list[date]:
        _delete(connection, contract, period)
        connection.cursor().executemany(statement, rows)
        return [period.start]

    return build(connection, contract, find_inputs, write, period, run, None)


def build_from_values(
    connection: Connection,
    contract: Contract,
    find_inputs: FindInputs,
    rows: Iterable[Sequence[Any]],
    period: Period,
    run: Run,
    sql_sha256: str,
) -> Built:
    """Replace the period's rows with `rows` (values in the order of the contract), by COPY. Otherwise like `build`.

    `sql_sha256` is the hash of the SQL that another engine has run.
    """
    statement = sql.SQL("copy {} ({}) from stdin").format(relation(contract), columns_sql(contract.names))

    def write() -> list[date]:
        _delete(connection, contract, period)
        with connection.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
        return [period.start]

    return build(connection, contract, find_inputs, write, period, run, sql_sha256)


def _as_json(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict | list) else value


def _delete(connection: Connection, contract: Contract, period: Period) -> None:
    connection.execute(sql.SQL("delete from {} where {}").format(relation(contract), of_period(contract, period)))


def sha256(text: str) -> str:
    """Return the hash of an SQL text."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_sql_of(text: str, recorded: str | None) -> bool:
    """Return whether a recorded hash is that of an SQL text.

    Version 0.1 hashed the SQL of monthly reports without the last line end; such a hash counts as equal.
    """
    return recorded in (sha256(text), sha256(text.removesuffix("\n")))


def build(
    connection: Connection,
    contract: Contract,
    find_inputs: FindInputs,
    write: Callable[[], Iterable[date]],
    period: Period,
    run: Run,
    sql_sha256: str | None,
) -> Built:
    """Write a period of a derived table, check it and record its build, in one transaction.

    `find_inputs` is called when no other build of the period runs; if it returns None, nothing is built. `write` writes
    the rows and returns the days for the change log, which are used if the content changed. Raises `DataError` if a row
    breaks a value rule of the contract or a check of severity error fails: then the previous rows stay, and the results
    of the checks are stored.
    """
    results: list[quality.CheckResult] = []
    try:
        with connection.transaction():
            ensure(connection, contract)
            connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"report {contract.table} {period}",))
            inputs = find_inputs()
            if inputs is None:
                return Built(0, is_changed=False)
            with non_retryable_sql(f"the SQL of {contract.table} {period}"):
                days = write()
                analyze_grown(connection, relation(contract))
                _raise_broken(connection, contract, period)
            results = quality.evaluate(connection, contract, period)
            if contract.load_mode == "feature":
                results += feature_drift.measure(connection, contract, period, run)
            quality.stop_or_warn(results)
            rows, content_sha256 = _content(connection, contract, period)
            results += approval.check_warnings(connection, contract, period, results, content_sha256)
            quality.record(connection, results, run)
            quality.forget_removed(connection, contract, period, results)
            recorded = Build(contract, period, run, inputs, rows, content_sha256, sql_sha256)
            is_changed = record_build(connection, recorded)
            if is_changed:
                change_log.record(connection, contract.table, days, file_id=None, cadence=period.cadence)
            if is_changed and report_profile.is_profiled(contract):
                report_profile.store(connection, contract, period, of_period(contract, period, "r"), rows)
    except DataError:
        quality.record(connection, results, run)
        raise
    log.info("%s %s: %d rows%s", contract.table, period, rows, "" if is_changed else ", unchanged")
    return Built(rows, is_changed)


def _raise_broken(connection: Connection, contract: Contract, period: Period) -> None:
    """Raise `DataError` if rows of the period break value rules of the contract."""
    if broken := broken_rules(connection, contract, of_period(contract, period)):
        counts = ", ".join(f"{reason} in {count(rows, 'row')}" for reason, rows in broken.items())
        raise DataError(
            f"{contract.table} {period}: its rows do not meet the contract: {counts}. Correct the SQL or the contract."
        )


def _content(connection: Connection, contract: Contract, period: Period) -> tuple[int, str]:
    """Return (number, hash) of the rows of a period, in the order of the key."""
    rows, content_sha256 = one_row(
        connection,
        sql.SQL(
            """
            select
              count(*),
              encode(
                sha256(
                  coalesce(string_agg(sha256(convert_to(r::text, 'UTF8')), ''::bytea order by {key}), ''::bytea)
                ),
                'hex'
              )
            from {table} as r
            where {of_period}
            """
        ).format(
            key=columns_sql(contract.key, "r"), table=relation(contract), of_period=of_period(contract, period, "r")
        ),
    )
    return int(rows), str(content_sha256)


@dataclass(frozen=True)
class Build:
    """A build of a report's period, as the table `waybill.publication` has it."""

    contract: Contract
    period: Period
    run: Run
    inputs: BuildInputs
    rows: int
    content_sha256: str
    sql_sha256: str | None


def record_build(connection: Connection, build: Build) -> bool:
    """Record a build and return whether the content of the period changed.

    A build with the same content, inputs, SQL, contract and code as the recorded one leaves the record as it is.
    """
    key = {"report": build.contract.table, "cadence": build.period.cadence, "period": build.period.start}
    before = connection.execute(
        """
        select content_sha256
        from waybill.publication
        where report = %(report)s and cadence = %(cadence)s and period = %(period)s
        """,
        key,
    ).fetchone()
    connection.execute(
        """
        insert into waybill.publication as p (
          report, cadence, period, row_count, content_sha256, sql_sha256, contract_sha256, code_version, run_id,
          file_ids, inputs, changes_seen, seconds
        )
        values (
          %(report)s, %(cadence)s, %(period)s, %(row_count)s, %(content_sha256)s, %(sql_sha256)s, %(contract_sha256)s,
          %(code_version)s, %(run_id)s, %(file_ids)s, %(inputs)s, %(changes_seen)s,
          extract(epoch from clock_timestamp() - now())
        )
        on conflict (report, cadence, period) do update
        set row_count = excluded.row_count, content_sha256 = excluded.content_sha256,
          sql_sha256 = excluded.sql_sha256, contract_sha256 = excluded.contract_sha256,
          code_version = excluded.code_version, run_id = excluded.run_id, file_ids = excluded.file_ids,
          inputs = excluded.inputs, changes_seen = excluded.changes_seen, built_at = now(),
          seconds = excluded.seconds, is_watched = p.is_watched and p.content_sha256 = excluded.content_sha256
        where (p.content_sha256, p.sql_sha256, p.contract_sha256, p.code_version, p.file_ids, p.changes_seen)
          is distinct from (excluded.content_sha256, excluded.sql_sha256, excluded.contract_sha256,
            excluded.code_version, excluded.file_ids, excluded.changes_seen)
        """,
        key
        | {
            "row_count": build.rows,
            "content_sha256": build.content_sha256,
            "sql_sha256": build.sql_sha256,
            "contract_sha256": build.contract.sha256,
            "code_version": build.run.code_version,
            "run_id": build.run.run_id,
            "file_ids": build.inputs.file_ids,
            "inputs": list(build.inputs.tables),
            "changes_seen": build.inputs.changes,
        },
    )
    return before != (build.content_sha256,)
