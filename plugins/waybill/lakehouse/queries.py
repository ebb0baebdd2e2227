"""Compute checks and reports by Spark: each is one SQL text over the tables of a domain, for one period."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from waybill.contracts.contract import numeric_digits
from waybill.contracts.locations import bucket_and_key
from waybill.errors import DataError
from waybill.lakehouse.columns import TYPES, contract_of, named_type
from waybill.lakehouse.commits import rows_at
from waybill.lakehouse.exchange import CheckQuery, ComputedCheck, ComputedReport, Query, ReportsRequest, ReportsResult
from waybill.lakehouse.views import register_views
from waybill.period import Cadence, Period

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import DataType

log = logging.getLogger(__name__)

_TYPES: Final = {**TYPES, "smallint": "smallint", "numeric": "string"}
"""The types of reports. PostgreSQL has these two as they are, and tables of the lake do not."""
_INTEGERS: Final = ("tinyint", "smallint", "int", "bigint")
_REASON: Final = re.compile(r"(\[[A-Z][A-Z_0-9.]+\][^\n]*?)(?:\.(?= |\n|$)|\n|$)")
"""The class and the first sentence of an error of Spark. The others advise to switch checks off."""
_OF_THE_SQL: Final = re.compile(
    r"Spark(?:Arithmetic|ArrayIndexOutOfBounds|DateTime|IllegalArgument|NoSuchElement|NumberFormat|Runtime|"
    rf"UnsupportedOperation)Exception: {_REASON.pattern}"
)
"""An error that the values of a row cause, in a task of Spark."""
_VALUE: Final = re.compile(r"(\] |[Vv]alue )('.*'|[-+]?[\d.]\S*)(?= )")
"""A value of a row in such an error."""


def compute(spark: SparkSession, request: ReportsRequest) -> ReportsResult:
    """Run the checks and the reports of a request. A failed one does not keep the others from being run.

    The rows of each report are written to a Parquet file in the scratch folder. Errors of the platform are raised.
    """
    checks: list[ComputedCheck] = []
    reports: list[ComputedReport] = []
    contracts = {name: contract_of(dataset) for name, dataset in request.datasets.items()}
    queries: list[CheckQuery | Query] = sorted([*request.checks, *request.queries], key=_period_of)
    for (start, cadence), of_period in groupby(queries, key=_period_of):
        period = Period.of(cadence, start)
        for name, contract in contracts.items():
            dataset = request.datasets[name]
            deliveries = rows_at(spark, dataset.table, dataset.snapshot)
            register_views(spark, request.domain, name, contract, deliveries, period.end)
        parameters = period.parameters(request.timezone)
        for query in of_period:
            if isinstance(query, CheckQuery):
                checks.append(_check(spark, query, parameters))
            else:
                address = f"{request.scratch}/{query.report}-{cadence}-{period}.parquet"
                reports.append(_report(spark, query, parameters, address))
    return ReportsResult(reports=tuple(reports), checks=tuple(checks))


def _period_of(query: CheckQuery | Query) -> tuple[date, Cadence]:
    return query.period, query.cadence


def _check(spark: SparkSession, query: CheckQuery, parameters: Mapping[str, Any]) -> ComputedCheck:
    found = ComputedCheck(dataset=query.dataset, check=query.check, cadence=query.cadence, period=query.period)
    try:
        return found.model_copy(update={"observed": _number(_frame(spark, query.text, parameters))})
    except DataError as error:
        return found.model_copy(update={"error": str(error)})


def _number(frame: DataFrame) -> Decimal | None:
    """Return the number of the first row, or None if there is no row or it is NULL."""
    returned = [field.dataType.simpleString() for field in frame.schema]
    kind = returned[0].partition("(")[0]
    if len(returned) != 1 or kind not in (*_INTEGERS, "decimal", "double", "float", "void"):
        raise DataError(f"the SQL must return one number, but returns {', '.join(returned)}")
    rows = _run(lambda: frame.head(1))
    return Decimal(str(rows[0][0])) if rows and rows[0][0] is not None else None


def _report(spark: SparkSession, query: Query, parameters: Mapping[str, Any], address: str) -> ComputedReport:
    found = ComputedReport(report=query.report, cadence=query.cadence, period=query.period)
    try:
        frame = with_types(_frame(spark, query.text, parameters), query.columns)
        rows = _write(frame, address)
    except DataError as error:
        log.warning("%s %s: %s", query.report, query.period, error)
        return found.model_copy(update={"error": str(error)})
    log.info("%s %s: %d rows", query.report, query.period, rows)
    return found.model_copy(update={"rows": rows, "address": address if rows else None})


def _frame(spark: SparkSession, text: str, parameters: Mapping[str, Any]) -> DataFrame:
    return _run(lambda: spark.sql(text.rstrip().rstrip(";"), args=dict(parameters)))


def _run(action: Any) -> Any:
    """Return what a call of Spark returns. Raises `DataError` for errors of the SQL and of the values it reads.

    Its message quotes no values of rows.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException, PythonException

    try:
        return action()
    except PythonException:
        raise
    except PySparkException as error:
        reason = _REASON.search(str(error))
        raise DataError(_VALUE.sub(r"\1…", reason[1] if reason else str(error).partition("\n")[0])) from error
    except Py4JJavaError as error:
        reason = _OF_THE_SQL.search(str(error))
        if reason is None:
            raise
        raise DataError(_VALUE.sub(r"\1…", reason[1])) from error


