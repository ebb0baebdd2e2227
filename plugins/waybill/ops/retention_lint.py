"""Find retentions that would change the result of SQL files, of references, or of other datasets' files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from waybill.contracts import Contract
from waybill.contracts.domains import load_manifest
from waybill.contracts.locations import SCHEMAS, raw_layout, read_sql, report_files, sql_folder
from waybill.contracts.odcs import contract_path, load_derived
from waybill.derived.build import named_tables

_FORMER: Final = ("_history", "_changes", "_superseded")
"""The tables of a dataset that have former states of rows."""


def lint_retentions(contracts: Collection[Contract]) -> list[str]:
    """Return every such problem of valid contracts; each names the contract and what reads the data."""
    datasets = [one for one in contracts if one.is_dataset]
    return [
        f"{contract_path(contract.table)}: {problem}"
        for contract in datasets
        for problem in [*_of_history(contract, datasets), *_of_raw(contract, datasets)]
    ]


def _of_history(contract: Contract, datasets: Collection[Contract]) -> Iterator[str]:
    """Yield what reads former states of a dataset's rows, so that it would compute something else without them."""
    if contract.history_retention is None:
        return
    tables = {table: table for suffix in _FORMER if (table := f"{contract.table}{suffix}")}
    texts = {
        f"the check {check.name} of {other.table}": check.query
        for other in datasets
        for check in other.checks
        if check.query and named_tables(check.query, tables)
    }
    if load_manifest(contract.domain).semantics == "current":  # reports of past periods are built again
        tables[f"{contract.table}_as_of"] = f"{contract.table}_as_of"
    for make in SCHEMAS:
        texts |= {str(path): read_sql(path) for path in report_files(sql_folder(contract.domain, make))}
    texts |= {
        f"the check {check.name} of {derived.table}": check.query
        for derived in load_derived(contract.domain).values()
        for check in derived.checks
        if check.query
    }
    for name, text in texts.items():
        if read := sorted(named_tables(text, tables)):
            yield (
                f"a retention of the history is not possible: {name} reads {', '.join(read)} and would compute "
                "something else without it. Remove the retention, or change the SQL"
            )
    if contract.load_mode == "merge":  # references read current rows
        return
    for other in datasets:
        for column in other.columns:
            if other.domain == contract.domain and (column.checked_reference or ("",))[0] == contract.name:
                yield (
                    f"a retention of the history is not possible: {other.table}.{column.name} refers to it, and a "
                    "known value would be unknown. Remove the retention, or declare `onUnknown: infer` there"
                )


def _of_raw(contract: Contract, datasets: Collection[Contract]) -> Iterator[str]:
    """Yield the datasets whose files a lifecycle of this dataset's folder would remove too early."""
    if contract.raw_retention is None:
        return
    root = raw_layout(contract.domain, contract.name, contract.cadence).root
    for other in datasets:
        below = raw_layout(other.domain, other.name, other.cadence).root
        if below.startswith(root) and other.raw_retention != contract.raw_retention:
            yield (
                f"the retention of raw files is not possible: {other.table} has its files in {below}, too, with "
                "another retention. Declare the same, or keep the files in another folder"
            )
