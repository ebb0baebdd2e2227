"""The person who is to be forgotten, and how records show them: by the id, or by values that nobody else has."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from psycopg import Connection, sql

from waybill.contracts import Contract, load_domain
from waybill.contracts.classification import RESTRICTED
from waybill.contracts.people import MARK, PersonColumns, greatest_id
from waybill.erasure.phrases import LONGEST, Phrases
from waybill.errors import DataError
from waybill.formatting import some_of
from waybill.warehouse.connection import one_row
from waybill.warehouse.forgotten import Person, check_of_key, hash_of, id_text, key_of_hashes, replaced_fields, words_of
from waybill.warehouse.schema import tables_of

SHORTEST: Final = 6
"""The fewest characters of a restricted value that identifies a person."""
SHORTEST_TEXT: Final = 12
"""The fewest characters of a confidential value that identifies a person: a short remark is not a person's alone."""
MOST_VALUES: Final = 10_000
"""The most values of a column of a person that are searched for in other records."""


@dataclass(frozen=True)
class Target:
    """A person who is to be forgotten."""

    domain: str
    kind: str
    value: str
    """The id. It is kept nowhere."""
    person: Person
    """What replaces the id."""
    hash: str
    columns: tuple[PersonColumns, ...]
    """The columns of datasets about this kind of person."""
    erasures: int
    """How often something of the person was erased before."""
    values: frozenset[str] = frozenset()
    """Values that only rows of the person have."""
    shared: int = 0
    """How many values of the person's rows others have, too. They are not searched for."""

    @property
    def ids(self) -> list[str]:
        """What rows of the person may have as the id: the tombstone, too, if something was erased before."""
        return [self.value, self.person.tombstone] if self.erasures else [self.value]

    def of_dataset(self, dataset: str) -> PersonColumns | None:
        """Return the columns of a dataset about this kind of person; None if there are none."""
        return next((one for one in self.columns if one.contract.table == dataset), None)

    @cached_property
    def phrases(self) -> Phrases:
        """The values, as they are found in texts."""
        return Phrases(self.values)

    def is_in(self, text: str) -> bool:
        """Return whether a text has a value that only the person has."""
        return self.phrases.is_in(text)

    @property
    def text(self) -> str:
        """The text that replaces values in records that are kept as text."""
        return f"{MARK}-{self.person.number}"


def target_of(connection: Connection, domain: str, kind: str, given: str, people: Sequence[PersonColumns]) -> Target:
    """Return the person of a kind with an id. Raises `DataError` if no person can have such an id.

    A person who was forgotten before has the same tombstone again. The caller has locked the tables.
    """
    columns = tuple(one for one in people if one.kind == kind)
    if not columns:
        kinds = sorted({one.kind for one in people})
        raise DataError(f"{domain} declares no people of the kind {kind!r}; it declares {some_of(kinds) or 'none'}")
    column = columns[0].ids[0]
    value = id_text(column, given)
    if value is None:
        raise DataError(f"the id of the {kind} is not of the type {column.physical_type}, which {column.name!r} has")
    key = key_of_hashes()
    person = hash_of(key, domain, kind, value)
    checks = [
        check
        for (check,) in connection.execute(
            "select distinct key_check from waybill.erasure where domain = %s", (domain,)
        )
    ]
    if any(check != check_of_key(key) for check in checks):
        raise DataError("WAYBILL_MASK_KEY is another one than when people were forgotten before. Set the earlier one.")
    found = connection.execute(
        """
        select min(number), min(tombstone), count(*)
        from waybill.erasure
        where domain = %s and kind = %s and person = %s
        """,
        (domain, kind, person),
    ).fetchone()
    if found and found[2]:
        return Target(domain, kind, value, Person(found[0], found[1]), person, columns, found[2])
    taken = connection.execute(
        "select from waybill.erasure where domain = %s and kind = %s and tombstone = %s", (domain, kind, value)
    ).fetchone()
    if taken is not None:
        raise DataError(f"this id is the tombstone of a {kind} who was forgotten: it refers to nobody")
    (number,) = one_row(
        connection, "select coalesce(max(number), 0) + 1 from waybill.erasure where domain = %s", (domain,)
    )
    tombstone = _tombstone(connection, columns, number)
    return Target(domain, kind, value, Person(number, tombstone), person, columns, 0)


def _tombstone(connection: Connection, columns: Sequence[PersonColumns], number: int) -> str:
    """Return a new id that no row has: it says nothing about the person."""
    kind = columns[0].ids[0].physical_type
    if kind == "uuid":
        return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    if kind == "text":
        text = f"{MARK}-{number}"
        if _is_used(connection, columns, text):
            raise DataError(f"rows have the id {text!r}, which is the next tombstone. Correct these rows first.")
        return text
    taken = {
        int(text)
        for (text,) in connection.execute(
            "select distinct tombstone from waybill.erasure where domain = %s and kind = %s",
            (columns[0].contract.domain, columns[0].kind),
        )
    }
    value = greatest_id(columns)
    while value in taken or _is_used(connection, columns, str(value)):
        value -= 1
    return str(value)


def _is_used(connection: Connection, columns: Sequence[PersonColumns], value: str) -> bool:
    return any(
        connection.execute(
            sql.SQL("select from {} as t where {} limit 1").format(table, is_person(one)), {"ids": [value]}
        ).fetchone()
        for one in columns
        for table in tables_of(one.contract)
    )


