"""Compare files with the contract of their dataset, over every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from waybill.contracts import Contract
from waybill.drafts.files import GivenFile
from waybill.drafts.profile import Rows
from waybill.drafts.rows import FileRows, validated
from waybill.errors import DataError
from waybill.formatting import count
from waybill.intake.validate import open_duckdb


def differences(files: Sequence[GivenFile], contract: Contract, folder: Path) -> list[str]:
    """Return how files differ from a contract: columns, values that it rejects, repeated keys. `folder` is scratch.

    References are not checked, and neither is the period of a file.
    """
    columns = tuple(replace(column, reference=None) for column in contract.columns)
    alone = replace(contract, columns=columns, reject_threshold_pct=100, lookback_periods=None)
    found = []
    for number, file in enumerate(files):
        target = folder / f"compared{number}.parquet"
        try:
            rows = validated(file, alone, folder, target)
        except DataError as error:
            found.append(str(error))
            continue
        found += [
            f"{file.name}: {text}"
            for text in (*_of_columns(rows, contract), *map(str, rows.below), *map(str, rows.broken))
        ]
        with closing(open_duckdb(folder)) as duck:
            found += [f"{file.name}: {text}" for text in _of_key(Rows(duck, [target], contract.names), contract)]
    return found


def _of_columns(rows: FileRows, contract: Contract) -> Iterator[str]:
    for name in rows.unknown:
        yield f"the column {name!r} is not in the contract"
    for column in contract.delivered_columns:
        if column.name not in rows.brought and rows.rows:
            yield f"the column {column.name} is missing"


def _of_key(rows: Rows, contract: Contract) -> Iterator[str]:
    if contract.occurrence_column or not rows.count:
        return
    delivered = [column.name for column in contract.delivered_columns]
    differing = rows.distinct(delivered) - rows.distinct(contract.row_key)
    if differing:
        yield f"the key {', '.join(contract.row_key)} repeats with other values in {count(differing, 'row')}"
