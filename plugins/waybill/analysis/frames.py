"""Tables, training sets and waybills as DataFrames, for notebooks: what `import waybill` offers.

Everything is read by the role of readers. Restricted columns are pseudonyms. Columns have Arrow types, so that decimals
are exact and integers may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import Connection, OperationalError, sql

from waybill.contracts import Contract, load_all
from waybill.contracts.locations import domain_of
from waybill.contracts.standard import likeliest
from waybill.derived.build import of_period
from waybill.errors import DataError
from waybill.formatting import count, in_series
from waybill.ops import provenance
from waybill.outputs.export import arrow_tables, copy_csv, parquet_schema
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import connect, quote_no_rows, reader_address, set_read_only, table_exists
from waybill.warehouse.schema import as_of_function, columns_sql

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def read(table: str, *, period: str | date | None = None, as_of: str | date | None = None) -> pd.DataFrame:
    """Return the rows of a table, ordered by their key.

    Args:
        table: a report, dataset, derived table or version of a feature view: `billing_report.top_customers`.
        period: only the rows of a month, week or day, such as `2026-03`, `2026-W13` or `2026-03-31`. A date is a day,
            and of an instant its date counts.
        as_of: only for datasets: the rows as they were known just before this day. Of an instant its date counts.

    Raises:
        DataError: the table is unknown, was not loaded, has no such periods, or was not built for the period; the
            warehouse does not answer.
        SettingsError: the address of the reader, or the key of the pseudonyms, is missing.
    """
    contract, period = _contract(table), _day(period)
    source, condition = _source(contract, _day(as_of)), _condition(contract, period)
    rows = sql.SQL("from {} as r {} order by {}").format(source, condition, columns_sql(contract.row_key, "r"))
    with _reader() as connection, connection.transaction():
        _check_exists(connection, contract)
        found = _frame(arrow_tables(copy_csv(connection, contract, rows), parquet_schema(contract)))
        if found.empty and period is not None and not contract.is_dataset:
            provenance.refuse_unbuilt(connection, contract.table, Period.named(str(period)))
        return found


def training_set(
    labels: pd.DataFrame | str | Path,
    views: str | Sequence[str],
    *,
    as_of_now: bool = False,
    time_column: str = "ts",
    domain: str | None = None,
) -> pd.DataFrame:
    """Return labels with the values of feature views that were known at their time. Nothing is stored.

    The manifest is in `attrs["manifest"]` of the result. `waybill features training-set` makes sets that are kept.

    Args:
        labels: a DataFrame, or the path of a CSV or Parquet file: the entity columns of the views, instants with an
            offset from UTC, and any other columns.
        views: versions of views, such as `payer_spend:1`, in a list or as one text with commas between them.
        as_of_now: whether to take the values that are known now. Such a set leaks the future.
        time_column: the column of the labels with the instants.
        domain: the domain of the views; needed if several domains have one of a name.

    Raises:
        DataError: a view is unknown, or the labels do not fit; the message names the row.
        SettingsError: the address of the reader, or the key of the pseudonyms, is missing.
    """
    from waybill.features.training_set import manifest, prepare, read_set

    wanted = prepare(labels, views, domain=domain, time_column=time_column, as_of_now=as_of_now)
    with quote_no_rows(), read_set(wanted, _connect_reader) as (tables, result, seen):
        found = _frame(tables, wanted.schema)
        found.attrs["manifest"] = manifest(wanted, result, seen)
    return found


@dataclass(frozen=True)
class Trace:
    """The waybill of a report for a period."""

    report: str
    period: str
    facts: dict[str, Any]
    """The number of rows, the hashes of content and SQL, the code, the run, and whether the report is out of date."""
    files: pd.DataFrame
    """The files on which the numbers rest, with their books."""
    checks: pd.DataFrame
    """The results of the checks."""

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"{self.report} for {self.period}: {count(self.facts['row_count'], 'row')} from "
            f"{count(len(self.files), 'file')}, {count(len(self.checks), 'check')}"
        )


def trace(report: str, period: str | date | None = None) -> Trace:
    """Return the waybill of a report for a period, by default for the newest one.

    Raises:
        DataError: the report is unknown, or was not built for the period; the warehouse does not answer.
        SettingsError: the address of the reader is missing.
    """
    import pyarrow as pa

    with _reader() as connection, connection.transaction():
        table = provenance.built_report(connection, report)
        wanted = Period.named(str(_day(period))) if period else provenance.newest_period(connection, table)
        found = provenance.trace(connection, table, wanted)
    facts = ("row_count", "content_sha256", "sql_sha256", "code_version", "run_id", "built_at", "is_outdated")
    return Trace(
        found.report,
        wanted.key,
        {name: getattr(found, name) for name in (*facts, "inputs", "unpublished", "forgotten")},
        _frame([pa.Table.from_pylist(found.files)]),
        _frame([pa.Table.from_pylist(found.checks)]),
    )


def _contract(table: str) -> Contract:
    contracts = load_all()
    if not isinstance(table, str) or table not in contracts:
        raise DataError(f"there is no table {table!r}: {likeliest(str(table), {*contracts})}")
    return contracts[table]


def _day(value: str | date | None) -> str | date | None:
    """Return the date of an instant, also of a `Timestamp` of pandas, and anything else as it is."""
    if isinstance(value, datetime):
        with suppress(ValueError):  # NaT of pandas counts as one
            return value.date()
    return value


def _source(contract: Contract, as_of: str | date | None) -> sql.Composable:
    if as_of is None:
        return sql.Identifier(contract.domain, contract.name)
    if not contract.is_dataset:
        raise DataError(f"{contract.table} is computed: as_of is for datasets. Name a period instead.")
    try:
        day = date.fromisoformat(str(as_of))
    except ValueError:
        raise DataError(f"as_of is {as_of!r}, which is no day; write it like 2026-03-31") from None
    return sql.SQL("{}({})").format(as_of_function(contract), sql.Literal(day))


def _condition(contract: Contract, key: str | date | None) -> sql.Composable:
    if key is None:
        return sql.SQL("")
    period = Period.named(str(key))
    if not contract.is_dataset:
        if period.cadence not in contract.cadences:
            lengths = in_series([*contract.cadences], "or")
            raise DataError(f"{contract.table} has the periods {lengths}, and {key} is a {period.cadence}")
        return sql.SQL("where {}").format(of_period(contract, period, "r"))
    if contract.period_column is None:
        raise DataError(f"{contract.table} has no column with a day: name as_of instead of a period")
    parameters = period.parameters(settings().timezone)
    first, last = (
        ("starts_at", "ends_at") if contract.has_instants(contract.period_column) else ("period_start", "period_end")
    )
    return sql.SQL("where {0} >= {1} and {0} < {2}").format(
        sql.Identifier("r", contract.period_column), sql.Literal(parameters[first]), sql.Literal(parameters[last])
    )


def _check_exists(connection: Connection, contract: Contract) -> None:
    if not table_exists(connection, sql.Identifier(contract.domain, contract.name)):
        raise DataError(
            f"the warehouse has no {contract.table}: nothing was loaded yet, or it is a dataset "
            f"on Spark, which only the lake has. Domain: {domain_of(contract.domain)}"
        )


def _frame(tables: Iterator[pa.Table] | list[pa.Table], schema: pa.Schema | None = None) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    parts = [*tables]
    whole = pa.concat_tables(parts) if parts else schema.empty_table() if schema is not None else pa.table({})
    frame: pd.DataFrame = whole.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _connect_reader() -> Connection:
    try:
        return connect(reader_address())
    except OperationalError as error:
        raise DataError(
            f"The warehouse does not answer. On the embedded stack, run `make up` and `. ./activate`. Cause: {error}"
        ) from None


@contextmanager
def _reader() -> Iterator[Connection]:
    with quote_no_rows(), _connect_reader() as connection:
        set_read_only(connection, timeout_seconds=0)
        connection.commit()
        yield connection
