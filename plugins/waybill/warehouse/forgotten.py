"""The people who were forgotten, as loads recognise them: by a keyed hash of the id, because the id is not stored.

The hash is the HMAC-SHA256 (RFC 2104) of the domain, the kind of person and the id, with the key of the pseudonyms.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection

from waybill.blanks import strip
from waybill.contracts import Column, Contract, ContractError
from waybill.contracts.domains import load_manifest, manifest_path
from waybill.contracts.number_format import NumberFormat
from waybill.contracts.people import MARK, PersonColumns, people_in, replacement_for
from waybill.errors import DataError
from waybill.settings import SettingsError, settings

_WHOLE: Final = re.compile(r"[+]?0*([0-9]+)")
_UUID: Final = re.compile(r"[{]?([0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12})[}]?")
_BETWEEN: Final = re.compile(r"[\s,;|\"'{}\[\]:=()<>]+")
_CHECKED: Final = "the people who were forgotten"


class ForgottenMeanwhile(DataError):
    """People were forgotten after records were read. Read them again."""


@dataclass(frozen=True)
class Person:
    """A person who was forgotten."""

    number: int
    """Distinguishes the person from others of the domain; it is part of the texts that replace values."""
    tombstone: str
    """The text of the value that replaces the id."""


def key_of_hashes() -> bytes:
    """Return the key. Raises `SettingsError` if it is not set."""
    key = settings().mask_key
    if key is None:
        raise SettingsError(
            "WAYBILL_MASK_KEY is not set. People were forgotten or are to be forgotten, and loads recognise them by a "
            "hash with this key. Set it as it was when they were forgotten."
        )
    return key.get_secret_value().encode()


def check_of_key(key: bytes) -> str:
    """Return a text by which another key is recognised."""
    return hmac.digest(key, _CHECKED.encode(), "sha256").hex()[:32]


def hash_of(key: bytes, domain: str, kind: str, value: str) -> str:
    """Return the hash of an id, given in the form of `id_text`."""
    return hmac.digest(key, f"{domain}.{kind}:{value}".encode(), "sha256").hex()


def id_text(column: Column, text: Any) -> str | None:
    """Return the one form of an id that a text of a file or a command means; None if the column cannot have it."""
    stripped = "" if text is None else strip(str(text))
    if column.physical_type == "text":
        return stripped or None
    if column.physical_type == "uuid":
        found = _UUID.fullmatch(stripped)
        digits = found[1].replace("-", "").lower() if found else ""
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}" if digits else None
    # Programs that know no missing integers write 4711 as 4711.0. A load rejects this, and nobody may return by it.
    whole = _WHOLE.fullmatch(stripped)
    if whole is None and (plain := (column.number_format or NumberFormat()).whole(stripped)):
        whole = _WHOLE.fullmatch(plain)
    return str(int(whole[1])) if whole and len(whole[1]) < 20 else None


def words_of(text: str) -> set[str]:
    """Return the words of a text that could not be read as fields."""
    return set(_BETWEEN.split(text)) - {""}


def replaced_fields(
    one: PersonColumns, fields: Mapping[str, Any], named: Mapping[str, Person], person: Person
) -> dict[str, Any]:
    """Return the fields of a record of a person, with the tombstones of those whom id columns name.

    Blank fields, and marks of earlier replacements, stay.
    """
    changed = {**fields, **{name: each.tombstone for name, each in named.items()}}
    for column in one.erased:
        if changed.get(column.name) not in (None, MARK) and strip(str(changed[column.name])):
            changed[column.name] = replacement_for(column, person.number)
    return changed


@dataclass(frozen=True)
class Forgotten:
    """The forgotten people whom rows of a dataset may name."""

    people: tuple[PersonColumns, ...]
    """The columns of the dataset about kinds of which somebody was forgotten."""
    known: Mapping[str, Mapping[str, Person]]
    """The people of each kind, by hash."""
    newest: int
    """The number of the last erasure of the domain."""
    key: bytes

    def person(self, one: PersonColumns, column: Column, text: Any) -> Person | None:
        """Return the forgotten person whom the text of an id column names; None if there is none."""
        value = id_text(column, text)
        if value is None:
            return None
        return self.known[one.kind].get(hash_of(self.key, one.contract.domain, one.kind, value))

    def without_people(self, raw: str) -> str:
        """Return a rejected record, which is JSON, without forgotten people.

        A text without fields becomes a mark if a word of it is the id of a person. Fields are replaced if an id could
        not be read as its type, but is the one of a person: all others are replaced before rules are checked.
        """
        content = json.loads(raw, parse_int=str, parse_float=str)
        if isinstance(content, str):
            return json.dumps(MARK) if self._names_somebody(content) else raw
        if not isinstance(content, dict):
            return raw
        changed = content
        for one in self.people:
            found = {column.name: self.person(one, column, content.get(column.name)) for column in one.ids}
            named = {name: person for name, person in found.items() if person}
            if named:
                changed = replaced_fields(one, changed, named, next(iter(named.values())))
        return raw if changed == content else json.dumps(changed, ensure_ascii=False)

    def _names_somebody(self, text: str) -> bool:
        words = words_of(text)
        return any(
            self.person(one, column, word) is not None for one in self.people for column in one.ids for word in words
        )


def forgotten_people(connection: Connection, contract: Contract) -> Forgotten | None:
    """Return the forgotten people whom rows of a dataset may name; None if there are none.

    Raises `SettingsError` if the key of the hashes is missing or another one, and `ContractError` if the manifest does
    not declare the kind of a forgotten person as it was: the person would return unnoticed.
    """
    rows = connection.execute(
        """
        select kind, declared, person, number, tombstone, key_check, max(erasure_id) over () as newest
        from waybill.erasure
        where domain = %s
        """,
        (contract.domain,),
    ).fetchall()
    if not rows:
        return None
    _check_declared(contract.domain, {(kind, declared) for kind, declared, *_ in rows})
    key = key_of_hashes()
    if {row[5] for row in rows} != {check_of_key(key)}:
        raise SettingsError(
            f"WAYBILL_MASK_KEY has changed since people of {contract.domain} were forgotten, so they would return. "
            "Set the key that it was."
        )
    known: dict[str, dict[str, Person]] = {}
    for kind, _, person, number, tombstone, *_ in rows:
        known.setdefault(kind, {})[person] = Person(number, tombstone)
    people = tuple(one for one in people_in(contract) if one.kind in known)
    if not people:
        return None
    return Forgotten(people, {one.kind: known[one.kind] for one in people}, rows[0][6], key)


def newest_erasure(connection: Connection, domain: str) -> int:
    """Return the number of the last erasure of a domain; 0 if there is none."""
    row = connection.execute(
        "select coalesce(max(erasure_id), 0) from waybill.erasure where domain = %s", (domain,)
    ).fetchone()
    return int(row[0]) if row else 0


def _check_declared(domain: str, used: set[tuple[str, str]]) -> None:
    declared = load_manifest(domain).people
    for kind, column in sorted(used):
        if declared.get(kind) != column:
            raise ContractError(
                f"{manifest_path(domain)}: people of the kind {kind!r} were forgotten, and would return if it is not "
                f"declared. Write `people: {{{kind}: {column}}}`."
            )
