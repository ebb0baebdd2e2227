"""The people whom the rows of a domain are about: the columns that identify them, and what replaces their values.

A manifest names one column for each kind of person. All other columns with the id follow from the references of the
contracts. A person who is forgotten keeps their rows: a tombstone, which refers to nobody, replaces the id, and
classified values become null or a value that says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from waybill.contracts.classification import may_be_described
from waybill.contracts.contract import Column, Contract, ContractError, numeric_digits
from waybill.contracts.domains import Domain, load_manifest
from waybill.contracts.odcs import load_domain
from waybill.contracts.standard import likeliest

GREATEST: Final = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
"""The integer types that an id may have, each with its greatest value."""
ID_TYPES: Final = (*GREATEST, "uuid", "text")
NUMBER: Final = "{n}"
"""Stands in a replacement for the number of the person."""
MARK: Final = "forgotten"
"""Replaces texts that cannot be read as fields."""
_TEXTS: Final = (
    f"{MARK}-{NUMBER}",
    f"{MARK}-{NUMBER}@forgotten.invalid",
    f"https://forgotten.invalid/{NUMBER}",
    f"{MARK}{NUMBER}",
    MARK,
    "0" * 9,
    "+" + "0" * 9,
    "XX",
    "-",
)
_VALUES: Final = {
    "date": "1900-01-01",
    "timestamp": "1900-01-01 00:00:00",
    "timestamptz": "1900-01-01 00:00:00+00",
    "boolean": "false",
    "uuid": "00000000-0000-0000-0000-000000000000",
}
OPTIONS: Final = ("domain", "verify", "value", "confirm", "asked_by", "certificate", "json", "help")
"""Options of the command, which no kind of person may have as its name."""


@dataclass(frozen=True)
class PersonColumns:
    """The columns of a dataset that are about one kind of person."""

    kind: str
    """The name of the kind, such as `customer`."""
    declared: str
    """The column that the manifest names, such as `customers.customer_id`."""
    contract: Contract
    ids: tuple[Column, ...]
    """The columns that hold the id."""

    @property
    def erased(self) -> tuple[Column, ...]:
        """The classified columns, whose values are erased in rows of the person."""
        return erased_columns(self.contract, {column.name for column in self.ids})


def erased_columns(contract: Contract, but: Collection[str] = ()) -> tuple[Column, ...]:
    """Return the columns of a contract that are classified as confidential or restricted."""
    return tuple(one for one in contract.columns if not may_be_described(one) and one.name not in but)


def people_of(domain: str) -> list[PersonColumns]:
    """Return the columns about people of all datasets of a domain, by kind and dataset.

    Raises `ContractError` if the manifest or a contract is not valid.
    """
    declared = load_manifest(domain).people
    return person_columns(declared, load_domain(domain)) if declared else []


def people_in(contract: Contract) -> list[PersonColumns]:
    """Return the columns about people of one dataset. Raises `ContractError` as `people_of` does."""
    return [one for one in people_of(contract.domain) if one.contract.name == contract.name]


def person_columns(declared: Mapping[str, str], datasets: Mapping[str, Contract]) -> list[PersonColumns]:
    """Return the columns about people that follow from declared ones (`dataset.column` by kind) and references."""
    found = []
    for kind, root in declared.items():
        holders = _holders(root, datasets)
        for name, contract in datasets.items():
            ids = tuple(column for column in contract.columns if (name, column.name) in holders)
            if ids:
                found.append(PersonColumns(kind, root, contract, ids))
    return found


def _holders(root: str, datasets: Mapping[str, Contract]) -> set[tuple[str, str]]:
    """Return (dataset, column) of a column and of all that refer to it, directly or by way of others."""
    dataset, _, column = root.partition(".")
    holders = {(dataset, column)}
    while True:
        more = {
            (name, one.name)
            for name, contract in datasets.items()
            for one in contract.columns
            if one.reference in holders
        }
        if more <= holders:
            return holders
        holders |= more


def unreached(people: Collection[PersonColumns], datasets: Mapping[str, Contract]) -> list[str]:
    """Return the datasets with classified columns and without an id: rows of a person cannot be found there."""
    reached = {one.contract.name for one in people}
    return [one.table for name, one in datasets.items() if name not in reached and erased_columns(one)]


def greatest_id(people: Collection[PersonColumns]) -> int:
    """Return the greatest integer that every id column of a kind can hold."""
    bounds = []
    for column in (column for one in people for column in one.ids):
        bounds.append(GREATEST[column.physical_type])
        if "maximum" in column.options:
            bounds.append(int(column.options["maximum"]))
        if "exclusiveMaximum" in column.options:
            bounds.append(int(column.options["exclusiveMaximum"]) - 1)
    return min(bounds)


def replacement(column: Column) -> str | None:
    """Return the text that replaces a classified value, with `{n}` for the number of the person; None for null.

    Raises `ContractError` if the column allows neither null nor a value that says nothing.
    """
    if not column.required:
        return None
    kind = column.physical_type
    if not column.enum:
        if kind == "text" and (fitting := next((text for text in _TEXTS if _fits(column, text)), None)):
            return fitting
        least = next((str(column.options[name]) for name in ("minimum", "maximum") if name in column.options), None)
        if kind in _VALUES and "exclusiveMaximum" not in column.options:
            return least or _VALUES[kind]
        if kind in GREATEST or kind in ("double precision", "real") or numeric_digits(kind):
            if least:
                return least
            if not {"exclusiveMinimum", "exclusiveMaximum"} & column.options.keys():
                return "0"
            if "exclusiveMaximum" not in column.options:
                return str(int(float(column.options["exclusiveMinimum"])) + 1)
    raise ContractError(
        f"{column.name!r} is classified and required, and its rules allow no value that says nothing. "
        "Make it optional, or change its rules"
    )


def replacement_for(column: Column, number: int) -> str | None:
    """Return the text that replaces a classified value of the person with a number; None for null.

    Raises `ContractError` as `replacement` does.
    """
    text = replacement(column)
    return None if text is None else text.replace(NUMBER, str(number))


def _fits(column: Column, template: str) -> bool:
    """Return whether a replacement meets the rules of a text column for numbers of one digit and of six."""
    texts = [template.replace(NUMBER, str(number)) for number in (1, 999_999)]
    pattern = column.options.get("pattern")
    try:
        return all(
            column.options.get("minLength", 0) <= len(text) <= column.options.get("maxLength", len(text))
            and (pattern is None or re.fullmatch(pattern, text) is not None)
            for text in texts
        )
    except re.error:
        return False


def problems(manifest: Domain, datasets: Mapping[str, Contract]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (keys of the manifest, problem) for everything that keeps the people of a domain from being forgotten."""
    if not manifest.people:
        return
    if manifest.engine == "spark":
        yield ("people",), "a domain with `engine: spark` cannot forget people: its rows are not in PostgreSQL"
    if manifest.semantics != "current":
        yield ("people",), "needs `semantics: current`: reports as of the end of a period are not built again"
    for kind, root in manifest.people.items():
        place = ("people", kind)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", kind) or kind in OPTIONS:
            yield place, "must be lower case letters, digits and `_`, and no option of `waybill forget`"
        dataset, _, column = root.partition(".")
        if dataset not in datasets:
            yield place, f"unknown dataset {dataset!r}: {likeliest(dataset, {*datasets})}"
        elif column not in datasets[dataset].names:
            yield place, f"{dataset} has no column {column!r}: {likeliest(column, {*datasets[dataset].names})}"
        else:
            people = person_columns({kind: root}, datasets)
            yield from ((place, text) for text in _of_columns(people))
            yield from _of_streams(manifest, people)


