"""Build a report's rows for one period: replace, check, commit, in one transaction."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection, sql

from waybill import quality
from waybill.contracts import Contract, load, load_domain
from waybill.errors import DataError
from waybill.intake.ledger import Run
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.schema import columns_sql, ensure, relation
from waybill.zones import report_schema

log = logging.getLogger(__name__)


def report_contracts(domain: str) -> dict[str, Contract]:
    """The contracts of a domain's reports, by name."""
    return load_domain(report_schema(domain))


def report_contract(domain: str, name: str) -> Contract:
    """The contract of one report."""
    return load(settings().include_dir / "contracts" / report_schema(domain) / f"{name}.yaml")


def build_from_sql(connection: Connection, contract: Contract, domain: str, text: str, period: Period, run: Run) -> int:
    """Replace the period's rows by what the SQL text selects; returns the number of rows.

    The text binds `%(period_start)s` and `%(period_end)s` and selects the contract's columns by name.
    Raises `DataError` if a check of severity error fails; the rows of before then stay.
    """
    insert = sql.SQL("insert into {} ({}) select {} from (\n").format(
        relation(contract), columns_sql(contract.names), columns_sql(contract.names)
    )
    statement = insert + sql.SQL(text.rstrip().rstrip(";")) + sql.SQL("\n) as report")
    bounds = {"period_start": period.start, "period_end": period.end}

    def fill() -> None:
        connection.execute(statement, bounds)

    return _replace(connection, contract, domain, period, run, fill, hashlib.sha256(text.encode()).hexdigest())


def build_from_rows(
    connection: Connection,
    contract: Contract,
    domain: str,
    rows: Sequence[Mapping[str, Any]],
    period: Period,
    run: Run,
) -> int:
    """Replace the period's rows by `rows` (mappings by column); otherwise like `build_from_sql`."""
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        relation(contract),
        columns_sql(contract.names),
        sql.SQL(", ").join(sql.Placeholder(name) for name in contract.names),
    )

    def fill() -> None:
        connection.cursor().executemany(statement, rows)

    return _replace(connection, contract, domain, period, run, fill, None)


def _replace(
    connection: Connection,
    contract: Contract,
    domain: str,
    period: Period,
    run: Run,
    fill: Any,
    sql_sha256: str | None,
) -> int:
    of_period = sql.SQL("{} = %s").format(sql.Identifier(contract.key[0]))
    results: list[quality.CheckResult] = []
    try:
        with connection.transaction():
            ensure(connection, contract)
            connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"report {contract.table} {period}",))
            connection.execute(
                sql.SQL("delete from {} where {}").format(relation(contract), of_period), (period.start,)
            )
            fill()
            results = quality.evaluate(connection, contract, period)
            quality.stop_or_warn(results)
            quality.record(connection, results, run)
            rows = _record_publication(connection, contract, domain, period, run, sql_sha256)
    except DataError:
        quality.record(connection, results, run)  # the rows were rolled back, what the checks saw stays
        raise
    log.info("%s %s: %d rows", contract.table, period, rows)
    return rows


def _record_publication(
    connection: Connection, contract: Contract, domain: str, period: Period, run: Run, sql_sha256: str | None
) -> int:
    """Note what the report was built from; an identical rebuild leaves the note as it was."""
    content = sql.SQL(
        "select count(*), encode(sha256(convert_to(coalesce("
        "string_agg(r::text, chr(10) order by {}), ''), 'UTF8')), 'hex') from {} as r where {} = %s"
    ).format(columns_sql(contract.key, "r"), relation(contract), sql.Identifier("r", contract.key[0]))
    row = connection.execute(content, (period.start,)).fetchone()
    assert row
    rows, content_sha256 = row
    connection.execute(
        """
        insert into waybill.publication as p
          (report, period, row_count, content_sha256, sql_sha256, code_version, run_id, file_ids)
        select
          %(report)s, %(period)s, %(rows)s, %(content)s, %(sql)s, %(code)s, %(run_id)s,
          coalesce(array_agg(file_id order by file_id), '{}')
        from waybill.load_file
        where split_part(dataset, '.', 1) = %(domain)s
          and status = 'loaded' and period <= %(period)s
        on conflict (report, period) do update
        set row_count = excluded.row_count, content_sha256 = excluded.content_sha256,
          sql_sha256 = excluded.sql_sha256, code_version = excluded.code_version,
          run_id = excluded.run_id, file_ids = excluded.file_ids, built_at = now()
        where (p.content_sha256, p.sql_sha256, p.code_version, p.file_ids)
          is distinct from (excluded.content_sha256, excluded.sql_sha256, excluded.code_version, excluded.file_ids)
        """,
        {
            "report": contract.table,
            "period": period.start,
            "rows": rows,
            "content": content_sha256,
            "sql": sql_sha256,
            "code": run.code_version,
            "run_id": run.run_id,
            "domain": domain,
        },
    )
    return int(rows)
