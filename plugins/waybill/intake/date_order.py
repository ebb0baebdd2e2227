"""Refuse a file whose dates with slashes read partly as month/day and partly only as day/month.

No row tells which of the two 5/4/2026 is. As soon as one date of a column reads only the other way round than the
contract says, the sender's order is in doubt, and with it every date of the column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from waybill.contracts import Column, Contract
from waybill.contracts.validation import compile_date_order, date_order_reason
from waybill.contracts.values import other_order, slashed_form
from waybill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def doubtful_columns(contract: Contract, batch: pa.RecordBatch) -> list[Column]:
    """The columns of which a judged batch has a date that reads only with month and day the other way round."""
    columns = [column for column in contract.columns if slashed_form(column)]
    if not columns:
        return []
    found = set(batch.column("_reasons").flatten().unique().to_pylist())
    return [column for column in columns if date_order_reason(column) in found]


def refusal(connection: Any, source: str, column: Column, name: str) -> DataError:
    """The error that says how the dates of a column read in `source`, the relation of the raw fields of a file."""
    declared = slashed_form(column)
    assert declared
    other = other_order(declared)
    query = compile_date_order(column, source)
    [(in_declared, in_both, in_other, examples)] = connection.execute(query).fetchall()
    shown = ", ".join(
        f"record {one['record']}" if column.classification == "restricted" else f"record {one['record']}: {one['text']}"
        for one in examples
    )
    return DataError(
        f"{name}: the order of day and month in {column.name} is in doubt: {in_declared} dates read as {declared} "
        f"({in_both} of them also as {other}), and {in_other} read only as {other} ({shown}); nothing was loaded. "
        f"Send the dates as YYYY-MM-DD. If the sender writes {other} throughout, put that into the dateForms of the "
        f"contract."
    )
