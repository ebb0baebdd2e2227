"""Read texts as values of a column, by the query that validates files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from waybill.contracts import Column, Contract
from waybill.contracts.validation import compile_query
from waybill.period import Period

PERIOD = Period.parse("day", "2026-03-02")


def column(physical_type: str, logical_type: str, **more: Any) -> Column:
    return Column("value", "", logical_type, physical_type, **more)


@cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    """Return the connection of all tests of this process. Opening one takes longer than most queries."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    return connection


def read(declared: Column, texts: list[str]) -> list[tuple[Any, list[str]]]:
    """Return the value and the reasons for each text."""
    record = Column("line", "", "integer", "integer", required=True, key_position=1)
    contract = Contract("t", "rows", "1", "", "", (record, declared), "merge", 100, 0, (), "", ("day",))
    numbers = [str(n) for n in range(len(texts))]
    table = pa.table(
        {"_record": list(range(len(texts))), "_raw_line": numbers, "_raw_value": pa.array(texts, pa.string())}
    )
    connection = _duckdb()
    connection.register("source", table)
    query = compile_query(contract, PERIOD, "source", lambda _: True, "UTC")
    value = {"timestamptz": "epoch_us(value)"}.get(declared.physical_type, "value")
    found = connection.execute(f"select {value}, _reasons from ({query}) order by _record").fetchall()
    connection.unregister("source")
    if declared.physical_type == "timestamptz":
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        found = [(us if us is None else epoch + timedelta(microseconds=us), reasons) for us, reasons in found]
    return [(value, reasons or []) for value, reasons in found]
