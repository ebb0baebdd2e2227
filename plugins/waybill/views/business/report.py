"""The page of a report and period: its rows and its waybill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.contracts import Contract
from waybill.contracts.domains import Dashboard, load_manifest
from waybill.contracts.locations import read_sql, report_files
from waybill.derived.build import is_sql_of, of_period
from waybill.errors import DataError
from waybill.ops.provenance import Waybill, trace
from waybill.outputs.export import csv_for_people
from waybill.outputs.masking import masked_select, use_key
from waybill.period import Cadence, Period
from waybill.views import catalog
from waybill.views.business import charts
from waybill.views.business.rows_behind import key_columns
from waybill.views.business.source import Source, built, notice
from waybill.warehouse.connection import one_row
from waybill.warehouse.schema import columns_sql

REPORT_ROWS = 500
"""How many rows the page shows. The CSV has all rows."""


_ALL = sql.SQL("true")


class NothingBuilt(DataError):
    """The report, or any report of the domain, has not been built for the period."""


def _order(dashboard: Dashboard, contract: Contract) -> sql.Composable:
    """Return the order of rows: by rank or step, else by the column that the chart shows, largest first."""
    ranks = [name for name in contract.names if name.endswith("_rank")]
    if group := charts.group_column(contract):
        return columns_sql([group, *ranks, *contract.key])
    measured = measure_of(dashboard, contract)
    keys = columns_sql(contract.key)
    if "step_number" in contract.names or (ranks and charts.rank_within(contract) is None):
        return sql.SQL("{}, {}").format(columns_sql(ranks or ["step_number"]), keys)
    if measured is None:
        return keys
    return sql.SQL("{} desc nulls last, {}").format(sql.Identifier(measured), keys)


def measure_of(dashboard: Dashboard, contract: Contract) -> str | None:
    """Return the column that a chart of the report shows; None for a report without numbers."""
    names = [column.name for column in charts.measures(contract)]
    return dashboard.measure.get(contract.name, names[0] if names else None)


def rows_of(
    connection: Connection,
    domain: str,
    contract: Contract,
    period: Period,
    limit: int,
    source: Source,
    condition: sql.Composable = _ALL,
) -> list[dict[str, Any]]:
    """Return the first rows of a report's period that meet a condition. Restricted columns hold pseudonyms."""
    use_key(connection, contract)
    query = sql.SQL("select {} from {} as r where {} and {} order by {} limit {}").format(
        masked_select(contract),
        source.rows(connection, contract),
        of_period(contract, period),
        condition,
        _order(load_manifest(domain).dashboard, contract),
        sql.Literal(limit),
    )
    return connection.cursor(row_factory=dict_row).execute(query).fetchall()


def count_rows(connection: Connection, contract: Contract, period: Period, source: Source) -> int:
    """Return the number of rows of a report's period."""
    query = sql.SQL("select count(*) from {} as r where {}").format(
        source.rows(connection, contract), of_period(contract, period)
    )
    (number,) = one_row(connection, query)
    return int(number)


def within(contract: Contract, period: Period, cadences: Sequence[Cadence]) -> sql.Composable:
    """Return the condition for rows of the report's periods, of these cadences, that begin within a period."""
    condition = sql.SQL("{0} >= {1} and {0} < {2}").format(
        sql.Identifier(contract.key[0]), sql.Literal(period.start), sql.Literal(period.end)
    )
    if len(contract.cadences) > 1:
        condition += sql.SQL(" and cadence = any({})").format(sql.Literal([*cadences]))
    return condition


