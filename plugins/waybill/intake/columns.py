"""Find missing and unknown columns in the files of a dataset, and likely renames."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import Connection, sql

from waybill.contracts import Column, Contract
from waybill.errors import DataError
from waybill.files.received_file import ReceivedFile
from waybill.files.spellings import normalise
from waybill.intake import file_warnings
from waybill.warehouse.connection import one_row
from waybill.warehouse.file_order import order_sql, place_of_sql, place_sql
from waybill.warehouse.schema import columns_sql, relation, superseded_relation

KIND: Final = "columns"
FILES_COMPARED: Final = 100
"""Number of earlier files that a file is compared with."""
_SIMILARITY = 0.55
"""Least ratio of difflib, from 0 to 1, at which two names count as a rename."""
_NAMES_LISTED = 20
_NAME_CHARACTERS = 60

# In the order of files, so that the order of loading does not matter.
_EARLIER = """
with compared as (
  (
    select f.*
    from waybill.load_file as f
    where f.dataset = {dataset} and f.status = 'loaded' and ({order}) < {place}
    order by {newest_first}
    limit {limit}
  )
  union all
  select f.* from waybill.load_file as f where f.file_id = {replaces}
)
select distinct on (brought) brought, f.object_key
from compared as f, unnest(f.brought_columns) as brought
order by brought, {newest_first}
"""
_LATER = """
select f.file_id, f.brought_columns, f.ignored_columns, f.replaces_file_id
from waybill.load_file as f
where f.dataset = {dataset} and f.status = 'loaded' and ({order}) > {place}
order by {order}
limit {limit}
"""


@dataclass(frozen=True)
class ColumnIssues:
    """Errors and warnings about the columns of a file; each is a sentence or more."""

    errors: list[str]
    warnings: list[str]


def find_issues(
    contract: Contract, brought: Collection[str], unknown: Sequence[str], earlier: Mapping[str, str]
) -> ColumnIssues:
    """Compare the columns of a file with the contract and with earlier files.

    `brought` are the contract's columns that the file has, `unknown` its other columns. `earlier` gives, for each
    column of earlier files, the key of the newest one. The contract decides between errors and warnings.
    """
    absent = {
        column.name: column
        for column in contract.delivered_columns
        if column.name not in brought and not column.required
    }
    missing = [name for name in absent if name in earlier]
    renamed = likely_renames(absent, missing, unknown)
    found = ColumnIssues([], [])

    def report(text: str, *policies: str) -> None:
        if "error" in policies:
            found.errors.append(text)
        elif "warning" in policies:
            found.warnings.append(text)

    for name in missing:
        text = f"the column {name} is missing, but {earlier[name]} had it. It is null in every row of this file."
        if new := renamed.get(name):
            text += f" The unknown column {quoted(new)} may be its new name. {_advice(contract, name, new)}"
            report(text, contract.missing_columns, contract.unknown_columns)
        else:
            report(text, contract.missing_columns)
    left = [name for name in unknown if name not in {renamed[name] for name in missing if name in renamed}]
    similar = {new: name for name, new in renamed.items()}
    for name in left[:_NAMES_LISTED]:
        text = f"the column {quoted(name)} is unknown and was not loaded."
        if old := similar.get(name):
            text += f" It may be another name of the absent column {old}. {_advice(contract, old, name)}"
        report(text, contract.unknown_columns)
    if len(left) > _NAMES_LISTED:
        report(f"{_NAMES_LISTED} of {len(left)} unknown columns are shown.", contract.unknown_columns)
    return found


def _advice(contract: Contract, name: str, synonym: str) -> str:
    return (
        f"If so, add {quoted(synonym)} to the synonyms of {name} in the contract of {contract.table}. The next run "
        "then loads the file again."
    )


def quoted(name: str) -> str:
    """Return the name of a column in a file for messages: in quotes and cut."""
    return repr(name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS]}…")


def likely_renames(absent: Mapping[str, Column], missing: Sequence[str], unknown: Sequence[str]) -> dict[str, str]:
    """Return the likely new name of each absent column, the most similar pairs first; each name is used once."""
    pairs = sorted(
        ((-_similarity(column, name), place, name) for place, column in enumerate(absent.values()) for name in unknown)
    )
    names, found = [*absent], dict[str, str]()
    for similarity, place, name in pairs:
        if -similarity >= _SIMILARITY and names[place] not in found and name not in found.values():
            found[names[place]] = name
    old, new = [name for name in missing if name not in found], [name for name in unknown if name not in found.values()]
    if len(old) == len(new) == 1:  # one column disappeared and one appeared
        found[old[0]] = new[0]
    return found


def _similarity(column: Column, name: str) -> float:
    spellings = {normalise(one) for one in (column.name, column.business_name or column.name, *column.spellings)}
    return max(difflib.SequenceMatcher(None, one, normalise(name)).ratio() for one in sorted(spellings))


def of_received(
    connection: Connection, contract: Contract, received: ReceivedFile, replaces: int | None
) -> ColumnIssues:
    """Compare the columns of a received file with the contract and the loaded files."""
    if received.brought is None:
        return ColumnIssues([], [])
    landed = received.landed
    place = place_sql(contract, landed.period.start, landed.landed_at, landed.name_key)
    return find_issues(contract, received.brought, received.ignored, _earlier(connection, contract, place, replaces))


def raise_errors(name: str, issues: ColumnIssues) -> None:
    """Raise `DataError` if the contract makes a missing or unknown column an error."""
    if issues.errors:
        first, *others = issues.errors
        text = " ".join([first, *(f"{one[0].upper()}{one[1:]}" for one in others)])
        raise DataError(
            f"{name}: {text} The contract makes this an error (missingColumns, unknownColumns). Nothing was loaded."
        )


def warn(connection: Connection, contract: Contract, file_id: int, issues: ColumnIssues) -> None:
    """Record the warnings about a loaded file, and replace those of later files, which are compared with it."""
    for message in issues.warnings:
        file_warnings.add(connection, file_id, KIND, message)
    later = connection.execute(_query(_LATER, contract, place_of_sql(contract, file_id), None)).fetchall()
    for later_id, brought, ignored, replaces in later:
        if brought is not None:
            earlier = _earlier(connection, contract, place_of_sql(contract, later_id), replaces)
            now = find_issues(contract, brought, ignored, earlier)
            file_warnings.replace(connection, later_id, KIND, [*now.errors, *now.warnings])


def warn_of_emptied(
    connection: Connection, contract: Contract, file_id: int, replaces: int | None, brought: Collection[str] | None
) -> None:
    """Record a warning for each optional column that lost more than half of its values when a file was sent again.

    Reads the temporary table `incoming` before its rows are merged.
    """
    optional = [column.name for column in contract.delivered_columns if not column.required]
    names = [name for name in optional if name in (brought or ())]
    if replaces is None or not names or contract.load_mode == "snapshot":
        return
    counts = sql.SQL(", ").join(sql.SQL("count({})").format(sql.Identifier(name)) for name in names)
    rows, *values = one_row(connection, sql.SQL("select count(*), {} from incoming").format(counts))
    if rows == 0:
        return
    rows_before, *values_before = one_row(
        connection,
        sql.SQL(
            "select count(*), {counts} from (select {names} from {table} where _file_id = {file} "
            "union all select {names} from {superseded} where _file_id = {file}) as older"
        ).format(
            counts=counts,
            names=columns_sql(names),
            table=relation(contract),
            superseded=superseded_relation(contract),
            file=sql.Literal(replaces),
        ),
    )
    for name, has, had in zip(names, values, values_before, strict=True):
        if had * rows > 2 * has * rows_before:
            message = (
                f"the column {name} has a value in {has:,} of {rows:,} rows; the previous version had one in "
                f"{had:,} of {rows_before:,} rows. If the export lost values, send the file again."
            )
            file_warnings.add(connection, file_id, "emptied", message)


def _earlier(connection: Connection, contract: Contract, place: sql.Composed, replaces: int | None) -> dict[str, str]:
    """Return the columns of the files before a place, each with the key of the newest file that has it."""
    return dict(connection.execute(_query(_EARLIER, contract, place, replaces)).fetchall())


def _query(query: str, contract: Contract, place: sql.Composed, replaces: int | None) -> sql.Composed:
    return sql.SQL(query).format(
        dataset=sql.Literal(contract.table),
        place=place,
        order=order_sql(contract, "f"),
        newest_first=order_sql(contract, "f", descending=True),
        replaces=sql.Literal(replaces),
        limit=sql.Literal(FILES_COMPARED),
    )
