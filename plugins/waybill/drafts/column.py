"""A column of a drafted contract, and what the files show about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from waybill.blanks import strip
from waybill.contracts import Column
from waybill.contracts.namesakes import first_sentence
from waybill.drafts.draft_type import DraftType
from waybill.drafts.names import synonyms_of
from waybill.drafts.references import Reference
from waybill.files.spellings import normalise
from waybill.personal.recognise import Evidence


@dataclass
class DraftColumn:
    """A column of the drafted contract, and what the files show about it."""

    name: str
    header: str
    """The name as files write it; empty if they have none."""
    spelling: str
    """The name by which files match the column; empty if they do by order."""
    type: DraftType
    distinct: int
    longest: int
    """The length of the longest value."""
    shape: str
    personal: Evidence | None
    """Why the column looks personal."""
    is_clean: bool
    """Whether a key may have all values: none has invisible characters."""
    reference: Reference | None
    """The key of another dataset to which the column may refer."""
    namesake: Column | None = None
    """A column of another dataset with the same name and type."""
    days: int = 0
    """Of a date or an instant: the largest number of days from the first to the last value of a file."""
    nulls: int = 0
    """Number of rows without a value, after null words were read."""
    said: dict[str, str] = field(default_factory=dict)
    """Properties that an imported contract has."""

    @property
    def reading(self) -> dict[str, Any]:
        """Return the properties that a load needs to read the column."""
        return {"name": self.name, **synonyms_of(self.name, self.spelling), **self.type.declared}

    @property
    def normal_names(self) -> set[str]:
        """Return the names by which other contracts may know the column, as files match names."""
        return {normalise(self.header), normalise(self.name)}

    @property
    def is_named(self) -> bool:
        """Return whether files name the column; else its name says nothing."""
        return bool(strip(self.header))

    @property
    def is_complete(self) -> bool:
        """Return whether every row has a value that a key may have."""
        return self.nulls == 0 and self.is_clean

    @property
    def doubts(self) -> dict[str, list[str]]:
        """Return the doubts about the column by the property that they are about."""
        found = {place: [*texts] for place, texts in self.type.doubts.items()}
        if self.personal:
            found["classification"] = [
                f"{self.personal.doubt}. Write internal or public if the values are not personal."
            ]
        if self.reference:
            found["relationships"] = [self.reference.doubt]
        return found

    def document(self, key: Sequence[str], *, has_rows: bool) -> dict[str, Any]:
        """Return the column as the contract has it; `key` are the delivered columns of the key."""
        is_key, declared = self.name in key, self.type.declared
        custom = declared.pop("customProperties", None)
        has_heading = self.is_named and self.header != self.name
        target = self.reference.name if self.reference and self.reference.is_confirmed else None
        return {
            "name": self.name,
            **({"businessName": strip(self.header)} if has_heading else {}),
            "description": self._description(is_key=is_key),
            **declared,
            **({"primaryKey": True, "primaryKeyPosition": key.index(self.name) + 1} if is_key else {}),
            **({"required": True} if is_key or (self.nulls == 0 and has_rows) else {}),
            **({"classification": "restricted"} if self.personal else {}),
            **synonyms_of(self.name, self.spelling),
            **({"relationships": [{"to": target}]} if target else {}),
            **({"customProperties": custom} if custom else {}),
            **self.said,
        }

    def _description(self, *, is_key: bool) -> str:
        """Return the first sentence of the namesake's description, or what to write."""
        if self.namesake and self.namesake.description:
            return first_sentence(self.namesake.description)
        if is_key:
            return f"Write what {self.name} identifies."
        if self.type.physical.startswith(("numeric", "double", "real")):
            return f"Write what {self.name} measures, and its unit."
        if self.type.is_moment or self.type.physical == "time":
            return f"Write what happens at {self.name}."
        return f"Write what {self.name} means."