@dataclass(frozen=True)
class Provenance:
    """The waybill of a report in a period, and its rows."""

    contract: Contract
    domain: str
    title: str
    period: Period
    parts: list[Waybill]
    """One for each period of the report's own cadences that begins within the period."""
    files: list[dict[str, Any]]
    sql_text: str | None
    """The SQL; None if the report is computed in Python, or the SQL has changed since the build."""
    table: charts.Chart
    notices: list[str]
    """Sentences about its periods that are not published."""
    row_count: int
    """Number of its rows that have the values of the filters."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """The chosen filters by column, which links keep."""
    is_live: bool = False
    """Whether a server shows the page, so that it can link to data operations."""

    @property
    def filters(self) -> dict[str, str]:
        """The chosen filters that apply, because the report has the column."""
        return {name: value for name, value in self.chosen.items() if name in self.contract.names}


def provenance(
    connection: Connection,
    domain: str,
    name: str,
    period: Period,
    source: Source | None = None,
    chosen: Mapping[str, str] = MappingProxyType({}),
) -> Provenance:
    """Return the waybill of a report in a period, by default of what was built last, with the rows of filters.

    Raises `NothingBuilt` if the source has no rows of the report in the period.
    """
    is_live, source = source is None, source or built(connection, domain, chosen)
    contract = source.contracts(domain)[name]
    query = sql.SQL(
        "select cadence, period from {} as p where report = %s and period >= %s and period < %s "
        "and cadence = any(%s) order by period limit 31"
    ).format(source.publications)
    built_for = connection.execute(
        query, (contract.table, period.start, period.end, _cadences(contract, period))
    ).fetchall()
    if not built_for:
        raise NothingBuilt(f"{catalog.heading(name)} was not built for {period}.")
    parts = [
        trace(connection, contract.table, Period.of(cadence, start), source.publications)
        for cadence, start in built_for
    ]
    files = {file["file_id"]: file for part in parts for file in part.files}
    listed = [
        (part.period, row)
        for part in parts
        for row in rows_of(connection, domain, contract, part.period, REPORT_ROWS, source)
    ][:REPORT_ROWS]
    table = charts.table(contract, [row for _, row in listed])
    if is_live:
        links = [_link(contract, one, row) for one, row in listed]
        table = replace(table, rows=[replace(row, link=link) for row, link in zip(table.rows, links, strict=True)])
    notices = [notice([one], source) for part in parts if (one := source.unpublished_at(contract, part.period))]
    return Provenance(
        contract=contract,
        domain=domain,
        title=catalog.heading(name),
        period=period,
        parts=parts,
        files=sorted(files.values(), key=lambda file: (file["dataset"], file["period"], file["object_key"])),
        sql_text=_sql_text(domain, name, {part.sql_sha256 for part in parts}),
        table=table,
        notices=notices,
        row_count=sum(count_rows(connection, contract, part.period, source) for part in parts)
        if chosen
        else sum(part.row_count for part in parts),
        chosen=chosen,
        is_live=is_live,
    )


def _link(contract: Contract, period: Period, row: Mapping[str, Any]) -> str:
    """Return the address of the rows behind a row, relative to the page of its report."""
    values = {name: str(row[name]) for name in key_columns(contract) if row[name] is not None}
    return f"../{period}/{contract.name}/rows.html{'?' if values else ''}{urlencode(values)}"


def _cadences(contract: Contract, period: Period) -> list[Cadence]:
    return [period.cadence] if period.cadence in contract.cadences else list(contract.cadences)


def _sql_text(domain: str, name: str, hashes: set[str | None]) -> str | None:
    for path in report_files(domain):
        if path.stem == name:
            found = read_sql(path)
            return found if all(is_sql_of(found, recorded) for recorded in hashes) else None
    return None


def as_data(found: Provenance) -> dict[str, Any]:
    """Return a waybill as data: for each period of the report the output of `waybill trace --json`.

    With filters, it names them and the number of rows that have their values.
    """
    filtered = {"filters": found.filters, "filtered_row_count": found.row_count} if found.filters else {}
    return {
        "report": found.contract.table,
        "period": found.period.key,
        **filtered,
        "parts": [asdict(part) | {"period": part.period.key} for part in found.parts],
    }


def csv_of(connection: Connection, domain: str, name: str, period: Period, source: Source | None = None) -> bytes:
    """Return all rows of a report's period as CSV, by default of what was built last.

    Restricted columns hold pseudonyms.
    """
    source = source or built(connection, domain)
    contract = source.contracts(domain)[name]
    condition = within(contract, period, _cadences(contract, period))
    rows = sql.SQL("from {} as r where {} order by {}").format(
        source.rows(connection, contract), condition, columns_sql(contract.key, "r")
    )
    return b"".join(csv_for_people(connection, contract, rows))


def is_published(connection: Connection, domain: str, name: str, period: Period) -> bool:
    """Return whether all rows of a report and period that the view within Airflow shows are published."""
    contract, waiting = catalog.reports(domain)[name], built(connection, domain).unpublished
    cadences = _cadences(contract, period)
    return not any(
        table == contract.table and cadence in cadences and period.start <= start < period.end
        for table, cadence, start in waiting
    )
