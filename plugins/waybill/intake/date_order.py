"""Refuse a file whose dates with slashes read partly as month/day and partly only as day/month.

No row tells which of the two 5/4/2026 is. As soon as one date of a column reads only the other way round than the
contract says, the sender's order is in doubt, and with it every date of the column.
"""

from __future__ import annotations

import json
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


def refusal(connection: Any, source: str, contract: Contract, column: Column, name: str) -> DataError:
    """The error that says how the dates of a column read in `source`, the relation of the raw fields of a file."""
    from waybill.intake.rejected_files import BrokenRules, Refusal  # which know the judgement that asks for this

    declared = slashed_form(column)
    assert declared
    other = other_order(declared)
    query = compile_date_order(column, source)
    [(in_declared, in_both, in_other, first)] = connection.execute(query).fetchall()
    rules = BrokenRules(contract)
    for one in first:
        rules.add(one["record"], [date_order_reason(column)], json.dumps({column.name: one["text"]}))
    [rule] = rules.listed()
    rule.rows = in_other
    advice = "Send the dates as YYYY-MM-DD."
    if in_both == in_declared:  # else no single order reads them all
        advice += f" If the sender writes {other} throughout, put that into the dateForms of the contract."
    return Refusal(
        f"{name}: the order of day and month in {column.name} is in doubt: {in_declared} dates read as {declared} "
        f"({in_both} of them also as {other}), and {in_other} read only as {other}; nothing was loaded. {advice}",
        [rule],
    )
