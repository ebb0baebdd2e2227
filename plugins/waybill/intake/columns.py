"""Columns that the files of a dataset no longer bring, or bring and nobody knows; and what was probably renamed."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import Connection, sql

from waybill.contracts import Column, Contract
from waybill.errors import DataError
from waybill.intake import file_warnings
from waybill.intake.receive import ReceivedFile
from waybill.intake.spellings import normalise
from waybill.warehouse.connection import one_row
from waybill.warehouse.file_order import order_sql, place_of_sql, place_sql
from waybill.warehouse.schema import columns_sql, relation, superseded_relation

KIND: Final = "columns"
FILES_COMPARED: Final = 100
"""A file is compared with so many files before it."""
_SIMILARITY = 0.55
"""From here on two names are taken for one that was renamed; difflib's ratio, from 0 to 1."""
_NAMES_LISTED = 20
_NAME_CHARACTERS = 60

# In the order of files, so that it does not matter which was loaded first.
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
class OddColumns:
    """What is odd about the columns of a file; each is one sentence."""

    errors: list[str]
    warnings: list[str]


def find_odd(
    contract: Contract, brought: Collection[str], unknown: Sequence[str], earlier: Mapping[str, str]
) -> OddColumns:
    """Compare the columns of a file with the contract and with earlier files.

    `brought` are the contract's columns that the file has, `unknown` its other columns, `earlier` the columns that
    earlier files had, each with the key of the newest one that had it. The contract says what is an error.
    """
    absent = {
        column.name: column
        for column in contract.delivered_columns
        if column.name not in brought and not column.required
    }
    missing = [name for name in absent if name in earlier]
    renamed = _renamed(absent, missing, unknown)
    found = OddColumns([], [])

    def tell(text: str, *levels: str) -> None:
        if "error" in levels:
            found.errors.append(text)
        elif "warning" in levels:
            found.warnings.append(text)

    for name in missing:
        text = f"the column {name} is missing, which {earlier[name]} had; it is null in every row of this file"
        if new := renamed.get(name):
            text += f". The column {_quoted(new)} is unknown: a rename? {_advice(contract, name, new)}"
            tell(text, contract.missing_columns, contract.unknown_columns)
        else:
            tell(text, contract.missing_columns)
    left = [name for name in unknown if name not in {renamed[name] for name in missing if name in renamed}]
    similar = {new: name for name, new in renamed.items()}
    for name in left[:_NAMES_LISTED]:
        text = f"the column {_quoted(name)} is unknown and was not loaded"
        if old := similar.get(name):
            text += f". {old} is absent: another name of it? {_advice(contract, old, name)}"
        tell(text, contract.unknown_columns)
    if len(left) > _NAMES_LISTED:
        tell(f"{_NAMES_LISTED} of {len(left)} unknown columns are listed", contract.unknown_columns)
    return found


def _advice(contract: Contract, name: str, synonym: str) -> str:
    return (
        f"If so, add {_quoted(synonym)} to the synonyms of {name} in the contract of {contract.table}; the next run "
        "then loads the file again"
    )


def _quoted(name: str) -> str:
    return repr(name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS]}…")


def _renamed(absent: Mapping[str, Column], missing: Sequence[str], unknown: Sequence[str]) -> dict[str, str]:
    """The likeliest unknown column for each absent one, each at most once; the most similar pairs come first."""
    pairs = sorted(
        ((-_similarity(column, name), place, name) for place, column in enumerate(absent.values()) for name in unknown)
    )
    names, found = [*absent], dict[str, str]()
    for similarity, place, name in pairs:
        if -similarity >= _SIMILARITY and names[place] not in found and name not in found.values():
            found[names[place]] = name
    old, new = [name for name in missing if name not in found], [name for name in unknown if name not in found.values()]
    if len(old) == len(new) == 1:  # one has gone and one has come
        found[old[0]] = new[0]
    return found


def _similarity(column: Column, name: str) -> float:
    spellings = {normalise(one) for one in (column.name, column.business_name or column.name, *column.spellings)}
    return max(difflib.SequenceMatcher(None, one, normalise(name)).ratio() for one in sorted(spellings))


def of_received(connection: Connection, contract: Contract, received: ReceivedFile, replaces: int | None) -> OddColumns:
    """What is odd about the columns of a file that is to be loaded, by the files that are loaded."""
    if received.brought is None:
        return OddColumns([], [])
    landed = received.landed
    place = place_sql(contract, landed.period.start, landed.landed_at, landed.name_key)
    return find_odd(contract, received.brought, received.ignored, _earlier(connection, contract, place, replaces))


def refuse_errors(name: str, odd: OddColumns) -> None:
    """Raise `DataError` if the contract makes one of the oddities an error."""
    if odd.errors:
        raise DataError(
            f"{name}: {'; '.join(odd.errors)}. The contract makes that an error (missingColumns, unknownColumns); "
            "nothing was loaded."
        )


def warn(connection: Connection, contract: Contract, file_id: int, odd: OddColumns) -> None:
    """Record the warnings about a loaded file, and renew those of the files after it, which compare with it."""
    for message in odd.warnings:
        file_warnings.add(connection, file_id, KIND, message)
    later = connection.execute(_query(_LATER, contract, place_of_sql(contract, file_id), None)).fetchall()
    for later_id, brought, ignored, replaces in later:
        if brought is not None:
            earlier = _earlier(connection, contract, place_of_sql(contract, later_id), replaces)
            now = find_odd(contract, brought, ignored, earlier)
            file_warnings.replace(connection, later_id, KIND, [*now.errors, *now.warnings])


def warn_of_emptied(
    connection: Connection, contract: Contract, file_id: int, replaces: int | None, brought: Collection[str] | None
) -> None:
    """Record a warning for each optional column that has lost more than half of its values in a file sent again.

    Reads the temporary table `incoming`, before its rows are merged.
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
                f"the column {name} has a value in {has} of {rows} rows, and in {had} of {rows_before} rows of the "
                f"version before. If the export lost values, send the file again"
            )
            file_warnings.add(connection, file_id, "emptied", message)


def _earlier(connection: Connection, contract: Contract, place: sql.Composed, replaces: int | None) -> dict[str, str]:
    """The columns that the files before a place brought, each with the key of the newest that did."""
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
