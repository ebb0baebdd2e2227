"""Find columns of derived tables that repeat classified values and have no classification of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from waybill.contracts import Contract
from waybill.contracts.classification import may_be_described
from waybill.contracts.contract import Column
from waybill.ops.lineage import project_lineage

_TEXTS: Final = frozenset({"text", "text[]", "jsonb"})
"""Types that may hold a part of a text."""


def lint_classification(contracts: Mapping[str, Contract]) -> Iterator[str]:
    """Yield the columns without a classification that are computed from a confidential or restricted one.

    Only columns of the same type, or texts of texts, count: a number of different texts says nothing about one of them.
    Raises `DataError` if an SQL file names an unknown table or column.
    """
    columns = {(one.table, column.name): column for one in contracts.values() for column in one.columns}
    for step in project_lineage(contracts).steps:
        source, target = columns.get(step.source), columns.get(step.target)
        if step.effect == "value" and source and target and _repeats(source, target):
            where = f"{step.target.table}: the column {target.name!r}"
            yield (
                f"{where} is computed from {step.source.table}.{source.name}, which is {source.classification}, and "
                f"has no classification. Write `classification: {source.classification}`, or `internal` if its values "
                "identify nobody"
            )


def _repeats(source: Column, target: Column) -> bool:
    """Return whether a column without a classification may repeat values of a classified one."""
    if target.classification is not None or may_be_described(source):
        return False
    return target.physical_type == source.physical_type or {source.physical_type, target.physical_type} <= _TEXTS
