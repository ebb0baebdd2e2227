"""Reject a file whose dates are partly in the declared order of day and month and partly only valid in the other.

A date such as 5/4/2026 or 05.04.26 is valid as month/day and as day/month. If one date of a column is valid only in the
order that the contract does not declare, every date of the column is ambiguous.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from waybill.contracts import Column, Contract
from waybill.contracts.validation import compile_date_order, date_order_reason
from waybill.contracts.values import confusable_forms, swapped_forms
from waybill.formatting import count

if TYPE_CHECKING:
    import pyarrow as pa

    from waybill.intake.rejected_files import RejectedFileError


def ambiguous_columns(contract: Contract, batch: pa.RecordBatch) -> list[Column]:
    """Return the columns that have, in a validated batch, a date that is valid only in the other order."""
    columns = [column for column in contract.columns if confusable_forms(column)]
    if not columns:
        return []
    found = set(batch.column("_reasons").flatten().unique().to_pylist())
    return [column for column in columns if date_order_reason(column) in found]


def date_order_error(connection: Any, source: str, contract: Contract, column: Column, name: str) -> RejectedFileError:
    """Return the error about the dates of a column. `source` is the DuckDB relation of the file's raw fields."""
    from waybill.intake.rejected_files import BrokenRules, RejectedFileError  # this module imports validate

    declared, other = " or ".join(confusable_forms(column)), " or ".join(swapped_forms(column))
    query = compile_date_order(column, source)
    [(in_declared, in_both, in_other, first)] = connection.execute(query).fetchall()
    rules = BrokenRules(contract)
    for one in first:
        rules.add(one["record"], [date_order_reason(column)], json.dumps({column.name: one["text"]}))
    [rule] = rules.listed()
    rule.rows = in_other
    advice = "Send the dates as YYYY-MM-DD."
    if in_both == in_declared:  # otherwise neither order fits all dates
        advice += f" If the sender always writes {other}, declare it in the contract's dateForms."
    return RejectedFileError(
        f"{name}: the order of day and month in {column.name} is ambiguous. {count(in_declared, 'date')} can be read "
        f"as {declared} ({in_both} of them also as {other}), {in_other} only as {other}. Nothing was loaded. {advice}",
        [rule],
    )