def with_values(target: Target, values: Sequence[str]) -> Target:
    """Add texts that somebody says belong to the person alone. Raises `DataError` for one that is too short."""
    given = [value.strip() for value in values]
    if any(len(value) < SHORTEST for value in given):
        raise DataError(f"a value of a person has at least {SHORTEST} characters: shorter ones occur in other words")
    return replace(target, values=target.values | {*given})


def _id_conditions(one: PersonColumns, alias: str, condition: str) -> sql.Composed:
    parts = [
        sql.SQL(condition.replace("{kind}", column.physical_type)).format(sql.Identifier(alias, column.name))
        for column in one.ids
    ]
    return sql.SQL("(") + sql.SQL(" or ").join(parts) + sql.SQL(")")


def is_person(one: PersonColumns, alias: str = "t") -> sql.Composed:
    """Return the condition that a row names the person with one of the texts of the parameter `ids`."""
    return _id_conditions(one, alias, "{} = any((%(ids)s::text[])::{kind}[])")


def is_other(one: PersonColumns, alias: str = "t") -> sql.Composed:
    """Return the condition that a row names somebody else, perhaps besides the person with the parameter `ids`."""
    return _id_conditions(one, alias, "{} <> all((%(ids)s::text[])::{kind}[])")


_OWN: Final = """
select distinct trim(t.{column})
from {table} as t
where {is_person} and not coalesce({is_other}, false) and length(trim(t.{column})) >= {shortest}
limit {most}
"""
_OF_OTHERS: Final = """
select distinct v.value
from {table} as t
cross join lateral (values {columns}) as o (text)
inner join unnest(%(values)s::text[]) as v (value)
  on lower(left(trim(o.text), {longest})) = lower(left(v.value, {longest}))
where {is_other}
"""


def with_own_values(connection: Connection, target: Target) -> Target:
    """Add to a person the classified texts of their rows that nobody else in the domain has.

    A text of somebody else is the same if its beginning is, in any case. Rows that name a second person are not only
    the person's, and rows without an id are nobody's.
    """
    values = {value for one in target.columns for value in _own_values(connection, target, one)}
    datasets = load_domain(target.domain)
    words = {word.lower() for contract in datasets.values() for word in _words(contract)}
    shared = {value for value in values if value.lower() in words}
    for contract in datasets.values():
        one = target.of_dataset(contract.table)
        columns = [column for column in contract.columns if column.physical_type == "text" and not column.enum]
        if not columns:
            continue
        for table in tables_of(contract):
            query = sql.SQL(_OF_OTHERS).format(
                table=table,
                columns=sql.SQL(", ").join(sql.SQL("({})").format(sql.Identifier("t", one.name)) for one in columns),
                is_other=is_other(one) if one else sql.SQL("true"),
                longest=sql.Literal(LONGEST),
            )
            parameters = {"ids": target.ids, "values": sorted(values - shared)}
            shared.update(value for (value,) in connection.execute(query, parameters))
    return replace(target, values=target.values | (values - shared), shared=len(shared))


def _own_values(connection: Connection, target: Target, one: PersonColumns) -> Iterator[str]:
    for table in tables_of(one.contract):
        for column in one.erased:
            if column.physical_type != "text":
                continue
            query = sql.SQL(_OWN).format(
                table=table,
                column=sql.Identifier(column.name),
                is_person=is_person(one),
                is_other=is_other(one),
                shortest=sql.Literal(SHORTEST if column.classification == RESTRICTED else SHORTEST_TEXT),
                most=sql.Literal(MOST_VALUES),
            )
            for (value,) in connection.execute(query, {"ids": target.ids}):
                if not value.startswith(MARK):
                    yield value


def _words(contract: Contract) -> Iterator[str]:
    """Yield the names and listed values of a contract: messages have them, and they say nothing about a person."""
    yield from (contract.domain, contract.name, contract.table, *contract.names)
    for column in contract.columns:
        yield from column.enum


def without_person(target: Target, dataset: str, raw: str) -> str | None:
    """Return the content of a rejected record without the person; None if the person is not in it.

    `raw` is JSON: an object with the fields, or the text of a record without fields. A text becomes a mark as a whole
    if a word of it is the id or it has a value of the person.
    """
    one, content = target.of_dataset(dataset), json.loads(raw, parse_int=str, parse_float=str)
    if not isinstance(content, dict):
        text = str(content)
        words: Collection[str] = words_of(text) if one else ()
        is_named = one is not None and any(id_text(one.ids[0], word) in target.ids for word in words)
        return json.dumps(MARK) if text != MARK and (is_named or target.is_in(text)) else None
    ids = {column.name: column for column in one.ids} if one else {}
    named = {name for name, column in ids.items() if id_text(column, content.get(name)) in target.ids}
    texts = {name: _as_text(value) for name, value in content.items()}
    if not named and not any(target.is_in(text) for text in texts.values()):
        return None
    unread = {name for name, column in ids.items() if id_text(column, content.get(name)) is None}
    changed = {name: None if name in unread else value for name, value in content.items()}
    if one:
        changed = replaced_fields(one, changed, dict.fromkeys(named, target.person), target.person)
    erased = {column.name for column in one.erased} if one else set()
    for name, text in texts.items():
        if name not in ids and name not in erased and target.is_in(text):
            changed[name] = target.text
    return json.dumps(changed, ensure_ascii=False) if changed != content else None


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
