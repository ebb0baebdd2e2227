"""The person who is to be forgotten, and how records show them: by the id, or by values that nobody else has."""

from __future__ import annotations

import json
import re
import secrets
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from psycopg import Connection, sql

from waybill.contracts.classification import RESTRICTED
from waybill.contracts.people import MARK, NUMBER, PersonColumns, greatest_id, replacement
from waybill.errors import DataError
from waybill.formatting import some_of
from waybill.warehouse.connection import one_row
from waybill.warehouse.forgotten import Person, check_of_key, hash_of, id_text, key_of_hashes, words_of
from waybill.warehouse.schema import tables_of

SHORTEST: Final = 6
"""The fewest characters of a restricted value that identifies a person."""
SHORTEST_TEXT: Final = 12
"""The fewest characters of a confidential value that identifies a person: a short remark is not a person's alone."""
LONGEST: Final = 50
"""How many characters of a value are searched for: messages and profiles keep the beginning of a long one."""
MOST_VALUES: Final = 10_000
"""The most values of a person that are searched for in other records."""


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
    values: set[str] = field(default_factory=set)
    """The beginnings of values that only rows of the person have."""

    def of_dataset(self, dataset: str) -> PersonColumns | None:
        """Return the columns of a dataset about this kind of person; None if there are none."""
        return next((one for one in self.columns if one.contract.table == dataset), None)

    def is_in(self, text: str) -> bool:
        """Return whether a text has a value that only the person has."""
        lower = text.lower()
        return any(value.lower() in lower and _as_words(value).search(lower) for value in self.values)

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
        raise DataError(f"the id of the {kind} is none of the type {column.physical_type}, as {column.name!r} has it")
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
            sql.SQL("select from {} as t where {} limit 1").format(table, is_person(one)), {"id": value}
        ).fetchone()
        for one in columns
        for table in tables_of(one.contract)
    )


def add_values(target: Target, values: Sequence[str]) -> None:
    """Add texts that somebody says belong to the person alone. Raises `DataError` for one that is too short."""
    for value in values:
        if len(value.strip()) < SHORTEST:
            raise DataError(
                f"a value of a person has at least {SHORTEST} characters: shorter ones occur in other words"
            )
        target.values.add(value.strip()[:LONGEST])


@lru_cache(maxsize=MOST_VALUES)
def _as_words(value: str) -> re.Pattern[str]:
    """Return the pattern of a value in lower case that is not part of longer words."""
    after = "" if len(value) == LONGEST else r"(?!\w)"
    return re.compile(rf"(?<!\w){re.escape(value.lower())}{after}")


def is_person(one: PersonColumns, alias: str = "t") -> sql.Composed:
    """Return the condition that a row names the person with the parameter `id`."""
    return (
        sql.SQL("(")
        + sql.SQL(" or ").join(
            sql.SQL("{} = %(id)s::{}").format(sql.Identifier(alias, column.name), sql.SQL(column.physical_type))
            for column in one.ids
        )
        + sql.SQL(")")
    )


def find_values(connection: Connection, target: Target) -> None:
    """Add to a person the classified texts of their rows that no row of others has."""
    for one in target.columns:
        for table in tables_of(one.contract):
            for column in one.erased:
                if column.physical_type != "text":
                    continue
                query = sql.SQL(
                    """
                    select distinct left(trim(t.{column}), {longest})
                    from {table} as t
                    where {is_person} and length(trim(t.{column})) >= {shortest} and not exists (
                      select from {table} as o where o.{column} = t.{column} and not coalesce({is_same}, false)
                    )
                    limit {most}
                    """
                ).format(
                    table=table,
                    column=sql.Identifier(column.name),
                    is_person=is_person(one),
                    is_same=is_person(one, "o"),
                    longest=sql.Literal(LONGEST),
                    shortest=sql.Literal(SHORTEST if column.classification == RESTRICTED else SHORTEST_TEXT),
                    most=sql.Literal(MOST_VALUES),
                )
                found = connection.execute(query, {"id": target.value}).fetchall()
                target.values.update(text for (text,) in found if not text.startswith(MARK))


def without_person(target: Target, dataset: str, raw: str) -> str | None:
    """Return the content of a rejected record without the person; None if the person is not in it.

    `raw` is JSON: an object with the fields, or the text of a record without fields. A text becomes a mark as a whole
    if a word of it is the id or it has a value of the person.
    """
    one, content = target.of_dataset(dataset), json.loads(raw, parse_int=str, parse_float=str)
    if not isinstance(content, dict):
        text = str(content)
        words: Collection[str] = words_of(text) if one else ()
        is_named = one is not None and any(id_text(one.ids[0], word) == target.value for word in words)
        return json.dumps(MARK) if text != MARK and (is_named or target.is_in(text)) else None
    ids = {column.name: column for column in one.ids} if one else {}
    named = {name for name, column in ids.items() if id_text(column, content.get(name)) == target.value}
    texts = {name: _as_text(value) for name, value in content.items()}
    if not named and not any(target.is_in(text) for text in texts.values()):
        return None
    erased = {column.name: replacement(column) for column in one.erased} if one else {}
    changed: dict[str, Any] = {}
    for name, value in content.items():
        if name in named:
            changed[name] = target.person.tombstone
        elif name in ids:
            changed[name] = value if id_text(ids[name], value) else None
        elif name in erased and texts[name].strip():
            instead = erased[name]
            changed[name] = None if instead is None else instead.replace(NUMBER, str(target.person.number))
        else:
            changed[name] = target.text if target.is_in(texts[name]) else value
    return json.dumps(changed, ensure_ascii=False) if changed != content else None


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