def _of_streams(manifest: Domain, people: Collection[PersonColumns]) -> Iterator[tuple[tuple[str, ...], str]]:
    for one in people:
        stream = manifest.streams.get(one.contract.name)
        named = {*stream.dimensions, stream.kind, stream.session} if stream else set()
        for column in (*one.ids, *one.erased):
            if column.name in named:
                text = f"{column.name!r} is about a {one.kind}: its values would stay in counts and sessions"
                yield ("streams", one.contract.name), text


def _of_columns(people: list[PersonColumns]) -> Iterator[str]:
    types = {column.physical_type for one in people for column in one.ids}
    if not types <= {*ID_TYPES} or len({one if one in ("uuid", "text") else "integer" for one in types}) > 1:
        yield f"its columns have the types {', '.join(sorted(types))}: an id is an integer, a uuid or a text everywhere"
    for one in people:
        table, contract = one.contract.table, one.contract
        for column in one.ids:
            if column.enum or column.only_values_of:
                yield f"{table}.{column.name} has listed values: no tombstone can replace an id"
            if column.physical_type == "text" and not _fits(column, _TEXTS[0]):
                yield f"{table}.{column.name}: its rules do not allow the tombstone `{_TEXTS[0].replace(NUMBER, '1')}`"
        roles = {*contract.row_key, contract.period_column, contract.day_column, contract.occurrence_column}
        for column in one.erased:
            try:
                text = replacement(column)
            except ContractError as error:
                yield f"{table}.{error}"
                continue
            if column.name in roles or column.unique or column.only_values_of:
                yield f"{table}.{column.name} is classified and a key, unique or a filter: it cannot be erased"
            elif text is not None and column.checked_reference:
                yield f"{table}.{column.name} is classified, required and must refer to a row: it cannot be erased"
            elif rules := [rule.name for rule in contract.row_rules if column.name in rule.words]:
                yield f"{table}.{column.name} is classified and part of the row rule {rules[0]!r}"