def with_types(frame: DataFrame, columns: Mapping[str, str]) -> DataFrame:
    """Return the columns of a contract with its types. A value that does not fit becomes an error, and never another.

    `columns` are the types of the contract by name. Raises `DataError` with every column that is missing, unknown, or
    of a type whose values do not all have the type of the contract.
    """
    problems: list[str] = []
    selected = []
    returned = {field.name: field.dataType for field in frame.schema}
    times = Counter(frame.columns)
    problems += [f"returns the column {name!r} {times[name]} times" for name in returned if times[name] > 1]
    problems += [f"returns the column {name!r}, which is not in the contract" for name in returned.keys() - columns]
    for name, declared in columns.items():
        if name not in returned:
            problems.append(f"does not return the column {name!r} of the contract ({declared})")
        elif problem := _misfit(returned[name], declared):
            problems.append(f"the column {name!r} is {returned[name].simpleString()}, but {declared}: {problem}")
        else:
            selected.append(_cast(name, declared))
    if problems:
        raise DataError("; ".join(sorted(problems)))
    return frame.select(*selected)


def _cast(name: str, declared: str) -> Column:
    from pyspark.sql import functions

    return functions.col(f"`{name}`").cast(named_type(declared, _TYPES)).alias(name)


def _misfit(returned: DataType, declared: str) -> str | None:
    """Return what to change if a cast to a type of the contract could change values, or could not be made."""
    from pyspark.sql.types import DecimalType

    kind, wanted = returned.simpleString(), named_type(declared, _TYPES)
    digits = numeric_digits(declared)
    is_exact = kind in _INTEGERS or isinstance(returned, DecimalType)
    if kind in (wanted, "void") or (declared == "numeric" and is_exact) or (kind, wanted) == ("float", "double"):
        return None
    if is_exact and (digits or wanted in _INTEGERS):
        scale = returned.scale if isinstance(returned, DecimalType) else 0
        return "round it in the SQL, or change the contract" if scale > (digits[1] if digits else 0) else None
    return f"write `cast(… as {wanted})`, or change the contract"


def _write(frame: DataFrame, address: str) -> int:
    """Write the rows to one Parquet file, in a task of Spark; returns their number. Without rows, writes nothing."""

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _write_batches(batches, address)

    found = _run(lambda: frame.repartition(1).mapInArrow(write, "written bigint").collect())
    return sum(row.written for row in found)


def _write_batches(batches: Iterable[pa.RecordBatch], address: str) -> Iterator[pa.RecordBatch]:
    import tempfile
    from pathlib import Path

    import boto3
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, writer = 0, None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        for batch in batches:
            if writer is None:
                writer = pq.ParquetWriter(path, batch.schema, compression="zstd")
            writer.write_batch(batch)
            rows += batch.num_rows
        if writer is not None:
            writer.close()
        if rows:
            bucket, key = bucket_and_key(address)
            boto3.client("s3").upload_file(str(path), bucket, key)
    yield pa.record_batch({"written": pa.array([rows], pa.int64())})
