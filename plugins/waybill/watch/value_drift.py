"""Values that an `enum` does not have, and columns most of whose values have another type."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from psycopg import Connection

from waybill.blanks import strip
from waybill.contracts import Column, Contract
from waybill.contracts.classification import MASK, RESTRICTED, may_be_described
from waybill.contracts.odcs import recorded
from waybill.intake import quarantine
from waybill.watch.landed_values import shapes_of
from waybill.watch.seen_files import SeenFile
from waybill.watch.shown import Shown

_MOST: Final = 0.5
"""From this share of rejected values on, a column has another type; fewer are wrong values."""
_ROWS: Final = 1_000
"""How many rejected rows of a file and column are looked at for new values."""
_FEWEST: Final = 3
"""In fewer rows of a file, an unknown value is a wrong one."""
_VALUES: Final = 10
"""More new values of a column are no vocabulary."""
_CHARACTERS: Final = 60

_COUNTS = """
select q.file_id, reason, count(*)
from waybill.quarantine as q, unnest(q.reasons) as reason
where q.file_id = any(%s) and q.resolved_as is null and (starts_with(reason, 'enum:') or starts_with(reason, 'type:'))
group by 1, 2
"""
_PROFILES = """
select file_id, column_name, rows - nulls
from waybill.file_profile
where file_id = any(%s) and column_name = any(%s)
"""


def value_drift(connection: Connection, contract: Contract, files: Sequence[SeenFile]) -> Iterator[Shown]:
    """Yield the drift of values that open rejected rows of loaded files, and waiting rejected files, show."""
    counts = _counts(connection, files)
    columns = {column.name: column for column in contract.delivered_columns}
    for name, column in columns.items():
        if column.enum and (showing := [file for file in files if f"enum:{name}" in counts[_place(file)]]):
            yield from _new_values(connection, column, showing, counts)
    yield from _other_types(connection, contract, columns, files, counts)


def _place(file: SeenFile) -> str:
    return str(file.file_id or file.object_key)


def _counts(connection: Connection, files: Sequence[SeenFile]) -> dict[str, dict[str, int]]:
    """Return for each file the number of rows by reason."""
    found: dict[str, dict[str, int]] = {_place(file): {} for file in files}
    for file_id, reason, rows in connection.execute(_COUNTS, ([file.file_id for file in files if file.file_id],)):
        found[str(file_id)][reason] = rows
    for file in files:
        for rule in file.reasons:
            found[_place(file)][rule["reason"]] = rule["rows"]
    return found


def _texts(connection: Connection, file: SeenFile, reason: str) -> list[str]:
    """Return the values of the column of a reason in the first rejected rows of a file."""
    name = reason.partition(":")[2]
    if file.file_id is None:
        examples = [one["values"] for rule in file.reasons if rule["reason"] == reason for one in rule["first"]]
    else:
        rows = quarantine.first_rows(connection, file.file_id, reason, _ROWS, only_open=True)
        examples = [json.loads(raw, parse_int=str, parse_float=str) for _, raw in rows if raw.startswith("{")]
    values = (one.get(name) for one in examples)
    return [strip(str(value)) for value in values if value is not None and value != MASK]


def _new_values(
    connection: Connection, column: Column, files: Sequence[SeenFile], counts: Mapping[str, Mapping[str, int]]
) -> Iterator[Shown]:
    reason = f"enum:{column.name}"
    by_value: dict[str, list[SeenFile]] = {}
    texts: list[str] = []
    for file in files:
        unknown = [text for text in _texts(connection, file, reason) if text not in column.enum]
        texts += unknown
        rows = Counter(unknown if may_be_described(column) else map(_shape, unknown))
        if file.is_rejected and counts[_place(file)][reason] >= _FEWEST:  # only some of its rows are known
            values = [*rows] or ([""] if column.classification == RESTRICTED else [])
        else:
            values = [value for value, number in rows.items() if number >= _FEWEST]
        for value in values:
            by_value.setdefault(value, []).append(file)
    if len(by_value) > _VALUES or any(len(value) > _CHARACTERS for value in by_value):
        showing = [file for file in files if any(file in some for some in by_value.values())]
        yield Shown("new value", column.name, "", showing, shapes_of(texts))
        return
    for value, showing in by_value.items():
        yield Shown("new value", column.name, value, showing)


def _shape(text: str) -> str:
    return next(iter(shapes_of([text])))


def _other_types(
    connection: Connection,
    contract: Contract,
    columns: Mapping[str, Column],
    files: Sequence[SeenFile],
    counts: Mapping[str, Mapping[str, int]],
) -> Iterator[Shown]:
    newest = max((file.period for file in files if not file.is_rejected), default=None)
    doubtful = [file for file in files if any(reason.startswith("type:") for reason in counts[_place(file)])]
    accepted = {
        (file_id, name): values
        for file_id, name, values in connection.execute(
            _PROFILES, ([file.file_id for file in doubtful if file.file_id], [*columns])
        )
    }
    judged = _judged_by(connection, contract, doubtful)
    for name, column in columns.items():
        showing = []
        for file in doubtful:
            rows = counts[_place(file)].get(f"type:{name}", 0)
            if file.file_id is None:
                others = (file.accepted_rows or 0) - rows if file.accepted_rows is not None else rows + 1
            else:
                others = accepted.get((file.file_id, name), file.accepted_rows or 0)
            then = judged.get(file.contract_version or "", columns).get(name)
            if rows and rows >= _MOST * (rows + others) and then and _form(then) == _form(column):
                showing.append(file)
        if any(file.is_rejected or file.period == newest for file in showing):
            texts = [text for file in showing[-1:] for text in _texts(connection, file, f"type:{name}")]
            yield Shown("other type", name, "", showing, shapes_of(texts))


def _judged_by(connection: Connection, contract: Contract, files: Iterable[SeenFile]) -> dict[str, dict[str, Column]]:
    """Return the columns of the earlier versions of the contract that judged files."""
    versions = {file.contract_version for file in files if file.contract_version} - {contract.version}
    rows = connection.execute(
        "select distinct on (version) version, document from waybill.contract "
        "where dataset = %s and version = any(%s) order by version, contract_id desc",
        (contract.table, [*versions]),
    )
    return {version: {column.name: column for column in recorded(document).columns} for version, document in rows}


def _form(column: Column) -> Column:
    """Return a column with only what decides whether a text is one of its values."""
    return replace(
        Column(column.name, "", column.logical_type, column.physical_type),
        null_words=column.null_words,
        number_format=column.number_format,
        date_forms=column.date_forms,
        pivot_year=column.pivot_year,
        list_separator=column.list_separator,
    )
