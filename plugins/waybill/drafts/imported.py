"""Complete a draft with a contract that another tool wrote from a table or file, such as `datacontract import`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from waybill.contracts import ContractError
from waybill.contracts.semantics import CLASSIFICATIONS, OTHER_TYPES
from waybill.contracts.yaml_files import parse, read_text
from waybill.drafts.column import DraftColumn
from waybill.drafts.table import DraftTable
from waybill.files.spellings import normalise
from waybill.formatting import count

_TYPE: Final = re.compile(r"([a-z][a-z0-9 ]*[a-z0-9])\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?")
_GENERATED: Final = "Generated model of "
"""The beginning of descriptions that say nothing about the table."""


@dataclass(frozen=True)
class Imported:
    """What a contract of the standard says about one table."""

    name: str
    """The name of the file, for comments."""
    purpose: str | None
    columns: Mapping[str, Mapping[str, Any]]
    """By name as files match it."""
    key: tuple[str, ...]


def read_imported(path: Path) -> Imported:
    """Return the content of a contract with one table.

    It may lack everything that Waybill needs, such as a domain. Raises `ContractError` if it has no table, or several.
    """
    document = parse(path, read_text(path))
    tables = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(tables, list) or len(tables) != 1 or not isinstance(tables[0].get("properties"), list):
        raise ContractError(f"{path}: must be a contract with exactly one schema object, which has properties")
    [table] = tables
    columns = {normalise(str(one["name"])): one for one in table["properties"]}
    keyed = [one for one in table["properties"] if one.get("primaryKey")]
    keyed.sort(key=lambda one: int(one.get("primaryKeyPosition") or 0))
    described = document.get("description")
    purposes = (table.get("description"), described.get("purpose") if isinstance(described, dict) else None)
    said = (" ".join(str(one).split()) for one in purposes if one)
    purpose = next((text for text in said if not text.startswith(_GENERATED)), None)
    return Imported(path.name, purpose, columns, tuple(normalise(str(one["name"])) for one in keyed))


def complete(draft: DraftTable, imported: Imported) -> None:
    """Add to a draft what the imported contract knows, and a doubt wherever it contradicts the files.

    Meanings and classifications come from the imported contract. Types and required columns come from the files.
    """
    draft.purpose = imported.purpose or draft.purpose
    matched: dict[str, DraftColumn] = {}
    for column in draft.columns:
        if found := next((name for name in imported.columns if name in column.normal_names), None):
            matched[found] = column
            said = imported.columns[found]
            texts = {name: " ".join(str(said.get(name) or "").split()) for name in ("businessName", "description")}
            column.said = {name: text for name, text in texts.items() if text}
            if said.get("classification") in CLASSIFICATIONS and not column.personal:
                column.said["classification"] = said["classification"]
            for place, text in _contradictions(column, said):
                column.type.doubt(place, f"{imported.name} {text}")
    if absent := [str(one["name"]) for name, one in imported.columns.items() if name not in matched]:
        draft.contradictions.append(f"the files lack columns of {imported.name}: {', '.join(absent)}.")
    key = tuple(matched[name].name for name in imported.key if name in matched)
    if key and len(key) == len(imported.key) and {*key} != {*draft.key.columns}:
        draft.contradictions.append(
            f"{imported.name} has the key {', '.join(key)}, but it does not identify every row."
        )


def _contradictions(column: DraftColumn, said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind = _type(str(said.get("physicalType") or ""))
    if kind and kind != column.type.physical:
        yield "physicalType", f"says {kind}."
    if said.get("required") and column.nulls:
        yield "physicalType", f"says required, but the column has no value in {count(column.nulls, 'row')}."


def _type(text: str) -> str | None:
    """Return a type as PostgreSQL writes it; None for texts, which any file has, and for unknown forms."""
    found = _TYPE.fullmatch(text.strip().lower())
    name = OTHER_TYPES.get(found[1], found[1]) if found else "text"
    if found is None or name.startswith("text") or name == "character":
        return None
    return f"numeric({found[2]},{found[3] or 0})" if name.startswith("numeric") and found[2] else name
